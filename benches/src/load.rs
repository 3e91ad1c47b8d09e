//! Runs the load generator, `corecast load`, and reads what it reports.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::process::{Server, pinned, sibling};

/// The load generator, on cores of its own.
#[derive(Clone, Debug)]
pub struct Load {
    program: PathBuf,
    cores: Vec<usize>,
    name: String,
    report: PathBuf,
}

/// A load of broadcasts.
#[derive(Clone, Copy, Debug)]
pub struct Broadcast {
    /// Of all rooms together.
    pub members: usize,
    /// Rooms, each with a publisher of its own.
    pub rooms: usize,
    /// Bytes of each payload.
    pub payload_bytes: usize,
    /// How fast.
    pub pace: Pace,
    /// Load that is not measured.
    pub warm_up: Duration,
    /// Load that is.
    pub duration: Duration,
}

/// Waves of connections.
#[derive(Clone, Copy, Debug)]
pub struct Storm {
    /// Of one wave.
    pub connections: usize,
    /// Rooms that they join.
    pub rooms: usize,
    /// How many waves.
    pub waves: usize,
    /// Whether they go with a close frame, or as if the machine had died.
    pub says_goodbye: bool,
}

/// How fast messages are published in each room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many per second, whatever the server does.
    Rate(f64),
    /// As fast as this number of undelivered messages allows.
    Window(usize),
}

/// One report, as far as it is used here.
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    /// What became of the connections.
    pub connections: Connections,
    /// What became of the messages.
    pub messages: Messages,
    /// When they arrived.
    pub latency_us: Latency,
    /// Errors by kind.
    #[serde(default)]
    pub errors: BTreeMap<String, u64>,
    /// The server's side.
    pub server: Option<ServerSide>,
    /// The generator's side.
    pub generator: Generator,
}

/// What became of the connections.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "these are the generator's names, which its --help explains")]
pub struct Connections {
    pub wanted: u64,
    pub opened: u64,
    pub failed: u64,
}

/// What became of the messages.
#[derive(Clone, Debug, Default, Deserialize)]
#[allow(missing_docs, reason = "these are the generator's names, which its --help explains")]
pub struct Messages {
    pub published: u64,
    pub delivered: u64,
    pub lost: u64,
    pub repeated: u64,
    pub disordered: u64,
    pub damaged: u64,
    pub skipped: u64,
    pub cut_off: u64,
    pub deliveries_per_second: f64,
}

/// Latencies in microseconds; none when there was nothing.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "these are the generator's names, which its --help explains")]
pub struct Latency {
    pub p50: Option<f64>,
    pub p99: Option<f64>,
}

/// The server's CPU and memory.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "these are the generator's names, which its --help explains")]
pub struct ServerSide {
    pub cpu_per_delivery_ns: Option<f64>,
    pub cpu_per_connect_ns: Option<f64>,
    pub rss_connected_bytes: f64,
}

/// The generator's own limits.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "these are the generator's names, which its --help explains")]
pub struct Generator {
    pub busy: f64,
    pub limited: bool,
}

/// Nobody's run takes longer; a generator that hangs is ended.
const RUN_TIME_MAX: &str = "300";

impl Load {
    /// The generator that was built beside this program. Its reports go through a file in this
    /// folder, and its rooms have names of their own.
    ///
    /// # Errors
    ///
    /// When it is not built.
    pub fn new(name: &str, cores: Vec<usize>, folder: &Path) -> io::Result<Load> {
        let report = folder.join(format!("{name}.json"));
        Ok(Load { program: sibling("corecast")?, cores, name: name.to_owned(), report })
    }

    /// Publishes to rooms full of members.
    ///
    /// # Errors
    ///
    /// When the generator fails; its own words are on standard error.
    pub fn broadcast(&self, server: &Server, broadcast: &Broadcast) -> io::Result<Run> {
        let mut command = self.command("broadcast", server);
        push_traffic(&mut command, broadcast);
        self.run(command)
    }

    /// The same, with every tenth member reading nothing.
    ///
    /// # Errors
    ///
    /// As for [`broadcast`](Load::broadcast).
    pub fn slow(&self, server: &Server, broadcast: &Broadcast) -> io::Result<Run> {
        let mut command = self.command("slow", server);
        command.args(["--share", "10%", "--read-rate", "0"]);
        push_traffic(&mut command, broadcast);
        self.run(command)
    }

    /// Connects and drops in waves.
    ///
    /// # Errors
    ///
    /// As for [`broadcast`](Load::broadcast).
    pub fn storm(&self, server: &Server, storm: &Storm) -> io::Result<Run> {
        let mut command = self.command("storm", server);
        command.args(["--connections", &storm.connections.to_string()]);
        command.args(["--rooms", &storm.rooms.to_string()]);
        command.args(["--waves", &storm.waves.to_string()]);
        command.args(["--stay", "500ms", "--pause", "500ms"]);
        command.args(["--goodbye", if storm.says_goodbye { "close" } else { "reset" }]);
        self.run(command)
    }

    /// Opens connections and holds them for this time.
    ///
    /// # Errors
    ///
    /// As for [`broadcast`](Load::broadcast).
    pub fn hold(&self, server: &Server, connections: usize, time: Duration) -> io::Result<Run> {
        let mut command = self.command("hold", server);
        command.args(["--connections", &connections.to_string(), "--duration", &millis(time)]);
        self.run(command)
    }

    fn command(&self, scenario: &str, server: &Server) -> Command {
        let mut load = pinned(&self.program, &self.cores);
        load.args(["load", scenario, &url(server.address())]);
        load.args(["--threads", "1", "--quiet", "--pid", &server.pid().to_string()]);
        load.args(["--room-name", &format!("{}-", self.name)]);
        load.arg("--json").arg(&self.report);
        let mut command = Command::new("timeout");
        command.arg(RUN_TIME_MAX).arg(load.get_program()).args(load.get_args());
        command
    }

    fn run(&self, mut command: Command) -> io::Result<Run> {
        let output = command.output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
            return Err(io::Error::other(format!("load generator: {}: {last}", output.status)));
        }
        Ok(serde_json::from_slice(&fs::read(&self.report)?)?)
    }
}

impl Run {
    /// What went wrong where everybody reads; none when every message arrived once and in order.
    pub fn fault(&self) -> Option<String> {
        let messages = &self.messages;
        let others = [
            ("skipped", messages.skipped),
            ("cut off", messages.cut_off),
            ("connections failed", self.connections.failed),
        ];
        let errors = self.errors.iter().map(|(kind, count)| (kind.as_str(), *count));
        name_faults(messages.faults().into_iter().chain(others).chain(errors))
    }

    /// What must not happen to a single message even where members do not read: those may be
    /// closed, and get nothing more then.
    pub fn fault_among_slow(&self) -> Option<String> {
        name_faults(self.messages.faults().into_iter())
    }
}

impl Messages {
    fn faults(&self) -> [(&'static str, u64); 4] {
        [
            ("lost", self.lost),
            ("repeated", self.repeated),
            ("out of order", self.disordered),
            ("damaged", self.damaged),
        ]
    }
}

fn name_faults<'a>(counts: impl Iterator<Item = (&'a str, u64)>) -> Option<String> {
    let faults = counts.filter(|(_, count)| *count > 0);
    let text: Vec<String> = faults.map(|(name, count)| format!("{name}: {count}")).collect();
    (!text.is_empty()).then(|| text.join(", "))
}

fn push_traffic(command: &mut Command, broadcast: &Broadcast) {
    command.args(["--members", &broadcast.members.to_string()]);
    command.args(["--rooms", &broadcast.rooms.to_string()]);
    command.args(["--publishers", &broadcast.rooms.to_string()]);
    command.args(["--size", &broadcast.payload_bytes.to_string()]);
    match broadcast.pace {
        Pace::Rate(rate) => command.args(["--rate", &format!("{rate:.1}")]),
        Pace::Window(window) => command.args(["--window", &window.to_string()]),
    };
    command.args(["--warm-up", &millis(broadcast.warm_up)]);
    command.args(["--duration", &millis(broadcast.duration), "--drain", "2s"]);
}

fn url(address: SocketAddr) -> String {
    format!("ws://{address}/ws")
}

fn millis(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

#[cfg(test)]
impl Run {
    /// A run in which so many messages were lost.
    pub(crate) fn sample(lost: u64) -> Run {
        let text = format!(
            r#"{{"format":1,"connections":{{"wanted":1,"opened":1,"failed":0}},
            "messages":{{"published":1,"delivered":1,"lost":{lost},"repeated":0,"disordered":0,
            "damaged":0,"skipped":0,"cut_off":0,"deliveries_per_second":1.5,"other":3}},
            "latency_us":{{"count":0,"p50":null,"p99":null}},
            "server":null,"generator":{{"busy":0.5,"limited":false,"threads":[]}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lost_message_is_a_fault() {
        assert_eq!(Run::sample(0).fault(), None);
        assert_eq!(Run::sample(1).fault().as_deref(), Some("lost: 1"));
    }

    #[test]
    fn only_slow_members_may_be_closed() {
        let mut run = Run::sample(0);
        run.errors.insert("closed 1013 slow".to_owned(), 2);
        assert_eq!(run.fault().as_deref(), Some("closed 1013 slow: 2"));
        assert_eq!(run.fault_among_slow(), None);
        assert_eq!(Run::sample(2).fault_among_slow().as_deref(), Some("lost: 2"));
    }
}
