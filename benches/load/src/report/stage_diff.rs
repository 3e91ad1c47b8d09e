//! The same stages of two runs beside each other. A stage has too few intervals for more than a
//! ratio.

use super::diff::{NAME_WIDTH, VALUE_WIDTH};
use super::json::StageReport;
use super::latency::told;
use super::stages::plan;
use crate::units::print::{ratio, whole};

/// Nothing where the two have not the same ones.
pub(super) fn rows(before: &[StageReport], after: &[StageReport]) -> String {
    if before.is_empty() || plan(before) != plan(after) {
        return String::new();
    }
    let heading = "stages, by due time";
    let mut out =
        format!("\n  {heading:<NAME_WIDTH$}{:<VALUE_WIDTH$}{:<VALUE_WIDTH$}B / A\n", "A", "B");
    for (nth, (a, b)) in (1..).zip(before.iter().zip(after)) {
        out.push_str(&format!("  {}\n", a.name(nth)));
        let [of_a, of_b] = [a, b].map(|it| &it.latency_us);
        out.push_str(&latency("p50", [a, b], [of_a.p50, of_b.p50]));
        out.push_str(&latency("p99", [a, b], [of_a.p99, of_b.p99]));
        out.push_str(&row("missing", [a, b].map(|it| whole(it.missing)), String::new()));
    }
    out
}

/// What falls on messages that never came has no ratio, nor has a stage that was cut.
fn latency(name: &str, stages: [&StageReport; 2], micros: [Option<f64>; 2]) -> String {
    let [a, b] = [0, 1].map(|nth| told(name, micros[nth], &stages[nth].missing_at));
    let is_known =
        |it: &&StageReport| it.cut().is_none() && !it.missing_at.iter().any(|at| at == name);
    let is_known = stages.iter().all(is_known);
    let both = micros[0].zip(micros[1]).filter(|(a, _)| is_known && *a > 0.0);
    row(name, [a, b], both.map(|(a, b)| ratio(b / a)).unwrap_or_default())
}

fn row(name: &str, [a, b]: [String; 2], verdict: String) -> String {
    let name = format!("     {name}");
    let row = format!("  {name:<NAME_WIDTH$}{a:<VALUE_WIDTH$}{b:<VALUE_WIDTH$}{verdict}");
    format!("{}\n", row.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json::LatencyReport;

    #[test]
    fn the_same_stages_are_beside_each_other() {
        let stage = |rate: f64, p99: f64, missing| StageReport {
            seconds: 10.0,
            measured_seconds: 10.0,
            rate_per_room: rate,
            rate_per_room_at_end: rate,
            missing,
            missing_at: if missing > 0 { vec!["p99".to_owned()] } else { Vec::new() },
            latency_us: LatencyReport { p99: Some(p99), ..LatencyReport::default() },
            ..StageReport::default()
        };
        let (a, b) = (stage(500.0, 200.0, 0), stage(500.0, 300.0, 0));
        let lost = stage(500.0, 2e6, 1_000);
        let expected = "
  stages, by due time       A           B           B / A
  1: 10 s at 500/s
       p50                  n/a         n/a
       p99                  200 µs      300 µs      1.50
       missing              0           0
  2: 10 s at 500/s
       p50                  n/a         n/a
       p99                  200 µs      > 2.00 s
       missing              0           1,000
";
        assert_eq!(rows(&[a.clone(), a.clone()], &[b.clone(), lost]), expected);
        let cut = StageReport { measured_seconds: 4.0, ..b.clone() };
        let rows_of_cut = rows(std::slice::from_ref(&a), &[cut]);
        assert!(rows_of_cut.contains("200 µs      300 µs\n"), "{rows_of_cut}");
        assert_eq!(rows(std::slice::from_ref(&a), &[stage(400.0, 200.0, 0)]), "");
        assert_eq!(rows(&[], &[]), "");
    }
}
