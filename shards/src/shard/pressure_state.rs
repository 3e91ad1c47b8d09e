//! How far a shard is with what it does while memory is short.

use crate::place::Slot;
use crate::time::Time;
use crate::wait_queue::WaitQueue;

/// For which connections so much is held that they are struck: the least of it, after many looks that
/// found nothing.
pub(super) const STRIKE_BYTES_MIN: usize = 512;
pub(super) const STRIKE_BYTES_MAX: usize = 1 << 20;

/// Where a shard is with what it does while memory is short.
#[derive(Debug)]
pub(super) struct Pressure {
    /// When to look again, if anything is left to do.
    pub(super) due: Option<Time>,
    /// The slot from which the next look goes on, and how many of the next may still be held back.
    pub(super) next_slot: usize,
    pub(super) slots_left: usize,
    /// The connections that are read although much is held for them, in order.
    pub(super) readers: Vec<Slot>,
    /// What is held for a connection, or in a log, that is struck: from the largest on down.
    pub(super) strike_from: usize,
    /// Publishers that wait until memory is there.
    pub(super) publishers: WaitQueue,
}

impl Default for Pressure {
    fn default() -> Pressure {
        Pressure {
            due: None,
            next_slot: 0,
            slots_left: 0,
            readers: Vec::new(),
            strike_from: STRIKE_BYTES_MAX,
            publishers: WaitQueue::default(),
        }
    }
}

impl Pressure {
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due
    }
}
