//! What was due in parts of the measured time, whenever it came: in an interval, or in a stage.

use hdrhistogram::Histogram;

use super::latency::Spread;
use crate::lead::record::Figures;
use crate::publish::publisher::StageSent;
use crate::receive::recorder::Latencies;
use crate::setup::stages::Stage;
use crate::watch::clock::nanos;
use crate::watch::parts::Part;
use crate::watch::sampler::Snapshot;

/// What was due then.
pub(super) struct Portion {
    latencies: Latencies,
    /// Deliveries to members that read as fast as they can, of what the kernel took.
    missing: u64,
    /// Messages that it never took.
    unsent: u64,
}

/// One stage.
pub(super) struct StageFigures<'a> {
    pub(super) stage: Stage,
    /// Nanoseconds of it until the run was over.
    pub(super) measured: u64,
    /// How late the generator published; none if the run was over before anything was measured.
    pub(super) sent: Option<&'a StageSent>,
    /// How late it read.
    pub(super) read_late: Option<&'a Histogram<u64>>,
    /// Messages that the kernel took, then or later.
    pub(super) published: u64,
    pub(super) due: Portion,
    /// When it began, and when it ended; none if the run ended before.
    pub(super) snapshots: Option<(&'a Snapshot, &'a Snapshot)>,
}

impl Portion {
    pub(super) fn spread(&self, figures: &Figures) -> Spread<'_> {
        let all = figures.latencies();
        Spread {
            histogram: &self.latencies.histogram,
            longest: self.latencies.longest,
            messages: all.messages,
            arrived: self.latencies.arrived,
            missing: self.missing + figures.for_readers(self.unsent),
            patience: all.patience,
        }
    }
}

impl StageFigures<'_> {
    /// Messages that were due.
    pub(super) fn offered(&self) -> u64 {
        self.published + self.due.unsent
    }

    pub(super) fn spread(&self, figures: &Figures) -> Spread<'_> {
        Spread { messages: self.offered(), ..self.due.spread(figures) }
    }
}

impl Figures {
    /// What was due in the parts of which that holds.
    pub(super) fn due_in(&self, parts: &[Part], is_asked: impl Fn(&Part) -> bool) -> Portion {
        let numbers = numbers(parts, is_asked);
        Portion {
            missing: sum(&self.outcome.missing_at, &numbers),
            unsent: sum(&self.sent.unsent_at, &numbers),
            latencies: self.outcome.recorder.of_parts(&numbers),
        }
    }

    /// Each stage of the rate, if it has some.
    pub(super) fn stages(&self) -> Vec<StageFigures<'_>> {
        let stages = self.shared.plan.traffic.as_ref().and_then(|it| it.stages.as_ref());
        let Some(stages) = stages else { return Vec::new() };
        let (parts, published) = (self.shared.parts().all(), self.published_at());
        let mut measured = measured(stages.all(), self.sent.measured).into_iter();
        let of = |(nth, &stage): (usize, &Stage)| {
            let is_asked = |part: &Part| part.stage == nth;
            StageFigures {
                stage,
                measured: measured.next().unwrap_or_default(),
                sent: self.sent.stages.get(nth),
                read_late: self.outcome.recorder.read_late(nth),
                published: sum(&published, &numbers(&parts, is_asked)),
                due: self.due_in(&parts, is_asked),
                snapshots: self.stage_snapshots(nth),
            }
        };
        stages.all().iter().enumerate().map(of).collect()
    }

    /// Messages that the kernel took, by the part in which they were due.
    fn published_at(&self) -> Vec<u64> {
        let mut sums = Vec::new();
        for stream in 0..self.shared.plan.streams.count() {
            self.shared.begins.add(stream, 0..self.shared.taken_in(stream), &mut sums);
        }
        sums
    }

    /// Those at the beginning and at the end of a stage.
    fn stage_snapshots(&self, nth: usize) -> Option<(&Snapshot, &Snapshot)> {
        let ((first, last), between) = (self.span(), &self.record.between);
        let from = nth.checked_sub(1).map_or(Some(first), |before| between.get(before));
        let to = between.get(nth).or((nth == between.len()).then_some(last));
        from.zip(to).filter(|(from, to)| from.at < to.at)
    }
}

/// What of each stage there was when all of them together were measured for so long.
fn measured(stages: &[Stage], mut all: u64) -> Vec<u64> {
    let of = |stage: &Stage| {
        let own = nanos(stage.time).min(all);
        all -= own;
        own
    };
    stages.iter().map(of).collect()
}

fn numbers(parts: &[Part], is_asked: impl Fn(&Part) -> bool) -> Vec<usize> {
    let asked = parts.iter().enumerate().filter(|(_, part)| is_asked(part));
    asked.map(|(number, _)| number).collect()
}

fn sum(counts: &[u64], numbers: &[usize]) -> u64 {
    numbers.iter().filter_map(|&number| counts.get(number)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_ends_early_cuts_its_stages() {
        let stages = ["500ms:5", "2s:5..9", "1s:0"].map(|stage| stage.parse().unwrap());
        let millis = |all: u64| {
            measured(&stages, all * 1_000_000).iter().map(|it| it / 1_000_000).collect::<Vec<_>>()
        };
        assert_eq!(millis(3_500), [500, 2_000, 1_000]);
        assert_eq!((millis(900), millis(0)), (vec![500, 400, 0], vec![0, 0, 0]));
    }
}
