//! What was due in parts of the measured time, whenever it came: in an interval, or in a stage.

use super::latency::Spread;
use crate::lead::record::Figures;
use crate::receive::recorder::Latencies;
use crate::setup::stages::Stage;
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
        let of = |(nth, &stage): (usize, &Stage)| {
            let is_asked = |part: &Part| part.stage == nth;
            StageFigures {
                stage,
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

fn numbers(parts: &[Part], is_asked: impl Fn(&Part) -> bool) -> Vec<usize> {
    let asked = parts.iter().enumerate().filter(|(_, part)| is_asked(part));
    asked.map(|(number, _)| number).collect()
}

fn sum(counts: &[u64], numbers: &[usize]) -> u64 {
    numbers.iter().filter_map(|&number| counts.get(number)).sum()
}
