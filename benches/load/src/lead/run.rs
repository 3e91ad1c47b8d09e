//! One run from the first connection to the last figure: the thread that leads the others.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::SystemTime;

use super::progress::Progress;
use super::record::{Figures, Record};
use crate::client::handshake::ClientHandshake;
use crate::publish::publisher::{Publisher, Sent};
use crate::receive::reader::Reader;
use crate::receive::result::ReaderResult;
use crate::setup::plan::{Plan, Scenario};
use crate::watch::machine::{Machine, allow_descriptors};
use crate::watch::process::ServerProcess;
use crate::watch::sampler::Snapshot;
use crate::watch::shared::{Phase, Shared};

/// What became of publishing, and what a reader in the same thread found out.
type Published = (Sent, Option<ReaderResult>);

pub(crate) struct Run {
    pub(crate) shared: Arc<Shared>,
    pub(crate) process: Option<ServerProcess>,
    pub(crate) progress: Progress,
    readers: Vec<JoinHandle<Result<ReaderResult, String>>>,
    pub(crate) publisher: Option<JoinHandle<Result<Published, String>>>,
    /// Connections that we ended.
    pub(crate) dropped: u64,
    pub(crate) record: Record,
}

impl Run {
    pub(crate) fn start(plan: Plan, interrupted: Arc<AtomicBool>) -> Result<Self, String> {
        let spare = plan.churn.map_or(0, |churn| churn.spare(plan.common.connect_timeout));
        allow_descriptors(u64::from(plan.members) + u64::from(plan.publishers()) + spare)?;
        let mut process = match plan.common.pid.as_slice() {
            [] => None,
            pids => Some(ServerProcess::new(pids)?),
        };
        let progress = Progress::new(plan.common.quiet);
        let mut random = [0; 20];
        getrandom::fill(&mut random).map_err(|error| format!("no random numbers: {error}"))?;
        let (nonce, run) = random.split_at(16);
        let handshake = Arc::new(ClientHandshake::new(&plan, nonce));
        let of_publishers = ClientHandshake::of_publishers(&plan, nonce);
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
        if run.shared.plan.has_one_thread() {
            run.spawn_publisher(of_publishers, Some(handshake))?;
        } else {
            run.spawn_publisher(of_publishers, None)?;
            run.spawn_readers(&handshake)?;
        }
        Ok(run)
    }

    /// With the handshake of members their reader is in the same thread.
    fn spawn_publisher(
        &mut self,
        handshake: ClientHandshake,
        members: Option<Arc<ClientHandshake>>,
    ) -> Result<(), String> {
        if self.shared.plan.traffic.is_some() {
            let shared = self.shared.clone();
            let body = move || {
                let mut publisher = Publisher::open(shared.clone(), &handshake)?;
                let failed = |error| format!("publishing failed: {error}");
                if let Some(members) = members {
                    let reader = Reader::new(shared, members, 0).map_err(failed)?;
                    publisher = publisher.with_reader(reader).map_err(failed)?;
                }
                publisher.run().map_err(failed)
            };
            self.publisher = Some(spawn("publisher".to_owned(), body)?);
        }
        Ok(())
    }

    fn spawn_readers(&mut self, handshake: &Arc<ClientHandshake>) -> Result<(), String> {
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
    pub(crate) fn has_failed(&self) -> bool {
        let readers = self.readers.iter().any(JoinHandle::is_finished);
        readers || self.publisher.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Does what the plan says; the figures of it.
    pub(crate) fn go(mut self) -> Result<Figures, String> {
        match self.shared.plan.scenario {
            Scenario::Storm { .. } => self.storm(),
            Scenario::Hold { duration } => {
                self.connect();
                if self.has_members() {
                    self.keep(duration);
                }
            }
            Scenario::Broadcast | Scenario::Slow => {
                self.connect();
                if self.has_members() {
                    self.broadcast();
                }
            }
        }
        let shared = self.shared.clone();
        let machine = Machine::this();
        let (pids, record) = (self.process.as_ref().map(|p| p.pids().to_vec()), self.finish()?);
        let (record, mut outcome, sent) = record;
        if record.connected.opened == 0
            && let Some(kind) = outcome.tally.errors.first()
        {
            let address = shared.plan.address;
            return Err(format!("no connection to {address} came to be: {kind}{}", advice(kind)));
        }
        outcome.settle_stays(&shared);
        let last_members = outcome.fan_out.take().map(|fan_out| {
            let published = |stream| shared.taken_in(stream);
            fan_out.settle(shared.plan.streams, published, sent.unsent)
        });
        Ok(Figures { shared, machine, pids, record, outcome, last_members, sent })
    }

    /// Whether there is anybody to measure with.
    pub(crate) fn has_members(&self) -> bool {
        self.record.connected.opened > 0 && !self.has_failed()
    }

    fn finish(mut self) -> Result<(Record, ReaderResult, Sent), String> {
        self.shared.enter(Phase::End);
        self.progress.end();
        let mut outcome = ReaderResult::new();
        for reader in self.readers.drain(..) {
            outcome.merge(join(reader)?);
        }
        let published = self.publisher.take().map_or_else(|| Ok((Sent::new(), None)), join)?;
        let (sent, reader) = published;
        if let Some(reader) = reader {
            outcome.merge(reader);
        }
        Ok((self.record, outcome, sent))
    }

    pub(crate) fn snapshot(&mut self) -> Snapshot {
        Snapshot::take(&self.shared, self.process.as_mut(), self.dropped)
    }
}

/// What to do about an error that says no more than what has happened.
fn advice(kind: &str) -> &'static str {
    match kind.contains([';', '(']) {
        true => "",
        false => "; check that the server runs there",
    }
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
