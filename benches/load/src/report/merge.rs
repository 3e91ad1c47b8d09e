//! Several reports as one: of generators on several machines, or of runs that were repeated.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::assertions::check;
use super::build::{few_messages_at, latency, missing_at};
use super::hdr::decode;
use super::histograms::{HistogramsReport, text};
use super::json::{DeliveryReport, FORMAT, LastMemberReport, Report};
use super::latency::Spread;
use super::sums;
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
    let show = path.display();
    let text = fs::read_to_string(path);
    let text = text.map_err(|error| format!("{show} cannot be read: {error}"))?;
    let report: Report = serde_json::from_str(&text).map_err(|error| {
        format!("{show} is no report of this version, as --json writes it: {error}")
    })?;
    match report.format == FORMAT && report.histograms.is_some() {
        true => Ok(report),
        false => Err(format!("{show} has no histograms that can be merged")),
    }
}

/// Percentiles of a mixture would be those of nothing.
fn check_alike(args: &MergeArgs, all: &[Report]) -> Result<(), String> {
    let Some((first, others)) = all.split_first() else { return Ok(()) };
    for (other, path) in others.iter().zip(args.reports.iter().skip(1)) {
        let (a, b) = (args.reports[0].display(), path.display());
        let differ = |what: &str, x: &str, y: &str| Err(format!("{what}: {a} has {x}, {b} {y}"));
        if first.scenario != other.scenario {
            return differ("not the same scenario", &first.scenario, &other.scenario);
        }
        let kinds = [first, other].map(|it| &*it.latency_us.loop_kind);
        if kinds[0] != kinds[1] {
            return differ("latencies of different loops", kinds[0], kinds[1]);
        }
        let samples = [first, other].map(|it| it.latency_us.sampled_one_in.unwrap_or(1));
        if samples[0] != samples[1] {
            let [x, y] = samples.map(|one_in| format!("one delivery in {one_in}"));
            return differ("give all runs the same --sample", &x, &y);
        }
    }
    Ok(())
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
    let [deliveries, delays] = [of(|it| &it.deliveries)?, of(|it| &it.publish_delay)?];
    let [own, full] = [of(|it| &it.own_lateness)?, of(|it| &it.socket_full)?];
    let [last, skew] = [of(|it| &it.last_member)?, of(|it| &it.skew)?];
    let waited = all.iter().map(|it| it.histograms.as_ref().map_or(0.0, |it| it.waited_seconds));
    let waited_seconds = waited.fold(0.0, f64::max);
    let patience = Duration::try_from_secs_f64(waited_seconds).unwrap_or_default();
    let first = all.first().cloned().unwrap_or_default();
    Ok(Report {
        command: command_line(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_unix: all.iter().filter_map(|it| it.started_unix).min(),
        interrupted: all.iter().any(|it| it.interrupted),
        ended_early: all.iter().find_map(|it| it.ended_early.clone()),
        seconds: all.iter().map(|it| it.seconds).fold(0.0, f64::max),
        settings: sums::settings(all),
        connections,
        messages: sums::messages(all),
        compression: None,
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
        }),
        latency_trusted: all.iter().all(|it| it.latency_trusted),
        errors: sums::by_name(all.iter().map(|it| &it.errors)),
        assertions: Vec::new(),
        gaps: sums::gaps(all),
        slow_members: sums::slow_members(all),
        pings_answered: all.iter().map(|it| it.pings_answered).sum(),
        server: None,
        generator: sums::generator(all),
        waves: Vec::new(),
        series: Vec::new(),
        ..first
    })
}

/// The sum of a histogram of all reports.
fn added(
    all: &[Report],
    of: fn(&HistogramsReport) -> &Option<String>,
) -> Result<Histogram<u64>, String> {
    let mut sum = histogram(3);
    for text in all.iter().filter_map(|it| it.histograms.as_ref().and_then(|it| of(it).as_ref())) {
        add(&mut sum, &decode(text).ok_or("a histogram in one of the reports is damaged")?);
    }
    Ok(sum)
}

fn delivery(all: &[Report], histogram: &Histogram<u64>, patience: Duration) -> DeliveryReport {
    let of = |count: fn(&DeliveryReport) -> u64| all.iter().map(|it| count(&it.latency_us)).sum();
    let (due, missing): (u64, u64) = (of(|it| it.due), of(|it| it.missing));
    let longest = all.iter().filter_map(|it| it.latency_us.max_arrived).reduce(f64::max);
    let spread = Spread {
        histogram,
        longest: longest.map_or(0, |micros| (micros * 1e3).round() as u64),
        messages: all.iter().map(|it| it.messages.published + it.messages.unsent).sum(),
        arrived: due.saturating_sub(missing),
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
    let missing = each.iter().map(|it| it.missing).sum();
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
    fn what_was_merged_can_be_merged_again() {
        let three = [report(1, 50, 3), report(70, 50, 0), report(900, 50, 1)];
        let two = merged(&three[..2]).unwrap();
        let (at_once, in_turn) =
            (merged(&three).unwrap(), merged(&[two, three[2].clone()]).unwrap());
        assert_eq!(at_once.latency_us, in_turn.latency_us);
        assert_eq!(at_once.histograms, in_turn.histograms);
    }
}
