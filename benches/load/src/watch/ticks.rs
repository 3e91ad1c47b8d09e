//! The intervals of the measured time.

use std::ops::Range;
use std::time::Duration;

use super::clock::nanos;
use crate::setup::plan::{Plan, Scenario};

/// All but the last are equally long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    mark: u64,
    end: u64,
    every: u64,
}

/// So many points make a chart.
const POINTS: u32 = 60;
const EVERY_MIN: Duration = Duration::from_millis(100);

impl Ticks {
    /// The intervals between the mark and the end.
    pub(crate) fn new(plan: &Plan, mark: u64, end: u64) -> Self {
        let duration = match (&plan.traffic, plan.scenario) {
            (Some(traffic), _) => traffic.duration,
            (None, Scenario::Hold { duration }) => duration,
            (None, Scenario::Storm { waves, stay, pause, .. }) => (stay + pause) * waves,
            (None, _) => EVERY_MIN,
        };
        Self { mark, end, every: nanos((duration / POINTS).max(EVERY_MIN)) }
    }

    #[cfg(test)]
    pub(crate) fn every(mark: u64, end: u64, every: u64) -> Self {
        Self { mark, end, every }
    }

    /// When the interval that begins now ends. A rest that is shorter than half an interval is part
    /// of the last one: rates of a few microseconds are noise, and would end every chart with a
    /// cliff.
    pub(crate) fn end_of(self, begin: u64) -> u64 {
        match begin + self.every + self.every / 2 < self.end {
            true => begin + self.every,
            false => self.end,
        }
    }

    /// The number of the interval that a time belongs to, and where that begins and ends; what is
    /// outside belongs to the first or the last one.
    pub(crate) fn interval_of(self, at: u64) -> (usize, Range<u64>) {
        let last = (2 * (self.end - self.mark)).saturating_sub(self.every).div_ceil(2 * self.every);
        let last = last.saturating_sub(1);
        let nth = (at.saturating_sub(self.mark) / self.every).min(last);
        let begin = self.mark + nth * self.every;
        let from = if nth == 0 { 0 } else { begin };
        let to = if nth == last { u64::MAX } else { begin + self.every };
        (usize::try_from(nth).unwrap_or(usize::MAX), from..to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(every: u64, end: u64) -> Vec<u64> {
        let ticks = Ticks::every(0, end, every);
        let next = |&begin: &u64| (begin < end).then(|| ticks.end_of(begin));
        std::iter::successors(Some(0), next).skip(1).collect()
    }

    #[test]
    fn no_interval_is_a_sliver() {
        assert_eq!(ends(10, 30), [10, 20, 30]);
        assert_eq!(ends(10, 31), [10, 20, 31]);
        assert_eq!(ends(10, 28), [10, 20, 28]);
        assert_eq!(ends(10, 24), [10, 24]);
        assert_eq!(ends(10, 5), [5]);
        // Ten seconds in sixty parts leave 40 ns.
        let ten_seconds = ends(10_000_000_000 / 60, 10_000_000_000);
        assert_eq!((ten_seconds.len(), ten_seconds.last()), (60, Some(&10_000_000_000)));
    }

    #[test]
    fn a_time_belongs_to_the_interval_that_ends_after_it() {
        for end in [5, 24, 25, 26, 28, 30, 31, 100] {
            let (ticks, ends) = (Ticks::every(0, end, 10), ends(10, end));
            for at in 0..end + 20 {
                let (nth, range) = ticks.interval_of(at);
                let expected = ends.iter().position(|&end| at < end).unwrap_or(ends.len() - 1);
                assert_eq!(nth, expected, "{at} of {ends:?}");
                assert!(range.contains(&at), "{at} in {range:?}");
            }
        }
    }
}
