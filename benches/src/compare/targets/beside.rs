//! A small room beside one that takes all that a shard can give: what its clients feel of it.

use std::io;

use super::goal::{Goal, Unit};
use super::row::Row;
use super::scale::Effort;
use super::site::{Side, Site};
use crate::load::{Broadcast, Pace};

/// Messages under way in the large room.
const WINDOW: usize = 256;
/// Messages per second of the small one.
const SMALL_RATE: f64 = 100.0;

pub(super) const OF_3: Row = Row {
    name: "beside-3",
    title: "a room of 3, 100 messages/s, beside a saturated one of {members}, one shard",
    goals: &GOALS,
    effort: Effort::Usual,
    measure: |site| measure(site, 3),
};

pub(super) const OF_8: Row = Row {
    name: "beside-8",
    title: "a room of 8, 100 messages/s, beside a saturated one of {members}, one shard",
    goals: &GOALS,
    effort: Effort::Usual,
    measure: |site| measure(site, 8),
};

const GOALS: [Goal; 6] = [
    Goal::shown("latency, 50 %", Unit::Time),
    Goal::shown("latency, 99 %", Unit::Time),
    Goal::shown("baseline's latency, 50 %", Unit::Time),
    Goal::shown("baseline's latency, 99 %", Unit::Time),
    Goal::at_most("latency, 50 %, ÷ baseline's", Unit::Ratio, 1.0),
    Goal::at_most("latency, 99 %, ÷ baseline's", Unit::Ratio, 1.0),
];

fn measure(site: &Site<'_>, members: usize) -> io::Result<Vec<Option<f64>>> {
    let small = site.scale.room(128, Pace::Rate(SMALL_RATE));
    // Long enough for ten values beyond the 99th percentile.
    let small = Broadcast { members, duration: 2 * small.duration, ..small };
    let large = site.scale.room(128, Pace::Window(WINDOW));
    // It goes on while the small one's generator connects, and until that has ended.
    let large = Broadcast { duration: 2 * small.duration, ..large };
    let sides = [Side::engine(1), Side::baseline_on(1)];
    let seen = site.each(&sides, |_, running| running.broadcast_beside(&small, &large))?;
    site.doubt("engine", &seen[0]);
    site.doubt("baseline", &seen[1]);
    let both = [&seen[0], &seen[1]];
    let [ours, theirs] = both.map(|seen| [seen.p50(), seen.p99()]);
    let ratios =
        [(&GOALS[4], 0.5), (&GOALS[5], 0.99)].map(|(goal, q)| site.latency_ratio(goal, both, q));
    Ok([ours, theirs, ratios].concat())
}
