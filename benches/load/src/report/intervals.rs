//! The run over time, as charts and the report show it.

use hdrhistogram::Histogram;

use super::build::missing_among;
use super::json::IntervalReport;
use super::latency::{Quantile, Spread};
use crate::lead::record::Figures;
use crate::watch::clock::seconds;
use crate::watch::histogram::histogram;
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
        let nothing = histogram(1);
        let all = self.interval_latencies(nth, &nothing);
        let due = all.arrived + all.missing;
        let (waited, longest) = (all.patience.as_secs_f64() * 1e6, all.longest as f64 / 1e3);
        let at = |share| match all.at(share) {
            _ if due == 0 => None,
            Quantile::Missing => Some(waited),
            // A sample of few may hold none of these.
            _ if all.histogram.is_empty() => None,
            Quantile::Took(_) | Quantile::Few => Some(all.value(share) / 1e3),
        };
        let max = if all.missing > 0 { longest.max(waited) } else { longest };
        IntervalReport {
            due,
            missing: all.missing,
            missing_at: missing_among(all, &[("p50_us", 0.5), ("p99_us", 0.99), ("max_us", 1.0)]),
            at_seconds: seconds(to.at - mark),
            deliveries_per_second: to.rate(from, |snapshot| snapshot.received),
            published_per_second: to.rate(from, |snapshot| snapshot.published),
            connections: to.connected,
            server_cpu: to.server_cores(from),
            server_rss_bytes: to.server.map(|cost| cost.resident),
            generator_busy: to.busiest(from),
            p50_us: at(0.5),
            p99_us: at(0.99),
            max_us: (due > 0).then_some(max),
        }
    }

    /// The latencies of all deliveries that were due in one interval.
    fn interval_latencies<'a>(&'a self, nth: usize, nothing: &'a Histogram<u64>) -> Spread<'a> {
        let missing = self.outcome.missing_at.get(nth).copied().unwrap_or_default();
        let unsent = self.sent.unsent_at.get(nth).copied().unwrap_or_default();
        let interval = self.outcome.recorder.interval(nth);
        Spread {
            histogram: interval.map_or(nothing, |it| &it.histogram),
            longest: interval.map_or(0, |it| it.longest),
            arrived: interval.map_or(0, |it| it.arrived),
            missing: missing + self.for_readers(unsent),
            ..self.latencies()
        }
    }
}
