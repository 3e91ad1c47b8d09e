//! The rooms that have members on this shard, and the chunks of their logs.

#[cfg(any(test, debug_assertions))]
use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Index, IndexMut};
#[cfg(any(test, debug_assertions))]
use std::sync::Arc;

use crate::config::Config;
use crate::id::ShardId;
use crate::log::{ChunkPool, Log};
use crate::memory::{Sum, shared_bytes, vec_bytes};
use crate::name_index::{self, NameIndex};
use crate::policy::Policies;
use crate::room::linger::Lingering;
use crate::room::{Member, Room, SMALL_ROOM};
use crate::room_name::{RoomName, SecretHash};

/// Which entry of its shard's table a room has, for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RoomKey(u32);

impl fmt::Display for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Rooms by key, and keys by name. The room of everybody has key 0 from start to end.
#[derive(Debug)]
pub(crate) struct Rooms {
    shards: u16,
    policies: Policies,
    index: NameIndex,
    entries: Vec<Option<Room>>,
    free: Vec<RoomKey>,
    /// Bytes of the rooms' names.
    names: Sum,
    pub(crate) pool: ChunkPool,
    pub(crate) lingering: Lingering,
}

/// Bytes that so many rooms take on a shard with so many members of each, with names of this length,
/// and the room of everybody with them; none of them was published to.
pub(crate) fn bytes_with_members(rooms: usize, name: usize, members: usize) -> usize {
    let listed = if members <= SMALL_ROOM { members } else { members.next_power_of_two() };
    vec_bytes::<Option<Room>>(name_index::capacity(rooms + 1))
        + name_index::bytes(rooms + 1)
        + rooms * (shared_bytes(name) + vec_bytes::<Member>(listed))
}

/// The key of the room of everybody.
pub(crate) const EVERYBODY: RoomKey = RoomKey(0);

impl Rooms {
    pub(crate) fn new(hash: SecretHash, config: &Config) -> Rooms {
        let mut rooms = Rooms {
            shards: config.shards,
            policies: config.policies(),
            index: NameIndex::new(hash),
            entries: Vec::new(),
            free: Vec::new(),
            names: Sum::default(),
            pool: ChunkPool::new(config.limits.room_log_bytes, config.tuning),
            lingering: Lingering::default(),
        };
        let everybody = rooms.refer(&RoomName::everybody());
        assert_eq!(everybody, EVERYBODY);
        rooms
    }

    pub(crate) fn home(&self, room: &str) -> ShardId {
        self.index.home(room, self.shards)
    }

    pub(crate) fn find(&self, room: &str) -> Option<RoomKey> {
        self.index.find(room, name_in(&self.entries)).map(RoomKey)
    }

    /// The room's key for one more entry in a connection's list.
    pub(crate) fn refer(&mut self, name: &RoomName) -> RoomKey {
        let key = self.find(name.as_str()).unwrap_or_else(|| self.insert(name));
        self[key].references += 1;
        key
    }

    /// Takes back [`Rooms::refer`]; a room without references is forgotten. Its entry stays: queues name
    /// entries by key.
    pub(crate) fn unrefer(&mut self, key: RoomKey) {
        let room = &mut self[key];
        room.references -= 1;
        if room.references > 0 {
            return;
        }
        assert!(room.members.is_empty(), "every member refers to the room");
        self.index.remove(key.0, name_in(&self.entries));
        let entry = &mut self.entries[key.0 as usize];
        let room = entry.take().expect("it was just there");
        debug_assert!(room.log.is_empty(), "a log is kept for members only");
        if let Some(until) = room.linger_until {
            self.lingering.remove(until, key);
        }
        self.names.take_off(shared_bytes(room.name.as_str().len()));
        self.free.push(key);
    }

    /// Bytes of the tables and of what the rooms own, but for their logs.
    pub(crate) fn bytes(&self) -> usize {
        vec_bytes::<Option<Room>>(self.entries.capacity())
            + vec_bytes::<RoomKey>(self.free.capacity())
            + self.index.bytes()
            + self.pool.totals.heap_bytes()
            + self.names.get()
            + self.pool.lists.get()
            + self.lingering.bytes()
    }

    /// Asserts that the sums are those of all rooms, `rests` being large frames that connections refer
    /// to.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check_bytes<'a>(&'a self, rests: impl Iterator<Item = &'a Arc<[u8]>>) {
        let rooms = || self.by_key().map(|(_, room)| room);
        assert_eq!(self.index.len(), rooms().count(), "nothing else is in the index");
        let is_found = |(key, room): (RoomKey, &Room)| self.find(room.name.as_str()) == Some(key);
        assert!(self.by_key().all(is_found), "every room is in the index");
        let names = rooms().map(|room| shared_bytes(room.name.as_str().len())).sum::<usize>();
        assert_eq!(self.names.get(), names, "bytes of the names of rooms");
        let (chunks, lists) = rooms()
            .map(Room::heap_bytes)
            .fold((self.pool.unused_bytes(), 0), |(all_chunks, all_lists), (chunks, lists)| {
                (all_chunks + chunks, all_lists + lists)
            });
        assert_eq!(self.pool.lists.get(), lists, "bytes of the lists of rooms");
        let mut frames = BTreeMap::new();
        for frame in rooms().flat_map(|room| room.log.shared_frames()).chain(rests) {
            frames.insert(Arc::as_ptr(frame).cast::<u8>(), shared_bytes(frame.len()));
        }
        let large: usize = frames.values().sum();
        assert_eq!(self.pool.frames.bytes(), large, "bytes of large frames");
        assert_eq!(self.pool.bytes(), chunks + large, "bytes of chunks");
    }

    pub(crate) fn get(&self, key: RoomKey) -> Option<&Room> {
        self.entries.get(key.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, key: RoomKey) -> Option<&mut Room> {
        self.entries.get_mut(key.0 as usize)?.as_mut()
    }

    /// A room beside the pool that its log takes chunks from and gives them back to.
    pub(crate) fn with_pool(&mut self, key: RoomKey) -> (&mut Room, &mut ChunkPool) {
        let room = self.entries[key.0 as usize].as_mut().expect("every key is a reference");
        (room, &mut self.pool)
    }

    /// A few of the rooms whose logs hold so many bytes or more.
    pub(crate) fn with_logs_of(&self, bytes: usize, count: usize) -> Vec<RoomKey> {
        self.pool.totals.at_least(bytes, count).into_iter().map(RoomKey).collect()
    }

    /// The rooms with their keys.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn by_key(&self) -> impl Iterator<Item = (RoomKey, &Room)> {
        (0..).map(RoomKey).zip(&self.entries).filter_map(|(key, room)| Some((key, room.as_ref()?)))
    }

    fn insert(&mut self, name: &RoomName) -> RoomKey {
        let policy = self.policies.of(name);
        let chunk_bytes = self.pool.chunk_bytes(policy.log_bytes);
        let home = self.home(name.as_str());
        let mut room = Room::new(name.clone(), home, policy, Log::new(1, chunk_bytes));
        let free = self.free.pop();
        let key = free.unwrap_or_else(|| RoomKey(name_index::push(&mut self.entries, None)));
        room.log = room.log.counted_at(key.0);
        self.entries[key.0 as usize] = Some(room);
        self.index.insert(key.0, name_in(&self.entries));
        self.names.add(shared_bytes(name.as_str().len()));
        key
    }
}

/// What the rooms are called.
fn name_in<'a>(entries: &'a [Option<Room>]) -> impl Fn(u32) -> &'a RoomName {
    |key| &entries[key as usize].as_ref().expect("what is in the index is there").name
}

impl Index<RoomKey> for Rooms {
    type Output = Room;

    fn index(&self, key: RoomKey) -> &Room {
        self.get(key).expect("every key is a reference")
    }
}

impl IndexMut<RoomKey> for Rooms {
    fn index_mut(&mut self, key: RoomKey) -> &mut Room {
        self.get_mut(key).expect("every key is a reference")
    }
}
