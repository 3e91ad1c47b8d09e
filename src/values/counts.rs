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
    /// Connections without a request, or slow at one, that were closed because no descriptor or no
    /// place for plain HTTP connections was left.
    pub(crate) evicted: u64,
    /// New ones that were refused, because no such one was left either. Without TLS they were told 503.
    pub(crate) refused: u64,
    /// TLS handshakes that were done.
    pub(crate) tls_handshakes: u64,
    /// Those of them that resumed a session.
    pub(crate) tls_resumed: u64,
    /// Connections that spoke no TLS, or broke its rules, before they were WebSockets or spoke HTTP.
    /// Not those that hung up or were late.
    pub(crate) tls_failed: u64,
    /// Bytes that are held now for connections that speak plain HTTP or have not said what they are:
    /// heads, bodies, answers.
    pub(crate) http_bytes: u64,
    /// Bytes that TLS keeps for connections now: begins of records that have not arrived whole, and
    /// sealed bytes that sockets have not taken.
    pub(crate) tls_bytes: u64,
}
