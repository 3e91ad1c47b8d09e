//! Where rows measure: servers started in turn, loads that prove that every message arrived.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use corecast_load::report::Report;

use super::scale::Scale;
use crate::baseline::Queue;
use crate::certificate::OwnCertificate;
use crate::compare::plan::Cores;
use crate::compare::system::{Counters, System};
use crate::floor::Means;
use crate::load::{Broadcast, Crowd, Held, Load, fault, fault_among_slow};
use crate::process::{Server, sibling, stats};

/// Everything that a row measures with.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) scale: Scale,
    folder: &'a Path,
    /// Counted from 1.
    round: usize,
    /// Messages per send that the engine needed last, which the floor sends at once, too.
    coalesce: Cell<usize>,
    /// Whether the engine can be told how it sends.
    pub(super) has_means: bool,
}

/// One server to be measured.
#[derive(Clone, Debug)]
pub(super) struct Side {
    system: System,
    flags: Vec<String>,
    cores: usize,
    /// Over TLS.
    is_sealed: bool,
    /// Members offer compression.
    is_compressed: bool,
}

/// A server that runs, and what loads it.
#[derive(Debug)]
pub(super) struct Running<'a> {
    site: &'a Site<'a>,
    system: System,
    is_sealed: bool,
    pub(super) server: Server,
    load: Load,
    load_cores: Vec<usize>,
}

/// What one run showed.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) run: Report,
    /// Seconds of the server's CPU per delivery.
    pub(super) cpu: Option<f64>,
    pub(super) messages_per_send: Option<f64>,
}

/// Before the engine was asked.
const COALESCE: usize = 64;
/// How long many connections may take to come to be, and how often that is looked at.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

impl<'a> Site<'a> {
    pub(super) fn new(scale: Scale, folder: &'a Path) -> io::Result<Site<'a>> {
        let help = Command::new(sibling("corecast")?).args(["serve", "--help"]).output()?;
        let has_means = String::from_utf8_lossy(&help.stdout).contains("--sends");
        Ok(Site { scale, folder, round: 1, coalesce: Cell::new(COALESCE), has_means })
    }

    pub(super) fn begin(&mut self, round: usize) {
        self.round = round;
    }

    /// Each side once, beginning with another one in each round; what they show, in the order in
    /// which they stand here.
    pub(super) fn each<T>(
        &self,
        sides: &[Side],
        measure: impl Fn(usize, &Running<'_>) -> io::Result<T>,
    ) -> io::Result<Vec<T>> {
        let count = sides.len();
        let mut seen: Vec<Option<T>> = sides.iter().map(|_| None).collect();
        for index in (0..count).map(|place| (place + self.round - 1) % count) {
            seen[index] = Some(measure(index, &self.start(&sides[index])?)?);
        }
        Ok(seen.into_iter().flatten().collect())
    }

    pub(super) fn start(&self, side: &Side) -> io::Result<Running<'_>> {
        let cores = Cores::split(&Cores::available(), side.cores);
        let program = side.system.program()?;
        let mut command = side.system.command(&program, &cores.server, self.coalesce.get());
        command.args(&side.flags);
        let mut load = Load::new("target", cores.load.clone(), self.folder)?;
        if side.is_compressed {
            load = load.compressed();
        }
        if side.is_sealed {
            let files = OwnCertificate::make(self.folder)?;
            command.arg("--tls-cert").arg(&files.certificate).arg("--tls-key").arg(&files.key);
            load = load.over_tls(files.certificate);
        }
        let server = Server::start(command)?;
        let (system, is_sealed) = (side.system, side.is_sealed);
        Ok(Running { site: self, system, is_sealed, server, load, load_cores: cores.load })
    }

    /// The floor gets enough to fill its sends as the engine does, which needs less under way:
    /// members that it comes to later in a pass get what arrived in it.
    pub(super) fn window(&self, running: &Running<'_>, window: usize) -> usize {
        match running.system {
            System::Floor { .. } => window.max(2 * self.coalesce.get()),
            _ => window,
        }
    }
}

impl Side {
    pub(super) fn engine(shards: usize) -> Side {
        Side::of(System::Engine { shards }, shards)
    }

    pub(super) fn floor(means: Means) -> Side {
        Side::of(System::Floor { means }, 1)
    }

    pub(super) fn baseline(queue: Queue) -> Side {
        Side::of(System::Baseline { queue, threads: 1 }, 1)
    }

    fn of(system: System, cores: usize) -> Side {
        Side { system, flags: Vec::new(), cores, is_sealed: false, is_compressed: false }
    }

    pub(super) fn with(mut self, flags: &[&str]) -> Side {
        self.flags.extend(flags.iter().map(|&flag| flag.to_owned()));
        self
    }

    /// Over TLS. Of such a server the counters are not read.
    pub(super) fn sealed(self) -> Side {
        Side { is_sealed: true, ..self }
    }

    /// To members that offer compression, and refuse a server that does not agree.
    pub(super) fn compressed(self) -> Side {
        Side { is_compressed: true, ..self }
    }

    /// May use so many cores, whatever the number of its shards.
    pub(super) fn on(self, cores: usize) -> Side {
        Side { cores, ..self }
    }
}

impl Running<'_> {
    /// One load. A message that is missing, repeated, out of order or damaged is an error.
    pub(super) fn broadcast(&self, broadcast: &Broadcast) -> io::Result<Seen> {
        self.broadcast_by(&self.load, broadcast)
    }

    fn broadcast_by(&self, load: &Load, broadcast: &Broadcast) -> io::Result<Seen> {
        let before = self.counters()?;
        let run = load.broadcast(&self.server, broadcast)?;
        let seen = self.seen(run, before)?;
        self.check(fault(&seen.run))?;
        if let (System::Engine { .. }, Some(messages)) = (self.system, seen.messages_per_send) {
            self.site.coalesce.set((messages.round() as usize).max(1));
        }
        Ok(seen)
    }

    /// The same with every tenth member not reading: what it misses has to be announced.
    pub(super) fn broadcast_with_slow(&self, broadcast: &Broadcast) -> io::Result<Seen> {
        let before = self.counters()?;
        let run = self.load.slow(&self.server, broadcast)?;
        self.check(fault_among_slow(&run))?;
        self.seen(run, before)
    }

    /// Opens connections and looks at the server for so long after the last handshake.
    pub(super) fn hold(&self, crowd: Crowd, time: Duration) -> io::Result<Report> {
        let run = self.load.hold(&self.server, crowd, time)?;
        self.check(fault(&run))?;
        Ok(run)
    }

    /// Connections that sit beside what is measured, once they are all there.
    pub(super) fn hold_beside(&self, crowd: Crowd) -> io::Result<Held> {
        let held = self.beside()?.hold_beside(&self.server, crowd)?;
        self.wait_for_members(crowd.connections)?;
        Ok(held)
    }

    /// A load while another one goes on beside it, which has to be delivered all the same. Both
    /// give way to the server, with which they share their cores.
    pub(super) fn broadcast_beside(
        &self,
        broadcast: &Broadcast,
        other: &Broadcast,
    ) -> io::Result<Seen> {
        let (load, server) = (self.beside()?.yielding(), &self.server);
        let own = Load::new("target", self.load_cores.clone(), self.site.folder)?.yielding();
        thread::scope(|scope| {
            let other_run = scope.spawn(move || load.broadcast(server, other));
            self.wait_for_members(other.members)?;
            let seen = self.broadcast_by(&own, broadcast)?;
            let other_run = other_run.join().map_err(|_| io::Error::other("panic"))??;
            self.check(fault(&other_run))?;
            Ok(seen)
        })
    }

    /// Another generator on the same cores, whose rooms are others.
    fn beside(&self) -> io::Result<Load> {
        Load::new("beside", self.load_cores.clone(), self.site.folder)
    }

    fn wait_for_members(&self, count: usize) -> io::Result<()> {
        let begin = Instant::now();
        while self.members()? < count as f64 {
            if begin.elapsed() > PATIENCE {
                return Err(io::Error::other("members do not come to be"));
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn members(&self) -> io::Result<f64> {
        let stats = stats(self.server.address())?;
        let shards = stats["shards"].as_array().into_iter().flatten();
        Ok(shards.filter_map(|shard| shard["memberships"].as_f64()).sum())
    }

    fn counters(&self) -> io::Result<Option<Counters>> {
        match self.is_sealed {
            true => Ok(None),
            false => Counters::read(self.system, self.server.address()),
        }
    }

    fn seen(&self, run: Report, before: Option<Counters>) -> io::Result<Seen> {
        let after = self.counters()?;
        let messages_per_send =
            before.zip(after).and_then(|(before, after)| after.messages_per_send_since(before));
        let cpu = run.server.as_ref().and_then(|it| it.cpu_per_delivery_ns).map(|ns| ns / 1e9);
        Ok(Seen { run, cpu, messages_per_send })
    }

    fn check(&self, fault: Option<String>) -> io::Result<()> {
        match fault {
            None => Ok(()),
            Some(fault) => Err(io::Error::other(format!("{}: {fault}", self.system.name()))),
        }
    }
}

impl Seen {
    pub(super) fn rate(&self) -> f64 {
        self.run.messages.deliveries_per_second
    }
}

/// One figure divided by another; none when either is missing.
pub(super) fn ratio(figure: Option<f64>, by: Option<f64>) -> Option<f64> {
    Some(figure? / by?).filter(|ratio| ratio.is_finite())
}
