//! Constants that shape behaviour and are no operator's business.

/// How much of everything a shard does or holds at once.
///
/// A server has [`Tuning::DEFAULT`], whose figures are measured. A test draws them
/// small, so that what happens once in a million sends happens in every tenth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// Sends of one quantum of passes; at least 1.
    pub quantum_sends: usize,
    /// Members that one quantum looks at, so that a room full of blocked members cannot hold up the
    /// turn: a look is a few nanoseconds, so 4,096 are far below the 500 µs of a quantum. At least 1.
    pub quantum_members: usize,
    /// Bytes that a quantum offers to sockets, give or take one send: handing over a megabyte takes
    /// some 250 µs. At least 1.
    pub quantum_bytes: u64,
    /// Bytes of rooms' messages that one send carries, give or take one iovec, so that no send takes
    /// much longer than a quantum may. At least 1.
    pub send_bytes: usize,
    /// Bytes that messages of clients are inflated to in one turn, give or take one message: they and
    /// what is done with them take some 500 µs. At least 1.
    pub inflated_bytes: usize,
    /// Bytes of rooms' messages that are compressed in one turn, give or take one message: JSON takes
    /// some 4 µs per KiB, noise 12. Further ones go as they are.
    pub deflated_bytes: usize,
    /// Iovecs of one send; the kernel takes at most 1,024 (`IOV_MAX`). At least
    /// 4, since the direct outbox takes up to `DIRECT_IOVECS`.
    pub send_iovecs: usize,
    /// Memberships that one send looks at for rooms whose pass has not come yet, to take them
    /// along: few system calls for many rooms, at a cost that does not grow with their number.
    pub rooms_along: usize,
    /// A larger frame, in bytes, is shared and never copied, neither into a room log nor out of it
    /// when a send cuts it.
    pub copy_bytes: usize,
    /// Bytes of a log's first chunk: some twenty messages of 190 bytes.
    pub small_chunk_bytes: usize,
    /// Bytes of its other chunks, at least `copy_bytes`: some 340 messages of 190 bytes in one
    /// iovec.
    pub large_chunk_bytes: usize,
    /// Bytes of memory of the first block of a history: it holds a message of 300 bytes, since very many
    /// rooms may have one. Powers of two, as the next two, since they are used beside each other.
    pub small_block_bytes: usize,
    /// The same of blocks that do not grow any more: eleven messages of 300 bytes. Copying fewer than
    /// these takes less time than the system call that brings the next one.
    pub grown_block_bytes: usize,
    /// The same of the largest blocks, in which large messages have no part.
    pub large_block_bytes: usize,
    /// Bytes of histories that a shard offers to sockets in one turn, give or take one send: clients
    /// that come back all at once leave time for messages that are new. At least 1.
    pub replay_bytes: usize,
    /// Bytes of histories that one send carries, give or take one block: so many connections have their
    /// turn before the first of them has its next one. At least 1.
    pub replay_send_bytes: usize,
    /// Bytes of events that are made ahead of what a socket has taken of a history, give or take one
    /// event. At least 1.
    pub events_ahead_bytes: usize,
    /// Rooms that end in one turn, rooms that are forgotten, rooms that are looked at for messages that
    /// are too old, and blocks of histories that go because memory is needed: 256 of each take some
    /// 100 µs. At least 1.
    pub ends_per_turn: usize,
    /// Members that one message of a census names, and watchers that are told of changes in one turn:
    /// 256 of each take some 50 µs. At least 1.
    pub presence_members: usize,
    /// Clients that begin to watch rooms in one turn. At least 1.
    pub presence_joins: usize,
    /// Bytes of unused chunks of each size that a shard keeps.
    pub pool_bytes: usize,
    /// Messages that a room log keeps whatever their size, so that one big message does not drop
    /// what every member of the room waits for.
    pub log_messages: u64,
}

/// Iovecs that a connection's direct outbox takes in a send: the rest of a cut frame, the direct
/// frames, and a large one that is shared.
pub(crate) const DIRECT_IOVECS: usize = 3;

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning::DEFAULT
    }
}

impl Tuning {
    /// What a server runs with.
    pub const DEFAULT: Tuning = Tuning {
        quantum_sends: 64,
        quantum_members: 4096,
        quantum_bytes: 1 << 20,
        send_bytes: 512 << 10,
        inflated_bytes: 256 << 10,
        deflated_bytes: 256 << 10,
        send_iovecs: 256,
        rooms_along: 32,
        copy_bytes: 16 << 10,
        small_chunk_bytes: 4 << 10,
        large_chunk_bytes: 64 << 10,
        small_block_bytes: 512,
        grown_block_bytes: 4 << 10,
        large_block_bytes: 64 << 10,
        replay_bytes: 1 << 20,
        replay_send_bytes: 64 << 10,
        events_ahead_bytes: 16 << 10,
        ends_per_turn: 256,
        presence_members: 256,
        presence_joins: 128,
        pool_bytes: 1 << 20,
        log_messages: 4,
    };

    /// Asserts that a shard can go on with these figures.
    pub(crate) fn check(&self) {
        assert!(
            self.quantum_sends >= 1 && self.quantum_members >= 1,
            "a quantum gets on: {self:?}"
        );
        assert!(self.ends_per_turn >= 1, "what is over ends at last: {self:?}");
        let presence = [self.presence_members, self.presence_joins];
        assert!(presence.iter().all(|count| *count >= 1), "one after the other: {self:?}");
        let bytes = [self.quantum_bytes as usize, self.send_bytes, self.inflated_bytes];
        let replayed = [self.replay_bytes, self.replay_send_bytes, self.events_ahead_bytes];
        assert!(replayed.iter().all(|bytes| *bytes >= 1), "a byte at a time: {self:?}");
        assert!(bytes.iter().all(|bytes| *bytes >= 1), "a byte at a time: {self:?}");
        assert!(self.send_iovecs > DIRECT_IOVECS, "a send carries a room's messages: {self:?}");
        assert!(self.copy_bytes <= self.large_chunk_bytes, "a copy fits a chunk: {self:?}");
        assert!(u32::try_from(self.large_chunk_bytes).is_ok(), "a chunk is small: {self:?}");
    }
}
