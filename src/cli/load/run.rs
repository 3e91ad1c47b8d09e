//! One run from the first connection to the last figure: the thread that leads the others.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::clock::{nanos, seconds};
use super::figures::{Figures, Wave};
use super::handshake::Handshake;
use super::machine::{Machine, allow_descriptors};
use super::outcome::Outcome;
use super::plan::{Plan, Scenario, Traffic};
use super::process::Process;
use super::progress::Progress;
use super::publisher::{Publisher, Sent};
use super::reader::Reader;
use super::sampler::{Snapshot, tick};
use super::shared::{Phase, Shared};
use super::units::count;

pub(super) struct Run {
    pub(super) shared: Arc<Shared>,
    pub(super) process: Option<Process>,
    pub(super) progress: Progress,
    readers: Vec<JoinHandle<Result<Outcome, String>>>,
    publisher: Option<JoinHandle<Result<Sent, String>>>,
    /// Connections that we ended.
    pub(super) dropped: u64,
    pub(super) record: Record,
}

/// What is kept of a run for its figures.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) began: Option<SystemTime>,
    pub(super) before: Snapshot,
    pub(super) connected: Snapshot,
    /// While connecting.
    pub(super) climb: Vec<Snapshot>,
    /// From the mark to the end, and those between.
    pub(super) series: Vec<Snapshot>,
    pub(super) drained: Snapshot,
    pub(super) waves: Vec<Wave>,
}

/// How often the leading thread looks.
const LOOK: Duration = Duration::from_millis(20);
/// How often it tells.
const SHOW: Duration = Duration::from_millis(200);
/// Threads get this time to begin before the first message is due.
const HEAD_START: Duration = Duration::from_millis(50);
/// Waiting for the last messages ends here even if some still arrive.
const DRAIN_MAX: Duration = Duration::from_secs(120);

impl Run {
    pub(super) fn start(plan: Plan, interrupted: Arc<AtomicBool>) -> Result<Self, String> {
        allow_descriptors(u64::from(plan.members) + u64::from(plan.publishers()))?;
        let mut process = match plan.common.pid.as_slice() {
            [] => None,
            pids => Some(Process::new(pids)?),
        };
        let progress = Progress::new(plan.common.quiet);
        let mut random = [0; 20];
        getrandom::fill(&mut random).map_err(|error| format!("no random numbers: {error}"))?;
        let (nonce, run) = random.split_at(16);
        let handshake = Arc::new(Handshake::new(&plan, nonce));
        let shared = Arc::new(Shared::new(plan, interrupted, run));
        let before = Snapshot::take(&shared, process.as_mut(), 0);
        let record = Record { began: Some(SystemTime::now()), before, ..Record::default() };
        let mut run = Self {
            shared,
            process,
            progress,
            readers: Vec::new(),
            publisher: None,
            dropped: 0,
            record,
        };
        run.spawn(&handshake)?;
        Ok(run)
    }

    fn spawn(&mut self, handshake: &Arc<Handshake>) -> Result<(), String> {
        if self.shared.plan.traffic.is_some() {
            let (shared, handshake) = (self.shared.clone(), handshake.clone());
            let body = move || {
                let publisher = Publisher::open(shared, &handshake)?;
                publisher.run().map_err(|error| format!("publishing failed: {error}"))
            };
            self.publisher = Some(spawn("publisher".to_owned(), body)?);
        }
        for index in 0..self.shared.plan.threads {
            let (shared, handshake) = (self.shared.clone(), handshake.clone());
            let body = move || {
                let reader = Reader::new(shared, handshake, index);
                reader.and_then(Reader::run).map_err(|error| format!("receiving failed: {error}"))
            };
            self.readers.push(spawn(format!("reader-{index}"), body)?);
        }
        Ok(())
    }

    /// Whether a thread gave up; why, joining it will tell.
    pub(super) fn has_failed(&self) -> bool {
        let readers = self.readers.iter().any(JoinHandle::is_finished);
        readers || self.publisher.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Does what the plan says; the figures of it.
    pub(super) fn go(mut self) -> Result<Figures, String> {
        match self.shared.plan.scenario {
            Scenario::Storm { .. } => self.storm(),
            Scenario::Hold { duration } => {
                self.connect();
                self.keep(duration);
            }
            Scenario::Broadcast | Scenario::Slow => {
                self.connect();
                if !self.has_failed() {
                    self.broadcast();
                }
            }
        }
        let shared = self.shared.clone();
        let machine = Machine::this();
        let (pids, record) = (self.process.as_ref().map(|p| p.pids().to_vec()), self.finish()?);
        let (record, outcome, sent) = record;
        if record.connected.opened == 0
            && let Some(kind) = outcome.tally.errors.first()
        {
            let address = shared.plan.address;
            return Err(format!(
                "no connection to {address} came to be: {kind}; check that the server runs there"
            ));
        }
        Ok(Figures { shared, machine, pids, record, outcome, sent })
    }

    fn finish(mut self) -> Result<(Record, Outcome, Sent), String> {
        self.shared.enter(Phase::End);
        self.progress.end();
        let mut outcome = Outcome::new();
        for reader in self.readers.drain(..) {
            outcome.merge(&join(reader)?);
        }
        let sent = self.publisher.take().map_or_else(|| Ok(Sent::new()), join)?;
        Ok((self.record, outcome, sent))
    }

    pub(super) fn snapshot(&mut self) -> Snapshot {
        Snapshot::take(&self.shared, self.process.as_mut(), self.dropped)
    }

    /// Opens all connections and waits until each is ready or has failed.
    fn connect(&mut self) {
        self.progress.begin("connecting", u64::from(self.shared.plan.members));
        self.wait_for_publishers();
        self.shared.wave.store(1, Release);
        self.wait_for_members(0);
        self.record.connected = self.snapshot();
        self.shared
            .clock
            .sleep_until(self.shared.clock.now() + nanos(self.shared.plan.common.settle));
        if self.process.is_some() {
            // Memory settles a little later than connections do.
            self.record.connected = Snapshot { at: self.record.connected.at, ..self.snapshot() };
        }
    }

    fn wait_for_publishers(&self) {
        let is_needed = self.publisher.is_some();
        while is_needed && !self.shared.publisher.ready.load(Acquire) && !self.has_failed() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until so many more than before have become ready or failed as there are members.
    pub(super) fn wait_for_members(&mut self, before: u64) {
        let members = u64::from(self.shared.plan.members);
        let step = (members / 50).max(1);
        let mut next = step;
        while !self.shared.is_interrupted() && !self.has_failed() {
            let failed = self.shared.sum(|gauges| &gauges.failed);
            let ready = self.shared.sum(|gauges| &gauges.ready);
            let done = (ready + failed).saturating_sub(before);
            self.progress.show(done, &format!("{ready} connected, {failed} failed"));
            if done >= members {
                return;
            }
            if done >= next {
                next = done + step;
                let snapshot = self.snapshot();
                self.record.climb.push(snapshot);
            }
            std::thread::sleep(LOOK.min(Duration::from_millis(5)));
        }
    }

    fn broadcast(&mut self) {
        let shared = self.shared.clone();
        let Some(traffic) = &shared.plan.traffic else { return };
        let times = &shared.timetable;
        let start = shared.clock.now() + nanos(HEAD_START);
        let mark = start + nanos(traffic.warm_up);
        let end = mark + nanos(traffic.duration);
        times.start.store(start, Release);
        times.mark.store(mark, Release);
        times.end.store(end, Release);
        shared.enter(Phase::Publish);
        self.watch(mark, "warm-up");
        self.measure(mark, end, "measuring");
        self.drain(traffic);
    }

    /// Keeps connections for so long.
    fn keep(&mut self, duration: Duration) {
        let mark = self.shared.clock.now();
        self.measure(mark, mark + nanos(duration), "holding");
        self.record.drained = self.snapshot();
    }

    /// Takes snapshots from the mark to the end.
    pub(super) fn measure(&mut self, mark: u64, end: u64, title: &str) {
        let tick = nanos(tick(&self.shared.plan));
        self.progress.begin(title, (end - mark) / 1_000_000);
        let first = self.snapshot();
        self.record.series.push(first);
        let mut next = mark;
        while next < end && !self.shared.is_interrupted() {
            next = (next + tick).min(end);
            self.show_until(next, mark);
            let snapshot = self.snapshot();
            self.record.series.push(snapshot);
        }
    }

    /// Shows what goes on until then, or until interrupted.
    fn show_until(&mut self, then: u64, mark: u64) {
        let shared = self.shared.clone();
        while let now = shared.clock.now()
            && !shared.is_interrupted()
        {
            let message = speed(&shared, now, self.record.series.last(), self.dropped);
            self.progress.show(now.saturating_sub(mark) / 1_000_000, &message);
            if now >= then {
                return;
            }
            shared.clock.sleep_until(then.min(now + nanos(SHOW)));
        }
    }

    fn watch(&mut self, until: u64, title: &str) {
        let now = self.shared.clock.now();
        self.progress.begin(title, 1);
        let seconds = seconds(until.saturating_sub(now));
        self.progress.show(0, &format!("{seconds:.1} s"));
        self.wait_until(until);
    }

    /// Sleeps until then, or until interrupted.
    fn wait_until(&self, then: u64) {
        let clock = self.shared.clock;
        while !self.shared.is_interrupted() {
            let now = clock.now();
            if now >= then {
                return;
            }
            clock.sleep_until(then.min(now + nanos(LOOK)));
        }
    }

    /// Waits until everything published has arrived, or nothing has for too long.
    fn drain(&mut self, traffic: &Traffic) {
        self.progress.begin("draining", 1);
        let (clock, patience) = (self.shared.clock, nanos(traffic.drain));
        let began = clock.now();
        let (mut last, mut quiet_since) = (0, began);
        self.wait_for_publisher(patience);
        self.shared.enter(Phase::Drain);
        loop {
            std::thread::sleep(LOOK);
            let now = clock.now();
            let outstanding = self.shared.sum(|gauges| &gauges.outstanding);
            let received = self.shared.sum(|gauges| &gauges.received);
            if received != last {
                (last, quiet_since) = (received, now);
            }
            self.progress.show(0, &format!("{outstanding} messages have not arrived yet"));
            let is_over = now - quiet_since > patience || now - began > nanos(DRAIN_MAX);
            if outstanding == 0 || is_over {
                break;
            }
        }
        self.record.drained = self.snapshot();
    }

    /// Everything due is to be with the kernel first.
    fn wait_for_publisher(&self, patience: u64) {
        let by = self.shared.clock.now() + patience;
        while !self.shared.publisher.done.load(Acquire) && self.shared.clock.now() < by {
            std::thread::sleep(LOOK.min(Duration::from_millis(2)));
        }
    }
}

fn speed(shared: &Shared, now: u64, since: Option<&Snapshot>, dropped: u64) -> String {
    let (before, at) = since.map_or((0, now), |since| (since.received, since.at));
    let received = shared.sum(|gauges| &gauges.received) - before;
    let rate = received as f64 / seconds(now.saturating_sub(at)).max(f64::MIN_POSITIVE);
    let gone = dropped + shared.sum(|gauges| &gauges.closed);
    let connected = shared.sum(|gauges| &gauges.ready).saturating_sub(gone);
    format!("{connected} connections, {} messages/s received", count(rate))
}

type Outcomes<T> = JoinHandle<Result<T, String>>;

fn spawn<T: Send + 'static>(
    name: String,
    body: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<Outcomes<T>, String> {
    let thread = std::thread::Builder::new().name(name).spawn(body);
    thread.map_err(|error| format!("no thread can be started: {error}"))
}

fn join<T>(thread: JoinHandle<Result<T, String>>) -> Result<T, String> {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
