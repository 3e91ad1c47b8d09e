//! Descriptors that tasks wait for.

use std::collections::HashMap;
use std::task::Waker;

use super::poller::Event;

/// Who is to be woken when a descriptor is ready, by a key that is never used twice.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    watches: HashMap<u64, Watch>,
    next_key: u64,
}

#[derive(Debug, Default)]
struct Watch {
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Watches {
    pub(crate) fn len(&self) -> usize {
        self.watches.len()
    }

    /// A new watch, whose descriptor the caller adds to the poller under this key.
    pub(crate) fn insert(&mut self) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        self.watches.insert(key, Watch::default());
        key
    }

    pub(crate) fn remove(&mut self, key: u64) {
        self.watches.remove(&key);
    }

    /// Wakes this task at the next event; to be set after a read found nothing.
    pub(crate) fn wait_to_read(&mut self, key: u64, waker: &Waker) {
        if let Some(watch) = self.watches.get_mut(&key) {
            watch.reader = Some(waker.clone());
        }
    }

    /// The same after a write found no room.
    pub(crate) fn wait_to_write(&mut self, key: u64, waker: &Waker) {
        if let Some(watch) = self.watches.get_mut(&key) {
            watch.writer = Some(waker.clone());
        }
    }

    pub(crate) fn note(&mut self, key: u64, event: Event) {
        let Some(watch) = self.watches.get_mut(&key) else { return };
        let reader = if event.readable { watch.reader.take() } else { None };
        let writer = if event.writable { watch.writer.take() } else { None };
        reader.into_iter().chain(writer).for_each(Waker::wake);
    }
}
