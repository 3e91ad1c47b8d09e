//! What a home keeps of each of its rooms, and when a room without members ends.

use std::collections::BTreeSet;
use std::collections::btree_map::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use super::remembered::{Remembered, Stopped};
use crate::config::Config;
use crate::epoch::Epoch;
use crate::format::{Encoding, EncodingCounts, Encodings};
use crate::history::{Deadline, Histories, HistoryKey};
use crate::id::ShardId;
use crate::journal::KeptRoom;
use crate::memory::{HeapBytes, Sum, shared_bytes, tree_bytes, vec_bytes};
use crate::mesh::RoomInfo;
use crate::name_index::{self, NameIndex};
use crate::policy::Policies;
use crate::rng::Rng;
use crate::room_name::{RoomName, SecretHash};
use crate::time::Time;

/// One room, as its home keeps it: where its messages have got to, and which shards need them.
///
/// Invariant: every shard with interest has members. `members` is the sum of the interest's counts,
/// but 0 for the room of everybody: its interest does not count connections.
#[derive(Debug)]
pub(crate) struct HomeRoom {
    name: RoomName,
    pub(crate) epoch: Epoch,
    /// The offset of the last message.
    pub(crate) offset: u64,
    /// The shards that have members.
    interest: Vec<Interest>,
    members: u32,
    /// It has members only until their leaves come: there were too many rooms when they joined.
    is_refused: bool,
    expires_at: Option<Deadline>,
    /// What it keeps, from its first message on and if it keeps any.
    pub(super) history: Option<HistoryKey>,
}

/// A shard with members of a room.
#[derive(Debug)]
struct Interest {
    shard: ShardId,
    /// Whether it asks for a pause.
    pauses: bool,
    /// How many members it has, by their encoding.
    members: EncodingCounts,
}

impl HomeRoom {
    fn new(name: &RoomName, epoch: Epoch) -> HomeRoom {
        HomeRoom {
            name: name.clone(),
            epoch,
            offset: 0,
            history: None,
            interest: Vec::new(),
            members: 0,
            is_refused: false,
            expires_at: None,
        }
    }

    pub(crate) fn members(&self) -> u32 {
        self.members
    }

    /// The shards that have members, with the encodings that these need.
    pub(crate) fn interested(&self) -> impl Iterator<Item = (ShardId, Encodings)> {
        self.interest.iter().map(|interest| (interest.shard, interest.members.needed()))
    }

    /// The encodings that any member needs.
    pub(crate) fn needed(&self) -> Encodings {
        self.interested().fold(Encodings::default(), |all, (_, needed)| all.and(needed))
    }

    fn join(&mut self, shard: ShardId, encoding: Encoding) {
        self.members += 1;
        let index = self.index_of(shard).unwrap_or_else(|| {
            if self.interest.len() < FEW_SHARDS {
                self.interest.reserve_exact(1);
            }
            let members = EncodingCounts::default();
            self.interest.push(Interest { shard, pauses: false, members });
            self.interest.len() - 1
        });
        self.interest[index].members.add(encoding);
    }

    fn index_of(&self, shard: ShardId) -> Option<usize> {
        self.interest.iter().position(|interest| interest.shard == shard)
    }

    /// Counts one member less. Returns whether that resumes the room: a shard without members asks
    /// for no pause.
    fn leave(&mut self, shard: ShardId, encoding: Encoding) -> bool {
        let index = self.index_of(shard);
        let index = index.expect("exactly one leave follows each join, on the same outbox");
        self.members -= 1;
        self.interest[index].members.remove(encoding);
        if !self.interest[index].members.is_empty() {
            return false;
        }
        let gone = self.interest.swap_remove(index);
        gone.pauses && !self.is_paused()
    }

    fn is_paused(&self) -> bool {
        self.interest.iter().any(|interest| interest.pauses)
    }

    /// A shard asks for a pause, or no longer. Returns whether the room is paused, if that changed.
    fn pause(&mut self, shard: ShardId, paused: bool) -> Option<bool> {
        let before = self.is_paused();
        let index = self.index_of(shard)?;
        self.interest[index].pauses = paused;
        let after = self.is_paused();
        (before != after).then_some(after)
    }

    /// Asserts the invariant.
    #[cfg(any(test, debug_assertions))]
    fn check(&self) {
        let has_members = |interest: &Interest| !interest.members.is_empty();
        assert!(self.interest.iter().all(has_members), "shards without members are absent");
        let counted: u32 = self.interest.iter().map(|interest| interest.members.sum()).sum();
        let members = if self.name.is_everybody() { 0 } else { counted };
        assert_eq!(self.members, members, "members are counted per shard and encoding");
    }

    fn info(&self) -> RoomInfo {
        RoomInfo {
            room: self.name.clone(),
            members: self.members,
            offset: self.offset,
            epoch: self.epoch,
        }
    }
}

/// All rooms that live here.
#[derive(Debug)]
pub(crate) struct HomeRooms {
    shard: ShardId,
    start: u64,
    lives: u64,
    index: NameIndex,
    rooms: Vec<HomeRoom>,
    /// The same rooms by name, for lists; without the room of everybody.
    names: BTreeSet<RoomName>,
    /// Rooms with members that were not refused; without the room of everybody.
    admitted: usize,
    /// Rooms without members, those whose end is nearest first.
    idle: BTreeMap<Deadline, RoomName>,
    sequence: u64,
    policies: Policies,
    /// Whether any room keeps messages: otherwise no policy is looked up here.
    keeps_anything: bool,
    pub(super) histories: Histories,
    remembered: Remembered,
    /// How many rooms end at once, and how many are forgotten.
    per_turn: usize,
    /// When more of what is due is done, if that was too much for one turn.
    goes_on_at: Time,
    /// Bytes of the rooms' names, and of what the rooms own.
    owned: Sum,
}

/// After so long the next turn goes on with what was too much for one.
const PAUSE: Duration = Duration::from_millis(1);

/// Memory for this many rooms is kept.
const FEW_ROOMS: usize = 64;

/// Rooms whose members are on up to this many shards have a list of exactly these.
const FEW_SHARDS: usize = 4;

impl HeapBytes for HomeRoom {
    fn heap_bytes(&self) -> usize {
        vec_bytes::<Interest>(self.interest.capacity())
    }
}

/// Bytes that so many rooms take at their home, with names of this length and members on so many
/// shards each.
pub(crate) fn bytes_at_home(rooms: usize, name: usize, shards: usize) -> usize {
    let interested = if shards <= FEW_SHARDS { shards } else { shards.next_power_of_two() };
    name_index::bytes(rooms)
        + vec_bytes::<HomeRoom>(name_index::capacity(rooms))
        + tree_bytes::<RoomName, ()>(rooms)
        + rooms * (shared_bytes(name) + vec_bytes::<Interest>(interested))
}

/// How long rooms without members live, and how many of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleTtl {
    pub(crate) duration: Duration,
    pub(crate) rooms_max: usize,
    /// While memory is short, no more rooms linger than before, and none that was never published to.
    pub(crate) is_short: bool,
}

impl HomeRooms {
    /// None yet; of those that will end, `remembered_max` are remembered, and the histories of all take
    /// `history_bytes`.
    pub(crate) fn new(
        shard: ShardId,
        config: &Config,
        hash: SecretHash,
        start: &mut Rng,
        (remembered_max, history_bytes): (usize, usize),
    ) -> HomeRooms {
        let (policies, limits) = (config.policies(), &config.limits);
        HomeRooms {
            keeps_anything: policies.keep_anything(),
            policies,
            histories: Histories::new(&config.tuning, history_bytes),
            remembered: Remembered::new(hash.clone(), limits.history_meta_for, remembered_max),
            shard,
            start: start.next(),
            lives: 0,
            index: NameIndex::new(hash),
            rooms: Vec::new(),
            names: BTreeSet::new(),
            admitted: 0,
            idle: BTreeMap::new(),
            sequence: 0,
            per_turn: config.tuning.ends_per_turn,
            goes_on_at: Time::default(),
            owned: Sum::default(),
        }
    }

    /// Creates the room of everybody. Every shard counts as interested from start to end, as if it
    /// had one member per encoding of broadcasts: so no connection has to join here. `members` stays
    /// 0.
    pub(crate) fn open_everybody(&mut self, shards: impl Iterator<Item = ShardId>) {
        let everybody = RoomName::everybody();
        for shard in shards {
            for encoding in Encoding::OF_BROADCASTS {
                self.join(&everybody, (shard, encoding), false);
            }
        }
        self.get_or_create(&everybody).members = 0;
    }

    /// How many rooms live here.
    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }

    /// How many rooms are paused, counted.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn paused_count(&self) -> usize {
        self.rooms.iter().filter(|room| room.is_paused()).count()
    }

    /// Asserts the invariant of each room, that exactly the rooms without members linger, and no
    /// more of them than may.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self, rooms_max: usize) {
        self.rooms.iter().for_each(HomeRoom::check);
        assert_eq!(self.index.len(), self.rooms.len(), "nothing else is in the index");
        let is_found = |(number, home): (usize, &HomeRoom)| self.find(&home.name) == Some(number);
        assert!(self.rooms.iter().enumerate().all(is_found), "every room is in the index");
        let owned = |home: &HomeRoom| shared_bytes(home.name.as_str().len()) + home.heap_bytes();
        assert_eq!(self.owned.get(), self.rooms.iter().map(owned).sum::<usize>(), "bytes of rooms");
        let without = |room: &&HomeRoom| room.members == 0 && !room.name.is_everybody();
        let without = self.rooms.iter().filter(without).count();
        assert_eq!(self.idle.len(), without, "rooms without members linger, and no others");
        let admitted =
            |room: &&HomeRoom| room.members > 0 && !room.is_refused && !room.name.is_everybody();
        let admitted = self.rooms.iter().filter(admitted).count();
        assert_eq!(self.admitted, admitted, "rooms with members are counted");
        assert!(without <= rooms_max, "{without} rooms linger, and no more than {rooms_max} may");
        self.histories.check();
        self.remembered.check();
        let histories = self.rooms.iter().filter(|room| room.history.is_some()).count();
        let all = histories + self.remembered.len();
        assert_eq!(self.histories.count(), all, "a history is that of one room");
        for (deadline, room) in &self.idle {
            let until = self.get(room).and_then(|home_room| home_room.expires_at.as_ref());
            assert_eq!(until, Some(deadline), "a room knows when it ends");
        }
    }

    /// The room has one more member, on this shard. With `is_full` the first one is refused, and so
    /// are all others until it has left. Returns whether this one is not.
    pub(crate) fn join(
        &mut self,
        room: &RoomName,
        (shard, encoding): (ShardId, Encoding),
        is_full: bool,
    ) -> bool {
        let home_room = self.get_or_create(room);
        let is_first = home_room.members == 0;
        home_room.is_refused |= is_first && is_full;
        let is_taken = !home_room.is_refused;
        self.change(room, |home_room| home_room.join(shard, encoding));
        self.admitted += usize::from(is_first && is_taken && !room.is_everybody());
        is_taken
    }

    /// The room has one member less, on this shard. Returns whether that resumes it, and the offset of
    /// its last message; none when it does not exist.
    pub(crate) fn leave(
        &mut self,
        room: &RoomName,
        shard: ShardId,
        encoding: Encoding,
    ) -> Option<(bool, u64)> {
        let left =
            self.change(room, |home_room| (home_room.leave(shard, encoding), home_room.offset));
        if let Some(home_room) = self.get_mut(room).filter(|room| room.members == 0) {
            let was_refused = std::mem::take(&mut home_room.is_refused);
            self.admitted -= usize::from(!was_refused);
        }
        left
    }

    /// A shard asks for a pause of the room, or no longer. Returns whether it is paused, if that
    /// changed.
    pub(crate) fn pause(&mut self, room: &RoomName, shard: ShardId, paused: bool) -> Option<bool> {
        self.change(room, |home_room| home_room.pause(shard, paused)).flatten()
    }

    pub(crate) fn contains(&self, room: &RoomName) -> bool {
        self.find(room).is_some()
    }

    fn find(&self, room: &RoomName) -> Option<usize> {
        self.index.find(room.as_str(), name_in(&self.rooms)).map(|number| number as usize)
    }

    fn get(&self, room: &RoomName) -> Option<&HomeRoom> {
        self.find(room).map(|number| &self.rooms[number])
    }

    fn get_mut(&mut self, room: &RoomName) -> Option<&mut HomeRoom> {
        self.find(room).map(|number| &mut self.rooms[number])
    }

    fn insert(&mut self, home_room: HomeRoom) -> usize {
        self.owned.add(shared_bytes(home_room.name.as_str().len()) + home_room.heap_bytes());
        if !home_room.name.is_everybody() {
            self.names.insert(home_room.name.clone());
        }
        let number = name_index::push(&mut self.rooms, home_room);
        self.index.insert(number, name_in(&self.rooms));
        number as usize
    }

    /// Takes out a room; the last one stands where it was.
    fn remove(&mut self, room: &RoomName) -> Option<HomeRoom> {
        let number = self.find(room)?;
        self.index.remove(number as u32, name_in(&self.rooms));
        self.names.remove(room);
        let home_room = self.rooms.swap_remove(number);
        if let Some(moved) = self.rooms.get(number) {
            let (from, to) = (self.rooms.len() as u32, number as u32);
            self.index.renumber(moved.name.as_str(), from, to);
        }
        self.owned.take_off(shared_bytes(room.as_str().len()) + home_room.heap_bytes());
        let capacity = self.rooms.capacity();
        if capacity > 2 * FEW_ROOMS && self.rooms.len() < capacity / 8 {
            self.rooms.shrink_to(2 * self.rooms.len() + FEW_ROOMS);
        }
        Some(home_room)
    }

    fn change<R>(&mut self, room: &RoomName, change: impl FnOnce(&mut HomeRoom) -> R) -> Option<R> {
        let number = self.find(room)?;
        let home_room = &mut self.rooms[number];
        let before = home_room.heap_bytes();
        let result = change(home_room);
        self.owned.change(before, home_room.heap_bytes());
        Some(result)
    }

    /// Bytes of all rooms.
    pub(crate) fn bytes(&self) -> usize {
        self.index.bytes()
            + vec_bytes::<HomeRoom>(self.rooms.capacity())
            + tree_bytes::<RoomName, ()>(self.names.len())
            + tree_bytes::<Deadline, RoomName>(self.idle.len())
            + self.owned.get()
    }

    /// Bytes of all histories, and of what is remembered of rooms that have ended.
    pub(crate) fn history_bytes(&self) -> usize {
        self.histories.bytes() + self.remembered.bytes()
    }

    /// A room exists from its first join or publish.
    pub(crate) fn get_or_create(&mut self, room: &RoomName) -> &mut HomeRoom {
        let number = self.find(room).unwrap_or_else(|| {
            let home_room = self.begin_life(room);
            self.insert(home_room)
        });
        &mut self.rooms[number]
    }

    /// A room that goes on where it stopped, if that is remembered, and otherwise has no message yet.
    fn begin_life(&mut self, room: &RoomName) -> HomeRoom {
        if self.keeps_anything
            && let Some(stopped) = self.remembered.resume(room, &mut self.histories)
        {
            let Stopped { epoch, offset, history } = stopped;
            return HomeRoom { offset, history: Some(history), ..HomeRoom::new(room, epoch) };
        }
        self.lives += 1;
        HomeRoom::new(room, Epoch::new(self.start, self.shard, self.lives))
    }

    /// A room has its first message: from here on it has a history, if it keeps anything.
    pub(super) fn begin_history(&mut self, room: &RoomName) -> Option<HistoryKey> {
        let kept = self.keeps_anything.then(|| self.policies.history_of(room)).flatten();
        let history = self.histories.open(kept?);
        let home_room = self.get_mut(room)?;
        home_room.history = Some(history);
        let epoch = home_room.epoch;
        self.histories.enter_journal(history, room, epoch);
        Some(history)
    }

    /// A room of before that goes on, if its policy still keeps anything: as if it had been published to
    /// just now. Returns whether it does.
    pub(crate) fn take_up(&mut self, kept: &KeptRoom, now: Time, ttl: IdleTtl) -> bool {
        let room = kept.name();
        let is_new = kept.offset > 0 && !self.contains(room);
        let Some(policy) = self.policies.history_of(room).filter(|_| is_new) else { return false };
        let history = self.histories.open(policy);
        self.histories.enter_journal(history, room, kept.epoch);
        self.histories.take_up(history, kept, now);
        let (offset, history) = (kept.offset, Some(history));
        self.insert(HomeRoom { offset, history, ..HomeRoom::new(room, kept.epoch) });
        self.touch(room, now, ttl);
        true
    }

    /// The shards with members of this room.
    pub(super) fn shards_of(&self, room: &RoomName) -> Vec<ShardId> {
        let home_room = self.get(room);
        home_room.into_iter().flat_map(HomeRoom::interested).map(|(shard, _)| shard).collect()
    }

    /// Where a room is, or one with a history has stopped.
    pub(super) fn place(&self, room: &RoomName) -> Option<(Epoch, u64, Option<HistoryKey>)> {
        let is = |home_room: &HomeRoom| (home_room.epoch, home_room.offset, home_room.history);
        let was = |Stopped { epoch, offset, history }| (epoch, offset, Some(history));
        self.get(room).map(is).or_else(|| self.remembered.get(room).map(was))
    }

    /// How many rooms have members that were not refused.
    pub(crate) fn admitted(&self) -> usize {
        self.admitted
    }

    /// To be called after each join, leave and publish: a room with members does not linger, one
    /// without lingers from now on.
    pub(crate) fn touch(&mut self, room: &RoomName, now: Time, ttl: IdleTtl) {
        let Some(number) = self.find(room) else { return };
        let home_room = &mut self.rooms[number];
        let lingered = home_room.expires_at.take();
        if let Some(deadline) = lingered {
            self.idle.remove(&deadline);
        }
        if home_room.members > 0 || room.is_everybody() {
            return;
        }
        if ttl.is_short && home_room.offset == 0 {
            return self.end(room, now);
        }
        self.sequence += 1;
        let deadline = (now + ttl.duration, self.sequence);
        home_room.expires_at = Some(deadline);
        self.idle.insert(deadline, room.clone());
        let is_one_more = ttl.is_short && lingered.is_none();
        if is_one_more || self.idle.len() > ttl.rooms_max {
            self.end_oldest(now);
        }
    }

    /// Ends the rooms whose time has come, and forgets what is over, as far as one turn may: many may be
    /// due at once.
    pub(crate) fn on_time(&mut self, now: Time) {
        if self.next_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        for _ in 0..self.per_turn {
            if self.next_end().is_none_or(|deadline| deadline > now) {
                break;
            }
            self.end_oldest(now);
        }
        self.histories.on_time(now);
        self.remembered.on_time(now, self.per_turn, &mut self.histories);
        self.pause_if_due(now);
    }

    /// So many bytes are needed elsewhere: frees messages that are kept, as far as one turn may. Returns
    /// how many bytes those were.
    pub(crate) fn give_way(&mut self, bytes: usize, now: Time) -> usize {
        let freed = self.histories.give_way(bytes);
        self.pause_if_due(now);
        freed
    }

    /// What is left of what is due is the next turn's.
    fn pause_if_due(&mut self, now: Time) {
        if self.first_due().is_some_and(|due| due <= now) && self.goes_on_at <= now {
            self.goes_on_at = now + PAUSE;
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.first_due().map(|due| due.max(self.goes_on_at))
    }

    fn first_due(&self) -> Option<Time> {
        let kept = [self.histories.next_deadline(), self.remembered.next_deadline()];
        kept.into_iter().chain([self.next_end()]).flatten().min()
    }

    fn next_end(&self) -> Option<Time> {
        self.idle.first_key_value().map(|((time, _), _)| *time)
    }

    fn end_oldest(&mut self, now: Time) {
        if let Some((_, room)) = self.idle.pop_first() {
            self.end(&room, now);
        }
    }

    /// Ends a room without members, which is not among those that linger any more. Where it stopped is
    /// remembered from this time on, if it has a history: a room without messages has nothing to lose.
    fn end(&mut self, room: &RoomName, now: Time) {
        let home_room = self.remove(room).expect("a room without members exists");
        let HomeRoom { epoch, offset, history, .. } = home_room;
        if let Some(history) = history {
            let stopped = Stopped { epoch, offset, history };
            self.remembered.keep(room, stopped, now, &mut self.histories);
        }
    }

    pub(crate) fn info(&self, room: &RoomName) -> Option<RoomInfo> {
        self.get(room).map(HomeRoom::info)
    }

    /// At most `limit` rooms in order of their names, those greater than `after`.
    pub(crate) fn list(&self, after: Option<&str>, limit: usize) -> Vec<RoomInfo> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.names.range::<str, _>((from, Bound::Unbounded)).take(limit);
        names.filter_map(|name| self.info(name)).collect()
    }
}

/// What the rooms are called.
fn name_in<'a>(rooms: &'a [HomeRoom]) -> impl Fn(u32) -> &'a RoomName {
    |number| &rooms[number as usize].name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_that_end_are_found_no_more_and_leave_no_memory() {
        let (shard, now) = (ShardId::new(0), Time::default());
        let config = Config::default();
        let hash = SecretHash::new(7);
        let mut rooms = HomeRooms::new(shard, &config, hash, &mut Rng::new(1, 0), (0, 0));
        let name = |number: u32| RoomName::new(&format!("room-{number}")).expect("legal");
        let ttl = IdleTtl { duration: Duration::ZERO, rooms_max: 0, is_short: false };
        let empty = rooms.bytes();
        for number in 0..2_000 {
            assert!(rooms.join(&name(number), (shard, Encoding::WebSocket), false));
        }
        rooms.check(0);
        assert_eq!(rooms.bytes(), empty + bytes_at_home(2_000, 8, 1) + 1_000 * 16);
        for number in (0..2_000).filter(|number| number % 100 != 7) {
            rooms.leave(&name(number), shard, Encoding::WebSocket).expect("it is there");
            rooms.touch(&name(number), now, ttl);
        }
        rooms.check(0);
        let left: Vec<bool> = (0..300).map(|number| rooms.contains(&name(number))).collect();
        assert!((0..300).all(|number| left[number] == (number % 100 == 7)));
        assert!(rooms.bytes() < bytes_at_home(200, 8, 1), "{} bytes", rooms.bytes());
    }

    #[test]
    fn a_shard_is_interested_in_the_encodings_of_its_members() {
        let (near, far) = (ShardId::new(0), ShardId::new(1));
        let (frames, events) = (Encoding::WebSocket, Encoding::Sse);
        let mut room = HomeRoom::new(&RoomName::everybody(), Epoch::new(1, near, 1));
        let interest = |room: &HomeRoom| -> Vec<(ShardId, Vec<Encoding>)> {
            room.interested().map(|(shard, needed)| (shard, needed.iter().collect())).collect()
        };
        room.join(near, frames);
        room.join(near, frames);
        room.join(far, events);
        room.join(near, events);
        assert_eq!(interest(&room), [(near, vec![frames, events]), (far, vec![events])]);
        room.leave(near, frames);
        room.leave(near, events);
        assert_eq!(interest(&room), [(near, vec![frames]), (far, vec![events])]);
        assert_eq!(room.needed(), Encodings::of([frames, events]));
        room.leave(near, frames);
        assert_eq!(interest(&room), [(far, vec![events])]);
        assert_eq!((room.needed(), room.members()), (Encodings::of([events]), 1));
        room.leave(far, events);
        assert!(interest(&room).is_empty() && room.needed().is_empty());
    }
}
