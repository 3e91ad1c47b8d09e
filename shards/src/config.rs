//! The settings of a shard, which never change.

use std::collections::BTreeSet;

use crate::deflate::Codecs;
use crate::id::ShardId;
use crate::limits::Limits;
use crate::policy::{Policies, Policy, RoomPolicies, SlowPolicy};
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
    /// What holds in rooms of certain names instead.
    pub rooms: RoomPolicies,
    /// All limits.
    pub limits: Limits,
    /// What compresses and inflates; without, no connection may agree to compression.
    pub codecs: Option<Codecs>,
    /// What the embedding program handles itself.
    pub hooks: Hooks,
    /// Constants that shape behaviour; only tests change them.
    #[doc(hidden)]
    pub tuning: Tuning,
}

impl Config {
    /// What holds in each room.
    pub(crate) fn policies(&self) -> Policies {
        let log_bytes = self.limits.room_log_bytes;
        let otherwise = Policy { slow: self.slow, log_bytes, deflate: true, linger: None };
        Policies::new(self.rooms.clone(), otherwise)
    }

    /// The one shard that orders this room's messages.
    pub fn home(&self, room: &RoomName) -> ShardId {
        SecretHash::new(self.seed).home(room.as_str(), self.shards)
    }
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
    /// The program hears of the end of connections, and of the rooms that they were in. Of these rooms
    /// it hears also if it watches members.
    pub disconnect: bool,
    /// The program hears of each connection that becomes a member of a room, or ceases to be one.
    pub members: bool,
    /// The program hears of each room whose home is here that gets its first member, or loses its last.
    pub occupancy: bool,
}
