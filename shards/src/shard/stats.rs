//! What a shard tells about itself.

use super::Shard;
use crate::shard_stats::{Counters, ShardStats};

impl Shard {
    /// The figures of this moment. All of them are kept as they change, so that asking costs the same
    /// whatever the number of rooms and connections.
    pub fn stats(&self) -> ShardStats {
        let logs = &self.rooms.pool.sizes;
        ShardStats {
            shard: self.id,
            connections: self.open_connections,
            memberships: self.memberships,
            rooms: self.homes.count() as u64,
            log_bytes: logs.total(),
            log_bytes_max_room: logs.largest() as u64,
            paused: self.paused,
            blocked: self.blocked,
            pressed_rooms: self.pressed_homes,
            counters: self.counters.clone(),
        }
    }

    /// What the shard has done since it started.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Open connections.
    pub fn connection_count(&self) -> u64 {
        self.open_connections
    }

    /// Whether nothing is on its way from this shard to another or to itself.
    pub fn is_quiet(&self) -> bool {
        let quiet = self.lanes.iter().all(|l| l.requests.is_empty() && l.outcomes.is_empty());
        let owes_leaves = self.lanes.iter().any(|lanes| !lanes.owing.is_empty());
        quiet && !owes_leaves && self.deferred.is_empty()
    }
}
