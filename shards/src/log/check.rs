//! What must hold of a room log between any two calls.

use std::sync::Arc;

use super::Log;
use super::chunk::Chunk;
use super::pins::{Pin, Pins};

impl Log {
    /// Bytes of its chunks, and of its lists of segments and chunks, counted.
    pub(crate) fn heap_bytes(&self) -> (usize, usize) {
        self.segments
            .iter()
            .map(|segment| segment.heap_bytes())
            .fold((0, self.list_bytes()), |(all_chunks, all_lists), (chunks, lists)| {
                (all_chunks + chunks, all_lists + lists)
            })
    }

    /// The frames that it refers to.
    pub(crate) fn shared_frames(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        let chunks = self.segments.iter().flat_map(|segment| segment.chunks());
        chunks.filter_map(|(_, chunk)| match chunk {
            Chunk::Shared(frame) => Some(frame),
            Chunk::Packed(_) => None,
        })
    }

    /// Asserts the log's invariant, and that `pinned` are all pinned members, by cursor.
    pub(crate) fn check(&self, pinned: impl Iterator<Item = (u64, Pin)>) {
        let mut next = self.first();
        for segment in &self.segments {
            assert_eq!(segment.first, next, "segments follow one another");
            assert!(segment.end() > next, "a segment holds a message");
            let messages = (segment.end() - next) as usize;
            let same = segment.chunks().all(|(_, chunk)| chunk.messages() == messages);
            assert!(same, "a segment holds the same messages in every encoding");
            next = segment.end();
        }
        assert_eq!(next, self.next, "the segments end where the log ends");
        let bytes: usize = self.segments.iter().map(|segment| segment.bytes()).sum();
        assert_eq!(self.bytes, bytes, "the bytes are the sum of the frames");
        let largest: usize = self.segments.iter().map(|segment| segment.count_largest()).sum();
        assert_eq!(self.largest_bytes, largest, "the limit holds for the largest frames");
        assert!(largest as u64 <= self.appended_bytes, "what is kept was appended");
        self.check_pins(pinned);
    }

    fn check_pins(&self, pinned: impl Iterator<Item = (u64, Pin)>) {
        let mut recounted = vec![Pins::default(); self.segments.len() + 1];
        for (cursor, pin) in pinned {
            assert!(cursor <= self.next, "no cursor is past the end");
            let index = match cursor == self.next {
                true => Some(self.segments.len()),
                false => self.segment_of(cursor),
            };
            if let Some(index) = index {
                *recounted[index].count(pin) += 1;
            }
        }
        let counted = self.segments.iter().map(|segment| segment.pins).chain([self.tail]);
        assert!(counted.eq(recounted.iter().copied()), "each segment knows who is pinned in it");
        let replay_pins: u32 = recounted.iter().map(|pins| pins.replay).sum();
        assert_eq!(self.replay_pins, replay_pins, "members that are sent a history first");
    }
}
