//! Which connections are not read, and whether publishers pause, while memory is short.

use super::host::Host;
use crate::memory::MemoryStage;
use crate::place::Slot;

/// What is held for one connection up to here is no reason not to read it.
const FAIR_BYTES_MIN: usize = 4 << 10;

impl Host {
    /// Whether a connection is not read because more is held for it than for most. Where little is held
    /// for all of them together, that would gain nothing; and a few of them have their turn at any time,
    /// so that each gets on. A client that has hung up ends when it is read.
    pub(super) fn is_held_back(&self, slot: Slot) -> bool {
        let connection = &self.directory[slot];
        if !self.pressure.is_short(MemoryStage::Unread)
            || !connection.is_open()
            || connection.hung_up
        {
            return false;
        }
        let connections = &self.directory.connections;
        let all = connections.inbound_bytes() + connections.direct_bytes();
        let part = self.pressure.budget.small_part() / usize::from(self.config.shards.max(1));
        if all < part || self.pressure.readers.contains(&slot) {
            return false;
        }
        let fair = part / connections.holders().max(1);
        connections.held_for(slot) > fair.max(FAIR_BYTES_MIN)
    }

    /// How many bytes of a connection may be read at once: while memory is short few, because all of
    /// them may have to be kept, unless it is its turn.
    pub(super) fn read_max(&self, slot: Slot) -> usize {
        let has_turn = self.pressure.readers.contains(&slot) || !self.directory[slot].is_open();
        match self.pressure.is_short(MemoryStage::Unread) && !has_turn {
            true => FAIR_BYTES_MIN,
            false => usize::MAX,
        }
    }

    /// Whether publishers pause: until what they published is delivered. If that is little, what they
    /// still have to say is better sent than kept.
    pub(super) fn pauses_publishers(&self) -> bool {
        let own = self.directory.rooms.pool.totals.total() as usize;
        let logs = own.saturating_add(self.pressure.budget.others.logs);
        self.pressure.is_short(MemoryStage::Pausing) && logs >= self.pressure.budget.small_part()
    }
}
