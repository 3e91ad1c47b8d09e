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
