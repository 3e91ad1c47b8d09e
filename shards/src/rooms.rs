//! The rooms that have members on this shard, and the chunks of their logs.

use std::collections::HashMap;
use std::ops::{Index, IndexMut};

use crate::config::Config;
use crate::id::ShardId;
use crate::log::ChunkPool;
use crate::room::Room;
use crate::room_name::{RoomName, SecretHash};

/// Rooms by key, and keys by name. The room of everybody has key 0 from start to end.
#[derive(Debug)]
pub(crate) struct Rooms {
    shards: u16,
    hash: SecretHash,
    index: HashMap<RoomName, u32, SecretHash>,
    slots: Vec<Option<Room>>,
    free: Vec<u32>,
    pub(crate) pool: ChunkPool,
}

/// The key of the room of everybody.
pub(crate) const EVERYBODY: u32 = 0;

impl Rooms {
    pub(crate) fn new(hash: SecretHash, config: &Config) -> Rooms {
        let mut rooms = Rooms {
            shards: config.shards,
            index: HashMap::with_hasher(hash.clone()),
            hash,
            slots: Vec::new(),
            free: Vec::new(),
            pool: ChunkPool::new(config.limits.room_log_bytes, config.tuning),
        };
        let everybody = rooms.refer(&RoomName::everybody());
        assert_eq!(everybody, EVERYBODY);
        rooms
    }

    pub(crate) fn home(&self, room: &str) -> ShardId {
        self.hash.home(room, self.shards)
    }

    pub(crate) fn find(&self, room: &str) -> Option<u32> {
        self.index.get(room).copied()
    }

    /// The room's key for one more entry in a connection's list.
    pub(crate) fn refer(&mut self, name: &RoomName) -> u32 {
        let key = self.find(name.as_str()).unwrap_or_else(|| self.insert(name));
        self[key].references += 1;
        key
    }

    /// Takes back [`Rooms::refer`]; a room that nobody refers to is forgotten.
    pub(crate) fn release(&mut self, key: u32) {
        let room = &mut self[key];
        room.references -= 1;
        if room.references > 0 {
            return;
        }
        assert!(room.members.is_empty(), "whoever is a member refers to the room");
        let slot = &mut self.slots[key as usize];
        let room = slot.take().expect("it was just there");
        debug_assert!(room.log.is_empty(), "a log is kept for members only");
        self.index.remove(&room.name);
        self.free.push(key);
    }

    pub(crate) fn get(&self, key: u32) -> Option<&Room> {
        self.slots.get(key as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut Room> {
        self.slots.get_mut(key as usize)?.as_mut()
    }

    /// A room beside the pool that its log takes chunks from and gives them back to.
    pub(crate) fn with_pool(&mut self, key: u32) -> (&mut Room, &mut ChunkPool) {
        let room = self.slots[key as usize].as_mut().expect("whoever has the key refers to it");
        (room, &mut self.pool)
    }

    /// The rooms with their keys.
    #[cfg(debug_assertions)]
    pub(crate) fn by_key(&self) -> impl Iterator<Item = (u32, &Room)> {
        (0..).zip(&self.slots).filter_map(|(key, room)| Some((key, room.as_ref()?)))
    }

    fn insert(&mut self, name: &RoomName) -> u32 {
        let mut room = Room::new(name.clone(), self.home(name.as_str()));
        let key = self.free.pop().unwrap_or_else(|| {
            if self.slots.len() == self.slots.capacity() {
                // Not twice as many: a slot is 216 bytes, and with 5,000 rooms 3,000 were unused.
                self.slots.reserve_exact(16 + self.slots.len() / 4);
            }
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 rooms")
        });
        room.log = room.log.at(key);
        self.slots[key as usize] = Some(room);
        self.index.insert(name.clone(), key);
        key
    }
}

impl Index<u32> for Rooms {
    type Output = Room;

    fn index(&self, key: u32) -> &Room {
        self.get(key).expect("whoever has the key refers to it")
    }
}

impl IndexMut<u32> for Rooms {
    fn index_mut(&mut self, key: u32) -> &mut Room {
        self.get_mut(key).expect("whoever has the key refers to it")
    }
}
