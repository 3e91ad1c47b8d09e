//! Blocks: consecutive messages of one room in memory that is shared and never changes.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::log::Rest;
use crate::memory::{shared_bytes, vec_bytes};
use crate::wire::{Opcode, server_frame_len, server_payload};

/// Consecutive messages of one room as WebSocket frames, one behind the other. While a home builds a
/// block it grows; from then on it is shared and its bytes never change.
pub struct Block {
    /// The offset of its first message.
    first: u64,
    bytes: Bytes,
    entries: Vec<Entry>,
}

/// Where a message ends, and the second in which it was numbered, rounded up.
#[derive(Clone, Copy)]
struct Entry {
    end: u32,
    second: u32,
}

enum Bytes {
    /// Small frames, copied one behind the other.
    Packed(Vec<u8>),
    /// One large frame, referred to.
    Whole(Arc<[u8]>),
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
    /// An empty block with memory for so many bytes.
    pub(super) fn with_capacity(first: u64, bytes: usize) -> Block {
        Block { first, bytes: Bytes::Packed(Vec::with_capacity(bytes)), entries: Vec::new() }
    }

    /// A block of one large message.
    pub(super) fn whole(first: u64, frame: Frame<'_>, second: u32) -> Block {
        let end = u32::try_from(frame.bytes().len()).expect("a message is below 4 GiB");
        let entries = vec![Entry { end, second }];
        Block { first, bytes: Bytes::Whole(frame.share()), entries }
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The offset after its last message.
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn all(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Packed(bytes) => bytes,
            Bytes::Whole(frame) => frame,
        }
    }

    /// Bytes of its frames.
    pub(super) fn len(&self) -> usize {
        self.all().len()
    }

    /// Appends a frame if it fits without moving the others.
    pub(super) fn append(&mut self, frame: &[u8], second: u32) -> bool {
        let Bytes::Packed(bytes) = &mut self.bytes else { return false };
        let fits = bytes.capacity() - bytes.len() >= frame.len();
        if fits {
            bytes.extend_from_slice(frame);
            let end = u32::try_from(bytes.len()).expect("a block is far below 4 GiB");
            self.entries.push(Entry { end, second });
        }
        fits
    }

    /// Gives back memory that is not used, if it is much. From here on nothing is appended.
    pub(super) fn seal(&mut self) {
        if let Bytes::Packed(bytes) = &mut self.bytes
            && bytes.capacity() - bytes.len() > bytes.len() / 8
        {
            bytes.shrink_to_fit();
        }
        if self.entries.capacity() - self.entries.len() > self.entries.len() / 8 {
            self.entries.shrink_to_fit();
        }
    }

    /// Whether its frames are copies, one behind the other.
    pub(super) fn is_packed(&self) -> bool {
        matches!(self.bytes, Bytes::Packed(_))
    }

    /// Consecutive blocks of copies in one.
    pub(super) fn joined(blocks: &VecDeque<Arc<Block>>) -> Block {
        let mut bytes = Vec::with_capacity(blocks.iter().map(|block| block.len()).sum());
        let mut entries = Vec::with_capacity(blocks.iter().map(|block| block.entries.len()).sum());
        let first = blocks.front().map_or(0, |block| block.first);
        for block in blocks {
            debug_assert_eq!(block.first, first + entries.len() as u64, "blocks follow each other");
            let moved = u32::try_from(bytes.len()).expect("a block is far below 4 GiB");
            let entry = |entry: &Entry| Entry { end: entry.end + moved, ..*entry };
            entries.extend(block.entries.iter().map(entry));
            bytes.extend_from_slice(block.all());
        }
        Block { first, bytes: Bytes::Packed(bytes), entries }
    }

    /// The offset before which all messages were numbered in this second or earlier.
    pub(super) fn until(&self, second: u64) -> u64 {
        let older = self.entries.partition_point(|entry| u64::from(entry.second) <= second);
        self.first + older as u64
    }

    /// The index behind so many messages, from this one on, as have this many bytes together; behind the
    /// last if all have fewer.
    pub(super) fn holding(&self, from: usize, bytes: usize) -> usize {
        let end = self.start(from) + bytes;
        let whole = self.entries.partition_point(|entry| (entry.end as usize) < end);
        (whole + 1).min(self.entries.len())
    }

    /// When a message was numbered, counted within the block.
    pub(super) fn second(&self, index: usize) -> u32 {
        self.entries[index].second
    }

    /// When its last message was numbered.
    pub(super) fn newest(&self) -> u32 {
        self.entries.last().map_or(0, |entry| entry.second)
    }

    fn start(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.entries[before].end as usize)
    }

    /// The frames of some messages, counted within the block.
    pub(crate) fn slice(&self, messages: Range<usize>) -> &[u8] {
        &self.all()[self.start(messages.start)..self.start(messages.end)]
    }

    /// Which message the byte `taken` bytes after the start of message `from` belongs to, and where in
    /// it.
    fn locate(&self, from: usize, taken: usize) -> (usize, usize) {
        let byte = self.start(from) + taken;
        let index = self.entries.partition_point(|entry| entry.end as usize <= byte);
        (index, byte - self.start(index))
    }

    /// The rest of a message of which `taken` bytes were taken.
    fn rest(&self, index: usize, taken: usize) -> Rest {
        match &self.bytes {
            Bytes::Packed(_) => Rest::Copied(self.slice(index..index + 1)[taken..].to_vec()),
            Bytes::Whole(frame) => Rest::Shared(Arc::clone(frame), taken),
        }
    }

    /// A message, counted within the block.
    pub(crate) fn message(&self, index: usize) -> Kept<'_> {
        let frame = self.slice(index..index + 1);
        debug_assert_eq!(server_frame_len(frame), Some(frame.len()), "one whole frame is kept");
        let is_text = frame[0] & 0x0f == Opcode::Text.bits();
        Kept { offset: self.first + index as u64, payload: server_payload(frame), is_text }
    }

    /// Bytes of memory that it takes where it is shared.
    pub(crate) fn memory_bytes(&self) -> usize {
        let bytes = match &self.bytes {
            Bytes::Packed(bytes) => vec_bytes::<u8>(bytes.capacity()),
            Bytes::Whole(frame) => shared_bytes(frame.len()),
        };
        shared_bytes(size_of::<Block>()) + bytes + vec_bytes::<Entry>(self.entries.capacity())
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

/// Some consecutive messages of one block.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) block: Arc<Block>,
    /// Counted within the block.
    pub(crate) messages: Range<usize>,
}

/// Where a send ended of a part of which not everything was taken.
#[derive(Debug)]
pub(crate) struct CutPart {
    /// Messages taken, the one that was cut included.
    pub(crate) messages: usize,
    /// The rest of the message that was cut.
    pub(crate) rest: Option<Rest>,
}

impl Part {
    pub(crate) fn frames(&self) -> &[u8] {
        self.block.slice(self.messages.clone())
    }

    /// The messages, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Kept<'_>> {
        self.messages.clone().map(|index| self.block.message(index))
    }

    /// The offset of its first message.
    pub(crate) fn first(&self) -> u64 {
        self.block.first + self.messages.start as u64
    }

    /// Takes off what was taken of its frames, which is not all of them.
    pub(crate) fn cut(&mut self, taken: usize) -> CutPart {
        let from = self.messages.start;
        let (index, within) = self.block.locate(from, taken);
        let rest = (within > 0).then(|| self.block.rest(index, within));
        self.messages.start = index + usize::from(within > 0);
        CutPart { messages: self.messages.start - from, rest }
    }
}

/// Consecutive messages of a room's history, by reference: a copy of this copies none of them.
#[derive(Clone, Debug, Default)]
pub struct Parts(Vec<Part>);

impl Parts {
    pub(super) fn new(parts: Vec<Part>) -> Parts {
        Parts(parts)
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many messages there are.
    pub fn messages(&self) -> usize {
        self.0.iter().map(|part| part.messages.len()).sum()
    }

    /// The messages, in order.
    pub fn iter(&self) -> impl Iterator<Item = Kept<'_>> {
        self.0.iter().flat_map(Part::iter)
    }

    pub(crate) fn into_parts(self) -> Vec<Part> {
        self.0
    }

    /// Bytes that it takes on a ring, for its byte limit: the messages are only referred to.
    pub(crate) fn len(&self) -> usize {
        self.0.len() * size_of::<Part>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::push_frame;

    pub(in crate::history) fn frame(text: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        push_frame(&mut frame, Opcode::Text, text.as_bytes());
        frame
    }

    fn block() -> Block {
        let mut block = Block::with_capacity(7, 64);
        for text in ["one", "two", "three"] {
            assert!(block.append(&frame(text), 5));
        }
        block
    }

    #[test]
    fn a_part_ends_between_or_inside_frames() {
        let all = [frame("one"), frame("two"), frame("three")].concat();
        for taken in 0..all.len() {
            let mut part = Part { block: Arc::new(block()), messages: 0..3 };
            let cut = part.cut(taken);
            let rest = cut.rest.map_or(Vec::new(), |rest| match rest {
                Rest::Copied(bytes) => bytes,
                Rest::Shared(..) => panic!("small frames are copied"),
            });
            let left = [&rest, part.frames()].concat();
            assert_eq!(left, &all[taken..], "{taken} bytes taken");
            assert!(cut.messages == part.messages.start, "{taken} bytes taken");
        }
    }

    #[test]
    fn a_large_message_is_referred_to_and_its_rest_is_not_copied() {
        let large: Arc<[u8]> = frame(&"x".repeat(40_000)).into();
        let block = Arc::new(Block::whole(3, Frame::Shared(&large), 1));
        let mut part = Part { block, messages: 0..1 };
        let cut = part.cut(39_000);
        assert!(
            matches!(cut.rest, Some(Rest::Shared(frame, 39_000)) if Arc::ptr_eq(&frame, &large))
        );
        assert_eq!((cut.messages, part.frames().len()), (1, 0));
    }

    #[test]
    fn joined_blocks_have_the_messages_of_all() {
        let mut later = Block::with_capacity(10, 64);
        assert!(later.append(&frame("four"), 6));
        assert!(later.is_packed() && !Block::whole(11, Frame::Loose(&[]), 7).is_packed());
        let joined = Block::joined(&[Arc::new(block()), Arc::new(later)].into());
        let texts = (0..4).map(|index| joined.message(index));
        let texts: Vec<_> = texts.map(|kept| (kept.offset, kept.payload.to_vec())).collect();
        let expected = ["one", "two", "three", "four"].map(|text| text.as_bytes().to_vec());
        assert_eq!(texts, (7..11).zip(expected).collect::<Vec<_>>());
        assert_eq!((joined.until(4), joined.until(5), joined.newest()), (7, 10, 6));
    }
}
