//! Several reports beside each other and as one, for people.

use super::figures::wrongs;
use super::json::{LatencyReport, Report};
use super::latency::told;
use super::{stages, windows};
use crate::setup::merge::MergeArgs;
use crate::units::print::{count, percent, whole};

const NAME_WIDTH: usize = 26;
const VALUE_WIDTH: usize = 13;
const COLUMNS: [&str; 6] = ["published", "delivered", "lost", "p50", "p99", "max"];

/// A line for each report and one for all, and what all are together.
pub(crate) fn text(args: &MergeArgs, all: &[Report], merged: &Report) -> String {
    let scenario = &merged.scenario;
    let mut out = format!("\n{} runs of {scenario}, merged\n\n", all.len());
    out.push_str(&line("", COLUMNS.map(str::to_owned)));
    for (path, report) in args.reports.iter().zip(all) {
        out.push_str(&line(&path.display().to_string(), cells(report)));
    }
    out.push_str(&line("together", cells(merged)));
    out.push('\n');
    for (name, value) in rows(merged) {
        out.push_str(&format!("  {name:<NAME_WIDTH$}{value}\n"));
    }
    for remark in remarks(all, merged) {
        out.push_str(&format!("\n! {remark}\n"));
    }
    out
}

fn line(name: &str, cells: [String; COLUMNS.len()]) -> String {
    let cells = cells.map(|cell| format!("{cell:<VALUE_WIDTH$}")).concat();
    // A long name pushes its figures aside.
    format!("  {:<NAME_WIDTH$}{}\n", format!("{name} "), cells.trim_end())
}

fn cells(report: &Report) -> [String; COLUMNS.len()] {
    let messages = &report.messages;
    let LatencyReport { p50, p99, max, .. } = &report.latency_us.latency;
    let missing_at = &report.latency_us.missing_at;
    let latency = |name, value| told(name, value, missing_at);
    [
        whole(messages.published),
        whole(messages.delivered),
        whole(messages.lost),
        latency("p50", *p50),
        latency("p99", *p99),
        latency("max", *max),
    ]
}

fn rows(merged: &Report) -> Vec<(String, String)> {
    let (messages, latency) = (&merged.messages, &merged.latency_us);
    let row = |name: &str, value: String| (name.to_owned(), value);
    let mut rows = vec![
        row("connections", whole(merged.connections.opened)),
        row("delivered", format!("{} of {}", whole(messages.delivered), whole(messages.expected))),
        row("messages per second", rates(merged)),
    ];
    let seldom = [
        ("repeated", messages.repeated),
        ("out of order", messages.disordered),
        ("damaged or misdelivered", messages.damaged),
        ("skipped, as announced", messages.skipped),
        ("cut off by a close", messages.cut_off),
        ("due but not sent", messages.unsent),
    ];
    rows.extend(seldom.iter().filter(|(_, n)| *n > 0).map(|(name, n)| row(name, whole(*n))));
    let all = &latency.latency;
    for (name, key, value) in [("p90", "p90", all.p90), ("p99.9", "p999", all.p999)] {
        rows.push(row(name, told(key, value, &latency.missing_at)));
    }
    if let Some(last) = &merged.last_member {
        for (name, of) in
            [("to the last member", &last.last_us), ("first to last member", &last.skew_us)]
        {
            let at = |key, value| told(key, value, &last.missing_at);
            let (p50, p99, max) = (at("p50", of.p50), at("p99", of.p99), at("max", of.max));
            rows.push(row(name, format!("p50 {p50}, p99 {p99}, max {max}")));
        }
    }
    if let Some(churn) = &merged.churn {
        let (left, due) = (whole(churn.left), whole(churn.due));
        let (joined, rate) = (whole(churn.joined), count(churn.rate));
        rows.push(row("members left", format!("{left} of {due} due, {rate}/s")));
        let at = |key, value| told(key, value, &churn.missing_at);
        let (p50, p99) = (at("p50", churn.joined_us.p50), at("p99", churn.joined_us.p99));
        rows.push(row("joined in their place", format!("{joined}, p50 {p50}, p99 {p99}")));
    }
    rows.extend(stages::rows(&merged.stages));
    rows.extend(merged.errors.iter().map(|(kind, n)| row(&format!("{kind} "), whole(*n))));
    rows.extend(merged.assertions.iter().map(|it| {
        let verdict = if it.holds { "holds" } else { "fails" };
        row(&format!("{} ", it.text), format!("{verdict}: {}", it.value))
    }));
    rows
}

fn rates(merged: &Report) -> String {
    let messages = &merged.messages;
    let delivered = count(messages.deliveries_per_second);
    match (messages.offered_per_second, messages.published_share) {
        (Some(offered), Some(share)) => format!(
            "offered {}/s, published {}/s ({}), delivered {delivered}/s",
            count(offered),
            count(offered * share),
            percent(share)
        ),
        _ => {
            format!("published {}/s, delivered {delivered}/s", count(messages.published_per_second))
        }
    }
}

/// What must be known to read the figures.
fn remarks(all: &[Report], merged: &Report) -> Vec<String> {
    let mut remarks = Vec::new();
    match windows::are_alike(all) {
        Some(true) => {}
        Some(false) => remarks.push(format!(
            "not at the same time: of what was measured{} less than 90 % is common to all, and \
                 rates are added up all the same",
            if merged.stages.is_empty() { "" } else { ", or of a stage," }
        )),
        None => remarks.push(
            "whether all measured at the same time is not known: a report does not say when it \
             did, and rates are added up all the same"
                .to_owned(),
        ),
    }
    if !merged.latency_trusted {
        remarks.push(
            "a generator was late itself, or limited: the latencies may not be the server's"
                .to_owned(),
        );
    }
    if all.iter().any(|it| it.last_member.is_some()) && merged.last_member.is_none() {
        remarks.push(
            "the times to the last member are not of as many messages in all reports, and left out"
                .to_owned(),
        );
    }
    if let Some(why) = &merged.ended_early {
        remarks.push(format!("a run ended early: {why}"));
    }
    if merged.interrupted {
        remarks.push("a run was interrupted".to_owned());
    }
    if let Some(stages) = stages::cut(&merged.stages) {
        remarks.push(format!("a run was over before its stages were: {stages}"));
    }
    remarks
}

/// What the exit code says of runs that nobody interrupted: the same as of one of them.
pub(crate) fn fault(args: &MergeArgs, merged: &Report) -> Option<String> {
    if let Some(why) = &merged.ended_early {
        return Some(format!("a run ended early: {why}"));
    }
    let messages = &merged.messages;
    let churn = merged.churn.as_ref();
    let wrongs = wrongs(&[
        (messages.lost, "deliveries were lost"),
        (messages.repeated, "were repeated"),
        (messages.disordered, "came out of order"),
        (messages.damaged, "were damaged"),
        (merged.connections.let_go, "connections of members or publishers ended early"),
        (churn.map_or(0, |it| it.failed), "members could not take the place of others"),
        (churn.map_or(0, |it| it.unanswered), "leaves of members were not answered"),
    ]);
    (!wrongs.is_empty() && !args.lenient)
        .then(|| format!("{} (--lenient takes that for success)", wrongs.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::json::StageReport;

    #[test]
    fn rates_of_different_times_are_no_sum() {
        let report = |from: f64| Report {
            measured_from_unix: Some(from),
            measured_to_unix: Some(from + 10.0),
            latency_trusted: true,
            ..Report::default()
        };
        let merged = report(0.0);
        assert!(remarks(&[report(100.0), report(100.5)], &merged).is_empty());
        let apart = remarks(&[report(100.0), report(105.0)], &merged);
        assert!(apart[0].contains("not at the same time"), "{apart:?}");
        let unknown = Report { measured_from_unix: None, ..report(100.0) };
        let unknown = remarks(&[report(100.0), unknown], &merged);
        assert!(unknown[0].contains("is not known"), "{unknown:?}");
    }

    /// Runs that are nearly at the same time may be in different stages.
    #[test]
    fn stages_of_different_times_are_no_sum() {
        let stage = |seconds, measured_seconds| StageReport {
            seconds,
            measured_seconds,
            ..StageReport::default()
        };
        let report = |from: f64, stages: [StageReport; 2]| Report {
            measured_from_unix: Some(from),
            measured_to_unix: Some(from + 10.0),
            latency_trusted: true,
            stages: stages.into(),
            ..Report::default()
        };
        let stages = || [stage(9.5, 9.5), stage(0.5, 0.5)];
        let (first, merged) = (report(100.0, stages()), report(0.0, stages()));
        assert_eq!(remarks(&[first.clone(), report(100.04, stages())], &merged), [""; 0]);
        let apart = remarks(&[first.clone(), report(100.1, stages())], &merged);
        assert!(apart[0].contains("of what was measured, or of a stage, less"), "{apart:?}");
        let merged = report(0.0, [stage(9.5, 2.0), stage(0.5, 0.0)]);
        let cut = remarks(&[first.clone(), first], &merged);
        let words = "a run was over before its stages were: stage 1 ended after 2.0 s, stage 2 not \
                     begun";
        assert_eq!(cut, [words]);
    }

    #[test]
    fn faults_of_any_run_are_those_of_all() {
        let args =
            |lenient| MergeArgs { reports: Vec::new(), json: None, assert: Vec::new(), lenient };
        let mut merged = Report::default();
        assert_eq!(fault(&args(false), &merged), None);
        (merged.messages.lost, merged.connections.let_go) = (3, 1);
        let why = fault(&args(false), &merged).unwrap();
        assert!(why.starts_with("3 deliveries were lost, 1 connections of members"), "{why}");
        assert_eq!(fault(&args(true), &merged), None);
        merged.ended_early = Some("nobody could connect in wave 2".to_owned());
        assert!(fault(&args(true), &merged).is_some_and(|why| why.contains("wave 2")));
    }
}
