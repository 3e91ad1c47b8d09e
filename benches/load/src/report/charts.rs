//! Which charts tell the story of a run.

use super::chart::{Axis, Chart, Line, Scale};
use super::json::IntervalReport;
use super::latency::{Quantile, Spread};
use crate::lead::record::Figures;
use crate::units::print::{count, time};

const SINCE: &str = "time since measuring began (s)";
/// Beyond 99.9999 % a curve says how often was measured, not how long it took.
const NINES_MAX: f64 = 6.0;
const MEBIBYTE: f64 = 1_048_576.0;
/// Points of a percentile curve, for each further nine.
const POINTS_PER_NINE: u32 = 40;

pub(crate) fn charts(figures: &Figures) -> Vec<Chart> {
    let intervals = figures.intervals();
    let mut charts = Vec::new();
    if figures.shared.plan.traffic.is_some() {
        let mut chart = percentiles("Latency percentiles", figures.latencies());
        if let Some([last, _]) = figures.to_last_member() {
            chart.lines.extend(percentiles("", last).lines);
            (chart.lines[0].name, chart.lines[1].name) = ("each delivery", "to the last member");
        }
        charts.push(chart);
        charts.push(latency_over_time(&intervals));
        charts.push(throughput(&intervals));
    } else {
        charts
            .push(percentiles("Handshake percentiles", Spread::whole(&figures.outcome.handshakes)));
        charts.push(connections(&intervals));
        charts.push(memory(figures));
    }
    charts.push(cpu(&intervals));
    charts
}

/// The line ends where what is missing begins, or values are too few.
fn percentiles(title: &'static str, all: Spread<'_>) -> Chart {
    let nines = (all.histogram.len().max(2) as f64).log10().min(NINES_MAX);
    let steps = (nines * f64::from(POINTS_PER_NINE)).ceil() as u32;
    let quantiles = (0..=steps)
        .map(|step| 1.0 - 10f64.powf(-(f64::from(step) / f64::from(POINTS_PER_NINE)).min(nines)));
    let points = quantiles.map_while(|q| match all.at(q) {
        Quantile::Took(nanos) => Some(Some((q, nanos as f64))),
        Quantile::Missing | Quantile::Few => None,
    });
    let points = if all.histogram.is_empty() { Vec::new() } else { points.collect() };
    Chart {
        title,
        x: Axis { label: "percentile (%)", scale: Scale::Nines, write: write_percentile },
        y: latency_axis(),
        lines: vec![Line { name: "latency", points }],
    }
}

fn write_percentile(quantile: f64) -> String {
    let text = format!("{:.6}", quantile * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(crate) fn latency_axis() -> Axis {
    // Decades are round: the digits behind the point say nothing.
    let write = |nanos| time(nanos).replace(".00", "").replace(".0 ", " ");
    Axis { label: "latency (logarithmic)", scale: Scale::Decades, write }
}

fn time_axis() -> Axis {
    Axis { label: SINCE, scale: Scale::Exact, write: plain }
}

pub(crate) fn cores_axis() -> Axis {
    Axis { label: "CPU in use (cores)", scale: Scale::Linear, write: plain }
}

/// Up to four digits behind the point.
fn plain(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(crate) fn write_count(value: f64) -> String {
    count(value).replace(".00", "").replace(".0", "")
}

fn over_time(
    name: &'static str,
    intervals: &[IntervalReport],
    value: impl Fn(&IntervalReport) -> Option<f64>,
) -> Line {
    let points = intervals.iter().filter_map(|it| Some((it.at_seconds, value(it)?)));
    Line { name, points: points.map(Some).collect() }
}

/// The line is interrupted where something was due and nothing of it has arrived. Where nothing was
/// due there is nothing to be late.
fn latency(
    name: &'static str,
    intervals: &[IntervalReport],
    of: impl Fn(&IntervalReport) -> Option<f64>,
) -> Line {
    let points = intervals.iter().filter_map(|it| match of(it) {
        Some(micros) => Some(Some((it.at_seconds, micros * 1e3))),
        None => (it.due > 0).then_some(None),
    });
    Line { name, points: points.collect() }
}

fn latency_over_time(intervals: &[IntervalReport]) -> Chart {
    let is_whole = intervals.iter().all(|it| it.missing == 0);
    Chart {
        title: match is_whole {
            true => "Latency over time, by due time",
            false => "Latency over time, by due time (of what never came: how long was waited)",
        },
        x: time_axis(),
        y: latency_axis(),
        lines: vec![
            latency("p50", intervals, |it| it.p50_us),
            latency("p99", intervals, |it| it.p99_us),
            latency("max", intervals, |it| it.max_us),
        ],
    }
}

fn throughput(intervals: &[IntervalReport]) -> Chart {
    Chart {
        title: "Throughput",
        x: time_axis(),
        y: Axis { label: "deliveries (messages/s)", scale: Scale::Linear, write: write_count },
        lines: vec![over_time("deliveries", intervals, |it| Some(it.deliveries_per_second))],
    }
}

fn connections(intervals: &[IntervalReport]) -> Chart {
    Chart {
        title: "Connections",
        x: time_axis(),
        y: Axis { label: "open connections (number)", scale: Scale::Linear, write: write_count },
        lines: vec![over_time("connections", intervals, |it| Some(it.connections as f64))],
    }
}

/// A line of its own for each wave, which begins with fewer connections again.
fn by_wave(points: Vec<(f64, f64)>) -> Vec<Option<(f64, f64)>> {
    let waves = points.chunk_by(|before, after| before.0 <= after.0);
    let lines = waves.map(|wave| wave.iter().copied().map(Some).collect());
    lines.collect::<Vec<Vec<_>>>().join(&None)
}

/// While connecting: what each further connection adds.
fn memory(figures: &Figures) -> Chart {
    let climb = figures.record.climb.iter().filter_map(|snapshot| {
        Some((snapshot.connected as f64, snapshot.server?.resident as f64 / MEBIBYTE))
    });
    Chart {
        title: "Memory of the server while connections open",
        x: Axis { label: "open connections (number)", scale: Scale::Exact, write: write_count },
        y: Axis { label: "resident memory (MiB)", scale: Scale::Linear, write: plain },
        lines: vec![Line { name: "memory", points: by_wave(climb.collect()) }],
    }
}

fn cpu(intervals: &[IntervalReport]) -> Chart {
    let mut lines =
        vec![over_time("busiest thread of the generator", intervals, |it| Some(it.generator_busy))];
    let server = over_time("server", intervals, |it| it.server_cpu);
    let is_server_watched = !server.is_empty();
    if is_server_watched {
        lines.insert(0, server);
    }
    Chart {
        // A single line has no legend.
        title: match is_server_watched {
            true => "CPU",
            false => "CPU of the load generator (with --pid of the server, too)",
        },
        x: time_axis(),
        y: cores_axis(),
        lines,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An interval of a second with a median or without, in which something was due or not.
    fn interval(at_seconds: f64, p50_us: Option<f64>, due: u64) -> IntervalReport {
        IntervalReport { at_seconds, p50_us, due, ..Default::default() }
    }

    #[test]
    fn a_line_breaks_where_what_was_due_has_not_arrived() {
        let line = |middle: IntervalReport| {
            let intervals = [interval(1.0, Some(5.0), 9), middle, interval(3.0, Some(6.0), 9)];
            latency("p50", &intervals, |it| it.p50_us).points
        };
        let (first, last) = (Some((1.0, 5e3)), Some((3.0, 6e3)));
        assert_eq!(line(interval(2.0, None, 9)), [first, None, last], "lost, or never sent");
        // What is made up for is published later than it was due.
        let still = IntervalReport { published_per_second: 9.0, ..interval(2.0, None, 0) };
        assert_eq!(line(still), [first, last], "nothing was due");
    }

    #[test]
    fn no_line_leads_from_one_wave_to_the_next() {
        let waves = by_wave(vec![(1.0, 5.0), (2.0, 6.0), (1.0, 7.0), (3.0, 8.0)]);
        assert_eq!(
            waves.iter().map(Option::is_some).collect::<Vec<_>>(),
            [true, true, false, true, true]
        );
    }
}
