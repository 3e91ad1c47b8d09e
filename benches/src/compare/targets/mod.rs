//! The table of targets: what the engine has to reach, and whether it does.
//!
//! A [`Row`] is a name, the goals that it has, and a function that takes one round's figures. Rows
//! stand in the files that are named after what they load: `fanout`, `curve`, `overload`,
//! `event_streams`, `deflate`, `linger`, `tls`, `idle`, `churn`, `rooms`, `small_rooms`, `beside`,
//! `most`, `cores`. They measure on a [`Site`], which starts the servers in turn and refuses every run
//! in which a message was lost. `equal` says where saturated servers may be compared.

mod beside;
mod churn;
mod cores;
mod curve;
mod deflate;
mod equal;
mod event_streams;
mod fanout;
mod goal;
mod idle;
mod linger;
mod most;
mod outcome;
mod overload;
mod page;
mod probe;
mod rooms;
mod row;
mod scale;
mod site;
mod small_rooms;
mod tls;

use std::io;
use std::path::Path;

use super::failure::Failure;
use super::size::Size;
pub(super) use outcome::{Outcome, missed, undecided};
pub(super) use page::{push_html, push_markdown};
use row::Row;
use scale::Scale;
use site::Site;

/// All rows, in the order in which they are measured.
const ROWS: [&Row; 35] = [
    &fanout::SATURATED,
    &most::MOST,
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
    &small_rooms::OF_3_AT_1K,
    &small_rooms::OF_3_AT_10K,
    &small_rooms::OF_3_AT_30K,
    &small_rooms::OF_10_AT_1K,
    &small_rooms::OF_10_AT_10K,
    &small_rooms::OF_10_AT_30K,
    &beside::OF_3,
    &beside::OF_8,
    &rooms::PUBLISH,
    &cores::SHARDS,
    &cores::HOP,
];

/// Rows that `--quick` leaves out unless they are asked for: others show the same at another rate.
const NOT_QUICK: [&str; 8] = [
    "linger-50",
    "linger-1000",
    "linger-8000",
    "rooms-of-3-1k",
    "rooms-of-3-30k",
    "rooms-of-10-1k",
    "rooms-of-10-30k",
    "beside-3",
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
    let is_asked = |row: &&&Row| match only {
        [] => size != Size::Quick || !NOT_QUICK.contains(&row.name),
        only => only.iter().any(|name| name == row.name),
    };
    let run = |row: &&Row| {
        let rounds = rounds.unwrap_or(scale.rounds(row.effort)).max(1);
        row.run(&mut site, rounds, failures)
    };
    Ok(ROWS.iter().filter(is_asked).map(run).collect())
}

#[cfg(test)]
pub(super) fn sample() -> Vec<Outcome> {
    let goal = fanout::SATURATED.goals[0];
    let line = goal.line(goal.what.to_owned(), &[7e6, 6e6, 7.5e6], false);
    vec![Outcome {
        name: "saturated",
        title: "one <room>".to_owned(),
        rounds: 3,
        lines: vec![line],
        remarks: vec!["round 1: a < b".to_owned()],
    }]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::outcome::unmeasured;
    use super::*;

    #[test]
    fn rows_have_names_of_their_own() {
        let names: BTreeSet<_> = names().collect();
        assert_eq!(names.len(), ROWS.len());
        assert!(NOT_QUICK.iter().all(|name| names.contains(name)));
    }

    #[test]
    fn all_rounds_are_judged_and_the_median_is_shown() {
        assert_eq!(missed(&sample()), ["saturated: deliveries per second"]);
        assert!(unmeasured(&sample()).is_empty());
        assert_eq!(sample()[0].lines[0].figure, "7.00 M/s (6.00 M/s … 7.50 M/s)");
    }
}
