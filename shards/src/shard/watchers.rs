//! Which members here watch who is in their rooms, and what they are still to be told.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use crate::memory::{Sum, map_bytes, shared_bytes, tree_bytes, vec_bytes};
use crate::place::Slot;
use crate::room::table::RoomKey;

/// The members of one shard that watch who is in their rooms.
///
/// A change is told to some of them in each turn. Who begins to watch meanwhile knows it already: each
/// has the version that it was told last.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    rooms: HashMap<RoomKey, OfRoom>,
    /// How often a room got its first watcher: a room's key may be another's after it.
    begun: u64,
    /// Changes in the order in which they came.
    changes: VecDeque<Change>,
    /// Bytes of the frames of these, each counted as if it were not shared.
    frames: Sum,
    /// Watchers of all rooms.
    count: usize,
}

#[derive(Debug)]
struct OfRoom {
    begun: u64,
    /// The version that each was told last.
    told: BTreeMap<Slot, u64>,
}

#[derive(Debug)]
struct Change {
    room: RoomKey,
    /// Of which the watchers are.
    begun: u64,
    version: u64,
    frame: Arc<[u8]>,
    /// The last watcher that was told.
    after: Option<Slot>,
}

impl Watchers {
    /// A member begins to watch, and knows this version.
    pub(super) fn watch(&mut self, room: RoomKey, slot: Slot, version: u64) {
        let of_room = self.rooms.entry(room).or_insert_with(|| {
            self.begun += 1;
            OfRoom { begun: self.begun, told: BTreeMap::new() }
        });
        let before = of_room.told.insert(slot, version);
        debug_assert_eq!(before, None, "a member begins to watch once");
        self.count += 1;
    }

    /// A member watches no more, if it did.
    pub(super) fn forget(&mut self, room: RoomKey, slot: Slot) {
        let Some(of_room) = self.rooms.get_mut(&room) else { return };
        self.count -= usize::from(of_room.told.remove(&slot).is_some());
        if of_room.told.is_empty() {
            self.rooms.remove(&room);
        }
        if self.rooms.is_empty() {
            *self = Watchers { begun: self.begun, ..Watchers::default() };
        }
    }

    /// The watchers of a room are to be told of this change.
    pub(super) fn push_change(&mut self, room: RoomKey, version: u64, frame: Arc<[u8]>) {
        let Some(of_room) = self.rooms.get(&room) else { return };
        self.frames.add(shared_bytes(frame.len()));
        let begun = of_room.begun;
        self.changes.push_back(Change { room, begun, version, frame, after: None });
    }

    /// The next watcher that is to be told of a change, and what it is sent; none while it has no
    /// place for that.
    pub(super) fn next_told(
        &mut self,
        has_place: impl Fn(Slot, usize) -> bool,
    ) -> Option<(Slot, Arc<[u8]>)> {
        loop {
            let change = self.changes.front_mut()?;
            let of_room = self.rooms.get_mut(&change.room);
            let from = change.after.map_or(Bound::Unbounded, Bound::Excluded);
            let mut rest = of_room
                .filter(|of_room| of_room.begun == change.begun)
                .map(|of_room| of_room.told.range_mut((from, Bound::Unbounded)))
                .into_iter()
                .flatten();
            let next = rest.find(|(_, told)| **told < change.version);
            if let Some((slot, told)) = next {
                if !has_place(*slot, change.frame.len()) {
                    return None;
                }
                debug_assert_eq!(*told + 1, change.version, "versions have no hole");
                (*told, change.after) = (change.version, Some(*slot));
                return Some((*slot, Arc::clone(&change.frame)));
            }
            self.frames.take_off(shared_bytes(change.frame.len()));
            self.changes.pop_front();
        }
    }

    /// The changes that one watcher is still to be told: it is told them now.
    pub(super) fn catch_up(&mut self, room: RoomKey, slot: Slot) -> Vec<Arc<[u8]>> {
        let Some(of_room) = self.rooms.get_mut(&room) else { return Vec::new() };
        let begun = of_room.begun;
        let Some(told) = of_room.told.get_mut(&slot) else { return Vec::new() };
        let is_of = |change: &&Change| change.room == room && change.begun == begun;
        let missed = self.changes.iter().filter(is_of).filter(|change| change.version > *told);
        let missed: Vec<_> =
            missed.map(|change| (change.version, Arc::clone(&change.frame))).collect();
        *told = missed.last().map_or(*told, |(version, _)| *version);
        missed.into_iter().map(|(_, frame)| frame).collect()
    }

    /// Whether anybody may still have to be told anything.
    pub(super) fn have_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// How many changes wait.
    pub(super) fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Bytes of all of it.
    pub(super) fn bytes(&self) -> usize {
        map_bytes::<RoomKey, OfRoom>(self.rooms.capacity())
            + tree_bytes::<Slot, u64>(self.count)
            + vec_bytes::<Change>(self.changes.capacity())
            + self.frames.get()
    }

    /// Asserts that watchers and frames are counted.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) {
        let count: usize = self.rooms.values().map(|of_room| of_room.told.len()).sum();
        assert_eq!(self.count, count, "watchers");
        let frames = self.changes.iter().map(|change| shared_bytes(change.frame.len()));
        assert_eq!(self.frames.get(), frames.sum::<usize>(), "bytes of changes of presence");
    }

    /// Watchers of all rooms.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether this member watches.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn contains(&self, room: RoomKey, slot: Slot) -> bool {
        self.rooms.get(&room).is_some_and(|of_room| of_room.told.contains_key(&slot))
    }
}
