//! More than one shard.

use serde_json::Value;

use super::Row;
use super::goal::{Goal, Unit};
use super::site::{Side, ratio};
use crate::load::{Broadcast, Pace};
use crate::process::stats;

/// One message per send.
const SINGLE_RATE: f64 = 50.0;
/// Messages per second of the large room: a shard flushes it for about a tenth of the time.
const LARGE_RATE: f64 = 4.0;
/// Of the small room. A pass counts once, so that those of the large room are less than one in a
/// hundred and the 99th percentile is one of the small room that came upon a flush.
const SMALL_RATE: f64 = 1000.0;
/// Enough that both shards have some.
const SMALL_MEMBERS: usize = 4;

pub(super) const SHARDS: Row = Row {
    name: "shards",
    title: "one room of {members}, 50 messages/s, on the same two cores",
    goals: &[
        Goal::shown("CPU per delivery, 1 shard", Unit::Time),
        Goal::at_most("2 shards ÷ 1 shard", Unit::Ratio, 1.10),
    ],
    measure: |site| {
        let sides = [Side::engine(1).on(2), Side::engine(2)];
        let room = site.scale.room(128, Pace::Rate(SINGLE_RATE));
        let seen = site.each(&sides, |_, running| running.broadcast(&room))?;
        Ok(vec![seen[0].cpu, ratio(seen[1].cpu, seen[0].cpu)])
    },
};

pub(super) const HOP: Row = Row {
    name: "hop",
    title: "from one shard to another that flushes a large room",
    goals: &[
        Goal::at_most("99 % of passes end within, from acceptance", Unit::Time, 2e-3),
        Goal::shown("half of them within", Unit::Time),
        Goal::shown("99 % within, as the small room's clients see it", Unit::Time),
    ],
    measure: |site| {
        let running = site.start(&Side::engine(2))?;
        let large = Broadcast {
            members: site.scale.crowd * 2 / 3,
            ..site.scale.room(128, Pace::Rate(LARGE_RATE))
        };
        let small =
            Broadcast { members: SMALL_MEMBERS, ..site.scale.room(128, Pace::Rate(SMALL_RATE)) };
        // It goes on while the small one's generator connects, and until that has ended.
        let large = Broadcast { duration: site.scale.duration * 3, ..large };
        let seen = running.broadcast_beside(&small, &large)?;
        let outside = seen.run.latency_us.p99.map(|micros| micros / 1e6);
        // Read when the load has ended, so that reading disturbs nobody.
        let stats = stats(running.server.address())?;
        Ok(vec![latency(&stats, "p99"), latency(&stats, "p50"), outside])
    },
};

/// Of all shards the worst, in seconds; none when the server does not tell.
fn latency(stats: &Value, quantile: &str) -> Option<f64> {
    let shards = stats["shards"].as_array()?;
    let micros = shards.iter().filter_map(|shard| shard["latency_us"][quantile].as_f64());
    micros.reduce(f64::max).map(|micros| micros / 1e6)
}
