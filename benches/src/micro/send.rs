//! A socket that takes everything.

use corecast_shards::{ConnId, SendEnd, Shard};

/// Ends the begun send of a connection whose socket takes all of it. Returns its bytes.
pub fn take_send(shard: &mut Shard, connection: ConnId) -> usize {
    let mut bytes = 0;
    shard.for_each_iovec(connection, |slice| bytes += slice.len());
    shard.end_send(connection, SendEnd::Taken(bytes));
    bytes
}
