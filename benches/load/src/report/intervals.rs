//! The run over time, as charts and the report show it.

use super::json::IntervalReport;
use crate::lead::record::Figures;
use crate::watch::clock::seconds;
use crate::watch::sampler::Snapshot;

impl Figures {
    /// What happened between each two snapshots.
    pub(crate) fn intervals(&self) -> Vec<IntervalReport> {
        let series = &self.record.series;
        let Some(first) = series.first() else { return Vec::new() };
        let pairs = series.iter().zip(series.iter().skip(1));
        pairs.enumerate().map(|(nth, (from, to))| self.interval(nth, first.at, from, to)).collect()
    }

    fn interval(&self, nth: usize, mark: u64, from: &Snapshot, to: &Snapshot) -> IntervalReport {
        let latencies = self.outcome.recorder.interval(nth);
        let micros = |nanos: u64| nanos as f64 / 1e3;
        let at = |quantile| latencies.map(|all| micros(all.value_at_quantile(quantile)));
        IntervalReport {
            at_seconds: seconds(to.at - mark),
            deliveries_per_second: to.rate(from, |snapshot| snapshot.received),
            published_per_second: to.rate(from, |snapshot| snapshot.published),
            connections: to.connected,
            server_cpu: to.server_cores(from),
            server_rss_bytes: to.server.map(|cost| cost.resident),
            generator_busy: to.busiest(from),
            p50_us: at(0.5),
            p99_us: at(0.99),
            max_us: latencies.map(|all| micros(all.max())),
        }
    }
}
