//! Snapshots of a run while it runs, from which rates and charts are made.

use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;

use super::plan::{Plan, Scenario};
use super::process::{Ran, ServerProcess, ran};
use super::shared::Shared;

/// Everything that counts up, at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) at: u64,
    pub(super) received: u64,
    pub(super) bytes: u64,
    /// Calls that read something.
    pub(super) reads: u64,
    pub(super) published: u64,
    /// Connections made so far.
    pub(super) opened: u64,
    /// Connections that there are.
    pub(super) connected: u64,
    pub(super) server: Option<Cost>,
    /// Receiving threads first, then the publishing one.
    pub(super) threads: Vec<Ran>,
}

/// What the server has used and holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) cpu: u64,
    pub(super) resident: u64,
}

/// So many points make a chart.
const POINTS: u32 = 60;
const TICK_MIN: Duration = Duration::from_millis(100);

/// Time between two snapshots.
pub(super) fn tick(plan: &Plan) -> Duration {
    let duration = match (&plan.traffic, plan.scenario) {
        (Some(traffic), _) => traffic.duration,
        (None, Scenario::Hold { duration }) => duration,
        (None, Scenario::Storm { waves, stay, pause, .. }) => (stay + pause) * waves,
        (None, _) => TICK_MIN,
    };
    (duration / POINTS).max(TICK_MIN)
}

impl Snapshot {
    pub(super) fn take(shared: &Shared, process: Option<&mut ServerProcess>, dropped: u64) -> Self {
        let opened = shared.sum(|gauges| &gauges.ready);
        let gone = dropped + shared.sum(|gauges| &gauges.closed);
        Self {
            at: shared.clock.now(),
            received: shared.sum(|gauges| &gauges.received),
            bytes: shared.sum(|gauges| &gauges.bytes),
            reads: shared.sum(|gauges| &gauges.reads),
            published: shared.publisher.published.load(Acquire),
            opened,
            connected: opened.saturating_sub(gone),
            server: process.map(|it| Cost { cpu: it.cpu(), resident: it.resident() }),
            threads: threads(shared),
        }
    }

    /// What happened since an earlier one, per second of it.
    pub(super) fn rate(&self, since: &Self, figure: impl Fn(&Self) -> u64) -> f64 {
        let seconds = super::clock::seconds(self.at.saturating_sub(since.at));
        let count = figure(self).saturating_sub(figure(since)) as f64;
        if seconds > 0.0 { count / seconds } else { 0.0 }
    }

    /// Cores that the server used since then.
    pub(super) fn server_cores(&self, since: &Self) -> Option<f64> {
        self.server?;
        Some(self.rate(since, |snapshot| snapshot.server.map_or(0, |cost| cost.cpu)) / 1e9)
    }

    /// The share of its time that one of our threads was busy since then, and waited for a CPU.
    pub(super) fn busy(&self, since: &Self, thread: usize) -> (f64, f64) {
        let of = |figure: fn(&Ran) -> u64| {
            self.rate(since, |snapshot| snapshot.threads.get(thread).map_or(0, figure)) / 1e9
        };
        (of(|ran| ran.on_cpu), of(|ran| ran.waited))
    }

    /// The share of its time that the busiest of our threads used or wanted a CPU.
    pub(super) fn busiest(&self, since: &Self) -> f64 {
        let shares = (0..self.threads.len()).map(|thread| {
            let (busy, waited) = self.busy(since, thread);
            (busy + waited).min(1.0)
        });
        shares.fold(0.0, f64::max)
    }
}

fn threads(shared: &Shared) -> Vec<Ran> {
    let readers = shared.readers.iter().map(|gauges| gauges.thread.load(Acquire));
    let publisher = shared.publisher.thread.load(Acquire);
    let all = readers.chain((publisher != 0).then_some(publisher));
    all.map(|thread| ran(std::process::id(), thread).unwrap_or_default()).collect()
}
