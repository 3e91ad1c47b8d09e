//! A running server, and its end.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use corecast_shards::{Disconnect, ShardId};

use crate::broadcaster::Broadcaster;
use crate::builder::Builder;
use crate::runtime::{Foreign, Started};

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
        let process = &self.started.process;
        let shards = 0..u16::try_from(process.shards()).expect("shards are counted in u16");
        shards.map(|index| process.core_of(ShardId::new(index))).collect()
    }

    /// Sends from any thread.
    pub fn broadcaster(&self) -> Broadcaster {
        Broadcaster::new(self.started.inboxes.clone(), self.started.process.clone())
    }

    /// Ends the server so that nothing is lost: no more commands are read, handlers at work may
    /// finish, every message that was accepted reaches every member, then every connection is
    /// closed with 1001 `shutdown` and a time to come back. What remains after `timeout` is cut.
    ///
    /// HTTP is served until the end: `/readyz` says 503, and new handshakes are refused.
    pub fn shutdown(self, timeout: Duration) -> Drained {
        let begin = Instant::now();
        let process = &self.started.process;
        process.start_draining();
        self.started.inboxes.wake_all();
        self.started.inboxes.send_to_all(|| Foreign::StopReading);
        // A handler that never ends must not cost the others their goodbye.
        wait_until(begin + timeout / 2, || process.is_quiet());
        self.started.inboxes.send_to_all(|| Foreign::CloseAll(Disconnect::Shutdown.into()));
        wait_until(begin + timeout, || process.is_empty());
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
