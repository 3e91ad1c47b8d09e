//! Engine, baseline and floor side by side.
//!
//! In reading order: `plan` says what is measured, `system` how each server is started, `bench`
//! takes the measurements, `metric` and `table` hold them, `quotient` says what two latencies say of
//! each other, `failure` holds those that showed nothing, `machine` names where it was. `targets`
//! holds the table of targets. `report` is all of that; `markdown` and `html` (with `figure` and
//! `chart`) show it.

mod bench;
mod chart;
mod failure;
mod figure;
mod html;
mod machine;
mod markdown;
mod metric;
mod plan;
mod quotient;
mod report;
mod size;
mod system;
mod table;
mod targets;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bench::Bench;
use machine::Machine;
use plan::Plan;
use report::Report;
pub use size::Size;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// How much.
    pub size: Size,
    /// How often, unless it is as usual.
    pub rounds: Option<usize>,
    /// Rows of the table of targets; when there are some, nothing else is measured.
    pub only: Vec<String>,
    /// Where the reports go.
    pub folder: PathBuf,
}

/// What can be asked for instead of rows: the tables without the targets.
const TABLES: &str = "tables";

/// The rows that can be asked for.
pub fn rows() -> impl Iterator<Item = &'static str> {
    targets::names().chain([TABLES])
}

/// Measures, prints the tables, and leaves them in the folder as Markdown, JSON and HTML.
/// Returns whether every server delivered every message. Targets that are missed are listed.
///
/// # Errors
///
/// When a program is missing or the report cannot be written.
pub fn run(options: &CompareOptions) -> io::Result<bool> {
    let begin = Instant::now();
    let CompareOptions { size, rounds, only, folder } = options;
    let mut plan = Plan::new(*size);
    plan.rounds = rounds.unwrap_or(plan.rounds).max(1);
    let command =
        std::env::args().skip(1).fold("scripts/compare".to_owned(), |all, arg| all + " " + &arg);
    let machine = Machine::describe();
    let mut bench = Bench::new(&plan, folder)?;
    let has_tables = only.is_empty() || only.iter().any(|row| row == TABLES);
    let tables = if has_tables { bench.run()? } else { Vec::new() };
    let mut failures = bench.into_failures();
    let targets = targets::run(only, *size, *rounds, folder, &mut failures)?;
    let seconds = begin.elapsed().as_secs_f64();
    let caution = size.caution();
    let report = Report { command, machine, caution, plan, seconds, targets, tables, failures };
    write(&report, folder)?;
    for missed in targets::missed(&report.targets) {
        println!("missed: {missed}");
    }
    for undecided in targets::undecided(&report.targets) {
        println!("undecided: {undecided}");
    }
    Ok(report.failures.is_empty())
}

fn write(report: &Report, folder: &Path) -> io::Result<()> {
    let markdown = markdown::render(report);
    fs::write(folder.join("report.md"), &markdown)?;
    fs::write(folder.join("report.json"), serde_json::to_vec_pretty(report)?)?;
    fs::write(folder.join("report.html"), html::render(report))?;
    println!("{markdown}");
    println!("written to {}/report.{{md,json,html}}", folder.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::failure::Failure;
    use super::table::Table;
    use super::*;

    #[test]
    fn a_failure_is_on_every_page() {
        let mut table =
            Table::new("room".to_owned(), ["engine", "x"].map(String::from).into_iter());
        table.systems[0].push(metric::Metric::CpuAt(50), 1, Some(1e-7));
        table.systems[1].failed = true;
        let what = "lost: 1 <of 2>".to_owned();
        let failure =
            Failure { system: "x".to_owned(), subject: "room".to_owned(), round: 1, what };
        let report = Report {
            command: "scripts/compare --quick".to_owned(),
            machine: Machine::describe(),
            caution: Size::Smoke.caution(),
            plan: Plan::new(Size::Quick),
            seconds: 1.0,
            targets: targets::sample(),
            tables: vec![table],
            failures: vec![failure],
        };
        let markdown = markdown::render(&report);
        assert!(markdown.contains("- **x**, room, round 1: lost: 1 <of 2>"), "{markdown}");
        assert!(
            markdown.contains(
                "| CPU per delivery at 50 messages/s | 100 ns (100 ns … 100 ns) | – | – |"
            )
        );
        assert!(markdown.contains("## Targets"), "{markdown}");
        assert!(markdown.contains("The figures mean nothing"), "{markdown}");
        let page = html::render(&report);
        assert!(page.contains("The figures mean nothing"));
        assert!(page.contains("<td data-of=\"engine ÷ x\">–</td>"), "{page}");
        assert!(page.contains("prefers-color-scheme"));
        assert!(Size::Quick.caution().is_none() && Size::Full.caution().is_none());
        assert!(html::render(&report).contains("<li>x, room, round 1: lost: 1 &lt;of 2&gt;</li>"));
    }
}
