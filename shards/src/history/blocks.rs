//! The blocks of one room, of which the newest takes messages.

use std::collections::VecDeque;

use super::block::{Block, Frame};
use crate::memory::{HeapBytes, shared_capacity, vec_bytes};
use crate::tuning::Tuning;

/// How much memory blocks have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// The first one, and up to where it grows.
    pub(super) least: usize,
    pub(super) grown: usize,
    pub(super) most: usize,
    /// A larger frame has a block of its own and is not copied.
    pub(super) copied: usize,
}

impl Sizes {
    pub(super) fn new(tuning: &Tuning) -> Sizes {
        let (most, copied) = (tuning.large_block_bytes, tuning.copy_bytes);
        let least = tuning.small_block_bytes.min(most);
        Sizes { least, grown: tuning.grown_block_bytes.clamp(least, most), most, copied }
    }

    /// The memory of blocks of a room that keeps so many bytes by now and will keep so many: a quarter,
    /// since the oldest block is kept until all of its messages may go; as long as it keeps little, no
    /// more than blocks grow to. So rooms that are alike have blocks of one size, however much they keep,
    /// and what one of them leaves fits another.
    pub(super) fn block_bytes(&self, by_now: usize, at_last: usize) -> usize {
        let by_now = (by_now / 4).next_power_of_two().max(self.grown);
        let at_last = 1 << (at_last / 4).max(1).ilog2();
        by_now.min(at_last).clamp(self.least, self.most)
    }
}

/// Consecutive messages of one room, in blocks that follow each other.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// All but the newest.
    full: VecDeque<Block>,
    full_bytes: usize,
    /// The newest, which takes messages while nobody reads it and there is space.
    open: Option<Block>,
    /// Those that are dropped here, and not by others.
    pub(super) dropped: Vec<Block>,
}

/// The list begins with as many as fit the memory of a first block, which has left it by then.
const FIRST_BLOCKS: usize = 15;

/// A list for this many blocks keeps its memory.
const FEW_BLOCKS: usize = 16;

impl HeapBytes for Blocks {
    fn heap_bytes(&self) -> usize {
        let open = self.open.as_ref().map_or(0, Block::memory_bytes);
        vec_bytes::<Block>(self.full.capacity()) + self.full_bytes + open
    }
}

impl Blocks {
    /// From the oldest on.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Block> {
        self.full.iter().chain(&self.open)
    }

    pub(super) fn front(&self) -> Option<&Block> {
        self.full.front().or(self.open.as_ref())
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.full.len() + usize::from(self.open.is_some())
    }

    /// Those from the one with this message on.
    pub(super) fn from(&self, offset: u64) -> impl Iterator<Item = &Block> + Clone {
        let from = self.full.partition_point(|block| block.end() <= offset);
        let open = self.open.iter().filter(move |block| block.end() > offset);
        self.full.range(from..).chain(open)
    }

    /// Appends the message with this offset, where blocks have so much memory.
    pub(super) fn append(
        &mut self,
        (offset, second): (u64, u32),
        frame: Frame<'_>,
        block_bytes: usize,
        sizes: Sizes,
    ) {
        let bytes = frame.bytes();
        if bytes.len() > sizes.copied {
            self.close();
            self.open = Some(Block::whole(offset, frame, second));
        } else if !self.open.as_mut().is_some_and(|open| open.append(bytes, second)) {
            let mut open = self.with_space(offset, bytes, block_bytes, sizes);
            assert!(open.append(bytes, second), "a new block holds a message");
            self.open = Some(open);
        }
    }

    /// The newest block in more memory, as long as it is small and its own, or else one behind it; with
    /// space for this frame.
    fn with_space(&mut self, offset: u64, frame: &[u8], block_bytes: usize, sizes: Sizes) -> Block {
        let grown = block_bytes.min(sizes.grown);
        if let Some(open) = self.open.as_ref().and_then(|open| open.grown(frame, grown)) {
            return open;
        }
        let is_small = self.open.as_ref().is_none_or(|open| open.memory_bytes() < grown);
        self.close();
        Block::new(offset, if is_small { sizes.least } else { block_bytes }, frame)
    }

    /// Nothing more is appended to the newest block.
    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            if self.full.capacity() == 0 {
                self.full.reserve_exact(FIRST_BLOCKS);
            }
            let open = open.fitted();
            self.full_bytes += open.memory_bytes();
            self.full.push_back(open);
        }
    }

    /// Short blocks become one, as in a binary counter: each is at most twice as large as all behind it. So
    /// readers that come after each message and stay, each with a block of its own, have each message
    /// copied a few times at most, and leave few blocks, whatever their sizes.
    pub(super) fn join_short(&mut self, block_bytes: usize) {
        let most = shared_capacity(block_bytes);
        let (mut count, mut used) = (0, 0);
        for block in self.iter().rev() {
            let joins = used == 0 || block.used() / 2 <= used && block.used() + used <= most;
            if !block.is_packed() || !joins {
                break;
            }
            (count, used) = (count + 1, used + block.used());
        }
        if count > 1 {
            let short = self.full.split_off(self.full.len() + 1 - count);
            let joined = Block::joined(short.iter().chain(&self.open), 0);
            self.full_bytes -= short.iter().map(Block::memory_bytes).sum::<usize>();
            short.into_iter().for_each(|block| self.drop_block(block));
            self.open.replace(joined).into_iter().for_each(|block| self.drop_block(block));
        }
    }

    pub(super) fn drop_front(&mut self) {
        let front = self.full.pop_front();
        self.full_bytes -= front.as_ref().map_or(0, Block::memory_bytes);
        front.or_else(|| self.open.take()).into_iter().for_each(|block| self.drop_block(block));
        if self.front().is_none() {
            self.full = VecDeque::new();
        } else if self.full.capacity() > FEW_BLOCKS && self.full.len() < self.full.capacity() / 4 {
            self.full.shrink_to(2 * self.full.len());
        }
    }

    fn drop_block(&mut self, block: Block) {
        if block.is_shared() {
            self.dropped.push(block);
        }
    }

    /// Drops all of them.
    pub(super) fn clear(&mut self) {
        while self.front().is_some() {
            self.drop_front();
        }
    }

    /// Asserts that the sum is that of the blocks, and that these follow each other.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) {
        let full: usize = self.full.iter().map(Block::memory_bytes).sum();
        assert_eq!(self.full_bytes, full, "bytes of all blocks but the newest");
        assert!(self.open.is_some() || self.full.is_empty(), "the newest block is the open one");
        assert!(self.open.is_some() || self.heap_bytes() == 0, "without blocks there is no memory");
        for (block, next) in self.iter().zip(self.iter().skip(1)) {
            assert_eq!(block.end(), next.first(), "blocks follow each other");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_fits_where_the_first_block_was() {
        let (list, block) = (vec_bytes::<Block>(FIRST_BLOCKS), Tuning::DEFAULT.small_block_bytes);
        assert!(list <= block && block - list < 32, "{list} bytes of {block}");
        let mut blocks = Blocks::default();
        let sizes = Sizes::new(&Tuning::DEFAULT);
        for offset in 1..=60 {
            blocks.append((offset, 1), Frame::Loose(&[0; 300]), 1 << 10, sizes);
            blocks.check();
            let list = blocks.heap_bytes() - blocks.iter().map(Block::memory_bytes).sum::<usize>();
            let expected = [0, vec_bytes::<Block>(FIRST_BLOCKS)];
            assert!(blocks.count() > 16 || expected.contains(&list), "{list} bytes");
        }
        blocks.clear();
        assert_eq!((blocks.count(), blocks.heap_bytes()), (0, 0));
    }
}
