//! From settings to running shards.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use corecast_shards::{Config, Limits, Shard, ShardId};
use crossbeam_channel::{Receiver, Sender, bounded};
use glommio::{LocalExecutorBuilder, Placement, PoolPlacement};

use super::hub::Hub;
use super::inbox::{Foreign, Inboxes};
use super::mesh::Mesh;
use super::ring::Doorbell;
use super::turn::Core;
use super::{preflight, sys};
use crate::handler::{Handlers, Program};
use crate::settings::Settings;

/// What the threads of one server share. Nothing here is on the way of a message.
#[derive(Debug)]
pub(crate) struct Process {
    limits: Limits,
    api_keys: Vec<String>,
    cores: Vec<Option<usize>>,
    gauges: Vec<Gauges>,
    draining: AtomicBool,
    /// Connections between their handshake and the close of their descriptor.
    claimed: AtomicUsize,
    /// HTTP requests that are being answered.
    requests: AtomicUsize,
}

/// One shard's figures for the others, on cache lines of their own. Written by that shard alone.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Gauges {
    connections: AtomicU64,
    mesh_sent: AtomicU64,
    mesh_handled: AtomicU64,
    stopped_reading: AtomicBool,
}

impl Gauges {
    /// Publishes what the shard has now.
    pub(crate) fn set(&self, shard: &Shard) {
        let counters = shard.counters();
        self.connections.store(shard.connection_count(), Ordering::Relaxed);
        // Whoever sees that a message was handled also sees what was sent because of it.
        self.mesh_sent.store(counters.mesh_sent, Ordering::Release);
        self.mesh_handled.store(counters.mesh_handled, Ordering::Release);
    }

    pub(crate) fn set_stopped_reading(&self) {
        self.stopped_reading.store(true, Ordering::Release);
    }
}

impl Process {
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn api_keys(&self) -> &[String] {
        &self.api_keys
    }

    pub(crate) fn shards(&self) -> usize {
        self.gauges.len()
    }

    pub(crate) fn core_of(&self, shard: ShardId) -> Option<usize> {
        self.cores[shard.index()]
    }

    pub(crate) fn gauges(&self, shard: ShardId) -> &Gauges {
        &self.gauges[shard.index()]
    }

    pub(crate) fn connections(&self) -> u64 {
        self.gauges.iter().map(|gauges| gauges.connections.load(Ordering::Relaxed)).sum()
    }

    /// Whether every shard has stopped reading, and no message is on its way between shards.
    ///
    /// What was handled is counted first: a message that is sent meanwhile then makes the second
    /// sum larger, never the first (Mattern: Algorithms for distributed termination detection,
    /// 1987, the four-counter method).
    pub(crate) fn is_quiet(&self) -> bool {
        let stopped = self.gauges.iter().all(|g| g.stopped_reading.load(Ordering::Acquire));
        let handled = self.sum(|gauges| &gauges.mesh_handled);
        stopped && handled == self.sum(|gauges| &gauges.mesh_sent)
    }

    fn sum(&self, counter: impl Fn(&Gauges) -> &AtomicU64) -> u64 {
        self.gauges.iter().map(|gauges| counter(gauges).load(Ordering::Acquire)).sum()
    }

    /// Answers an HTTP request, which a shutdown waits for.
    pub(crate) async fn answering<T>(&self, answer: impl Future<Output = T>) -> T {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let answered = answer.await;
        self.requests.fetch_sub(1, Ordering::Relaxed);
        answered
    }

    /// Whether there is neither a connection nor a request.
    pub(crate) fn is_empty(&self) -> bool {
        self.claimed() == 0 && self.requests.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Takes one of the connections that the process may have; false when there is none left.
    pub(crate) fn claim_connection(&self) -> bool {
        let more = |claimed| (claimed < self.limits.connections).then_some(claimed + 1);
        self.claimed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Connections between their handshake and the close of their descriptor.
    pub(crate) fn claimed(&self) -> usize {
        self.claimed.load(Ordering::Relaxed)
    }

    pub(crate) fn release_connection(&self) {
        self.claimed.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) address: SocketAddr,
    pub(crate) process: Arc<Process>,
    pub(crate) inboxes: Inboxes,
    pub(crate) threads: Vec<thread::JoinHandle<()>>,
}

/// Checks what can be checked, then starts one thread per shard and waits until all listen.
pub(crate) fn start(settings: Settings, program: &Program) -> Result<Started, StartError> {
    preflight::check_io_uring()?;
    let cores = choose_cores(settings.shards)?;
    let mut limits = settings.limits.clone();
    limits.mesh_bytes = limits.mesh_bytes.min(limits.room_log_bytes / MESH_SHARE).max(1);
    preflight::check_descriptors(cores.len(), &mut limits)?;
    let address = preflight::check_port(settings.listen)?;
    let listeners = listen(address, &settings, cores.len())?;
    let process = Arc::new(Process {
        limits: limits.clone(),
        api_keys: settings.api_keys,
        gauges: cores.iter().map(|_| Gauges::default()).collect(),
        cores: cores.clone(),
        draining: AtomicBool::new(false),
        claimed: AtomicUsize::new(0),
        requests: AtomicUsize::new(0),
    });
    let config = Config {
        shards: u16::try_from(cores.len()).expect("checked when the cores were chosen"),
        seed: random_seed()?,
        slow: settings.slow,
        limits,
        handled: program.handled(),
    };
    let (inboxes, threads) = spawn_shards(&config, &process, listeners, program)?;
    Ok(Started { address, process, inboxes, threads })
}

/// When a room is pressed at half its log's limit, what is on its way already comes on top. So no
/// ring holds more than this share of a log.
const MESH_SHARE: usize = 8;

/// One seed per process: for epochs, for the hash of room names, for generations.
fn random_seed() -> Result<u128, StartError> {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed)
        .map_err(|error| StartError::System(io::Error::other(error.to_string())))?;
    Ok(u128::from_ne_bytes(seed))
}

/// Shards of one process at most: the mesh has a ring for each ordered pair.
const SHARDS_MAX: usize = 256;

/// The core of each shard; none when there are more shards than cores, and nobody is pinned.
fn choose_cores(shards: Option<usize>) -> Result<Vec<Option<usize>>, StartError> {
    // Unlike glommio's own list this one respects the process's affinity mask.
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    let wanted = shards.unwrap_or(allowed.len().max(1));
    if wanted == 0 || wanted > SHARDS_MAX {
        return Err(StartError::Shards { wanted });
    }
    Ok(match allowed.get(..wanted) {
        Some(cores) => cores.iter().map(|core| Some(core.id)).collect(),
        None => vec![None; wanted],
    })
}

fn listen(
    address: SocketAddr,
    settings: &Settings,
    shards: usize,
) -> Result<Vec<TcpListener>, StartError> {
    let listener = |_| sys::shared_listener(address, settings.send_buffer);
    let listeners: io::Result<_> = (0..shards).map(listener).collect();
    listeners.map_err(|error| StartError::Listen { address, error })
}

fn spawn_shards(
    config: &Config,
    process: &Arc<Process>,
    listeners: Vec<TcpListener>,
    program: &Program,
) -> Result<(Inboxes, Vec<thread::JoinHandle<()>>), StartError> {
    let bells: Result<Vec<_>, _> = listeners.iter().map(|_| doorbell()).collect();
    let (bell_fds, doorbells): (Vec<_>, Vec<_>) =
        bells.map_err(StartError::System)?.into_iter().unzip();
    let (inboxes, receivers) = Inboxes::new(&doorbells);
    let mesh = Mesh::all(&doorbells, &config.limits);
    let (ready, answers) = bounded(listeners.len());
    let parts = listeners.into_iter().zip(bell_fds).zip(doorbells).zip(receivers).zip(mesh);
    let mut threads = Vec::new();
    for (index, ((((listener, bell_fd), doorbell), inbox), mesh)) in parts.enumerate() {
        let id = ShardId::new(u16::try_from(index).expect("shards are counted in u16"));
        let seed = ShardSeed {
            id,
            config: config.clone(),
            process: Arc::clone(process),
            program: program.clone(),
            listener,
            bell_fd,
            doorbell,
            inbox,
            mesh,
            ready: ready.clone(),
        };
        let name = format!("corecast-{id}");
        let thread = thread::Builder::new().name(name).spawn(move || or_die(id, || seed.run()));
        threads.push(thread.map_err(StartError::System)?);
    }
    drop(ready);
    for _ in 0..threads.len() {
        answers.recv().unwrap_or(Err(StartError::Died))?;
    }
    Ok((inboxes, threads))
}

/// A doorbell, and the descriptor that it makes ready.
fn doorbell() -> io::Result<(Arc<OwnedFd>, Doorbell)> {
    let fd = Arc::new(sys::event_fd()?);
    let rung = Arc::clone(&fd);
    Ok((fd, Doorbell::new(move || sys::signal(&rung))))
}

/// Everything that a shard's thread starts from.
struct ShardSeed {
    id: ShardId,
    config: Config,
    process: Arc<Process>,
    program: Program,
    listener: TcpListener,
    bell_fd: Arc<OwnedFd>,
    doorbell: Doorbell,
    inbox: Receiver<Foreign>,
    mesh: Mesh,
    ready: Sender<Result<(), StartError>>,
}

/// The size of the executor's rings. Each turn cancels a timer in the ring's hash table; this is
/// the smallest size at which that table has as many buckets as the kernel allows (256).
const RING_DEPTH: usize = 4096;

/// The smallest that the executor accepts: no file is read here.
const IO_MEMORY: usize = 64 << 10;

/// While the hub works, other tasks' sockets and timers are looked at this often.
const PREEMPT_TIMER: Duration = Duration::from_millis(1);

impl ShardSeed {
    fn run(self) {
        let pinned = self.process.core_of(self.id).map_or(Placement::Unbound, Placement::Fixed);
        let executor = LocalExecutorBuilder::new(pinned)
            .ring_depth(RING_DEPTH)
            .io_memory(IO_MEMORY)
            .preempt_timer(PREEMPT_TIMER)
            .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
            .make();
        let executor = match executor {
            Ok(executor) => executor,
            Err(error) => return self.report(Err(StartError::Executor(error.to_string()))),
        };
        let ready = self.ready.clone();
        executor.run(async move {
            let hub = match self.into_hub() {
                Ok(hub) => hub,
                Err(error) => return drop(ready.send(Err(StartError::System(error)))),
            };
            // Nobody listens for the answer only when another shard has failed already.
            let _ = ready.send(Ok(()));
            drop(ready);
            hub.run().await.expect("the kernel's event queue works as long as the process has it");
        });
    }

    fn into_hub(self) -> io::Result<Hub> {
        let shard = Shard::new(self.id, self.config);
        let process = Arc::clone(&self.process);
        let core = Core::new(shard, self.mesh, self.listener, &self.bell_fd, self.inbox, process)?;
        Ok(Hub::new(core, self.doorbell, Handlers::new(&self.program), self.process))
    }

    fn report(&self, result: Result<(), StartError>) {
        // Nobody listens only when another shard has failed already.
        let _ = self.ready.send(result);
    }
}

/// The exit code of a process one of whose shards panicked (EX_SOFTWARE of sysexits.h).
const EXIT_PANIC: i32 = 70;

/// Runs a shard; if it panics, ends the process: its connections would be served by nobody, and
/// its rooms ordered by nobody.
fn or_die(id: ShardId, shard: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(shard)).is_err() {
        eprintln!("corecast: shard {id} panicked; the process ends, because it would limp");
        std::process::exit(EXIT_PANIC);
    }
}

/// Why a server did not start. Each message says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The address is somebody else's.
    PortTaken {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the kernel says.
        error: io::Error,
    },
    /// The address can be reached from other machines, and everybody there could do everything.
    Exposed {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The kernel refuses io_uring.
    IoUring(io::Error),
    /// The process may lock too little memory.
    Memlock {
        /// How much it may.
        bytes: u64,
    },
    /// The process may open too few descriptors.
    Descriptors {
        /// How many it may.
        descriptors: u64,
        /// How many it takes to hold one connection.
        needed: u64,
    },
    /// There cannot be that many shards.
    Shards {
        /// How many were asked for.
        wanted: usize,
    },
    /// A limit cannot have this value.
    Limit {
        /// What is wrong, and what would be right.
        message: String,
    },
    /// The executor of a shard did not start.
    Executor(String),
    /// A system call failed that never should.
    System(io::Error),
    /// A shard's thread ended before it had started.
    Died,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::PortTaken { address } => write!(
                f,
                "{address} is taken: another program listens there; end it, or choose another \
                 address with --listen"
            ),
            StartError::Listen { address, error } => write!(
                f,
                "cannot listen on {address}: {error}; choose an address of this machine with --listen"
            ),
            StartError::Exposed { address } => write!(
                f,
                "{address} can be reached from other machines, where everybody could do \
                 everything; set --api-key, or say --open if that is meant"
            ),
            StartError::IoUring(error) => fmt_io_uring(f, error),
            StartError::Memlock { bytes } => write!(
                f,
                "the process may lock only {bytes} bytes of memory (memlock), and io_uring needs \
                 {}; raise it with `ulimit -l 8192`, LimitMEMLOCK=8M in systemd or \
                 --ulimit memlock=8388608 in a container",
                512 << 10
            ),
            StartError::Descriptors { descriptors, needed } => write!(
                f,
                "the process may open only {descriptors} descriptors, and it takes {needed} to \
                 hold one connection; raise the limit with `ulimit -n 65536`, LimitNOFILE=65536 \
                 in systemd or --ulimit nofile=65536 in a container, or choose fewer --shards"
            ),
            StartError::Shards { wanted } => {
                write!(
                    f,
                    "{wanted} shards are not possible; choose 1 to {SHARDS_MAX} with --shards"
                )
            }
            StartError::Limit { message } => f.write_str(message),
            StartError::Executor(message) => {
                write!(f, "the executor of a shard did not start: {message}")
            }
            StartError::System(error) => {
                write!(f, "the system refused what every server needs: {error}")
            }
            StartError::Died => f.write_str("a shard ended before it had started"),
        }
    }
}

fn fmt_io_uring(f: &mut fmt::Formatter<'_>, error: &io::Error) -> fmt::Result {
    let remedy = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            "either `sysctl kernel.io_uring_disabled` is not 0, or a seccomp profile forbids it: \
             in a container allow io_uring_setup, io_uring_enter and io_uring_register, for \
             example with --security-opt seccomp=unconfined"
        }
        Some(libc::ENOSYS) => "this kernel has none; Linux 5.8 or newer is needed",
        Some(libc::ENOMEM) => "there is too little locked memory; raise it with `ulimit -l 8192`",
        _ => "see the kernel's log",
    };
    write!(f, "the kernel refuses io_uring ({error}): {remedy}")
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StartError::Listen { error, .. }
            | StartError::IoUring(error)
            | StartError::System(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// The test runs itself once more in a process of its own, in which the shard panics.
    #[test]
    fn a_shard_that_panics_ends_the_process() {
        const MARK: &str = "CORECAST_TEST_PANIC";
        if std::env::var_os(MARK).is_some() {
            or_die(ShardId::new(3), || panic!("on purpose"));
            unreachable!("the process has ended");
        }
        let name = "runtime::start::tests::a_shard_that_panics_ends_the_process";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(MARK, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(EXIT_PANIC), "{said}");
        assert!(said.contains("shard 3 panicked"), "{said}");
    }

    #[test]
    fn more_shards_than_cores_are_not_pinned() {
        let cores = core_affinity::get_core_ids().unwrap().len();
        assert!(choose_cores(Some(cores)).unwrap().iter().all(Option::is_some));
        assert!(choose_cores(Some(cores + 1)).unwrap().iter().all(Option::is_none));
        assert_eq!(choose_cores(None).unwrap().len(), cores);
        assert!(choose_cores(Some(0)).is_err() && choose_cores(Some(SHARDS_MAX + 1)).is_err());
    }
}
