//! The table of targets on both pages.

use std::fmt::Write as _;

use super::goal::Verdict;
use super::outcome::{Outcome, missed, undecided, unmeasured};
use crate::compare::chart::escape;

/// What is missed, in one line; none when there is nothing to say.
fn summary(outcomes: &[Outcome]) -> String {
    let list = |title: &str, goals: Vec<String>| match goals.as_slice() {
        [] => String::new(),
        goals => format!("{title}: {}. ", goals.join("; ")),
    };
    let lines = outcomes.iter().flat_map(|outcome| &outcome.lines);
    let met = lines.filter(|line| line.verdict == Verdict::Met).count();
    let missed = list("Missed", missed(outcomes));
    let undecided = list("Undecided", undecided(outcomes));
    let unmeasured = list("Not measured", unmeasured(outcomes));
    let rounds = outcomes.iter().map(|outcome| outcome.rounds);
    let (least, most) = (rounds.clone().min().unwrap_or(0), rounds.max().unwrap_or(0));
    let rounds = if least == most { most.to_string() } else { format!("{least} to {most}") };
    let figures = format!("Figures are medians of {rounds} rounds (least … most), sides in turn.");
    format!("{met} met. {missed}{undecided}{unmeasured}{figures}")
}

pub(crate) fn push_markdown(text: &mut String, outcomes: &[Outcome]) {
    if outcomes.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n## Targets\n\n{}\n", summary(outcomes));
    text.push_str("| row | what | target | figure | verdict |\n|---|---|---|---|---|\n");
    for Outcome { name, title, lines, remarks, .. } in outcomes {
        let _ = writeln!(text, "| **{name}** | {title} | | | |");
        for line in lines {
            let verdict = match line.verdict {
                Verdict::Missed => "**missed**",
                verdict => verdict.word(),
            };
            let _ = writeln!(
                text,
                "| | {} | {} | {} | {verdict} |",
                line.what, line.target, line.figure
            );
        }
        for remark in remarks {
            let _ = writeln!(text, "| | *{remark}* | | | |");
        }
    }
}

pub(crate) fn push_html(page: &mut String, outcomes: &[Outcome]) {
    if outcomes.is_empty() {
        return;
    }
    let _ = write!(page, "<h2>Targets</h2><p>{}</p>", escape(&summary(outcomes)));
    page.push_str(
        "<div class=\"wide\"><table class=\"targets\"><tr><th>what</th><th>target</th>\
         <th>figure</th><th>verdict</th></tr>",
    );
    for Outcome { name, title, lines, remarks, .. } in outcomes {
        let title = escape(title);
        let _ = write!(page, "<tr><th colspan=\"4\">{name} <span>{title}</span></th></tr>");
        for line in lines {
            let (class, word) = (class(line.verdict), line.verdict.word());
            let _ = write!(
                page,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"{class}\">{word}</td></tr>",
                escape(&line.what),
                line.target,
                line.figure
            );
        }
        for remark in remarks {
            let _ =
                write!(page, "<tr><td colspan=\"4\" class=\"open\">{}</td></tr>", escape(remark));
        }
    }
    page.push_str("</table></div>");
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::Undecided | Verdict::Unmeasured | Verdict::Shown => "open",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::targets::sample;

    #[test]
    fn what_is_missed_stands_above_the_table() {
        let (mut text, mut page) = (String::new(), String::new());
        push_markdown(&mut text, &sample());
        push_html(&mut page, &sample());
        let expected = "0 met. Missed: saturated: deliveries per second.";
        assert!(text.contains(expected) && page.contains(expected), "{text}{page}");
        assert!(text.contains("| ≥ 8.00 M/s | 7.00 M/s (6.00 M/s … 7.50 M/s) | **missed** |"));
        assert!(page.contains("one &lt;room&gt;"), "{page}");
        assert!(page.contains("<td class=\"missed\">missed</td>"), "{page}");
        assert!(text.contains("| | *round 1: a < b* |") && page.contains(">round 1: a &lt; b<"));
    }
}
