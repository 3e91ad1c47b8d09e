//! `scripts/reconnect`, which builds everything and runs this.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use corecast_benches::reconnect::{self, ReconnectOptions};

/// Cuts all clients off at once and lets them come back; fails when one of them misses a message.
#[derive(Debug, Parser)]
#[command(name = "scripts/reconnect", max_term_width = 100)]
struct ReconnectArgs {
    /// How many clients
    #[arg(long, value_name = "N", default_value_t = 15_000)]
    clients: usize,

    /// Rooms that they are spread over
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = clap::value_parser!(u16).range(1..))]
    rooms: u16,

    /// Messages per second, of all rooms together
    #[arg(long, value_name = "N", default_value_t = 300.0)]
    rate: f64,

    /// Bytes of each message's data
    #[arg(long, value_name = "N", default_value_t = 128)]
    payload: usize,

    /// Seconds that they stay away
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    away: f64,

    /// Seconds in which they come back
    #[arg(long, value_name = "N", default_value_t = 5.0)]
    within: f64,

    /// Shards of the server
    #[arg(long, value_name = "N", default_value_t = 1)]
    shards: usize,

    /// Further flags of the server
    #[arg(last = true, value_name = "FLAG")]
    flags: Vec<String>,
}

fn main() -> ExitCode {
    let args = ReconnectArgs::parse();
    let time = Duration::try_from_secs_f64;
    let (Ok(away), Ok(within)) = (time(args.away), time(args.within)) else {
        eprintln!("reconnect: --away and --within are positive numbers of seconds");
        return ExitCode::FAILURE;
    };
    let mut flags = vec!["--room".to_owned(), "room-*:history=1000,history-bytes=1MiB".to_owned()];
    flags.extend(args.flags);
    let options = ReconnectOptions {
        clients: args.clients,
        rooms: args.rooms.into(),
        rate: args.rate,
        payload_bytes: args.payload,
        away,
        within,
        shards: args.shards,
        flags,
    };
    match reconnect::run(&options) {
        Ok(true) => {
            println!("passed: every client has every message, once and in order");
            ExitCode::SUCCESS
        }
        Ok(false) => {
            println!("failed: see what was heard in all");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("reconnect: {error}");
            ExitCode::FAILURE
        }
    }
}
