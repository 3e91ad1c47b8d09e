//! Two reports beside each other. Each figure is a mean over the intervals of its run, and a ratio of
//! two such means is as uncertain as the intervals are uneven: by bootstrap, which draws intervals
//! anew, with repetition, and looks how far the ratio moves.

use std::path::Path;

use super::json::{FORMAT, IntervalReport, Report, SettingsReport, TrafficReport};
use super::{input, stage_diff, stages};
use crate::setup::args::DiffArgs;
use crate::units::print::{count, ratio, time};

/// A figure of which there is one for a set of intervals.
#[derive(Clone, Copy)]
struct Figure {
    name: &'static str,
    of: fn(&[&IntervalReport]) -> Option<f64>,
    write: fn(f64) -> String,
}

const FIGURES: [Figure; 6] = [
    Figure {
        name: "deliveries per second",
        of: |all| mean(all, |it| Some(it.deliveries_per_second)),
        write: count,
    },
    Figure {
        name: "published per second",
        of: |all| mean(all, |it| Some(it.published_per_second)),
        write: count,
    },
    Figure {
        name: "server CPU per delivery",
        of: |all| {
            let cores = mean(all, |it| it.server_cpu)?;
            let deliveries = mean(all, |it| Some(it.deliveries_per_second))?;
            (deliveries > 0.0).then(|| cores / deliveries * 1e9)
        },
        write: time,
    },
    Figure {
        name: "server memory",
        of: |all| mean(all, |it| it.server_rss_bytes.map(|bytes| bytes as f64)),
        write: crate::units::print::bytes,
    },
    Figure { name: "p50", of: |all| mean(all, |it| it.p50_us), write: micros },
    Figure { name: "p99", of: |all| mean(all, |it| it.p99_us), write: micros },
];

/// Drawn sets of intervals.
const DRAWS: usize = 2_000;
/// What is left out at either end of the ratios of all draws, in thousandths: 95 % are between.
const TAIL: usize = 25;
/// With fewer intervals each draw is nearly the same.
const INTERVALS_MIN: usize = 8;

pub(super) const NAME_WIDTH: usize = 26;
pub(super) const VALUE_WIDTH: usize = 12;

/// Reads two reports; a table of their figures.
pub(crate) fn text(args: &DiffArgs) -> Result<String, String> {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let mut out = format!("\nA: {}\nB: {}\n\n", args.before.display(), args.after.display());
    let (a, b, heading) = ("A", "B", "B / A (95 %)");
    out.push_str(&format!(
        "  {:<NAME_WIDTH$}{a:<VALUE_WIDTH$}{b:<VALUE_WIDTH$}{heading}\n",
        "mean over intervals"
    ));
    for figure in FIGURES {
        out.push_str(&row(figure, &before.series, &after.series).unwrap_or_default());
    }
    out.push_str(&stage_diff::rows(&before.stages, &after.stages));
    for remark in remarks(&before, &after) {
        out.push_str(&format!("\n! {remark}\n"));
    }
    Ok(out)
}

fn read(path: &Path) -> Result<Report, String> {
    let report = input::read(path)?;
    let show = path.display();
    match report.format == FORMAT && !report.series.is_empty() {
        true => Ok(report),
        false => Err(format!("{show} has no intervals that can be compared")),
    }
}

/// Nothing, where one of the two has no such figure.
fn row(figure: Figure, before: &[IntervalReport], after: &[IntervalReport]) -> Option<String> {
    let of = |series: &[IntervalReport]| {
        (figure.of)(&series.iter().collect::<Vec<_>>()).filter(|value| *value > 0.0)
    };
    let (a, b) = (of(before)?, of(after)?);
    let Figure { name, write, .. } = figure;
    let verdict = match bounds(figure, before, after) {
        None => format!("{}  too few intervals to say more", ratio(b / a)),
        Some((low, high)) => {
            let interval = format!("{} ({} … {})", ratio(b / a), ratio(low), ratio(high));
            match (low > 1.0, high < 1.0) {
                (true, _) => format!("{interval}  B is higher"),
                (_, true) => format!("{interval}  B is lower"),
                _ => format!("{interval}  no difference seen"),
            }
        }
    };
    let (a, b) = (write(a), write(b));
    Some(format!("  {name:<NAME_WIDTH$}{a:<VALUE_WIDTH$}{b:<VALUE_WIDTH$}{verdict}\n"))
}

/// Between which ratios those of nearly all draws are.
fn bounds(
    figure: Figure,
    before: &[IntervalReport],
    after: &[IntervalReport],
) -> Option<(f64, f64)> {
    if before.len().min(after.len()) < INTERVALS_MIN {
        return None;
    }
    let mut chance = Chance(1);
    let draws = (0..DRAWS).filter_map(|_| {
        let [a, b] = [before, after].map(|series| (figure.of)(&draw(series, &mut chance)));
        a.zip(b).filter(|(a, _)| *a > 0.0).map(|(a, b)| b / a)
    });
    let mut ratios: Vec<f64> = draws.collect();
    ratios.sort_by(f64::total_cmp);
    let tail = ratios.len() * TAIL / 1000;
    Some((*ratios.get(tail)?, *ratios.get(ratios.len() - 1 - tail)?))
}

/// As many intervals as there are, in runs of neighbours, which are like each other.
fn draw<'a>(series: &'a [IntervalReport], chance: &mut Chance) -> Vec<&'a IntervalReport> {
    let run = (series.len() as f64).cbrt().round() as usize;
    let mut drawn = Vec::with_capacity(series.len() + run);
    while drawn.len() < series.len() {
        let from = chance.below(series.len());
        drawn.extend(series.iter().cycle().skip(from).take(run));
    }
    drawn.truncate(series.len());
    drawn
}

/// The same draws in each comparison of the same reports.
struct Chance(u64);

impl Chance {
    fn below(&mut self, count: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % count as u64) as usize
    }
}

/// Of the intervals that have such a value.
fn mean(all: &[&IntervalReport], of: fn(&IntervalReport) -> Option<f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0.0);
    for value in all.iter().filter_map(|interval| of(interval)) {
        (sum, count) = (sum + value, count + 1.0);
    }
    (count > 0.0).then(|| sum / count)
}

fn micros(value: f64) -> String {
    time(value * 1e3)
}

/// What must be known to read the ratios.
fn remarks(before: &Report, after: &Report) -> Vec<String> {
    let mut remarks = vec![
        "one run each: what differs from run to run of one server is not in these bounds; repeat both"
            .to_owned(),
    ];
    if load(before) != load(after) {
        remarks.push(format!("not the same load: {} and {}", show(before), show(after)));
    }
    if stages::plan(&before.stages) != stages::plan(&after.stages) {
        remarks.push("stages are not compared: A and B have not the same ones".to_owned());
    }
    let cut = [before, after].map(|report| stages::cut(&report.stages));
    for (name, cut) in ["A", "B"].iter().zip(cut) {
        remarks.extend(cut.map(|words| format!("{name} was over before its time: {words}")));
    }
    if before.machine != after.machine {
        remarks.push("not the same machine".to_owned());
    }
    for (report, name) in [(before, "A"), (after, "B")] {
        if report.generator.limited {
            remarks.push(format!("{name} was limited by its generator"));
        }
        for (figure, key) in [("p50", "p50_us"), ("p99", "p99_us")] {
            remarks.extend(endless(report, name, figure, key));
        }
        let messages = &report.messages;
        if messages.lost + messages.damaged > 0 {
            remarks.push(format!(
                "in {name} messages were missing: {} lost, {} damaged",
                messages.lost, messages.damaged
            ));
        }
    }
    remarks
}

/// A sentence, if a percentile falls on what never came in some intervals.
fn endless(report: &Report, name: &str, figure: &str, key: &str) -> Option<String> {
    let is_endless = |it: &&IntervalReport| it.missing_at.iter().any(|at| at == key);
    let (endless, all) = (report.series.iter().filter(is_endless).count(), report.series.len());
    (endless > 0).then(|| {
        format!(
            "in {endless} of {all} intervals of {name} {figure} falls on messages that never came: it \
             counts as how long was waited there, and is higher"
        )
    })
}

/// What was asked of the server.
fn load(report: &Report) -> (&str, Option<f64>, String, SettingsReport) {
    let SettingsReport {
        members, event_streams, rooms, publishers, slow_members, ref traffic, ..
    } = report.settings;
    let traffic = traffic.as_ref().map(|traffic| TrafficReport {
        // How long it was looked at changes nothing.
        warm_up_seconds: 0.0,
        duration_seconds: 0.0,
        ..traffic.clone()
    });
    let asked = SettingsReport {
        members,
        event_streams,
        rooms,
        publishers,
        slow_members,
        traffic,
        ..SettingsReport::default()
    };
    let churn = report.churn.as_ref().map(|churn| churn.rate);
    (&report.scenario, churn, stages::plan(&report.stages), asked)
}

fn show(report: &Report) -> String {
    let SettingsReport { members, rooms, publishers, traffic, .. } = &report.settings;
    let pace = traffic.as_ref().map_or_else(String::new, |it| {
        let pace = match (it.rate_per_room, it.window) {
            (Some(_), _) if !report.stages.is_empty() => stages::plan(&report.stages),
            (Some(rate), _) => format!("{}/s", count(rate)),
            (None, window) => format!("a window of {}", window.unwrap_or_default()),
        };
        format!(", {publishers} publishers, {pace}, {} B of {}", it.payload_bytes, it.payload)
    });
    let churn = report.churn.as_ref();
    let churn = churn.map_or_else(String::new, |it| format!(", churn {}/s", count(it.rate)));
    format!("{} of {members} in {rooms} rooms{pace}{churn}", report.scenario)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: impl Iterator<Item = u32>) -> Vec<IntervalReport> {
        let interval = |value| IntervalReport {
            deliveries_per_second: f64::from(value),
            p99_us: Some(f64::from(value)),
            ..IntervalReport::default()
        };
        values.map(interval).collect()
    }

    /// The verdict on deliveries per second.
    fn verdict(before: &[IntervalReport], after: &[IntervalReport]) -> String {
        row(FIGURES[0], before, after).unwrap()
    }

    #[test]
    fn a_difference_is_seen_where_there_is_one() {
        let even = series((0..60).map(|nth| 1000 + nth * 7 % 13));
        let more = series((0..60).map(|nth| 1100 + nth * 5 % 11));
        let uneven = series((0..60).map(|nth| 200 + nth * 37 % 60 * 30));
        assert!(verdict(&even, &even).contains("1.00 (1.00 … 1.00)  no difference seen"));
        assert!(verdict(&even, &more).ends_with("B is higher\n"), "{}", verdict(&even, &more));
        assert!(verdict(&more, &even).ends_with("B is lower\n"));
        assert!(verdict(&even, &uneven).ends_with("no difference seen\n"));
        assert!(verdict(&even[..5], &more).ends_with("1.10  too few intervals to say more\n"));
    }

    /// Of two series from the same distribution one in twenty may look different.
    #[test]
    fn equal_runs_seldom_look_different() {
        let mut chance = Chance(9);
        let mut run = || {
            series((0..60).map(|_| 1000 + chance.below(500) as u32).collect::<Vec<_>>().into_iter())
        };
        let differ = (0..40).filter(|_| !verdict(&run(), &run()).contains("no difference")).count();
        assert!(differ <= 6, "{differ} of 40");
    }

    #[test]
    fn what_one_of_them_does_not_have_is_left_out() {
        let (some, none) = (series(1..20), series(std::iter::repeat_n(0, 20)));
        assert_eq!(row(FIGURES[0], &some, &none), None);
        assert_eq!(row(FIGURES[2], &some, &some), None, "no server was watched");
        assert!(row(FIGURES[5], &some, &some).unwrap().contains("p99"));
    }

    /// They would have taken longer than was waited for them.
    #[test]
    fn what_never_came_is_told_of_each_percentile() {
        let before = Report { series: series(1..20), ..Report::default() };
        let mut after = before.clone();
        for interval in &mut after.series[..3] {
            interval.missing_at = ["p99_us", "max_us"].map(str::to_owned).into();
        }
        let said = remarks(&before, &after);
        let words = "in 3 of 19 intervals of B p99 falls on messages that never came";
        assert!(said.len() == 2 && said[1].starts_with(words), "{said:?}");
    }

    #[test]
    fn another_load_is_told() {
        let before = Report::default();
        let mut after = before.clone();
        assert_eq!(remarks(&before, &after).len(), 1);
        after.settings.members = 5;
        after.generator.limited = true;
        let remarks = remarks(&before, &after).join("\n");
        assert!(
            remarks.contains("not the same load") && remarks.contains("B was limited"),
            "{remarks}"
        );
    }
}
