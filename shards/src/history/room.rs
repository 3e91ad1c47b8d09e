//! What is kept of one room's messages.

use std::time::Duration;

use super::block::{Block, Frame};
use super::blocks::{Blocks, Sizes};
use super::parts::{Part, Parts};
use crate::memory::HeapBytes;
use crate::policy::HistoryPolicy;
use crate::time::Time;

/// When a room that has ended is forgotten, and a number that makes these differ.
pub(crate) type Deadline = (Time, u64);

/// The newest messages of one room: as many as its policy keeps, unless memory is needed elsewhere.
///
/// Invariant: `first..next` are the offsets that are kept, and the oldest block, or the open one if
/// there is no other, holds `first`, unless there are none.
#[derive(Debug)]
pub(super) struct History {
    policy: HistoryPolicy,
    pub(super) blocks: Blocks,
    first: u64,
    next: u64,
    /// Bytes of the frames of the messages that are kept.
    bytes: usize,
    /// When the room is forgotten, if it has ended.
    pub(super) ended: Option<Deadline>,
    /// The second in which messages are looked at for their age.
    pub(super) due: Option<u32>,
}

impl HeapBytes for History {
    /// All of it can be evicted.
    fn heap_bytes(&self) -> usize {
        self.blocks.heap_bytes()
    }
}

impl History {
    /// Of a room whose next message has this offset.
    pub(super) fn new(policy: HistoryPolicy, next: u64) -> History {
        History {
            policy,
            blocks: Blocks::default(),
            first: next,
            next,
            bytes: 0,
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
        let block = self.blocks.from(offset).next()?;
        let index = (offset - block.first()) as usize;
        Some((block.second(index), block.slice(index..index + 1)))
    }

    /// How long messages are kept.
    pub(super) fn duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.policy.seconds))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first == self.next
    }

    /// Keeps the next message, numbered in this second, for as long as the policy says.
    pub(super) fn append(&mut self, frame: Frame<'_>, second: u32, sizes: Sizes) {
        let bytes = frame.bytes();
        if bytes.len() > self.policy.bytes {
            self.next += 1;
            return self.forget_until(self.next);
        }
        let block_bytes = self.block_bytes(sizes);
        self.blocks.append((self.next, second), frame, block_bytes, sizes);
        self.next += 1;
        self.bytes += bytes.len();
        self.forget_until(self.next.saturating_sub(self.policy.messages as u64));
        self.forget_bytes(self.bytes.saturating_sub(self.policy.bytes));
    }

    /// The memory that its next block has, once blocks do not grow any more.
    fn block_bytes(&self, sizes: Sizes) -> usize {
        let messages = (self.next - self.first).max(1) as usize;
        let most = (self.bytes / messages).saturating_mul(self.policy.messages);
        sizes.block_bytes(self.bytes, most.min(self.policy.bytes))
    }

    /// Forgets the oldest messages that have so many bytes together, and no more of them.
    fn forget_bytes(&mut self, bytes: usize) {
        let left = self.bytes - bytes;
        while self.bytes > left
            && let Some(front) = self.blocks.front()
        {
            let from = (self.first - front.first()) as usize;
            let until = front.first() + front.holding(from, self.bytes - left) as u64;
            self.forget_until(until);
        }
    }

    /// Keeps no message before this offset.
    fn forget_until(&mut self, offset: u64) {
        while let Some(front) = self.blocks.front() {
            let (first, end) = (front.first(), front.end());
            let to = offset.min(end);
            let messages = (self.first - first) as usize..(to.max(self.first) - first) as usize;
            let freed = front.slice(messages).len();
            self.bytes -= freed;
            self.first = self.first.max(to);
            if self.first < end {
                return;
            }
            self.blocks.drop_front();
        }
        self.first = self.first.max(offset);
    }

    /// Forgets the oldest block, because memory is needed elsewhere. Returns how many messages those
    /// were.
    pub(super) fn evict_oldest(&mut self) -> u64 {
        let before = self.first;
        if let Some(end) = self.blocks.front().map(Block::end) {
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
            let Some(front) = self.blocks.front() else { return freed };
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
        Some(self.blocks.front()?.newest().saturating_add(self.policy.seconds))
    }

    /// The messages from this offset on, or as many of them; none when some of them are not kept.
    pub(super) fn from(&mut self, offset: u64, limit: usize, sizes: Sizes) -> Option<Parts> {
        if offset < self.first {
            return None;
        }
        self.blocks.join_short(self.block_bytes(sizes));
        let end = self.next.min(offset.saturating_add(limit as u64));
        let blocks = self.blocks.from(offset).take_while(|block| block.first() < end);
        // It may wait for a client for long.
        let mut parts = Vec::with_capacity(blocks.clone().count());
        parts.extend(blocks.map(|block| {
            let messages = offset.max(block.first()) - block.first();
            let end = end.min(block.end()) - block.first();
            Part { block: block.clone(), messages: messages as usize..end as usize }
        }));
        Some(Parts::new(parts))
    }

    /// The newest messages, at most so many.
    pub(super) fn newest(&mut self, messages: usize, sizes: Sizes) -> Parts {
        let first = self.first.max(self.next.saturating_sub(messages as u64));
        self.from(first, messages, sizes).unwrap_or_default()
    }

    /// Asserts the invariant, and that the sums are those of its blocks.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) {
        self.blocks.check();
        let front = self.blocks.front().map_or(self.next, Block::first);
        assert!(front <= self.first, "the oldest block has the oldest message");
        for block in self.blocks.iter() {
            assert!(block.end() > block.first().max(self.first), "a block has messages to keep");
        }
        let end = self.blocks.iter().last().map_or(self.next, Block::end);
        assert_eq!(end, self.next, "the newest block has the newest message");
        let gone = |front: &Block| front.slice(0..(self.first - front.first()) as usize).len();
        let gone = self.blocks.front().map_or(0, gone);
        let bytes = self.blocks.iter().map(Block::len).sum::<usize>() - gone;
        assert_eq!(self.bytes, bytes, "bytes that are kept");
        assert!(self.next - self.first <= self.policy.messages as u64, "no more than may be");
        assert!(bytes <= self.policy.bytes, "no more bytes than may be");
        assert!(self.is_empty() || self.due.is_some(), "what is kept is looked at some time");
    }
}

/// Nanoseconds of a second.
pub(super) const NANOS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::block::Kept;
    use super::*;
    use crate::memory::vec_bytes;
    use crate::tuning::Tuning;
    use crate::wire::{Opcode, push_frame};

    const SIZES: Sizes = Sizes { least: 64, grown: 128, most: 256, copied: 200 };
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
        assert_eq!((history.heap_bytes(), history.next_due()), (0, None));
    }

    #[test]
    fn readers_after_each_message_leave_few_blocks_however_long_they_stay() {
        for stay in [0, 1, 50] {
            let mut history = history(MANY);
            let mut readers = VecDeque::new();
            for n in 1..=2_000 {
                append(&mut history, 1, 5);
                let parts = history.from(n, usize::MAX, SIZES).expect("it is kept");
                assert_eq!(offsets(&parts), [n]);
                readers.push_back(parts);
                readers.drain(..readers.len().saturating_sub(stay));
                history.check();
            }
            let used: usize = history.blocks.iter().map(Block::used).sum();
            let blocks = history.blocks.count();
            assert!(blocks <= 1 + 3 * used / SIZES.most, "{blocks} blocks of {used} bytes");
        }
    }

    #[test]
    fn a_reader_after_each_message_leaves_few_blocks_whatever_their_sizes() {
        const SIZES: Sizes = Sizes { least: 64, grown: 256, most: 64 << 10, copied: 16 << 10 };
        type Letters = fn(usize) -> usize;
        let rows: [Letters; 4] = [|n| 820 - n, |n| n, |n| 3_000 >> (n % 8), |n| n * 7_919 % 800];
        for letters in rows {
            let mut history = history(MANY);
            let (mut copied, mut readers) = (0, Vec::new());
            for n in 1..=800 {
                append_to(&mut history, 1, letters(n), SIZES);
                let blocks = history.blocks.count();
                readers.push(history.from(n as u64, 1, SIZES).expect("it is kept"));
                history.check();
                let newest = history.blocks.iter().last().expect("it is kept");
                copied += if newest.first() < n as u64 { newest.len() } else { 0 };
                assert!(history.blocks.count() <= blocks, "no more than without a reader");
            }
            let most = 12 + 4 * history.bytes / SIZES.most;
            assert!(history.blocks.count() <= most, "{} blocks", history.blocks.count());
            assert!(copied <= 16 * history.bytes, "{copied} of {} bytes", history.bytes);
        }
    }

    /// The memory of each block, the oldest first.
    fn memories(history: &History) -> Vec<usize> {
        history.blocks.iter().map(Block::memory_bytes).collect()
    }

    const DEFAULT: HistoryPolicy = HistoryPolicy { messages: 50, bytes: 256 << 10, seconds: 600 };

    #[test]
    fn rooms_that_are_alike_have_blocks_of_one_size_however_much_they_keep() {
        let sizes = Sizes::new(&Tuning::DEFAULT);
        let mut history = history(DEFAULT);
        let mut seen = Vec::new();
        for _ in 0..12 {
            append_to(&mut history, 1, 340, sizes);
            seen.extend(memories(&history));
        }
        seen.dedup();
        assert_eq!(seen, [512, 1 << 10, 2 << 10, 4 << 10], "the first block grows");
        for n in 0..500 {
            append_to(&mut history, 1, 340, sizes);
            if n % 100 == 99 {
                (0..3).for_each(|_| assert!(history.evict_oldest() > 0));
            }
            assert!(memories(&history).iter().all(|memory| *memory == 4 << 10));
            let list = history.heap_bytes() - memories(&history).iter().sum::<usize>();
            assert!(list <= vec_bytes::<Block>(16), "the list has {list} bytes");
        }
    }

    #[test]
    fn blocks_have_a_quarter_of_what_is_kept_and_little_that_is_unused() {
        let sizes = Sizes::new(&Tuning::DEFAULT);
        for (messages, letters) in [(50, 40), (50, 340), (50, 1_300), (50, 5_000), (1_000, 300)] {
            let mut history = history(HistoryPolicy { messages, ..DEFAULT });
            for n in 1..=3 * messages {
                append_to(&mut history, 1, letters, sizes);
                let (kept, takes) = (history.bytes, memories(&history).iter().sum::<usize>());
                assert!(takes <= 2 * kept + (4 << 10), "{n} of {letters}: {takes} for {kept}");
            }
            let (kept, takes) = (history.bytes, memories(&history).iter().sum::<usize>());
            assert!(takes <= kept * 8 / 5, "{letters}: {takes} bytes for {kept}");
            assert!((3..=16).contains(&history.blocks.count()), "{:?}", history.blocks);
        }
    }

    #[test]
    fn a_reader_that_has_gone_leaves_nothing_behind() {
        let sizes = Sizes::new(&Tuning::DEFAULT);
        let (mut read, mut unread) = (history(DEFAULT), history(DEFAULT));
        for n in 1..=200 {
            append_to(&mut read, 1, 340, sizes);
            append_to(&mut unread, 1, 340, sizes);
            assert!(read.from(n, 50, sizes).is_some());
            assert_eq!(memories(&read), memories(&unread));
        }
    }

    #[test]
    fn readers_of_the_same_messages_share_them() {
        let mut history = history(MANY);
        (1..=10).for_each(|_| append(&mut history, 1, 20));
        let before = history.heap_bytes();
        let parts: Vec<_> = (0..100).map(|_| history.newest(10, SIZES)).collect();
        assert!(history.heap_bytes() <= before, "nothing more is kept");
        let blocks = |parts: &Parts| -> Vec<*const u8> {
            parts.clone().into_parts().iter().map(|part| part.frames().as_ptr()).collect()
        };
        assert!(parts.iter().all(|other| blocks(other) == blocks(&parts[0])), "the same blocks");
    }

    #[test]
    fn what_a_reader_is_given_takes_the_memory_of_what_it_reads() {
        let mut history = history(MANY);
        (1..=200).for_each(|_| append(&mut history, 1, 100));
        assert!(history.blocks.count() > 50, "{} blocks", history.blocks.count());
        for (offset, limit) in [(1, 1), (100, 1), (200, 1), (200, 1_000), (1, 20), (201, 10)] {
            let parts = history.from(offset, limit, SIZES).expect("all are kept").into_parts();
            assert_eq!(parts.capacity(), parts.len(), "{limit} messages from {offset} on");
        }
    }

    #[test]
    fn a_message_that_is_too_long_leaves_nothing_before_it() {
        let mut history = history(HistoryPolicy { bytes: 1_000, ..MANY });
        (1..=5).for_each(|_| append(&mut history, 1, 100));
        append(&mut history, 1, 1_000);
        assert_eq!((history.first, history.next, history.heap_bytes()), (7, 7, 0));
        assert!(history.from(6, 1, SIZES).is_none(), "who missed it is refused");
        append(&mut history, 1, 100);
        assert_eq!(offsets(&history.newest(10, SIZES)), [7]);
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
        assert_eq!((gone, history.heap_bytes()), (30, 0));
        assert_eq!(offsets(&parts), (1..=30).collect::<Vec<_>>());
        append(&mut history, 2, 20);
        assert_eq!(offsets(&history.newest(30, SIZES)), [31]);
    }
}
