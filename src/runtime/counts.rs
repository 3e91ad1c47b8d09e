//! What a shard's thread asked of the kernel.

use std::sync::atomic::{AtomicU64, Ordering};

/// System calls of one shard's loop by kind, and its turns, since it started. Calls of plain HTTP
/// connections and of new connections before their handshake are not counted, but for `accepts`.
///
/// Plain numbers, because only one thread counts; others read the copy in
/// [`Gauges`](super::server_state::Gauges).
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
    /// `accept4`, the one included that says that nobody is left.
    pub(crate) accepts: u64,
    /// Idle connections that were closed because no descriptor was left.
    pub(crate) evicted: u64,
    /// New ones that were told 503, because no idle one was left either.
    pub(crate) refused: u64,
}

/// The same for other threads to read. Each number is exact, but they may be a turn apart.
#[derive(Debug, Default)]
pub(crate) struct SharedCounts([AtomicU64; Counts::FIELDS]);

impl Counts {
    const FIELDS: usize = 10;
}

impl SharedCounts {
    pub(super) fn set(&self, counts: &Counts) {
        let now = [
            counts.turns,
            counts.sends,
            counts.send_batches,
            counts.sends_batched,
            counts.reads,
            counts.polls,
            counts.timer_sets,
            counts.accepts,
            counts.evicted,
            counts.refused,
        ];
        for (shared, now) in self.0.iter().zip(now) {
            shared.store(now, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self) -> Counts {
        let read = |place: usize| self.0[place].load(Ordering::Relaxed);
        Counts {
            turns: read(0),
            sends: read(1),
            send_batches: read(2),
            sends_batched: read(3),
            reads: read(4),
            polls: read(5),
            timer_sets: read(6),
            accepts: read(7),
            evicted: read(8),
            refused: read(9),
        }
    }
}
