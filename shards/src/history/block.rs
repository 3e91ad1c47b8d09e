//! Blocks: consecutive messages of one room in memory that is shared and does not change while it is.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Weak};

use crate::log::Rest;
use crate::memory::{shared_bytes, shared_capacity, stepped};
use crate::wire::{Opcode, server_frame_len, server_payload};

/// Consecutive messages of one room as WebSocket frames, one behind the other. A copy refers to the same
/// memory, and a block grows only while there is no copy: what is shared never changes.
#[derive(Clone)]
pub struct Block {
    /// The offset of its first message.
    first: u64,
    /// How many messages it has.
    count: u32,
    memory: Memory,
}

/// One allocation per block, of a size that many blocks have: what one of them leaves fits the next.
#[derive(Clone)]
enum Memory {
    /// Small frames, copied one behind the other from the start on, and what is known of each of them
    /// from the end on backwards.
    Packed(Arc<[u8]>),
    /// One large frame.
    Whole(Arc<Whole>),
}

/// One large frame, referred to.
#[derive(Debug)]
struct Whole {
    frame: Arc<[u8]>,
    second: u32,
}

/// Where a message ends, and the second in which it was numbered, rounded up.
#[derive(Clone, Copy)]
struct Entry {
    end: u32,
    second: u32,
}

/// Bytes of an entry in the memory of a block.
const ENTRY: usize = 8;

impl Entry {
    fn read(bytes: &[u8]) -> Entry {
        let bytes = bytes.first_chunk::<ENTRY>().expect("entries are whole");
        let bits = u64::from_ne_bytes(*bytes);
        Entry { end: (bits >> 32) as u32, second: bits as u32 }
    }

    fn write(self, bytes: &mut [u8]) {
        let bits = u64::from(self.end) << 32 | u64::from(self.second);
        bytes[..ENTRY].copy_from_slice(&bits.to_ne_bytes());
    }

    /// Where one is in so many bytes of memory.
    fn at(memory: usize, index: usize) -> usize {
        memory - (index + 1) * ENTRY
    }
}

/// A frame that a block is to keep.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Frame<'a> {
    /// One that is shared already.
    Shared(&'a Arc<[u8]>),
    /// One that is nowhere else.
    Loose(&'a [u8]),
}

impl Frame<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Frame::Shared(frame) => frame,
            Frame::Loose(frame) => frame,
        }
    }

    fn share(self) -> Arc<[u8]> {
        match self {
            Frame::Shared(frame) => Arc::clone(frame),
            Frame::Loose(frame) => Arc::from(frame),
        }
    }
}

impl Block {
    /// An empty block of so many bytes of memory, or as many as this frame needs.
    pub(super) fn new(first: u64, memory: usize, frame: &[u8]) -> Block {
        Block::empty(first, memory.max(memory_for(frame.len() + ENTRY)))
    }

    fn empty(first: u64, memory: usize) -> Block {
        let bytes = std::iter::repeat_n(0, shared_capacity(memory));
        Block { first, count: 0, memory: Memory::Packed(bytes.collect()) }
    }

    /// A block of one large message.
    pub(super) fn whole(first: u64, frame: Frame<'_>, second: u32) -> Block {
        let whole = Whole { frame: frame.share(), second };
        Block { first, count: 1, memory: Memory::Whole(Arc::new(whole)) }
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    fn messages(&self) -> usize {
        self.count as usize
    }

    /// The offset after its last message.
    pub(super) fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    fn all(&self) -> &[u8] {
        match &self.memory {
            Memory::Packed(memory) => memory,
            Memory::Whole(whole) => &whole.frame,
        }
    }

    fn entry(&self, index: usize) -> Entry {
        debug_assert!(index < self.messages(), "{self:?} has no message {index}");
        match &self.memory {
            Memory::Packed(memory) => Entry::read(&memory[Entry::at(memory.len(), index)..]),
            Memory::Whole(whole) => {
                let end = u32::try_from(whole.frame.len()).expect("a message is below 4 GiB");
                Entry { end, second: whole.second }
            }
        }
    }

    /// How many messages there are before the first one for which this does not hold.
    fn partition(&self, holds: impl Fn(Entry) -> bool) -> usize {
        let (mut from, mut to) = (0, self.messages());
        while from < to {
            let middle = from.midpoint(to);
            match holds(self.entry(middle)) {
                true => from = middle + 1,
                false => to = middle,
            }
        }
        from
    }

    /// Bytes of its frames.
    pub(super) fn len(&self) -> usize {
        self.start(self.messages())
    }

    /// Bytes of memory of its frames, and of what is known of each.
    pub(super) fn used(&self) -> usize {
        self.len() + self.messages() * ENTRY
    }

    /// Appends a frame if it fits without moving the others and nobody else refers to them.
    pub(super) fn append(&mut self, frame: &[u8], second: u32) -> bool {
        let (from, used, index) = (self.len(), self.used(), self.messages());
        let Memory::Packed(memory) = &mut self.memory else { return false };
        if used + frame.len() + ENTRY > memory.len() {
            return false;
        }
        let Some(memory) = Arc::get_mut(memory) else { return false };
        let to = from + frame.len();
        memory[from..to].copy_from_slice(frame);
        let end = u32::try_from(to).expect("a block is far below 4 GiB");
        let at = Entry::at(memory.len(), index);
        Entry { end, second }.write(&mut memory[at..]);
        self.count += 1;
        true
    }

    /// The same in twice as much memory, or as much as one more frame needs; none if that is more than
    /// `most`, or if the memory is not its own.
    pub(super) fn grown(&self, frame: &[u8], most: usize) -> Option<Block> {
        let needed = memory_for(self.used() + frame.len() + ENTRY);
        let may_grow = self.is_own() && self.memory_bytes() < most && needed <= most;
        may_grow.then(|| {
            let memory = needed.max(most.min(2 * self.memory_bytes()));
            Block::joined(std::iter::once(self), memory)
        })
    }

    /// The same without memory that is not used, if that is much and the memory is its own.
    pub(super) fn fitted(self) -> Block {
        let needed = memory_for(self.used());
        match self.is_own() && self.memory_bytes().saturating_sub(needed) > needed / 8 {
            true => Block::joined(std::iter::once(&self), needed),
            false => self,
        }
    }

    /// Consecutive blocks of copies in one of so many bytes of memory, or as many as they need.
    pub(super) fn joined<'a>(
        blocks: impl Iterator<Item = &'a Block> + Clone,
        memory: usize,
    ) -> Block {
        let first = blocks.clone().next().map_or(0, Block::first);
        let used = blocks.clone().map(Block::used).sum();
        let mut joined = Block::empty(first, memory.max(memory_for(used)));
        for block in blocks {
            debug_assert_eq!(block.first, joined.end(), "blocks follow each other");
            for index in 0..block.messages() {
                let frame = block.slice(index..index + 1);
                let fits = joined.append(frame, block.second(index));
                debug_assert!(fits, "it has memory for all of them");
            }
        }
        joined
    }

    /// Whether its frames are copies, one behind the other.
    pub(super) fn is_packed(&self) -> bool {
        matches!(self.memory, Memory::Packed(_))
    }

    /// Whether its frames are copies to which nobody else refers.
    fn is_own(&self) -> bool {
        self.is_packed() && !self.is_shared()
    }

    /// Whether somebody else refers to the same.
    pub(crate) fn is_shared(&self) -> bool {
        let holders = match &self.memory {
            Memory::Packed(memory) => Arc::strong_count(memory),
            Memory::Whole(whole) => Arc::strong_count(whole),
        };
        holders > 1
    }

    /// What tells whether anybody still refers to it.
    pub(super) fn downgrade(&self) -> WeakBlock {
        WeakBlock(match &self.memory {
            Memory::Packed(memory) => WeakMemory::Packed(Arc::downgrade(memory)),
            Memory::Whole(whole) => WeakMemory::Whole(Arc::downgrade(whole)),
        })
    }

    /// The offset before which all messages were numbered in this second or earlier.
    pub(super) fn until(&self, second: u64) -> u64 {
        let older = self.partition(|entry| u64::from(entry.second) <= second);
        self.first + older as u64
    }

    /// The index behind so many messages, from this one on, as have this many bytes together; behind the
    /// last if all have fewer.
    pub(super) fn holding(&self, from: usize, bytes: usize) -> usize {
        let end = self.start(from) + bytes;
        let whole = self.partition(|entry| (entry.end as usize) < end);
        (whole + 1).min(self.messages())
    }

    /// When a message was numbered, counted within the block.
    pub(super) fn second(&self, index: usize) -> u32 {
        self.entry(index).second
    }

    /// When its last message was numbered.
    pub(super) fn newest(&self) -> u32 {
        self.messages().checked_sub(1).map_or(0, |last| self.second(last))
    }

    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.entry(before).end as usize)
    }

    /// The frames of some messages, counted within the block.
    pub(crate) fn slice(&self, messages: Range<usize>) -> &[u8] {
        &self.all()[self.start(messages.start)..self.start(messages.end)]
    }

    /// Which message the byte `taken` bytes after the start of message `from` belongs to, and where in
    /// it.
    pub(super) fn locate(&self, from: usize, taken: usize) -> (usize, usize) {
        let byte = self.start(from) + taken;
        let index = self.partition(|entry| entry.end as usize <= byte);
        (index, byte - self.start(index))
    }

    /// The rest of a message of which `taken` bytes were taken.
    pub(super) fn rest(&self, index: usize, taken: usize) -> Rest {
        match &self.memory {
            Memory::Packed(_) => Rest::Copied(self.slice(index..index + 1)[taken..].to_vec()),
            Memory::Whole(whole) => Rest::Shared(Arc::clone(&whole.frame), taken),
        }
    }

    /// A message, counted within the block.
    pub(crate) fn message(&self, index: usize) -> Kept<'_> {
        let frame = self.slice(index..index + 1);
        debug_assert_eq!(server_frame_len(frame), Some(frame.len()), "one whole frame is kept");
        let is_text = frame[0] & 0x0f == Opcode::Text.bits();
        Kept { offset: self.first + index as u64, payload: server_payload(frame), is_text }
    }

    /// Bytes of memory that it takes, for all who refer to it together.
    pub(crate) fn memory_bytes(&self) -> usize {
        match &self.memory {
            Memory::Packed(memory) => shared_bytes(memory.len()),
            Memory::Whole(whole) => {
                shared_bytes(size_of::<Whole>()) + shared_bytes(whole.frame.len())
            }
        }
    }
}

/// The memory of a block for so many bytes.
fn memory_for(bytes: usize) -> usize {
    stepped(shared_bytes(bytes))
}

/// Knows of a block whether anybody still refers to it.
#[derive(Debug)]
pub(super) struct WeakBlock(WeakMemory);

#[derive(Debug)]
enum WeakMemory {
    Packed(Weak<[u8]>),
    Whole(Weak<Whole>),
}

impl WeakBlock {
    pub(super) fn is_gone(&self) -> bool {
        let holders = match &self.0 {
            WeakMemory::Packed(memory) => memory.strong_count(),
            WeakMemory::Whole(whole) => whole.strong_count(),
        };
        holders == 0
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({}..{}, {} bytes)", self.first, self.end(), self.len())
    }
}

/// A message that a room's history keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept<'a> {
    /// Its offset.
    pub offset: u64,
    /// The JSON that members read, or what the program published in a format of its own.
    pub payload: &'a [u8],
    /// Whether it is a text message, and not a binary one.
    pub is_text: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::text_frame as frame;

    fn block() -> Block {
        let mut block = Block::new(7, 128, &[]);
        for text in ["one", "two", "three"] {
            assert!(block.append(&frame(text), 5));
        }
        block
    }

    #[test]
    fn joined_blocks_have_the_messages_of_all() {
        let mut later = Block::new(10, 64, &frame("four"));
        assert!(later.append(&frame("four"), 6));
        assert!(later.is_packed() && !Block::whole(11, Frame::Loose(&[]), 7).is_packed());
        let joined = Block::joined([block(), later].iter(), 0);
        let expected = ["one", "two", "three", "four"];
        assert_eq!(texts(&joined), (7..11).zip(expected.map(String::from)).collect::<Vec<_>>());
        assert_eq!((joined.until(4), joined.until(5), joined.newest()), (7, 10, 6));
    }

    fn texts(block: &Block) -> Vec<(u64, String)> {
        let kept = (0..block.messages()).map(|index| block.message(index));
        kept.map(|kept| (kept.offset, String::from_utf8_lossy(kept.payload).into())).collect()
    }

    #[test]
    fn a_block_is_one_allocation_of_the_size_that_was_asked_for() {
        assert!(size_of::<Block>() <= 32, "{} bytes in a list", size_of::<Block>());
        for memory in [64, 512, 4 << 10, 64 << 10] {
            let mut block = Block::new(1, memory, &[]);
            assert_eq!(block.memory_bytes(), memory);
            let frame = frame(&"x".repeat(20));
            while block.append(&frame, 1) {}
            let left = shared_capacity(memory) - block.used();
            assert!(left < frame.len() + ENTRY, "{left} of {memory} bytes are left");
            assert_eq!(block.len(), block.messages() * frame.len());
        }
        let large = Block::new(1, 64, &[0; 1_000]).memory_bytes();
        assert!((1_000..1_300).contains(&large), "{large} bytes for a frame of 1,000");
    }

    #[test]
    fn what_is_shared_never_changes_and_what_is_no_longer_shared_grows_again() {
        let mut block = block();
        let reader = block.clone();
        let (at, frames) = (reader.slice(0..3).as_ptr(), reader.slice(0..3).to_vec());
        assert!(block.is_shared() && !block.append(&frame("four"), 6), "it has a reader");
        assert!(block.grown(&frame("four"), 1 << 10).is_none(), "it has a reader");
        assert_eq!(block.clone().fitted().memory_bytes(), block.memory_bytes());
        assert_eq!((reader.slice(0..3).as_ptr(), reader.slice(0..3)), (at, &frames[..]));
        drop(reader);
        assert!(!block.is_shared() && block.append(&frame("four"), 6));
        let before = texts(&block);
        assert!(block.grown(&frame("five"), block.memory_bytes()).is_none(), "no larger than this");
        let mut grown = block.grown(&frame("five"), 1 << 10).expect("it is its own");
        assert_eq!((texts(&grown), grown.newest()), (before.clone(), 6));
        assert_eq!(grown.memory_bytes(), 2 * block.memory_bytes());
        assert!(grown.append(&frame("five"), 7));
        let fitted = grown.fitted();
        assert_eq!((texts(&fitted)[..4].to_vec(), fitted.newest()), (before, 7));
        assert!(fitted.memory_bytes() < 2 * block.memory_bytes());
    }

    #[test]
    fn it_is_known_when_the_last_reader_has_gone() {
        for block in [block(), Block::whole(1, Frame::Loose(&frame("one")), 1)] {
            let (weak, reader) = (block.downgrade(), block.clone());
            drop(block);
            assert!(!weak.is_gone());
            drop(reader);
            assert!(weak.is_gone());
        }
    }
}
