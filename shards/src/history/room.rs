//! What is kept of one room's messages.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::block::{Block, Frame, Part, Parts};
use crate::memory::{HeapBytes, vec_bytes};
use crate::policy::HistoryPolicy;
use crate::time::Time;
use crate::tuning::Tuning;

/// When a room that has ended is forgotten, and a number that makes these differ.
pub(crate) type Deadline = (Time, u64);

/// How large blocks become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    least: usize,
    most: usize,
    /// A larger frame has a block of its own and is not copied.
    copied: usize,
}

impl Sizes {
    pub(super) fn new(tuning: &Tuning) -> Sizes {
        let most = tuning.large_block_bytes;
        Sizes { least: tuning.small_block_bytes.min(most), most, copied: tuning.copy_bytes }
    }
}

/// The newest messages of one room: as many as its policy keeps, unless memory is needed elsewhere.
///
/// Invariant: `first..next` are the offsets that are kept, and the oldest block, or the open one if
/// there is no other, holds `first`, unless there are none.
#[derive(Debug)]
pub(super) struct History {
    policy: HistoryPolicy,
    blocks: VecDeque<Arc<Block>>,
    /// The block that still grows.
    open: Option<Block>,
    first: u64,
    next: u64,
    /// Bytes of the frames of the messages that are kept.
    bytes: usize,
    /// Bytes of memory of the blocks that do not grow any more.
    sealed_bytes: usize,
    /// Blocks that it has dropped, and others have not.
    pub(super) dropped: Vec<Arc<Block>>,
    /// When the room is forgotten, if it has ended.
    pub(super) ended: Option<Deadline>,
    /// The second in which messages are looked at for their age.
    pub(super) due: Option<u32>,
}

impl HeapBytes for History {
    fn heap_bytes(&self) -> usize {
        vec_bytes::<Arc<Block>>(self.blocks.capacity()) + self.evictable_bytes()
    }
}

impl History {
    /// Of a room whose next message has this offset.
    pub(super) fn new(policy: HistoryPolicy, next: u64) -> History {
        History {
            policy,
            blocks: VecDeque::new(),
            open: None,
            first: next,
            next,
            bytes: 0,
            sealed_bytes: 0,
            dropped: Vec::new(),
            ended: None,
            due: None,
        }
    }

    /// Of a room whose next message has this offset, and that has none before it.
    pub(super) fn begin_at(&mut self, next: u64) {
        debug_assert!(self.is_empty(), "nothing was kept before");
        (self.first, self.next) = (next, next);
    }

    /// The offset of its last message, also when that is not kept.
    pub(super) fn last(&self) -> u64 {
        self.next - 1
    }

    /// When a message was numbered, and its frame, if it is kept.
    pub(super) fn message(&self, offset: u64) -> Option<(u32, &[u8])> {
        if !(self.first..self.next).contains(&offset) {
            return None;
        }
        let index = self.blocks.partition_point(|block| block.end() <= offset);
        let block = self.blocks.get(index).map(|block| &**block).or(self.open.as_ref())?;
        let index = (offset - block.first()) as usize;
        Some((block.second(index), block.slice(index..index + 1)))
    }

    /// How long messages are kept.
    pub(super) fn duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.policy.seconds))
    }

    /// Bytes of memory of its blocks.
    pub(super) fn evictable_bytes(&self) -> usize {
        self.sealed_bytes + self.open.as_ref().map_or(0, Block::memory_bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first == self.next
    }

    /// Keeps the next message, numbered in this second, for as long as the policy says.
    pub(super) fn append(&mut self, frame: Frame<'_>, second: u32, sizes: Sizes) {
        let bytes = frame.bytes();
        self.next += 1;
        if bytes.len() > self.policy.bytes {
            return self.forget_until(self.next);
        }
        let first = self.next - 1;
        if bytes.len() > sizes.copied {
            self.seal();
            self.push(Block::whole(first, frame, second));
        } else if !self.open.as_mut().is_some_and(|open| open.append(bytes, second)) {
            self.seal();
            let mut open = Block::with_capacity(first, self.block_bytes(sizes).max(bytes.len()));
            assert!(open.append(bytes, second), "a new block holds a message");
            self.open = Some(open);
        }
        self.bytes += bytes.len();
        self.forget_until(self.next.saturating_sub(self.policy.messages as u64));
        self.forget_bytes(self.bytes.saturating_sub(self.policy.bytes));
    }

    /// A quarter of what is kept: the oldest block is kept until all of its messages may go.
    fn block_bytes(&self, sizes: Sizes) -> usize {
        (self.bytes / 4).next_power_of_two().clamp(sizes.least, sizes.most)
    }

    fn seal(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.seal();
            self.push(open);
        }
    }

    fn push(&mut self, block: Block) {
        self.sealed_bytes += block.memory_bytes();
        self.blocks.push_back(Arc::new(block));
    }

    /// From here on every message is in a block that can be shared. Short ones become one, as in a binary
    /// counter: each is at most twice as large as all behind it. So a reader that comes after each message
    /// copies each a few times at most, and leaves few blocks, whatever their sizes.
    fn share(&mut self, sizes: Sizes) {
        self.seal();
        let most = self.block_bytes(sizes);
        let (mut from, mut len) = (self.blocks.len(), 0);
        for block in self.blocks.iter().rev() {
            let joins = len == 0 || block.len() / 2 <= len && block.len() + len <= most;
            if !block.is_packed() || !joins {
                break;
            }
            (from, len) = (from - 1, len + block.len());
        }
        if self.blocks.len() - from > 1 {
            let short = self.blocks.split_off(from);
            self.push(Block::joined(&short));
            short.into_iter().for_each(|block| self.drop_block(block));
        }
    }

    /// The block with the oldest message.
    fn front(&self) -> Option<&Block> {
        self.blocks.front().map(|block| &**block).or(self.open.as_ref())
    }

    /// Forgets the oldest messages that have so many bytes together, and no more of them.
    fn forget_bytes(&mut self, bytes: usize) {
        let left = self.bytes - bytes;
        while self.bytes > left
            && let Some(front) = self.front()
        {
            let from = (self.first - front.first()) as usize;
            let until = front.first() + front.holding(from, self.bytes - left) as u64;
            self.forget_until(until);
        }
    }

    /// Keeps no message before this offset.
    fn forget_until(&mut self, offset: u64) {
        while let Some(front) = self.front() {
            let (first, end) = (front.first(), front.end());
            let to = offset.min(end);
            let messages = (self.first - first) as usize..(to.max(self.first) - first) as usize;
            let freed = front.slice(messages).len();
            self.bytes -= freed;
            self.first = self.first.max(to);
            if self.first < end {
                return;
            }
            match self.blocks.pop_front() {
                Some(block) => self.drop_block(block),
                None => self.open = None,
            }
            if self.blocks.capacity() > FEW_BLOCKS && self.blocks.len() < self.blocks.capacity() / 4
            {
                self.blocks.shrink_to(2 * self.blocks.len());
            }
        }
        self.first = self.first.max(offset);
    }

    fn drop_block(&mut self, block: Arc<Block>) {
        self.sealed_bytes -= block.memory_bytes();
        if Arc::strong_count(&block) > 1 {
            self.dropped.push(block);
        }
    }

    /// It is closed: drops all of its blocks.
    pub(super) fn drop_blocks(&mut self) {
        self.open = None;
        while let Some(block) = self.blocks.pop_front() {
            self.drop_block(block);
        }
    }

    /// Forgets the oldest block, because memory is needed elsewhere. Returns how many messages those
    /// were.
    pub(super) fn evict_oldest(&mut self) -> u64 {
        let before = self.first;
        if let Some(end) = self.front().map(Block::end) {
            self.forget_until(end);
        }
        self.first - before
    }

    /// Forgets the messages that are too old, where `now` is in nanoseconds, or those of so many blocks.
    /// Returns how many blocks that frees.
    pub(super) fn expire(&mut self, now: u64, blocks: usize) -> usize {
        let Some(over) = (now / NANOS).checked_sub(u64::from(self.policy.seconds)) else {
            return 0;
        };
        for freed in 0..blocks {
            let Some(front) = self.front() else { return freed };
            let (until, end) = (front.until(over), front.end());
            self.forget_until(until);
            if until < end {
                return freed;
            }
        }
        blocks
    }

    /// The second in which the newest message of the oldest block is too old.
    pub(super) fn next_due(&self) -> Option<u32> {
        Some(self.front()?.newest().saturating_add(self.policy.seconds))
    }

    /// The messages from this offset on, or as many of them; none when some of them are not kept.
    pub(super) fn from(&mut self, offset: u64, limit: usize, sizes: Sizes) -> Option<Parts> {
        if offset < self.first {
            return None;
        }
        self.share(sizes);
        let end = self.next.min(offset.saturating_add(limit as u64));
        let from = self.blocks.partition_point(|block| block.end() <= offset);
        let blocks = self.blocks.range(from..).take_while(|block| block.first() < end);
        let part = |block: &Arc<Block>| {
            let messages = offset.max(block.first()) - block.first();
            let end = end.min(block.end()) - block.first();
            Part { block: Arc::clone(block), messages: messages as usize..end as usize }
        };
        Some(Parts::new(blocks.map(part).collect()))
    }

    /// The newest messages, at most so many.
    pub(super) fn newest(&mut self, messages: usize, sizes: Sizes) -> Parts {
        let first = self.first.max(self.next.saturating_sub(messages as u64));
        self.from(first, messages, sizes).unwrap_or_default()
    }

    /// Asserts the invariant, and that the sums are those of its blocks.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) {
        let blocks = || self.blocks.iter().map(|block| &**block).chain(self.open.as_ref());
        let sealed: usize = self.blocks.iter().map(|block| block.memory_bytes()).sum();
        assert_eq!(self.sealed_bytes, sealed, "bytes of sealed blocks");
        let mut next = self.front().map_or(self.next, Block::first);
        assert!(next <= self.first, "the oldest block has the oldest message");
        for block in blocks() {
            assert_eq!(block.first(), next, "blocks follow each other");
            assert!(block.end() > block.first().max(self.first), "a block has messages to keep");
            next = block.end();
        }
        assert_eq!(next, self.next, "the newest block has the newest message");
        let before = self
            .front()
            .map_or(0, |front| front.slice(0..(self.first - front.first()) as usize).len());
        let bytes = blocks().map(Block::len).sum::<usize>() - before;
        assert_eq!(self.bytes, bytes, "bytes that are kept");
        assert!(self.next - self.first <= self.policy.messages as u64, "no more than may be");
        assert!(bytes <= self.policy.bytes, "no more bytes than may be");
        assert!(self.is_empty() || self.due.is_some(), "what is kept is looked at some time");
    }
}

/// Memory for this many blocks is kept.
const FEW_BLOCKS: usize = 16;

/// Nanoseconds of a second.
pub(super) const NANOS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::block::Kept;
    use super::*;
    use crate::wire::{Opcode, push_frame};

    const SIZES: Sizes = Sizes { least: 64, most: 256, copied: 200 };
    const MANY: HistoryPolicy = HistoryPolicy { messages: 1_000, bytes: 1 << 20, seconds: 10 };

    fn history(policy: HistoryPolicy) -> History {
        History::new(policy, 1)
    }

    /// Appends the next message, whose text is its offset and so many letters.
    fn append(history: &mut History, second: u32, letters: usize) {
        append_to(history, second, letters, SIZES);
    }

    fn append_to(history: &mut History, second: u32, letters: usize, sizes: Sizes) {
        let mut frame = Vec::new();
        let text = format!("{} {}", history.next, "x".repeat(letters));
        push_frame(&mut frame, Opcode::Text, text.as_bytes());
        history.append(Frame::Loose(&frame), second, sizes);
        history.due = history.next_due();
        history.check();
    }

    fn offsets(parts: &Parts) -> Vec<u64> {
        let offset = |kept: Kept<'_>| {
            let text = str::from_utf8(kept.payload).expect("text");
            assert!(text.starts_with(&format!("{} ", kept.offset)), "{text}");
            kept.offset
        };
        parts.iter().map(offset).collect()
    }

    #[test]
    fn every_message_is_there_from_any_offset_on() {
        let mut history = history(MANY);
        for n in 1..=60 {
            append(&mut history, 1, [3, 40, 250][n % 3]);
        }
        for from in 1..=61 {
            let parts = history.from(from, usize::MAX, SIZES).expect("all are kept");
            assert_eq!(offsets(&parts), (from..61).collect::<Vec<_>>());
            let few = history.from(from, 5, SIZES).expect("all are kept");
            assert_eq!(offsets(&few), (from..61).take(5).collect::<Vec<_>>());
            let newest = history.newest(61 - from as usize, SIZES);
            assert_eq!(offsets(&newest), (from..61).collect::<Vec<_>>());
        }
        assert_eq!(offsets(&history.newest(1_000, SIZES)).len(), 60);
    }

    #[test]
    fn as_many_messages_and_bytes_are_kept_as_may_be_and_never_fewer() {
        for (messages, bytes) in [(1, 1 << 20), (7, 1 << 20), (1_000, 300), (1_000, 1)] {
            let mut history = history(HistoryPolicy { messages, bytes, ..MANY });
            for n in 1..=100_u64 {
                append(&mut history, 1, 20);
                let frame = 2 + 20 + 1 + n.to_string().len();
                let fit = messages.min(bytes / frame) as u64;
                assert!(history.next - history.first >= fit.min(n), "{messages} {bytes}");
            }
            let oldest = history.first;
            assert!(history.from(oldest - 1, 1, SIZES).is_none(), "it is gone");
            assert!(history.from(oldest, 1, SIZES).is_some(), "it is there");
        }
        let mut three = history(HistoryPolicy { bytes: 3 * 30, ..MANY });
        (1..=20).for_each(|_| append(&mut three, 1, 26));
        assert_eq!((three.first, three.next), (19, 21), "frames of 31 bytes");
    }

    #[test]
    fn a_message_goes_when_it_is_too_old_and_not_before() {
        let mut history = history(MANY);
        (1..=20).for_each(|second| append(&mut history, second, 30));
        for second in 1..=35_u64 {
            history.expire(second * NANOS - 1, usize::MAX);
            history.check();
            let expected = (second - 1).saturating_sub(10).min(20) + 1;
            assert_eq!(history.first, expected, "just before second {second}");
        }
        assert_eq!((history.evictable_bytes(), history.next_due()), (0, None));
    }

    #[test]
    fn a_reader_after_each_message_leaves_few_blocks() {
        let mut history = history(MANY);
        for n in 1..=2_000 {
            append(&mut history, 1, 5);
            let parts = history.from(n, usize::MAX, SIZES).expect("it is kept");
            assert_eq!(offsets(&parts), [n]);
            history.check();
        }
        let bytes: usize = history.bytes;
        assert!(history.blocks.len() <= 4 * bytes / SIZES.most, "{} blocks", history.blocks.len());
    }

    #[test]
    fn a_reader_after_each_message_leaves_few_blocks_whatever_their_sizes() {
        const SIZES: Sizes = Sizes { least: 64, most: 64 << 10, copied: 16 << 10 };
        type Letters = fn(usize) -> usize;
        let rows: [Letters; 4] = [|n| 820 - n, |n| n, |n| 3_000 >> (n % 8), |n| n * 7_919 % 800];
        for letters in rows {
            let mut history = history(MANY);
            let (mut copied, mut len) = (0, 0);
            for n in 1..=800 {
                append_to(&mut history, 1, letters(n), SIZES);
                let before: BTreeSet<u64> =
                    history.blocks.iter().map(|block| block.first()).collect();
                let blocks = history.blocks.len();
                assert!(history.from(n as u64, 1, SIZES).is_some(), "it is kept");
                history.check();
                let last = history.blocks.back().expect("it is kept");
                let merged = before.range(last.first()..).count();
                copied += if merged > 0 { last.len() } else { 0 };
                len = last.len().max(len);
                assert!(history.blocks.len() <= blocks + 1, "one more at most");
            }
            let most = 12 + 4 * history.bytes / SIZES.most;
            assert!(history.blocks.len() <= most, "{} blocks", history.blocks.len());
            assert!(copied <= 16 * history.bytes, "{copied} of {} bytes", history.bytes);
        }
    }

    #[test]
    fn readers_of_the_same_messages_share_them() {
        let mut history = history(MANY);
        (1..=10).for_each(|_| append(&mut history, 1, 20));
        let before = history.evictable_bytes();
        let parts: Vec<_> = (0..100).map(|_| history.newest(10, SIZES)).collect();
        assert!(history.evictable_bytes() <= before, "nothing more is kept");
        let blocks = |parts: &Parts| -> Vec<*const Block> {
            parts.clone().into_parts().iter().map(|part| Arc::as_ptr(&part.block)).collect()
        };
        assert!(parts.iter().all(|other| blocks(other) == blocks(&parts[0])), "the same blocks");
    }

    #[test]
    fn what_is_evicted_is_the_oldest_and_readers_keep_what_they_have() {
        let mut history = history(MANY);
        (1..=30).for_each(|_| append(&mut history, 1, 20));
        let parts = history.newest(30, SIZES);
        let mut gone = 0;
        while !history.is_empty() {
            let evicted = history.evict_oldest();
            assert!(evicted > 0, "each time a block goes");
            gone += evicted;
            history.check();
            assert_eq!(history.first, gone + 1);
        }
        assert_eq!((gone, history.evictable_bytes()), (30, 0));
        assert_eq!(offsets(&parts), (1..=30).collect::<Vec<_>>());
        append(&mut history, 2, 20);
        assert_eq!(offsets(&history.newest(30, SIZES)), [31]);
    }
}
