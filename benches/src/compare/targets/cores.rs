//! More than one shard.

use std::collections::BTreeMap;

use serde_json::Value;

use super::goal::{Goal, Unit};
use super::row::Row;
use super::scale::Effort;
use super::site::{Side, ratio};
use crate::load::{Broadcast, Pace};
use crate::process::stats;

/// One message per send.
const SINGLE_RATE: f64 = 50.0;
/// Messages per second of the large room: each shard flushes it for about a tenth of the time.
const LARGE_RATE: f64 = 2.0;
/// Of the small room. A pass counts once, so that those of the large room are less than one in two
/// hundred and the 99th percentile is one of the small room that came upon a flush.
const SMALL_RATE: f64 = 1000.0;
/// Enough that both shards have some.
const SMALL_MEMBERS: usize = 8;

pub(super) const SHARDS: Row = Row {
    name: "shards",
    title: "one room of {members}, 50 messages/s, on the same two cores",
    goals: &[
        Goal::shown("CPU per delivery, 1 shard", Unit::Time),
        Goal::at_most("2 shards ÷ 1 shard", Unit::Ratio, 1.10),
    ],
    effort: Effort::Usual,
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
    effort: Effort::Usual,
    measure: |site| {
        let running = site.start(&Side::engine(2))?;
        let large = Broadcast {
            members: site.scale.crowd * 2 / 3,
            ..site.scale.room(128, Pace::Rate(LARGE_RATE))
        };
        let small =
            Broadcast { members: SMALL_MEMBERS, ..site.scale.room(128, Pace::Rate(SMALL_RATE)) };
        // It goes on while the small one's generator connects, and until that has ended.
        let large = Broadcast { duration: site.scale.duration * 2, ..large };
        let seen = running.broadcast_beside(&small, &large)?;
        site.doubt("the small room", &seen);
        // Read when the load has ended, so that reading disturbs nobody.
        let stats = stats(running.server.address())?;
        Ok(vec![latency(&stats, 0.99), latency(&stats, 0.5), seen.p99()])
    },
};

/// So many of the passes of all shards took no longer, in seconds; none when the server does not
/// tell. It tells how many ended below so many microseconds and not below fewer.
fn latency(stats: &Value, share: f64) -> Option<f64> {
    let mut counts = BTreeMap::new();
    for shard in stats["shards"].as_array()? {
        for (below, count) in shard["latency_us"]["below"].as_object()? {
            *counts.entry(below.parse::<u64>().ok()?).or_insert(0) += count.as_u64()?;
        }
    }
    let mut left = (counts.values().sum::<u64>() as f64 * share).ceil();
    let reached = counts.into_iter().find(|&(_, count)| {
        left -= count as f64;
        left <= 0.0
    });
    reached.map(|(below, _)| below as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantiles_are_of_all_shards_together() {
        let shard = |fast, slow| json!({"latency_us": {"below": {"96": fast, "2048": slow}}});
        let stats = json!({"shards": [shard(98, 0), shard(1, 1)]});
        assert_eq!(latency(&stats, 0.5), Some(96e-6));
        assert_eq!(latency(&stats, 0.99), Some(96e-6));
        assert_eq!(latency(&stats, 0.995), Some(2048e-6));
        assert_eq!(latency(&json!({"shards": [{}]}), 0.5), None);
    }
}
