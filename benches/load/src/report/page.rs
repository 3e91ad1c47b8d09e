//! The figures as one page that needs nothing else: for a screen of any width, and for paper.

use super::chart::Chart;
use super::charts::charts;
use super::remarks::remarks;
use super::table::{Section, headline, sections};
use crate::lead::record::Figures;
use crate::setup::args::command_line;
use crate::units::print::bytes;
use crate::watch::machine::Machine;

pub(crate) fn page(figures: &Figures) -> String {
    let mut page = Document::new(figures.shared.plan.scenario.name(), &headline(figures));
    remarks(figures).iter().for_each(|remark| page.remark(remark));
    page.charts(&charts(figures));
    page.sections(&sections(figures));
    let measured = format!("Measured for {:.1} s.", figures.seconds());
    page.finish(&figures.machine, &measured)
}

/// A page that is being written.
pub(crate) struct Document {
    name: String,
    body: String,
}

impl Document {
    /// What was done, and that in a line.
    pub(crate) fn new(name: &str, headline: &str) -> Self {
        let headline = keep_units(&escape(headline));
        let body = format!("<h1>corecast load: {name}</h1>\n<p>{headline}</p>\n");
        Self { name: name.to_owned(), body }
    }

    pub(crate) fn remark(&mut self, remark: &str) {
        self.body.push_str(&format!("<p class=\"remark\">{}</p>\n", escape(remark)));
    }

    pub(crate) fn charts(&mut self, charts: &[Chart]) {
        self.body.push_str("<div class=\"charts\">\n");
        charts.iter().for_each(|chart| self.body.push_str(&chart.svg()));
        self.body.push_str("</div>\n");
    }

    pub(crate) fn sections(&mut self, sections: &[Section]) {
        self.body.push_str("<div class=\"tables\">\n");
        sections.iter().for_each(|section| push_section(&mut self.body, section));
        self.body.push_str("</div>\n");
    }

    /// Where the figures come from ends it, with how long or often was measured.
    pub(crate) fn finish(mut self, machine: &Machine, measured: &str) -> String {
        self.body.push_str(&origin(machine, measured));
        let Self { name, body } = self;
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n\
             <title>corecast load: {name}</title>\n<style>\n{STYLE}</style>\n<main>\n{body}\
             </main>\n</html>\n"
        )
    }
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
fn origin(machine: &Machine, measured: &str) -> String {
    let command = command_line().join(" ");
    format!(
        "<footer><p>corecast {} on {}, {} cores, {} of memory, {}. {measured}</p>\n\
         <p><code>{}</code></p></footer>\n",
        env!("CARGO_PKG_VERSION"),
        escape(&machine.cpu),
        machine.cores,
        bytes(machine.memory_bytes as f64),
        escape(&machine.kernel),
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
