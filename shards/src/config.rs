//! The settings of a shard, which never change.

use std::collections::BTreeSet;

use crate::id::ShardId;
use crate::limits::Limits;
use crate::room_name::{RoomName, SecretHash};
use crate::tuning::Tuning;

/// The settings of a shard; the same for all shards of a process.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// How many shards there are.
    pub shards: u16,
    /// The one random seed of the process: for epochs, for the hash of room names, for the first
    /// generation of each slot, for the spread of retries.
    pub seed: u128,
    /// What happens to a member that reads more slowly than its rooms publish.
    pub slow: SlowPolicy,
    /// All limits.
    pub limits: Limits,
    /// What the embedding program handles itself.
    pub hooks: Hooks,
    /// Constants that shape behaviour; only tests change them.
    #[doc(hidden)]
    pub tuning: Tuning,
}

impl Config {
    /// The one shard that orders this room's messages.
    pub fn home(&self, room: &RoomName) -> ShardId {
        SecretHash::new(self.seed).home(room.as_str(), self.shards)
    }
}

/// What happens to a member in either of two cases:
///
/// - a room has messages for it, and its socket has taken nothing for `slow_timeout`;
/// - the room log has dropped its next message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlowPolicy {
    /// It is closed with 1013 `slow` and may come back.
    #[default]
    Disconnect,
    /// It jumps forward, and a `cast:gap` says exactly what it missed. Broadcasts are never
    /// skipped.
    Skip,
    /// Only a room's newest message matters. A member whose socket refuses bytes keeps nothing else
    /// waiting: when the socket takes bytes again, a `cast:gap` says exactly what it missed, and the
    /// newest message follows. Broadcasts are never skipped.
    Latest,
}

/// What the embedding program has handlers for.
#[derive(Clone, Debug, Default)]
pub struct Hooks {
    /// Events of the envelope. All others are answered with `unknown_event`.
    pub events: BTreeSet<Box<str>>,
    /// Binary messages go to the program instead of being refused with 1003.
    pub binary: bool,
    /// New connections wait for the program before their first message is handled.
    pub connect: bool,
    /// Tokens of `cast:refresh` are verified outside. Otherwise they are answered with `bad_token`.
    pub refresh: bool,
    /// The program hears of the end of connections, and of the rooms that they were in.
    pub disconnect: bool,
}
