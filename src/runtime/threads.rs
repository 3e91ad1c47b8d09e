//! The threads of one server, and their end.

use std::cell::Cell;
use std::net::TcpListener;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::inbox::{External, Inboxes};
use super::sys;

/// One thread per shard, with a second handle to the listener of each.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    running: Vec<JoinHandle<()>>,
    listeners: Vec<TcpListener>,
}

thread_local! {
    static IS_SHARD: Cell<bool> = const { Cell::new(false) };
}

/// Says that the calling thread is a shard's, from here on.
pub(super) fn become_shard_thread() {
    IS_SHARD.set(true);
}

/// Whether the calling thread is a shard's, of any server of this process: a handler runs on it.
pub(crate) fn is_shard_thread() -> bool {
    IS_SHARD.get()
}

/// How often the progress of threads is looked at.
const JOIN_POLL: Duration = Duration::from_millis(1);

impl Threads {
    pub(super) fn push(&mut self, thread: JoinHandle<()>, listener: TcpListener) {
        self.running.push(thread);
        self.listeners.push(listener);
    }

    pub(super) fn len(&self) -> usize {
        self.running.len()
    }

    /// Stops all shards at once and waits for their threads, up to `deadline`. Returns how many
    /// still run: something of the program's keeps them, and they end when it lets go. They
    /// accept no connection any more.
    pub(crate) fn end(&mut self, inboxes: &Inboxes, deadline: Instant) -> usize {
        inboxes.send_to_all(|| External::Stop);
        // A shard that ends its own server does so when this returns.
        let own = thread::current().id();
        let mut running = std::mem::take(&mut self.running);
        loop {
            // A shard that panics ends the process, so that a thread that ends has ended well.
            running.extract_if(.., |thread| thread.is_finished()).for_each(|t| drop(t.join()));
            let others = running.iter().any(|thread| thread.thread().id() != own);
            if !others || Instant::now() >= deadline {
                break;
            }
            thread::sleep(JOIN_POLL);
        }
        for listener in self.listeners.drain(..) {
            sys::shutdown_both(&listener);
        }
        running.len()
    }
}
