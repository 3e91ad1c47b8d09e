//! `corecast load`: puts load on a WebSocket server and checks every message that comes back.
//!
//! ```text
//! setup ─▶ lead ─┬─▶ publish (one thread): timetable or window ─▶ connections ─▶ server
//!                ├─▶ receive (threads): server ─▶ members ─▶ every message checked, latencies
//!                └─▶ watch: snapshots of what they share ─▶ report: table, JSON, page
//! ```
//!
//! | folder | question |
//! |---|---|
//! | `setup` | what was typed, and what will be done? |
//! | `client` | what goes over the wire? |
//! | `watch` | what do threads share, and what do they and the server cost? |
//! | `receive` | what has arrived, and what is missing? |
//! | `publish` | what is sent, and when? |
//! | `lead` | when does which part of a run begin and end? |
//! | `report` | what do people and programs get to read? |
//! | `search` | what is the greatest rate that holds? |
//!
//! Each folder imports only those above it, and [`units`].
//!
//! Invariant: every message that arrives is judged (lost, repeated, out of order); only latency is
//! recorded for a sample.
//!
//! Invariant: in the open loop, latency counts from when a message was due, whatever the server or
//! the generator did; a generator that had no time to be punctual, or to read, says so.
//!
//! Invariant: percentiles are over everything that was due. What never came took longest.
//!
//! On one core one thread publishes and receives.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test a panic is the report"))]

mod client;
mod lead;
mod publish;
mod receive;
pub mod report;
pub mod search;
mod setup;
pub mod units;
mod watch;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

pub use crate::setup::args::LoadArgs;

use crate::lead::run::Run;
use crate::report::outputs::Outputs;
use crate::report::{assertions, diff, json_text, merge, merged, page, table};
use crate::setup::args::ScenarioArgs;
use crate::setup::capacity::CapacityArgs;
use crate::setup::merge::MergeArgs;
use crate::setup::plan::Plan;

/// The exit code of a program that SIGINT ended, as shells have it.
const EXIT_INTERRUPTED: u8 = 130;

/// Runs a scenario, and writes what came of it where the arguments say: a table on standard output,
/// a page, JSON; searches for the greatest rate that holds; or compares or merges what came of others.
/// SIGINT and SIGTERM end it early, and the second one at once; the exit code says so.
///
/// # Errors
///
/// When the arguments make no sense together, no connection came to be, no rate held, a file cannot be
/// written, messages were lost, repeated, out of order or damaged, publishers or members that read
/// were let go before the end, an assertion does not hold, or `--strict` found a fault. It is a
/// sentence for people.
pub fn load(args: LoadArgs) -> Result<ExitCode, Box<dyn Error>> {
    let plan = match args.scenario {
        Some(ScenarioArgs::Diff(args)) => {
            show(&diff::text(&args)?)?;
            return Ok(ExitCode::SUCCESS);
        }
        Some(ScenarioArgs::Merge(args)) => return merged_reports(&args),
        Some(ScenarioArgs::Capacity(args)) => return capacity(&args),
        _ => Plan::new(args)?,
    };
    let outputs = Outputs::open(&plan.common)?;
    let figures = Run::start(plan, interrupted_by_signals()?)?.go()?;
    let (table, page) = (|| table::text(&figures), || page::page(&figures));
    write_results(&figures.report().text()?, table, page, outputs)?;
    if figures.shared.is_interrupted() {
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    }
    let asserted = assertions::failure(&figures.report().assertions);
    let faults: Vec<_> = figures.fault().into_iter().chain(asserted).collect();
    match faults.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(faults.join("; ").into()),
    }
}

/// Makes one report of several.
fn merged_reports(args: &MergeArgs) -> Result<ExitCode, Box<dyn Error>> {
    let outputs = Outputs::of(args.json.as_deref(), None)?;
    let (all, merged) = merge::merge(args)?;
    let table = || merged::text(args, &all, &merged);
    write_results(&merged.text()?, table, String::new, outputs)?;
    if merged.interrupted {
        return Ok(ExitCode::from(EXIT_INTERRUPTED));
    }
    let asserted = assertions::failure(&merged.assertions);
    let faults: Vec<_> = merged::fault(args, &merged).into_iter().chain(asserted).collect();
    match faults.is_empty() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(faults.join("; ").into()),
    }
}

/// Searches for the greatest rate that holds.
fn capacity(args: &CapacityArgs) -> Result<ExitCode, Box<dyn Error>> {
    let outputs = Outputs::open(&args.broadcast.common)?;
    let report = search::run::search(args, &interrupted_by_signals()?)?;
    let (table, page) = (|| search::table::text(&report), || search::page::page(&report));
    write_results(&json_text(&report)?, table, page, outputs)?;
    match search::run::fault(&report, args) {
        _ if report.interrupted => Ok(ExitCode::from(EXIT_INTERRUPTED)),
        None => Ok(ExitCode::SUCCESS),
        Some(why) => Err(why.into()),
    }
}

/// What SIGINT and SIGTERM set.
fn interrupted_by_signals() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one ends at once; the first one only asks to come to an end.
        flag::register_conditional_shutdown(signal, EXIT_INTERRUPTED.into(), interrupted.clone())?;
        flag::register(signal, interrupted.clone())?;
    }
    Ok(interrupted)
}

/// The table comes first: what was measured is to be seen, whatever becomes of the files.
fn write_results(
    json: &str,
    table: impl FnOnce() -> String,
    page: impl FnOnce() -> String,
    outputs: Outputs,
) -> Result<(), Box<dyn Error>> {
    let shown = match outputs.is_json_shown {
        true => show(json),
        false => show(&table()),
    };
    let json = outputs.json.map_or(Ok(()), |file| file.write(json));
    let page = outputs.page.map_or(Ok(()), |file| file.write(&page()));
    shown?;
    Ok(json.and(page)?)
}

fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
