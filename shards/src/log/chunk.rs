//! The memory of room logs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::totals::LogTotals;
use crate::memory::{HeapBytes, SharedFrames, Sum, vec_bytes};
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

    /// Whether both refer to one frame.
    pub(super) fn is_shared_with(&self, other: &Chunk) -> bool {
        match (self, other) {
            (Chunk::Shared(one), Chunk::Shared(other)) => Arc::ptr_eq(one, other),
            _ => false,
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
    pub(super) fn append(&mut self, frame: &[u8], chunks: &mut Sum) -> bool {
        let fits = self.fits(frame.len());
        if let Chunk::Packed(packed) = self
            && fits
        {
            packed.push(frame, chunks);
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

impl HeapBytes for Packed {
    fn heap_bytes(&self) -> usize {
        vec_bytes::<u8>(self.bytes.capacity()) + vec_bytes::<u32>(self.starts.capacity())
    }
}

impl HeapBytes for Chunk {
    /// Of a frame that is referred to nothing: [`SharedFrames`] counts it.
    fn heap_bytes(&self) -> usize {
        match self {
            Chunk::Packed(packed) => packed.heap_bytes(),
            Chunk::Shared(_) => 0,
        }
    }
}

impl Packed {
    fn with_capacity(bytes: usize, chunks: &mut Sum) -> Packed {
        let packed = Packed { bytes: Vec::with_capacity(bytes), starts: Vec::new() };
        chunks.add(packed.heap_bytes());
        packed
    }

    /// Appends a frame that fits.
    fn push(&mut self, frame: &[u8], chunks: &mut Sum) {
        let start = u32::try_from(self.bytes.len()).expect("a chunk is far below 4 GiB");
        self.grow_starts(1, chunks);
        self.starts.push(start);
        self.bytes.extend_from_slice(frame);
    }

    fn grow_starts(&mut self, more: usize, chunks: &mut Sum) {
        if self.starts.capacity() - self.starts.len() < more {
            let before = self.heap_bytes();
            self.starts.reserve(more);
            chunks.change(before, self.heap_bytes());
        }
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
    /// Bytes that are still to be taken.
    pub(crate) fn len(&self) -> usize {
        match self {
            Rest::Copied(bytes) => bytes.len(),
            Rest::Shared(frame, taken) => frame.len() - taken,
        }
    }

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
    /// Segments before it: the first chunk is small, each next one twice as large.
    pub(super) segments: usize,
    /// Up to so many bytes, which are at least those of a frame that is copied.
    pub(super) bytes: usize,
}

/// A shard's chunks that no log uses at present, and what all of its logs hold.
///
/// A log's first chunk is small, since most rooms never hold more than a few messages at a time. Each
/// next one is twice as large as the one before, up to a size at which a send of a busy room needs few
/// iovecs: so no log has more memory than twice what it needs, and one chunk.
#[derive(Debug)]
pub(crate) struct ChunkPool {
    /// The process's tuning, with chunk sizes lowered to an eighth of a log.
    pub(super) tuning: Tuning,
    /// By their size: rooms may have logs of their own size, and chunks to suit them.
    unused: BTreeMap<usize, Vec<Packed>>,
    /// Bytes of all of these but the smallest.
    unused_large: usize,
    /// How much the logs hold.
    pub(crate) totals: LogTotals,
    /// Frames that logs and connections refer to.
    pub(crate) frames: SharedFrames,
    /// Bytes of all other chunks, by capacity: those in logs, and those that no log uses.
    pub(super) chunks: Sum,
    /// Bytes of the rooms' lists: segments, members and what few members have.
    pub(crate) lists: Sum,
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
            unused: BTreeMap::new(),
            unused_large: 0,
            totals: LogTotals::default(),
            frames: SharedFrames::default(),
            chunks: Sum::default(),
            lists: Sum::default(),
        }
    }

    /// Bytes of all chunks and frames, whether a log uses them or not.
    pub(crate) fn bytes(&self) -> usize {
        self.chunks.get() + self.frames.bytes()
    }

    /// How large the chunks of a log of at most `log_bytes` become.
    pub(crate) fn chunk_bytes(&self, log_bytes: usize) -> usize {
        (log_bytes / 8).clamp(self.tuning.copy_bytes, self.tuning.large_chunk_bytes)
    }

    /// A chunk that begins with this many empty frames and `frame`.
    pub(super) fn packed(&mut self, frame: &[u8], empty: usize, fit: Fit) -> Chunk {
        let bytes = self.size(frame.len(), fit);
        let unused = self.pop_unused(bytes);
        let mut packed = unused.unwrap_or_else(|| Packed::with_capacity(bytes, &mut self.chunks));
        packed.grow_starts(empty, &mut self.chunks);
        packed.starts.resize(empty, 0);
        packed.push(frame, &mut self.chunks);
        Chunk::Packed(packed)
    }

    /// A chunk that refers to this frame.
    pub(super) fn shared(&mut self, frame: &Arc<[u8]>) -> Chunk {
        self.frames.hold(frame);
        Chunk::Shared(Arc::clone(frame))
    }

    pub(super) fn recycle(&mut self, chunk: Chunk) {
        let mut packed = match chunk {
            Chunk::Packed(packed) => packed,
            Chunk::Shared(frame) => return self.frames.release(&frame),
        };
        packed.bytes.clear();
        packed.starts.clear();
        let bytes = packed.bytes.capacity();
        let is_small = bytes <= self.tuning.small_chunk_bytes;
        let kept = self.unused.get(&bytes).map_or(0, Vec::len) * bytes;
        let kept = if is_small { kept } else { self.unused_large };
        if kept + bytes > self.tuning.pool_bytes {
            return self.chunks.take_off(packed.heap_bytes());
        }
        self.unused_large += if is_small { 0 } else { bytes };
        self.unused.entry(bytes).or_default().push(packed);
    }

    fn pop_unused(&mut self, bytes: usize) -> Option<Packed> {
        let packed = self.unused.get_mut(&bytes)?.pop()?;
        self.unused_large -= if bytes <= self.tuning.small_chunk_bytes { 0 } else { bytes };
        Some(packed)
    }

    /// Frees the chunks that no log uses.
    pub(crate) fn free_unused(&mut self) {
        for packed in std::mem::take(&mut self.unused).into_values().flatten() {
            self.chunks.take_off(packed.heap_bytes());
        }
        self.unused_large = 0;
    }

    /// Bytes of the chunks that no log uses, counted.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn unused_bytes(&self) -> usize {
        self.unused.values().flatten().map(HeapBytes::heap_bytes).sum()
    }

    /// How large the next chunk of a log is, which begins with a frame of this length.
    fn size(&self, frame_len: usize, fit: Fit) -> usize {
        let (small, most) = (self.tuning.small_chunk_bytes, fit.bytes.max(frame_len));
        let doubled =
            small.checked_shl(fit.segments as u32).filter(|bytes| bytes >> fit.segments == small);
        let mut bytes = doubled.unwrap_or(most).min(most.max(small));
        while bytes < frame_len {
            bytes = (2 * bytes).min(most);
        }
        bytes
    }
}
