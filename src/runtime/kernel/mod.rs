//! The seam between the runtime and the kernel, where system calls fail: by themselves, and on
//! purpose.
//!
//! Every system call of a running shard, but for the writes to its journal, asks [`enter`] first. In
//! an ordinary build that is nothing.
//! With the hidden feature `fault-injection` it fails at random, so that what the table promises
//! can be tried with real sockets on the other side (`scripts/faults`).
//!
//! # What a failed call costs
//!
//! | call | fails with | costs |
//! |---|---|---|
//! | any that is interrupted | EINTR | nothing: it is made again where it is made ([`sys`]) |
//! | `accept4` | ECONNABORTED, errors of the network | nothing: the next is taken |
//! | `accept4` | EMFILE, ENFILE | the connection that has been idle for longest; with none, the new one: 503 over the descriptor in reserve |
//! | `accept4` | ENOMEM, ENOBUFS, others | a pause of 100 ms before the next |
//! | `epoll_ctl` for a connection | ENOSPC, ENOMEM | that connection; with ENOSPC it is told 503 |
//! | `epoll_ctl` for the listener | the same | a pause, then the next try |
//! | `epoll_wait` | others than EINTR | the process: this shard would hear of nothing any more |
//! | `recv`, `send`, `sendmsg` | others than EAGAIN | that connection |
//! | a send on the io_uring | others than EAGAIN | that connection |
//! | `io_uring_enter` | EAGAIN | nothing: it is made again |
//! | `io_uring_enter` | others | the ring: sends go one by one from there on; the process only if sends are under way that cannot be waited for |
//! | `timerfd_settime` | any | nothing: the shard waits by the milliseconds of `epoll_wait` until it works again |
//! | a waker's `write` | any | nothing: it is made again; the process when it never works, because that shard would sleep for ever |
//! | `setsockopt` of a connection | any | nothing: memory of a dead peer is freed later |
//! | `shutdown` | any | that connection, at its close timeout |
//! | `pwrite` to a journal | others than EINTR | that journal: it is deleted, and what the shard's rooms keep ends with the process |
//! | anything before the shard listens | any | the start: it returns a [`StartError`] |
//!
//! Each failed call is counted by its name in `/v1/stats` (`runtime.failures`). The first of a name
//! is logged at once, the others once a minute with their number ([`Failures`]).
//!
//! [`sys`]: super::sys
//! [`StartError`]: super::StartError

mod failures;
#[cfg_attr(not(feature = "fault-injection"), path = "no_faults.rs")]
mod faults;
mod syscall;

pub(crate) use failures::Failures;
#[cfg(feature = "fault-injection")]
pub use faults::injected_faults;
pub(super) use faults::{arm, cut, enter, pay_edges, shorten, watched};
pub(crate) use syscall::Syscall;
