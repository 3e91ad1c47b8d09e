//! The report as Markdown, which is also what is printed.

use std::fmt::Write as _;

use super::failure::Failure;
use super::figure::{figure, ratio};
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
