//! Descriptors that tasks wait for.

use std::collections::{BTreeSet, HashMap};
use std::task::Waker;

use super::poller::IoEvent;

/// Who is to be woken when a descriptor is ready, by a key that is never used twice.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    registrations: HashMap<u64, Registration>,
    next_key: u64,
    /// Those that may go before others, by when they became so.
    idle: BTreeSet<(u64, u64)>,
    idle_begins: u64,
    /// Bytes that are held for all of them.
    held: usize,
}

#[derive(Debug, Default)]
struct Registration {
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// When it became idle, if it is.
    idle: Option<u64>,
    is_evicted: bool,
    /// Bytes that are held for the connection.
    held: usize,
}

impl Registrations {
    pub(crate) fn len(&self) -> usize {
        self.registrations.len()
    }

    /// A new registration, whose descriptor the caller adds to the poller under this key.
    pub(crate) fn insert(&mut self) -> u64 {
        let key = self.next_key;
        self.next_key += 1;
        self.registrations.insert(key, Registration::default());
        key
    }

    pub(crate) fn remove(&mut self, key: u64) {
        self.set_idle(key, false);
        self.set_held(key, 0);
        self.registrations.remove(&key);
    }

    /// So many bytes are held for a connection from now on.
    pub(crate) fn set_held(&mut self, key: u64, bytes: usize) {
        let Some(registration) = self.registrations.get_mut(&key) else { return };
        self.held = self.held + bytes - std::mem::replace(&mut registration.held, bytes);
    }

    /// Bytes that are held for all connections.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Says whether a connection is between two requests, and may be ended for another's sake.
    pub(crate) fn set_idle(&mut self, key: u64, is_idle: bool) {
        let Some(registration) = self.registrations.get_mut(&key) else { return };
        if registration.idle.is_some() == is_idle {
            return;
        }
        if let Some(since) = registration.idle.take() {
            self.idle.remove(&(since, key));
        }
        if is_idle {
            self.idle_begins += 1;
            registration.idle = Some(self.idle_begins);
            self.idle.insert((self.idle_begins, key));
        }
    }

    /// Ends the connection that has been idle for longest: its task is woken to do so. Returns
    /// whether there was one.
    pub(crate) fn evict(&mut self) -> bool {
        let Some((_, key)) = self.idle.pop_first() else { return false };
        if let Some(registration) = self.registrations.get_mut(&key) {
            (registration.idle, registration.is_evicted) = (None, true);
            registration.reader.take().into_iter().for_each(Waker::wake);
        }
        true
    }

    pub(crate) fn is_evicted(&self, key: u64) -> bool {
        self.registrations.get(&key).is_some_and(|registration| registration.is_evicted)
    }

    /// Wakes this task at the next event; to be set after a read found nothing.
    pub(crate) fn wait_to_read(&mut self, key: u64, waker: &Waker) {
        if let Some(registration) = self.registrations.get_mut(&key) {
            registration.reader = Some(waker.clone());
        }
    }

    /// The same after a write found no room.
    pub(crate) fn wait_to_write(&mut self, key: u64, waker: &Waker) {
        if let Some(registration) = self.registrations.get_mut(&key) {
            registration.writer = Some(waker.clone());
        }
    }

    pub(crate) fn note(&mut self, key: u64, event: IoEvent) {
        let Some(registration) = self.registrations.get_mut(&key) else { return };
        let reader = if event.readable { registration.reader.take() } else { None };
        let writer = if event.writable { registration.writer.take() } else { None };
        reader.into_iter().chain(writer).for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_been_idle_for_longest_is_evicted_once() {
        let mut registrations = Registrations::default();
        let [first, second, third] = [(); 3].map(|()| registrations.insert());
        assert!(!registrations.evict(), "all are at work");
        [second, first, third].into_iter().for_each(|key| registrations.set_idle(key, true));
        registrations.set_idle(first, false);
        registrations.set_idle(second, true);
        assert!(
            registrations.evict()
                && registrations.is_evicted(second)
                && !registrations.is_evicted(third)
        );
        registrations.remove(third);
        assert!(!registrations.evict() && !registrations.is_evicted(first));
    }

    #[test]
    fn what_is_held_for_connections_is_their_sum_and_goes_with_them() {
        let mut registrations = Registrations::default();
        let [first, second] = [(); 2].map(|()| registrations.insert());
        for (key, bytes, all) in [(first, 10, 10), (second, 5, 15), (first, 3, 8), (second, 0, 3)] {
            registrations.set_held(key, bytes);
            assert_eq!(registrations.held(), all);
        }
        registrations.remove(first);
        registrations.set_held(first, 7);
        assert_eq!(registrations.held(), 0);
    }
}
