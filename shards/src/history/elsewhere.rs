//! Blocks that a home keeps no longer and others still refer to.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::block::Block;
use crate::memory::vec_bytes;
use crate::time::Time;

/// Blocks that one home has dropped and others may not have: connections of any shard that are sent
/// them, messages on their way, answers to callers. Their home counts them until it sees that they have
/// gone, so that each block is counted once, wherever it is.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    /// With the bytes of each.
    blocks: VecDeque<(Weak<Block>, usize)>,
    bytes: usize,
    looked_at: Time,
}

/// How many of them are looked at in one turn.
const LOOKS: usize = 16;

/// How often they are looked at without any other reason for a turn.
const INTERVAL: Duration = Duration::from_secs(1);

impl Elsewhere {
    /// The home drops a block.
    pub(super) fn add(&mut self, block: &Arc<Block>) {
        let bytes = block.memory_bytes();
        self.bytes += bytes;
        self.blocks.push_back((Arc::downgrade(block), bytes));
    }

    /// Looks at a few of them for whether they have gone.
    pub(super) fn on_time(&mut self, now: Time) {
        self.looked_at = now;
        for _ in 0..LOOKS.min(self.blocks.len()) {
            let Some((block, bytes)) = self.blocks.pop_front() else { return };
            match block.strong_count() {
                0 => self.bytes -= bytes,
                _ => self.blocks.push_back((block, bytes)),
            }
        }
        if self.blocks.is_empty() {
            self.blocks = VecDeque::new();
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        (!self.blocks.is_empty()).then(|| self.looked_at + INTERVAL)
    }

    /// Bytes of all of them, and of the list.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + vec_bytes::<(Weak<Block>, usize)>(self.blocks.capacity())
    }
}
