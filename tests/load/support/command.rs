//! The command under test, and what it said.

use serde_json::Value;
use std::process::{Command, Stdio};

/// How `corecast load` ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) errors: String,
}

/// Runs `corecast load` with these arguments, to its end.
pub(crate) fn load(args: &[&str]) -> Run {
    let output = command(args).output().expect("the corecast binary starts");
    Run {
        code: output.status.code().expect("no signal ended it"),
        out: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The same, not yet started.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    command.arg("load").args(args).stdin(Stdio::null());
    command
}

impl Run {
    /// What it wrote for `--json -`.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.errors);
        self.report()
    }

    /// The same, however it ended.
    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {}", self.out))
    }
}
