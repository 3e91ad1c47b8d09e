//! What became of the rows and of their goals.

use serde::Serialize;

use super::goal::{Goal, Verdict};
use crate::compare::table::Spread;

/// What became of one row.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(super) name: &'static str,
    pub(super) title: String,
    pub(super) rounds: usize,
    pub(super) lines: Vec<Line>,
    /// Why figures are missing.
    pub(super) remarks: Vec<String>,
}

/// What became of one goal.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) what: String,
    pub(super) target: String,
    pub(super) figure: String,
    pub(super) spread: Option<Spread>,
    pub(super) verdict: Verdict,
}

impl Goal {
    /// With `is_open`, some round leaves open whether it is met, and has no figure for that.
    pub(super) fn line(&self, what: String, figures: &[f64], is_open: bool) -> Line {
        let spread = Spread::of(figures.iter().copied());
        let figure = spread.map_or("–".to_owned(), |it| {
            let [least, median, most] =
                [it.min, it.median, it.max].map(|value| self.unit.format(value));
            if figures.len() < 2 { median } else { format!("{median} ({least} … {most})") }
        });
        let verdict = if is_open { Verdict::Undecided } else { self.judge(spread) };
        eprintln!("    {what}: {figure}: {}", verdict.word());
        Line { what, target: self.target(), figure, spread, verdict }
    }
}

/// `row: goal` of everything that was missed.
pub(crate) fn missed(outcomes: &[Outcome]) -> Vec<String> {
    named(outcomes, Verdict::Missed)
}

/// The same of everything that rounds do not agree on.
pub(crate) fn undecided(outcomes: &[Outcome]) -> Vec<String> {
    named(outcomes, Verdict::Undecided)
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
mod tests {
    use super::*;
    use crate::compare::targets::goal::Unit;

    #[test]
    fn a_round_that_leaves_a_goal_open_is_not_outvoted() {
        let goal = Goal::at_most("latency", Unit::Ratio, 1.0);
        let verdict = |figures: &[f64], is_open| goal.line(String::new(), figures, is_open).verdict;
        assert_eq!(verdict(&[0.9], false), Verdict::Met);
        assert_eq!(verdict(&[0.9], true), Verdict::Undecided);
        assert_eq!(verdict(&[], true), Verdict::Undecided);
        assert_eq!(verdict(&[], false), Verdict::Unmeasured);
    }
}
