//! What a delivery costs, against the floor that does nothing but the sends.

use std::io;

use super::equal::{cpu_share, rate_share};
use super::goal::{Goal, Unit};
use super::row::Row;
use super::scale::Effort;
use super::site::{Seen, Side, Site, ratio};
use crate::floor::Means;
use crate::load::{Broadcast, Pace};

/// Messages that may be under way at saturation.
const WINDOW: usize = 256;
/// Messages per second that are offered beside the closed loop.
const OFFERED: f64 = 15_000.0;
/// One message per send: everybody sleeps most of the time.
const SINGLE_RATE: f64 = 50.0;

/// Flags of a floor that sends what one wait has brought, as few calls as can be.
pub(super) const AN_EPOLL_LOOP: [&str; 2] = ["--sends-after", "turn"];

pub(super) const SATURATED: Row = Row {
    name: "saturated",
    title: "one room of {members}, 128 bytes, one shard, as fast as it goes",
    goals: &[
        Goal::at_least("deliveries per second", Unit::PerSecond, 8e6),
        Goal::at_most("CPU per delivery", Unit::Time, 90e-9),
        Goal::at_least("deliveries per second ÷ floor's", Unit::Ratio, 0.85),
        Goal::at_least("floor's CPU per delivery ÷ engine's", Unit::Ratio, 0.85),
        Goal::at_least("deliveries per second at 15,000 messages/s offered", Unit::PerSecond, 10e6),
        Goal::shown("messages per send", Unit::Ratio),
        Goal::shown("floor's messages per send", Unit::Ratio),
    ],
    effort: Effort::More,
    measure: |site| {
        let room = |window| site.scale.room(128, Pace::Window(window));
        let sides = [Side::engine(1), Side::floor(Means::Send)];
        let seen = site.each(&sides, |_, running| running.broadcast(&room(WINDOW)))?;
        let (engine, floor) = (&seen[0], &seen[1]);
        let offered = site.start(&sides[0])?;
        let offered = offered.flood(&site.scale.flood(OFFERED))?;
        Ok(vec![
            Some(engine.rate()),
            engine.cpu,
            rate_share(site, engine, floor),
            cpu_share(site, (engine, floor), room, WINDOW, &sides[1])?,
            Some(offered.rate()),
            engine.messages_per_send,
            floor.messages_per_send,
        ])
    },
};

pub(super) const SINGLE: Row = Row {
    name: "single",
    title: "one room of {members}, 50 messages/s: one message per send",
    goals: &[
        Goal::shown("CPU per delivery", Unit::Time),
        Goal::at_most("with plain sends ÷ floor with send", Unit::Ratio, 1.10),
        Goal::at_most("with batched sends ÷ floor with send", Unit::Ratio, 1.0),
        Goal::shown("with batched sends ÷ floor with a ring", Unit::Ratio),
        Goal::shown("messages per send", Unit::Ratio),
    ],
    effort: Effort::More,
    measure: |site| {
        let floor = |means| Side::floor(means).with(&AN_EPOLL_LOOP);
        let mut sides = vec![Side::engine(1), floor(Means::Send), floor(Means::Uring)];
        if site.has_means {
            sides.push(Side::engine(1).with(&["--sends", "plain"]));
            sides.push(Side::engine(1).with(&["--sends", "ring"]));
        }
        let room = site.scale.room(128, Pace::Rate(SINGLE_RATE));
        let seen = site.each(&sides, |_, running| running.broadcast(&room))?;
        let cpu = |index: usize| seen.get(index).and_then(|seen| seen.cpu);
        let (send, ring) = (cpu(1), cpu(2));
        // An engine without the flag sends plainly.
        let plain = if site.has_means { cpu(3) } else { cpu(0) };
        let per_send = seen[0].messages_per_send;
        Ok(vec![cpu(0), ratio(plain, send), ratio(cpu(4), send), ratio(cpu(4), ring), per_send])
    },
};

pub(super) const SMALL: Row = Row {
    name: "small",
    title: "one room of 10, 200 messages/s: waking up dominates",
    goals: &[
        Goal::at_most("CPU per delivery", Unit::Time, 25e-6),
        Goal::at_most("÷ floor, an epoll loop", Unit::Ratio, 1.10),
        Goal::at_most("÷ baseline", Unit::Ratio, 1.0),
    ],
    effort: Effort::More,
    measure: |site| {
        let room = Broadcast { members: 10, ..site.scale.room(128, Pace::Rate(200.0)) };
        let floor = Side::floor(Means::Send).with(&AN_EPOLL_LOOP);
        let sides = [Side::engine(1), floor, Side::baseline_on(1)];
        let seen = site.each(&sides, |_, running| running.broadcast(&room))?;
        let ratios = [1, 2].map(|other: usize| ratio(seen[0].cpu, seen[other].cpu));
        Ok([&[seen[0].cpu], &ratios[..]].concat())
    },
};

pub(super) const PAYLOAD_4K: Row = Row {
    name: "payload-4k",
    title: "one room of {members}, 4 KB, as fast as it goes",
    goals: &PAYLOAD_GOALS,
    effort: Effort::Usual,
    measure: |site| {
        let window = 64;
        let room = |window| site.scale.room(4 << 10, Pace::Window(window));
        let (seen, floor) = payload(site, &[], &room(window))?;
        let pair = (&seen[0], &seen[1]);
        let shares =
            [rate_share(site, pair.0, pair.1), cpu_share(site, pair, room, window, &floor)?];
        Ok(payload_figures(site, &seen, shares))
    },
};

/// The floor sends each message as it comes: nothing is cheaper where the bytes are what costs, so
/// that it does not matter how many are in a send.
pub(super) const PAYLOAD_64K: Row = Row {
    name: "payload-64k",
    title: "one room of 100, 64 KB, as fast as it goes",
    goals: &PAYLOAD_GOALS,
    effort: Effort::Usual,
    measure: |site| {
        let members = site.scale.members.min(100);
        let room = Broadcast { members, ..site.scale.room(64 << 10, Pace::Window(16)) };
        let (seen, _) = payload(site, &["--coalesce", "1"], &room)?;
        let rate = rate_over(site, &seen[0], ("the floor", &seen[1]));
        Ok(payload_figures(site, &seen, [rate, ratio(seen[1].cpu, seen[0].cpu)]))
    },
};

const PAYLOAD_GOALS: [Goal; 9] = [
    Goal::shown("bytes per second", Unit::BytesPerSecond),
    Goal::at_least("bytes per second ÷ floor's", Unit::Ratio, 0.90),
    Goal::at_least("floor's CPU per delivery ÷ engine's", Unit::Ratio, 0.90),
    Goal::at_least("bytes per second ÷ baseline's", Unit::Ratio, 1.0),
    Goal::at_most("CPU per delivery ÷ baseline's", Unit::Ratio, 1.0),
    Goal::shown("CPU per delivery", Unit::Time),
    Goal::shown("baseline's CPU per delivery", Unit::Time),
    Goal::shown("messages per send", Unit::Ratio),
    Goal::shown("floor's messages per send", Unit::Ratio),
];

/// What engine, floor and baseline show, and which floor it was.
fn payload(site: &Site<'_>, flags: &[&str], room: &Broadcast) -> io::Result<(Vec<Seen>, Side)> {
    let floor = Side::floor(Means::Send).with(flags);
    let sides = [Side::engine(1), floor.clone(), Side::baseline_on(1)];
    Ok((site.each(&sides, |_, running| running.broadcast(room))?, floor))
}

fn payload_figures(
    site: &Site<'_>,
    seen: &[Seen],
    [rate_share, cpu_share]: [Option<f64>; 2],
) -> Vec<Option<f64>> {
    let [engine, floor, baseline] = [&seen[0], &seen[1], &seen[2]];
    if engine.run.generator.limited {
        site.remark("at least these bytes per second: the engine's were the generator's limit");
    }
    vec![
        bytes(engine),
        rate_share,
        cpu_share,
        rate_over(site, engine, ("the baseline", baseline)),
        ratio(engine.cpu, baseline.cpu),
        engine.cpu,
        baseline.cpu,
        engine.messages_per_send,
        floor.messages_per_send,
    ]
}

/// Bytes per second ÷ another's. None, with a remark, where that may be capable of more than the
/// generator.
fn rate_over(site: &Site<'_>, engine: &Seen, (name, other): (&str, &Seen)) -> Option<f64> {
    if other.run.generator.limited {
        site.remark(format!("no ratio of rates: {name}'s was the generator's"));
        return None;
    }
    ratio(bytes(engine), bytes(other))
}

fn bytes(seen: &Seen) -> Option<f64> {
    Some(seen.run.messages.bytes_per_second)
}
