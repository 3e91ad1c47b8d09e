//! A row of the table of targets, and how it is measured.

use std::io;

use super::goal::Goal;
use super::outcome::Outcome;
use super::scale::Effort;
use super::site::Site;
use crate::compare::failure::Failure;

/// One line of the specification: a load, and what is expected under it.
#[derive(Debug)]
pub(super) struct Row {
    /// What `--only` calls it.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) goals: &'static [Goal],
    /// How often at full size: more than usual where little is between the two sides, once where a
    /// round takes long and hardly varies.
    pub(super) effort: Effort,
    /// One round: a figure for each goal, in their order; none where it cannot be had.
    pub(super) measure: fn(&Site<'_>) -> io::Result<Vec<Option<f64>>>,
}

impl Row {
    /// So many rounds, and what became of its goals.
    pub(super) fn run(
        &self,
        site: &mut Site<'_>,
        rounds: usize,
        failures: &mut Vec<Failure>,
    ) -> Outcome {
        let mut figures = vec![Vec::new(); self.goals.len()];
        for round in 1..=rounds {
            eprintln!("{}: round {round} of {rounds}", self.name);
            site.begin(round);
            match (self.measure)(site) {
                Ok(round) => {
                    debug_assert_eq!(round.len(), self.goals.len(), "{}", self.name);
                    for ((goal, all), one) in self.goals.iter().zip(&mut figures).zip(round) {
                        all.extend(one.filter(|one| is_possible(site, goal, *one)));
                    }
                }
                Err(error) => {
                    eprintln!("    FAILED: {error}");
                    let (system, subject) = ("target".to_owned(), self.name.to_owned());
                    failures.push(Failure { system, subject, round, what: error.to_string() });
                }
            }
        }
        let (goals, open) = (self.goals.iter().zip(figures), site.take_open());
        let line = |(goal, all): (&Goal, Vec<f64>)| {
            goal.line(site.scale.fill(goal.what), &all, open.contains(goal.what))
        };
        let lines = goals.map(line).collect();
        let (title, remarks) = (site.scale.fill(self.title), site.take_remarks());
        Outcome { name: self.name, title, rounds, lines, remarks }
    }
}

/// A figure that cannot be is left out, and said to be.
fn is_possible(site: &Site<'_>, goal: &Goal, figure: f64) -> bool {
    let is_possible = goal.unit.is_possible(figure);
    if !is_possible {
        let what = site.scale.fill(goal.what);
        site.remark(format!("{what}: {} is noise, no figure", goal.unit.format(figure)));
    }
    is_possible
}
