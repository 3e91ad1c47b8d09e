//! What the descriptors of a shard are called in the poller.

use corecast_shards::{ConnId, ShardId};

/// Descriptors that are no connections. Connections have their slot in the upper half, below 2^30,
/// and their generation in the lower.
pub(super) const LISTENER: u64 = u64::MAX;
pub(super) const DOORBELL: u64 = u64::MAX - 1;
pub(super) const TIMER: u64 = u64::MAX - 2;

/// With the key of a pending handshake.
pub(super) const PENDING: u64 = 1 << 63;

/// With the key of a registration.
pub(super) const REGISTRATION: u64 = 1 << 62;

pub(super) fn of_connection(id: ConnId) -> u64 {
    u64::from(id.slot) << 32 | u64::from(id.generation)
}

/// The connection of a shard that has this token.
pub(super) fn connection(shard: ShardId, token: u64) -> ConnId {
    ConnId { shard, slot: (token >> 32) as u32, generation: token as u32 }
}
