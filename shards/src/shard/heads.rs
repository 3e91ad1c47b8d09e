//! How event streams begin that are still to be let into their room.

use std::collections::HashMap;

use crate::memory::{Sum, block, map_bytes};
use crate::place::Slot;

/// The heads of event streams whose join has not ended.
#[derive(Debug, Default)]
pub(super) struct Heads {
    by_slot: HashMap<Slot, Box<[u8]>>,
    /// Bytes of these heads.
    owned: Sum,
}

impl Heads {
    /// Keeps the head of a stream that has none here.
    pub(super) fn keep(&mut self, slot: Slot, head: &[u8]) {
        self.owned.add(block(head.len()));
        self.by_slot.insert(slot, head.into());
    }

    /// Takes the head of a stream, if it was not taken yet.
    pub(super) fn take(&mut self, slot: Slot) -> Option<Box<[u8]>> {
        let head = self.by_slot.remove(&slot)?;
        self.owned.take_off(block(head.len()));
        Some(head)
    }

    pub(super) fn holds(&self, slot: Slot) -> bool {
        self.by_slot.contains_key(&slot)
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> usize {
        map_bytes::<Slot, Box<[u8]>>(self.by_slot.capacity()) + self.owned.get()
    }

    /// Asserts that what is kept is counted, and nothing else.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check_bytes(&self) {
        let heads: usize = self.by_slot.values().map(|head| block(head.len())).sum();
        assert_eq!(self.owned.get(), heads, "bytes of the heads of event streams");
    }
}
