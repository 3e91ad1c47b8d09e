//! How a home encodes a message of a room.

use std::sync::Arc;

use super::compression::Compression;
use super::encoding::Encoding;
use super::frames::{Encodings, Frames};
use super::message::{Placed, RoomMessage};
use crate::shard_stats::DeflateCounters;

/// Encodes messages, each once per encoding.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    /// Where a frame is built until its length is known, so that memory of that length is taken once.
    scratch: Vec<u8>,
    /// None where no connection agrees to compression.
    compression: Option<Compression>,
}

/// What the scratch may keep between two messages.
const SCRATCH_BYTES_KEPT: usize = 64 << 10;

const AGREED: &str = "a connection agrees to compression where there is some";

impl Encoder {
    pub(crate) fn new(compression: Option<Compression>) -> Encoder {
        Encoder { scratch: Vec::new(), compression }
    }

    pub(crate) fn encode(
        &mut self,
        message: &RoomMessage,
        placed: &Placed<'_>,
        wanted: Encodings,
    ) -> Frames {
        let mut frames = Frames::default();
        for encoding in wanted.iter().filter(|encoding| encoding.uncompressed().is_none()) {
            frames.set(encoding, self.push(encoding, message, placed));
        }
        if let Some(plain) = wanted.iter().find_map(|encoding| encoding.uncompressed()) {
            let frame = frames.get(plain).cloned();
            let frame = frame.unwrap_or_else(|| self.push(plain, message, placed));
            self.compression.as_mut().expect(AGREED).add(&frame, wanted, &mut frames);
        }
        if self.scratch.capacity() > SCRATCH_BYTES_KEPT {
            self.scratch = Vec::new();
        }
        frames
    }

    /// The frame of a message that no member needs as a WebSocket frame.
    pub(crate) fn plain(&mut self, message: &RoomMessage, placed: &Placed<'_>) -> &[u8] {
        if self.scratch.capacity() > SCRATCH_BYTES_KEPT {
            self.scratch = Vec::new();
        }
        self.scratch.clear();
        let from = Encoding::WebSocket.push_message(message, placed, &mut self.scratch);
        &self.scratch[from..]
    }

    fn push(
        &mut self,
        encoding: Encoding,
        message: &RoomMessage,
        placed: &Placed<'_>,
    ) -> Arc<[u8]> {
        self.scratch.clear();
        let from = encoding.push_message(message, placed, &mut self.scratch);
        Arc::from(&self.scratch[from..])
    }

    pub(crate) fn begin_turn(&mut self) {
        if let Some(compression) = &mut self.compression {
            compression.begin_turn();
        }
    }

    /// Bytes of memory that it holds for longer than a message, beside its scratch.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.compression.as_ref().map_or(0, Compression::heap_bytes)
    }

    /// What was compressed.
    pub(crate) fn deflate_counters(&self) -> DeflateCounters {
        self.compression.as_ref().map_or(DeflateCounters::default(), |some| some.counters)
    }
}
