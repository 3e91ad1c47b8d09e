//! How shards meet the kernel: everything that names glommio, and all `unsafe`.
//!
//! ```text
//!  start ──▶ one thread per shard ──▶ executor (glommio) ──▶ hub: turn, turn, sleep, turn, …
//!                                          ▲                   └─▶ tasks: HTTP requests, handlers
//!                                          └── a yield per millisecond while a handler waits
//! ```
//!
//! A shard's sockets are plain descriptors in one epoll ([`poller`]); the [`hub`] owns them and the
//! shard, and works in turns. Shards reach each other through the [`mesh`], external threads
//! through an [`inbox`]. Only what is not on the hot path is a task.

mod accept;
mod cores;
mod counts;
mod cpu_quota;
mod driver;
mod event_progress;
mod eviction;
mod executor;
mod executor_yield;
mod fatal;
mod flush;
mod held_back;
mod http_server;
mod http_stream;
mod hub;
mod inbox;
mod kernel;
mod listen;
mod mesh;
mod oneshot;
mod pending;
mod poller;
mod preflight;
mod registrations;
mod ring;
mod send_ring;
mod sender;
mod server_state;
mod sockets;
mod start;
mod start_error;
mod sync;
mod sys;
mod tasks;
mod threads;
mod timers;

pub(crate) use hub::Hub;
pub(crate) use inbox::{External, Inboxes, Unsent};
#[cfg(feature = "fault-injection")]
pub use kernel::injected_faults;
pub(crate) use oneshot::{OneshotReceiver, oneshot};
pub(crate) use server_state::{Gauges, ServerState};
pub(crate) use start::{Started, start};
pub use start_error::StartError;
pub(crate) use threads::is_shard_thread;
