//! From figures to the report for programs.

use std::time::UNIX_EPOCH;

use super::assertions::check;
use super::churn::ChurnReport;
use super::histograms;
use super::json::{
    CompressionReport, ConnectionsReport, DeliveryReport, FORMAT, GapsReport, LastMemberReport,
    LatencyReport, MessagesReport, Report, SettingsReport, SlowMembersReport, StageReport,
    TlsReport, TrafficReport, WaveReport,
};
use super::latency::{Quantile, Spread};
use super::parts::StageFigures;
use crate::lead::record::{Figures, Wave};
use crate::publish::publisher::StageSent;
use crate::setup::args::{WindowBy, command_line};
use crate::setup::plan::{Connecting, Pace, Plan, Traffic};
use crate::watch::clock::{nanos, seconds};

impl Figures {
    pub(crate) fn report(&self) -> Report {
        let began = self.record.began.and_then(|began| began.duration_since(UNIX_EPOCH).ok());
        let [measured_from_unix, measured_to_unix] = self.measured_unix();
        let mut report = Report {
            format: FORMAT,
            scenario: self.shared.plan.scenario.name().to_owned(),
            command: command_line(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_unix: began.map(|began| began.as_secs()),
            measured_from_unix,
            measured_to_unix,
            interrupted: self.shared.is_interrupted(),
            ended_early: self.early_end(),
            seconds: self.seconds(),
            machine: self.machine.clone(),
            settings: settings(&self.shared.plan),
            connections: connections(self),
            messages: messages(self),
            compression: compression(self),
            latency_us: delivery(self),
            last_member: last_member(self),
            histograms: Some(histograms::report(self)),
            latency_trusted: self.doubts().is_empty(),
            errors: self.errors().kinds,
            assertions: Vec::new(),
            gaps: GapsReport {
                announced: self.outcome.tally.gaps,
                messages: self.outcome.tally.skipped,
            },
            churn: churn(self),
            slow_members: slow_members(self),
            pings_answered: self.outcome.tally.pings,
            server: self.server(),
            generator: self.generator(),
            waves: self.record.waves.iter().map(wave).collect(),
            stages: stages(self),
            series: self.intervals(),
        };
        let asserted = self.shared.plan.common.assert.iter();
        report.assertions = asserted.map(|assertion| check(assertion, &report)).collect();
        report
    }

    /// The measured span by the clock on the wall.
    fn measured_unix(&self) -> [Option<f64>; 2] {
        let began = self.record.began.and_then(|began| began.duration_since(UNIX_EPOCH).ok());
        let began = began.filter(|_| !self.record.series.is_empty());
        let (from, to) = self.span();
        let since = |at: u64| seconds(at.saturating_sub(self.record.before.at));
        [from.at, to.at].map(|at| began.map(|began| began.as_secs_f64() + since(at)))
    }
}

fn settings(plan: &Plan) -> SettingsReport {
    SettingsReport {
        url: plan.target.url.clone(),
        address: plan.address.to_string(),
        members: plan.members,
        event_streams: plan.event_streams(),
        rooms: plan.streams.rooms,
        publishers: plan.publishers(),
        slow_members: (0..plan.members).filter(|&member| plan.slow.has(member)).count(),
        threads: plan.threads,
        sources: plan.sources.addresses.len(),
        csv_rows: plan.users.len(),
        traffic: plan.traffic.as_ref().map(traffic),
    }
}

fn traffic(traffic: &Traffic) -> TrafficReport {
    let (rate_per_room, window, by) = match traffic.pace {
        Pace::Rate(rate) => (Some(rate), None, None),
        Pace::Window(window, WindowBy::Deliveries) => (None, Some(window), Some("deliveries")),
        Pace::Window(window, WindowBy::Acks) => (None, Some(window), Some("acks")),
    };
    TrafficReport {
        rate_per_room,
        window,
        window_by: by.map(str::to_owned),
        payload: if traffic.form.is_json { "json" } else { "text" }.to_owned(),
        payload_bytes: traffic.form.size,
        warm_up_seconds: traffic.warm_up.as_secs_f64(),
        duration_seconds: traffic.duration.as_secs_f64(),
    }
}

fn connections(figures: &Figures) -> ConnectionsReport {
    let counts = &figures.outcome.counts;
    let (connect_rate, opening) = match figures.shared.plan.connecting {
        Connecting::AtOnce(most) => (None, Some(most)),
        Connecting::Rate(rate) => (Some(rate), None),
    };
    ConnectionsReport {
        wanted: figures.shared.plan.members,
        opened: counts.ready,
        failed: counts.failed,
        closed: counts.closed - counts.broken,
        let_go: counts.let_go + figures.sent.let_go,
        broken: counts.broken,
        connect_seconds: figures.connect_seconds(),
        connects_per_second: figures.connects_per_second(),
        handshake_us: latency(Spread::whole(&figures.outcome.handshakes)),
        handshake_own_us: latency(Spread::whole(&figures.outcome.handshakes_own)),
        joined_us: latency(Spread::whole(&figures.outcome.joins)),
        loop_kind: if connect_rate.is_some() { "open" } else { "closed" }.to_owned(),
        connect_rate,
        opening,
        tls: tls(figures),
    }
}

fn churn(figures: &Figures) -> Option<ChurnReport> {
    let (plan, churn) = (figures.shared.plan.churn?, figures.outcome.churn.as_ref()?);
    Some(ChurnReport {
        rate: plan.rate,
        due: churn.due,
        left: churn.left,
        not_left: churn.due - churn.left,
        joined: churn.came,
        failed: churn.failed,
        unanswered: churn.unanswered,
        missed: churn.missed,
        joined_us: latency(figures.churn_joins(churn)),
        missing_at: missing_at(figures.churn_joins(churn)),
        joined_own_us: latency(Spread::whole(&churn.to_joined_own)),
        left_us: latency(Spread::whole(&churn.to_left)),
        stays: churn.judged.all,
        stays_by_offsets: churn.judged.exactly,
    })
}

/// What TLS agreed on, if it was asked for and a connection came to be.
pub(super) fn tls(figures: &Figures) -> Option<TlsReport> {
    let agreed = figures.shared.agreed.get()?;
    Some(TlsReport {
        version: agreed.version.to_owned(),
        suite: agreed.suite.clone(),
        key_exchange: agreed.key_exchange.clone(),
        is_verified: figures.shared.plan.trust.as_ref().is_some_and(|trust| !trust.is_blind),
    })
}

fn slow_members(figures: &Figures) -> SlowMembersReport {
    let slow = figures.outcome.balance.slow;
    SlowMembersReport { members: slow.members, closed: slow.closed, told_of_a_gap: slow.skipped }
}

fn messages(figures: &Figures) -> MessagesReport {
    let (tally, balance) = (&figures.outcome.tally, &figures.outcome.balance);
    MessagesReport {
        published: figures.sent.published,
        unsent: figures.sent.unsent,
        offered_per_second: figures.offered_per_second(),
        published_share: figures.published_share(),
        acked: figures.sent.tally.acked,
        expected: balance.expected,
        delivered: figures.delivered(),
        lost: balance.lost,
        repeated: tally.repeated,
        disordered: tally.disordered,
        damaged: tally.damaged.total(),
        damage: tally.damaged.kinds().map(|(kind, count)| (kind.to_owned(), count)).collect(),
        skipped: balance.skipped,
        skipped_readers: balance.skipped_readers,
        cut_off: balance.cut_off,
        compared: tally.compared,
        compared_share: tally.compared_share(),
        other: tally.other,
        unknown: tally.unknown,
        published_per_second: figures.per_second(|snapshot| snapshot.published),
        deliveries_per_second: figures.per_second(|snapshot| snapshot.received),
        bytes_per_second: figures.per_second(|snapshot| snapshot.bytes),
    }
}

/// What compression saved, if it was offered.
pub(super) fn compression(figures: &Figures) -> Option<CompressionReport> {
    let tally = &figures.outcome.tally.compression;
    let (compressed, inflated) = (tally.compressed_bytes, tally.inflated_bytes);
    let saved_bytes = inflated.cast_signed() - compressed.cast_signed();
    let all = inflated + tally.plain_bytes;
    figures.shared.plan.common.deflate.then(|| CompressionReport {
        messages: tally.messages,
        compressed_bytes: compressed,
        inflated_bytes: inflated,
        plain_bytes: tally.plain_bytes,
        saved_bytes,
        saved_share: (all > 0).then(|| saved_bytes as f64 / all as f64),
    })
}

fn delivery(figures: &Figures) -> DeliveryReport {
    let traffic = figures.shared.plan.traffic.as_ref();
    let is_open = traffic.is_some_and(|traffic| matches!(traffic.pace, Pace::Rate(_)));
    let all = figures.latencies();
    DeliveryReport {
        latency: latency(all),
        due: all.arrived + all.missing,
        missing: all.missing,
        missing_at: missing_at(all),
        few_messages_at: few_messages_at(all),
        max_arrived: (all.arrived > 0).then(|| micros(all.longest)),
        loop_kind: if is_open { "open" } else { "closed" }.to_owned(),
        sampled_one_in: traffic.map(|traffic| traffic.sampled_one_in),
        publish_delay: latency(Spread::whole(&figures.sent.delays)),
        own_lateness: latency(Spread::whole(&figures.sent.own)),
        socket_full: latency(Spread::whole(&figures.sent.full)),
        reader_lateness: latency(Spread::whole(&figures.outcome.lateness)),
    }
}

/// What became of each stage, if the rate has some.
pub(super) fn stages(figures: &Figures) -> Vec<StageReport> {
    figures.stages().iter().map(|stage| stage_report(figures, stage)).collect()
}

fn stage_report(figures: &Figures, of: &StageFigures<'_>) -> StageReport {
    let all = of.spread(figures);
    StageReport {
        seconds: seconds(nanos(of.stage.time)),
        measured_seconds: seconds(of.measured),
        rate_per_room: of.stage.begin,
        rate_per_room_at_end: of.stage.end,
        offered: of.offered(),
        published: of.published,
        due: of.sent.map_or(0, |sent| sent.due),
        published_share: of.sent.and_then(StageSent::share_in_time),
        delivered: all.arrived,
        missing: all.missing,
        latency_us: latency(all),
        missing_at: missing_at(all),
        few_messages_at: few_messages_at(all),
        max_arrived: (all.arrived > 0).then(|| micros(all.longest)),
        server_cpu: of.snapshots.and_then(|(from, to)| to.server_cores(from)),
        generator_busy: of.snapshots.map(|(from, to)| to.busiest(from)),
        histogram: histograms::text(all.histogram),
    }
}

fn last_member(figures: &Figures) -> Option<LastMemberReport> {
    let [last, skew] = figures.to_last_member()?;
    Some(LastMemberReport {
        due: last.arrived + last.missing,
        missing: last.missing,
        missing_at: missing_at(last),
        sampled_one_in: figures.last_members.as_ref()?.one_in,
        last_us: latency(last),
        skew_us: latency(skew),
        own_reading_us: figures.own_reading().map(|nanos| nanos / 1e3),
    })
}

pub(super) fn latency(all: Spread<'_>) -> LatencyReport {
    let waited = all.patience.as_secs_f64() * 1e6;
    let at = |share| match all.at(share) {
        _ if all.is_empty() => None,
        Quantile::Took(nanos) => Some(micros(nanos)),
        Quantile::Missing => Some(waited),
        Quantile::Few => None,
    };
    let is_whole = all.missing == 0 && !all.is_empty();
    let (has_some, longest) = (all.arrived > 0 || all.missing > 0, micros(all.longest));
    LatencyReport {
        count: all.histogram.len(),
        mean: is_whole.then(|| all.histogram.mean() / 1e3),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        // The longest is known of those, too, of which there is no record.
        max: has_some.then(|| if all.missing == 0 { longest } else { longest.max(waited) }),
    }
}

/// The names of what falls on a delivery that never came.
pub(super) fn missing_at(all: Spread<'_>) -> Vec<String> {
    missing_among(all, &SHARES)
}

/// The names of what rests on few messages.
pub(super) fn few_messages_at(all: Spread<'_>) -> Vec<String> {
    let few = SHARES[..4].iter().filter(|&&(_, share)| all.is_of_few(share));
    few.map(|&(name, _)| name.to_owned()).collect()
}

/// What is told of latencies, and of which share of them it is.
const SHARES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

/// The same of other shares.
pub(super) fn missing_among(all: Spread<'_>, shares: &[(&str, f64)]) -> Vec<String> {
    let missing = shares.iter().filter(|&&(_, share)| all.at(share) == Quantile::Missing);
    if all.is_empty() { Vec::new() } else { missing.map(|&(name, _)| name.to_owned()).collect() }
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

fn wave(wave: &Wave) -> WaveReport {
    WaveReport {
        opened: wave.opened,
        failed: wave.failed,
        seconds: wave.seconds,
        connects_per_second: wave.connects_per_second(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::histogram::histogram;
    use std::time::Duration;

    #[test]
    fn percentiles_that_fall_on_what_never_came_are_named() {
        let mut latencies = histogram(3);
        for micros in 1..=9_500 {
            latencies.record(micros * 1_000).unwrap();
        }
        let all = Spread::whole(&latencies);
        assert_eq!(missing_at(all), [""; 0]);
        let spread = Spread { missing: 500, patience: Duration::from_secs(2), ..all };
        assert_eq!(missing_at(spread), ["p99", "p999", "max"]);
        assert_eq!(
            (latency(spread).p90.map(f64::round), latency(spread).p99),
            (Some(9_003.0), Some(2e6))
        );
        assert_eq!(missing_at(Spread::whole(&histogram(3))), [""; 0]);
    }

    #[test]
    fn the_longest_is_told_where_no_delivery_was_recorded() {
        let nothing = histogram(3);
        let spread = Spread { longest: 5_000, arrived: 7, ..Spread::whole(&nothing) };
        let told = latency(spread);
        assert_eq!((told.max, told.mean, told.p50), (Some(5.0), None, None));
        assert_eq!(latency(Spread::whole(&nothing)).max, None);
    }
}
