//! Several reports beside each other and as one, for people.

use super::json::{LatencyReport, Report};
use crate::setup::merge::MergeArgs;
use crate::units::print::{count, percent, time, whole};

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
    let latency = |name, value| shown(name, value, missing_at);
    [
        whole(messages.published),
        whole(messages.delivered),
        whole(messages.lost),
        latency("p50", *p50),
        latency("p99", *p99),
        latency("max", *max),
    ]
}

fn shown(name: &str, micros: Option<f64>, missing_at: &[String]) -> String {
    let more = if missing_at.iter().any(|it| it == name) { "> " } else { "" };
    micros.map_or_else(|| "n/a".to_owned(), |micros| format!("{more}{}", time(micros * 1e3)))
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
        rows.push(row(name, shown(key, value, &latency.missing_at)));
    }
    if let Some(last) = &merged.last_member {
        for (name, of) in
            [("to the last member", &last.last_us), ("first to last member", &last.skew_us)]
        {
            let at = |key, value| shown(key, value, &last.missing_at);
            let (p50, p99, max) = (at("p50", of.p50), at("p99", of.p99), at("max", of.max));
            rows.push(row(name, format!("p50 {p50}, p99 {p99}, max {max}")));
        }
    }
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
    if !were_at_once(all) {
        remarks.push("not at the same time: rates are added up all the same".to_owned());
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
    remarks
}

/// Whether each run began before another one was over.
fn were_at_once(all: &[Report]) -> bool {
    let began = all.iter().filter_map(|it| it.started_unix).max();
    let end = |it: &Report| {
        let took = it.connections.connect_seconds + it.seconds;
        it.started_unix.map(|started| started as f64 + took)
    };
    let ended = all.iter().filter_map(end).reduce(f64::min);
    began.zip(ended).is_none_or(|(began, ended)| began as f64 <= ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_different_times_are_no_sum() {
        let report = |started| Report {
            started_unix: Some(started),
            seconds: 10.0,
            latency_trusted: true,
            ..Report::default()
        };
        let merged = report(0);
        assert!(remarks(&[report(100), report(109)], &merged).is_empty());
        assert!(remarks(&[report(100), report(111)], &merged)[0].contains("not at the same time"));
    }
}
