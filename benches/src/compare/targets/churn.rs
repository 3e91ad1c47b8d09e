//! Everybody goes at once.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::goal::{Goal, Unit};
use super::probe;
use super::row::Row;
use super::scale::Effort;
use super::site::Side;
use crate::load::Crowd;
use crate::process::{Server, stats};

/// When counts that are not exact by then will never be.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two new connections.
const PAUSE: Duration = Duration::from_millis(10);

pub(super) const DISCONNECT: Row = Row {
    name: "disconnect",
    title: "{crowd} clients go at once, as if their machine had died",
    goals: &[
        Goal::at_most("longest wait of a new client for its welcome", Unit::Time, 0.1),
        Goal::at_most("connections and members miscounted afterwards", Unit::Count, 0.0),
        Goal::shown("time until counts are exact", Unit::Time),
    ],
    effort: Effort::Usual,
    measure: |site| {
        let running = site.start(&Side::engine(1))?;
        let mut held = running.hold_beside(Crowd { connections: site.scale.crowd, rooms: 1 })?;
        held.kill()?;
        let begin = Instant::now();
        let longest = probe_until_empty(&running.server, begin)?;
        let settled = begin.elapsed().as_secs_f64();
        Ok(vec![Some(longest), Some(miscounted(&stats(running.server.address())?)), Some(settled)])
    },
};

/// Connects again and again until nobody is left; returns how long the slowest one waited.
fn probe_until_empty(server: &Server, begin: Instant) -> io::Result<f64> {
    let mut longest = Duration::ZERO;
    loop {
        longest = longest.max(probe::welcome(server.address())?);
        thread::sleep(PAUSE);
        if miscounted(&stats(server.address())?) == 0.0 || begin.elapsed() > PATIENCE {
            return Ok(longest.as_secs_f64());
        }
    }
}

/// What a server on which nobody is left counts too many, or too few.
fn miscounted(stats: &Value) -> f64 {
    let shards = stats["shards"].as_array().map_or(&[][..], Vec::as_slice);
    let sum = |of: fn(&Value) -> f64| shards.iter().map(of).sum::<f64>();
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    let closed = |shard: &Value| -> f64 {
        let counts = shard["closed"].as_object();
        counts.into_iter().flat_map(|counts| counts.values()).filter_map(Value::as_f64).sum()
    };
    let opened = sum(|shard| shard["opened"].as_f64().unwrap_or_default());
    let closed: f64 = shards.iter().map(closed).sum();
    let members = sum(|shard| shard["memberships"].as_f64().unwrap_or_default());
    number(&stats["connections"]) + members + (opened - closed).abs()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_is_left_is_counted() {
        let stats = |connections: u64, members: u64, lost: u64| {
            json!({"connections": connections, "shards": [
                {"memberships": members, "opened": 5, "closed": {"normal": 2, "lost": lost}}]})
        };
        assert_eq!(miscounted(&stats(0, 0, 3)), 0.0);
        assert_eq!(miscounted(&stats(1, 2, 2)), 4.0);
    }
}
