//! `scripts/compare`, which builds everything and runs this.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use corecast_benches::compare::{self, Size};

/// Engine, baseline and floor side by side: what a delivery costs, how many there can be, how long
/// they take, and what a connection costs.
#[derive(Debug, Parser)]
#[command(name = "scripts/compare", max_term_width = 100)]
struct Args {
    /// One room of 1,000 members, 128 bytes, one shard, three systems: about 90 seconds
    #[arg(long)]
    quick: bool,

    /// The same programs for a moment each; for tests
    #[arg(long, hide = true, conflicts_with = "quick")]
    smoke: bool,

    /// How often everything is measured [default: 3 with --quick, else 5]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,

    /// Where the report goes
    #[arg(long, value_name = "FOLDER", default_value = "target/compare")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let Args { quick, smoke, rounds, out } = Args::parse();
    let size = match (quick, smoke) {
        (true, _) => Size::Quick,
        (_, true) => Size::Smoke,
        _ => Size::Full,
    };
    match compare::run(size, rounds, &out) {
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
