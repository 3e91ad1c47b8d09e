//! Very many small rooms, on one shard and on two, placed and not: what a second core costs, beside
//! the usual design on as many threads and an epoll loop that reads and sends the same.
//!
//! Two shards need both cores of a small machine, so that the load shares them. So all sides of a
//! row get the same two cores.

use std::io;

use super::fanout::AN_EPOLL_LOOP;
use super::goal::{Goal, Unit};
use super::row::Row;
use super::scale::Effort;
use super::site::{Seen, Side, Site, ratio};
use crate::floor::Means;
use crate::load::{Broadcast, Pace};

/// Two shards ÷ one, and one shard ÷ an epoll loop.
const SAME: f64 = 1.10;

/// A shard takes over connections up to so many times the mean.
const FULLEST_MAX: f64 = 1.25;

/// Cores of every side.
const CORES: usize = 2;

/// Rooms, and the members of each.
const OF_3: (usize, usize) = (1000, 3);
const OF_10: (usize, usize) = (300, 10);

pub(super) const OF_3_AT_1K: Row = Row {
    name: "rooms-of-3-1k",
    title: "1,000 rooms of 3, 1,000 messages/s in total, all sides on the same two cores",
    measure: |site| measure(site, OF_3, 1_000.0),
    ..SMALL_ROOMS
};

pub(super) const OF_3_AT_10K: Row = Row {
    name: "rooms-of-3-10k",
    title: "1,000 rooms of 3, 10,000 messages/s in total, all sides on the same two cores",
    measure: |site| measure(site, OF_3, 10_000.0),
    ..SMALL_ROOMS
};

pub(super) const OF_3_AT_30K: Row = Row {
    name: "rooms-of-3-30k",
    title: "1,000 rooms of 3, 30,000 messages/s in total, all sides on the same two cores",
    measure: |site| measure(site, OF_3, 30_000.0),
    ..SMALL_ROOMS
};

pub(super) const OF_10_AT_1K: Row = Row {
    name: "rooms-of-10-1k",
    title: "300 rooms of 10, 1,000 messages/s in total, all sides on the same two cores",
    measure: |site| measure(site, OF_10, 1_000.0),
    ..SMALL_ROOMS
};

pub(super) const OF_10_AT_10K: Row = Row {
    name: "rooms-of-10-10k",
    title: "300 rooms of 10, 10,000 messages/s in total, all sides on the same two cores",
    measure: |site| measure(site, OF_10, 10_000.0),
    ..SMALL_ROOMS
};

pub(super) const OF_10_AT_30K: Row = Row {
    name: "rooms-of-10-30k",
    title: "300 rooms of 10, 30,000 messages/s in total, all sides on the same two cores",
    measure: |site| measure(site, OF_10, 30_000.0),
    ..SMALL_ROOMS
};

/// What all these rows have in common.
const SMALL_ROOMS: Row =
    Row { name: "", title: "", goals: &GOALS, effort: Effort::Usual, measure: |_| Ok(Vec::new()) };

const GOALS: [Goal; 27] = [
    Goal::at_most("CPU per delivery, 2 shards placed ÷ 1 shard", Unit::Ratio, SAME),
    Goal::at_most("latency, 99 %, 2 shards placed ÷ 1 shard", Unit::Ratio, SAME),
    Goal::at_most("CPU per delivery, 1 shard ÷ floor, an epoll loop", Unit::Ratio, SAME),
    Goal::at_most("CPU per delivery, 1 shard ÷ baseline, 1 thread", Unit::Ratio, 1.0),
    Goal::at_most("CPU per delivery, 2 shards placed ÷ baseline, 2 threads", Unit::Ratio, 1.0),
    Goal::at_most("CPU per delivery, 2 shards unplaced ÷ baseline, 2 threads", Unit::Ratio, 1.0),
    Goal::at_most("connections of the fullest shard ÷ mean, placed", Unit::Ratio, FULLEST_MAX),
    Goal::shown("CPU per delivery, 2 shards unplaced ÷ 1 shard", Unit::Ratio),
    Goal::shown("connections of the fullest shard ÷ mean, unplaced", Unit::Ratio),
    Goal::shown("1 shard: CPU per delivery", Unit::Time),
    Goal::shown("1 shard: latency, 50 %", Unit::Time),
    Goal::shown("1 shard: latency, 99 %", Unit::Time),
    Goal::shown("2 shards unplaced: CPU per delivery", Unit::Time),
    Goal::shown("2 shards unplaced: latency, 50 %", Unit::Time),
    Goal::shown("2 shards unplaced: latency, 99 %", Unit::Time),
    Goal::shown("2 shards placed: CPU per delivery", Unit::Time),
    Goal::shown("2 shards placed: latency, 50 %", Unit::Time),
    Goal::shown("2 shards placed: latency, 99 %", Unit::Time),
    Goal::shown("baseline, 1 thread: CPU per delivery", Unit::Time),
    Goal::shown("baseline, 1 thread: latency, 50 %", Unit::Time),
    Goal::shown("baseline, 1 thread: latency, 99 %", Unit::Time),
    Goal::shown("baseline, 2 threads: CPU per delivery", Unit::Time),
    Goal::shown("baseline, 2 threads: latency, 50 %", Unit::Time),
    Goal::shown("baseline, 2 threads: latency, 99 %", Unit::Time),
    Goal::shown("floor: CPU per delivery", Unit::Time),
    Goal::shown("floor: latency, 50 %", Unit::Time),
    Goal::shown("floor: latency, 99 %", Unit::Time),
];

const SIDES: [&str; 6] = [
    "1 shard",
    "2 shards unplaced",
    "2 shards placed",
    "baseline, 1 thread",
    "baseline, 2 threads",
    "floor",
];

/// Which of the sides is which.
const UNPLACED: usize = 1;
const PLACED: usize = 2;

fn measure(
    site: &Site<'_>,
    (rooms, each): (usize, usize),
    rate: f64,
) -> io::Result<Vec<Option<f64>>> {
    let pace = Pace::Rate(rate / rooms as f64);
    let rooms = rooms.min(site.scale.rooms);
    // One publisher each, so that it can be placed like the members.
    let load =
        Broadcast { members: rooms * each, rooms, publishers: rooms, ..site.scale.room(128, pace) };
    let sides = [
        Side::engine(1).on(CORES),
        Side::engine(2).on(CORES),
        Side::engine(2).on(CORES),
        Side::baseline_on(1).on(CORES),
        Side::baseline_on(2).on(CORES),
        Side::floor(Means::Send).with(&AN_EPOLL_LOOP).on(CORES),
    ];
    let measured = site.each(&sides, |index, running| match index {
        UNPLACED | PLACED => {
            let load = Broadcast { place: index == PLACED, ..load };
            let (seen, fullest) = running.broadcast_balanced(&load)?;
            Ok((seen, Some(fullest)))
        }
        _ => Ok((running.broadcast(&load)?, None)),
    })?;
    for (name, (seen, _)) in SIDES.iter().zip(&measured) {
        site.doubt(name, seen);
    }
    let [placed, one] = [PLACED, 0].map(|index| &measured[index].0);
    let latency = site.latency_ratio(&GOALS[1], [placed, one], 0.99);
    Ok(figures(&measured, latency))
}

fn figures(measured: &[(Seen, Option<f64>)], latency: Option<f64>) -> Vec<Option<f64>> {
    let [one, unplaced, placed, thread, threads, floor] =
        [0, UNPLACED, PLACED, 3, 4, 5].map(|index| &measured[index].0);
    let shares = [
        ratio(placed.cpu, one.cpu),
        latency,
        ratio(one.cpu, floor.cpu),
        ratio(one.cpu, thread.cpu),
        ratio(placed.cpu, threads.cpu),
        ratio(unplaced.cpu, threads.cpu),
        measured[PLACED].1,
        ratio(unplaced.cpu, one.cpu),
        measured[UNPLACED].1,
    ];
    let each = measured.iter().flat_map(|(seen, _)| [seen.cpu, seen.p50(), seen.p99()]);
    shares.into_iter().chain(each).collect()
}
