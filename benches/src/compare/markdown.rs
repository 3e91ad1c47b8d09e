//! The report as Markdown, which is also what is printed.

use std::fmt::Write as _;

use super::Report;
use super::metric::Metric;
use super::table::{Column, Spread, Table};
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
        let super::Failure { system, subject, round, what } = failure;
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
        let ratios = (1..table.systems.len()).map(|other| ratio(table.ratio(metric, other)));
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

/// A rate at which the generator was the limit is a lower bound.
pub(super) fn figure(column: &Column, metric: Metric) -> String {
    let Some(Spread { min, median, max }) = column.spread(metric) else { return "–".to_owned() };
    let bound = metric == Metric::DeliveriesPerSecond && column.limited > 0;
    let sign = if bound { "≥ " } else { "" };
    let [min, median, max] = [min, median, max].map(|value| metric.format(value));
    format!("{sign}{median} ({min} … {max})")
}

pub(super) fn ratio(spread: Option<Spread>) -> String {
    let Some(Spread { min, median, max }) = spread else { return "–".to_owned() };
    let format = |value: f64| match value {
        value if value >= 9.95 => format!("{value:.1}"),
        value if value >= 0.0995 => format!("{value:.2}"),
        value => format!("{value:.4}"),
    };
    format!("**{}** ({} … {})", format(median), format(min), format(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_generator_makes_a_lower_bound() {
        let mut column = Column::default();
        column.push(Metric::DeliveriesPerSecond, 1, Some(2e6));
        assert_eq!(figure(&column, Metric::DeliveriesPerSecond), "2.00 M/s (2.00 M/s … 2.00 M/s)");
        column.limited = 1;
        assert!(figure(&column, Metric::DeliveriesPerSecond).starts_with("≥ "));
        assert_eq!(figure(&column, Metric::CpuAtHalf), "–");
    }
}
