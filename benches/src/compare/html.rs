//! The report as one self-contained page.

use std::fmt::Write as _;

use super::chart::{self, escape};
use super::failure::Failure;
use super::figure;
use super::report::Report;
use super::table::Table;
use super::targets;

const STYLE: &str = "
body{font:16px/1.5 system-ui,sans-serif;max-width:1160px;margin:0 auto;padding:16px;color:#1a1a1a;background:#fff}
h1,h2{line-height:1.2}h2{margin-top:2em}h3{font-size:1em;margin:0 0 .4em}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 12px}dt{color:#666}dd{margin:0;overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(300px,100%),1fr));gap:24px}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:14px}
th,td{padding:4px 10px;border-bottom:1px solid #ddd;text-align:left;white-space:nowrap}
svg{width:100%;max-width:420px;height:auto;font:11px system-ui,sans-serif}
svg rect.first{fill:#0b6e99}svg rect.other{fill:#a9b4bb}svg path{stroke:#1a1a1a;fill:none}
svg path.axis{stroke:#999}svg text.axis{fill:#666;font-size:10px}
.failed{border-left:6px solid #b00020;padding:4px 12px;background:#fdecee}.note{color:#666;font-size:14px;font-weight:normal}
.targets th[colspan]{padding-top:1em}.targets th span{font-weight:normal;color:#666}
.targets td:first-child,.targets th[colspan]{white-space:normal}
@media(max-width:640px){.targets tbody,.targets tr{display:block}.targets tr:first-child{display:none}
.targets tr{display:grid;grid-template-columns:1fr max-content;border-bottom:1px solid #ddd;padding:4px 0}
.targets td,.targets th{border:0;padding:0 4px}.targets th{grid-column:1/3}.targets td:last-child{order:-1;text-align:right}
.targets td:first-child{order:-2}.targets td:nth-child(2){order:2;color:#666;text-align:right}}
.met{color:#1b7a3d}.missed{color:#b00020;font-weight:bold}.open{color:#666}
@media print{body{font-size:12px;max-width:none}.chart{break-inside:avoid}h2{break-after:avoid}}
";

pub(super) fn render(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>Corecast: comparison</title>\
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
            "<dt>figures</dt><dd>medians of {rounds} interleaved rounds (least … most)</dd>"
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
    page.push_str("<h3>Ratios, round by round</h3><div class=\"wide\"><table><tr><th></th>");
    for column in &table.systems[1..] {
        let _ = write!(page, "<th>engine ÷ {}</th>", escape(&column.system));
    }
    page.push_str("</tr>");
    for metric in table.metrics() {
        let _ = write!(page, "<tr><td>{}</td>", metric.title());
        for other in 1..table.systems.len() {
            let ratio = figure::ratio(table.ratio(metric, other)).replace("**", "");
            let _ = write!(page, "<td>{ratio}</td>");
        }
        page.push_str("</tr>");
    }
    page.push_str("</table></div>");
}
