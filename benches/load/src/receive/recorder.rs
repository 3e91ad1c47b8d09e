//! Latencies: of the whole run, and of each part of it.

use std::ops::Range;

use hdrhistogram::Histogram;

use crate::watch::histogram::{add, histogram};
use crate::watch::parts::Parts;

/// One thread's latencies. Both histograms grow to what they hold.
///
/// A latency belongs to the part in which its message was due, which is when a user who sent at
/// that time felt it: a server that stands still for a second is late in the whole second, and not
/// at its end.
#[derive(Debug)]
pub(crate) struct Recorder {
    whole: Histogram<u64>,
    /// Of all, recorded or not.
    longest: u64,
    parts: Vec<Latencies>,
    /// When they begin; none until it is known.
    times: Option<Parts>,
    digits: u8,
    current: usize,
    /// When messages of the current part are due.
    current_spans: Range<u64>,
    /// The stage of the current part.
    stage: usize,
    /// Of each stage, the most that each delivery has waited for the thread; none without stages.
    read_late: Vec<Histogram<u64>>,
}

/// Those of what was due in one part, or in some.
#[derive(Debug)]
pub(crate) struct Latencies {
    pub(crate) histogram: Histogram<u64>,
    /// Of all, recorded or not.
    pub(crate) longest: u64,
    /// Recorded or not.
    pub(crate) arrived: u64,
}

const DIGITS: u8 = 3;
/// For charts.
const INTERVAL_DIGITS: u8 = 2;

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            whole: histogram(DIGITS),
            longest: 0,
            parts: Vec::new(),
            times: None,
            digits: INTERVAL_DIGITS,
            current: 0,
            current_spans: 0..0,
            stage: 0,
            read_late: Vec::new(),
        }
    }

    /// Says when parts begin; what was recorded before stays in the whole alone.
    pub(crate) fn start(&mut self, times: Parts) {
        if times.is_staged() {
            self.digits = DIGITS;
            self.read_late = vec![histogram(DIGITS); times.cuts().len() + 1];
        }
        self.times = Some(times);
    }

    /// The longest counts in any case; what comes again is no further delivery.
    #[inline]
    pub(crate) fn see(&mut self, due: u64, now: u64, is_sampled: bool, is_first: bool) {
        let latency = now.saturating_sub(due);
        self.longest = self.longest.max(latency);
        if !self.current_spans.contains(&due) {
            self.enter(due);
        }
        if let Some(part) = self.parts.get_mut(self.current) {
            part.longest = part.longest.max(latency);
            part.arrived += u64::from(is_first);
        }
        if is_sampled {
            self.record(latency);
        }
    }

    #[inline]
    fn record(&mut self, latency: u64) {
        self.whole.saturating_record(latency);
        if let Some(part) = self.parts.get_mut(self.current) {
            part.histogram.saturating_record(latency);
        }
    }

    /// So many deliveries, of which the last was seen just now, have waited for the thread, at most
    /// for so long.
    #[inline]
    pub(crate) fn note_read_late(&mut self, late: u64, deliveries: u64) {
        if let Some(histogram) = self.read_late.get_mut(self.stage) {
            histogram.saturating_record_n(late, deliveries);
        }
    }

    #[cold]
    fn enter(&mut self, due: u64) {
        let Some(times) = &self.times else { return };
        (self.current, self.current_spans) = times.part_of(due);
        self.stage = times.stage_of(due);
        self.extend(self.current + 1);
    }

    /// So many parts at least.
    fn extend(&mut self, count: usize) {
        let (count, digits) = (self.parts.len().max(count), self.digits);
        self.parts.resize_with(count, || Latencies::new(digits));
    }

    /// Adds what another thread recorded.
    pub(crate) fn merge(&mut self, other: &Self) {
        add(&mut self.whole, &other.whole);
        self.longest = self.longest.max(other.longest);
        // All threads but one that has recorded nothing have the same.
        self.digits = self.digits.max(other.digits);
        self.extend(other.parts.len());
        for (ours, theirs) in self.parts.iter_mut().zip(&other.parts) {
            ours.merge(theirs);
        }
        let stages = self.read_late.len().max(other.read_late.len());
        self.read_late.resize_with(stages, || histogram(DIGITS));
        for (ours, theirs) in self.read_late.iter_mut().zip(&other.read_late) {
            add(ours, theirs);
        }
    }

    /// What was read late of what was due in a stage.
    pub(crate) fn read_late(&self, stage: usize) -> Option<&Histogram<u64>> {
        self.read_late.get(stage)
    }

    pub(crate) fn longest(&self) -> u64 {
        self.longest
    }

    pub(crate) fn whole(&self) -> &Histogram<u64> {
        &self.whole
    }

    /// Those of all these parts together.
    pub(crate) fn of_parts(&self, numbers: &[usize]) -> Latencies {
        let mut sum = Latencies::new(self.digits);
        numbers.iter().filter_map(|&number| self.parts.get(number)).for_each(|it| sum.merge(it));
        sum
    }
}

impl Latencies {
    fn new(digits: u8) -> Self {
        Self { histogram: histogram(digits), longest: 0, arrived: 0 }
    }

    fn merge(&mut self, other: &Self) {
        add(&mut self.histogram, &other.histogram);
        self.longest = self.longest.max(other.longest);
        self.arrived += other.arrived;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::ticks::Ticks;

    #[test]
    fn latencies_count_in_the_part_of_their_due_time_and_in_the_whole() {
        let mut recorder = Recorder::new();
        recorder.start(Parts::of(Ticks::every(1_000, 1_400, 100), &[]));
        for (due, now) in [(1_000, 6_000), (1_099, 8_099), (1_350, 10_350), (1_010, 1_020)] {
            recorder.see(due, now, true, true);
        }
        recorder.see(1_000, 50_000, false, true);
        recorder.see(1_000, 40_000, false, false);
        assert_eq!((recorder.whole().len(), recorder.longest()), (4, 49_000));
        let of = |recorder: &Recorder, number| {
            let part = recorder.of_parts(&[number]);
            (part.arrived, part.histogram.len(), part.longest)
        };
        assert_eq!(of(&recorder, 0), (4, 3, 49_000), "the longest is of all");
        assert_eq!((of(&recorder, 1), of(&recorder, 3)), ((0, 0, 0), (1, 1, 9_000)));
        let mut sum = Recorder::new();
        sum.merge(&recorder);
        sum.merge(&recorder);
        assert_eq!(sum.longest(), 49_000);
        assert_eq!((sum.whole().len(), of(&sum, 3)), (8, (2, 2, 9_000)));
    }

    #[test]
    fn stages_are_recorded_as_exactly_as_the_whole() {
        let mut recorder = Recorder::new();
        recorder.start(Parts::of(Ticks::every(1_000, 1_300, 100), &[1_150]));
        for due in [1_010, 1_120, 1_149, 1_150, 1_199, 1_255] {
            recorder.see(due, due + 123_456, due != 1_199, true);
        }
        let mut sum = Recorder::new();
        sum.merge(&recorder);
        sum.merge(&recorder);
        let of = |numbers: &[usize]| {
            let all = sum.of_parts(numbers);
            (all.arrived, all.histogram.len())
        };
        assert_eq!([of(&[0, 1]), of(&[2, 3])], [(6, 6), (6, 4)]);
        assert_eq!(sum.of_parts(&[0, 1]).histogram.max(), sum.whole().max());
    }

    #[test]
    fn each_stage_has_what_was_read_late_of_it() {
        let mut recorder = Recorder::new();
        recorder.note_read_late(5_000, 2);
        recorder.start(Parts::of(Ticks::every(1_000, 1_300, 100), &[1_150]));
        for (due, late) in [(1_149, 5_000), (1_150, 90_000), (1_299, 80_000)] {
            recorder.see(due, due + 123_456, true, true);
            recorder.note_read_late(late, 3);
        }
        let mut sum = Recorder::new();
        sum.merge(&recorder);
        let of = |stage| sum.read_late(stage).map(|it| (it.len(), it.max() / 1_000));
        assert_eq!([of(0), of(1), of(2)], [Some((3, 5)), Some((6, 90)), None]);
    }
}
