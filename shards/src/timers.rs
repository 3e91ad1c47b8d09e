//! When timers of connections are due: a calendar of coarse ticks.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::ConnId;
use crate::memory::tree_bytes;
use crate::time::Time;

/// A coarse calendar: connections by the tick in which something is due.
///
/// An entry is 16 bytes and is looked at once, when it is due; whether it still means something is
/// found out then. An idle connection has exactly one, for its ping.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    ticks: BTreeMap<u64, Vec<(Timer, ConnId)>>,
    entries: usize,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The connection may have been silent for too long: ping it, or give it up.
    Ping,
    /// A pong may be overdue: give the connection up.
    Pong,
    /// Its socket may have been blocked for too long: apply the slow policy.
    Slow,
    /// A message that has begun to arrive may not have ended for too long: give the connection up.
    Message,
    /// The client has not ended its side after our close frame: cut it.
    Close,
}

/// How late a timer may be. Limits are tens of seconds; a tick of 50 ms lets 15,000 idle connections be pinged in 20
/// wake-ups per second.
pub(crate) const TICK: Duration = Duration::from_millis(50);

impl Timers {
    /// Due at `time` or at most one tick later, never earlier.
    pub(crate) fn set(&mut self, time: Time, timer: Timer, conn: ConnId) {
        let tick = time.as_nanos().div_ceil(TICK.as_nanos() as u64);
        self.ticks.entry(tick).or_default().push((timer, conn));
        self.entries += 1;
    }

    /// Everything that is due, one tick at a time.
    pub(crate) fn take_due(&mut self, now: Time) -> Option<Vec<(Timer, ConnId)>> {
        let due = self.next_deadline().is_some_and(|deadline| deadline <= now);
        let (_, entries) = due.then(|| self.ticks.pop_first())??;
        self.entries -= entries.len();
        Some(entries)
    }

    /// Bytes of the calendar; lists that grow one by one have at most twice the memory that they need.
    pub(crate) fn bytes(&self) -> usize {
        2 * self.entries * size_of::<(Timer, ConnId)>()
            + tree_bytes::<u64, Vec<(Timer, ConnId)>>(self.ticks.len())
    }

    /// Asserts that all entries are counted.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        let entries = self.ticks.values().map(Vec::len).sum::<usize>();
        assert_eq!(self.entries, entries, "entries of the calendar");
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let (tick, _) = self.ticks.first_key_value()?;
        Some(Time::from_nanos(tick.saturating_mul(TICK.as_nanos() as u64)))
    }
}
