//! Proves that clients we did not write understand the server: Python's `websockets` and Node's
//! `ws` exchange messages in one room, from different shards.

use crate::support::{PATIENCE, Server};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn python_and_node_exchange_messages_across_shards() {
    let server = Server::start(&[]);
    let url = format!("ws://{}/ws", server.address());

    let mut python = Process::start(Command::new(installed("venv/bin/python")).args([
        clients("exchange.py").as_os_str(),
        url.as_ref(),
        "python".as_ref(),
    ]));
    let shard = python.read_shard();
    // The first of the two is in the room before the second comes.
    assert_eq!(python.read_line(), "joined");

    let mut node = Process::start(
        Command::new("node")
            .env("NODE_PATH", installed("node/node_modules/ws").parent().unwrap())
            .args([clients("exchange.mjs").as_os_str(), url.as_ref(), "node".as_ref()])
            .args(["--not-on", &shard]),
    );
    assert_ne!(node.read_shard(), shard, "the two are on different shards");
    for (name, process) in [("python", &mut python), ("node", &mut node)] {
        process.assert_success(name);
    }
}

/// What `scripts/setup` installed. To pass without it would prove nothing, so its absence fails.
pub(crate) fn installed(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(path);
    assert!(path.exists(), "{} is missing: scripts/setup installs it", path.display());
    path
}

pub(crate) fn clients(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script)
}

pub(crate) struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// The scripts end by themselves after a deadline of their own, so a read cannot hang.
    pub(crate) fn read_line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn read_shard(&mut self) -> String {
        let line = self.read_line();
        let shard = line.strip_prefix("shard ").unwrap_or_else(|| panic!("no shard in {line:?}"));
        shard.to_owned()
    }

    pub(crate) fn assert_success(&mut self, name: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return assert!(status.success(), "{name} ended with {status}"),
                None => assert!(Instant::now() < end, "{name} does not end"),
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
