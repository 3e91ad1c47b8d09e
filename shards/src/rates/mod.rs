//! How fast a connection may speak: messages, bytes, joins and publishes per second.
//!
//! What is beyond a limit is refused, and answered where the connection's format has errors. A
//! connection that goes on well beyond it is closed. Without any limit there is nothing to count, and
//! a connection takes no memory here.

mod bucket;

use std::fmt;

use bucket::{Bucket, Outcome, PerSecond};

use crate::limits::Limits;
use crate::memory::vec_bytes;
use crate::time::Time;

/// What is limited per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rate {
    /// Messages and control frames.
    Messages,
    /// Bytes, those of frames' headers included.
    Bytes,
    Joins,
    /// Publishes and broadcasts.
    Publishes,
}

impl Rate {
    const ALL: [Rate; 4] = [Rate::Messages, Rate::Bytes, Rate::Joins, Rate::Publishes];
}

/// What one connection's client has sent goes beyond a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Excess {
    pub(crate) rate: Rate,
    /// The limit's value.
    most: u64,
    /// So much was refused that the connection is to be closed.
    pub(crate) closes: bool,
}

/// For the client: names the limit and its value.
impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, key) = match self.rate {
            Rate::Messages => ("messages", "max_messages_per_second"),
            Rate::Bytes => ("bytes", "max_bytes_per_second"),
            Rate::Joins => ("joins", "max_joins_per_second"),
            Rate::Publishes => ("publishes", "max_publishes_per_second"),
        };
        write!(f, "{what} per second ({key}) are limited to {}; send them more slowly", self.most)
    }
}

/// How fast each connection of a shard has spoken.
#[derive(Debug)]
pub(crate) struct Rates {
    limits: [PerSecond; Rate::ALL.len()],
    is_on: bool,
    /// By the connection's slot; empty without limits.
    meters: Vec<Meter>,
    /// Up to when memory was so short that connections were not read, if it ever was.
    unread_until: Option<Time>,
}

/// What one connection may still send.
#[derive(Clone, Copy, Debug)]
struct Meter {
    /// When something was counted last.
    at: Time,
    buckets: [Bucket; Rate::ALL.len()],
}

/// Commands that may be refused before a connection is closed, however low its limit.
const REFUSED_LEAST: u64 = 16;

impl Rates {
    /// Bytes of all meters.
    pub(crate) fn bytes(&self) -> usize {
        vec_bytes::<Meter>(self.meters.capacity())
    }

    pub(crate) fn new(limits: &Limits) -> Rates {
        let limit = |amount: usize, excess_least| PerSecond { amount: amount as u64, excess_least };
        let limits = Rate::ALL.map(|rate| match rate {
            Rate::Messages => limit(limits.messages_per_second, REFUSED_LEAST),
            // One message that is too large to come within a second is no reason for a close.
            Rate::Bytes => limit(limits.bytes_per_second, limits.message_bytes as u64),
            Rate::Joins => limit(limits.joins_per_second, REFUSED_LEAST),
            Rate::Publishes => limit(limits.publishes_per_second, REFUSED_LEAST),
        });
        let is_on = limits.iter().any(|limit| limit.amount > 0);
        Rates { limits, is_on, meters: Vec::new(), unread_until: None }
    }

    /// A connection begins in this slot.
    pub(crate) fn open(&mut self, slot: u32, now: Time) {
        if !self.is_on {
            return;
        }
        let meter = Meter { at: now, buckets: self.limits.map(Bucket::full) };
        let index = slot as usize;
        if index >= self.meters.len() {
            // Doubling would leave up to half of them unused.
            let missing = index + 1 - self.meters.len();
            let spare = 16 + self.meters.len() / 4;
            self.meters.reserve_exact(missing.max(spare));
            self.meters.resize(index + 1, meter);
        }
        self.meters[index] = meter;
    }

    /// A connection is read again that was not since something was counted last. It could not be heard
    /// meanwhile, and what it sent comes at once.
    pub(crate) fn catch_up(&mut self, slot: u32, now: Time) {
        let Some(meter) = self.meters.get_mut(slot as usize) else { return };
        let time = now.since(std::mem::replace(&mut meter.at, now));
        for (bucket, limit) in meter.buckets.iter_mut().zip(self.limits) {
            bucket.catch_up(limit, time);
        }
    }

    /// Memory is so short that connections are not read. Which of them, and since when, may change at
    /// any time: so all of them may catch up.
    pub(crate) fn note_unread(&mut self, now: Time) {
        self.unread_until = Some(now);
    }

    /// So many bytes and messages came. Beyond several limits, the one that closes counts.
    pub(crate) fn count_input(
        &mut self,
        slot: u32,
        bytes: usize,
        messages: u32,
        now: Time,
    ) -> Option<Excess> {
        if !self.is_on {
            return None;
        }
        // Whatever is limited: what follows may have to wait, and only that time is caught up.
        self.refill(slot, now);
        let of_messages = self.count(slot, Rate::Messages, u64::from(messages), now);
        let of_bytes = self.count(slot, Rate::Bytes, bytes as u64, now);
        match (of_messages, of_bytes) {
            (Some(excess), Some(other)) if other.closes && !excess.closes => Some(other),
            (Some(excess), _) => Some(excess),
            (None, other) => other,
        }
    }

    /// So much came of what this rate limits.
    pub(crate) fn count(
        &mut self,
        slot: u32,
        rate: Rate,
        amount: u64,
        now: Time,
    ) -> Option<Excess> {
        let limit = self.limits[rate as usize];
        if limit.amount == 0 || amount == 0 {
            return None;
        }
        self.refill(slot, now);
        let meter = &mut self.meters[slot as usize];
        let closes = match meter.buckets[rate as usize].take(limit, amount) {
            Outcome::Passes => return None,
            Outcome::Refused => false,
            Outcome::Closes => true,
        };
        Some(Excess { rate, most: limit.amount, closes })
    }

    /// A connection was read up to now, unless memory was short.
    fn refill(&mut self, slot: u32, now: Time) {
        let meter = &mut self.meters[slot as usize];
        if meter.at == now {
            return;
        }
        if self.unread_until.is_some_and(|unread_until| meter.at <= unread_until) {
            return self.catch_up(slot, now);
        }
        let time = now.since(std::mem::replace(&mut meter.at, now));
        for (bucket, limit) in meter.buckets.iter_mut().zip(self.limits) {
            bucket.refill(limit, time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(change: impl FnOnce(&mut Limits)) -> Rates {
        let mut limits = Limits::default();
        change(&mut limits);
        Rates::new(&limits)
    }

    #[test]
    fn without_limits_nothing_is_kept() {
        let mut rates = rates(|_| ());
        rates.open(1_000_000, Time::default());
        rates.catch_up(1_000_000, Time::from_nanos(7));
        assert_eq!(rates.count_input(1_000_000, usize::MAX, u32::MAX, Time::default()), None);
        assert_eq!(rates.count(1_000_000, Rate::Joins, 1, Time::default()), None);
        assert_eq!(rates.meters.capacity(), 0);
    }

    #[test]
    fn only_the_time_in_which_a_connection_was_not_read_is_caught_up() {
        let mut rates = rates(|limits| limits.joins_per_second = 1);
        rates.open(0, Time::default());
        let after = |millis: u64| Time::from_nanos(millis * 1_000_000);
        assert_eq!(rates.count(0, Rate::Joins, 1, after(0)), None);
        // It is silent for a minute, and then a message that is no join waits for two seconds.
        assert_eq!(rates.count_input(0, 20, 1, after(60_000)), None);
        rates.catch_up(0, after(62_000));
        let passed =
            (0..10).take_while(|_| rates.count(0, Rate::Joins, 1, after(62_000)).is_none());
        assert_eq!(passed.count(), 3, "a second's worth, and what came while it waited");
    }

    #[test]
    fn what_came_while_memory_was_short_passes_when_it_is_read() {
        let passes_after = |unread_at: Option<u64>| {
            let mut rates = rates(|limits| limits.messages_per_second = 1);
            rates.open(0, Time::default());
            let after = |seconds: u64| Time::from_nanos(seconds * 1_000_000_000);
            assert_eq!(rates.count_input(0, 20, 1, after(1)), None);
            unread_at.into_iter().for_each(|at| rates.note_unread(after(at)));
            let read = || rates.count_input(0, 20, 1, after(11)).is_none();
            std::iter::repeat_with(read).take(20).take_while(|passes| *passes).count()
        };
        assert_eq!(passes_after(None), 1, "it was read, and a second's worth passes");
        assert_eq!(passes_after(Some(0)), 1, "that was before");
        assert_eq!(passes_after(Some(9)), 10, "what came in ten seconds passes");
    }

    #[test]
    fn the_next_connection_of_a_slot_begins_anew() {
        let mut rates = rates(|limits| limits.joins_per_second = 1);
        for _ in 0..3 {
            rates.open(5, Time::default());
            assert_eq!(rates.count(5, Rate::Joins, 1, Time::default()), None);
            let excess = rates.count(5, Rate::Joins, 1, Time::default());
            assert_eq!(excess.map(|excess| excess.rate), Some(Rate::Joins));
        }
    }

    #[test]
    fn a_message_larger_than_a_second_allows_is_refused_and_closes_nothing() {
        let mut rates = rates(|limits| limits.bytes_per_second = 1_000);
        rates.open(0, Time::default());
        let largest = Limits::default().message_bytes;
        let excess = rates.count_input(0, largest, 1, Time::default()).expect("it is too much");
        assert!(!excess.closes && excess.rate == Rate::Bytes, "{excess:?}");
        let words = excess.to_string();
        assert!(words.contains("max_bytes_per_second") && words.contains("1000"), "{words}");
        let excess = rates.count_input(0, 1, 1, Time::default());
        assert_eq!(excess, None, "what fits, passes");
        let excess = rates.count_input(0, largest, 1, Time::default()).expect("it is too much");
        assert!(excess.closes, "a second one is enough");
    }

    #[test]
    fn a_clock_that_stands_still_or_jumps_lets_no_more_through_than_a_second_s_worth() {
        let mut rates = rates(|limits| limits.messages_per_second = 10);
        rates.open(0, Time::default());
        for now in [0, 1, u64::MAX / 2, u64::MAX] {
            let now = Time::from_nanos(now);
            let passed = (0..30).filter(|_| rates.count_input(0, 1, 1, now).is_none()).count();
            let full = now == Time::default() || now.as_nanos() > 1;
            assert_eq!(passed, if full { 10 } else { 0 }, "at {now:?}");
        }
    }

    #[test]
    fn of_two_limits_the_one_that_closes_counts() {
        let mut rates = rates(|limits| {
            (limits.messages_per_second, limits.bytes_per_second) = (1, 1);
            limits.message_bytes = 1;
        });
        rates.open(0, Time::default());
        assert_eq!(rates.count_input(0, 0, 1, Time::default()), None);
        let excess = rates.count_input(0, 100, 1, Time::default()).expect("both are too much");
        assert_eq!((excess.rate, excess.closes), (Rate::Bytes, true));
    }
}
