//! The command line: what was typed, what it means, what is done.

mod address;
mod args;
mod environment;
mod limit_args;
mod output;
mod room_flag;
mod serve;
mod token;
mod token_args;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

/// Parses, runs, and turns what went wrong into one line and exit code 1.
pub(crate) fn run() -> ExitCode {
    let outcome = match parse().command {
        args::Command::Serve(args) => serve::serve(&args).map(|()| ExitCode::SUCCESS),
        args::Command::Token(args) => token::print_token(&args).map(|()| ExitCode::SUCCESS),
        args::Command::Load(args) => corecast_load::load(*args),
        args::Command::TryExecutor { core } => return try_executor(core),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            // Standard error may be closed or full; the exit code says it all the same.
            let _ = output::print_error(format!("corecast: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// What keeps glommio from starting goes to the process that wants to know.
fn try_executor(core: Option<usize>) -> ExitCode {
    match corecast::try_executor(core) {
        Ok(()) => ExitCode::SUCCESS,
        Err(obstacle) => {
            // Without these words its exit code counts.
            let _ = output::print(obstacle);
            ExitCode::FAILURE
        }
    }
}

/// What was typed; ends the process with a message when that makes no sense, or asked for help.
fn parse() -> args::Args {
    let mut command = environment::prepare(args::Args::command());
    let matches = command.get_matches_mut();
    args::Args::from_arg_matches(&matches).unwrap_or_else(|error| error.format(&mut command).exit())
}
