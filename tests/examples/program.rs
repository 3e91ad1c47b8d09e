//! An example at work.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Every step takes milliseconds, but a browser's first; whoever waits this long waits in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where an example is built.
pub(crate) fn path_of(example: &str) -> PathBuf {
    let programs = Path::new(env!("CARGO_BIN_EXE_corecast")).parent().unwrap();
    programs.join("examples").join(example)
}

/// A started example, which ends with the test.
pub(crate) struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    /// Starts an example, and reads what it prints.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Program {
        let mut child = Command::new(path_of(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect(
                "examples are built beside the tests, by `cargo test` or `cargo build --examples`",
            );
        let (sender, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Program { child, lines }
    }

    /// The address that its next line tells, behind these words.
    pub(crate) fn address(&self, words: &str) -> String {
        let line = self.lines.recv_timeout(PATIENCE).expect("it says where it listens");
        line.strip_prefix(words).unwrap_or_else(|| panic!("{words:?} in {line:?}")).to_owned()
    }

    /// What it reads.
    pub(crate) fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// Presses Ctrl-C.
    pub(crate) fn interrupt(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    }

    /// Waits for its end, which is a good one.
    pub(crate) fn end(mut self) {
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
