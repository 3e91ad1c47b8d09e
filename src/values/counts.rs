//! What a shard's thread asked of the kernel.

/// System calls of one shard's loop by kind, and its turns, since it started. Calls of plain HTTP
/// connections and of new connections before their handshake are not counted, but for `accepts`.
///
/// Plain numbers, because only one thread counts; others read a copy.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Rounds of the loop.
    pub(crate) turns: u64,
    /// `send` and `sendmsg`.
    pub(crate) sends: u64,
    /// `io_uring_enter`, each for several sends.
    pub(crate) send_batches: u64,
    /// Sends that such a batch carried.
    pub(crate) sends_batched: u64,
    /// `recv`.
    pub(crate) reads: u64,
    /// `epoll_wait`.
    pub(crate) polls: u64,
    /// `timerfd_settime`.
    pub(crate) timer_sets: u64,
    /// `accept4`, the one included that says that no connection is left.
    pub(crate) accepts: u64,
    /// Idle connections that were closed because no descriptor was left.
    pub(crate) evicted: u64,
    /// New ones that were told 503, because no idle one was left either.
    pub(crate) refused: u64,
}
