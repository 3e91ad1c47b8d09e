//! Blocks that a home keeps no longer and others still refer to.

use std::collections::VecDeque;
use std::time::Duration;

use super::block::{Block, WeakBlock};
use crate::memory::vec_bytes;
use crate::time::Time;

/// Blocks that one home has dropped and others may not have: connections of any shard that are sent
/// them, messages on their way, answers to callers. Their home counts them until it sees that they have
/// gone, so that each block is counted once, wherever it is.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    /// With the bytes of each.
    blocks: VecDeque<(WeakBlock, usize)>,
    bytes: usize,
    looked_at: Time,
    /// The last look ended before it came to one that is still referred to.
    goes_on: bool,
}

/// How many of them are looked at for each that is added: more, so that those which have gone are never
/// many.
const LOOKS_PER_BLOCK: usize = 2;

/// How many are looked at in one go, and in how many goes of one turn, while some have gone.
const LOOKS: usize = 16;
const LOOKS_PER_TURN: usize = 16;

/// How often they are looked at without any other reason for a turn, and while the last look ended early.
const INTERVAL: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(1);

impl Elsewhere {
    /// The home drops a block.
    pub(super) fn add(&mut self, block: &Block) {
        self.look(LOOKS_PER_BLOCK);
        let bytes = block.memory_bytes();
        self.bytes += bytes;
        self.blocks.push_back((block.downgrade(), bytes));
    }

    /// Looks at some of them for whether they have gone, and at more while that is so.
    pub(super) fn on_time(&mut self, now: Time) {
        self.looked_at = now;
        self.goes_on = (0..LOOKS_PER_TURN).all(|_| self.look(LOOKS) > 0);
        if self.blocks.is_empty() {
            self.blocks = VecDeque::new();
        }
    }

    /// Looks at so many, the oldest first. Returns how many of them have gone.
    fn look(&mut self, most: usize) -> usize {
        let before = self.blocks.len();
        for _ in 0..most.min(before) {
            let (block, bytes) = self.blocks.pop_front().expect("there are as many");
            match block.is_gone() {
                true => self.bytes -= bytes,
                false => self.blocks.push_back((block, bytes)),
            }
        }
        before - self.blocks.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let pause = if self.goes_on { PAUSE } else { INTERVAL };
        (!self.blocks.is_empty()).then(|| self.looked_at + pause)
    }

    /// Bytes of all of them, and of the list.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + vec_bytes::<(WeakBlock, usize)>(self.blocks.capacity())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        Block::new(1, 1_000, &[])
    }

    #[test]
    fn blocks_that_go_soon_are_not_counted_for_long() {
        let (mut elsewhere, one) = (Elsewhere::default(), block().memory_bytes());
        for _ in 0..1_000 {
            elsewhere.add(&block());
            assert!(elsewhere.blocks.len() <= 2, "{} are counted", elsewhere.blocks.len());
        }
        assert!(elsewhere.bytes <= 2 * one);
    }

    #[test]
    fn many_that_go_at_once_are_seen_within_a_second_in_turns_of_their_own() {
        let mut elsewhere = Elsewhere::default();
        let mut readers: Vec<_> = (0..10_000).map(|_| block()).collect();
        readers.iter().for_each(|block| elsewhere.add(block));
        let (first, mut turns) = (elsewhere.next_deadline().expect("there are some"), 0);
        readers.truncate(1);
        let mut now = first;
        while elsewhere.blocks.len() > 1 {
            let before = elsewhere.blocks.len();
            elsewhere.on_time(now);
            assert!(before - elsewhere.blocks.len() <= LOOKS * LOOKS_PER_TURN, "one turn's work");
            now = elsewhere.next_deadline().expect("one is there");
            turns += 1;
        }
        assert!(turns >= 10_000 / (LOOKS * LOOKS_PER_TURN), "{turns} turns");
        assert!(now < first + 2 * INTERVAL, "{now:?}");
        assert_eq!(elsewhere.bytes, readers[0].memory_bytes(), "one has a reader");
    }
}
