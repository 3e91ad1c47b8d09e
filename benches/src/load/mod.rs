//! Runs the load generator, `corecast load`, and reads what it reports.

mod fault;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use corecast_load::report::Report;

#[cfg(test)]
pub(crate) use fault::report_of_lost;
pub use fault::{fault, fault_among_slow, fault_of_messages, is_rate_reached};

use crate::process::{Server, pinned, sibling};

/// The load generator, on cores of its own.
#[derive(Clone, Debug)]
pub struct Load {
    program: PathBuf,
    cores: Vec<usize>,
    name: String,
    report: PathBuf,
    yields: bool,
    /// The server's certificate, where it speaks TLS.
    certificate: Option<PathBuf>,
    /// Members offer compression.
    is_compressed: bool,
}

/// A load of broadcasts.
#[derive(Clone, Copy, Debug)]
pub struct Broadcast {
    /// Of all rooms together.
    pub members: usize,
    /// Rooms that members are spread over.
    pub rooms: usize,
    /// The share of the members that receive Server-Sent Events.
    pub event_streams: f64,
    /// Connections that publish; several rooms may share one.
    pub publishers: usize,
    /// Whether connections name their room in the handshake, so that they live where it does.
    pub place: bool,
    /// Bytes of each payload.
    pub payload_bytes: usize,
    /// Whether it is JSON that differs from message to message.
    pub is_json: bool,
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

/// Connections that only receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// How many.
    pub connections: usize,
    /// Rooms that they join, one each; 0 joins none.
    pub rooms: usize,
}

/// Connections that are held until this is dropped.
#[derive(Debug)]
pub struct Held(Child);

impl Held {
    /// Ends all connections at once, without a word and without waiting for it.
    ///
    /// # Errors
    ///
    /// When the generator has ended by itself.
    pub fn kill(&mut self) -> io::Result<()> {
        self.0.kill()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It is not waited for yet, so that its pid is still its own.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How fast messages are published in each room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many per second, whatever the server does.
    Rate(f64),
    /// As fast as this number of undelivered messages allows.
    Window(usize),
}

/// Rest between joining and publishing, unless what is measured is shorter.
const SETTLE_MAX: Duration = Duration::from_millis(200);

/// Silence after which what has not come is lost.
const DRAIN: Duration = Duration::from_secs(2);

/// The same where as much is under way as may be: before what is measured comes what was not, and a
/// server that sends each message by itself takes seconds for it.
const DRAIN_OF_WINDOW: Duration = Duration::from_secs(10);

/// Nobody's run takes longer; a generator that hangs is ended.
const RUN_TIME_MAX: Duration = Duration::from_secs(300);

impl Load {
    /// The generator that was built beside this program. Its reports go through a file in this
    /// folder, and its rooms have names of their own.
    ///
    /// # Errors
    ///
    /// When it is not built.
    pub fn new(name: &str, cores: Vec<usize>, folder: &Path) -> io::Result<Load> {
        let report = folder.join(format!("{name}.json"));
        let name = name.to_owned();
        let program = sibling("corecast")?;
        Ok(Load {
            program,
            cores,
            name,
            report,
            yields: false,
            certificate: None,
            is_compressed: false,
        })
    }

    /// Runs only while nobody else wants the core (`SCHED_IDLE`), so that a server on the same core
    /// never waits for its own readers.
    pub fn yielding(self) -> Load {
        Load { yields: true, ..self }
    }

    /// To a server with TLS, which shows this certificate.
    pub fn over_tls(self, certificate: PathBuf) -> Load {
        Load { certificate: Some(certificate), ..self }
    }

    /// Members offer compression, and refuse a server that does not agree.
    pub fn compressed(self) -> Load {
        Load { is_compressed: true, ..self }
    }

    /// Publishes to rooms full of members.
    ///
    /// # Errors
    ///
    /// When the generator fails; its own words are on standard error.
    pub fn broadcast(&self, server: &Server, broadcast: &Broadcast) -> io::Result<Report> {
        let mut command = self.command("broadcast", server);
        let drain = match broadcast.pace {
            Pace::Rate(_) => DRAIN,
            Pace::Window(_) => DRAIN_OF_WINDOW,
        };
        push_traffic(&mut command, broadcast, drain);
        self.run(command)
    }

    /// The same, with every tenth member reading nothing.
    ///
    /// # Errors
    ///
    /// As for [`broadcast`](Load::broadcast).
    pub fn slow(&self, server: &Server, broadcast: &Broadcast) -> io::Result<Report> {
        let mut command = self.command("slow", server);
        command.args(["--share", "10%", "--read-rate", "0"]);
        push_traffic(&mut command, broadcast, DRAIN);
        self.run(command)
    }

    /// Connects and drops in waves.
    ///
    /// # Errors
    ///
    /// As for [`broadcast`](Load::broadcast).
    pub fn storm(&self, server: &Server, storm: &Storm) -> io::Result<Report> {
        let mut command = self.command("storm", server);
        command.args(["--connections", &storm.connections.to_string()]);
        command.args(["--rooms", &storm.rooms.to_string()]);
        command.args(["--waves", &storm.waves.to_string()]);
        command.args(["--stay", "500ms", "--pause", "500ms"]);
        command.args(["--goodbye", if storm.says_goodbye { "close" } else { "reset" }]);
        self.run(command)
    }

    /// Opens connections, spreads them over so many rooms (none joins none), and holds them.
    ///
    /// # Errors
    ///
    /// As for [`broadcast`](Load::broadcast).
    pub fn hold(&self, server: &Server, crowd: Crowd, time: Duration) -> io::Result<Report> {
        let mut command = self.command("hold", server);
        push_crowd(&mut command, crowd, time);
        self.run(command)
    }

    /// The same in a process of its own, until what is returned is dropped: as if the machine of
    /// all these clients had died.
    ///
    /// # Errors
    ///
    /// When the generator cannot be started. That everybody is connected, the server's own figures
    /// tell.
    pub fn hold_beside(&self, server: &Server, crowd: Crowd) -> io::Result<Held> {
        let mut command = pinned(&self.program, &self.cores);
        self.push_common(&mut command, "hold", server);
        push_crowd(&mut command, crowd, RUN_TIME_MAX);
        Ok(Held(command.stdout(Stdio::null()).spawn()?))
    }

    fn command(&self, scenario: &str, server: &Server) -> Command {
        let mut load = pinned(&self.program, &self.cores);
        self.push_common(&mut load, scenario, server);
        load.arg("--json").arg(&self.report);
        let mut command = Command::new("timeout");
        command.arg(RUN_TIME_MAX.as_secs().to_string());
        if self.yields {
            command.args(["chrt", "--idle", "0"]);
        }
        command.arg(load.get_program()).args(load.get_args());
        command
    }

    fn push_common(&self, load: &mut Command, scenario: &str, server: &Server) {
        let scheme = if self.certificate.is_some() { "wss" } else { "ws" };
        load.args(["load", scenario, &format!("{scheme}://{}/ws", server.address())]);
        if let Some(certificate) = &self.certificate {
            load.arg("--ca").arg(certificate);
        }
        if self.is_compressed {
            load.arg("--deflate");
        }
        // What was lost is in the report, and what that means is for its reader.
        load.args(["--threads", "1", "--quiet", "--lenient", "--pid", &server.pid().to_string()]);
        load.args(["--room-name", &format!("{}-", self.name)]);
    }

    /// A generator that is not content is one whose report shows a fault, or one that failed.
    fn run(&self, mut command: Command) -> io::Result<Report> {
        if self.report.exists() {
            fs::remove_file(&self.report)?;
        }
        let output = command.output()?;
        let report = fs::read(&self.report).and_then(|json| Ok(serde_json::from_slice(&json)?));
        let shows_why = |report: &Report| fault(report).is_some() || report.messages.unsent > 0;
        match report {
            report if output.status.success() => report,
            Ok(report) if shows_why(&report) => Ok(report),
            _ => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().rev().find(|line| !line.trim().is_empty());
                let (status, last) = (output.status, last.unwrap_or_default());
                Err(io::Error::other(format!("load generator: {status}: {last}")))
            }
        }
    }
}

fn push_traffic(command: &mut Command, broadcast: &Broadcast, drain: Duration) {
    command.args(["--members", &broadcast.members.to_string()]);
    command.args(["--rooms", &broadcast.rooms.to_string()]);
    if broadcast.event_streams > 0.0 {
        command.args(["--event-streams", &format!("{}%", 100.0 * broadcast.event_streams)]);
    }
    command.args(["--publishers", &broadcast.publishers.to_string()]);
    if broadcast.place {
        command.arg("--place");
    }
    command.args(["--size", &broadcast.payload_bytes.to_string()]);
    command.args(["--payload", if broadcast.is_json { "json" } else { "text" }]);
    match broadcast.pace {
        Pace::Rate(rate) => command.args(["--rate", &format!("{rate:.3}")]),
        Pace::Window(window) => command.args(["--window", &window.to_string()]),
    };
    command.args(["--settle", &millis(broadcast.duration.min(SETTLE_MAX))]);
    command.args(["--warm-up", &millis(broadcast.warm_up)]);
    command.args(["--duration", &millis(broadcast.duration), "--drain", &millis(drain)]);
}

fn push_crowd(command: &mut Command, crowd: Crowd, time: Duration) {
    command.args(["--connections", &crowd.connections.to_string()]);
    command.args(["--rooms", &crowd.rooms.to_string(), "--duration", &millis(time)]);
}

fn millis(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}
