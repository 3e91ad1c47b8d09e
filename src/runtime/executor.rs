//! The executor of a shard's thread: the one file that knows glommio.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use futures_lite::future;
use glommio::timer::Timer;
use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement, PoolPlacement};
use io_uring::IoUring;

use super::obstacle::io_uring_obstacle;
use super::start_error::StartError;
use crate::program::catch_panic_now;
use crate::values::ExecutorChoice;

/// The size of the executor's three rings. They carry what futures of the program wait for and
/// nothing of the server's own, so that they are small: the kernel counts 16 KiB for each (at
/// 4,096 entries it was 410 KiB).
pub(super) const RING_DEPTH: u32 = 128;

/// The smallest that the executor accepts: no file is read here. It is locked once for each of the
/// three rings.
const IO_MEMORY: usize = 64 << 10;

/// What the kernel counts as locked memory for one shard, rounded up: three rings and their
/// registered memory, and the ring for sends. On Linux 6.18 an ordinary user with 8 MiB starts 32.
pub(super) const LOCKED_PER_SHARD: u64 = 256 << 10;

/// glommio refuses to start with less locked memory than this, even as root
/// (glommio 0.9.0 src/sys/uring.rs:1293).
pub(super) const MEMLOCK_MIN: u64 = 512 << 10;

/// The executor's default, and not less: the event loop comes back to it by itself, and the shorter
/// this is, the more often glommio 0.9 parks by mistake (see [`yield_to_executor`]). Of 8 executors
/// on two cores that were visited all the time, 7 hung within 8 s at 1 ms, none at 100 ms.
const PREEMPT_TIMER: Duration = Duration::from_millis(100);

/// The kernel gives locked memory of a process that has ended back a little late, up to some
/// seconds. A restart near the limit waits for it, up to here.
pub(super) const MEMORY_PATIENCE: Duration = Duration::from_secs(8);

/// How often it is tried: each try that fails takes a part and gives it back late, too.
const MEMORY_RETRY: Duration = Duration::from_millis(250);

/// While a future of a program that asked for glommio is pending, the loop yields this often, or up
/// to a millisecond later: for something of glommio's, which only its own loop can complete.
const YIELD_INTERVAL: Duration = Duration::from_millis(1);

/// The same for a program that did not ask: a handler that uses glommio all the same is late, but
/// does not hang. A yield makes a few system calls, which do not matter once per second.
const UNASKED_YIELD_INTERVAL: Duration = Duration::from_secs(1);

/// How long the executor looks for something to do before it parks. Longer than a yield, so that a
/// yield costs no sleep.
const SPIN_BEFORE_PARK: Duration = Duration::from_micros(100);

/// When the yielding task is called back: at once, and in case that goes wrong, later.
///
/// glommio 0.9 takes "preempted before the first task ran" for "no task wants to run" and parks,
/// with tasks in its queue (`run_task_queues`, glommio 0.9.0 src/executor/mod.rs:1323). It happens
/// when the thread loses its core for as long as the preemption timer between setting that timer
/// and looking at it. A timer that is still to come ends such a sleep.
const CALLBACKS: [Duration; 5] = [
    Duration::from_micros(5),
    Duration::from_millis(1),
    Duration::from_millis(8),
    Duration::from_millis(64),
    Duration::from_millis(512),
];

/// What runs a shard, on the thread that made it.
#[derive(Debug)]
pub(super) enum ShardExecutor {
    Glommio(Box<LocalExecutor>),
    Plain,
}

impl ShardExecutor {
    /// Prepares the calling thread, and pins it to this core if one is given.
    pub(super) fn new(
        choice: &ExecutorChoice,
        core: Option<usize>,
    ) -> Result<ShardExecutor, StartError> {
        match choice {
            ExecutorChoice::Glommio { .. } => {
                Ok(ShardExecutor::Glommio(Box::new(glommio_executor(core)?)))
            }
            ExecutorChoice::Plain { .. } => pin(core).map(|()| ShardExecutor::Plain),
        }
    }

    /// Runs a shard until it ends. A plain thread polls it once: a shard waits in the system calls
    /// of its own loop, and is pending only while it yields to glommio.
    pub(super) fn run(self, shard: impl Future<Output = ()>) {
        match self {
            ShardExecutor::Glommio(executor) => executor.run(shard),
            ShardExecutor::Plain => future::block_on(shard),
        }
    }
}

/// How often the loop yields to its executor while a future of the program is pending; none where
/// nothing waits for a yield.
pub(super) fn yield_interval(choice: &ExecutorChoice) -> Option<Duration> {
    match choice {
        ExecutorChoice::Glommio { asked: true } => Some(YIELD_INTERVAL),
        ExecutorChoice::Glommio { asked: false } => Some(UNASKED_YIELD_INTERVAL),
        ExecutorChoice::Plain { .. } => None,
    }
}

/// Makes an executor, on this core if one is given, and lets it run once.
pub(super) fn try_glommio(core: Option<usize>) -> Result<(), StartError> {
    glommio_executor(core)?.run(future::yield_now());
    Ok(())
}

fn pin(core: Option<usize>) -> Result<(), StartError> {
    let pinned = core.is_none_or(|id| core_affinity::set_for_current(CoreId { id }));
    pinned.then_some(()).ok_or_else(|| {
        StartError::Executor(format!("its thread cannot be pinned: {}", io::Error::last_os_error()))
    })
}

/// Makes the executor of the calling thread.
fn glommio_executor(core: Option<usize>) -> Result<LocalExecutor, StartError> {
    let deadline = Instant::now() + MEMORY_PATIENCE;
    loop {
        match try_make(core) {
            Ok(executor) => return Ok(executor),
            Err(Unmade::Io(error)) => {
                if !is_out_of_memory(&error) || Instant::now() >= deadline {
                    return Err(StartError::IoUring(io_uring_obstacle(&error)));
                }
            }
            Err(Unmade::ForGood(error)) => return Err(error),
        }
        thread::sleep(MEMORY_RETRY);
    }
}

/// Why an executor was not made.
enum Unmade {
    Io(io::Error),
    ForGood(StartError),
}

/// Whether this process has made an executor. Executors are made one after the other.
static MADE_ONE: Mutex<bool> = Mutex::new(false);

/// Makes an executor, also where glommio panics.
///
/// The first one of a process makes a small ring to ask the kernel for its operations. glommio
/// panics where it gets none, then and in each later try. So such a ring is made before, without
/// which there is an error and the next try may work. glommio panics as well where its extra thread
/// does not start.
fn try_make(core: Option<usize>) -> Result<LocalExecutor, Unmade> {
    let mut made_one = MADE_ONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !*made_one {
        smallest_ring().map_err(Unmade::Io)?;
    }
    match catch_panic_now(|| make(core)) {
        Ok(Ok(executor)) => {
            *made_one = true;
            Ok(executor)
        }
        Ok(Err(GlommioError::IoError(error))) => Err(Unmade::Io(error)),
        Ok(Err(error)) => Err(Unmade::ForGood(StartError::Executor(error.to_string()))),
        Err(panic) => Err(Unmade::ForGood(panicked(&panic))),
    }
}

/// The words of a panic of glommio's for want of the ring that asks for operations, and those of
/// the standard library in each later try (glommio 0.9.0 src/sys/uring.rs:206).
const NO_PROBE: [&str; 2] = ["Failed to register a probe", "previously been poisoned"];

/// What a panic means of a glommio that has got its first ring a moment ago.
fn panicked(words: &str) -> StartError {
    if NO_PROBE.iter().any(|of| words.contains(of)) {
        // The kernel has not given that one's memory back, or another process took it.
        let error = io::Error::from_raw_os_error(libc::ENOMEM);
        return StartError::IoUring(io_uring_obstacle(&error));
    }
    StartError::Executor(format!("glommio {words}"))
}

/// Makes a ring of the size that glommio asks with (`io_uring_get_probe` of liburing).
fn smallest_ring() -> io::Result<()> {
    IoUring::new(2).map(drop)
}

fn make(core: Option<usize>) -> Result<LocalExecutor, GlommioError<()>> {
    LocalExecutorBuilder::new(core.map_or(Placement::Unbound, Placement::Fixed))
        .ring_depth(RING_DEPTH as usize)
        .io_memory(IO_MEMORY)
        .preempt_timer(PREEMPT_TIMER)
        .spin_before_park(SPIN_BEFORE_PARK)
        .blocking_thread_pool_placement(PoolPlacement::Unbound(1))
        .make()
}

pub(super) fn is_out_of_memory(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOMEM)
}

/// Lets glommio look at its rings and timers and run its other tasks, then comes back.
pub(super) async fn yield_to_executor() {
    called_back(CALLBACKS).await;
}

/// Waits until the first of these timers has called back. Each of them is to come when it is waited
/// for: one that has passed would be ready at once, and glommio would not have run at all. On a
/// processor that has just slept, 5 µs pass before the last of them is made.
async fn called_back<const N: usize>(delays: [Duration; N]) {
    let mut callbacks: Option<[Timer; N]> = None;
    poll_fn(|cx| {
        let Some(callbacks) = &mut callbacks else {
            callbacks = Some(delays.map(|delay| pending_timer(delay, cx)));
            return Poll::Pending;
        };
        let called = callbacks.iter_mut().any(|callback| Pin::new(callback).poll(cx).is_ready());
        if called { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// A timer of this delay, or of a longer one, that has not passed yet and will wake the task.
fn pending_timer(mut delay: Duration, cx: &mut Context<'_>) -> Timer {
    loop {
        let mut timer = Timer::new(delay);
        if Pin::new(&mut timer).poll(cx).is_pending() {
            return timer;
        }
        delay = 2 * delay + Duration::from_micros(1);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use futures_lite::{AsyncReadExt, AsyncWriteExt};
    use serde_json::{Value, json};

    use super::*;
    use crate::{Builder, Client, Event, Executor, Message, Server};

    type Socket = tungstenite::WebSocket<tungstenite::stream::MaybeTlsStream<std::net::TcpStream>>;

    fn builder(executor: Executor) -> Builder {
        Server::builder().listen("127.0.0.1:0").shards(1).executor(executor)
    }

    fn connect(server: &Server) -> Socket {
        let (mut socket, _) =
            tungstenite::connect(format!("ws://{}/ws", server.local_addr())).unwrap();
        let _welcome = socket.read().unwrap();
        socket
    }

    fn ask(socket: &mut Socket, event: Value) -> Value {
        socket.send(tungstenite::Message::text(event.to_string())).unwrap();
        serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap()
    }

    /// A handler that waits for a timer, a task and a socket of glommio's, as programs that know
    /// glommio expect to.
    async fn visit_glommio(client: Client, event: Event) -> crate::HandlerResult {
        let port: u16 = event.parse()?;
        glommio::timer::sleep(Duration::from_millis(3)).await;
        let doubled = glommio::spawn_local(async move {
            glommio::timer::sleep(Duration::from_millis(3)).await;
            u32::from(port) * 2
        });
        let mut stream = glommio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"ping").await?;
        let mut reply = [0; 4];
        stream.read_exact(&mut reply).await?;
        assert_eq!(&reply, b"pong");
        Ok(client.try_publish(Message::event("done", doubled.await)?)?)
    }

    #[test]
    fn handlers_wait_for_timers_tasks_and_sockets_of_glommio_where_the_program_asked_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut ping) = (stream.unwrap(), [0; 4]);
                stream.read_exact(&mut ping).unwrap();
                stream.write_all(b"pong").unwrap();
            }
        });
        let server = match builder(Executor::Glommio).on("visit", visit_glommio).start() {
            Ok(server) => server,
            // This machine cannot show it.
            Err(StartError::IoUring(_) | StartError::Memlock { .. }) => return,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(yield_interval(server.executor()), Some(YIELD_INTERVAL));
        let mut socket = connect(&server);
        for _ in 0..20 {
            let reply = ask(&mut socket, json!({"event": "visit", "data": port}));
            assert_eq!(reply, json!({"event": "done", "data": u32::from(port) * 2}));
        }
        server.shutdown(Duration::from_secs(1));
    }

    #[test]
    fn a_panic_for_want_of_a_ring_is_a_want_of_memory() {
        let memory = io_uring_obstacle(&io::Error::from_raw_os_error(libc::ENOMEM));
        for words in NO_PROBE {
            let words = format!("panicked: {words}, and more");
            assert_eq!(panicked(&words).obstacle(), memory);
        }
        let other = panicked("panicked: failed to spawn thread").to_string();
        assert!(other.ends_with("glommio panicked: failed to spawn thread"), "{other}");
    }

    async fn sleep_on_glommio(client: Client, _: Event) -> crate::HandlerResult {
        glommio::timer::sleep(Duration::from_millis(3)).await;
        Ok(client.try_publish(Message::event("done", ())?)?)
    }

    #[test]
    fn a_handler_that_uses_glommio_without_asking_is_answered() {
        let server = builder(Executor::Auto).on("sleep", sleep_on_glommio).start().unwrap();
        if yield_interval(server.executor()).is_none() {
            // It runs plainly: glommio does not start on this machine.
            return;
        }
        let mut socket = connect(&server);
        socket_timeout(&socket, Duration::from_secs(30));
        for _ in 0..2 {
            assert_eq!(ask(&mut socket, json!({"event": "sleep"}))["event"], "done");
        }
        server.shutdown(Duration::from_secs(1));
    }

    /// With timers that have passed at once, as all do where a clock or a processor is slow.
    #[test]
    fn glommio_runs_in_each_yield_however_early_it_is_to_call_back() {
        let executor = match glommio_executor(None) {
            Ok(executor) => executor,
            // This machine cannot show it.
            Err(StartError::IoUring(_) | StartError::Memlock { .. }) => return,
            Err(error) => panic!("{error}"),
        };
        executor.run(async {
            let ran = std::rc::Rc::new(std::cell::Cell::new(0));
            for yields in 1..=20 {
                let seen = ran.clone();
                glommio::spawn_local(async move { seen.set(seen.get() + 1) }).detach();
                called_back([Duration::ZERO, Duration::from_millis(64)]).await;
                assert_eq!(ran.get(), yields);
            }
            let began = Instant::now();
            let sleeper = glommio::spawn_local(glommio::timer::sleep(Duration::from_millis(3)));
            let mut sleeper = std::pin::pin!(sleeper);
            while future::poll_once(&mut sleeper).await.is_none() {
                assert!(began.elapsed() < Duration::from_secs(30), "its timer is never looked at");
                called_back([Duration::ZERO]).await;
            }
        });
    }

    /// An answer that does not come fails the test.
    fn socket_timeout(socket: &Socket, timeout: Duration) {
        let tungstenite::stream::MaybeTlsStream::Plain(stream) = socket.get_ref() else {
            unreachable!("the address has no TLS");
        };
        stream.set_read_timeout(Some(timeout)).unwrap();
    }

    #[test]
    fn a_call_of_glommio_on_a_plain_thread_costs_its_message_an_error_that_names_the_remedy() {
        let server = builder(Executor::Plain).on("visit", visit_glommio).start().unwrap();
        let mut socket = connect(&server);
        for _ in 0..2 {
            let reply = ask(&mut socket, json!({"event": "visit", "data": 1}));
            assert_eq!(reply["data"]["code"], "handler_failed");
        }
        server.shutdown(Duration::from_secs(1));
        let words = crate::program::catch_panic_now(|| glommio::executor().id()).unwrap_err();
        assert!(words.contains("Executor::Glommio"), "{words}");
    }
}
