//! Many rooms: what the number of rooms costs a delivery, a publish, and memory.

use std::io;

use super::fanout::AN_EPOLL_LOOP;
use super::goal::{Goal, Unit};
use super::row::Row;
use super::scale::Effort;
use super::site::{Side, Site, ratio};
use crate::floor::Means;
use crate::load::{Broadcast, Crowd, Pace};

/// Deliveries per second at which neither side puts two messages into one send.
const DELIVERIES: f64 = 60_000.0;
/// Messages per second of the large room at most.
const ONE_RATE: f64 = 50.0;
/// Small rooms that are published to, of all that there are.
const BUSY_ROOMS: usize = 1000;
/// Shards on which a room has members, on average, when three members choose between two shards.
const PARTS: f64 = 1.75;
/// Members of a small room.
const FEW: usize = 3;

pub(super) const SPLIT: Row = Row {
    name: "split",
    title: "one room of {crowd} against 50 rooms that share these members",
    goals: &[
        Goal::shown("CPU per delivery, one room", Unit::Time),
        Goal::shown("one room ÷ 50 rooms", Unit::Ratio),
        Goal::at_most("the dearer ÷ the cheaper", Unit::Ratio, 1.10),
    ],
    effort: Effort::Usual,
    measure: |site| {
        let members = site.scale.crowd;
        let rooms = [1, 50.min(members / 4)];
        let pace = Pace::Rate((DELIVERIES / members as f64).min(ONE_RATE));
        let load = |rooms| Broadcast { members, rooms, ..site.scale.room(128, pace) };
        let sides = [Side::engine(1), Side::engine(1)];
        let seen = site.each(&sides, |index, running| running.broadcast(&load(rooms[index])))?;
        let share = ratio(seen[0].cpu, seen[1].cpu);
        let dearer = share.map(|share| share.max(1.0 / share));
        Ok(vec![seen[0].cpu, share, dearer])
    },
};

pub(super) const MANY: Row = Row {
    name: "many-rooms",
    title: "1,000 rooms of 3, 1 message/s each from 10 publishers, on the same two cores; memory of \
            {rooms}",
    goals: &[
        Goal::shown("CPU per delivery, 2 shards", Unit::Time),
        Goal::shown("CPU per delivery, 1 shard", Unit::Time),
        Goal::at_most("1 shard ÷ floor, an epoll loop", Unit::Ratio, 1.10),
        Goal::at_most("2 shards ÷ floor, an epoll loop", Unit::Ratio, 1.10),
        Goal::at_most("1 shard ÷ baseline, 1 thread", Unit::Ratio, 1.0),
        Goal::at_most("2 shards ÷ baseline, 2 threads", Unit::Ratio, 1.0),
        Goal::at_most("memory per room and shard", Unit::Bytes, 512.0),
    ],
    effort: Effort::Usual,
    measure: |site| {
        let rooms = site.scale.rooms.min(BUSY_ROOMS);
        let load = Broadcast {
            members: rooms * FEW,
            rooms,
            publishers: 10.min(rooms),
            ..site.scale.room(128, Pace::Rate(1.0))
        };
        let floor = Side::floor(Means::Send).with(&AN_EPOLL_LOOP);
        let sides =
            [Side::engine(2), Side::engine(1), floor, Side::baseline_on(1), Side::baseline_on(2)];
        let sides = sides.map(|side| side.on(2));
        let seen = site.each(&sides, |_, running| running.broadcast(&load))?;
        let [two, one, floor, thread, threads] = [0, 1, 2, 3, 4].map(|index| seen[index].cpu);
        Ok(vec![
            two,
            one,
            ratio(one, floor),
            ratio(two, floor),
            ratio(one, thread),
            ratio(two, threads),
            memory_per_part(site)?,
        ])
    },
};

pub(super) const PUBLISH: Row = Row {
    name: "publish",
    title: "10 rooms of 3, 20 messages/s each, while others sit in 10 or in {rooms} rooms",
    goals: &[
        Goal::shown("CPU per delivery beside 10 rooms", Unit::Time),
        Goal::at_most("beside {rooms} rooms ÷ beside 10", Unit::Ratio, 1.10),
    ],
    effort: Effort::Usual,
    measure: |site| {
        let load = Broadcast { members: 30, rooms: 10, ..site.scale.room(128, Pace::Rate(20.0)) };
        let rooms = [10, site.scale.rooms];
        let sides = [(); 2].map(|()| Side::engine(2).with(&["--ping-interval", "0"]));
        let seen = site.each(&sides, |index, running| {
            let crowd = Crowd { connections: site.scale.rooms, rooms: rooms[index] };
            let _held = running.hold_beside(crowd)?;
            running.broadcast(&load)
        })?;
        Ok(vec![seen[0].cpu, ratio(seen[1].cpu, seen[0].cpu)])
    },
};

/// The same connections in many rooms and in one: what is left is the rooms'.
fn memory_per_part(site: &Site<'_>) -> io::Result<Option<f64>> {
    let rooms = [site.scale.rooms, 1];
    let sides = [(); 2].map(|()| Side::engine(2).with(&["--ping-interval", "0"]));
    let held = site.each(&sides, |index, running| {
        let crowd = Crowd { connections: site.scale.rooms * FEW, rooms: rooms[index] };
        running.hold(crowd, site.scale.rest)
    })?;
    let memory =
        |index: usize| held[index].server.as_ref().map(|server| server.rss_end_bytes as f64);
    let growth = memory(0).zip(memory(1)).map(|(many, one)| many - one);
    Ok(ratio(growth, Some((rooms[0] - rooms[1]) as f64 * PARTS)))
}
