//! Constants that shape behaviour and are no operator's business.

/// How much of everything a shard does or holds at once.
///
/// A server has [`Tuning::DEFAULT`], whose figures are measured. A test draws them
/// small, so that what happens once in a million sends happens in every tenth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tuning {
    /// Sends of one slice of a pass; at least 1.
    pub slice_sends: usize,
    /// Members that one slice looks at, so that a room full of blocked members cannot hold the
    /// turn: a look is a few nanoseconds, so 4,096 are far below the 500 µs of a slice. At least 1.
    pub slice_visits: usize,
    /// Bytes that a slice offers to sockets, give or take one send: handing over a megabyte takes
    /// some 250 µs. At least 1.
    pub slice_bytes: u64,
    /// Bytes of rooms' messages that one send carries, give or take one slice of memory, so that
    /// no send takes much longer than a slice may. At least 1.
    pub send_bytes: usize,
    /// Slices of memory in one vectored send; the kernel takes at most 1,024 (`IOV_MAX`). At least
    /// 3, since the connection's own bytes take up to `OWN_SLICES`.
    pub send_slices: usize,
    /// Memberships that one send looks at for rooms whose pass has not come yet, to take them
    /// along: few system calls for many rooms, at a cost that does not grow with their number.
    pub rooms_along: usize,
    /// Bytes of a frame above which it is referred to and never copied: into a room log, or out of
    /// it when a send was cut.
    pub copy_bytes: usize,
    /// Bytes of a log's first chunk: some twenty messages of 190 bytes.
    pub small_chunk_bytes: usize,
    /// Bytes of its other chunks, at least `copy_bytes`: some 340 messages of 190 bytes in one
    /// slice of memory.
    pub large_chunk_bytes: usize,
    /// Bytes of unused chunks of each size that a shard keeps.
    pub pool_bytes: usize,
    /// Messages that a room log keeps whatever their size, so that one big message does not throw
    /// out everybody behind it.
    pub log_messages: u64,
}

/// Slices of memory that a connection's own bytes take in a send: the rest of a cut frame, and its
/// own frames.
pub(crate) const OWN_SLICES: usize = 2;

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning::DEFAULT
    }
}

impl Tuning {
    /// What a server runs with.
    pub const DEFAULT: Tuning = Tuning {
        slice_sends: 64,
        slice_visits: 4096,
        slice_bytes: 1 << 20,
        send_bytes: 512 << 10,
        send_slices: 256,
        rooms_along: 32,
        copy_bytes: 16 << 10,
        small_chunk_bytes: 4 << 10,
        large_chunk_bytes: 64 << 10,
        pool_bytes: 1 << 20,
        log_messages: 4,
    };

    /// Asserts that a shard can go on with these figures.
    pub(crate) fn check(&self) {
        assert!(self.slice_sends >= 1 && self.slice_visits >= 1, "a slice gets on: {self:?}");
        assert!(self.slice_bytes >= 1 && self.send_bytes >= 1, "a byte at a time: {self:?}");
        assert!(self.send_slices > OWN_SLICES, "a send carries a room's messages: {self:?}");
        assert!(self.copy_bytes <= self.large_chunk_bytes, "a copy fits a chunk: {self:?}");
    }
}
