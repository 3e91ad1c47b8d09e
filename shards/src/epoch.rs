//! The lives of a room.

use std::fmt;

use crate::id::ShardId;
use crate::rng::mix;

/// One life of a room: differs from every other life of any room, and from those before a restart.
///
/// On the wire it is 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The `life`-th room that shard `home` created. `mix` is a bijection, so no two lives of one
    /// process share an epoch; `start`, random per process, separates the processes.
    pub(crate) fn new(start: u64, home: ShardId, life: u64) -> Epoch {
        Epoch(mix(start ^ ((home.index() as u64) << 48 | life)))
    }

    /// The number that stands for it, for what outlives the process.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// The one that was this number.
    pub(crate) fn from_bits(bits: u64) -> Epoch {
        Epoch(bits)
    }

    /// How the epoch is written that this number stands for, which need not be of this process.
    pub(crate) fn text_of(bits: u64) -> Box<str> {
        Epoch(bits).to_string().into()
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
