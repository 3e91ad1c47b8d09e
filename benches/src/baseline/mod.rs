//! The usual design of a WebSocket broadcaster in Rust, written as well as it can be.
//!
//! One `DashMap` of connections, one of rooms; each connection has an mpsc queue and a writer task
//! that empties it. It speaks the part of the wire protocol that a load needs: welcome, join,
//! leave, publish, broadcast and ping. It leaves out everything that would cost it something:
//! limits, timeouts, recovery, statistics.

mod protocol;
mod queue;
mod registry;
mod session;
mod socket;

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

pub use queue::Queue;
pub(crate) use queue::Receiver;
pub(crate) use registry::Registry;
pub(crate) use session::Session;
use socket::Usual;
pub use socket::Writer;

/// What the server is told.
#[derive(Clone, Copy, Debug)]
pub struct BaselineOptions {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Threads that run connections.
    pub threads: usize,
    /// The variant of the queues.
    pub queue: Queue,
    /// The variant of the writer tasks.
    pub writer: Writer,
}

/// Listens, says where, and serves until the process ends.
///
/// # Errors
///
/// When the address cannot be listened on.
pub fn serve(options: BaselineOptions, on_listening: impl FnOnce(SocketAddr)) -> io::Result<()> {
    runtime(options.threads)?.block_on(async {
        let listener = TcpListener::bind(options.listen).await?;
        on_listening(listener.local_addr()?);
        let listener = listener.tap_io(|stream| {
            // Best effort: a socket that has died already needs no option.
            let _ = stream.set_nodelay(true);
        });
        let registry: &'static Registry = Box::leak(Box::new(Registry::new(options.queue)));
        let state = Usual { registry, writer: options.writer };
        let app = Router::new().route("/ws", get(socket::upgrade)).with_state(state);
        axum::serve(listener, app).await
    })
}

/// One thread is served best by the runtime that never wakes another.
fn runtime(threads: usize) -> io::Result<Runtime> {
    match threads {
        0 | 1 => Builder::new_current_thread().enable_io().build(),
        _ => Builder::new_multi_thread().worker_threads(threads).enable_io().build(),
    }
}
