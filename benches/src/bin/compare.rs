//! `scripts/compare`, which builds everything and runs this.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use corecast_benches::compare::{self, CompareOptions, Size};

/// Engine, baseline and floor side by side: what a delivery costs, how many there can be, how long
/// they take, what a connection costs, and whether the targets are met.
///
/// Exits with 1 when a server lost a message; a missed target is listed and is no failure.
#[derive(Debug, Parser)]
#[command(name = "scripts/compare", max_term_width = 100)]
struct CompareArgs {
    /// Three tables, and most targets at smaller sizes, once each: about 5 minutes
    #[arg(long)]
    quick: bool,

    /// The same programs for a moment each, to see that they work; the figures mean nothing
    #[arg(long, conflicts_with = "quick")]
    smoke: bool,

    /// How often everything is measured [default: 3; for targets 1 with --quick, else 1 to 5]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,

    /// Measure nothing but these rows of the table of targets, or `tables`; may be given several times
    #[arg(long, value_name = "ROW", value_parser = PossibleValuesParser::new(compare::rows()))]
    only: Vec<String>,

    /// Where the report goes
    #[arg(long, value_name = "FOLDER", default_value = "target/compare")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let CompareArgs { quick, smoke, rounds, only, out } = CompareArgs::parse();
    let size = match (quick, smoke) {
        (true, _) => Size::Quick,
        (_, true) => Size::Smoke,
        _ => Size::Full,
    };
    match compare::run(&CompareOptions { size, rounds, only, folder: out }) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("compare: FAILED: a server lost, repeated, reordered or damaged messages");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}
