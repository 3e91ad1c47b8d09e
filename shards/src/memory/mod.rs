//! How many bytes a shard holds for longer than a turn.
//!
//! Each kind of thing is counted where it is kept: lists and buffers of connections by the table of
//! connections, chunks by their pool, messages between shards by their outboxes. What a collection
//! says of itself at any time (its capacity) is counted when the sum is asked for. Everything else is
//! in a [`Held`] or a [`HeldVec`], which cannot be changed without the [`Sum`] that counts it.
//!
//! A build with debug assertions can count everything anew, and both must agree to the byte.

mod blocks;
mod budget;
mod held;
mod shared_frames;

pub(crate) use blocks::{
    block, map_bytes, shared_bytes, shared_capacity, stepped, tree_bytes, vec_bytes,
};
pub(crate) use budget::Budget;
pub use budget::{MemoryStage, OthersMemory};
pub(crate) use held::{HeapBytes, Held, HeldVec, Sum};
pub(crate) use shared_frames::SharedFrames;

/// The bytes that a shard holds, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryUse {
    /// Entries of connections, their lists of rooms and their timers; what is known of their clients,
    /// and what is revoked.
    pub connections: usize,
    /// What arrived from clients and is not handled: cut messages, undecoded bytes, commands that
    /// wait.
    pub inbound: usize,
    /// What waits for single clients: replies, direct messages, rests of cut frames.
    pub direct: usize,
    /// Rooms with members here, their members, and rooms whose home is here.
    pub rooms: usize,
    /// Room logs by capacity, and chunks that wait to be used again.
    pub logs: usize,
    /// What is kept of rooms whose home is here, with what is kept no longer and still sent anywhere, and
    /// the lists of what connections here are sent.
    pub history: usize,
    /// Who is in rooms whose home is here and that are watched, and what watchers here are to be told.
    pub presence: usize,
    /// Messages that wait for rings to other shards, or for this shard itself.
    pub mesh: usize,
    /// What the shard's thread holds beside the engine, as [`Shard::on_outside_memory`] was given it.
    ///
    /// [`Shard::on_outside_memory`]: crate::Shard::on_outside_memory
    pub outside: usize,
}

impl MemoryUse {
    /// All of it.
    pub fn total(&self) -> usize {
        let MemoryUse { connections, inbound, direct, rooms, logs, history, .. } = *self;
        let MemoryUse { presence, mesh, outside, .. } = *self;
        connections + inbound + direct + rooms + logs + history + presence + mesh + outside
    }
}
