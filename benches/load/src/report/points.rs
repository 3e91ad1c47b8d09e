//! The run over time, as charts and JSON show it.

use crate::lead::record::Figures;
use crate::watch::sampler::Snapshot;

/// One interval between two snapshots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// Its end, in nanoseconds since the mark.
    pub(crate) at: u64,
    pub(crate) deliveries: f64,
    pub(crate) published: f64,
    pub(crate) connections: u64,
    pub(crate) server_cores: Option<f64>,
    pub(crate) resident: Option<u64>,
    pub(crate) generator_busy: f64,
    pub(crate) p50: Option<u64>,
    pub(crate) p99: Option<u64>,
    pub(crate) max: Option<u64>,
}

impl Figures {
    pub(crate) fn points(&self) -> Vec<Point> {
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
