//! Latencies: of the whole run, and of each interval of it.

use hdrhistogram::Histogram;

use crate::watch::histogram::{add, histogram};

/// One thread's latencies. Both histograms grow to what they hold.
#[derive(Debug)]
pub(crate) struct Recorder {
    whole: Histogram<u64>,
    intervals: Vec<Histogram<u64>>,
    ticks: Ticks,
    current: usize,
    current_ends: u64,
}

/// The intervals of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    pub(crate) mark: u64,
    pub(crate) every: u64,
}

const DIGITS: u8 = 3;
/// For charts.
const INTERVAL_DIGITS: u8 = 2;
/// Enough for a day at the longest interval.
const INTERVALS_MAX: usize = 4096;

impl Recorder {
    pub(crate) fn new() -> Self {
        let ticks = Ticks { mark: u64::MAX, every: 1 };
        let whole = histogram(DIGITS);
        Self { whole, intervals: Vec::new(), ticks, current: 0, current_ends: 0 }
    }

    /// Says when intervals begin; what was recorded before stays in the whole alone.
    pub(crate) fn start(&mut self, ticks: Ticks) {
        self.ticks = ticks;
        self.current_ends = 0;
    }

    /// Chooses the interval of what is recorded next.
    #[inline]
    pub(crate) fn advance(&mut self, now: u64) {
        if now >= self.current_ends {
            self.enter(now);
        }
    }

    #[cold]
    fn enter(&mut self, now: u64) {
        let passed = now.saturating_sub(self.ticks.mark) / self.ticks.every;
        self.current = usize::try_from(passed).map_or(INTERVALS_MAX, |n| n.min(INTERVALS_MAX - 1));
        self.current_ends = match self.ticks.mark {
            u64::MAX => u64::MAX,
            mark => mark + (passed + 1) * self.ticks.every,
        };
        while self.intervals.len() <= self.current {
            self.intervals.push(histogram(INTERVAL_DIGITS));
        }
    }

    #[inline]
    pub(crate) fn record(&mut self, latency: u64) {
        self.whole.saturating_record(latency);
        if let Some(interval) = self.intervals.get_mut(self.current) {
            interval.saturating_record(latency);
        }
    }

    /// Adds what another thread recorded.
    pub(crate) fn merge(&mut self, other: &Self) {
        add(&mut self.whole, &other.whole);
        while self.intervals.len() < other.intervals.len() {
            self.intervals.push(histogram(INTERVAL_DIGITS));
        }
        for (ours, theirs) in self.intervals.iter_mut().zip(&other.intervals) {
            add(ours, theirs);
        }
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
    fn latencies_count_in_their_interval_and_in_the_whole() {
        let mut recorder = Recorder::new();
        recorder.start(Ticks { mark: 1_000, every: 100 });
        for (now, latency) in [(1_000, 5_000), (1_099, 7_000), (1_350, 9_000)] {
            recorder.advance(now);
            recorder.record(latency);
        }
        assert_eq!(recorder.whole().len(), 3);
        assert_eq!(recorder.interval(0).unwrap().len(), 2);
        assert!(recorder.interval(1).is_none());
        assert_eq!(recorder.interval(3).unwrap().max() / 100, 90);
        let mut sum = Recorder::new();
        sum.merge(&recorder);
        sum.merge(&recorder);
        assert_eq!((sum.whole().len(), sum.interval(3).unwrap().len()), (6, 2));
    }
}
