//! A running server, and its end.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use corecast_shards::{Disconnect, ShardId};

use crate::builder::Builder;
use crate::handles::Broadcaster;
use crate::runtime::{External, Started, oneshot};
use crate::values::{ExecutorChoice, Sizing};

/// A running server. [`Server::shutdown`] ends it so that nothing is lost. Dropping it ends it at
/// once: no client is sent a close, connections are cut, and what was on its way is lost.
///
/// Either way its threads have ended afterwards, and its port and descriptors are free, whatever
/// handles the program keeps; only code of the program's that keeps a shard's thread longer than
/// it may can delay that, see [`Drained::stuck`].
#[derive(Debug)]
#[must_use = "a server ends when it is dropped"]
pub struct Server {
    started: Started,
}

/// Files of keys that could not be read again, whose keys stay as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadError(Vec<String>);

impl ReloadError {
    /// What is wrong, in words for the operator: one message per file.
    pub fn messages(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for ReloadError {}

/// What is left when a server has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that were cut because the time was over.
    pub cut: usize,
    /// Shards whose thread still runs: a handler or a destructor of the program's keeps it. They
    /// accept no connection, but what they hold is free only when that lets go.
    pub stuck: usize,
}

/// How often the progress of a shutdown is looked at.
const DRAIN_POLL: Duration = Duration::from_millis(2);

/// What the threads have to end in when the time of a shutdown is over. They have nothing to wait
/// for, so that they take a few milliseconds.
const STOP_MAX: Duration = Duration::from_millis(500);

impl Server {
    /// A server with all defaults: loopback only, one shard per core.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(started: Started) -> Server {
        Server { started }
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.started.address
    }

    /// The core of each shard; none for shards that are not pinned.
    pub fn cores(&self) -> Vec<Option<usize>> {
        let state = &self.started.state;
        let shards = 0..u16::try_from(state.shards()).expect("shards are counted in u16");
        shards.map(|index| state.core_of(ShardId::new(index))).collect()
    }

    /// Why there are as many shards.
    pub fn sizing(&self) -> Sizing {
        self.started.sizing
    }

    /// Reads the files of keys again that the builder was given, for the handshakes and requests
    /// that come. Connections that there are stay. The keys of a file that cannot be read, or holds
    /// none, stay as they are. The calling thread waits for the files.
    ///
    /// # Errors
    ///
    /// When that happened, in words for the operator: one message per file.
    pub fn reload_keys(&self) -> Result<(), ReloadError> {
        self.key_reloader()()
    }

    /// [`Server::reload_keys`] for another thread than the one that keeps the server. A file that
    /// does not answer, as on a network that is gone, then holds up that thread alone, and no
    /// [`Server::shutdown`].
    ///
    /// ```
    /// # use corecast::Server;
    /// let server = Server::builder().listen("127.0.0.1:0").start()?;
    /// let reload_keys = server.key_reloader();
    /// std::thread::spawn(move || {
    ///     if let Err(error) = reload_keys() {
    ///         eprintln!("the keys stay as they were: {error}");
    ///     }
    /// });
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn key_reloader(
        &self,
    ) -> impl Fn() -> Result<(), ReloadError> + Clone + Send + Sync + use<> {
        let state = Arc::clone(&self.started.state);
        move || {
            let failures = state.rules().keys.reload();
            if failures.is_empty() { Ok(()) } else { Err(ReloadError(failures)) }
        }
    }

    /// What runs the threads of the shards, and why.
    pub fn executor(&self) -> &ExecutorChoice {
        self.started.state.executor()
    }

    /// Sends from any thread.
    pub fn broadcaster(&self) -> Broadcaster {
        Broadcaster::new(self.started.inboxes.clone(), self.started.state.clone())
    }

    /// Reads again what may change while a server runs: the certificates of [`Builder::tls`]. They
    /// are looked at every ten seconds in any case. New connections are shown what was read, and
    /// those that are open stay. When a file is wrong, which is logged, all stay as they were.
    ///
    /// It returns at once. Without certificates it does nothing.
    pub fn reload_certificates(&self) {
        self.started.watch.iter().for_each(|watch| watch.reload());
    }

    /// Ends the server so that nothing is lost: no more commands are read, handlers at work may
    /// finish, every message that was accepted reaches every member, then every connection is
    /// closed with 1001 `shutdown` and a time to come back. What remains after `timeout` is cut,
    /// and half a second later this returns, whatever handlers do.
    ///
    /// HTTP is served until the end: `/readyz` says 503, and new handshakes are refused.
    ///
    /// It keeps the calling thread; [`Server::shutdown_async`] does not.
    pub fn shutdown(mut self, timeout: Duration) -> Drained {
        let half = deadline(timeout / 2);
        let end = deadline(timeout);
        let state = &self.started.state;
        state.start_draining();
        self.started.inboxes.wake_all();
        self.started.inboxes.send_to_all(|| External::StopReading);
        // A handler that never ends must not cost the others their goodbye.
        wait_until(half, || state.is_quiet());
        self.started.inboxes.send_to_all(|| External::CloseAll(Disconnect::Shutdown.into()));
        wait_until(end, || state.is_empty());
        let cut = state.claimed();
        let stuck = self.stop();
        Drained { cut, stuck }
    }

    /// The same for callers that are async, in any runtime: a thread of its own does the waiting.
    pub async fn shutdown_async(self, timeout: Duration) -> Drained {
        let (sender, drained) = oneshot();
        let drain = move || sender.send(self.shutdown(timeout));
        // Without a thread the server is dropped here, and ends at once.
        let drain = thread::Builder::new().name("corecast-drain".to_owned()).spawn(drain);
        let drained = drained.await.unwrap_or_default();
        drop(drain);
        drained
    }

    /// Ends all shards at once. Returns how many could not be.
    fn stop(&mut self) -> usize {
        self.started.state.start_draining();
        self.started.inboxes.wake_all();
        self.started.threads.end(&self.started.inboxes, Instant::now() + STOP_MAX)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stuck = self.stop();
        if stuck > 0 {
            tracing::warn!(stuck, "a server ended while handlers kept the threads of shards");
        }
    }
}

/// When this time is over; a time that no clock can tell is as good as for ever.
fn deadline(timeout: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(1 << 32);
    Instant::now() + timeout.min(FOR_EVER)
}

fn wait_until(deadline: Instant, mut done: impl FnMut() -> bool) {
    while !done() && Instant::now() < deadline {
        thread::sleep(DRAIN_POLL);
    }
}
