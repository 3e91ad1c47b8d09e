//! The command line: what was typed, what it means, what is done.

mod args;
mod load;
mod serve;
mod units;

use std::process::ExitCode;

use clap::Parser;

/// Parses, runs, and turns what went wrong into one line and exit code 1.
pub(crate) fn run() -> ExitCode {
    let outcome = match args::Args::parse().command {
        args::Command::Serve(args) => serve::serve(&args),
        args::Command::Load(args) => load::load(*args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corecast: {error}");
            ExitCode::FAILURE
        }
    }
}
