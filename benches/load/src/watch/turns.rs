//! The heartbeat of a thread: what it does not do between two turns is late.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::shared::{Phase, Shared};

/// The turns of one thread.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    last: u64,
    longest: u64,
}

impl Turns {
    /// A turn ends now; what it tells others is the longest time since the one before it, of those
    /// in which something was measured.
    pub(crate) fn note(&mut self, now: u64, shared: &Shared, longest: &AtomicU64) {
        let mark = shared.milestones.mark.load(Acquire);
        let is_measured = shared.phase() >= Phase::Publish && now > mark;
        let gap = now - self.last.max(mark).min(now);
        if is_measured && gap > self.longest {
            self.longest = gap;
            longest.store(gap, Release);
        }
        self.last = now;
    }
}
