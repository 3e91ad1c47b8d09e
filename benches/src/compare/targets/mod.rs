//! The table of targets: what the engine has to reach, and whether it does.
//!
//! A [`Row`] is a name, the goals that it has, and a function that takes one round's figures. Rows
//! stand in the files that are named after what they load: `fanout`, `curve`, `overload`,
//! `event_streams`, `idle`, `churn`, `rooms`, `cores`. They measure on a [`Site`], which starts the
//! servers in turn and refuses every run in which a message was lost.

mod churn;
mod cores;
mod curve;
mod event_streams;
mod fanout;
mod goal;
mod idle;
mod overload;
mod page;
mod probe;
mod rooms;
mod scale;
mod site;

use std::io;
use std::path::Path;

use serde::Serialize;

use super::table::Spread;
use super::{Failure, Size};
use goal::{Goal, Verdict};
pub(super) use page::{push_html, push_markdown};
pub(super) use scale::Scale;
use site::Site;

/// One line of the specification: a load, and what is expected under it.
#[derive(Debug)]
struct Row {
    /// What `--only` calls it.
    name: &'static str,
    title: &'static str,
    goals: &'static [Goal],
    /// How often at full size: more than usual where little is between the two sides, once where a
    /// round takes long and hardly varies.
    effort: Effort,
    /// One round: a figure for each goal, in their order; none where it cannot be had.
    measure: fn(&Site<'_>) -> io::Result<Vec<Option<f64>>>,
}

/// How many rounds a row needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effort {
    Once,
    Usual,
    More,
}

/// All rows, in the order in which they are measured.
const ROWS: [&Row; 18] = [
    &fanout::SATURATED,
    &curve::CURVE,
    &overload::OVERLOAD,
    &fanout::SINGLE,
    &fanout::SMALL,
    &fanout::PAYLOAD_4K,
    &fanout::PAYLOAD_64K,
    &event_streams::SINGLE,
    &event_streams::BUSY,
    &idle::IDLE,
    &idle::PINGS,
    &idle::TURN,
    &churn::DISCONNECT,
    &rooms::SPLIT,
    &rooms::MANY,
    &rooms::PUBLISH,
    &cores::SHARDS,
    &cores::HOP,
];

/// What became of one row.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    name: &'static str,
    title: String,
    rounds: usize,
    lines: Vec<Line>,
}

/// What became of one goal.
#[derive(Debug, Serialize)]
struct Line {
    what: String,
    target: String,
    figure: String,
    spread: Option<Spread>,
    verdict: Verdict,
}

/// The names that `--only` takes.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name)
}

/// Measures the rows that are asked for; all of them when none is.
pub(super) fn run(
    only: &[String],
    size: Size,
    rounds: Option<usize>,
    folder: &Path,
    failures: &mut Vec<Failure>,
) -> io::Result<Vec<Outcome>> {
    let scale = Scale::new(size);
    let mut site = Site::new(scale, folder)?;
    let is_asked = |row: &&&Row| only.is_empty() || only.iter().any(|name| name == row.name);
    let run = |row: &&Row| {
        let rounds = rounds.unwrap_or(scale.rounds(row.effort)).max(1);
        row.run(&mut site, rounds, failures)
    };
    Ok(ROWS.iter().filter(is_asked).map(run).collect())
}

impl Row {
    fn run(&self, site: &mut Site<'_>, rounds: usize, failures: &mut Vec<Failure>) -> Outcome {
        let mut figures = vec![Vec::new(); self.goals.len()];
        for round in 1..=rounds {
            eprintln!("{}: round {round} of {rounds}", self.name);
            site.begin(round);
            match (self.measure)(site) {
                Ok(round) => {
                    debug_assert_eq!(round.len(), self.goals.len(), "{}", self.name);
                    figures.iter_mut().zip(round).for_each(|(all, one)| all.extend(one));
                }
                Err(error) => {
                    eprintln!("    FAILED: {error}");
                    let (system, subject) = ("target".to_owned(), self.name.to_owned());
                    failures.push(Failure { system, subject, round, what: error.to_string() });
                }
            }
        }
        let goals = self.goals.iter().zip(figures);
        let lines = goals.map(|(goal, all)| goal.line(site.scale.fill(goal.what), &all)).collect();
        Outcome { name: self.name, title: site.scale.fill(self.title), rounds, lines }
    }
}

impl Goal {
    fn line(&self, what: String, figures: &[f64]) -> Line {
        let spread = Spread::of(figures.iter().copied());
        let figure = spread.map_or("–".to_owned(), |it| {
            let [least, median, most] =
                [it.min, it.median, it.max].map(|value| self.unit.format(value));
            if figures.len() < 2 { median } else { format!("{median} ({least} … {most})") }
        });
        let verdict = self.judge(spread.map(|spread| spread.median));
        eprintln!("    {what}: {figure}: {}", verdict.word());
        Line { what, target: self.target(), figure, spread, verdict }
    }
}

/// `row: goal` of everything that was missed.
pub(super) fn missed(outcomes: &[Outcome]) -> Vec<String> {
    named(outcomes, Verdict::Missed)
}

/// The same of everything of which there is no figure.
pub(super) fn unmeasured(outcomes: &[Outcome]) -> Vec<String> {
    named(outcomes, Verdict::Unmeasured)
}

fn named(outcomes: &[Outcome], verdict: Verdict) -> Vec<String> {
    let of_row = |row: &Outcome| {
        let lines = row.lines.iter().filter(|line| line.verdict == verdict);
        lines.map(|line| format!("{}: {}", row.name, line.what)).collect::<Vec<_>>()
    };
    outcomes.iter().flat_map(of_row).collect()
}

#[cfg(test)]
pub(super) fn sample() -> Vec<Outcome> {
    let goal = fanout::SATURATED.goals[0];
    let line = goal.line(goal.what.to_owned(), &[7e6, 6e6, 9e6]);
    vec![Outcome {
        name: "saturated",
        title: "one <room>".to_owned(),
        rounds: 3,
        lines: vec![line],
    }]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_have_names_of_their_own() {
        assert_eq!(names().collect::<BTreeSet<_>>().len(), ROWS.len());
    }

    #[test]
    fn the_median_of_all_rounds_is_judged() {
        assert_eq!(missed(&sample()), ["saturated: deliveries per second"]);
        assert!(unmeasured(&sample()).is_empty());
        assert_eq!(sample()[0].lines[0].figure, "7.00 M/s (6.00 M/s … 9.00 M/s)");
    }
}
