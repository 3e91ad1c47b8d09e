//! The report as one self-contained page.

use std::fmt::Write as _;

use super::chart::{self, escape};
use super::failure::Failure;
use super::figure;
use super::report::Report;
use super::table::Table;
use super::targets;

const STYLE: &str = include_str!("page.css");

pub(super) fn render(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" \
         content=\"light dark\"><title>Corecast: comparison</title>\
         <style>{STYLE}</style></head><body><h1>Engine, baseline and floor</h1>"
    );
    if let Some(caution) = report.caution {
        let _ = write!(page, "<p class=\"failed\"><b>{}</b></p>", escape(caution));
    }
    page.push_str("<dl>");
    for (name, value) in report.machine.lines() {
        let _ = write!(page, "<dt>{name}</dt><dd>{}</dd>", escape(&value));
    }
    let command = escape(&report.command);
    let _ =
        write!(page, "<dt>command</dt><dd><code>{command}</code>, {:.0} s</dd>", report.seconds);
    if !report.tables.is_empty() {
        let rounds = report.plan.rounds;
        let _ = write!(
            page,
            "<dt>figures</dt><dd>medians of {rounds} interleaved rounds (least … most)</dd>\
             <dt>ratios</dt><dd>taken {}</dd>",
            figure::RATIOS
        );
    }
    page.push_str("</dl>");
    push_failures(&mut page, report);
    targets::push_html(&mut page, &report.targets);
    report.tables.iter().for_each(|table| push_table(&mut page, table));
    page.push_str("</body></html>\n");
    page
}

fn push_failures(page: &mut String, report: &Report) {
    if report.failures.is_empty() {
        page.push_str("<p>Every server delivered every message exactly once and in order.</p>");
        return;
    }
    page.push_str("<div class=\"failed\"><h2>Failed</h2><ul>");
    for Failure { system, subject, round, what } in &report.failures {
        let text = escape(&format!("{system}, {subject}, round {round}: {what}"));
        let _ = write!(page, "<li>{text}</li>");
    }
    page.push_str("</ul></div>");
}

fn push_table(page: &mut String, table: &Table) {
    let _ = write!(page, "<h2>{}</h2>", escape(&table.title));
    for note in &table.notes {
        let _ = write!(page, "<p class=\"note\">{}</p>", escape(note));
    }
    page.push_str("<div class=\"charts\">");
    for metric in table.metrics() {
        let better = metric.better().map_or(String::new(), |better| format!("({better})"));
        let (title, chart) = (metric.title(), chart::render(table, metric));
        let _ = write!(
            page,
            "<div class=\"chart\"><h3>{title} <span class=\"note\">{better}</span></h3>{chart}</div>"
        );
    }
    page.push_str("</div>");
    push_ratios(page, table);
}

fn push_ratios(page: &mut String, table: &Table) {
    page.push_str(
        "<h3>Ratios, round by round</h3><div class=\"wide\"><table class=\"ratios\"><tr><th></th>",
    );
    let others: Vec<String> = table.systems[1..]
        .iter()
        .map(|column| format!("engine ÷ {}", escape(&column.system)))
        .collect();
    for other in &others {
        let _ = write!(page, "<th>{other}</th>");
    }
    page.push_str("</tr>");
    for metric in table.metrics() {
        let _ = write!(page, "<tr><th>{}</th>", metric.title());
        for (other, name) in others.iter().enumerate() {
            let ratio = figure::ratio(table, metric, other + 1).replace("**", "");
            // Where there is no room for columns, each ratio has its name before it.
            let _ = write!(page, "<td data-of=\"{name}\">{ratio}</td>");
        }
        page.push_str("</tr>");
    }
    page.push_str("</table></div>");
}
