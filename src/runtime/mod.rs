//! How shards meet the kernel: the executor that runs them, and all `unsafe`.
//!
//! ```text
//!  start ──▶ one thread per shard ──▶ executor ──▶ event loop: turn, turn, sleep, turn, …
//!                                  (glommio or none)     │  ▲
//!                                         ▲              ▼  └─ handle
//!                                         │            tasks: HTTP requests, handlers
//!                                         └── a yield per millisecond if the program asked for
//!                                             glommio, else per second
//! ```
//!
//! A shard's sockets are plain descriptors in one epoll ([`poller`]). The [`event_loop`] owns the
//! [`driver`], which has them and the shard, and the tasks, and works in turns. Tasks reach the
//! loop by a [`handle`]; shards reach each other through the [`mesh`], external threads through an
//! [`inbox`]. Only what is not on the hot path is a task.

mod addresses;
mod arrivals;
mod batch;
mod calls;
mod codecs;
mod control_groups;
mod cores;
mod counts;
mod cpu_quota;
mod current_shard;
mod departures;
mod driver;
mod driver_ref;
mod event_loop;
mod event_progress;
mod executor;
mod executor_trial;
mod external;
mod fatal;
mod flush;
mod handle;
mod handshakes;
mod held_back;
mod http_backend;
mod http_socket;
mod inbox;
mod io_uring_probe;
mod journal;
mod kernel;
mod listen;
mod memory_limit;
mod mesh;
mod newcomer;
mod obstacle;
mod on_shard;
mod oneshot;
mod pending;
mod placing;
mod poller;
mod preflight;
mod process_memory;
mod reception;
mod registrations;
mod reserve;
mod ring;
mod sealed;
mod sealed_sockets;
mod send_ring;
mod sender;
mod server_state;
mod settings;
mod sleep;
mod sockets;
mod start;
mod start_error;
mod sync;
mod sys;
mod tasks;
mod threads;
mod timers;
mod tls;
mod tokens;
mod turn_time;
mod woken;

#[cfg(any(test, fuzzing))]
pub(crate) use codecs::CODECS;
pub(crate) use current_shard::current_shard;
pub(crate) use executor_trial::Trial;
pub use executor_trial::try_executor;
pub(crate) use handle::ShardHandle;
pub(crate) use inbox::{External, Inboxes, Unsent};
#[cfg(feature = "fault-injection")]
pub use kernel::injected_faults;
pub(crate) use on_shard::{Instantiate, OnShard};
pub(crate) use oneshot::{OneshotReceiver, oneshot};
pub(crate) use server_state::ServerState;
pub use settings::Sends;
pub(crate) use settings::Settings;
pub(crate) use start::{Plan, Started, start};
pub use start_error::StartError;
pub(crate) use threads::is_shard_thread;
pub(crate) use tls::CertificateFiles;
