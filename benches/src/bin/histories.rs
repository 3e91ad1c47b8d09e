//! `scripts/histories`, which builds everything and runs this.

use std::process::ExitCode;

use clap::Parser;
use corecast_benches::histories::{self, HistoriesOptions, Order};

/// Fills rooms that keep messages; fails when memory differs from what is counted by a twentieth.
#[derive(Debug, Parser)]
#[command(name = "scripts/histories", max_term_width = 100)]
struct HistoriesArgs {
    /// How many rooms
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    rooms: u32,

    /// Messages that each of them keeps; 0 for rooms that keep nothing
    #[arg(long, value_name = "N", default_value_t = 50)]
    kept: usize,

    /// Bytes of each message's data
    #[arg(long, value_name = "N", default_value_t = 300)]
    payload: usize,

    /// Messages that each of them is sent at first, and once more afterwards
    #[arg(long, value_name = "N", default_value_t = 50)]
    rounds: usize,

    /// In which order rooms are published to in each round
    #[arg(long, value_name = "ORDER", default_value = "chance")]
    order: Order,

    /// Shards of the server
    #[arg(long, value_name = "N", default_value_t = 2)]
    shards: usize,

    /// Further flags of the server
    #[arg(last = true, value_name = "FLAG")]
    flags: Vec<String>,
}

fn main() -> ExitCode {
    let args = HistoriesArgs::parse();
    let options = HistoriesOptions {
        rooms: args.rooms as usize,
        kept: args.kept,
        payload_bytes: args.payload,
        rounds: args.rounds,
        order: args.order,
        shards: args.shards,
        flags: args.flags,
    };
    match histories::run(&options) {
        Ok(true) => {
            println!("passed: what is resident is what is counted");
            ExitCode::SUCCESS
        }
        Ok(false) => {
            println!("failed: what is resident is not what is counted");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("histories: {error}");
            ExitCode::FAILURE
        }
    }
}
