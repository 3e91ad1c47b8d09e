//! From settings to running shards.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use corecast_shards::{Config, Permissions, Shard, ShardId};
use crossbeam_channel::{Sender, bounded};

use super::cores::choose_cores;
use super::executor::executor;
use super::fatal::or_die;
use super::hub::Hub;
use super::inbox::{Inbox, Inboxes};
use super::kernel::{self, Syscall};
use super::listen::listen;
use super::mesh::Mesh;
use super::process::Process;
use super::ring::Doorbell;
use super::start_error::StartError;
use super::threads::{Threads, become_shard_thread};
use super::turn::{Core, Keeping, Parts};
use super::{preflight, sys};
use crate::broadcaster::Broadcaster;
use crate::handler::caught_at_once;
use crate::http::check_routes;
use crate::program::{Handlers, Program};
use crate::server::Sizing;
use crate::settings::{Sends, Settings};

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) address: SocketAddr,
    pub(crate) sizing: Sizing,
    pub(crate) process: Arc<Process>,
    pub(crate) inboxes: Inboxes,
    pub(crate) threads: Threads,
}

/// Checks what can be checked, then starts one thread per shard and waits until all listen.
pub(crate) fn start(settings: Settings, program: &Program) -> Result<Started, StartError> {
    check_routes(&program.routes).map_err(|message| StartError::Route { message })?;
    let (cores, sizing) = choose_cores(settings.shards)?;
    preflight::check_io_uring(cores.len())?;
    let mut limits = settings.limits.clone();
    limits.mesh_bytes = limits.ring_bytes();
    Mesh::divide(&mut limits, cores.len());
    preflight::check_descriptors(cores.len(), &mut limits)?;
    let (address, listeners) = listen(&settings.listen, settings.send_buffer, cores.len())?;
    let config = Config {
        shards: u16::try_from(cores.len()).expect("checked when the cores were chosen"),
        seed: random_seed()?,
        slow: settings.slow,
        limits,
        hooks: program.hooks(),
        ..Config::default()
    };
    let process = Arc::new(Process::new(config.clone(), settings.rules(address), cores));
    let (inboxes, threads) = spawn_shards(&config, &process, listeners, program, settings.sends)?;
    kernel::arm();
    Ok(Started { address, sizing, process, inboxes, threads })
}

/// How long the shards that did start may take to stop when another did not. They have nothing to
/// do.
const STOP_MAX: Duration = Duration::from_secs(5);

/// One seed per process: for epochs, for the hash of room names, for generations.
fn random_seed() -> Result<u128, StartError> {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed)
        .map_err(|error| StartError::System(io::Error::other(error.to_string())))?;
    Ok(u128::from_ne_bytes(seed))
}

/// Starts the threads and waits until all listen. If one cannot, those that do are stopped.
fn spawn_shards(
    config: &Config,
    process: &Arc<Process>,
    listeners: Vec<TcpListener>,
    program: &Program,
    sends: Sends,
) -> Result<(Inboxes, Threads), StartError> {
    let bell = |index: usize| doorbell(shard_id(index), process);
    let bells: Result<Vec<_>, _> = (0..listeners.len()).map(bell).collect();
    let (bell_fds, doorbells): (Vec<_>, Vec<_>) =
        bells.map_err(StartError::System)?.into_iter().unzip();
    let (inboxes, shard_inboxes) = Inboxes::new(&doorbells);
    let mesh = Mesh::all(&doorbells, &config.limits);
    let (ready, answers) = bounded(listeners.len());
    let parts = listeners.into_iter().zip(bell_fds).zip(doorbells).zip(shard_inboxes).zip(mesh);
    let mut seeds = parts.enumerate().map(|(index, parts)| {
        let ((((listener, bell_fd), doorbell), inbox), mesh) = parts;
        ShardSeed {
            id: shard_id(index),
            config: config.clone(),
            process: Arc::clone(process),
            program: program.clone(),
            listener,
            bell_fd,
            doorbell,
            inbox,
            broadcaster: Broadcaster::new(inboxes.clone(), Arc::clone(process)),
            mesh,
            sends,
            ready: ready.clone(),
        }
    });
    let mut threads = Threads::default();
    let spawned = seeds.try_for_each(|seed| spawn(seed, &mut threads));
    drop(seeds);
    drop(ready);
    let all = spawned.map_err(StartError::System).and_then(|()| {
        (0..threads.len()).try_for_each(|_| answers.recv().unwrap_or(Err(StartError::Died)))
    });
    if let Err(error) = all {
        threads.end(&inboxes, Instant::now() + STOP_MAX);
        return Err(error);
    }
    Ok((inboxes, threads))
}

fn spawn(seed: ShardSeed, threads: &mut Threads) -> io::Result<()> {
    let (id, listener) = (seed.id, seed.listener.try_clone()?);
    let name = format!("corecast-{id}");
    let shard = move || {
        become_shard_thread();
        or_die(id, || seed.run());
    };
    let thread = thread::Builder::new().name(name).spawn(shard)?;
    threads.push(thread, listener);
    Ok(())
}

fn shard_id(index: usize) -> ShardId {
    ShardId::new(u16::try_from(index).expect("shards are counted in u16"))
}

/// A doorbell, and the descriptor that it makes ready.
fn doorbell(id: ShardId, process: &Arc<Process>) -> io::Result<(Arc<OwnedFd>, Doorbell)> {
    let fd = Arc::new(sys::event_fd()?);
    // Whoever holds a handle to the server, however long, keeps no descriptor with it.
    let (rung, process) = (Arc::downgrade(&fd), Arc::clone(process));
    let wake = move || {
        if let Some(rung) = rung.upgrade() {
            process.gauges(id).count_doorbell_write();
            wake(&rung, id, &process);
        }
    };
    Ok((fd, Doorbell::new(wake)))
}

/// Makes a doorbell's descriptor ready. A shard that slept through it would sleep for ever, so that
/// this is tried again for as long as it may be chance.
fn wake(bell: &OwnedFd, id: ShardId, process: &Process) {
    for _ in 0..WAKE_TRIES {
        match sys::signal(bell) {
            Ok(()) => return,
            Err(error) => {
                process.gauges(id).failures().note(Syscall::Signal, &error, process.now());
            }
        }
        thread::yield_now();
    }
    or_die(id, || panic!("its doorbell does not ring"));
}

/// A write of eight bytes to an event counter has nothing to fail of. One that fails so often in
/// turn always will.
const WAKE_TRIES: usize = 1000;

/// Everything that a shard's thread starts from.
struct ShardSeed {
    id: ShardId,
    config: Config,
    process: Arc<Process>,
    program: Program,
    listener: TcpListener,
    bell_fd: Arc<OwnedFd>,
    doorbell: Doorbell,
    inbox: Inbox,
    broadcaster: Broadcaster,
    mesh: Mesh,
    sends: Sends,
    ready: Sender<Result<(), StartError>>,
}

impl ShardSeed {
    fn run(self) {
        let executor = match executor(self.process.core_of(self.id)) {
            Ok(executor) => executor,
            Err(error) => return self.report(Err(error)),
        };
        let ready = self.ready.clone();
        executor.run(async move {
            let hub = match self.into_hub() {
                Ok(hub) => hub,
                Err(error) => return drop(ready.send(Err(error))),
            };
            // Nobody listens for the answer only when another shard has failed already.
            let _ = ready.send(Ok(()));
            drop(ready);
            hub.run().await.expect("the kernel's event queue works as long as the process has it");
            hub.end();
        });
    }

    fn into_hub(self) -> Result<Hub, StartError> {
        let shard = Shard::new(self.id, self.config);
        let keeping = match (self.program.authorize.is_some(), self.program.keeps_sessions()) {
            (true, _) => Keeping::Verdicts,
            (false, true) => Keeping::Sessions,
            (false, false) => Keeping::Nothing,
        };
        let permissions = self.program.commands.permissions(Permissions::default());
        let format = self.program.format();
        let handlers = caught_at_once(|| Handlers::new(self.program))
            .map_err(|panic| StartError::Program { message: panic })?;
        let (mesh, listener, inbox) = (self.mesh, self.listener, self.inbox);
        let (doorbell, process, sends) = (self.bell_fd, Arc::clone(&self.process), self.sends);
        let parts = Parts {
            shard,
            mesh,
            listener,
            doorbell,
            inbox,
            process,
            keeping,
            permissions,
            format,
            sends,
        };
        let core = Core::new(parts).map_err(StartError::System)?;
        Ok(Hub::new(core, self.doorbell, handlers, self.process, self.broadcaster))
    }

    fn report(&self, result: Result<(), StartError>) {
        // Nobody listens only when another shard has failed already.
        let _ = self.ready.send(result);
    }
}
