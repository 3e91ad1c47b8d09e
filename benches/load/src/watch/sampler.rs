//! Snapshots of a run while it runs, from which rates and charts are made.

use std::sync::atomic::Ordering::Acquire;

use super::clock::seconds;
use super::process::{Ran, ServerProcess, ran};
use super::shared::Shared;

/// Everything that counts up, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) at: u64,
    pub(crate) received: u64,
    pub(crate) bytes: u64,
    /// Calls that read something.
    pub(crate) reads: u64,
    /// Nanoseconds in which sockets that were ready were read, of all threads.
    pub(crate) reading: u64,
    pub(crate) published: u64,
    /// Connections made so far.
    pub(crate) opened: u64,
    /// Connections that there are.
    pub(crate) connected: u64,
    pub(crate) server: Option<Cost>,
    /// Receiving threads first, then the publishing one.
    pub(crate) threads: Vec<Ran>,
}

/// What the server has used and holds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) cpu: u64,
    pub(crate) resident: u64,
}

impl Snapshot {
    pub(crate) fn take(shared: &Shared, process: Option<&mut ServerProcess>, dropped: u64) -> Self {
        Self {
            at: shared.clock.now(),
            received: shared.sum(|gauges| &gauges.received),
            bytes: shared.sum(|gauges| &gauges.bytes),
            reads: shared.sum(|gauges| &gauges.reads),
            reading: shared.sum(|gauges| &gauges.reading),
            published: shared.publisher.published.load(Acquire),
            opened: shared.sum(|gauges| &gauges.ready),
            connected: shared.connected(dropped),
            server: process.map(|it| Cost { cpu: it.cpu(), resident: it.resident() }),
            threads: threads(shared),
        }
    }

    /// What happened since an earlier one, per second of it.
    pub(crate) fn rate(&self, since: &Self, figure: impl Fn(&Self) -> u64) -> f64 {
        let seconds = seconds(self.at.saturating_sub(since.at));
        let count = figure(self).saturating_sub(figure(since)) as f64;
        if seconds > 0.0 { count / seconds } else { 0.0 }
    }

    /// Cores that the server used since then.
    pub(crate) fn server_cores(&self, since: &Self) -> Option<f64> {
        self.server?;
        Some(self.rate(since, |snapshot| snapshot.server.map_or(0, |cost| cost.cpu)) / 1e9)
    }

    /// The share of its time that one of our threads was busy since then, and waited for a CPU.
    pub(crate) fn busy(&self, since: &Self, thread: usize) -> (f64, f64) {
        let of = |figure: fn(&Ran) -> u64| {
            self.rate(since, |snapshot| snapshot.threads.get(thread).map_or(0, figure)) / 1e9
        };
        (of(|ran| ran.on_cpu), of(|ran| ran.waited))
    }

    /// The share of its time that the busiest of our threads used or wanted a CPU.
    pub(crate) fn busiest(&self, since: &Self) -> f64 {
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
