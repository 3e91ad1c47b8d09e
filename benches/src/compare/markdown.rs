//! The report as Markdown, which is also what is printed.

use std::fmt::Write as _;

use super::failure::Failure;
use super::figure::{RATIOS, figure, ratio};
use super::report::Report;
use super::table::{Column, Table};
use super::targets;

pub(super) fn render(report: &Report) -> String {
    let mut text = String::from("# Comparison\n\n");
    if let Some(caution) = report.caution {
        let _ = writeln!(text, "**{caution}**\n");
    }
    for (name, value) in report.machine.lines() {
        let _ = writeln!(text, "- {name}: {value}");
    }
    let _ = writeln!(text, "- command: `{}`, {:.0} s", report.command, report.seconds);
    if !report.tables.is_empty() {
        let rounds = report.plan.rounds;
        let _ =
            writeln!(text, "- figures are medians of {rounds} interleaved rounds (least … most)");
        let _ = writeln!(text, "- ratios are taken {RATIOS}");
    }
    push_failures(&mut text, report);
    targets::push_markdown(&mut text, &report.targets);
    report.tables.iter().for_each(|table| push_table(&mut text, table));
    text
}

fn push_failures(text: &mut String, report: &Report) {
    if report.failures.is_empty() {
        text.push_str("- every server delivered every message exactly once and in order\n");
        return;
    }
    text.push_str("\n**FAILED: a server that does not deliver every message has no speed.**\n\n");
    for failure in &report.failures {
        let Failure { system, subject, round, what } = failure;
        let _ = writeln!(text, "- **{system}**, {subject}, round {round}: {what}");
    }
}

fn push_table(text: &mut String, table: &Table) {
    let _ = writeln!(text, "\n## {}\n", table.title);
    table.notes.iter().for_each(|note| {
        let _ = writeln!(text, "{note}\n");
    });
    let names = || table.systems.iter().map(heading);
    let ratios = table.systems[1..].iter().map(|column| format!("engine ÷ {}", column.system));
    let heads: Vec<String> = names().chain(ratios).collect();
    let _ = writeln!(text, "| | {} |", heads.join(" | "));
    let _ = writeln!(text, "|---|{}", "---|".repeat(heads.len()));
    for metric in table.metrics() {
        let figures = table.systems.iter().map(|column| figure(column, metric));
        let ratios = (1..table.systems.len()).map(|other| ratio(table, metric, other));
        let cells: Vec<String> = figures.chain(ratios).collect();
        let _ = writeln!(text, "| {} | {} |", metric.title(), cells.join(" | "));
    }
}

fn heading(column: &Column) -> String {
    match column.failed {
        true => format!("{} **FAILED**", column.system),
        false => column.system.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::metric::Metric;

    /// 3 rounds of an engine, a baseline beside which the generator hardly matters, a registry that
    /// is far behind, and a floor that is as fast.
    #[test]
    fn ratios_of_latencies_stand_beside_them() {
        let names = ["engine", "baseline", "registry", "floor"].map(String::from);
        let mut table = Table::new("one room".to_owned(), names.into_iter());
        let metric = Metric::MedianAt(500);
        let systems = [(4.3, 3.9), (5.4, 5.0), (48.0, 12.0), (4.4, 3.6)];
        for (column, (measured, least)) in table.systems.iter_mut().zip(systems) {
            for (round, noise) in [(1, 1.00), (2, 1.02), (3, 0.98)] {
                column.push(metric, round, Some(measured * noise / 1e3));
                column.push_least(metric, round, least * noise / 1e3);
            }
        }
        let mut text = String::new();
        push_table(&mut text, &table);
        let expected = "
## one room

| | engine | baseline | registry | floor | engine ÷ baseline | engine ÷ registry | engine ÷ floor |
|---|---|---|---|---|---|---|---|
| latency at 500 messages/s, median | 4.30 ms (4.21 ms … 4.39 ms) | 5.40 ms (5.29 ms … 5.51 ms) | \
≤ 48.0 ms (47.0 ms … 49.0 ms) | ≤ 4.40 ms (4.31 ms … 4.49 ms) | **0.80** (0.72 … 0.86) | \
≤ **0.36** | undecided (0.88 … 1.20) |
";
        assert_eq!(text, expected);
    }
}
