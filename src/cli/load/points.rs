//! The run over time, as charts and JSON show it.

use super::figures::{Figures, Wave};
use super::sampler::Snapshot;

/// One interval between two snapshots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Its end, in nanoseconds since the mark.
    pub(super) at: u64,
    pub(super) deliveries: f64,
    pub(super) published: f64,
    pub(super) connections: u64,
    pub(super) server_cores: Option<f64>,
    pub(super) resident: Option<u64>,
    pub(super) generator_busy: f64,
    pub(super) p50: Option<u64>,
    pub(super) p99: Option<u64>,
    pub(super) max: Option<u64>,
}

impl Figures {
    pub(super) fn points(&self) -> Vec<Point> {
        let series = &self.record.series;
        let Some(first) = series.first() else { return Vec::new() };
        let pairs = series.iter().zip(series.iter().skip(1));
        pairs.enumerate().map(|(nth, (from, to))| self.point(nth, first.at, from, to)).collect()
    }

    fn point(&self, nth: usize, mark: u64, from: &Snapshot, to: &Snapshot) -> Point {
        let latencies = self.outcome.recorder.interval(nth);
        let at = |quantile| latencies.map(|latencies| latencies.value_at_quantile(quantile));
        Point {
            at: to.at - mark,
            deliveries: to.rate(from, |snapshot| snapshot.received),
            published: to.rate(from, |snapshot| snapshot.published),
            connections: to.connected,
            server_cores: to.server_cores(from),
            resident: to.server.map(|cost| cost.resident),
            generator_busy: to.busiest(from),
            p50: at(0.5),
            p99: at(0.99),
            max: latencies.map(hdrhistogram::Histogram::max),
        }
    }
}

impl Wave {
    pub(super) fn connects_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.opened as f64 / self.seconds } else { 0.0 }
    }
}
