//! A `corecast load` that is under way, to which something happens.

use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, ChildStderr, Command, Stdio};

use super::command::{Run, command};

pub(crate) struct Running {
    child: Child,
    progress: Lines<BufReader<ChildStderr>>,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the corecast binary starts");
        let progress = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, progress }
    }

    /// Waits until its progress says that this part of the run has begun.
    pub(crate) fn wait_for(&mut self, part: &str) {
        let begins = |line: std::io::Result<String>| line.unwrap().starts_with(part);
        assert!(self.progress.any(begins), "it never said {part}");
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Run {
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        let errors: Vec<_> = self.progress.map(Result::unwrap).collect();
        let code = self.child.wait().unwrap().code().expect("no signal ended it");
        Run { code, out, errors: errors.join("\n") }
    }
}

/// Sends a signal such as `STOP` to a process.
pub(crate) fn signal(name: &str, pid: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), pid]).status();
    assert!(sent.unwrap().success(), "{name} to {pid}");
}
