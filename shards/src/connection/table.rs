//! The connections of one shard.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use crate::connection::direct_outbox::DirectOutbox;
use crate::connection::inbound::Inbound;
use crate::connection::replays::Replays;
use crate::connection::{Connection, Memberships, Phase};
use crate::id::{ConnId, ShardId};
use crate::memory::{HeapBytes, SharedFrames, Sum, vec_bytes};
use crate::place::Slot;
use crate::rng::Rng;

/// Connections by slot. A slot keeps its generation when its occupant leaves, one higher.
#[derive(Debug)]
pub(crate) struct Connections {
    shard: ShardId,
    slots: Vec<Connection>,
    free: Vec<Slot>,
    /// Bytes of the connections' lists of rooms.
    lists: Sum,
    /// Bytes of what arrived and is not handled.
    inbound: Sum,
    /// Bytes of what waits for single connections, but for large frames.
    direct: Sum,
    /// Bytes of the lists of what connections are sent of histories.
    replays: Sum,
    /// How many connections have one.
    replaying: usize,
    /// Connections for which something is held, counted once for input and once for direct bytes.
    holders: usize,
}

/// What a connection may have in queues beside its entry here: those of connections to be sent to, to
/// be resumed and to be closed, one queue in which it waits (twice, see
/// [`WaitQueue`](crate::wait_queue::WaitQueue)), and what is kept by slot.
const QUEUES_BYTES: usize = 96;

impl Connections {
    pub(crate) fn new(shard: ShardId) -> Connections {
        let sums = [(); 3].map(|()| Sum::default());
        let [lists, inbound, direct] = sums;
        Connections {
            shard,
            slots: Vec::new(),
            free: Vec::new(),
            lists,
            inbound,
            direct,
            replays: Sum::default(),
            replaying: 0,
            holders: 0,
        }
    }

    /// A vacant slot. Its first generation is random, so that ids from before a restart do not
    /// match either.
    pub(crate) fn claim(&mut self, rng: &mut Rng) -> Slot {
        self.free.pop().unwrap_or_else(|| {
            if self.slots.len() == self.slots.capacity() {
                // Doubling would leave up to half of the largest table of a shard unused.
                self.slots.reserve_exact(16 + self.slots.len() / 4);
            }
            self.slots.push(Connection::vacant(rng.next() as u32));
            Slot::new(u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 connections"))
        })
    }

    pub(crate) fn vacate(&mut self, slot: Slot) {
        let generation = self[slot].generation.wrapping_add(1);
        self.change_lists(slot, |memberships, lists| memberships.free(lists));
        self[slot] = Connection::vacant(generation);
        self.free.push(slot);
    }

    /// Changes a connection's list of rooms together with the sum that counts it.
    pub(crate) fn change_lists<R>(
        &mut self,
        slot: Slot,
        change: impl FnOnce(&mut Memberships, &mut Sum) -> R,
    ) -> R {
        change(&mut self.slots[slot.number() as usize].memberships, &mut self.lists)
    }

    /// Changes what arrived from a connection and is not handled.
    pub(crate) fn change_inbound<R>(
        &mut self,
        slot: Slot,
        change: impl FnOnce(&mut Option<Box<Inbound>>) -> R,
    ) -> R {
        let inbound = &mut self.slots[slot.number() as usize].inbound;
        let before = usize::from(inbound.is_some());
        let result = inbound.change(&mut self.inbound, change);
        self.holders = self.holders + usize::from(inbound.is_some()) - before;
        result
    }

    /// Changes what waits for one connection alone. Large frames that it refers to are counted among
    /// `frames`.
    pub(crate) fn change_direct<R>(
        &mut self,
        slot: Slot,
        frames: &mut SharedFrames,
        change: impl FnOnce(&mut Option<Box<DirectOutbox>>) -> R,
    ) -> R {
        let direct = &mut self.slots[slot.number() as usize].direct;
        let shared = |direct: &Option<Box<DirectOutbox>>| -> Vec<Arc<[u8]>> {
            direct.iter().flat_map(|direct| direct.shared_frames()).cloned().collect()
        };
        let (before, held) = (shared(direct), usize::from(direct.is_some()));
        let result = direct.change(&mut self.direct, change);
        self.holders = self.holders + usize::from(direct.is_some()) - held;
        direct
            .iter()
            .flat_map(|direct| direct.shared_frames())
            .for_each(|frame| frames.hold(frame));
        before.iter().for_each(|frame| frames.release(frame));
        result
    }

    /// Changes what a connection is to be sent of histories.
    pub(crate) fn change_replays<R>(
        &mut self,
        slot: Slot,
        change: impl FnOnce(&mut Replays) -> R,
    ) -> R {
        let replays = &mut self.slots[slot.number() as usize].replays;
        let before = usize::from(replays.is_some());
        let result = replays.change(&mut self.replays, |replays| {
            let result = change(replays.get_or_insert_default());
            *replays = replays.take().filter(|replays| !replays.is_empty());
            result
        });
        self.replaying = self.replaying + usize::from(replays.is_some()) - before;
        result
    }

    /// Connections that are still to be sent histories.
    pub(crate) fn replaying(&self) -> usize {
        self.replaying
    }

    /// Bytes of the lists of what connections are sent of histories.
    pub(crate) fn replay_bytes(&self) -> usize {
        self.replays.get()
    }

    /// Bytes of the entries and of the connections' lists.
    pub(crate) fn bytes(&self) -> usize {
        vec_bytes::<Connection>(self.slots.capacity())
            + self.slots.capacity() * QUEUES_BYTES
            + vec_bytes::<Slot>(self.free.capacity())
            + self.lists.get()
    }

    /// Bytes of what arrived and is not handled.
    pub(crate) fn inbound_bytes(&self) -> usize {
        self.inbound.get()
    }

    /// Bytes of what waits for single connections.
    pub(crate) fn direct_bytes(&self) -> usize {
        self.direct.get()
    }

    /// What is held for one connection: input that is not handled, and direct bytes.
    pub(crate) fn held_for(&self, slot: Slot) -> usize {
        let connection = &self[slot];
        let shared = connection.direct.iter().flat_map(|direct| direct.shared_frames());
        connection.inbound.heap_bytes()
            + connection.direct.heap_bytes()
            + shared.map(|frame| frame.len()).sum::<usize>()
    }

    /// For how many connections something is held, at most.
    pub(crate) fn holders(&self) -> usize {
        self.holders
    }

    /// A few slots from this one on, and from where to go on; nothing behind the last.
    pub(crate) fn slots_from(
        &self,
        first: usize,
        count: usize,
    ) -> (impl Iterator<Item = Slot> + use<>, usize) {
        let end = self.slots.len().min(first + count);
        let slots = first..end;
        (slots.map(|slot| Slot::new(slot as u32)), if end < self.slots.len() { end } else { 0 })
    }

    /// Asserts that the sums are those of all connections.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check_bytes(&self) {
        let sum = |of: fn(&Connection) -> usize| self.slots.iter().map(of).sum::<usize>();
        assert_eq!(self.lists.get(), sum(|c| c.memberships.heap_bytes()), "bytes of lists");
        assert_eq!(self.inbound.get(), sum(|c| c.inbound.heap_bytes()), "bytes of input");
        assert_eq!(self.direct.get(), sum(|c| c.direct.heap_bytes()), "direct bytes");
        assert_eq!(self.replays.get(), sum(|c| c.replays.heap_bytes()), "bytes of replays");
        let replaying = self.slots.iter().filter(|connection| connection.replays.is_some()).count();
        assert_eq!(self.replaying, replaying, "connections that are sent histories");
        let held =
            |c: &Connection| usize::from(c.inbound.is_some()) + usize::from(c.direct.is_some());
        assert_eq!(self.holders, sum(held), "connections for which something is held");
    }

    pub(crate) fn id(&self, slot: Slot) -> ConnId {
        ConnId { shard: self.shard, slot: slot.number(), generation: self[slot].generation }
    }

    /// The slot of a connection that is still there.
    pub(crate) fn find(&self, id: ConnId) -> Option<Slot> {
        let connection = self.slots.get(id.slot as usize)?;
        let same = connection.generation == id.generation && id.shard == self.shard;
        (same && connection.phase() != Phase::Vacant).then_some(Slot::new(id.slot))
    }

    /// Every slot, the vacant ones too.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        let count = u32::try_from(self.slots.len()).expect("fewer than 2^32 connections");
        (0..count).map(Slot::new)
    }
}

impl Index<Slot> for Connections {
    type Output = Connection;

    fn index(&self, slot: Slot) -> &Connection {
        &self.slots[slot.number() as usize]
    }
}

impl IndexMut<Slot> for Connections {
    fn index_mut(&mut self, slot: Slot) -> &mut Connection {
        &mut self.slots[slot.number() as usize]
    }
}
