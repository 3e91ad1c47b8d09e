//! What a shard keeps of its event streams besides their connections.

use std::collections::HashMap;

use crate::epoch::Epoch;
use crate::memory::{Sum, block, map_bytes};
use crate::place::Slot;

/// The event streams that are in their room, or about to be.
#[derive(Debug, Default)]
pub(super) struct Streams {
    by_slot: HashMap<Slot, Stream>,
    /// Bytes of their heads.
    owned: Sum,
}

#[derive(Debug)]
enum Stream {
    /// Its join has not ended: this is how its response begins.
    Joining(Box<[u8]>),
    /// The life of its room.
    In(Epoch),
}

impl Streams {
    /// A stream begins to join its room, with this head.
    pub(super) fn open(&mut self, slot: Slot, head: &[u8]) {
        self.owned.add(block(head.len()));
        self.by_slot.insert(slot, Stream::Joining(head.into()));
    }

    /// A stream is in its room. Returns its head.
    pub(super) fn begin(&mut self, slot: Slot, epoch: Epoch) -> Option<Box<[u8]>> {
        let stream = self.by_slot.get_mut(&slot)?;
        let before = std::mem::replace(stream, Stream::In(epoch));
        self.head_of(before)
    }

    /// A stream is out of its room. Returns its head, if it was never in it.
    pub(super) fn close(&mut self, slot: Slot) -> Option<Box<[u8]>> {
        let stream = self.by_slot.remove(&slot)?;
        self.head_of(stream)
    }

    fn head_of(&mut self, stream: Stream) -> Option<Box<[u8]>> {
        let Stream::Joining(head) = stream else { return None };
        self.owned.take_off(block(head.len()));
        Some(head)
    }

    /// Whether a stream is still to be let into its room.
    pub(super) fn is_joining(&self, slot: Slot) -> bool {
        matches!(self.by_slot.get(&slot), Some(Stream::Joining(_)))
    }

    /// The life of the room that a stream is in.
    pub(super) fn epoch(&self, slot: Slot) -> Option<Epoch> {
        match self.by_slot.get(&slot) {
            Some(Stream::In(epoch)) => Some(*epoch),
            Some(Stream::Joining(_)) | None => None,
        }
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> usize {
        map_bytes::<Slot, Stream>(self.by_slot.capacity()) + self.owned.get()
    }

    /// Asserts that what is kept is counted, and nothing else.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check_bytes(&self) {
        let head = |stream: &Stream| match stream {
            Stream::Joining(head) => block(head.len()),
            Stream::In(_) => 0,
        };
        let heads: usize = self.by_slot.values().map(head).sum();
        assert_eq!(self.owned.get(), heads, "bytes of the heads of event streams");
    }
}
