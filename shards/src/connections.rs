//! The connections of one shard.

use std::ops::{Index, IndexMut};

use crate::chance::Chance;
use crate::connection::{Connection, Phase};
use crate::id::{ConnId, ShardId};

/// Connections by slot. A slot keeps its generation when its occupant leaves, one higher.
#[derive(Debug)]
pub(crate) struct Connections {
    shard: ShardId,
    slots: Vec<Connection>,
    free: Vec<u32>,
}

impl Connections {
    pub(crate) fn new(shard: ShardId) -> Connections {
        Connections { shard, slots: Vec::new(), free: Vec::new() }
    }

    /// A vacant slot. Its first generation is random, so that ids from before a restart do not
    /// match either.
    pub(crate) fn claim(&mut self, chance: &mut Chance) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.slots.push(Connection::vacant(chance.next() as u32));
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 connections")
        })
    }

    pub(crate) fn vacate(&mut self, slot: u32) {
        let generation = self[slot].generation.wrapping_add(1);
        self[slot] = Connection::vacant(generation);
        self.free.push(slot);
    }

    pub(crate) fn id(&self, slot: u32) -> ConnId {
        ConnId { shard: self.shard, slot, generation: self[slot].generation }
    }

    /// The slot of a connection that is still there.
    pub(crate) fn find(&self, id: ConnId) -> Option<u32> {
        let connection = self.slots.get(id.slot as usize)?;
        let same = connection.generation == id.generation && id.shard == self.shard;
        (same && connection.phase != Phase::Vacant).then_some(id.slot)
    }

    /// Every slot, the vacant ones too.
    pub(crate) fn slots(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.slots.len()).expect("fewer than 2^32 connections")
    }
}

impl Index<u32> for Connections {
    type Output = Connection;

    fn index(&self, slot: u32) -> &Connection {
        &self.slots[slot as usize]
    }
}

impl IndexMut<u32> for Connections {
    fn index_mut(&mut self, slot: u32) -> &mut Connection {
        &mut self.slots[slot as usize]
    }
}
