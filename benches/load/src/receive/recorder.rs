//! Latencies: of the whole run, and of each interval of it.

use std::ops::Range;

use hdrhistogram::Histogram;

use crate::watch::histogram::{add, histogram};
use crate::watch::ticks::Ticks;

/// One thread's latencies. Both histograms grow to what they hold.
///
/// A latency belongs to the interval in which its message was due, which is when a user who sent at
/// that time felt it: a server that stands still for a second is late in the whole second, and not
/// at its end.
#[derive(Debug)]
pub(crate) struct Recorder {
    whole: Histogram<u64>,
    /// Of all, recorded or not.
    longest: u64,
    intervals: Vec<Interval>,
    /// None until it is known.
    ticks: Option<Ticks>,
    current: usize,
    /// When messages of the current interval are due.
    current_spans: Range<u64>,
}

/// What was due in one interval.
#[derive(Debug)]
pub(crate) struct Interval {
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
        let (whole, intervals) = (histogram(DIGITS), Vec::new());
        Self { whole, longest: 0, intervals, ticks: None, current: 0, current_spans: 0..0 }
    }

    /// Says when intervals begin; what was recorded before stays in the whole alone.
    pub(crate) fn start(&mut self, ticks: Ticks) {
        self.ticks = Some(ticks);
    }

    /// The longest counts in any case.
    #[inline]
    pub(crate) fn see(&mut self, due: u64, now: u64, is_sampled: bool) {
        let latency = now.saturating_sub(due);
        self.longest = self.longest.max(latency);
        if !self.current_spans.contains(&due) {
            self.enter(due);
        }
        if let Some(interval) = self.intervals.get_mut(self.current) {
            interval.longest = interval.longest.max(latency);
            interval.arrived += 1;
        }
        if is_sampled {
            self.record(latency);
        }
    }

    #[inline]
    fn record(&mut self, latency: u64) {
        self.whole.saturating_record(latency);
        if let Some(interval) = self.intervals.get_mut(self.current) {
            interval.histogram.saturating_record(latency);
        }
    }

    #[cold]
    fn enter(&mut self, due: u64) {
        let Some(ticks) = self.ticks else { return };
        (self.current, self.current_spans) = ticks.interval_of(due);
        self.intervals.resize_with(self.intervals.len().max(self.current + 1), Interval::new);
    }

    /// Adds what another thread recorded.
    pub(crate) fn merge(&mut self, other: &Self) {
        add(&mut self.whole, &other.whole);
        self.longest = self.longest.max(other.longest);
        let count = self.intervals.len().max(other.intervals.len());
        self.intervals.resize_with(count, Interval::new);
        for (ours, theirs) in self.intervals.iter_mut().zip(&other.intervals) {
            add(&mut ours.histogram, &theirs.histogram);
            ours.longest = ours.longest.max(theirs.longest);
            ours.arrived += theirs.arrived;
        }
    }

    pub(crate) fn longest(&self) -> u64 {
        self.longest
    }

    pub(crate) fn whole(&self) -> &Histogram<u64> {
        &self.whole
    }

    pub(crate) fn interval(&self, number: usize) -> Option<&Interval> {
        self.intervals.get(number).filter(|interval| interval.arrived > 0)
    }
}

impl Interval {
    fn new() -> Self {
        Self { histogram: histogram(INTERVAL_DIGITS), longest: 0, arrived: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_count_in_the_interval_of_their_due_time_and_in_the_whole() {
        let mut recorder = Recorder::new();
        recorder.start(Ticks::every(1_000, 1_400, 100));
        for (due, now) in [(1_000, 6_000), (1_099, 8_099), (1_350, 10_350), (1_010, 1_020)] {
            recorder.see(due, now, true);
        }
        recorder.see(1_000, 50_000, false);
        assert_eq!((recorder.whole().len(), recorder.longest()), (4, 49_000));
        let of = |recorder: &Recorder, number| {
            let interval = recorder.interval(number)?;
            Some((interval.arrived, interval.histogram.len(), interval.longest))
        };
        assert_eq!(of(&recorder, 0), Some((4, 3, 49_000)), "the longest is of all");
        assert_eq!((of(&recorder, 1), of(&recorder, 3)), (None, Some((1, 1, 9_000))));
        let mut sum = Recorder::new();
        sum.merge(&recorder);
        sum.merge(&recorder);
        assert_eq!(sum.longest(), 49_000);
        assert_eq!((sum.whole().len(), of(&sum, 3)), (8, Some((2, 2, 9_000))));
    }
}
