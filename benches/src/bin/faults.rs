//! `scripts/faults`, which builds everything and runs this.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use corecast_benches::faults::{self, FaultsOptions};

/// Makes system calls of a server fail at random; fails when that costs more than a connection.
///
/// The server is built with the feature `fault-injection`, in a folder of its own: no ordinary
/// build, and no ordinary test, has any of this in it.
#[derive(Debug, Parser)]
#[command(name = "scripts/faults", max_term_width = 100)]
struct FaultsArgs {
    /// How many faults are to happen, over as many seeds as it takes
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    faults: u64,

    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Seconds that clients are at work under each seed
    #[arg(long, value_name = "N", default_value_t = 3)]
    load: u64,

    /// After so many minutes no other seed begins
    #[arg(long, value_name = "N", default_value_t = 15)]
    minutes: u64,

    /// Where the logs of the servers are left
    #[arg(long, value_name = "FOLDER", default_value = "target/faults/logs")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let FaultsArgs { faults, seed, load, minutes, out } = FaultsArgs::parse();
    let options = FaultsOptions {
        faults,
        seed,
        load: Duration::from_secs(load.max(1)),
        longest: Duration::from_secs(minutes * 60),
        folder: out,
    };
    match faults::run(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("faults: {error}");
            ExitCode::FAILURE
        }
    }
}
