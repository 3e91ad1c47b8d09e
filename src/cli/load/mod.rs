//! `corecast load`: puts load on a WebSocket server and checks every message that comes back.
//!
//! ```text
//! args ─▶ plan ─▶ run ─┬─▶ publisher (one thread): timetable or window ─▶ outlets ─▶ server
//!                      ├─▶ readers (threads): server ─▶ members ─▶ intake ─▶ judges, recorder
//!                      └─▶ snapshots of what they share ─▶ figures ─▶ table, json, page
//! ```
//!
//! Invariant: every message that arrives is judged (lost, repeated, out of order); only latency is
//! recorded for a sample.
//!
//! Invariant: in the open loop, latency counts from when a message was due, whatever the server or
//! the generator did; a generator that had no time to be punctual says so.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "in a test a panic is the report"))]

// What was typed, and what it means.
mod args;
mod plan;
mod sources;
mod streams;
mod target;
mod template;

// What goes over the wire.
mod chunks;
mod frames;
mod handshake;
mod payload;
mod poller;
mod socket;
mod wire;

// Publishing.
mod outlet;
mod publisher;
mod timetable;
mod window;

// Receiving.
mod intake;
mod judge;
mod member;
mod notices;
mod opening;
mod outcome;
mod reader;
mod recorder;
mod slow;
mod tally;

// Leading and watching.
mod clock;
mod leading;
mod machine;
mod process;
mod progress;
mod run;
mod sampler;
mod shared;
mod storm;

// Telling.
mod chart;
mod charts;
mod figures;
mod json;
mod page;
mod points;
mod table;
mod units;

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

pub(super) use args::LoadArgs;
use figures::Figures;
use plan::Plan;
use run::Run;

/// The exit code of a program that SIGINT ended, as shells have it.
const EXIT_INTERRUPTED: i32 = 130;
/// As a file name: standard output.
const STANDARD_OUTPUT: &str = "-";

/// Runs a scenario and tells what came of it.
pub(super) fn load(args: LoadArgs) -> Result<(), Box<dyn Error>> {
    let plan = Plan::new(args)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one ends at once; the first one only asks to come to an end.
        flag::register_conditional_shutdown(signal, EXIT_INTERRUPTED, interrupted.clone())?;
        flag::register(signal, interrupted.clone())?;
    }
    let figures = Run::start(plan, interrupted)?.go()?;
    tell(&figures)?;
    if figures.shared.plan.common.strict && !figures.is_clean() {
        return Err("something went wrong with the messages or connections (--strict)".into());
    }
    Ok(())
}

fn tell(figures: &Figures) -> Result<(), Box<dyn Error>> {
    let common = &figures.shared.plan.common;
    let json = common.json.as_deref();
    let is_json_shown = json.is_some_and(|path| path.as_os_str() == STANDARD_OUTPUT);
    let mut out = std::io::stdout().lock();
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&json::json(figures))? + "\n";
        match is_json_shown {
            true => out.write_all(text.as_bytes())?,
            false => write_file(path, &text)?,
        }
    }
    if let Some(path) = &common.report {
        write_file(path, &page::page(figures))?;
    }
    if !is_json_shown {
        out.write_all(table::text(figures).as_bytes())?;
    }
    Ok(out.flush()?)
}

fn write_file(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}
