//! What a search found, for people.

use super::report::{CapacityReport, TrialReport};
use super::steps::TIMES;
use crate::report::table::counted;
use crate::setup::assertion::{Assertion, Figure, Quantile, Times};
use crate::units::print::{bytes, count, percent, whole};

const COLUMNS: [(&str, usize); 7] = [
    ("rate per room", 15),
    ("deliveries", 13),
    ("p50", 11),
    ("p99", 11),
    ("last p99", 11),
    ("server", 13),
    ("generator", 13),
];

/// Result and table as text.
pub(crate) fn text(report: &CapacityReport) -> String {
    let mut out = format!("\n{}\n\n", headline(report));
    let heading = COLUMNS.map(|(name, width)| format!("{name:<width$}"));
    out.push_str(&format!("  {}\n", heading.concat().trim_end()));
    for trial in by_rate(report) {
        let cells = cells(trial).into_iter().zip(COLUMNS);
        let cells = cells.map(|(cell, (_, width))| format!("{cell:<width$}"));
        out.push_str(&format!("  {}{}\n", cells.collect::<String>(), trial.verdict()));
    }
    out.push_str(&format!("\n{}\n", result(report)));
    for remark in remarks(report) {
        out.push_str(&format!("\n! {remark}\n"));
    }
    out
}

/// What was searched for, in one line.
pub(super) fn headline(report: &CapacityReport) -> String {
    let settings = &report.settings;
    let size = settings.traffic.as_ref().map_or(0, |traffic| traffic.payload_bytes);
    format!(
        "capacity: the greatest rate with {}, of {} in {}, {}, {} payloads, {}",
        report.asserted.join(", "),
        counted(settings.members, "member"),
        counted(settings.rooms, "room"),
        counted(settings.publishers, "publisher"),
        bytes(size as f64),
        settings.url
    )
}

/// From the smallest on; runs of one rate in their order.
pub(super) fn by_rate(report: &CapacityReport) -> Vec<&TrialReport> {
    let mut trials: Vec<_> = report.trials.iter().collect();
    trials.sort_by(|a, b| a.rate_per_room.total_cmp(&b.rate_per_room));
    trials
}

fn cells(trial: &TrialReport) -> [String; COLUMNS.len()] {
    let latency = |name| trial.latency(name).unwrap_or_else(|| "n/a".to_owned());
    [
        rate(trial.rate_per_room),
        format!("{}/s", count(trial.deliveries_per_second)),
        latency("p50"),
        latency("p99"),
        latency("last_p99"),
        trial.server_cpu.map_or("n/a".to_owned(), |cores| format!("{cores:.2} cores")),
        format!("{} busy", percent(trial.generator_busy)),
    ]
}

/// The same as the row of a page.
pub(super) fn row(trial: &TrialReport) -> (String, String) {
    let [rate, _, p50, p99, _, server, generator] = cells(trial);
    let cpu = match trial.server_cpu {
        Some(_) => format!("server {server}"),
        None => format!("generator {generator}"),
    };
    (rate, format!("p50 {p50}, p99 {p99}, {cpu}: {}", trial.verdict()))
}

/// The greatest rate that held, as a sentence.
pub(super) fn result(report: &CapacityReport) -> String {
    let Some(found) = report.rate_per_room else {
        let nothing =
            if report.trials.is_empty() { "nothing was measured" } else { "no rate held" };
        return nothing.to_owned();
    };
    let more = if report.at_least { "≥ " } else { "" };
    let deliveries = report.deliveries_per_second.unwrap_or_default();
    let all = report.messages_per_second.unwrap_or_default();
    let all = match report.settings.rooms {
        1 => String::new(),
        rooms => format!(", {} in all {} rooms", rate(all), whole(rooms.into())),
    };
    let (found, deliveries) = (rate(found), count(deliveries));
    format!("capacity: {more}{found} per room{all}, {deliveries} deliveries/s")
}

/// What bounds it, and what else must be known.
pub(super) fn remarks(report: &CapacityReport) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(why) = &report.why {
        remarks.push(match report.failed_at {
            Some(limit) if report.at_least => {
                format!("{} says nothing about the server: {why}", rate(limit))
            }
            Some(failed) => format!("{} did not hold: {why}", rate(failed)),
            None => why.clone(),
        });
    }
    if report.rate_per_room.is_some() && report.held_times < TIMES as u64 {
        remarks.push("it held once only: the search ended before it was tried again".to_owned());
    }
    remarks.extend(few_messages(report));
    if let Some(why) = &report.ended_early {
        remarks.push(format!("the search ended early: {why}"));
    }
    if report.interrupted {
        remarks.push("interrupted: a greater rate may hold".to_owned());
    }
    remarks
}

/// What was asserted of the rate that is told, where that rests on few messages; and what a mark in
/// the table means.
fn few_messages(report: &CapacityReport) -> Option<String> {
    let is_told = |it: &&TrialReport| Some(it.rate_per_room) == report.rate_per_room;
    let told = report.trials.iter().rev().find(is_told);
    let of_told = told.map_or(&[][..], |trial| trial.few_messages_at.as_slice());
    let is_asserted = |name: &&String| {
        report.asserted.iter().filter_map(|text| percentile(text)).any(|it| it == name.as_str())
    };
    if let Some(name) = of_told.iter().find(is_asserted) {
        return Some(format!(
            "{name} at {} has fewer than ten messages beyond it, and another run has another: give \
             a longer --duration",
            rate(report.rate_per_room.unwrap_or_default())
        ));
    }
    let is_marked =
        |it: &TrialReport| it.few_messages_at.iter().any(|it| it == "p50" || it == "p99");
    let is_marked = report.trials.iter().any(is_marked);
    is_marked.then(|| "*: with fewer than ten messages beyond".to_owned())
}

/// The percentile of latencies that is asserted of, by its name in a report.
fn percentile(assertion: &str) -> Option<&'static str> {
    match assertion.parse::<Assertion>().ok()?.figure {
        Figure::Time(Times::Latency, quantile) => match quantile {
            Quantile::P50 => Some("p50"),
            Quantile::P90 => Some("p90"),
            Quantile::P99 => Some("p99"),
            Quantile::P999 => Some("p999"),
            Quantile::Mean | Quantile::Max => None,
        },
        _ => None,
    }
}

/// Messages per second: `1,410/s`.
pub(super) fn rate(rate: f64) -> String {
    match rate < 100.0 {
        true => format!("{}/s", count(rate)),
        false => format!("{}/s", whole(rate.round() as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::SettingsReport;
    use crate::search::steps::Verdict;

    #[test]
    fn a_bound_is_no_capacity() {
        let settings = SettingsReport { rooms: 3, ..SettingsReport::default() };
        let report = |at_least| CapacityReport {
            settings: settings.clone(),
            rate_per_room: Some(1_410.0),
            messages_per_second: Some(4_230.0),
            deliveries_per_second: Some(42_300.0),
            at_least,
            ..CapacityReport::default()
        };
        assert_eq!(
            result(&report(false)),
            "capacity: 1,410/s per room, 4,230/s in all 3 rooms, 42.3 k deliveries/s"
        );
        assert!(result(&report(true)).starts_with("capacity: ≥ 1,410/s per room"));
        assert_eq!(result(&CapacityReport::default()), "nothing was measured");
        let trials = vec![TrialReport::default()];
        let none = CapacityReport { trials, ..CapacityReport::default() };
        assert_eq!(result(&none), "no rate held");
    }

    #[test]
    fn what_is_told_on_little_says_so() {
        let trial = TrialReport {
            rate_per_room: 100.0,
            p99_us: Some(1_000.0),
            few_messages_at: vec!["p99".to_owned()],
            ..TrialReport::default()
        };
        assert_eq!(trial.latency("p99").as_deref(), Some("1.00 ms *"));
        let mut report = CapacityReport {
            rate_per_room: Some(100.0),
            held_times: 1,
            asserted: vec!["p99<10ms".to_owned()],
            trials: vec![trial],
            ..CapacityReport::default()
        };
        let said = remarks(&report);
        assert!(said[0].contains("held once only"), "{said:?}");
        assert!(said[1].contains("p99 at 100/s has fewer than ten messages"), "{said:?}");
        (report.held_times, report.asserted) = (2, vec!["p50<10ms".to_owned()]);
        assert_eq!(remarks(&report), ["*: with fewer than ten messages beyond"]);
    }

    #[test]
    fn runs_stand_in_the_order_of_their_rates() {
        let trial = |rate_per_room, verdict| TrialReport {
            rate_per_room,
            verdict,
            p99_us: Some(2e6),
            missing_at: vec!["p99".to_owned()],
            ..TrialReport::default()
        };
        let trials = vec![trial(200.0, Verdict::Failed), trial(12.5, Verdict::Held)];
        let text = text(&CapacityReport { trials, ..CapacityReport::default() });
        let rows: Vec<_> = text.lines().filter(|line| line.contains("busy")).collect();
        assert!(rows[0].trim_start().starts_with("12.5/s") && rows[0].ends_with("holds"), "{text}");
        assert!(rows[1].contains("200/s") && rows[1].contains("> 2.00 s"), "{text}");
    }
}
