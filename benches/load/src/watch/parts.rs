//! The parts of the measured time: its intervals, cut where a stage begins.

use std::ops::Range;

use super::clock::nanos;
use super::ticks::Ticks;
use crate::setup::plan::Plan;

/// Without stages each part is an interval.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    ticks: Ticks,
    /// When each stage but the first begins.
    cuts: Vec<u64>,
    is_staged: bool,
}

/// What a part belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) interval: usize,
    pub(crate) stage: usize,
}

impl Parts {
    /// The parts between the mark and the end.
    pub(crate) fn new(plan: &Plan, mark: u64, end: u64) -> Self {
        let stages = plan.traffic.as_ref().and_then(|traffic| traffic.stages.as_ref());
        let times = stages.into_iter().flat_map(|it| it.all()).map(|stage| nanos(stage.time));
        let cuts = cuts(mark, times);
        Self { ticks: Ticks::new(plan, mark, end), cuts, is_staged: stages.is_some() }
    }

    #[cfg(test)]
    pub(crate) fn of(ticks: Ticks, cuts: &[u64]) -> Self {
        Self { ticks, cuts: cuts.to_vec(), is_staged: !cuts.is_empty() }
    }

    /// Whether there are stages, if only one.
    pub(crate) fn is_staged(&self) -> bool {
        self.is_staged
    }

    /// When stages begin, but for the first.
    pub(crate) fn cuts(&self) -> &[u64] {
        &self.cuts
    }

    /// The stage that a time belongs to.
    pub(crate) fn stage_of(&self, at: u64) -> usize {
        self.cuts.partition_point(|&cut| cut <= at)
    }

    /// The number of the part that a time belongs to, and where that begins and ends; what is
    /// outside belongs to the first or the last one.
    pub(crate) fn part_of(&self, at: u64) -> (usize, Range<u64>) {
        let (interval, times) = self.ticks.interval_of(at);
        let stage = self.stage_of(at);
        let from = stage.checked_sub(1).map_or(0, |last| self.cuts[last]);
        let to = self.cuts.get(stage).copied().unwrap_or(u64::MAX);
        // Either grows with time, so that no two parts have the same sum.
        (interval + stage, times.start.max(from)..times.end.min(to))
    }

    /// All parts by their number. Where an interval and a stage begin at once, a number is left out
    /// of `part_of`, and its part is empty.
    pub(crate) fn all(&self) -> Vec<Part> {
        let (mut all, mut at) = (Vec::new(), 0);
        while at < u64::MAX {
            let (number, times) = self.part_of(at);
            let (interval, _) = self.ticks.interval_of(at);
            all.resize(number + 1, Part { interval, stage: number - interval });
            at = times.end;
        }
        all
    }
}

/// Between stages that take so long.
fn cuts(mark: u64, times: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut cuts: Vec<_> = times
        .scan(mark, |end, time| {
            *end += time;
            Some(*end)
        })
        .collect();
    // That is the end of the measured time.
    cuts.pop();
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_cut_intervals() {
        let parts = Parts::of(Ticks::every(1_000, 1_300, 100), &[1_150, 1_200]);
        let rows = [
            (0, 0, 0..1_100),
            (1_099, 0, 0..1_100),
            (1_100, 1, 1_100..1_150),
            (1_150, 2, 1_150..1_200),
            // An interval and a stage begin.
            (1_200, 4, 1_200..u64::MAX),
            (9_999, 4, 1_200..u64::MAX),
        ];
        for (at, number, times) in rows {
            assert_eq!(parts.part_of(at), (number, times), "{at}");
        }
        let all: Vec<_> = parts.all().iter().map(|it| (it.interval, it.stage)).collect();
        assert_eq!(all, [(0, 0), (1, 0), (1, 1), (2, 2), (2, 2)]);
    }

    #[test]
    fn without_stages_parts_are_intervals() {
        let ticks = Ticks::every(1_000, 1_300, 100);
        let parts = Parts::of(ticks, &[]);
        for at in (0..2_000).step_by(10) {
            assert_eq!(parts.part_of(at), ticks.interval_of(at));
        }
        let all: Vec<_> = parts.all().iter().map(|it| (it.interval, it.stage)).collect();
        assert_eq!(all, [(0, 0), (1, 0), (2, 0)]);
    }

    #[test]
    fn stages_follow_each_other() {
        assert_eq!(cuts(100, [5, 7, 9].into_iter()), [105, 112]);
        assert_eq!(cuts(100, [5].into_iter()), [0; 0]);
        assert_eq!(cuts(100, [].into_iter()), [0; 0]);
    }
}
