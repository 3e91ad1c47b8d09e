//! Server-Sent Events beside WebSockets: what a delivery of either kind costs, alone and together.

use std::io;

use super::goal::{Goal, Unit};
use super::row::Row;
use super::scale::Effort;
use super::site::{Side, Site, ratio};
use crate::load::{Broadcast, Pace};

/// Messages per second at which each is a send of its own, and at which a send takes several.
const SINGLE_RATE: f64 = 50.0;
const BUSY_RATE: f64 = 5_000.0;

/// An event is longer than a frame by its id and the size of its chunk.
const DEARER_MAX: f64 = 1.15;

pub(super) const SINGLE: Row = Row {
    name: "event-streams",
    title: "one room of {members} WebSockets, of {members} event streams, and of both, 50 messages/s",
    goals: &GOALS,
    effort: Effort::More,
    measure: |site| measure(site, SINGLE_RATE),
};

pub(super) const BUSY: Row = Row {
    name: "event-streams-busy",
    title: "one room of {members} WebSockets, of {members} event streams, and of both, 5,000 messages/s",
    goals: &GOALS,
    effort: Effort::More,
    measure: |site| measure(site, BUSY_RATE),
};

const GOALS: [Goal; 6] = [
    Goal::shown("CPU per delivery, WebSockets alone", Unit::Time),
    Goal::shown("CPU per delivery, event streams alone", Unit::Time),
    Goal::shown("CPU per delivery, together", Unit::Time),
    Goal::at_most("event streams ÷ WebSockets", Unit::Ratio, DEARER_MAX),
    Goal::at_most("together ÷ the mean of both alone", Unit::Ratio, DEARER_MAX),
    Goal::shown("messages per send, together", Unit::Ratio),
];

fn measure(site: &Site<'_>, rate: f64) -> io::Result<Vec<Option<f64>>> {
    let alone = site.scale.room(128, Pace::Rate(rate));
    let loads = [
        alone,
        Broadcast { event_streams: 1.0, ..alone },
        Broadcast { event_streams: 0.5, members: 2 * alone.members, ..alone },
    ];
    let sides = [Side::engine(1), Side::engine(1), Side::engine(1)];
    let seen = site.each(&sides, |index, running| running.broadcast(&loads[index]))?;
    let [sockets, streams, together] = [seen[0].cpu, seen[1].cpu, seen[2].cpu];
    let mean = sockets.zip(streams).map(|(sockets, streams)| (sockets + streams) / 2.0);
    Ok(vec![
        sockets,
        streams,
        together,
        ratio(streams, sockets),
        ratio(together, mean),
        seen[2].messages_per_send,
    ])
}
