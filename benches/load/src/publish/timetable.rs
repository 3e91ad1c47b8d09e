//! The open loop: every message has a time at which it is due, and is published then or, late,
//! as soon as possible; its latency counts from when it was due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::ops::Range;
use std::time::Duration;

use super::connection::Pending;
use super::course::Course;
use super::publisher::{IDLE, Leg, Publisher, StageSent, traffic};
use crate::setup::stages::Stages;
use crate::watch::begins;
use crate::watch::clock::nanos;
use crate::watch::parts::Parts;
use crate::watch::shared::Phase;

/// When the messages of each stream are due.
#[derive(Clone, Debug)]
struct Timetable {
    /// Of each room.
    course: Course,
    streams: usize,
}

/// What is to be published next, by stream and when it is due.
#[derive(Debug, Default)]
struct Agenda {
    next: BinaryHeap<Reverse<(u64, usize)>>,
    /// Streams whose connection takes no more.
    parked: Vec<(u64, usize)>,
}

/// What was due in the measured leg.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    timetable: Timetable,
    from: u64,
    /// When each stage ends, if there are some.
    stage_ends: Vec<u64>,
    /// Until then rates are told.
    measured_to: u64,
    /// Until then everything is owed.
    owed_to: u64,
    /// Until then it counts as published at its rate, if its stage has not ended before.
    in_time_to: u64,
}

/// An idle core, above all of a virtual machine, takes up to so long to wake up, which would count
/// as latency. So the thread wakes early and looks at its sockets until the message is due.
const EARLY_MAX: Duration = Duration::from_millis(1);
/// What waking early may take of the time between two messages.
const EARLY_SHARE: f64 = 0.1;

/// So long after the end, of a stage, too, what was due before it still counts as published at its
/// rate.
const IN_TIME: u64 = 50_000_000;
/// Messages before sockets get a turn.
const BATCH: usize = 512;
/// What a publisher may have waiting for a server that reads too slowly. More would be delivered
/// long after it was due, and hide for seconds what the server does with what it takes.
const UNSENT_MAX: usize = 1 << 20;

impl Timetable {
    /// In a leg, with that rate unless there are stages; the warm-up has that of the first one.
    fn new(leg: Leg, rate: f64, stages: Option<&Stages>, streams: usize) -> Self {
        let course = match stages {
            None => Course::even(leg.from, rate),
            Some(stages) if leg.is_warm_up => Course::even(leg.from, stages.first()),
            Some(stages) => Course::staged(leg.from, stages),
        };
        Self { course, streams }
    }

    /// When one message is due: streams begin one after the other, so that rooms do not burst
    /// together.
    fn due(&self, stream: usize, sharers: u32, sequence: u32) -> u64 {
        let before = f64::from(sequence) * f64::from(sharers);
        self.course.when(before + self.place(stream, sharers))
    }

    /// How much earlier than a message is due the thread wakes: a slow stage has as much time for
    /// that as its rate alone.
    fn early(&self, due: u64, rooms: u32) -> Duration {
        let per_second = self.course.rate(due) * f64::from(rooms);
        let early = Duration::try_from_secs_f64(EARLY_SHARE / per_second);
        early.map_or(EARLY_MAX, |early| early.min(EARLY_MAX))
    }

    /// How many messages of its room are due before the first one of a stream.
    fn place(&self, stream: usize, sharers: u32) -> f64 {
        (stream as f64 * f64::from(sharers)) / self.streams as f64
    }

    /// How many messages of a stream are due before a moment.
    fn due_before(&self, stream: usize, sharers: u32, by: u64) -> u64 {
        let of_room = self.course.count(by) - self.place(stream, sharers);
        let mut count = (of_room / f64::from(sharers)).max(0.0) as u32;
        // What is due is rounded, and so is this.
        while self.due(stream, sharers, count) < by {
            count += 1;
        }
        while count > 0 && self.due(stream, sharers, count - 1) >= by {
            count -= 1;
        }
        count.into()
    }
}

impl Agenda {
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
        let stages = traffic(&self.shared).stages.as_ref();
        let timetable = &Timetable::new(leg, rate, stages, self.feeds.len());
        let mut agenda = Agenda::default();
        if !leg.is_warm_up {
            self.owe(timetable, leg, stages.is_some());
        }
        let rooms = self.shared.plan.streams.rooms;
        for nth in 0..self.feeds.len() {
            self.plan_next(timetable, &mut agenda, nth, leg);
        }
        loop {
            let now = self.shared.clock.now();
            self.unpark(&mut agenda, now);
            if self.shared.is_over() || self.is_too_late(leg, now) {
                break;
            }
            self.publish_due(timetable, &mut agenda, leg, now);
            let now = self.shared.clock.now();
            let Some(pause) = agenda.pause(leg, now) else { break };
            let due = now.saturating_add(nanos(pause));
            let early = timetable.early(due, rooms);
            self.turn(IDLE.min(pause.saturating_sub(early)), due)?;
        }
        self.cut_owed();
        Ok(())
    }

    /// Ends what is owed where the run has ended, if that is before its time. Stages without messages
    /// may follow the last one that is published.
    pub(crate) fn cut_owed(&mut self) {
        let Some(owed) = &mut self.owed else { return };
        let ended = self.shared.early_end().map(|end| end.at);
        let interrupted = self.shared.is_interrupted().then(|| self.shared.clock.now());
        owed.cut(ended, interrupted);
    }

    /// From now on everything that is due in a leg is owed.
    fn owe(&mut self, timetable: &Timetable, leg: Leg, is_staged: bool) {
        let mut owed = Owed::new(timetable.clone(), leg.from..leg.to);
        if let Some(parts) = self.parts.as_ref().filter(|_| is_staged) {
            owed.stage_ends = parts.cuts().iter().copied().chain([leg.to]).collect();
        }
        self.sent.stages = vec![StageSent::new(); owed.stage_ends.len()];
        self.owed = Some(owed);
    }

    /// What is still not published then will not be: nothing of the warm-up in what is measured,
    /// and nothing measured once nobody waits for it any more.
    fn is_too_late(&self, leg: Leg, now: u64) -> bool {
        if leg.is_warm_up { now >= leg.to } else { self.shared.phase() > Phase::Publish }
    }

    fn plan_next(&self, timetable: &Timetable, agenda: &mut Agenda, nth: usize, leg: Leg) {
        let feed = &self.feeds[nth];
        let due = timetable.due(nth, feed.sharers, feed.sequence);
        if due < leg.to && self.connections[feed.connection].link.is_some() {
            agenda.next.push(Reverse((due, nth)));
        }
    }

    fn publish_due(&mut self, timetable: &Timetable, agenda: &mut Agenda, leg: Leg, now: u64) {
        for _ in 0..BATCH {
            let Some(&Reverse((due, nth))) = agenda.next.peek() else { return };
            if due > now {
                return;
            }
            agenda.next.pop();
            let connection = &self.connections[self.feeds[nth].connection];
            if connection.link.is_none() {
                continue;
            }
            if connection.unsent.len() > UNSENT_MAX {
                agenda.parked.push((due, nth));
                continue;
            }
            self.publish(nth, due, leg.is_warm_up);
            self.plan_next(timetable, agenda, nth, leg);
        }
    }

    /// Streams whose connection takes messages again go on where they stopped.
    fn unpark(&mut self, agenda: &mut Agenda, now: u64) {
        let (feeds, connections) = (&mut self.feeds, &self.connections);
        let free = agenda.parked.extract_if(.., |&mut (_, nth)| {
            connections[feeds[nth].connection].unsent.len() <= UNSENT_MAX
        });
        for (due, nth) in free.collect::<Vec<_>>() {
            feeds[nth].free_since = now;
            agenda.next.push(Reverse((due, nth)));
        }
    }

    /// The kernel has taken a message, now. It had to wait for that if the socket was full; else we
    /// did not come to it earlier.
    pub(crate) fn note_delay(&mut self, taken: Pending, now: u64, was_full: bool) {
        if let Some(owed) = &self.owed {
            let delay = now.saturating_sub(taken.due);
            let own = if was_full { taken.own } else { taken.own + now.saturating_sub(taken.at) };
            self.sent.delays.saturating_record(delay);
            self.sent.own.saturating_record(own);
            self.sent.full.saturating_record(delay.saturating_sub(own));
            let (stage, in_time_to) = owed.in_time_to(taken.due);
            let in_time = u64::from(now <= in_time_to);
            self.sent.in_time += in_time;
            if let Some(stage) = self.sent.stages.get_mut(stage) {
                stage.in_time += in_time;
                stage.own.saturating_record(own);
            }
        }
    }

    /// What was due, and what of it the kernel has not taken. In the closed loop a message is due
    /// when its turn has come.
    pub(crate) fn count_unsent(&mut self) {
        self.sent.measured = self.owed.as_ref().map_or(0, Owed::measured);
        for (nth, feed) in self.feeds.iter().enumerate() {
            let due = match &self.owed {
                Some(owed) => {
                    let Owed { timetable, measured_to, owed_to, .. } = owed;
                    self.sent.due += timetable.due_before(nth, feed.sharers, *measured_to);
                    owed.count_due(nth, feed.sharers, &mut self.sent.stages);
                    timetable.due_before(nth, feed.sharers, *owed_to)
                }
                None => feed.sequence.into(),
            };
            self.sent.unsent += due.saturating_sub(feed.taken.into());
            let unsent = feed.taken..u32::try_from(due).unwrap_or(u32::MAX);
            match (&self.owed, &self.parts) {
                (Some(owed), Some(parts)) => {
                    owed.file(parts, (nth, feed.sharers), unsent, &mut self.sent.unsent_at);
                }
                _ => self.shared.begins.add(nth as u32, unsent, &mut self.sent.unsent_at),
            }
        }
    }
}

impl Owed {
    fn new(timetable: Timetable, times: Range<u64>) -> Self {
        let Range { start: from, end: to } = times;
        let stage_ends = Vec::new();
        Self { timetable, from, stage_ends, measured_to: to, owed_to: to, in_time_to: to + IN_TIME }
    }

    /// Whether the kernel has still to take something of a stream of which it has taken so many.
    pub(super) fn owes(&self, stream: usize, sharers: u32, taken: u32) -> bool {
        u64::from(taken) < self.timetable.due_before(stream, sharers, self.owed_to)
    }

    /// Whether all messages were due before a moment.
    pub(super) fn is_over(&self, by: u64) -> bool {
        self.timetable.course.is_over(by)
    }

    /// Nanoseconds of which rates are told.
    fn measured(&self) -> u64 {
        self.measured_to.saturating_sub(self.from)
    }

    /// The stage in which something was due, and until when it counts as published at its rate.
    /// What is made up for in a later stage has not been: the rate was another then.
    #[inline]
    fn in_time_to(&self, due: u64) -> (usize, u64) {
        let stage = self.stage_ends.partition_point(|&end| end <= due);
        let end = self.stage_ends.get(stage).map_or(u64::MAX, |end| end + IN_TIME);
        (stage, end.min(self.in_time_to))
    }

    /// What of a stream was due in each stage, as long as rates are told.
    fn count_due(&self, stream: usize, sharers: u32, stages: &mut [StageSent]) {
        let mut before = 0;
        for (stage, &end) in stages.iter_mut().zip(&self.stage_ends) {
            let by = end.min(self.measured_to);
            let due = self.timetable.due_before(stream, sharers, by);
            stage.due += due - before;
            before = due;
        }
    }

    /// In which parts of the measured time messages of a stream were due, whether anybody came to
    /// publish them or not.
    fn file(
        &self,
        parts: &Parts,
        (stream, sharers): (usize, u32),
        numbers: Range<u32>,
        sums: &mut Vec<u64>,
    ) {
        let mut from = numbers.start;
        while from < numbers.end {
            let (part, times) = parts.part_of(self.timetable.due(stream, sharers, from));
            let to = match times.end < self.owed_to {
                true => self.timetable.due_before(stream, sharers, times.end) as u32,
                false => numbers.end,
            };
            begins::add(sums, part, u64::from(to.min(numbers.end) - from));
            from = to;
        }
    }

    /// The run has ended before its time: rates are of the time until then, and nothing is owed
    /// after an interruption.
    fn cut(&mut self, ended: Option<u64>, interrupted: Option<u64>) {
        for at in ended.into_iter().chain(interrupted) {
            self.measured_to = self.measured_to.min(at);
            self.in_time_to = self.in_time_to.min(at);
        }
        self.owed_to = self.owed_to.min(interrupted.unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::ticks::Ticks;

    #[test]
    fn nobody_sleeps_beyond_the_end_of_a_leg() {
        let leg = Leg { from: 1_000, to: 9_000, is_warm_up: true };
        let agenda = |next: &[u64], parked: &[u64]| Agenda {
            next: next.iter().map(|&due| Reverse((due, 0))).collect(),
            parked: parked.iter().map(|&due| (due, 1)).collect(),
        };
        let check = |next: &[u64], parked: &[u64], expected: Option<u64>| {
            let pause = agenda(next, parked).pause(leg, 5_000);
            assert_eq!(pause, expected.map(Duration::from_nanos), "{next:?} {parked:?}");
        };
        check(&[7_000, 6_000], &[], Some(1_000));
        check(&[4_000], &[3_000], Some(0));
        check(&[], &[3_000], Some(4_000));
        check(&[], &[], None);
        let late = agenda(&[], &[3_000]).pause(leg, 10_000);
        assert_eq!(late, Some(IDLE), "the socket says when it takes more");
    }

    fn stages(text: &str) -> Stages {
        let all = text.split(',').map(|stage| stage.parse().unwrap()).collect();
        Stages::new(all).unwrap().unwrap()
    }

    #[test]
    fn a_warm_up_has_the_rate_of_the_first_stage() {
        let stages = stages("10s:50..5000,10s:0");
        let leg = |is_warm_up| Leg { from: 0, to: 1_000_000_000, is_warm_up };
        let due = |is_warm_up| {
            let timetable = Timetable::new(leg(is_warm_up), 9e9, Some(&stages), 1);
            timetable.due_before(0, 1, 1_000_000_000)
        };
        assert_eq!((due(true), due(false)), (50, 298));
    }

    #[test]
    fn each_stage_wakes_as_early_as_its_rate_alone() {
        let stages = stages("1s:100,1s:20000,1s:0");
        let leg = Leg { from: 0, to: 3_000_000_000, is_warm_up: false };
        let timetable = Timetable::new(leg, 1.0, Some(&stages), 1);
        for (due, early) in [(0, 500_000), (1_500_000_000, 2_500), (2_500_000_000, 1_000_000)] {
            assert_eq!(timetable.early(due, 2).as_nanos(), early, "{due}");
        }
    }

    /// A server may end the connection of a publisher that has nothing to say any more.
    #[test]
    fn nothing_is_owed_in_a_stage_at_the_end_without_messages() {
        let stages = stages("1s:10,9s:0");
        let leg = Leg { from: 0, to: 10_000_000_000, is_warm_up: false };
        let owed = Owed::new(Timetable::new(leg, 1.0, Some(&stages), 1), leg.from..leg.to);
        assert!(owed.owes(0, 1, 0) && owed.owes(0, 1, 9) && !owed.owes(0, 1, 10));
        assert!(!owed.is_over(999_000_000) && owed.is_over(1_000_000_000));
    }

    #[test]
    fn what_was_not_sent_is_filed_by_its_due_time() {
        let streams = 2;
        let timetable = Timetable { course: Course::even(1_000, 1e8), streams };
        let parts = Parts::of(Ticks::every(1_000, 1_400, 100), &[1_220]);
        for owed_to in [1_400, 1_230] {
            let owed = Owed { owed_to, ..Owed::new(timetable.clone(), 1_000..1_400) };
            for stream in 0..streams {
                let due = timetable.due_before(stream, 1, owed_to) as u32;
                let mut expected = vec![0; 5];
                for number in 7..due {
                    expected[parts.part_of(timetable.due(stream, 1, number)).0] += 1;
                }
                let mut sums = Vec::new();
                owed.file(&parts, (stream, 1), 7..due, &mut sums);
                sums.resize(5, 0);
                assert_eq!(sums, expected, "{stream} until {owed_to}");
            }
        }
    }

    /// What is made up for when less is due was not published at the rate that it was to have.
    #[test]
    fn each_stage_has_its_own_time_to_publish_in() {
        let from = 1_000_000_000;
        let ends = [500, 2_000].map(|millis| from + millis * 1_000_000);
        let timetable = Timetable { course: Course::even(from, 1_000.0), streams: 2 };
        let mut owed = Owed::new(timetable, from..ends[1]);
        assert_eq!(owed.in_time_to(ends[0] - 1), (0, ends[1] + IN_TIME), "without stages");
        owed.stage_ends = ends.to_vec();
        let rows = [(from, 0), (ends[0] - 1, 0), (ends[0], 1), (ends[1] - 1, 1)];
        for (due, stage) in rows {
            assert_eq!(owed.in_time_to(due), (stage, ends[stage] + IN_TIME), "{due}");
        }
        let count = |owed: &Owed| {
            let mut stages = vec![StageSent::new(); 2];
            (0..2).for_each(|stream| owed.count_due(stream, 1, &mut stages));
            (stages.iter().map(|stage| stage.due).collect::<Vec<_>>(), owed.measured())
        };
        assert_eq!(count(&owed), (vec![1_000, 3_000], 2_000_000_000));
        owed.cut(None, Some(from + 600_000_000));
        assert_eq!(count(&owed), (vec![1_000, 200], 600_000_000));
        assert_eq!(owed.in_time_to(ends[0] - 1), (0, ends[0] + IN_TIME));
        assert_eq!(owed.in_time_to(ends[0]), (1, from + 600_000_000));
    }

    #[test]
    fn what_is_due_before_a_moment_is_counted_exactly() {
        for (interval, streams, sharers) in [(100.0, 1, 1), (33.3, 7, 1), (0.7, 3, 2), (1e9, 2, 1)]
        {
            let timetable = Timetable { course: Course::even(1_000, 1e9 / interval), streams };
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
