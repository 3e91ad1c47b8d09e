//! A server that is not ours, and in another language, ended with the test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Certificate;

/// Speaks the same as [`Dialect::Plain`](super::Dialect::Plain), without faults.
pub(crate) struct Foreign {
    child: Child,
    scheme: &'static str,
    port: u16,
}

impl Foreign {
    /// A server of Node's `ws`.
    pub(crate) fn node() -> Self {
        let modules = installed("node/node_modules");
        Self::start(Command::new("node").env("NODE_PATH", modules).arg(script("rooms.mjs")))
    }

    /// The same, which compresses messages for whichever client offers it.
    pub(crate) fn node_compressed() -> Self {
        let modules = installed("node/node_modules");
        let mut node = Command::new("node");
        Self::start(node.env("NODE_PATH", modules).env("COMPRESS", "on").arg(script("rooms.mjs")))
    }

    /// The same with TLS.
    pub(crate) fn node_sealed(certificate: &Certificate) -> Self {
        let modules = installed("node/node_modules");
        let mut node = Command::new("node");
        node.env("NODE_PATH", modules).arg(script("rooms.mjs"));
        Self::start_sealed(&mut node, certificate)
    }

    /// A server of Python's `websockets`, which compresses unless it is forbidden to.
    pub(crate) fn python() -> Self {
        Self::start(Command::new(installed("venv/bin/python")).arg(script("rooms.py")))
    }

    /// The same with TLS.
    pub(crate) fn python_sealed(certificate: &Certificate) -> Self {
        let mut python = Command::new(installed("venv/bin/python"));
        Self::start_sealed(python.arg(script("rooms.py")), certificate)
    }

    fn start_sealed(command: &mut Command, certificate: &Certificate) -> Self {
        let mut server = Self::start(command.args([certificate.file(), certificate.key()]));
        server.scheme = "wss";
        server
    }

    fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self { child, scheme: "ws", port: line.trim().parse().expect("a port") }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}/", self.scheme, self.port)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // It may have ended by itself, which another assertion tells better.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `scripts/setup` installed. To pass without it would prove nothing, so its absence fails.
fn installed(path: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(path);
    assert!(path.exists(), "{} is missing: scripts/setup installs it", path.display());
    path
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/load/servers").join(name)
}
