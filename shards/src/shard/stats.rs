//! What the figures of a shard are taken from.

use super::Shard;
use crate::id::ConnId;
use crate::shard_stats::{Counters, HistoryCounters, ShardStats, Totals};

impl Shard {
    /// The figures of this moment. All of them are kept as they change, so that asking costs the same
    /// whatever the number of rooms and connections.
    pub fn stats(&self) -> ShardStats {
        let host = &self.host;
        let (presence_rooms, presence_users, presence_watchers) = self.home.presences();
        let logs = &host.directory.rooms.pool.totals;
        ShardStats {
            shard: self.id,
            connections: host.open_connections,
            memberships: host.directory.memberships(),
            rooms: self.home.count(),
            log_bytes: logs.total(),
            log_bytes_max_room: logs.largest() as u64,
            waiting: host.directory.waiting,
            blocked: host.blocked,
            paused_rooms: self.home.paused_count(),
            memory: self.memory(),
            memory_stage: self.memory_stage(),
            histories: self.home.histories(),
            replaying: host.directory.connections.replaying() as u64,
            replay_waits: host.longest_replay_wait(),
            revocations: host.clients.revocations.len() as u64,
            publish_keys: self.home.publish_keys() as u64,
            presence_rooms: presence_rooms as u64,
            presence_users: presence_users as u64,
            presence_watchers: presence_watchers as u64,
            counters: self.counters(),
        }
    }

    /// What the shard has done since it started.
    pub fn counters(&self) -> Counters {
        let (mesh_sent, _) = self.mesh_counts();
        let refused_as_revoked = self.host.clients.refused();
        let (deflated, inflated) = (self.home.deflate_counters(), self.host.inflation.counters);
        let (published, publish_keys) = self.home.published();
        let counters = self.host.counters.clone();
        let HistoryCounters { replayed, replayed_bytes, .. } = counters.history;
        let history = HistoryCounters { replayed, replayed_bytes, ..self.home.history_counters() };
        Counters {
            mesh_sent,
            published,
            publish_keys,
            refused_as_revoked,
            history,
            presence: self.home.presence_counters(),
            deflated,
            inflated,
            ..counters
        }
    }

    /// Bytes of the messages in all room logs.
    pub fn log_bytes(&self) -> usize {
        usize::try_from(self.host.directory.rooms.pool.totals.total()).unwrap_or(usize::MAX)
    }

    /// Bytes that sends were ever offered.
    pub fn offered(&self) -> u64 {
        self.host.counters.offered
    }

    /// Messages that the shard has sent to others and to itself, and how many of others and of itself
    /// it has handled: a join, or a question who is in a room, when it is answered. When nothing is on
    /// its way, all shards have sent as many as they have handled.
    pub fn mesh_counts(&self) -> (u64, u64) {
        let waiting = self.home.owed_answers() as u64;
        (self.host.outboxes.sent(), self.host.counters.mesh_handled - waiting)
    }

    /// Bytes of histories that a connection is still to be sent.
    pub fn history_owed(&self, id: ConnId) -> usize {
        let Some(slot) = self.host.directory.find(id) else { return 0 };
        self.host.directory[slot].replays.as_ref().map_or(0, |replays| replays.bytes())
    }

    /// What the shard has of what is limited over all shards together.
    pub fn totals(&self) -> Totals {
        Totals { memberships: self.host.directory.entries(), rooms: self.home.rooms_with_members() }
    }

    /// Open connections.
    pub fn connection_count(&self) -> u64 {
        self.host.open_connections
    }

    /// Whether a command that the program has decided about is still to be carried out. In a drain
    /// it is the last kind of command that is.
    pub fn has_decided_commands(&self) -> bool {
        !self.host.decided.is_empty()
    }

    /// Whether nothing is on its way from this shard to another or to itself.
    pub fn is_quiet(&self) -> bool {
        self.host.outboxes.is_quiet() && self.host.joins_after_send.is_empty()
    }
}
