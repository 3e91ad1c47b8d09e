//! A run of messages, in every encoding that members needed.

use super::chunk::{Chunk, ChunkPool, Fit};
use super::pins::Pins;
use crate::format::{Encoding, Encodings, Frames};
#[cfg(any(test, debug_assertions))]
use crate::memory::HeapBytes;
use crate::memory::HeldVec;

/// Consecutive messages, and one chunk of them for each encoding in use. Each message has one
/// position. Where an encoding was not in use for some of them, its chunk has empty frames. No member
/// of that encoding ever has its cursor there, so that members of all encodings come and go within a
/// segment.
///
/// Invariant: all chunks have the same number of messages, at least one.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) first: u64,
    encoding: Encoding,
    chunk: Chunk,
    /// The chunks of further encodings; hardly any room has one.
    others: HeldVec<(Encoding, Chunk)>,
    /// The sum of its messages' largest frames.
    pub(super) largest_bytes: usize,
    pub(super) pins: Pins,
}

const IN_USE: &str = "a message was kept in the encodings of all members";
const ENCODED: &str = "a home encodes for all members that it counts";

impl Segment {
    /// A segment that begins with this message, whose position is `first`, in a log with `segments`
    /// before this one.
    pub(super) fn new(
        first: u64,
        frames: &Frames,
        needed: Encodings,
        fit: Fit,
        pool: &mut ChunkPool,
    ) -> Segment {
        let largest_bytes = frames.sizes(needed).1;
        let is_large = largest_bytes > pool.tuning.copy_bytes;
        let chunk = |encoding, pool: &mut ChunkPool| {
            let frame = frames.get(encoding).expect(ENCODED);
            match is_large {
                true => pool.shared(frame),
                false => pool.packed(frame, 0, fit),
            }
        };
        let mut encodings = needed.iter();
        let encoding = encodings.next().expect("a message is kept for members");
        let (first_chunk, mut others) = (chunk(encoding, pool), HeldVec::new());
        for encoding in encodings {
            let other = (encoding, chunk(encoding, pool));
            others.push(&mut pool.lists, other);
        }
        let pins = Pins::default();
        Segment { first, encoding, chunk: first_chunk, others, largest_bytes, pins }
    }

    /// Appends a message if it fits without moving the others.
    pub(super) fn append(
        &mut self,
        frames: &Frames,
        needed: Encodings,
        fit: Fit,
        pool: &mut ChunkPool,
    ) -> bool {
        if self.others.is_empty() && needed == Encodings::of([self.encoding]) {
            let frame = frames.get(self.encoding).expect(ENCODED);
            let fits = self.chunk.append(frame, &mut pool.chunks);
            self.largest_bytes += if fits { frame.len() } else { 0 };
            return fits;
        }
        let largest_bytes = frames.sizes(needed).1;
        let is_large = largest_bytes > pool.tuning.copy_bytes;
        let fits = |(encoding, chunk): (Encoding, &Chunk)| {
            let frame = frames.get(encoding).filter(|_| needed.contains(encoding));
            chunk.fits(frame.map_or(0, |frame| frame.len()))
        };
        if is_large || !self.chunks().all(fits) {
            return false;
        }
        let messages = self.messages();
        for (encoding, chunk) in self.chunks_mut() {
            let frame = frames.get(encoding).filter(|_| needed.contains(encoding));
            chunk.append(frame.map_or(&[], |frame| frame), &mut pool.chunks);
        }
        for encoding in needed.iter().filter(|encoding| !self.holds(*encoding)).collect::<Vec<_>>()
        {
            let frame = frames.get(encoding).expect(ENCODED);
            let other = (encoding, pool.packed(frame, messages, fit));
            self.others.push(&mut pool.lists, other);
        }
        self.largest_bytes += largest_bytes;
        true
    }

    pub(super) fn end(&self) -> u64 {
        self.first + self.messages() as u64
    }

    /// The chunk of an encoding that members have.
    pub(super) fn chunk(&self, encoding: Encoding) -> &Chunk {
        if self.encoding == encoding {
            return &self.chunk;
        }
        let other = self.others.iter().find(|(other, _)| *other == encoding);
        &other.expect(IN_USE).1
    }

    /// Bytes of its frames, of which one that several encodings share counts once.
    pub(super) fn bytes(&self) -> usize {
        let is_new = |(place, (_, chunk)): &(usize, (Encoding, &Chunk))| {
            self.chunks().take(*place).all(|(_, other)| !chunk.is_shared_with(other))
        };
        let distinct = self.chunks().enumerate().filter(is_new);
        distinct.map(|(_, (_, chunk))| chunk.bytes().len()).sum()
    }

    pub(super) fn recycle(mut self, pool: &mut ChunkPool) {
        pool.recycle(self.chunk);
        while let Some((_, chunk)) = self.others.pop() {
            pool.recycle(chunk);
        }
        self.others.free(&mut pool.lists);
    }

    /// Bytes of its chunks, and of its list of them, counted.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn heap_bytes(&self) -> (usize, usize) {
        let chunks = self.chunks().map(|(_, chunk)| chunk.heap_bytes()).sum();
        (chunks, self.others.heap_bytes())
    }

    /// The sum of its messages' largest frames, counted.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn count_largest(&self) -> usize {
        let largest = |message: usize| {
            let frames = self.chunks().map(|(_, chunk)| chunk.slice(message..message + 1).len());
            frames.max().expect("a segment has a chunk")
        };
        let counted = (0..self.messages()).map(largest).sum();
        assert_eq!(self.largest_bytes, counted, "a segment knows its largest frames");
        counted
    }

    fn messages(&self) -> usize {
        self.chunk.messages()
    }

    fn holds(&self, encoding: Encoding) -> bool {
        self.chunks().any(|(held, _)| held == encoding)
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = (Encoding, &Chunk)> {
        let others = self.others.iter().map(|(encoding, chunk)| (*encoding, chunk));
        std::iter::once((self.encoding, &self.chunk)).chain(others)
    }

    fn chunks_mut(&mut self) -> impl Iterator<Item = (Encoding, &mut Chunk)> {
        let others = self.others.iter_mut().map(|(encoding, chunk)| (*encoding, chunk));
        std::iter::once((self.encoding, &mut self.chunk)).chain(others)
    }
}
