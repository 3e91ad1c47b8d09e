//! How shards meet the kernel: the executor that runs them, and all `unsafe`.
//!
//! ```text
//!  start ──▶ one thread per shard ──▶ executor (glommio or none) ──▶ hub: turn, turn, sleep, turn, …
//!                                          ▲                          └─▶ tasks: HTTP, handlers
//!                                          └── a yield per millisecond, if the program asked for it
//! ```
//!
//! A shard's sockets are plain descriptors in one epoll ([`poller`]); the [`hub`] owns them and the
//! shard, and works in turns. Shards reach each other through the [`mesh`], external threads
//! through an [`inbox`]. Only what is not on the hot path is a task.

mod accept;
mod cores;
mod counts;
mod cpu_quota;
mod current_hub;
mod driver;
mod event_progress;
mod eviction;
mod executor;
mod executor_trial;
mod fatal;
mod flush;
mod held_back;
mod http_server;
mod http_stream;
mod hub;
mod inbox;
mod io_uring_probe;
mod kernel;
mod listen;
mod mesh;
mod obstacle;
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

pub(crate) use current_hub::current_hub;
pub(crate) use executor_trial::Trial;
pub use executor_trial::try_executor;
pub(crate) use hub::Hub;
pub(crate) use inbox::{External, Inboxes, Unsent};
#[cfg(feature = "fault-injection")]
pub use kernel::injected_faults;
pub(crate) use oneshot::{OneshotReceiver, oneshot};
pub(crate) use server_state::{Gauges, ServerState};
pub(crate) use start::{Started, start};
pub use start_error::StartError;
pub(crate) use threads::is_shard_thread;
pub(crate) use timers::Sleep;
