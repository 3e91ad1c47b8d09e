//! `scripts/soak`, which builds everything and runs this.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use corecast_benches::soak::{self, SoakOptions};

/// Mixed load with churn; fails when memory grows, a descriptor leaks or a message is lost.
#[derive(Debug, Parser)]
#[command(name = "scripts/soak", max_term_width = 100)]
struct SoakArgs {
    /// How long; at least three cycles are run
    #[arg(long, value_name = "N", default_value_t = 60.0)]
    minutes: f64,

    /// Seconds of load between two looks at a server at rest
    #[arg(long, value_name = "N", default_value_t = 15)]
    cycle: u64,

    /// Where the load generator leaves its reports
    #[arg(long, value_name = "FOLDER", default_value = "target/soak")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let SoakArgs { minutes, cycle, out } = SoakArgs::parse();
    let Ok(duration) = Duration::try_from_secs_f64(minutes * 60.0) else {
        eprintln!("soak: --minutes is a positive number");
        return ExitCode::FAILURE;
    };
    let cycle = Duration::from_secs(cycle.max(1));
    match soak::run(&SoakOptions { duration, cycle, folder: out }) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}
