//! A server: built, started, drained.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use corecast_shards::{Disconnect, Limits, SlowPolicy};

use crate::broadcaster::Broadcaster;
use crate::client::Client;
use crate::handler::{HandlerResult, Program};
use crate::message::Message;
use crate::runtime::{Foreign, StartError, Started, start};
use crate::settings::{Sends, Settings};

/// A running server. Dropping it leaves it running; [`Server::shutdown`] ends it.
#[derive(Debug)]
pub struct Server {
    started: Started,
}

/// What is left when a server has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Connections that were cut because the time was over.
    pub cut: usize,
}

/// How often the progress of a shutdown is looked at.
const DRAIN_POLL: Duration = Duration::from_millis(2);

impl Server {
    /// A server with all defaults: loopback only, one shard per core.
    pub fn builder() -> Builder {
        Builder { settings: Settings::default(), program: Program::default() }
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.started.address
    }

    /// The core of each shard; none for shards that are not pinned.
    pub fn cores(&self) -> Vec<Option<usize>> {
        let process = &self.started.process;
        let shards = 0..u16::try_from(process.shards()).expect("shards are counted in u16");
        shards.map(|index| process.core_of(corecast_shards::ShardId::new(index))).collect()
    }

    /// Sends from any thread.
    pub fn broadcaster(&self) -> Broadcaster {
        Broadcaster::new(self.started.inboxes.clone(), self.started.process.clone())
    }

    /// Ends the server so that nothing is lost: no more commands are read, every message that was
    /// accepted reaches every member, then every connection is closed with 1001 `shutdown` and a
    /// time to come back. What remains after `timeout` is cut.
    ///
    /// HTTP is served until the end: `/readyz` says 503, and new handshakes are refused.
    pub fn shutdown(self, timeout: Duration) -> Drained {
        let deadline = Instant::now() + timeout;
        let process = &self.started.process;
        process.start_draining();
        self.started.inboxes.send_to_all(|| Foreign::StopReading);
        wait_until(deadline, || process.is_quiet());
        self.started.inboxes.send_to_all(|| Foreign::CloseAll);
        wait_until(deadline, || process.is_empty());
        let cut = process.claimed();
        self.started.inboxes.send_to_all(|| Foreign::Stop);
        for thread in self.started.threads {
            // A shard that panics ends the process, so that a thread that ends has ended well.
            let _ = thread.join();
        }
        Drained { cut }
    }
}

fn wait_until(deadline: Instant, mut done: impl FnMut() -> bool) {
    while !done() && Instant::now() < deadline {
        std::thread::sleep(DRAIN_POLL);
    }
}

/// What a server will be.
#[derive(Clone, Debug)]
pub struct Builder {
    settings: Settings,
    program: Program,
}

impl Builder {
    /// Listens on this address; port 0 lets the system choose. Default: 127.0.0.1:8080.
    pub fn listen(mut self, address: SocketAddr) -> Builder {
        self.settings.listen = address;
        self
    }

    /// Runs so many shards. Default: one per core of the process's affinity mask. Shards are
    /// pinned as long as there are as many cores.
    pub fn shards(mut self, shards: usize) -> Builder {
        self.settings.shards = Some(shards);
        self
    }

    /// What happens to members that read too slowly. Default: they are disconnected.
    pub fn slow(mut self, policy: SlowPolicy) -> Builder {
        self.settings.slow = policy;
        self
    }

    /// All limits of the protocol.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.settings.limits = limits;
        self
    }

    /// Bytes that the kernel keeps for a connection that does not read (`SO_SNDBUF`); 0 leaves it
    /// to the kernel. Default: 256 KiB.
    pub fn send_buffer(mut self, bytes: usize) -> Builder {
        self.settings.send_buffer = bytes;
        self
    }

    /// How bytes are handed to sockets. Default: over an io_uring if the kernel gives one.
    pub fn sends(mut self, sends: Sends) -> Builder {
        self.settings.sends = sends;
        self
    }

    /// A key without which `/v1` is closed. May be called several times.
    pub fn api_key(mut self, key: impl Into<String>) -> Builder {
        self.settings.api_keys.push(key.into());
        self
    }

    /// Lets everybody do everything, even on an address that other machines can reach.
    pub fn open(mut self) -> Builder {
        self.settings.open = true;
        self
    }

    /// Called for each new connection, before its first message is handled.
    pub fn on_connect<F>(mut self, handler: F) -> Builder
    where
        F: AsyncFn(Client) -> HandlerResult + Clone + Send + Sync + 'static,
    {
        self.program.on_connect(async move |client, ()| handler(client).await);
        self
    }

    /// Handles an event that is not the protocol's own. Without a handler it is answered with
    /// `unknown_event`.
    pub fn on<F>(mut self, event: &str, handler: F) -> Builder
    where
        F: AsyncFn(Client, Message) -> HandlerResult + Clone + Send + Sync + 'static,
    {
        self.program.on(event, handler);
        self
    }

    /// Handles every text message in a format of the program's own. The envelope is not spoken
    /// then, and there is no welcome.
    pub fn on_text<F>(mut self, handler: F) -> Builder
    where
        F: AsyncFn(Client, String) -> HandlerResult + Clone + Send + Sync + 'static,
    {
        self.program.on_text(handler);
        self
    }

    /// Handles binary messages, which are refused with 1003 otherwise.
    pub fn on_binary<F>(mut self, handler: F) -> Builder
    where
        F: AsyncFn(Client, Vec<u8>) -> HandlerResult + Clone + Send + Sync + 'static,
    {
        self.program.on_binary(handler);
        self
    }

    /// Called when a connection has ended, with the reason.
    pub fn on_disconnect<F>(mut self, handler: F) -> Builder
    where
        F: AsyncFn(Client, Disconnect) -> HandlerResult + Clone + Send + Sync + 'static,
    {
        self.program.on_disconnect(handler);
        self
    }

    /// Starts one thread per shard, and returns when all of them listen.
    ///
    /// The soft descriptor limit of the process is raised to the hard one.
    ///
    /// # Errors
    ///
    /// [`StartError`] says in words for the operator what is missing and how to get it.
    pub fn start(self) -> Result<Server, StartError> {
        self.settings.check()?;
        let started = start(self.settings, &self.program)?;
        Ok(Server { started })
    }
}
