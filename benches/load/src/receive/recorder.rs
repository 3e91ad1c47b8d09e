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
    intervals: Vec<Histogram<u64>>,
    /// None until it is known.
    ticks: Option<Ticks>,
    current: usize,
    /// When messages of the current interval are due.
    current_spans: Range<u64>,
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
        if is_sampled {
            self.record(due, latency);
        }
    }

    #[inline]
    fn record(&mut self, due: u64, latency: u64) {
        self.whole.saturating_record(latency);
        if !self.current_spans.contains(&due) {
            self.enter(due);
        }
        if let Some(interval) = self.intervals.get_mut(self.current) {
            interval.saturating_record(latency);
        }
    }

    #[cold]
    fn enter(&mut self, due: u64) {
        let Some(ticks) = self.ticks else { return };
        (self.current, self.current_spans) = ticks.interval_of(due);
        while self.intervals.len() <= self.current {
            self.intervals.push(histogram(INTERVAL_DIGITS));
        }
    }

    /// Adds what another thread recorded.
    pub(crate) fn merge(&mut self, other: &Self) {
        add(&mut self.whole, &other.whole);
        self.longest = self.longest.max(other.longest);
        while self.intervals.len() < other.intervals.len() {
            self.intervals.push(histogram(INTERVAL_DIGITS));
        }
        for (ours, theirs) in self.intervals.iter_mut().zip(&other.intervals) {
            add(ours, theirs);
        }
    }

    pub(crate) fn longest(&self) -> u64 {
        self.longest
    }

    pub(crate) fn whole(&self) -> &Histogram<u64> {
        &self.whole
    }

    pub(crate) fn interval(&self, number: usize) -> Option<&Histogram<u64>> {
        self.intervals.get(number).filter(|interval| !interval.is_empty())
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
        assert_eq!(recorder.interval(0).unwrap().len(), 3);
        assert!(recorder.interval(1).is_none());
        assert_eq!(recorder.interval(3).unwrap().max() / 100, 90);
        let mut sum = Recorder::new();
        sum.merge(&recorder);
        sum.merge(&recorder);
        assert_eq!(sum.longest(), 49_000);
        assert_eq!((sum.whole().len(), sum.interval(3).unwrap().len()), (8, 2));
    }
}
