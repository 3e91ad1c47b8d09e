//! From settings to running shards.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use corecast_shards::{Config, Hooks, Limits, Shard, ShardId};
use crossbeam_channel::{Receiver, Sender, bounded};

use super::addresses::Addresses;
use super::codecs::CODECS;
use super::cores::choose_cores;
use super::current_shard::enter;
use super::driver::{DriverInit, ShardDriver};
use super::driver_ref::DriverRef;
use super::event_loop::EventLoop;
use super::executor::ShardExecutor;
use super::fatal::or_die;
use super::handle::ShardHandle;
use super::inbox::{Inbox, Inboxes};
use super::journal::{JournalSet, ShardJournal};
use super::kernel::{self, Syscall};
use super::listen::listen;
use super::memory_limit::default_limit;
use super::mesh::Mesh;
use super::on_shard::Instantiate;
use super::ring::ShardWaker;
use super::server_state::ServerState;
use super::settings::{Sends, Settings};
use super::start_error::StartError;
use super::tasks::Tasks;
use super::threads::{Threads, become_shard_thread};
use super::tls::{Tls, Watch};
use super::{preflight, sys};
use crate::program::{Needs, catch_panic_now};
use crate::values::{Executor, ExecutorChoice, Sizing};

/// A program, as it was registered.
pub(crate) struct Plan<'a> {
    pub(crate) needs: Needs,
    /// Makes what brings it to life on one more shard.
    pub(crate) instantiate: &'a dyn Fn() -> Instantiate,
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) address: SocketAddr,
    pub(crate) sizing: Sizing,
    pub(crate) state: Arc<ServerState>,
    pub(crate) inboxes: Inboxes,
    pub(crate) threads: Threads,
    /// Reads certificates again when they change, if there are any.
    pub(crate) watch: Option<Watch>,
}

/// Checks what can be checked, then starts one thread per shard and waits until all listen.
pub(crate) fn start(settings: Settings, program: &Plan<'_>) -> Result<Started, StartError> {
    let (cores, sizing) = choose_cores(settings.shards)?;
    // It raises the limit of descriptors, which what looks for an executor needs.
    let limits = limits(&settings, cores.len())?;
    for remark in settings.rooms.remarks(&limits, cores.len()) {
        tracing::warn!("{remark}");
    }
    let executor = preflight::choose_executor(settings.executor, &cores, settings.trial)?;
    let tls = tls(&settings)?;
    let start_on =
        |executor| start_on(executor, &settings, &limits, program, &cores, sizing, tls.clone());
    let started = start_on(executor);
    let started = match started {
        Err(error @ (StartError::IoUring(_) | StartError::Executor(_)))
            if settings.executor == Executor::Auto =>
        {
            let executor = ExecutorChoice::Plain { obstacle: Some(error.obstacle()) };
            start_on(executor)
        }
        started => started,
    }?;
    tracing::info!("executor: {}", started.state.executor());
    Ok(started)
}

/// How connections are sealed, if certificates were given.
fn tls(settings: &Settings) -> Result<Option<Arc<Tls>>, StartError> {
    if settings.certificates.is_empty() {
        return Ok(None);
    }
    let tls = Tls::new(&settings.certificates);
    tls.map(|tls| Some(Arc::new(tls))).map_err(|reason| StartError::Tls { reason })
}

/// What was asked for, as far as it works here with so many shards.
fn limits(settings: &Settings, shards: usize) -> Result<Limits, StartError> {
    let mut limits = settings.limits.clone();
    limits.mesh_bytes = limits.ring_bytes();
    Mesh::divide(&mut limits, shards);
    preflight::check_descriptors(shards, &mut limits)?;
    if limits.memory_bytes == usize::MAX {
        limits.memory_bytes = default_limit().unwrap_or(usize::MAX);
    }
    limits.history_memory = limits.history_bytes();
    Ok(limits)
}

fn start_on(
    executor: ExecutorChoice,
    settings: &Settings,
    limits: &Limits,
    program: &Plan<'_>,
    cores: &[Option<usize>],
    sizing: Sizing,
    tls: Option<Arc<Tls>>,
) -> Result<Started, StartError> {
    let sends = match (settings.sends, &executor) {
        (Sends::Auto, ExecutorChoice::Plain { .. }) => Sends::Plain,
        (sends, _) => sends,
    };
    let config = Config {
        shards: u16::try_from(cores.len()).expect("checked when the cores were chosen"),
        seed: random_seed()?,
        slow: settings.slow,
        rooms: settings.rooms.clone(),
        limits: limits.clone(),
        codecs: settings.access.deflate.then_some(CODECS),
        hooks: hooks(settings, program),
        ..Config::default()
    };
    let (mut journal_set, journals) = match &settings.history_dir {
        Some(path) => {
            let (set, journals) = JournalSet::make(path, &config, random_seed()? as u64)?;
            (Some(set), journals.into_iter().map(Some).collect())
        }
        None => (None, cores.iter().map(|_| None).collect()),
    };
    let (address, listeners) = listen(&settings.listen, settings.send_buffer, cores.len())?;
    let mut rules = settings.rules(address);
    rules.rooms_named = program.needs.rooms_named(limits);
    let watch = tls.clone().map(Watch::start).transpose().map_err(StartError::System)?;
    let state = ServerState::new(
        config.clone(),
        rules,
        settings.proxy_protocol,
        Addresses::new(limits, &settings.limits),
        tls,
        cores.to_vec(),
        executor,
    );
    let state = match journal_set {
        // Ages of messages go on from one process to the next.
        Some(_) => state.begin_clock_at(sys::time_since_boot()),
        None => state,
    };
    let state = Arc::new(state);
    let mut set_current = || journal_set.as_mut().map_or(Ok(()), JournalSet::set_current);
    let starting = Starting { config: &config, state: &state, program, sends };
    let (inboxes, threads) = spawn_shards(&starting, listeners, journals, &mut set_current)?;
    kernel::arm();
    Ok(Started { address, sizing, state, inboxes, threads, watch })
}

/// What the shards need not handle themselves. Fresh tokens are verified by the program, or by the
/// keys that the server has for tokens.
fn hooks(settings: &Settings, program: &Plan<'_>) -> Hooks {
    let mut hooks = program.needs.hooks.clone();
    hooks.refresh |= !settings.access.keys.known().tokens.is_empty();
    hooks
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

/// What all shards start from.
struct Starting<'a> {
    config: &'a Config,
    state: &'a Arc<ServerState>,
    program: &'a Plan<'a>,
    sends: Sends,
}

/// Starts the threads and waits until all listen, and have written what they took up: then that
/// counts, and they begin to work. If one cannot, those that do are stopped.
fn spawn_shards(
    starting: &Starting<'_>,
    listeners: Vec<TcpListener>,
    journals: Vec<Option<ShardJournal>>,
    set_current: &mut dyn FnMut() -> Result<(), StartError>,
) -> Result<(Inboxes, Threads), StartError> {
    let Starting { config, state, program, sends } = *starting;
    let bell = |index: usize| shard_waker(shard_id(index), state);
    let bells: Result<Vec<_>, _> = (0..listeners.len()).map(bell).collect();
    let (bell_fds, shard_wakers): (Vec<_>, Vec<_>) =
        bells.map_err(StartError::System)?.into_iter().unzip();
    let (inboxes, shard_inboxes) = Inboxes::new(&shard_wakers);
    let mesh = Mesh::all(&shard_wakers, &config.limits);
    let (ready, answers) = bounded(listeners.len());
    let (begin, begins) = bounded(listeners.len());
    let parts = listeners.into_iter().zip(bell_fds).zip(shard_wakers).zip(shard_inboxes).zip(mesh);
    let mut seeds = parts.zip(journals).enumerate().map(|(index, parts)| {
        let (((((listener, bell_fd), shard_waker), inbox), mesh), journal) = parts;
        ShardSeed {
            id: shard_id(index),
            config: config.clone(),
            state: Arc::clone(state),
            needs: program.needs.clone(),
            instantiate: (program.instantiate)(),
            listener,
            bell_fd,
            shard_waker,
            inbox,
            inboxes: inboxes.clone(),
            mesh,
            sends,
            journal,
            ready: ready.clone(),
            begins: begins.clone(),
        }
    });
    let mut threads = Threads::default();
    let spawned = seeds.try_for_each(|seed| spawn(seed, &mut threads));
    drop(seeds);
    drop(ready);
    let all = spawned.and_then(|()| {
        (0..threads.len()).try_for_each(|_| answers.recv().unwrap_or(Err(StartError::Died)))?;
        set_current()?;
        // Where one has died meanwhile, that ends the process by itself.
        for _ in 0..threads.len() {
            let _ = begin.send(());
        }
        Ok(())
    });
    drop(begin);
    if let Err(error) = all {
        threads.end(&inboxes, Instant::now() + STOP_MAX);
        return Err(error);
    }
    Ok((inboxes, threads))
}

fn spawn(seed: ShardSeed, threads: &mut Threads) -> Result<(), StartError> {
    let (id, listener) = (seed.id, seed.listener.try_clone().map_err(StartError::System)?);
    let name = format!("corecast-{id}");
    let shard = move || {
        become_shard_thread();
        or_die(id, || seed.run());
    };
    let thread = thread::Builder::new().name(name).spawn(shard).map_err(StartError::Thread)?;
    threads.push(thread, listener);
    Ok(())
}

fn shard_id(index: usize) -> ShardId {
    ShardId::new(u16::try_from(index).expect("shards are counted in u16"))
}

/// A waker, and the descriptor that it makes ready.
fn shard_waker(id: ShardId, state: &Arc<ServerState>) -> io::Result<(Arc<OwnedFd>, ShardWaker)> {
    let fd = Arc::new(sys::event_fd()?);
    // A handle to the server, however long it is held, keeps no descriptor.
    let (rung, state) = (Arc::downgrade(&fd), Arc::clone(state));
    let wake = move || {
        if let Some(rung) = rung.upgrade() {
            state.gauges(id).count_waker_write();
            wake(&rung, id, &state);
        }
    };
    Ok((fd, ShardWaker::new(wake)))
}

/// Makes a waker's descriptor ready. A shard that slept through it would sleep for ever, so that
/// this is tried again for as long as it may be chance.
fn wake(bell: &OwnedFd, id: ShardId, state: &ServerState) {
    for _ in 0..WAKE_TRIES {
        match sys::signal(bell) {
            Ok(()) => return,
            Err(error) => {
                state.gauges(id).failures().note(Syscall::Signal, &error, state.now());
            }
        }
        thread::yield_now();
    }
    or_die(id, || panic!("its shard_waker does not ring"));
}

/// A write of eight bytes to an event counter has nothing to fail of. One that fails so often in
/// turn always will.
const WAKE_TRIES: usize = 1000;

/// Everything that a shard's thread starts from.
struct ShardSeed {
    id: ShardId,
    config: Config,
    state: Arc<ServerState>,
    needs: Needs,
    instantiate: Instantiate,
    listener: TcpListener,
    bell_fd: Arc<OwnedFd>,
    shard_waker: ShardWaker,
    inbox: Inbox,
    inboxes: Inboxes,
    mesh: Mesh,
    sends: Sends,
    journal: Option<ShardJournal>,
    ready: Sender<Result<(), StartError>>,
    begins: Receiver<()>,
}

impl ShardSeed {
    fn run(self) {
        match ShardExecutor::new(self.state.executor(), self.state.core_of(self.id)) {
            Ok(executor) => executor.run(self.serve()),
            // Nothing receives it only when another shard has failed already.
            Err(error) => drop(self.ready.send(Err(error))),
        }
    }

    async fn serve(self) {
        let (ready, begins) = (self.ready.clone(), self.begins.clone());
        let event_loop = match self.into_loop() {
            Ok(event_loop) => event_loop,
            Err(error) => return drop(ready.send(Err(error))),
        };
        let _entered = enter(event_loop.handle());
        // Nothing receives it only when another shard has failed already.
        let _ = ready.send(Ok(()));
        drop(ready);
        // What is numbered before the journals of all shards count would be lost with this process.
        if begins.recv().is_err() {
            return;
        }
        let ran = event_loop.run().await;
        ran.expect("the kernel's event queue works as long as the process has it");
        event_loop.end();
    }

    fn into_loop(self) -> Result<EventLoop, StartError> {
        let permissions = self.needs.permissions.clone();
        let mut shard = Shard::new(self.id, self.config);
        if let Some(journal) = self.journal {
            journal.begin(&mut shard, self.state.now());
        }
        let init = DriverInit {
            shard,
            mesh: self.mesh,
            listener: self.listener,
            shard_waker: self.bell_fd,
            inbox: self.inbox,
            state: Arc::clone(&self.state),
            needs: self.needs,
            sends: self.sends,
        };
        let driver = ShardDriver::new(init).map_err(StartError::System)?;
        let driver = Rc::new(RefCell::new(driver));
        let tasks = Rc::new(Tasks::new(self.shard_waker.clone()));
        let (reference, shared) = (DriverRef::new(&driver), Rc::clone(&tasks));
        let handle = ShardHandle::new(reference, shared, self.state, self.inboxes, permissions);
        let program = catch_panic_now(|| (self.instantiate)(&handle))
            .map_err(|panic| StartError::Program { message: panic })?;
        Ok(EventLoop::new(driver, tasks, self.shard_waker, handle, program))
    }
}
