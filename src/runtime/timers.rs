//! The moments that tasks wait for.

use std::collections::BTreeMap;
use std::task::Waker;

use corecast_shards::Time;

/// The wakers of tasks that wait, by the moment that they wait for.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    wakers: BTreeMap<TimerKey, Waker>,
    sequence: u64,
}

/// When a timer fires, and a number that makes timers differ.
pub(crate) type TimerKey = (Time, u64);

impl Timers {
    pub(super) fn set(&mut self, time: Time, waker: Waker) -> TimerKey {
        self.sequence += 1;
        self.wakers.insert((time, self.sequence), waker);
        (time, self.sequence)
    }

    pub(super) fn cancel(&mut self, key: TimerKey) {
        self.wakers.remove(&key);
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.wakers.first_key_value().map(|((time, _), _)| *time)
    }

    /// Wakes everybody whose moment has come.
    pub(crate) fn fire_due(&mut self, now: Time) {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            if let Some((_, waker)) = self.wakers.pop_first() {
                waker.wake();
            }
        }
    }
}
