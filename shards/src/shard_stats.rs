//! Which figures a shard has.

use std::time::Duration;

use crate::disconnect::Disconnect;
use crate::id::ShardId;
use crate::latencies::Latencies;
use crate::memory::{MemoryStage, MemoryUse};
use crate::placement::Stay;
use crate::recovery::{Recovery, Unrecovered};

/// What a shard has and what it has done since it started.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShardStats {
    /// Which shard.
    pub shard: ShardId,
    /// Open connections.
    pub connections: u64,
    /// Entries in rooms' lists of members, the room of everybody not counted.
    pub memberships: u64,
    /// Rooms whose home is here.
    pub rooms: u64,
    /// Bytes in all room logs.
    pub log_bytes: u64,
    /// Bytes in the largest room log.
    pub log_bytes_max_room: u64,
    /// Connections whose next command waits.
    pub waiting: u64,
    /// Connections whose socket blocks.
    pub blocked: u64,
    /// Rooms whose home is here and that are paused.
    pub paused_rooms: u64,
    /// Rooms whose home is here and that have a history, those included that have ended and are
    /// remembered.
    pub histories: u64,
    /// Connections that are still to be sent messages of histories.
    pub replaying: u64,
    /// How long the one of them waits whose turn is next; zero when none does.
    pub replay_waits: Duration,
    /// Users and tokens that are revoked.
    pub revocations: u64,
    /// Keys of publishes that are remembered.
    pub publish_keys: u64,
    /// Rooms whose home is here and of which it is known who is there, because somebody watches them or
    /// has asked.
    pub presence_rooms: u64,
    /// Users of these rooms.
    pub presence_users: u64,
    /// Members that watch who is there.
    pub presence_watchers: u64,
    /// The bytes that it holds.
    pub memory: MemoryUse,
    /// How short memory is.
    pub memory_stage: MemoryStage,
    /// What it has done.
    pub counters: Counters,
}

/// What was refused, held back or given up because memory was short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryCounters {
    /// Joins: of rooms that did not exist, or of any while none was accepted.
    pub rooms_refused: u64,
    /// How often the next bytes of a connection were left in its socket.
    pub reads_stopped: u64,
    /// Members that fell under the slow policy.
    pub members_struck: u64,
    /// Connections closed because of what was held for them: half-sent messages, unread replies.
    pub connections_struck: u64,
    /// Publishes that had to wait, and tries of callers that were refused.
    pub publishes_paused: u64,
}

/// What histories gave, and what they had to give up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryCounters {
    /// Joins that said where their client had stopped, and were answered with everything since.
    pub recovered: u64,
    /// Those that were answered without, by [`Unrecovered::index`].
    pub refused: [u64; Unrecovered::COUNT],
    /// Messages that were given up for want of memory.
    pub evicted: u64,
    /// Messages of histories that connections were sent, and their bytes.
    pub replayed: u64,
    /// Bytes of histories that were offered to sockets.
    pub replayed_bytes: u64,
    /// What was written of them.
    pub journal: JournalCounters,
}

/// What a shard wrote of its histories, so that they outlive the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalCounters {
    /// Rooms that were taken up at the start.
    pub taken_up: u64,
    /// Bytes of records of new messages, and of rooms.
    pub bytes: u64,
    /// Bytes of records that were written again because their place was needed.
    pub bytes_again: u64,
    /// Records that were given up although they were needed, because too much was: what they say will
    /// be refused after a crash.
    pub lost: u64,
    /// 1 when a write has failed, so that nothing is kept for after a crash; else 0.
    pub failed: u64,
}

impl HistoryCounters {
    /// Counts the answer to one client.
    pub(crate) fn count(&mut self, recovery: Recovery) {
        match recovery {
            Recovery::Complete => self.recovered += 1,
            Recovery::Refused(reason) => self.refused[reason.index()] += 1,
        }
    }
}

/// What is limited over all shards together: what one shard has of it, or the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Entries in connections' lists of rooms, the room of everybody not counted: also those of joins
    /// and leaves under way.
    pub memberships: u64,
    /// Rooms with members whose home is here.
    pub rooms: u64,
}

/// What a home compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeflateCounters {
    /// Messages, each once for each size of window that its members have.
    pub messages: u64,
    /// Bytes that they had.
    pub bytes_before: u64,
    /// Bytes that they were compressed to.
    pub bytes_after: u64,
    /// Messages of which so little was saved that they went uncompressed, counted alike.
    pub not_worth: u64,
    /// Messages that went uncompressed because so much was compressed in that turn, counted alike.
    pub beyond_turn: u64,
}

/// What a home told of who is in rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PresenceCounters {
    /// Rooms whose shards were asked who is there.
    pub censuses: u64,
    /// States that were given: to members that began to watch, and to those that asked.
    pub states: u64,
    /// Changes of rooms that had watchers, each once however many these were.
    pub changes: u64,
    /// Joins with presence, and questions, that were refused because memory was short.
    pub refused: u64,
}

/// What a home did with the keys of publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishKeyCounters {
    /// Publishes that repeated one, and were answered with its offset.
    pub repeated: u64,
    /// Keys that were forgotten before their time, because there were too many.
    pub forgotten: u64,
}

/// What became of connections whose first room was known before they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlacementCounters {
    /// Handed to the homes of their rooms.
    pub handed_over: u64,
    /// Handed over by others, and begun here.
    pub taken_over: u64,
    /// That stayed where they were accepted, by [`Stay::index`].
    pub stayed: [u64; Stay::COUNT],
}

/// What was inflated of what clients sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InflateCounters {
    /// Messages.
    pub messages: u64,
    /// Bytes that they were compressed to.
    pub bytes_before: u64,
    /// Bytes that they had then.
    pub bytes_after: u64,
    /// Messages that were corrupt or too large, so that their connection was closed.
    pub refused: u64,
}

/// What a shard has done since it started.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Messages that got their offset here, broadcasts included.
    pub published: u64,
    /// Room messages and broadcasts handed to sockets.
    pub delivered: u64,
    /// Sends that took at least one byte.
    pub sends: u64,
    /// Bytes that sends offered to sockets, taken or not.
    pub offered: u64,
    /// Memberships that a send has looked at: it carries their messages, or those of the rooms that
    /// it can take along.
    pub looks: u64,
    /// Gaps announced.
    pub gaps: u64,
    /// Messages and commands refused because their connection sent more per second than it may.
    pub rate_limited: u64,
    /// Joins refused because of a limit on rooms or memberships.
    pub too_many_rooms: u64,
    /// Messages put in outboxes to homes and from them, the loopback included.
    pub mesh_sent: u64,
    /// Messages handled that came from an outbox.
    pub mesh_handled: u64,
    /// Envelopes read.
    pub envelopes_read: u64,
    /// Bytes of input copied because they could not be handled when they arrived.
    pub inbound_bytes_copied: u64,
    /// Bytes of messages copied into room logs; large ones are referred to and not copied.
    pub log_bytes_copied: u64,
    /// Bytes copied out of room logs because a socket took only the beginning of a frame.
    pub rest_bytes_copied: u64,
    /// From the moment when a message was accepted on its publisher's shard until the last send of
    /// the pass that carried it to the members here; the oldest message of each pass counts.
    pub latencies: Latencies,
    /// Commands that were answered with `forbidden`.
    pub forbidden: u64,
    /// Fresh tokens that took effect.
    pub refreshed: u64,
    /// Connections that were refused, or closed as soon as they opened, because they were revoked.
    pub refused_as_revoked: u64,
    /// What was refused, held back or given up because memory was short.
    pub memory: MemoryCounters,
    /// What histories gave here.
    pub history: HistoryCounters,
    /// What was compressed here.
    pub deflated: DeflateCounters,
    /// What became of the keys of publishes here.
    pub publish_keys: PublishKeyCounters,
    /// What was told of who is in rooms.
    pub presence: PresenceCounters,
    /// Which connections began elsewhere, or came from there.
    pub placement: PlacementCounters,
    /// What was inflated here.
    pub inflated: InflateCounters,
    /// Connections whose client agreed to compression.
    pub opened_with_deflate: u64,
    /// Connections opened.
    pub opened: u64,
    /// Connections ended, by [`Disconnect::index`].
    pub closed: [u64; Disconnect::COUNT],
}
