//! What a shard has sent to others and may take back, as long as they have not taken it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use corecast_shards::Time;

/// Something on its way to another shard, which has it when it [takes](Traveller::take) it. Where
/// this is dropped it ends.
#[derive(Debug)]
pub(super) struct Traveller<T>(Arc<Mutex<Option<T>>>);

/// What was sent, by the time at which the sender takes it back. Some of it has arrived.
#[derive(Debug)]
pub(super) struct Departures<T> {
    sent: BTreeMap<(Time, u64), Weak<Mutex<Option<T>>>>,
    next_key: u64,
    /// At how many those are looked for that have arrived.
    purge_at: usize,
}

/// Fewer than this are not looked through.
const PURGE_MIN: usize = 64;

impl<T> Traveller<T> {
    /// What was sent; none if its sender has taken it back.
    pub(super) fn take(self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<T> Departures<T> {
    /// Sends something that is to be taken before this time.
    pub(super) fn send(&mut self, what: T, deadline: Time) -> Traveller<T> {
        if self.sent.len() >= self.purge_at {
            self.sent.retain(|_, sent| sent.strong_count() > 0);
            self.purge_at = PURGE_MIN.max(2 * self.sent.len());
        }
        let traveller = Traveller(Arc::new(Mutex::new(Some(what))));
        self.sent.insert((deadline, self.next_key), Arc::downgrade(&traveller.0));
        self.next_key += 1;
        traveller
    }

    /// Takes back something that was not taken in time.
    pub(super) fn next_late(&mut self, now: Time) -> Option<T> {
        while let Some(first) = self.sent.first_entry().filter(|first| first.key().0 <= now) {
            let traveller = first.remove().upgrade().map(Traveller);
            if let Some(late) = traveller.and_then(Traveller::take) {
                return Some(late);
            }
        }
        None
    }

    /// When the first is to be taken back that has not arrived.
    pub(super) fn next_deadline(&mut self) -> Option<Time> {
        while let Some(first) = self.sent.first_entry() {
            if first.get().strong_count() > 0 {
                return Some(first.key().0);
            }
            first.remove();
        }
        None
    }
}

impl<T> Default for Departures<T> {
    fn default() -> Departures<T> {
        Departures { sent: BTreeMap::new(), next_key: 0, purge_at: PURGE_MIN }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_not_taken_in_time_is_taken_back() {
        let mut departures = Departures::default();
        let [late, later, taken] = [("late", 3), ("later", 5), ("taken", 2)]
            .map(|(what, by)| departures.send(what, at(by)));
        assert_eq!(departures.next_deadline(), Some(at(2)));
        assert_eq!(taken.take(), Some("taken"));
        assert_eq!(departures.next_deadline(), Some(at(3)), "nothing wakes for what has arrived");
        assert_eq!(departures.next_late(at(2)), None);
        assert_eq!(
            (departures.next_late(at(3)), departures.next_late(at(4))),
            (Some("late"), None)
        );
        assert_eq!(late.take(), None, "one alone has it");
        assert_eq!(later.take(), Some("later"));
        assert_eq!((departures.next_late(at(9)), departures.next_deadline()), (None, None));
    }

    #[test]
    fn what_is_dropped_on_its_way_ends_there() {
        let (mut departures, count) = (Departures::default(), Arc::new(()));
        drop(departures.send(Arc::clone(&count), at(1)));
        assert_eq!(Arc::strong_count(&count), 1);
        assert!(departures.next_late(at(1)).is_none());
        let traveller = departures.send(Arc::clone(&count), at(2));
        drop(departures.next_late(at(2)).unwrap());
        assert_eq!(Arc::strong_count(&count), 1, "its sender has ended it");
        assert!(traveller.take().is_none());
    }

    #[test]
    fn what_has_arrived_is_forgotten() {
        let mut departures = Departures::default();
        let _never = departures.send(0, at(0));
        for n in 1..10_000 {
            assert_eq!(departures.send(n, at(n)).take(), Some(n));
            assert!(departures.sent.len() <= PURGE_MIN);
        }
    }
}
