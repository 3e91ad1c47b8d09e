//! How shards meet the kernel: everything that names glommio, and all `unsafe`.
//!
//! ```text
//!  start ──▶ one thread per shard ──▶ executor (glommio) ──▶ hub: turn, turn, sleep, turn, …
//!                                          ▲                   └─▶ tasks: HTTP requests, handlers
//!                                          └── a visit per millisecond while a handler waits
//! ```
//!
//! A shard's sockets are plain descriptors in one epoll ([`poller`]); the [`hub`] owns them and the
//! shard, and works in turns. Shards reach each other through the [`mesh`], foreign threads
//! through an [`inbox`]. Only what is not on the hot path is a task.

mod alarms;
mod cores;
mod counts;
mod cpu_quota;
mod eviction;
mod executor;
mod fatal;
mod flush;
mod greeting;
mod hearing;
mod http_server;
mod http_stream;
mod hub;
mod inbox;
mod kernel;
mod listen;
mod mesh;
mod poller;
mod preflight;
mod process;
mod promise;
mod reception;
mod ring;
mod send_ring;
mod sender;
mod sockets;
mod stalls;
mod start;
mod start_error;
mod sync;
mod sys;
mod tasks;
mod threads;
mod turn;
mod visit;
mod watches;

pub(crate) use hub::Hub;
pub(crate) use inbox::{Foreign, Inboxes, Unsent};
#[cfg(feature = "fault-injection")]
pub use kernel::injected_faults;
pub(crate) use process::{Gauges, Process};
pub(crate) use promise::{Promise, promise};
pub(crate) use start::{Started, start};
pub use start_error::StartError;
pub(crate) use threads::is_shard_thread;
