//! The connections of one shard.

use std::ops::{Index, IndexMut};

use crate::connection::{Connection, Phase};
use crate::id::{ConnId, ShardId};
use crate::place::Slot;
use crate::rng::Rng;

/// Connections by slot. A slot keeps its generation when its occupant leaves, one higher.
#[derive(Debug)]
pub(crate) struct Connections {
    shard: ShardId,
    slots: Vec<Connection>,
    free: Vec<Slot>,
}

impl Connections {
    pub(crate) fn new(shard: ShardId) -> Connections {
        Connections { shard, slots: Vec::new(), free: Vec::new() }
    }

    /// A vacant slot. Its first generation is random, so that ids from before a restart do not
    /// match either.
    pub(crate) fn claim(&mut self, rng: &mut Rng) -> Slot {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Connection::vacant(rng.next() as u32));
            Slot::new(u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 connections"))
        })
    }

    pub(crate) fn vacate(&mut self, slot: Slot) {
        let generation = self[slot].generation.wrapping_add(1);
        self[slot] = Connection::vacant(generation);
        self.free.push(slot);
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
