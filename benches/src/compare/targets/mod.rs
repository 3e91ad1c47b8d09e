//! The table of targets: what the engine has to reach, and whether it does.
//!
//! A [`Row`] is a name, the goals that it has, and a function that takes one round's figures. Rows
//! stand in the files that are named after what they load: `fanout`, `curve`, `overload`,
//! `event_streams`, `deflate`, `linger`, `tls`, `idle`, `churn`, `rooms`, `cores`. They measure on a
//! [`Site`], which starts the servers in turn and refuses every run in which a message was lost.

mod churn;
mod cores;
mod curve;
mod deflate;
mod event_streams;
mod fanout;
mod goal;
mod idle;
mod linger;
mod outcome;
mod overload;
mod page;
mod probe;
mod rooms;
mod row;
mod scale;
mod site;
mod tls;

use std::io;
use std::path::Path;

use super::failure::Failure;
use super::size::Size;
pub(super) use outcome::{Outcome, missed};
pub(super) use page::{push_html, push_markdown};
use row::Row;
use scale::Scale;
use site::Site;

/// All rows, in the order in which they are measured.
const ROWS: [&Row; 26] = [
    &fanout::SATURATED,
    &curve::CURVE,
    &overload::OVERLOAD,
    &fanout::SINGLE,
    &fanout::SMALL,
    &fanout::PAYLOAD_4K,
    &fanout::PAYLOAD_64K,
    &event_streams::SINGLE,
    &event_streams::BUSY,
    &deflate::SINGLE,
    &deflate::BUSY,
    &linger::FEW,
    &linger::SOME,
    &linger::MANY,
    &linger::BUSY,
    &tls::WSS,
    &tls::IDLE,
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

    use super::outcome::unmeasured;
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
