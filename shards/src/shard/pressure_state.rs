//! How short memory is, and how far a shard is with what it does about that.

use crate::memory::{Budget, MemoryStage};
use crate::place::Slot;
use crate::time::Time;
use crate::wait_queue::WaitQueue;

/// For which connections so much is held that they are struck: the least of it, after many looks that
/// found nothing.
pub(super) const STRIKE_BYTES_MIN: usize = 512;
pub(super) const STRIKE_BYTES_MAX: usize = 1 << 20;

/// How short the memory of the whole process is, and where a shard is with what it does about that.
#[derive(Debug)]
pub(super) struct Pressure {
    pub(super) budget: Budget,
    /// Bytes that the shard's thread holds beside the engine.
    pub(super) outside_bytes: usize,
    /// Bytes that histories have ever given way with.
    pub(super) given_way: usize,
    /// Whether memory is so short that some connections are not read, or was until the last but one
    /// time it was judged, or until some of them were looked at that time: none was read since.
    pub(super) was_unread: bool,
    /// Since when memory is short, if it is.
    pub(super) short_since: Option<Time>,
    /// When to look again, if anything is left to do.
    pub(super) due: Option<Time>,
    /// The slot from which the next look goes on, and how many of the next may still be held back.
    pub(super) next_slot: usize,
    pub(super) slots_left: usize,
    /// The connections that are read although much is held for them, in order.
    pub(super) readers: Vec<Slot>,
    /// The one after which the next turn begins; none to begin with the first.
    pub(super) last_reader: Option<Slot>,
    /// When one has its turn although memory is shorter than turns may make it.
    pub(super) lone_turn: Time,
    /// What was held when one had it last.
    pub(super) held_at_turn: usize,
    /// What is held for a connection, or in a log, that is struck: from the largest on down.
    pub(super) strike_from: usize,
    /// Publishers that wait until memory is there.
    pub(super) publishers: WaitQueue,
}

impl Pressure {
    /// Of a process that may hold so many bytes.
    pub(super) fn new(memory_bytes: usize) -> Pressure {
        Pressure {
            budget: Budget::new(memory_bytes),
            outside_bytes: 0,
            given_way: 0,
            was_unread: false,
            short_since: None,
            due: None,
            next_slot: 0,
            slots_left: 0,
            readers: Vec::new(),
            last_reader: None,
            lone_turn: Time::default(),
            held_at_turn: 0,
            strike_from: STRIKE_BYTES_MAX,
            publishers: WaitQueue::default(),
        }
    }

    /// Whether memory is at least so short.
    pub(super) fn is_short(&self, stage: MemoryStage) -> bool {
        self.budget.stage() >= stage
    }

    /// Whether memory is short, or something is still held back.
    pub(super) fn has_to_look(&self) -> bool {
        self.is_short(MemoryStage::Refusing) || self.has_held_back()
    }

    /// Whether something is still to go on that was held back.
    fn has_held_back(&self) -> bool {
        self.slots_left > 0 || !self.publishers.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.due
    }
}
