//! Names of rooms, and which shard is home to them.

use std::borrow::Borrow;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use crate::id::ShardId;
use crate::limits::ROOM_BYTES_MAX;

/// The name of a room, shared rather than copied.
///
/// The room of everybody, through which a broadcast travels, has the empty name: no client can
/// write it, so it is in no list and cannot be joined or left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// A room's name: 1 to 200 bytes without control characters.
    pub fn new(name: &str) -> Result<RoomName, BadRoomName> {
        let control = |b: u8| b < 0x20 || b == 0x7f;
        match name.is_empty() || name.len() > ROOM_BYTES_MAX || name.bytes().any(control) {
            true => Err(BadRoomName),
            false => Ok(RoomName(Arc::from(name))),
        }
    }

    /// The room of everybody.
    pub fn everybody() -> RoomName {
        RoomName(Arc::from(""))
    }

    /// Whether this is the room of everybody.
    pub fn is_everybody(&self) -> bool {
        self.0.is_empty()
    }

    /// The name as text; empty for the room of everybody.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for RoomName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text cannot name a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRoomName;

impl fmt::Display for BadRoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a room's name is 1 to {ROOM_BYTES_MAX} bytes without control characters")
    }
}

impl std::error::Error for BadRoomName {}

/// Hashes names with the secret of the process, so that no client can choose names that all live
/// on one shard or in one bucket.
#[derive(Clone, Debug)]
pub(crate) struct SecretHash {
    secret: u128,
}

impl SecretHash {
    pub(crate) fn new(secret: u128) -> SecretHash {
        SecretHash { secret }
    }

    /// The one shard that orders this room's messages.
    pub(crate) fn home(&self, room: &str, shards: u16) -> ShardId {
        let place = self.hash_one(room) % u64::from(shards);
        ShardId::new(u16::try_from(place).expect("the remainder is below a u16"))
    }
}

impl BuildHasher for SecretHash {
    type Hasher = DefaultHasher;

    /// The standard SipHash with the secret as its first block instead of as its key, which the
    /// standard library offers no stable way to set.
    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u128(self.secret);
        hasher
    }
}
