//! The run over time, as charts and the report show it.

use super::build::missing_among;
use super::json::IntervalReport;
use super::latency::Quantile;
use super::parts::Portion;
use crate::lead::record::Figures;
use crate::watch::clock::seconds;
use crate::watch::sampler::Snapshot;

impl Figures {
    /// What happened between each two snapshots.
    pub(crate) fn intervals(&self) -> Vec<IntervalReport> {
        let series = &self.record.series;
        let Some(first) = series.first() else { return Vec::new() };
        let pairs = series.iter().zip(series.iter().skip(1));
        let parts = self.shared.parts().all();
        let of = |(nth, (from, to))| {
            let portion = self.due_in(&parts, |part| part.interval == nth);
            self.interval(&portion, first.at, from, to)
        };
        pairs.enumerate().map(of).collect()
    }

    fn interval(
        &self,
        portion: &Portion,
        mark: u64,
        from: &Snapshot,
        to: &Snapshot,
    ) -> IntervalReport {
        let all = portion.spread(self);
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
}
