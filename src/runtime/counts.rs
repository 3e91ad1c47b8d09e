//! What shards' threads asked of the kernel, for other threads to read.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::values::Counts;

/// [`Counts`] for other threads to read. Each number is exact, but they may be a turn apart.
#[derive(Debug, Default)]
pub(crate) struct SharedCounts([AtomicU64; FIELDS]);

/// Numbers in [`Counts`].
const FIELDS: usize = 15;

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
            counts.tls_handshakes,
            counts.tls_resumed,
            counts.tls_failed,
            counts.tls_bytes,
            counts.http_bytes,
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
            tls_handshakes: read(10),
            tls_resumed: read(11),
            tls_failed: read(12),
            tls_bytes: read(13),
            http_bytes: read(14),
        }
    }
}
