//! How many bytes the shard holds, and how many it and the others may hold.

use super::Shard;
use super::host::Host;
use super::relief::Relief;
use crate::memory::{HeapBytes, MemoryStage, MemoryUse, OthersMemory};

impl Shard {
    /// The bytes that this shard holds now. Asking costs the same whatever the number of rooms and
    /// connections.
    pub fn memory(&self) -> MemoryUse {
        let mut held = self.host.memory();
        held.rooms += self.home.bytes();
        held.history += self.home.history_bytes();
        held.presence += self.home.presence_bytes();
        held
    }

    /// Event: the shard's thread holds so many bytes beside the engine, for its clients and for longer
    /// than a turn: what arrived before a handshake, bodies of requests, ciphertext. It replaces what
    /// was said before.
    pub fn on_outside_memory(&mut self, bytes: usize) {
        self.host.pressure.outside_bytes = bytes;
    }

    /// Event: the other shards and the process hold so much. From the next [`Shard::on_time`] on it
    /// counts against `memory_bytes`, together with what this shard holds.
    pub fn on_others_memory(&mut self, others: OthersMemory) {
        self.host.pressure.budget.others = others;
    }

    /// Bytes that histories have ever given way with. The allocator may still hold what it was given
    /// lately: the caller should say of the process that it holds less by that, or else histories give
    /// way again for the same bytes.
    pub fn given_way(&self) -> usize {
        self.host.pressure.given_way
    }

    /// How short memory is.
    pub fn memory_stage(&self) -> MemoryStage {
        self.host.pressure.budget.stage()
    }

    /// Compares what all shards hold with what they may. Histories give way before anything else does:
    /// each shard frees its part of what is too much.
    pub(super) fn judge_memory(&mut self) {
        let own = self.memory().total();
        let excess = self.host.pressure.budget.excess(MemoryStage::Refusing, own);
        let part = excess.div_ceil(usize::from(self.host.config.shards.max(1)));
        let freed = self.home.give_way(part, self.host.now);
        self.host.pressure.given_way += freed;
        let own = own - freed;
        Relief(&mut self.host).judge(own);
        self.home.set_short(self.host.pressure.is_short(MemoryStage::Refusing));
    }
}

impl Host {
    fn memory(&self) -> MemoryUse {
        let (connections, rooms) = (&self.directory.connections, &self.directory.rooms);
        let of_clients = self.clients.bytes() + self.rates.bytes() + self.directory.streams.bytes();
        MemoryUse {
            connections: connections.bytes() + self.timers.bytes() + of_clients,
            inbound: connections.inbound_bytes()
                + self.spare_inbound.heap_bytes()
                + self.inflation.heap_bytes(),
            direct: connections.direct_bytes(),
            rooms: rooms.bytes(),
            logs: rooms.pool.bytes(),
            history: connections.replay_bytes(),
            presence: self.directory.watchers.bytes(),
            mesh: self.outboxes.bytes(),
            outside: self.pressure.outside_bytes,
        }
    }

    /// Asserts that whatever is counted as it changes is what a count finds.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check_memory(&self) {
        self.directory.connections.check_bytes();
        let slots = self.directory.connections.slots();
        let directs = slots.filter_map(|slot| self.directory[slot].direct.as_ref());
        self.directory.rooms.check_bytes(directs.flat_map(|direct| direct.shared_frames()));
        self.timers.check();
        self.directory.streams.check_bytes();
        let slots = self.directory.connections.slots();
        self.clients
            .users
            .check_bytes(slots.filter_map(|slot| self.directory[slot].identity.as_deref()));
        self.clients.revocations.check_bytes();
    }
}
