//! The memory of room logs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::totals::LogTotals;
use crate::tuning::Tuning;

/// Some consecutive frames in memory. Its bytes never move while it lives.
#[derive(Debug)]
pub(super) enum Chunk {
    /// Small frames, copied one after the other.
    Packed(Packed),
    /// One large frame, referred to.
    Shared(Arc<[u8]>),
}

#[derive(Debug)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    /// Where each frame starts.
    starts: Vec<u32>,
}

impl Chunk {
    pub(super) fn messages(&self) -> usize {
        match self {
            Chunk::Packed(packed) => packed.starts.len(),
            Chunk::Shared(_) => 1,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Packed(packed) => &packed.bytes,
            Chunk::Shared(frame) => frame,
        }
    }

    /// Whether a frame of this many bytes fits without moving the others.
    pub(super) fn fits(&self, frame_len: usize) -> bool {
        match self {
            Chunk::Packed(packed) => packed.bytes.capacity() - packed.bytes.len() >= frame_len,
            Chunk::Shared(_) => false,
        }
    }

    /// Appends a frame if it fits without moving the others.
    pub(super) fn append(&mut self, frame: &[u8]) -> bool {
        let fits = self.fits(frame.len());
        if let Chunk::Packed(packed) = self
            && fits
        {
            packed.push(frame);
        }
        fits
    }

    /// The memory of some of the messages, counted within the chunk.
    pub(super) fn slice(&self, messages: Range<usize>) -> &[u8] {
        &self.bytes()[self.start(messages.start)..self.start(messages.end)]
    }

    /// Which message the byte `taken` bytes after the start of message `from` belongs to, and
    /// where in it.
    pub(super) fn locate(&self, from: usize, taken: usize) -> (usize, usize) {
        let byte = self.start(from) + taken;
        let index = match self {
            Chunk::Packed(packed) => {
                packed.starts.partition_point(|start| *start as usize <= byte) - 1
            }
            Chunk::Shared(_) => 0,
        };
        (index, byte - self.start(index))
    }

    /// The rest of a message of which `taken` bytes were taken.
    pub(super) fn rest(&self, index: usize, taken: usize) -> Rest {
        match self {
            Chunk::Packed(_) => Rest::Copied(self.slice(index..index + 1)[taken..].to_vec()),
            Chunk::Shared(frame) => Rest::Shared(Arc::clone(frame), taken),
        }
    }

    fn start(&self, index: usize) -> usize {
        match self {
            Chunk::Packed(packed) => {
                packed.starts.get(index).map_or(packed.bytes.len(), |start| *start as usize)
            }
            Chunk::Shared(frame) => index * frame.len(),
        }
    }
}

impl Packed {
    fn with_capacity(bytes: usize) -> Packed {
        Packed { bytes: Vec::with_capacity(bytes), starts: Vec::new() }
    }

    fn push(&mut self, frame: &[u8]) {
        let start = u32::try_from(self.bytes.len()).expect("a chunk is far below 4 GiB");
        self.starts.push(start);
        self.bytes.extend_from_slice(frame);
    }
}

/// The rest of a frame that was cut.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// A copy, for small frames.
    Copied(Vec<u8>),
    /// The whole frame and how much of it was taken, for large ones.
    Shared(Arc<[u8]>, usize),
}

impl Rest {
    /// How many bytes were copied.
    pub(crate) fn copied_bytes(&self) -> u64 {
        match self {
            Rest::Copied(bytes) => bytes.len() as u64,
            Rest::Shared(..) => 0,
        }
    }
}

/// How large a log's next chunk is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    /// Whether it is the first one, which is small.
    pub(super) is_first: bool,
    /// Bytes of those that follow, at least those of a frame that is copied.
    pub(super) bytes: usize,
}

/// A shard's chunks that no log uses at present.
///
/// A log's first chunk is small, since most rooms never hold more than a few messages at a time;
/// the next ones are large, so that a send of a busy room needs few iovecs.
#[derive(Debug)]
pub(crate) struct ChunkPool {
    /// The process's tuning, with chunk sizes lowered to an eighth of a log.
    pub(super) tuning: Tuning,
    small: Vec<Packed>,
    /// By their size: rooms may have logs of their own size, and chunks to suit them.
    large: BTreeMap<usize, Vec<Packed>>,
    /// Bytes of all of these.
    large_bytes: usize,
    /// How much the logs hold.
    pub(crate) totals: LogTotals,
}

impl ChunkPool {
    /// A pool for logs of at most `log_bytes`: a chunk is what a log drops at once, so that it is
    /// no more than an eighth of it, unless that is less than one copied frame may have.
    pub(crate) fn new(log_bytes: usize, mut tuning: Tuning) -> ChunkPool {
        let large = (log_bytes / 8).clamp(tuning.copy_bytes, tuning.large_chunk_bytes);
        tuning.large_chunk_bytes = large;
        tuning.small_chunk_bytes = tuning.small_chunk_bytes.min(large);
        ChunkPool {
            tuning,
            small: Vec::new(),
            large: BTreeMap::new(),
            large_bytes: 0,
            totals: LogTotals::default(),
        }
    }

    /// How large the chunks of a log of at most `log_bytes` are, but for its first.
    pub(crate) fn chunk_bytes(&self, log_bytes: usize) -> usize {
        (log_bytes / 8).clamp(self.tuning.copy_bytes, self.tuning.large_chunk_bytes)
    }

    /// A chunk that begins with this many empty frames and `frame`.
    pub(super) fn packed(&mut self, frame: &[u8], empty: usize, fit: Fit) -> Chunk {
        let small_bytes = self.tuning.small_chunk_bytes;
        let unused = match fit.is_first && frame.len() <= small_bytes {
            true => self.small.pop().ok_or(small_bytes),
            false => self.pop_large(fit.bytes).ok_or(fit.bytes),
        };
        let mut packed = unused.unwrap_or_else(Packed::with_capacity);
        packed.starts.resize(empty, 0);
        packed.push(frame);
        Chunk::Packed(packed)
    }

    pub(super) fn recycle(&mut self, chunk: Chunk) {
        let Chunk::Packed(mut packed) = chunk else { return };
        packed.bytes.clear();
        packed.starts.clear();
        let bytes = packed.bytes.capacity();
        if bytes <= self.tuning.small_chunk_bytes {
            if self.small.len() < self.tuning.pool_bytes / bytes {
                self.small.push(packed);
            }
        } else if self.large_bytes + bytes <= self.tuning.pool_bytes {
            self.large_bytes += bytes;
            self.large.entry(bytes).or_default().push(packed);
        }
    }

    fn pop_large(&mut self, bytes: usize) -> Option<Packed> {
        let packed = self.large.get_mut(&bytes)?.pop()?;
        self.large_bytes -= bytes;
        Some(packed)
    }
}
