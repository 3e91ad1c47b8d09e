//! What several reports say together, where that is a sum, the greatest, or a mean.

use std::collections::BTreeMap;

use super::churn::ChurnReport;
use super::json::{
    CompressionReport, ConnectingReport, ConnectionsReport, GapsReport, GeneratorReport,
    LatencyReport, MessagesReport, Report, SettingsReport, SlowMembersReport,
};

/// What is added up: a count that is too large stays the largest.
pub(super) trait Amount: Default {
    fn plus(self, other: Self) -> Self;
}

impl Amount for u32 {
    fn plus(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

impl Amount for u64 {
    fn plus(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

impl Amount for usize {
    fn plus(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

impl Amount for f64 {
    fn plus(self, other: Self) -> Self {
        self + other
    }
}

/// Some of what each report has, added up.
pub(super) fn sum<'a, T, N: Amount>(all: &'a [T], of: impl Fn(&'a T) -> N) -> N {
    all.iter().map(of).fold(N::default(), N::plus)
}

/// The same, if each of them has it.
fn sum_known<'a, T, N: Amount>(all: &'a [T], of: impl Fn(&'a T) -> Option<N>) -> Option<N> {
    all.iter().map(of).try_fold(N::default(), |sum, it| Some(sum.plus(it?)))
}

fn greatest<'a, T>(all: &'a [T], of: impl Fn(&'a T) -> f64) -> f64 {
    all.iter().map(of).fold(0.0, f64::max)
}

/// Counts by name.
pub(super) fn by_name<'a>(
    all: impl Iterator<Item = &'a BTreeMap<String, u64>>,
) -> BTreeMap<String, u64> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (name, count) in all.flatten() {
        let sum = sums.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
    sums
}

/// A mean of shares of different things, of which there are so many.
pub(super) fn mean_share<'a, T>(
    all: &'a [T],
    share: impl Fn(&'a T) -> Option<f64>,
    of: impl Fn(&'a T) -> f64,
) -> Option<f64> {
    let whole: f64 = all.iter().map(&of).sum();
    let parts: Option<f64> = all.iter().map(|it| Some(share(it)? * of(it))).sum();
    parts.filter(|_| whole > 0.0).map(|parts| parts / whole)
}

/// Of what runs were to do alike, what the first was to do.
pub(super) fn settings(all: &[Report]) -> SettingsReport {
    let first = all.first().map(|report| report.settings.clone()).unwrap_or_default();
    SettingsReport {
        members: sum(all, |it| it.settings.members),
        event_streams: sum(all, |it| it.settings.event_streams),
        rooms: sum(all, |it| it.settings.rooms),
        publishers: sum(all, |it| it.settings.publishers),
        slow_members: sum(all, |it| it.settings.slow_members),
        threads: sum(all, |it| it.settings.threads),
        sources: sum(all, |it| it.settings.sources),
        ..first
    }
}

/// None unless all have it. Times are those of the given one.
pub(super) fn churn(
    all: &[Report],
    joined_us: LatencyReport,
    missing_at: Vec<String>,
) -> Option<ChurnReport> {
    let of = all.iter().map(|report| report.churn.as_ref()).collect::<Option<Vec<_>>>()?;
    Some(ChurnReport {
        rate: sum(&of, |it| it.rate),
        due: sum(&of, |it| it.due),
        left: sum(&of, |it| it.left),
        not_left: sum(&of, |it| it.not_left),
        joined: sum(&of, |it| it.joined),
        failed: sum(&of, |it| it.failed),
        unanswered: sum(&of, |it| it.unanswered),
        missed: sum(&of, |it| it.missed),
        joined_us,
        missing_at,
        stays: sum(&of, |it| it.stays),
        stays_by_offsets: sum(&of, |it| it.stays_by_offsets),
        ..ChurnReport::default()
    })
}

/// Without latencies.
pub(super) fn connections(all: &[Report]) -> ConnectionsReport {
    let of: Vec<_> = all.iter().map(|report| &report.connections).collect();
    let first = of.first().copied().cloned().unwrap_or_default();
    ConnectionsReport {
        wanted: sum(&of, |it| it.wanted),
        opened: sum(&of, |it| it.opened),
        failed: sum(&of, |it| it.failed),
        closed: sum(&of, |it| it.closed),
        let_go: sum(&of, |it| it.let_go),
        broken: sum(&of, |it| it.broken),
        connect_seconds: greatest(&of, |it| it.connect_seconds),
        connects_per_second: sum(&of, |it| it.connects_per_second),
        connect_rate: sum_known(&of, |it| it.connect_rate),
        opening: sum_known(&of, |it| it.opening),
        ..first
    }
}

pub(super) fn messages(all: &[Report]) -> MessagesReport {
    let of: Vec<_> = all.iter().map(|report| &report.messages).collect();
    let offered = |it: &&MessagesReport| it.offered_per_second.unwrap_or_default();
    let arrived =
        |it: &&MessagesReport| it.delivered as f64 + it.repeated as f64 + it.damaged as f64;
    MessagesReport {
        published: sum(&of, |it| it.published),
        unsent: sum(&of, |it| it.unsent),
        offered_per_second: sum_known(&of, |it| it.offered_per_second),
        published_share: mean_share(&of, |it| it.published_share, offered),
        acked: sum(&of, |it| it.acked),
        expected: sum(&of, |it| it.expected),
        delivered: sum(&of, |it| it.delivered),
        lost: sum(&of, |it| it.lost),
        repeated: sum(&of, |it| it.repeated),
        disordered: sum(&of, |it| it.disordered),
        damaged: sum(&of, |it| it.damaged),
        damage: by_name(of.iter().map(|it| &it.damage)),
        skipped: sum(&of, |it| it.skipped),
        skipped_readers: sum(&of, |it| it.skipped_readers),
        cut_off: sum(&of, |it| it.cut_off),
        compared: sum(&of, |it| it.compared),
        compared_share: mean_share(&of, |it| it.compared_share, arrived),
        other: sum(&of, |it| it.other),
        unknown: sum(&of, |it| it.unknown),
        published_per_second: sum(&of, |it| it.published_per_second),
        deliveries_per_second: sum(&of, |it| it.deliveries_per_second),
        bytes_per_second: sum(&of, |it| it.bytes_per_second),
    }
}

/// None unless all have it.
pub(super) fn compression(all: &[Report]) -> Option<CompressionReport> {
    let of = all.iter().map(|report| report.compression.as_ref()).collect::<Option<Vec<_>>>()?;
    let inflated_bytes = sum(&of, |it| it.inflated_bytes);
    let plain_bytes = sum(&of, |it| it.plain_bytes);
    let saved_bytes = of.iter().fold(0_i64, |sum, it| sum.saturating_add(it.saved_bytes));
    let bytes = inflated_bytes as f64 + plain_bytes as f64;
    Some(CompressionReport {
        messages: sum(&of, |it| it.messages),
        compressed_bytes: sum(&of, |it| it.compressed_bytes),
        inflated_bytes,
        plain_bytes,
        saved_bytes,
        saved_share: (bytes > 0.0).then(|| saved_bytes as f64 / bytes),
    })
}

pub(super) fn gaps(all: &[Report]) -> GapsReport {
    GapsReport {
        announced: sum(all, |it| it.gaps.announced),
        messages: sum(all, |it| it.gaps.messages),
    }
}

pub(super) fn slow_members(all: &[Report]) -> SlowMembersReport {
    SlowMembersReport {
        members: sum(all, |it| it.slow_members.members),
        closed: sum(all, |it| it.slow_members.closed),
        told_of_a_gap: sum(all, |it| it.slow_members.told_of_a_gap),
    }
}

/// Without what is per message: that of each has its report.
pub(super) fn generator(all: &[Report]) -> GeneratorReport {
    let of: Vec<_> = all.iter().map(|report| &report.generator).collect();
    GeneratorReport {
        threads: of.iter().flat_map(|it| it.threads.clone()).collect(),
        busy: greatest(&of, |it| it.busy),
        limited: of.iter().any(|it| it.limited),
        limited_intervals: sum(&of, |it| it.limited_intervals),
        connecting: ConnectingReport {
            busy: greatest(&of, |it| it.connecting.busy),
            limited: of.iter().any(|it| it.connecting.limited),
        },
        verified_per_second: sum(&of, |it| it.verified_per_second),
        capacity_per_second: sum_known(&of, |it| it.capacity_per_second),
        ..GeneratorReport::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(offered: f64, share: Option<f64>, lost: u64) -> Report {
        let messages = MessagesReport {
            offered_per_second: Some(offered),
            published_share: share,
            lost,
            damage: [("not UTF-8".to_owned(), lost)].into(),
            ..MessagesReport::default()
        };
        Report { messages, ..Report::default() }
    }

    #[test]
    fn shares_are_those_of_all_together() {
        let sums = messages(&[report(100.0, Some(1.0), 1), report(300.0, Some(0.8), 2)]);
        assert_eq!((sums.offered_per_second, sums.published_share), (Some(400.0), Some(0.85)));
        assert_eq!((sums.lost, sums.damage["not UTF-8"]), (3, 3));
        let closed = messages(&[report(100.0, Some(1.0), 0), report(0.0, None, 0)]);
        assert_eq!(closed.published_share, None, "one of them has none");
    }

    #[test]
    fn a_count_that_is_too_large_stays_the_largest() {
        let sums = messages(&[report(1.0, None, u64::MAX), report(1.0, None, 2)]);
        assert_eq!((sums.lost, sums.damage["not UTF-8"]), (u64::MAX, u64::MAX));
    }

    #[test]
    fn what_compression_saved_is_added_up() {
        let report = |compressed_bytes: u64, inflated_bytes: u64| {
            let saved_bytes = inflated_bytes.cast_signed() - compressed_bytes.cast_signed();
            let plain_bytes = 50;
            let compression = CompressionReport {
                compressed_bytes,
                inflated_bytes,
                plain_bytes,
                saved_bytes,
                ..CompressionReport::default()
            };
            Report { compression: Some(compression), ..Report::default() }
        };
        let sum = compression(&[report(100, 500), report(100, 400)]).unwrap();
        assert_eq!((sum.saved_bytes, sum.saved_share), (700, Some(0.7)));
        assert_eq!(compression(&[report(100, 500), Report::default()]), None);
    }
}
