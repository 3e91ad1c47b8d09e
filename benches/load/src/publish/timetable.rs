//! The open loop: every message has a time at which it is due, and is published then or, late,
//! as soon as possible; its latency counts from when it was due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::time::Duration;

use super::publisher::{IDLE, Leg, Publisher};
use crate::watch::shared::Phase;

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

/// So long after the end what was due before it still counts as published at its rate.
const IN_TIME: u64 = 50_000_000;
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

    /// How many messages of a stream are due before a moment.
    fn due_before(&self, stream: usize, sharers: u32, by: u64) -> u64 {
        let interval = self.interval * f64::from(sharers);
        let place = stream as f64 / self.streams as f64;
        let mut count = (by.saturating_sub(self.from) as f64 / interval - place).max(0.0) as u32;
        // What is due is rounded, and so is this.
        while self.due(stream, sharers, count) < by {
            count += 1;
        }
        while count > 0 && self.due(stream, sharers, count - 1) >= by {
            count -= 1;
        }
        count.into()
    }

    /// How long nothing is due, at most until the end of the leg; none when nothing is planned any
    /// more. Sleeping on then would delay what is due first in the next leg.
    fn pause(&self, leg: Leg, now: u64) -> Option<Duration> {
        if self.next.is_empty() && self.parked.is_empty() {
            return None;
        }
        let planned = self.next.peek().map(|Reverse((due, _))| *due);
        let until = planned.or((leg.to > now).then_some(leg.to));
        Some(until.map_or(IDLE, |until| Duration::from_nanos(until.saturating_sub(now))))
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
            if self.shared.is_over() || self.is_too_late(leg, now) {
                break;
            }
            self.publish_due(&mut timetable, leg, now);
            let Some(pause) = timetable.pause(leg, self.shared.clock.now()) else { break };
            self.turn(IDLE.min(pause.saturating_sub(early)))?;
        }
        if !leg.is_warm_up {
            self.count_due(&timetable, leg);
        }
        Ok(())
    }

    /// What is still not published then will not be: nothing of the warm-up in what is measured,
    /// and nothing measured once nobody waits for it any more.
    fn is_too_late(&self, leg: Leg, now: u64) -> bool {
        if leg.is_warm_up { now >= leg.to } else { self.shared.phase() > Phase::Publish }
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
            let connection = &self.connections[self.feeds[nth].connection];
            if connection.link.is_none() {
                continue;
            }
            if connection.unsent.len() > UNSENT_MAX {
                timetable.parked.push((due, nth));
                continue;
            }
            self.publish(nth, due, leg.is_warm_up);
            if !leg.is_warm_up {
                self.sent.delays.saturating_record(now - due);
                self.sent.in_time += u64::from(now <= leg.to + IN_TIME);
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

    /// What was due, and what of it was not published.
    fn count_due(&mut self, timetable: &Timetable, leg: Leg) {
        let (shared, now) = (&self.shared, self.shared.clock.now());
        let ended = shared.early_end().map(|end| end.at);
        let interrupted = shared.is_interrupted().then_some(now);
        let measured_to =
            leg.to.min(ended.unwrap_or(u64::MAX)).min(interrupted.unwrap_or(u64::MAX));
        let owed_to = leg.to.min(interrupted.unwrap_or(u64::MAX));
        for (nth, feed) in self.feeds.iter().enumerate() {
            let due = |by| timetable.due_before(nth, feed.sharers, by);
            self.sent.due += due(measured_to);
            self.sent.unsent += due(owed_to).saturating_sub(u64::from(feed.sequence));
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
        let late = timetable(&[], &[3_000]).pause(leg, 10_000);
        assert_eq!(late, Some(IDLE), "the socket says when it takes more");
    }

    #[test]
    fn what_is_due_before_a_moment_is_counted_exactly() {
        for (interval, streams, sharers) in [(100.0, 1, 1), (33.3, 7, 1), (0.7, 3, 2), (1e9, 2, 1)]
        {
            let (next, parked) = (BinaryHeap::new(), Vec::new());
            let timetable = Timetable { from: 1_000, interval, streams, next, parked };
            for stream in 0..streams {
                for by in 990..1_600 {
                    let due = |&nth: &u32| timetable.due(stream, sharers, nth) < by;
                    let expected = (0..).take_while(due).count() as u64;
                    assert_eq!(timetable.due_before(stream, sharers, by), expected, "{by}");
                }
            }
        }
    }
}
