//! Descriptors that tasks wait for.

use std::collections::{BTreeSet, HashMap};
use std::task::Waker;

use super::poller::Event;

/// Who is to be woken when a descriptor is ready, by a key that is never used twice.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    watches: HashMap<u64, Watch>,
    next_key: u64,
    /// Those that nobody would miss, by when they became so.
    idle: BTreeSet<(u64, u64)>,
    idle_begins: u64,
}

#[derive(Debug, Default)]
struct Watch {
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// When it became idle, if it is.
    idle: Option<u64>,
    is_evicted: bool,
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
        self.set_idle(key, false);
        self.watches.remove(&key);
    }

    /// Says whether a connection is between two requests, and may be ended for another's sake.
    pub(crate) fn set_idle(&mut self, key: u64, is_idle: bool) {
        let Some(watch) = self.watches.get_mut(&key) else { return };
        if watch.idle.is_some() == is_idle {
            return;
        }
        if let Some(since) = watch.idle.take() {
            self.idle.remove(&(since, key));
        }
        if is_idle {
            self.idle_begins += 1;
            watch.idle = Some(self.idle_begins);
            self.idle.insert((self.idle_begins, key));
        }
    }

    /// Ends the connection that has been idle for longest: its task is woken to do so. Returns
    /// whether there was one.
    pub(crate) fn evict(&mut self) -> bool {
        let Some((_, key)) = self.idle.pop_first() else { return false };
        if let Some(watch) = self.watches.get_mut(&key) {
            (watch.idle, watch.is_evicted) = (None, true);
            watch.reader.take().into_iter().for_each(Waker::wake);
        }
        true
    }

    pub(crate) fn is_evicted(&self, key: u64) -> bool {
        self.watches.get(&key).is_some_and(|watch| watch.is_evicted)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_been_idle_for_longest_is_evicted_once() {
        let mut watches = Watches::default();
        let [first, second, third] = [(); 3].map(|()| watches.insert());
        assert!(!watches.evict(), "all are at work");
        [second, first, third].into_iter().for_each(|key| watches.set_idle(key, true));
        watches.set_idle(first, false);
        watches.set_idle(second, true);
        assert!(watches.evict() && watches.is_evicted(second) && !watches.is_evicted(third));
        watches.remove(third);
        assert!(!watches.evict() && !watches.is_evicted(first));
    }
}
