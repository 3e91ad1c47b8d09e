//! What a home shard knows of its rooms.

use std::collections::btree_map::BTreeMap;
use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use crate::chance::Chance;
use crate::epoch::Epoch;
use crate::id::ShardId;
use crate::message::RoomInfo;
use crate::room_name::{RoomName, SecretHash};
use crate::time::Time;

/// One room, at home: the order of its messages, and who is interested in them.
///
/// Invariant: `members` is the sum of the interest's counts, and a shard that presses has members.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) epoch: Epoch,
    /// The offset of the last message.
    pub(crate) offset: u64,
    /// How many members each shard has; shards without members are absent.
    interest: Vec<(ShardId, u32)>,
    members: u32,
    pressed_by: Vec<ShardId>,
    lingers_until: Option<Deadline>,
}

/// When a room ends, and a number that makes deadlines differ.
type Deadline = (Time, u64);

impl Home {
    fn new(epoch: Epoch) -> Home {
        Home {
            epoch,
            offset: 0,
            interest: Vec::new(),
            members: 0,
            pressed_by: Vec::new(),
            lingers_until: None,
        }
    }

    pub(crate) fn members(&self) -> u32 {
        self.members
    }

    /// The shards that have members.
    pub(crate) fn interested(&self) -> impl Iterator<Item = ShardId> {
        self.interest.iter().map(|(shard, _)| *shard)
    }

    pub(crate) fn join(&mut self, shard: ShardId) {
        self.members += 1;
        match self.interest.iter_mut().find(|(with_members, _)| *with_members == shard) {
            Some((_, count)) => *count += 1,
            None => self.interest.push((shard, 1)),
        }
    }

    /// Takes one member away. Returns true when publishing may go on because of it: nobody presses
    /// on behalf of members that it no longer has.
    pub(crate) fn leave(&mut self, shard: ShardId) -> bool {
        let place = self.interest.iter().position(|(with_members, _)| *with_members == shard);
        let place = place.expect("exactly one leave follows each join, on the same lane");
        self.members -= 1;
        self.interest[place].1 -= 1;
        if self.interest[place].1 > 0 {
            return false;
        }
        self.interest.swap_remove(place);
        self.press(shard, false) == Some(false)
    }

    /// Takes note of a shard's press. Returns the room's state if that changed it.
    pub(crate) fn press(&mut self, shard: ShardId, pressed: bool) -> Option<bool> {
        let before = !self.pressed_by.is_empty();
        self.pressed_by.retain(|presses| *presses != shard);
        if pressed && self.interested().any(|with_members| with_members == shard) {
            self.pressed_by.push(shard);
        }
        let after = !self.pressed_by.is_empty();
        (before != after).then_some(after)
    }

    fn info(&self, room: &RoomName) -> RoomInfo {
        RoomInfo {
            room: room.clone(),
            members: self.members,
            offset: self.offset,
            epoch: self.epoch,
        }
    }
}

/// All rooms that live here.
#[derive(Debug)]
pub(crate) struct Homes {
    shard: ShardId,
    start: u64,
    lives: u64,
    rooms: HashMap<RoomName, Home, SecretHash>,
    /// The same rooms by name, for lists; without the room of everybody.
    names: BTreeSet<RoomName>,
    /// Rooms without members, those whose end is nearest first.
    lingering: BTreeMap<Deadline, RoomName>,
    sequence: u64,
}

/// How long rooms without members live, and how many of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linger {
    pub(crate) duration: std::time::Duration,
    pub(crate) rooms_max: usize,
}

impl Homes {
    pub(crate) fn new(shard: ShardId, hash: SecretHash, start: &mut Chance) -> Homes {
        Homes {
            shard,
            start: start.next(),
            lives: 0,
            rooms: HashMap::with_hasher(hash),
            names: BTreeSet::new(),
            lingering: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Creates the room of everybody, in which all shards are interested from start to end.
    pub(crate) fn open_everybody(&mut self, shards: impl Iterator<Item = ShardId>) {
        let everybody = self.get_or_create(&RoomName::everybody());
        everybody.interest = shards.map(|shard| (shard, 1)).collect();
    }

    /// How many rooms live here.
    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }

    /// How many rooms are pressed, counted.
    #[cfg(debug_assertions)]
    pub(crate) fn pressed_count(&self) -> usize {
        self.rooms.values().filter(|home| !home.pressed_by.is_empty()).count()
    }

    /// Asserts that exactly the rooms without members linger, and no more of them than may.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self, rooms_max: usize) {
        let without = |(name, home): &(&RoomName, &Home)| home.members == 0 && !name.is_everybody();
        let without = self.rooms.iter().filter(without).count();
        assert_eq!(self.lingering.len(), without, "rooms without members linger, and no others");
        assert!(without <= rooms_max, "{without} rooms linger, and no more than {rooms_max} may");
        for (deadline, room) in &self.lingering {
            let until = self.rooms.get(room).and_then(|home| home.lingers_until.as_ref());
            assert_eq!(until, Some(deadline), "a room knows when it ends");
        }
    }

    pub(crate) fn get_mut(&mut self, room: &RoomName) -> Option<&mut Home> {
        self.rooms.get_mut(room)
    }

    /// A room exists from its first join or publish.
    pub(crate) fn get_or_create(&mut self, room: &RoomName) -> &mut Home {
        if !self.rooms.contains_key(room) {
            self.lives += 1;
            let epoch = Epoch::new(self.start, self.shard, self.lives);
            self.rooms.insert(room.clone(), Home::new(epoch));
            if !room.is_everybody() {
                self.names.insert(room.clone());
            }
        }
        self.rooms.get_mut(room).expect("it was there or has just been inserted")
    }

    /// To be called after each join, leave and publish: a room with members does not linger, one
    /// without lingers from now on.
    pub(crate) fn touch(&mut self, room: &RoomName, now: Time, linger: Linger) {
        let Some(home) = self.rooms.get_mut(room) else { return };
        if let Some(deadline) = home.lingers_until.take() {
            self.lingering.remove(&deadline);
        }
        if home.members > 0 || room.is_everybody() {
            return;
        }
        self.sequence += 1;
        let deadline = (now + linger.duration, self.sequence);
        home.lingers_until = Some(deadline);
        self.lingering.insert(deadline, room.clone());
        if self.lingering.len() > linger.rooms_max {
            self.end_oldest();
        }
    }

    /// Ends the rooms whose time has come.
    pub(crate) fn on_time(&mut self, now: Time) {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            self.end_oldest();
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.lingering.first_key_value().map(|((time, _), _)| *time)
    }

    fn end_oldest(&mut self) {
        let Some((_, room)) = self.lingering.pop_first() else { return };
        self.rooms.remove(&room);
        self.names.remove(&room);
    }

    pub(crate) fn info(&self, room: &RoomName) -> Option<RoomInfo> {
        self.rooms.get(room).map(|home| home.info(room))
    }

    /// At most `limit` rooms in order of their names, from behind `after`.
    pub(crate) fn list(&self, after: Option<&str>, limit: usize) -> Vec<RoomInfo> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.names.range::<str, _>((from, Bound::Unbounded)).take(limit);
        names.filter_map(|name| self.info(name)).collect()
    }
}
