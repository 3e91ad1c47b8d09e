//! What a search found, as a page.

use super::report::{CapacityReport, TrialReport};
use super::table::{by_rate, headline, remarks, result, row};
use crate::report::chart::{Axis, Chart, Line, Scale};
use crate::report::charts::{cores_axis, latency_axis, write_count};
use crate::report::page::Document;
use crate::report::table::Section;

pub(crate) fn page(report: &CapacityReport) -> String {
    let trials = by_rate(report);
    let mut page = Document::new("capacity", &headline(report));
    page.remark(&result(report));
    remarks(report).iter().for_each(|remark| page.remark(remark));
    page.charts(&[latency(&trials), cpu(&trials)]);
    let rows = trials.iter().map(|trial| row(trial)).collect();
    page.sections(&[Section { title: "Runs, by messages per second and room", rows }]);
    page.finish(&report.machine, &format!("{} runs.", report.trials.len()))
}

fn rate_axis() -> Axis {
    Axis { label: "messages/s per room (logarithmic)", scale: Scale::Decades, write: write_count }
}

fn line(
    name: &'static str,
    trials: &[&TrialReport],
    value: impl Fn(&TrialReport) -> Option<f64>,
) -> Line {
    let point = |trial: &&TrialReport| Some((trial.rate_per_room, value(trial)?));
    Line { name, points: trials.iter().map(point).collect() }
}

fn latency(trials: &[&TrialReport]) -> Chart {
    Chart {
        title: "Latency by rate",
        x: rate_axis(),
        y: latency_axis(),
        lines: vec![
            line("p50", trials, |trial| trial.nanos("p50")),
            line("p99", trials, |trial| trial.nanos("p99")),
        ],
    }
}

fn cpu(trials: &[&TrialReport]) -> Chart {
    let mut lines =
        vec![line("busiest thread of the generator", trials, |it| Some(it.generator_busy))];
    if trials.iter().any(|trial| trial.server_cpu.is_some()) {
        lines.insert(0, line("server", trials, |trial| trial.server_cpu));
    }
    Chart {
        // A single line has no legend.
        title: match lines.len() {
            1 => "CPU of the load generator by rate (with --pid of the server, too)",
            _ => "CPU by rate",
        },
        x: rate_axis(),
        y: cores_axis(),
        lines,
    }
}
