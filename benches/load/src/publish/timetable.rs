//! The open loop: every message has a time at which it is due, and is published then or, late,
//! as soon as possible; its latency counts from when it was due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::time::Duration;

use super::publisher::{IDLE, Leg, Publisher};

/// When the messages of each stream are due.
#[derive(Debug)]
struct Timetable {
    from: u64,
    /// Nanoseconds between two messages of a stream that has its room for itself.
    interval: f64,
    streams: usize,
    /// The next message of each stream.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    /// Streams whose connection takes no more.
    parked: Vec<(u64, usize)>,
}

/// An idle core, above all of a virtual machine, takes up to so long to wake up, which would count
/// as latency. So the thread wakes early and looks at its sockets until the message is due.
const EARLY_MAX: Duration = Duration::from_millis(1);
/// What waking early may take of the time between two messages.
const EARLY_SHARE: f64 = 0.1;

/// Messages before sockets get a turn.
const BATCH: usize = 512;
/// What a publisher may have waiting for a server that reads too slowly. More would be delivered
/// long after it was due, and hide for seconds what the server does with what it takes.
const UNSENT_MAX: usize = 1 << 20;

impl Timetable {
    /// When one message is due: streams begin one after the other, so that rooms do not burst
    /// together.
    fn due(&self, stream: usize, sharers: u32, sequence: u32) -> u64 {
        let place = stream as f64 / self.streams as f64;
        let interval = self.interval * f64::from(sharers);
        self.from + ((f64::from(sequence) + place) * interval) as u64
    }

    /// How long nothing is due, at most until the end of the leg; none when nothing is planned any
    /// more. Sleeping on then would delay what is due first in the next leg.
    fn pause(&self, leg: Leg, now: u64) -> Option<Duration> {
        let planned = self.next.peek().map(|Reverse((due, _))| *due);
        let next = planned.or((!self.parked.is_empty()).then_some(leg.to))?;
        Some(Duration::from_nanos(next.saturating_sub(now)))
    }
}

impl Publisher {
    /// Publishes what is due in one leg.
    pub(crate) fn keep_rate(&mut self, leg: Leg, rate: f64) -> io::Result<()> {
        let mut timetable = Timetable {
            from: leg.from,
            interval: 1e9 / rate,
            streams: self.feeds.len(),
            next: BinaryHeap::new(),
            parked: Vec::new(),
        };
        let per_second = rate * f64::from(self.shared.plan.streams.rooms);
        let early = EARLY_MAX.min(Duration::from_secs_f64(EARLY_SHARE / per_second));
        for nth in 0..self.feeds.len() {
            self.plan_next(&mut timetable, nth, leg);
        }
        loop {
            let now = self.shared.clock.now();
            self.unpark(&mut timetable);
            if self.shared.is_interrupted() || now > leg.to && !timetable.parked.is_empty() {
                break;
            }
            self.publish_due(&mut timetable, leg, now);
            let Some(pause) = timetable.pause(leg, self.shared.clock.now()) else { break };
            self.turn(IDLE.min(pause.saturating_sub(early)))?;
        }
        self.count_unsent(&timetable, leg);
        Ok(())
    }

    fn plan_next(&self, timetable: &mut Timetable, nth: usize, leg: Leg) {
        let feed = &self.feeds[nth];
        let due = timetable.due(nth, feed.sharers, feed.sequence);
        if due < leg.to && self.connections[feed.connection].link.is_some() {
            timetable.next.push(Reverse((due, nth)));
        }
    }

    fn publish_due(&mut self, timetable: &mut Timetable, leg: Leg, now: u64) {
        for _ in 0..BATCH {
            let Some(&Reverse((due, nth))) = timetable.next.peek() else { return };
            if due > now {
                return;
            }
            timetable.next.pop();
            if self.connections[self.feeds[nth].connection].unsent.len() > UNSENT_MAX {
                timetable.parked.push((due, nth));
                continue;
            }
            self.publish(nth, due, leg.is_warm_up);
            if !leg.is_warm_up {
                self.sent.delays.saturating_record(now - due);
            }
            self.plan_next(timetable, nth, leg);
        }
    }

    /// Streams whose connection takes messages again go on where they stopped.
    fn unpark(&self, timetable: &mut Timetable) {
        let feeds = &self.feeds;
        let is_free =
            |nth: usize| self.connections[feeds[nth].connection].unsent.len() <= UNSENT_MAX;
        let free = timetable.parked.extract_if(.., |&mut (_, nth)| is_free(nth));
        timetable.next.extend(free.map(Reverse));
    }

    /// What should have been published by now and was not.
    fn count_unsent(&mut self, timetable: &Timetable, leg: Leg) {
        if leg.is_warm_up {
            return;
        }
        let by = leg.to.min(self.shared.clock.now());
        for (nth, feed) in self.feeds.iter().enumerate() {
            let interval = timetable.interval * f64::from(feed.sharers);
            let next = timetable.due(nth, feed.sharers, feed.sequence);
            self.sent.unsent += (by.saturating_sub(next) as f64 / interval).ceil() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_sleeps_beyond_the_end_of_a_leg() {
        let leg = Leg { from: 1_000, to: 9_000, is_warm_up: true };
        let timetable = |next: &[u64], parked: &[u64]| Timetable {
            from: leg.from,
            interval: 100.0,
            streams: 2,
            next: next.iter().map(|&due| Reverse((due, 0))).collect(),
            parked: parked.iter().map(|&due| (due, 1)).collect(),
        };
        let check = |next: &[u64], parked: &[u64], expected: Option<u64>| {
            let pause = timetable(next, parked).pause(leg, 5_000);
            assert_eq!(pause, expected.map(Duration::from_nanos), "{next:?} {parked:?}");
        };
        check(&[7_000, 6_000], &[], Some(1_000));
        check(&[4_000], &[3_000], Some(0));
        check(&[], &[3_000], Some(4_000));
        check(&[], &[], None);
    }
}
