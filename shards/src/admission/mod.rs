//! How many connections, and how many handshakes per second, one client address may have.
//!
//! It counts and decides; it has no clock and knows no sockets. One table serves all shards of a
//! process, because an address comes to any of them.

mod address_key;
mod pace;

use std::collections::BTreeMap;
use std::time::Duration;

pub use address_key::AddressKey;
pub use pace::{Pace, Paced};

use crate::time::Time;

/// What each client address has of a server.
///
/// Its memory is bounded by the connections, and by [`IDLE_MAX`] addresses without one. Of those it
/// remembers only what they took of their handshakes, and only until that is made up for. Beyond
/// the bound the address goes that has asked for nothing for longest. So to be forgotten early, an
/// address would need so many others within the second in which it is forgotten anyway, each of
/// which may begin as many handshakes as it.
#[derive(Debug)]
pub struct AddressTable {
    /// Connections of one address; 0 means that there is no limit.
    connections_max: usize,
    /// Handshakes of one address.
    pace: Pace,
    entries: BTreeMap<AddressKey, Entry>,
    /// Addresses without connections, by when they were last used.
    idle: BTreeMap<u64, AddressKey>,
    idle_max: usize,
    uses: u64,
}

/// Addresses without connections that are remembered at most.
pub const IDLE_MAX: usize = 1 << 16;

/// One address.
#[derive(Debug, Default)]
struct Entry {
    connections: usize,
    paced: Paced,
    /// When it was last used, if it is among the idle ones.
    idle: Option<u64>,
}

impl AddressTable {
    /// An address may have so many connections, and begin so many handshakes per second; 0 means
    /// that there is no limit.
    pub fn new(connections_max: usize, handshakes_per_second: usize) -> AddressTable {
        AddressTable {
            connections_max,
            pace: Pace::per_second(handshakes_per_second),
            entries: BTreeMap::new(),
            idle: BTreeMap::new(),
            idle_max: IDLE_MAX,
            uses: 0,
        }
    }

    /// Counts one more connection of an address. False when it has as many as it may.
    #[must_use = "a connection that was counted has to be closed"]
    pub fn open(&mut self, key: AddressKey) -> bool {
        let entry = self.entries.entry(key).or_default();
        if self.connections_max > 0 && entry.connections >= self.connections_max {
            return false;
        }
        entry.connections += 1;
        if let Some(since) = entry.idle.take() {
            self.idle.remove(&since);
        }
        true
    }

    /// A connection that was counted has ended.
    ///
    /// # Panics
    ///
    /// When none was.
    pub fn close(&mut self, key: AddressKey, now: Time) {
        let entry = self.entries.get_mut(&key).expect("an address with a connection has an entry");
        assert!(entry.connections > 0, "a connection is closed once");
        entry.connections -= 1;
        self.rest(key, now);
    }

    /// Counts one more handshake of an address, if it may begin one; else says after how long it
    /// may.
    pub fn begin_handshake(&mut self, key: AddressKey, now: Time) -> Result<(), Duration> {
        let pace = self.pace;
        let entry = self.entries.entry(key).or_default();
        let wait = pace.wait(entry.paced, now);
        if wait.is_none() {
            pace.take(&mut entry.paced, now);
        }
        self.rest(key, now);
        wait.map_or(Ok(()), Err)
    }

    /// Addresses that are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no address is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// An address was used. If it has no connections it is idle from now on.
    fn rest(&mut self, key: AddressKey, now: Time) {
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.connections == 0) else {
            return;
        };
        self.uses += 1;
        if let Some(before) = entry.idle.replace(self.uses) {
            self.idle.remove(&before);
        }
        self.idle.insert(self.uses, key);
        self.forget(now);
    }

    /// Forgets idle addresses: those of which there is nothing to remember, up to the first other
    /// one, and the oldest beyond the bound.
    fn forget(&mut self, now: Time) {
        while let Some((since, key)) = self.idle.first_key_value() {
            let (since, key) = (*since, *key);
            let entry = self.entries.get(&key).expect("an idle address has an entry");
            assert!(entry.connections == 0 && entry.idle == Some(since), "an idle one is idle");
            if !entry.paced.is_full(now) && self.idle.len() <= self.idle_max {
                return;
            }
            self.idle.remove(&since);
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u32) -> AddressKey {
        AddressKey::of_ipv4(n.to_be_bytes())
    }

    fn at(millis: u64) -> Time {
        Time::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn an_address_has_as_many_connections_as_it_may_and_not_one_more() {
        let mut table = AddressTable::new(3, 0);
        for _ in 0..2 {
            assert!((0..3).all(|_| table.open(key(1))));
            assert!(!table.open(key(1)), "the fourth");
            assert!(table.open(key(2)), "another address is not concerned");
            table.close(key(1), at(0));
            assert!(table.open(key(1)), "the place of one that has ended");
            (0..3).for_each(|_| table.close(key(1), at(0)));
            table.close(key(2), at(0));
            assert!(table.is_empty(), "nothing is remembered: {table:?}");
        }
    }

    #[test]
    fn without_a_limit_all_are_counted_and_none_is_refused() {
        let mut table = AddressTable::new(0, 0);
        assert!((0..10_000).all(|_| table.open(key(1))));
        (0..10_000).for_each(|_| table.close(key(1), at(0)));
        assert!((0..10_000).all(|_| table.begin_handshake(key(1), at(0)).is_ok()));
        assert!(table.is_empty());
    }

    #[test]
    #[should_panic(expected = "an address with a connection has an entry")]
    fn a_place_that_is_given_back_twice_is_noticed() {
        let mut table = AddressTable::new(3, 0);
        assert!(table.open(key(1)));
        (0..2).for_each(|_| table.close(key(1), at(0)));
    }

    #[test]
    fn handshakes_are_paced_by_address_whether_it_is_connected_or_not() {
        let mut table = AddressTable::new(0, 5);
        for connected in [true, false] {
            let start = if connected { 0 } else { 5_000 };
            if connected {
                assert!(table.open(key(1)));
            }
            assert!((0..5).all(|_| table.begin_handshake(key(1), at(start)).is_ok()));
            let wait = table.begin_handshake(key(1), at(start)).unwrap_err();
            assert_eq!(wait, Duration::from_millis(200));
            assert_eq!(table.begin_handshake(key(2), at(start)), Ok(()));
            assert_eq!(table.begin_handshake(key(1), at(start + 200)), Ok(()));
            if connected {
                table.close(key(1), at(start + 200));
                assert!(
                    table.begin_handshake(key(1), at(start + 200)).is_err(),
                    "it is remembered"
                );
            }
        }
    }

    #[test]
    fn what_is_made_up_for_is_forgotten() {
        let mut table = AddressTable::new(0, 10);
        for n in 0..1000 {
            assert_eq!(table.begin_handshake(key(n), at(0)), Ok(()));
        }
        assert_eq!(table.len(), 1000);
        assert_eq!(table.begin_handshake(key(1000), at(99)), Ok(()));
        assert_eq!(table.len(), 1001);
        assert_eq!(table.begin_handshake(key(1001), at(100)), Ok(()));
        assert_eq!(table.len(), 2, "{table:?}");
    }

    #[test]
    fn an_exhausted_address_outlives_as_many_others_as_are_remembered() {
        let mut table = AddressTable { idle_max: 100, ..AddressTable::new(0, 10) };
        let exhaust = |table: &mut AddressTable, now| {
            (0..10).for_each(|_| _ = table.begin_handshake(key(0), now));
        };
        exhaust(&mut table, at(0));
        (1..100).for_each(|n| _ = table.begin_handshake(key(n), at(0)));
        assert!(table.begin_handshake(key(0), at(0)).is_err(), "99 others");
        // It has asked, and so is the youngest.
        (100..199).for_each(|n| _ = table.begin_handshake(key(n), at(0)));
        assert!(table.begin_handshake(key(0), at(0)).is_err(), "99 others again");
        (200..300).for_each(|n| _ = table.begin_handshake(key(n), at(0)));
        assert_eq!(table.len(), 100, "the bound holds");
        assert_eq!(table.begin_handshake(key(0), at(0)), Ok(()), "100 others made it go");
    }

    #[test]
    fn addresses_with_connections_are_never_forgotten() {
        let mut table = AddressTable { idle_max: 10, ..AddressTable::new(1, 1) };
        assert!((0..50).all(|n| table.open(key(n))));
        (50..1000).for_each(|n| _ = table.begin_handshake(key(n), at(0)));
        assert_eq!(table.len(), 60);
        assert!((0..50).all(|n| !table.open(key(n))), "all are still counted");
        (0..50).for_each(|n| table.close(key(n), at(10_000)));
        assert!(table.begin_handshake(key(0), at(20_000)).is_ok());
        assert_eq!(table.len(), 1, "{table:?}");
    }

    /// Against a count without any bound of its memory.
    #[test]
    fn random_use_agrees_with_a_naive_count() {
        let (mut table, mut naive) = (AddressTable::new(4, 0), [0_usize; 16]);
        let mut random = 1_u64;
        for step in 0..100_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let n = (random >> 40) % 16;
            let (address, count) = (key(n as u32), &mut naive[n as usize]);
            if (random >> 60).is_multiple_of(2) {
                assert_eq!(table.open(address), *count < 4);
                *count = (*count + 1).min(4);
            } else if *count > 0 {
                table.close(address, at(step));
                *count -= 1;
            }
            let counted = naive.iter().filter(|count| **count > 0).count();
            assert_eq!(table.len(), counted, "an address without connections takes no memory");
        }
    }
}
