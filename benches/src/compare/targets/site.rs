//! Where rows measure: servers started in turn, loads that prove that every message arrived.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use corecast_load::report::Report;
use serde_json::Value;

use super::goal::{Goal, Verdict};
use super::scale::Scale;
use crate::baseline::{Queue, Writer};
use crate::certificate::OwnCertificate;
use crate::compare::plan::Cores;
use crate::compare::quotient::{Quotient, Taken};
use crate::compare::system::{Counters, System};
use crate::compare::table::Spread;
use crate::floor::Means;
use crate::load::{Broadcast, Crowd, Held, Load, fault, fault_among_slow, fault_of_messages};
use crate::process::{Server, sibling, stats};

/// Everything that a row measures with.
#[derive(Debug)]
pub(super) struct Site<'a> {
    pub(super) scale: Scale,
    folder: &'a Path,
    /// Counted from 1.
    round: usize,
    /// Why figures of this row are missing.
    remarks: RefCell<Vec<String>>,
    /// Goals of the row of which some round leaves open whether they are met.
    open: RefCell<BTreeSet<&'static str>>,
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
    cores: Cores,
}

/// What one run showed.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) run: Report,
    /// Seconds of the server's CPU per delivery.
    pub(super) cpu: Option<f64>,
    pub(super) messages_per_send: Option<f64>,
}

/// How long many connections may take to come to be, and how often that is looked at.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

impl<'a> Site<'a> {
    pub(super) fn new(scale: Scale, folder: &'a Path) -> io::Result<Site<'a>> {
        let help = Command::new(sibling("corecast")?).args(["serve", "--help"]).output()?;
        let has_means = String::from_utf8_lossy(&help.stdout).contains("--sends");
        Ok(Site {
            scale,
            folder,
            round: 1,
            remarks: RefCell::default(),
            open: RefCell::default(),
            has_means,
        })
    }

    pub(super) fn begin(&mut self, round: usize) {
        self.round = round;
    }

    /// Says with the row's figures why one of this round is missing.
    pub(super) fn remark(&self, remark: impl Display) {
        let remark = format!("round {}: {remark}", self.round);
        eprintln!("    {remark}");
        self.remarks.borrow_mut().push(remark);
    }

    /// Says so if the latencies of a side may be the generator's.
    pub(super) fn doubt(&self, side: &str, seen: &Seen) {
        let mut taken = [seen.taken(0.5), seen.taken(0.99)].into_iter().flatten();
        if taken.any(|taken| !taken.is_told()) {
            self.remark(format!("{side}: at most these latencies: the generator was late itself"));
        }
    }

    /// A percentile of one side's latency by that of another. Where the generator was late, the most
    /// that it may be, if that decides about the goal; else none, and the goal is not decided. The
    /// remarks tell between what it is.
    pub(super) fn latency_ratio(
        &self,
        goal: &Goal,
        [ours, theirs]: [&Seen; 2],
        percentile: f64,
    ) -> Option<f64> {
        let quotient = ours.taken(percentile)?.by(theirs.taken(percentile)?);
        if !quotient.is_narrow() {
            let Quotient { least, most, .. } = quotient;
            let (what, unit) = (self.scale.fill(goal.what), goal.unit);
            let between = match (least > 0.0, most.is_finite()) {
                (true, true) => format!("{} to {}", unit.format(least), unit.format(most)),
                (false, true) => format!("at most {}", unit.format(most)),
                (true, false) => format!("at least {}", unit.format(least)),
                (false, false) => "anything".to_owned(),
            };
            self.remark(format!("{what}: {between}: the generator was late itself"));
        }
        let judged = judged(goal, quotient);
        if judged.is_none() {
            self.open.borrow_mut().insert(goal.what);
        }
        judged
    }

    /// Which goals are not decided, whatever the figures of other rounds say.
    pub(super) fn take_open(&self) -> BTreeSet<&'static str> {
        self.open.take()
    }

    /// What was said of the row.
    pub(super) fn take_remarks(&self) -> Vec<String> {
        self.remarks.take()
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
        let mut command = side.system.command(&program, &cores.server);
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
        Ok(Running { site: self, system, is_sealed, server, load, cores })
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
        Side::of(System::Baseline { queue, writer: Writer::Batched, threads: 1 }, 1)
    }

    /// The baseline with so many threads.
    pub(super) fn baseline_on(threads: usize) -> Side {
        Side::of(System::baseline(threads), threads)
    }

    /// The registry as it is usually written.
    pub(super) fn usual() -> Side {
        Side::of(System::usual(1), 1)
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
    pub(super) fn name(&self) -> String {
        self.system.name()
    }

    pub(super) fn window(&self, window: usize) -> usize {
        self.system.window(window)
    }

    /// One load. A message that is missing, repeated, out of order or damaged is an error, and one
    /// that was due and could not be sent: then less was offered than to others.
    pub(super) fn broadcast(&self, broadcast: &Broadcast) -> io::Result<Seen> {
        self.broadcast_by(&self.load, broadcast)
    }

    /// The same with more than the server can take, so that not everything is sent.
    pub(super) fn flood(&self, broadcast: &Broadcast) -> io::Result<Seen> {
        let before = self.counters()?;
        let run = flooded(self.load.broadcast(&self.server, broadcast)?);
        self.check(fault(&run))?;
        self.seen(run, before)
    }

    fn broadcast_by(&self, load: &Load, broadcast: &Broadcast) -> io::Result<Seen> {
        let before = self.counters()?;
        let run = load.broadcast(&self.server, broadcast)?;
        self.check(fault(&run))?;
        self.seen(run, before)
    }

    /// One load, which may be more than the server can take, or the generator. What the server took
    /// has to be delivered all the same.
    pub(super) fn try_broadcast(&self, broadcast: &Broadcast) -> io::Result<Seen> {
        let before = self.counters()?;
        let run = self.load.broadcast(&self.server, broadcast)?;
        self.check(fault_of_messages(&run))?;
        self.seen(run, before)
    }

    /// One load, and how many connections the fullest shard has, of the mean of all.
    pub(super) fn broadcast_balanced(&self, broadcast: &Broadcast) -> io::Result<(Seen, f64)> {
        let (address, members) = (self.server.address(), broadcast.members);
        thread::scope(|scope| {
            // Before anything is published, so that it costs nothing that is measured.
            let fullest = scope.spawn(move || {
                wait_for_members(address, members)?;
                Ok(fullest(&stats(address)?))
            });
            let seen = self.broadcast(broadcast)?;
            let fullest: io::Result<Option<f64>> =
                fullest.join().map_err(|_| io::Error::other("panic"))?;
            Ok((seen, fullest?.ok_or_else(|| io::Error::other("no shard has connections"))?))
        })
    }

    /// The same with every tenth member not reading: what it misses has to be announced.
    pub(super) fn broadcast_with_slow(&self, broadcast: &Broadcast) -> io::Result<Seen> {
        let before = self.counters()?;
        let run = flooded(self.load.slow(&self.server, broadcast)?);
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
        wait_for_members(self.server.address(), crowd.connections)?;
        Ok(held)
    }

    /// A load while another one goes on beside it, which has to be delivered all the same. The
    /// other one's generator gives way to this one's, and both to a server with which they share
    /// their cores.
    pub(super) fn broadcast_beside(
        &self,
        broadcast: &Broadcast,
        other: &Broadcast,
    ) -> io::Result<Seen> {
        let (load, server) = (self.beside()?.yielding(), &self.server);
        let own = Load::new("target", self.cores.load.clone(), self.site.folder)?;
        let own = if self.cores.are_shared() { own.yielding() } else { own };
        let alone = server.descriptors()?;
        thread::scope(|scope| {
            let other_run = scope.spawn(move || load.broadcast(server, other));
            match self.system {
                System::Engine { .. } => wait_for_members(server.address(), other.members)?,
                // It does not tell. Its generator rests between joining and publishing.
                _ => wait_until(|| Ok(server.descriptors()? >= alone + other.members))?,
            }
            let seen = self.broadcast_by(&own, broadcast)?;
            let other_run = other_run.join().map_err(|_| io::Error::other("panic"))??;
            self.check(fault(&other_run))?;
            Ok(seen)
        })
    }

    /// Another generator on the same cores, whose rooms are others.
    fn beside(&self) -> io::Result<Load> {
        Load::new("beside", self.cores.load.clone(), self.site.folder)
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

    /// The same percentile as measured, and what of it was the server's at least.
    fn taken(&self, percentile: f64) -> Option<Taken> {
        let measured = if percentile > 0.5 { self.p99() } else { self.p50() };
        let measured = measured.filter(|seconds| *seconds > 0.0)?;
        let least = self.run.latency_at_least(percentile) / 1e6;
        Some(Taken { measured, least: least.min(measured) })
    }

    /// Seconds within which half of the deliveries were.
    pub(super) fn p50(&self) -> Option<f64> {
        self.run.latency_us.latency.p50.map(|micros| micros / 1e6)
    }

    /// The same of 99 %.
    pub(super) fn p99(&self) -> Option<f64> {
        self.run.latency_us.latency.p99.map(|micros| micros / 1e6)
    }
}

/// What was offered was too much on purpose, so that it is no fault if it was not all sent.
fn flooded(mut run: Report) -> Report {
    (run.messages.unsent, run.messages.published_share) = (0, None);
    run
}

fn wait_for_members(address: SocketAddr, count: usize) -> io::Result<()> {
    wait_until(|| {
        let stats = stats(address)?;
        let shards = stats["shards"].as_array().into_iter().flatten();
        let members: u64 = shards.filter_map(|shard| shard["memberships"].as_u64()).sum();
        Ok(members >= count as u64)
    })
}

fn wait_until(is_so: impl Fn() -> io::Result<bool>) -> io::Result<()> {
    let begin = Instant::now();
    while !is_so()? {
        if begin.elapsed() > PATIENCE {
            return Err(io::Error::other("members do not come to be"));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Connections of the shard that has the most, of the mean of all shards.
fn fullest(stats: &Value) -> Option<f64> {
    let shards = stats["shards"].as_array()?;
    let counts: Vec<f64> =
        shards.iter().filter_map(|shard| shard["connections"].as_f64()).collect();
    let most = counts.iter().copied().reduce(f64::max);
    ratio(most, Some(counts.iter().sum::<f64>() / counts.len() as f64))
}

/// What may be said of a ratio of latencies beside its bound.
fn judged(goal: &Goal, quotient: Quotient) -> Option<f64> {
    let Quotient { measured, least, most } = quotient;
    let ends = Spread { min: least, median: measured, max: most };
    match goal.judge(Some(ends)) {
        Verdict::Undecided => None,
        _ if quotient.is_narrow() || most.is_infinite() => Some(measured),
        _ => Some(most),
    }
}

/// One figure divided by another; none when either is missing or not positive.
pub(super) fn ratio(figure: Option<f64>, by: Option<f64>) -> Option<f64> {
    let is_figure = |value: &f64| value.is_finite() && *value > 0.0;
    Some(figure.filter(is_figure)? / by.filter(is_figure)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::compare::targets::goal::Unit;

    #[test]
    fn there_is_no_ratio_of_what_is_not_positive() {
        assert_eq!(ratio(Some(3.0), Some(2.0)), Some(1.5));
        for (figure, by) in [(-1.0, 2.0), (1.0, -2.0), (-1.0, -2.0), (0.0, 1.0), (1.0, 0.0)] {
            assert_eq!(ratio(Some(figure), Some(by)), None, "{figure} ÷ {by}");
        }
        assert_eq!((ratio(None, Some(1.0)), ratio(Some(1.0), None)), (None, None));
    }

    #[test]
    fn what_the_generator_leaves_open_decides_no_goal() {
        let goal = Goal::at_most("latency", Unit::Ratio, 1.0);
        let of = |measured, least, most| judged(&goal, Quotient { measured, least, most });
        assert_eq!(of(0.8, 0.75, 0.9), Some(0.8));
        assert_eq!(of(0.95, 0.9, 1.01), None, "however narrow");
        assert_eq!(of(0.5, 0.0, 1.0), Some(1.0), "the worst of what may be");
        assert_eq!(of(0.5, 0.0, 1.01), None);
        assert_eq!(of(2.0, 1.01, f64::INFINITY), Some(2.0));
        assert_eq!(of(2.0, 1.0, f64::INFINITY), None);
    }

    #[test]
    fn the_fullest_shard_is_compared_with_the_mean() {
        let stats = json!({"shards": [{"connections": 3}, {"connections": 5}]});
        assert_eq!(fullest(&stats), Some(1.25));
        assert_eq!(fullest(&json!({"shards": [{"connections": 0}]})), None);
    }
}
