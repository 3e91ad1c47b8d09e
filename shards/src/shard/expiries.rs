//! Until when clients may stay.

use std::collections::BTreeSet;

use crate::id::ConnId;
use crate::memory::tree_bytes;
use crate::time::Time;
use crate::timers::TICK;

/// The connections whose clients may stay up to a time, by that time.
///
/// A connection has one entry at most and none once it closes: refreshes replace it, however many
/// there are. One without such a time has none.
#[derive(Debug, Default)]
pub(super) struct Expiries(BTreeSet<(Time, ConnId)>);

impl Expiries {
    pub(super) fn add(&mut self, at: Time, conn: ConnId) {
        self.0.insert((in_step(at), conn));
    }

    pub(super) fn remove(&mut self, at: Time, conn: ConnId) {
        self.0.remove(&(in_step(at), conn));
    }

    /// A connection whose time is over.
    pub(super) fn take_due(&mut self, now: Time) -> Option<ConnId> {
        let is_due = self.next_deadline().is_some_and(|deadline| deadline <= now);
        is_due.then(|| self.0.pop_first())?.map(|(_, conn)| conn)
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.0.first().map(|(at, _)| *at)
    }

    pub(super) fn bytes(&self) -> usize {
        tree_bytes::<(Time, ConnId), ()>(self.0.len())
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Time, ConnId)> {
        self.0.iter()
    }

    /// The entry of a connection whose time ends then.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn entry(at: Time, conn: ConnId) -> (Time, ConnId) {
        (in_step(at), conn)
    }
}

/// The end of the tick in which a time lies, as with timers, so that the ends of many connections
/// wake the shard once per tick.
fn in_step(at: Time) -> Time {
    const NANOS: u64 = TICK.as_nanos() as u64;
    Time::from_nanos(at.as_nanos().div_ceil(NANOS).saturating_mul(NANOS))
}
