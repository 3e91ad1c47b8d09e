//! The figures as one page that needs nothing else: for a screen of any width, and for paper.

use super::charts::charts;
use super::remarks::remarks;
use super::table::{Section, headline, sections};
use crate::lead::record::Figures;
use crate::setup::args::command_line;
use crate::units::print::bytes;

pub(crate) fn page(figures: &Figures) -> String {
    let name = figures.shared.plan.scenario.name();
    let mut body = format!(
        "<h1>corecast load: {name}</h1>\n<p>{}</p>\n",
        keep_units(&escape(&headline(figures)))
    );
    for remark in remarks(figures) {
        body.push_str(&format!("<p class=\"remark\">{}</p>\n", escape(&remark)));
    }
    body.push_str("<div class=\"charts\">\n");
    for chart in charts(figures) {
        body.push_str(&chart.svg());
    }
    body.push_str("</div>\n<div class=\"tables\">\n");
    for section in sections(figures) {
        push_section(&mut body, &section);
    }
    body.push_str("</div>\n");
    body.push_str(&origin(figures));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>corecast load: {name}</title>\n<style>\n{STYLE}</style>\n<main>\n{body}</main>\n\
         </html>\n"
    )
}

fn push_section(body: &mut String, section: &Section) {
    body.push_str(&format!("<section><h3>{}</h3><table>\n", escape(section.title)));
    for (name, value) in &section.rows {
        body.push_str(&format!(
            "<tr><th>{}</th><td>{}</td></tr>\n",
            escape(name.trim_end()),
            keep_units(&escape(value))
        ));
    }
    body.push_str("</table></section>\n");
}

/// Where the figures come from, so that they can be made again.
fn origin(figures: &Figures) -> String {
    let machine = &figures.machine;
    let command = command_line().join(" ");
    format!(
        "<footer><p>corecast {} on {}, {} cores, {} of memory, {}. Measured for {:.1} s.</p>\n\
         <p><code>{}</code></p></footer>\n",
        env!("CARGO_PKG_VERSION"),
        escape(&machine.cpu),
        machine.cores,
        bytes(machine.memory_bytes as f64),
        escape(&machine.kernel),
        figures.seconds(),
        escape(&command)
    )
}

/// Lets no line end between a number and what it counts.
fn keep_units(text: &str) -> String {
    let mut out = String::new();
    for part in text.split_inclusive(' ') {
        match part.strip_suffix(' ') {
            Some(word) if word.ends_with(|c: char| c.is_ascii_digit()) => {
                out.push_str(word);
                out.push_str("&nbsp;");
            }
            _ => out.push_str(part),
        }
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const STYLE: &str = include_str!("page.css");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(escape(r#"<a b="1">&"#), "&lt;a b=&quot;1&quot;&gt;&amp;");
    }

    #[test]
    fn numbers_stay_with_their_units() {
        assert_eq!(keep_units("p50 4 ms, max 5 ms"), "p50&nbsp;4&nbsp;ms, max 5&nbsp;ms");
    }

    #[test]
    fn the_style_fetches_nothing() {
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
