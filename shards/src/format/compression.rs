//! Which messages are compressed, and how their frames look.

use std::sync::Arc;

use super::encoding::Encoding;
use super::frames::{Encodings, Frames};
use crate::deflate::{Deflater, Window};
use crate::limits::DEFLATED_MAX;
use crate::shard_stats::DeflateCounters;
use crate::wire::{FRAME_HEADER_MAX, compressed_header, server_payload};

/// Compresses the messages of rooms that members of a compressed encoding need, each once for each
/// such encoding.
///
/// A message goes uncompressed where compression is not worth it: where it has less than `least` bytes,
/// or so many that the shard would be held up, where much was compressed in this turn already, or where
/// less than a tenth is saved. That is legal in any connection (RFC 7692 section 6), so that members of
/// compressed encodings share the frame of the others then.
#[derive(Debug)]
pub(crate) struct Compression {
    deflater: Box<dyn Deflater>,
    least: usize,
    /// Bytes that are compressed in a turn, and those that still are in this one.
    per_turn: usize,
    left: usize,
    scratch: Vec<u8>,
    pub(crate) counters: DeflateCounters,
}

/// Of what is compressed, at least one part in so many is saved.
const SAVED_SHARE: usize = 10;

impl Compression {
    /// Messages of less than `least` bytes go uncompressed, and those beyond so many bytes per turn.
    pub(crate) fn new(deflater: Box<dyn Deflater>, least: usize, per_turn: usize) -> Compression {
        let (scratch, counters) = (Vec::new(), DeflateCounters::default());
        Compression { deflater, least, per_turn, left: per_turn, scratch, counters }
    }

    pub(super) fn begin_turn(&mut self) {
        self.left = self.per_turn;
    }

    /// Bytes of memory that it holds.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.deflater.heap_bytes() + self.scratch.capacity()
    }

    /// Adds the frames of a message for the compressed encodings that members need; `plain` is its
    /// uncompressed one.
    pub(super) fn add(&mut self, plain: &Arc<[u8]>, wanted: Encodings, frames: &mut Frames) {
        let is_wanted = |window| wanted.contains(Encoding::deflated(window));
        let full = is_wanted(Window::Full).then(|| self.frame(plain, Window::Full));
        let small = is_wanted(Window::Small).then(|| match &full {
            // In a message that is no longer than the window nothing refers to what is outside.
            Some(full) if server_payload(plain).len() <= Window::Small.bytes() => full.clone(),
            _ => self.frame(plain, Window::Small),
        });
        for (window, frame) in [(Window::Full, full), (Window::Small, small)] {
            if let Some(frame) = frame {
                frames.set(Encoding::deflated(window), frame.unwrap_or_else(|| Arc::clone(plain)));
            }
        }
    }

    /// The compressed frame, if that is worth it.
    fn frame(&mut self, plain: &[u8], window: Window) -> Option<Arc<[u8]>> {
        let message = server_payload(plain);
        if !(self.least..=DEFLATED_MAX).contains(&message.len()) {
            return None;
        }
        if self.left == 0 {
            self.counters.beyond_turn += 1;
            return None;
        }
        self.left = self.left.saturating_sub(message.len());
        let most = message.len() - message.len().div_ceil(SAVED_SHARE);
        self.scratch.resize(FRAME_HEADER_MAX + most, 0);
        let payload = &mut self.scratch[FRAME_HEADER_MAX..];
        let Some(len) = self.deflater.deflate(window, message, payload) else {
            self.counters.not_worth += 1;
            return None;
        };
        assert!(len <= most, "a payload ends within what it was given");
        self.counters.messages += 1;
        self.counters.bytes_before += message.len() as u64;
        self.counters.bytes_after += len as u64;
        let (header, used) = compressed_header(plain, len);
        let from = FRAME_HEADER_MAX - used;
        self.scratch[from..FRAME_HEADER_MAX].copy_from_slice(&header[..used]);
        Some(Arc::from(&self.scratch[from..FRAME_HEADER_MAX + len]))
    }
}
