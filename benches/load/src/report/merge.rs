//! Several reports as one: of generators on several machines, or of runs that were repeated.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::assertions::check;
use super::build::{few_messages_at, latency, missing_at};
use super::hdr::decode;
use super::histograms::{HistogramsReport, text};
use super::json::{DeliveryReport, FORMAT, LastMemberReport, Report, StageReport};
use super::latency::Spread;
use super::{input, stages, sums, windows};
use crate::setup::args::command_line;
use crate::setup::merge::MergeArgs;
use crate::watch::histogram::{add, histogram};

/// Reads all reports; the one that they make.
///
/// # Errors
///
/// When one cannot be read, or does not go with the others: a sentence for people.
pub(crate) fn merge(args: &MergeArgs) -> Result<(Vec<Report>, Report), String> {
    let all = args.reports.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    check_alike(args, &all)?;
    let mut merged = merged(&all)?;
    let asserted = args.assert.iter().map(|assertion| check(assertion, &merged)).collect();
    merged.assertions = asserted;
    Ok((all, merged))
}

fn read(path: &Path) -> Result<Report, String> {
    let report = input::read(path)?;
    check_one(&report).map_err(|why| format!("{} {why}", path.display()))?;
    Ok(report)
}

/// Nothing waits for longer than a day.
const WAITED_MAX: f64 = 86_400.0;

/// Whether a report can be merged at all.
fn check_one(report: &Report) -> Result<(), String> {
    let histograms = report.histograms.as_ref().filter(|_| report.format == FORMAT);
    let Some(histograms) = histograms else {
        return Err("has no histograms that can be merged".to_owned());
    };
    let waited = histograms.waited_seconds;
    if !(0.0..WAITED_MAX).contains(&waited) {
        return Err(format!("has waited for {waited} seconds, which is no time below a day"));
    }
    let of = &report.latency_us;
    // Of few deliveries that came none may be in the sample.
    let are_recorded = of.sampled_one_in.unwrap_or(1) == 1 && of.due > of.missing;
    let is_bare = |it: &StageReport| it.histogram.is_none() && it.latency_us.count > 0;
    if histograms.deliveries.is_none() && (are_recorded || of.latency.count > 0) {
        return Err("has no histogram of the deliveries that came".to_owned());
    }
    match report.stages.iter().any(is_bare) {
        true => Err("has no histogram of a stage".to_owned()),
        false => Ok(()),
    }
}

/// Percentiles of a mixture would be those of nothing.
fn check_alike(args: &MergeArgs, all: &[Report]) -> Result<(), String> {
    check_twice(&args.reports, all)?;
    let Some((first, others)) = all.split_first() else { return Ok(()) };
    for (other, path) in others.iter().zip(args.reports.iter().skip(1)) {
        let (a, b) = (args.reports[0].display(), path.display());
        if let Some((what, [x, y])) = difference(first, other) {
            return Err(format!("{what}: {a} has {x}, {b} {y}"));
        }
    }
    Ok(())
}

/// What counts twice is no sum.
fn check_twice(paths: &[PathBuf], all: &[Report]) -> Result<(), String> {
    let files: Vec<_> = paths.iter().map(|path| fs::canonicalize(path).ok()).collect();
    for nth in 1..all.len() {
        let is_same = |&other: &usize| {
            all[other] == all[nth] || files[other].is_some() && files[other] == files[nth]
        };
        if let Some(other) = (0..nth).find(is_same) {
            let (a, b) = (paths[other].display(), paths[nth].display());
            return Err(format!("the same report twice: {a} and {b}"));
        }
    }
    Ok(())
}

/// What a report says of one of its settings.
type Feature = fn(&Report) -> String;

/// Joins in the place of others, what never came to be included.
fn churn_joined<'a>(all: &[Report], joins: &'a Histogram<u64>) -> Spread<'a> {
    let churns = all.iter().filter_map(|report| report.churn.as_ref());
    let missing = churns.map(|churn| churn.failed + churn.missed).sum();
    Spread { missing, ..Spread::whole(joins) }
}

/// In what two runs are unlike each other so that they make no sum, and what each has.
fn difference(a: &Report, b: &Report) -> Option<(&'static str, [String; 2])> {
    let features: [(&str, Feature); 9] = [
        ("not the same scenario", |it| it.scenario.clone()),
        ("latencies of different loops", |it| it.latency_us.loop_kind.clone()),
        ("connections of different loops", |it| it.connections.loop_kind.clone()),
        ("not the same stages", |it| match stages::plan(&it.stages) {
            plan if plan.is_empty() => "none".to_owned(),
            plan => plan,
        }),
        ("not the same payloads", payload),
        ("not the same TLS", tls),
        ("not the same compression", |it| {
            if it.compression.is_some() { "--deflate" } else { "none" }.to_owned()
        }),
        ("not the same churn", |it| if it.churn.is_some() { "--churn" } else { "none" }.to_owned()),
        ("give all runs the same --sample", |it| {
            format!("one delivery in {}", it.latency_us.sampled_one_in.unwrap_or(1))
        }),
    ];
    let mut both = features.iter().map(|(what, of)| (*what, [of(a), of(b)]));
    both.find(|(_, [x, y])| x != y)
}

fn payload(report: &Report) -> String {
    report.settings.traffic.as_ref().map_or_else(
        || "none".to_owned(),
        |traffic| format!("{} bytes of {}", traffic.payload_bytes, traffic.payload),
    )
}

fn tls(report: &Report) -> String {
    report.connections.tls.as_ref().map_or_else(
        || "none".to_owned(),
        |tls| format!("TLS {} with {} and {}", tls.version, tls.suite, tls.key_exchange),
    )
}

/// How long was waited for what is missing, at least: of those that miss something the shortest.
fn waited_seconds(all: &[Report]) -> f64 {
    let misses = |it: &&Report| {
        it.latency_us.missing > 0 || it.last_member.as_ref().is_some_and(|last| last.missing > 0)
    };
    let waited = |it: &Report| it.histograms.as_ref().map(|it| it.waited_seconds);
    let of_those = all.iter().filter(misses).filter_map(waited).reduce(f64::min);
    of_those.or_else(|| all.iter().filter_map(waited).reduce(f64::min)).unwrap_or_default()
}

/// Without assertions, and without intervals: those of different runs are of different times.
fn merged(all: &[Report]) -> Result<Report, String> {
    let of = |name: fn(&HistogramsReport) -> &Option<String>| added(all, name);
    let [handshakes, joins] = [of(|it| &it.handshakes)?, of(|it| &it.joins)?];
    let [handshakes_own, read] = [of(|it| &it.handshakes_own)?, of(|it| &it.reader_lateness)?];
    let mut connections = sums::connections(all);
    connections.handshake_us = latency(Spread::whole(&handshakes));
    connections.handshake_own_us = latency(Spread::whole(&handshakes_own));
    connections.joined_us = latency(Spread::whole(&joins));
    let churn_joins = of(|it| &it.churn_joins)?;
    let churn_joined = churn_joined(all, &churn_joins);
    let [deliveries, delays] = [of(|it| &it.deliveries)?, of(|it| &it.publish_delay)?];
    let [own, full] = [of(|it| &it.own_lateness)?, of(|it| &it.socket_full)?];
    let [last, skew] = [of(|it| &it.last_member)?, of(|it| &it.skew)?];
    let waited_seconds = waited_seconds(all);
    let patience = Duration::try_from_secs_f64(waited_seconds).unwrap_or_default();
    let first = all.first().cloned().unwrap_or_default();
    let measured = windows::common(all).filter(|_| windows::are_alike(all) == Some(true));
    Ok(Report {
        command: command_line(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix: all.iter().filter_map(|it| it.started_unix).min(),
        measured_from_unix: measured.map(|(from, _)| from),
        measured_to_unix: measured.map(|(_, to)| to),
        interrupted: all.iter().any(|it| it.interrupted),
        ended_early: all.iter().find_map(|it| it.ended_early.clone()),
        seconds: all.iter().map(|it| it.seconds).fold(0.0, f64::max),
        settings: sums::settings(all),
        connections,
        messages: sums::messages(all),
        compression: sums::compression(all),
        latency_us: DeliveryReport {
            publish_delay: latency(Spread::whole(&delays)),
            own_lateness: latency(Spread::whole(&own)),
            socket_full: latency(Spread::whole(&full)),
            reader_lateness: latency(Spread::whole(&read)),
            ..delivery(all, &deliveries, patience)
        },
        last_member: last_member(all, [&last, &skew], patience),
        histograms: Some(HistogramsReport {
            waited_seconds,
            deliveries: text(&deliveries),
            last_member: text(&last),
            skew: text(&skew),
            publish_delay: text(&delays),
            own_lateness: text(&own),
            socket_full: text(&full),
            reader_lateness: text(&read),
            handshakes: text(&handshakes),
            handshakes_own: text(&handshakes_own),
            joins: text(&joins),
            churn_joins: text(&churn_joins),
        }),
        latency_trusted: all.iter().all(|it| it.latency_trusted),
        errors: sums::by_name(all.iter().map(|it| &it.errors)),
        assertions: Vec::new(),
        gaps: sums::gaps(all),
        churn: sums::churn(all, latency(churn_joined), missing_at(churn_joined)),
        slow_members: sums::slow_members(all),
        pings_answered: sums::sum(all, |it| it.pings_answered),
        server: None,
        generator: sums::generator(all),
        waves: Vec::new(),
        stages: merged_stages(all, patience)?,
        series: Vec::new(),
        ..first
    })
}

/// The sum of a histogram of all reports.
fn added(
    all: &[Report],
    of: fn(&HistogramsReport) -> &Option<String>,
) -> Result<Histogram<u64>, String> {
    decoded(all.iter().filter_map(|it| it.histograms.as_ref().and_then(|it| of(it).as_ref())))
}

fn decoded<'a>(all: impl Iterator<Item = &'a String>) -> Result<Histogram<u64>, String> {
    let mut sum = histogram(3);
    for text in all {
        add(&mut sum, &decode(text).ok_or("a histogram in one of the reports is damaged")?);
    }
    Ok(sum)
}

fn delivery(all: &[Report], histogram: &Histogram<u64>, patience: Duration) -> DeliveryReport {
    let due = sums::sum(all, |it| it.latency_us.due);
    let missing = sums::sum(all, |it| it.latency_us.missing).min(due);
    let longest = all.iter().filter_map(|it| it.latency_us.max_arrived).reduce(f64::max);
    let spread = Spread {
        histogram,
        longest: longest.map_or(0, |micros| (micros * 1e3).round() as u64),
        messages: sums::sum(all, |it| it.messages.published.saturating_add(it.messages.unsent)),
        arrived: due - missing,
        missing,
        patience,
    };
    let first = all.first().map(|it| it.latency_us.clone()).unwrap_or_default();
    DeliveryReport {
        latency: latency(spread),
        due,
        missing,
        missing_at: missing_at(spread),
        few_messages_at: few_messages_at(spread),
        max_arrived: longest,
        loop_kind: first.loop_kind,
        sampled_one_in: first.sampled_one_in,
        ..DeliveryReport::default()
    }
}

/// Each stage of all reports, which have the same ones.
fn merged_stages(all: &[Report], patience: Duration) -> Result<Vec<StageReport>, String> {
    let count = all.iter().map(|report| report.stages.len()).min().unwrap_or_default();
    let of = |nth: usize| all.iter().map(|report| &report.stages[nth]).collect::<Vec<_>>();
    (0..count).map(|nth| merged_stage(&of(nth), patience)).collect()
}

/// Several may have watched the same server, so what that cost is in none.
fn merged_stage(all: &[&StageReport], patience: Duration) -> Result<StageReport, String> {
    let histogram = &decoded(all.iter().filter_map(|it| it.histogram.as_ref()))?;
    let offered = sums::sum(all, |it| it.offered);
    let delivered = sums::sum(all, |it| it.delivered);
    let missing = sums::sum(all, |it| it.missing).min(u64::MAX - delivered);
    let longest = all.iter().filter_map(|it| it.max_arrived).reduce(f64::max);
    let spread = Spread {
        histogram,
        longest: longest.map_or(0, |micros| (micros * 1e3).round() as u64),
        messages: offered,
        arrived: delivered,
        missing,
        patience,
    };
    let first = all.first().copied().cloned().unwrap_or_default();
    let some: Vec<_> = all.iter().filter(|it| it.published_share.is_some()).collect();
    Ok(StageReport {
        measured_seconds: all.iter().map(|it| it.measured_seconds).fold(f64::INFINITY, f64::min),
        offered,
        published: sums::sum(all, |it| it.published),
        due: sums::sum(all, |it| it.due),
        published_share: sums::mean_share(&some, |it| it.published_share, |it| it.due as f64),
        delivered,
        missing,
        latency_us: latency(spread),
        missing_at: missing_at(spread),
        few_messages_at: few_messages_at(spread),
        max_arrived: longest,
        server_cpu: None,
        generator_busy: all.iter().filter_map(|it| it.generator_busy).reduce(f64::max),
        histogram: text(histogram),
        ..first
    })
}

/// None unless all have it, and of as many messages.
fn last_member(
    all: &[Report],
    histograms: [&Histogram<u64>; 2],
    patience: Duration,
) -> Option<LastMemberReport> {
    let each = all.iter().map(|it| it.last_member.as_ref()).collect::<Option<Vec<_>>>()?;
    let one_in = each.first()?.sampled_one_in;
    if each.iter().any(|it| it.sampled_one_in != one_in) {
        return None;
    }
    let most = histograms.map(Histogram::len).into_iter().fold(0, u64::max);
    let missing = sums::sum(&each, |it| it.missing).min(u64::MAX - most);
    let spread = |histogram| Spread { missing, patience, ..Spread::whole(histogram) };
    let [last, skew] = histograms.map(spread);
    Some(LastMemberReport {
        due: last.arrived + missing,
        missing,
        missing_at: missing_at(last),
        sampled_one_in: one_in,
        last_us: latency(last),
        skew_us: latency(skew),
        own_reading_us: each.iter().filter_map(|it| it.own_reading_us).reduce(f64::max),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::churn::ChurnReport;
    use crate::report::json::{CompressionReport, LatencyReport, TlsReport, TrafficReport};

    /// A report on latencies from so many microseconds on, one for each of so many deliveries.
    fn report(from: u64, count: u64, missing: u64) -> Report {
        let mut latencies = histogram(3);
        (from..from + count).for_each(|micros| latencies.record(micros * 1_000).unwrap());
        let latency_us = DeliveryReport {
            due: count + missing,
            missing,
            max_arrived: Some((from + count) as f64),
            loop_kind: "open".to_owned(),
            ..DeliveryReport::default()
        };
        let histograms = HistogramsReport {
            waited_seconds: 2.0,
            deliveries: text(&latencies),
            ..HistogramsReport::default()
        };
        Report {
            format: FORMAT,
            latency_us,
            latency_trusted: true,
            histograms: Some(histograms),
            ..Report::default()
        }
    }

    #[test]
    fn percentiles_are_those_of_all_deliveries() {
        let merged = merged(&[report(1, 900, 0), report(10_001, 100, 0)]).unwrap();
        let DeliveryReport { latency, due, max_arrived, .. } = &merged.latency_us;
        assert_eq!((*due, latency.count, *max_arrived), (1_000, 1_000, Some(10_101.0)));
        let close = |value: Option<f64>, other: f64| (value.unwrap() / other - 1.0).abs() < 0.002;
        assert!(close(latency.p50, 500.0) && close(latency.p90, 900.0), "{latency:?}");
        assert!(close(latency.p99, 10_090.0) && close(latency.max, 10_101.0), "{latency:?}");
        assert!(merged.latency_trusted);
    }

    /// The mean of the two medians would be another.
    #[test]
    fn what_is_missing_in_one_is_missing_in_all() {
        let merged = merged(&[report(1, 300, 0), report(1, 0, 700)]).unwrap();
        assert_eq!((merged.latency_us.due, merged.latency_us.missing), (1_000, 700));
        assert_eq!(merged.latency_us.latency.p50, Some(2e6));
        assert_eq!(merged.latency_us.missing_at, ["p50", "p90", "p99", "p999", "max"]);
    }

    #[test]
    fn what_never_came_is_above_the_shortest_wait_for_it() {
        let waited = |missing, waited_seconds| {
            let mut report = report(1, 300, missing);
            let histograms = report.histograms.as_mut().unwrap();
            histograms.waited_seconds = waited_seconds;
            report
        };
        let of = |all: &[Report]| merged(all).unwrap().histograms.unwrap().waited_seconds;
        assert_eq!(of(&[waited(5, 3.0), waited(0, 1.0), waited(9, 2.0)]), 2.0);
        assert_eq!(of(&[waited(0, 3.0), waited(0, 1.0)]), 1.0);
    }

    /// One stage, of a report on so many deliveries that took so many microseconds or more.
    fn staged(from: u64, count: u64, missing: u64) -> Report {
        let mut report = report(from, count, missing);
        let stage = StageReport {
            seconds: 10.0,
            rate_per_room: 500.0,
            offered: count + missing,
            published: count + missing,
            due: count + missing,
            published_share: Some(count as f64 / (count + missing) as f64),
            delivered: count,
            missing,
            latency_us: LatencyReport { count, ..LatencyReport::default() },
            max_arrived: report.latency_us.max_arrived,
            histogram: report.histograms.as_ref().unwrap().deliveries.clone(),
            ..StageReport::default()
        };
        report.stages = vec![stage];
        report
    }

    #[test]
    fn stages_of_the_same_plan_are_added_up() {
        let mut all = [staged(1, 900, 100), staged(10_001, 1_000, 0)];
        [all[0].stages[0].measured_seconds, all[1].stages[0].measured_seconds] = [10.0, 4.0];
        assert_eq!((check_one(&all[0]), difference(&all[0], &all[1])), (Ok(()), None));
        let merged = merged(&all).unwrap();
        let stage = &merged.stages[0];
        assert_eq!((stage.offered, stage.delivered, stage.missing), (2_000, 1_900, 100));
        assert_eq!((stage.latency_us.count, stage.max_arrived), (1_900, Some(11_001.0)));
        assert_eq!((stage.published_share, stage.measured_seconds), (Some(0.95), 4.0));
        assert_eq!(stage.latency_us.p99, Some(2e6));
        assert_eq!(stage.missing_at, ["p99", "p999", "max"]);
        let p50 = stage.latency_us.p50.unwrap();
        assert!((p50 / 10_100.0 - 1.0).abs() < 0.002, "{p50}");
        assert_eq!(stage.latency_us, merged.latency_us.latency);
        assert_eq!(difference(&merged, &all[0]), None, "what was merged is merged again");
    }

    #[test]
    fn what_cannot_be_merged_is_refused() {
        let check = |change: fn(&mut Report), part: &str| {
            let mut report = report(1, 300, 5);
            change(&mut report);
            let error = check_one(&report).unwrap_err();
            assert!(error.contains(part), "{part} in {error}");
        };
        assert_eq!(check_one(&report(1, 300, 5)), Ok(()));
        assert_eq!(check_one(&report(1, 0, 5)), Ok(()), "nothing came");
        check(|it| it.histograms = None, "has no histograms");
        check(|it| it.format = 99, "has no histograms");
        check(|it| it.histograms.as_mut().unwrap().deliveries = None, "no histogram of the deliv");
        check(
            |it| {
                *it = staged(1, 300, 5);
                it.stages[0].histogram = None;
            },
            "no histogram of a stage",
        );
        for waited in [-1.0, f64::NAN, f64::INFINITY, 1e30] {
            let mut report = report(1, 300, 5);
            report.histograms.as_mut().unwrap().waited_seconds = waited;
            assert!(check_one(&report).unwrap_err().contains("no time below a day"));
        }
    }

    #[test]
    fn unlike_runs_are_told_apart() {
        let a = report(1, 300, 5);
        assert_eq!(difference(&a, &report(1, 20, 0)), None);
        let check = |change: fn(&mut Report), part: &str| {
            let mut b = a.clone();
            change(&mut b);
            let (what, [x, y]) = difference(&a, &b).unwrap();
            assert!(what.contains(part) && x != y, "{part} in {what}: {x}, {y}");
        };
        check(|it| it.scenario = "slow".to_owned(), "scenario");
        check(|it| it.latency_us.loop_kind = "closed".to_owned(), "latencies of different loops");
        check(|it| it.connections.loop_kind = "open".to_owned(), "connections of different loops");
        check(|it| it.settings.traffic = Some(TrafficReport::default()), "payloads");
        check(|it| it.stages = staged(1, 300, 5).stages, "stages");
        check(|it| it.connections.tls = Some(TlsReport::default()), "TLS");
        check(|it| it.compression = Some(CompressionReport::default()), "compression");
        check(|it| it.churn = Some(ChurnReport::default()), "churn");
        check(|it| it.latency_us.sampled_one_in = Some(16), "--sample");
    }

    #[test]
    fn what_counts_twice_is_refused() {
        let paths = ["a.json", "b.json"].map(PathBuf::from);
        let error = check_twice(&paths, &[report(1, 9, 0), report(1, 9, 0)]).unwrap_err();
        assert_eq!(error, "the same report twice: a.json and b.json");
        assert_eq!(check_twice(&paths, &[report(1, 9, 0), report(1, 8, 0)]), Ok(()));
    }

    #[test]
    fn what_was_merged_can_be_merged_again() {
        let three = [report(1, 50, 3), report(70, 50, 0), report(900, 50, 1)];
        let two = merged(&three[..2]).unwrap();
        let (at_once, in_turn) =
            (merged(&three).unwrap(), merged(&[two, three[2].clone()]).unwrap());
        assert_eq!(at_once.latency_us, in_turn.latency_us);
        assert_eq!(at_once.histograms, in_turn.histograms);
    }
}
