//! Which connection lists which room, and which room lists which connection.

use std::ops::{Index, IndexMut};

use super::streams::Streams;
use super::watchers::Watchers;
use crate::connection::direct_outbox::DirectOutbox;
use crate::connection::table::Connections;
use crate::connection::{Connection, Flow, Membership, MembershipState, Phase, Wait, WriteState};
use crate::format::Encoding;
use crate::id::{ConnId, ShardId};
use crate::place::{MembershipIndex, Slot};
use crate::room::table::{EVERYBODY, RoomKey, Rooms};
use crate::room::{Departure, Room};
use crate::room_name::RoomName;

/// The connections of a shard and the rooms that they are in.
///
/// Invariant: each entry in a connection's list is one reference of its room. An entry and a member
/// that belong together know each other's index; an entry that is still joining has no member.
/// Nothing but the methods here changes a list.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) connections: Connections,
    pub(super) rooms: Rooms,
    pub(super) streams: Streams,
    pub(super) watchers: Watchers,
    /// Members of all rooms but the room of everybody.
    memberships: u64,
    /// Entries in connections' lists, without the room of everybody.
    entries: u64,
    /// The most entries since a test asked.
    #[cfg(any(test, debug_assertions))]
    pub(super) most_entries: u64,
    /// Connections whose next command waits.
    pub(super) waiting: u64,
}

/// Whether a connection may be in one more room.
pub(super) enum Seat {
    /// It may, or is in it already.
    Free,
    /// Not before it is out of the room with this key, which it leaves.
    Leaving(RoomKey),
    /// It is in as many rooms as it may.
    None,
}

/// What `cast:left` says.
pub(super) struct Left {
    pub(super) name: RoomName,
    pub(super) id: Option<Box<str>>,
    pub(super) until: u64,
    pub(super) is_forbidden: bool,
}

impl Directory {
    pub(super) fn new(id: ShardId, rooms: Rooms) -> Directory {
        let connections = Connections::new(id);
        Directory {
            connections,
            rooms,
            streams: Streams::default(),
            watchers: Watchers::default(),
            memberships: 0,
            entries: 0,
            #[cfg(any(test, debug_assertions))]
            most_entries: 0,
            waiting: 0,
        }
    }

    /// The slot of a connection that is still there.
    pub(super) fn find(&self, id: ConnId) -> Option<Slot> {
        self.connections.find(id)
    }

    /// The slot of a connection that is open, that the program knows, and whose client has not hung
    /// up.
    pub(super) fn find_open(&self, id: ConnId) -> Option<Slot> {
        self.find_present(id).filter(|slot| self[*slot].format.is_known_to_program())
    }

    /// The same for a connection that the program may not know.
    pub(super) fn find_present(&self, id: ConnId) -> Option<Slot> {
        self.find(id).filter(|slot| self[*slot].is_open() && !self[*slot].hung_up)
    }

    pub(super) fn id(&self, slot: Slot) -> ConnId {
        self.connections.id(slot)
    }

    /// The shard that orders this room's messages.
    pub(super) fn home(&self, room: &str) -> ShardId {
        self.rooms.home(room)
    }

    /// Members of all rooms but the room of everybody.
    pub(super) fn memberships(&self) -> u64 {
        self.memberships
    }

    /// Makes a new connection a member of the room of everybody.
    pub(super) fn join_everybody(&mut self, slot: Slot) {
        let key = self.rooms.refer(&RoomName::everybody());
        assert_eq!(key, EVERYBODY, "the room of everybody came first");
        let next = self.rooms[EVERYBODY].next_offset();
        let encoding = self.encoding(slot, EVERYBODY);
        let (room, pool) = self.rooms.with_pool(EVERYBODY);
        let member = room.add(slot, MembershipIndex::default(), encoding, next, pool);
        let membership = Membership::new(EVERYBODY, Some(member), 0);
        self.connections.change_lists(slot, |memberships, lists| {
            // Most connections are in one more room, if in any. A list that grows by itself begins
            // with four entries.
            memberships.reserve_exact(lists, 2);
            memberships.push(lists, membership);
        });
    }

    /// Entries in connections' lists, also while they join and leave; without the room of everybody.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// How a connection gets the messages of a room.
    pub(super) fn encoding(&self, slot: Slot, key: RoomKey) -> Encoding {
        let connection = &self.connections[slot];
        let deflate = connection.deflate.filter(|_| self.rooms[key].policy.deflate);
        connection.format.encoding(deflate)
    }

    /// Enters the room in the connection's list, as one that it joins, or joins again.
    pub(super) fn begin_join(&mut self, slot: Slot, room: &RoomName, change_id: u32) {
        if let Some(at) = self.membership(slot, room.as_str()) {
            let membership = &mut self.connections[slot].memberships[at];
            return membership.begin_change(MembershipState::Rejoining, change_id);
        }
        let key = self.rooms.refer(room);
        let membership = Membership::new(key, None, change_id);
        self.connections.change_lists(slot, |list, lists| list.push(lists, membership));
        self.entries += 1;
        #[cfg(any(test, debug_assertions))]
        {
            self.most_entries = self.most_entries.max(self.entries);
        }
    }

    /// Enters the connection in the room's list: its next message has offset `next`.
    pub(super) fn list(&mut self, slot: Slot, at: MembershipIndex, next: u64) {
        let encoding = self.encoding(slot, self.connections[slot].memberships[at].room);
        let membership = &mut self.connections[slot].memberships[at];
        debug_assert!(membership.listed().is_none(), "a room lists a connection once");
        let (room, pool) = self.rooms.with_pool(membership.room);
        membership.set_listed(Some(room.add(slot, at, encoding, next, pool)));
        self.memberships += 1;
    }

    /// Takes the connection out of one room.
    pub(super) fn leave(&mut self, slot: Slot, at: MembershipIndex) {
        let key = self.connections[slot].memberships[at].room;
        self.unlist(slot, at);
        self.forget_membership(slot, at);
        self.rooms.unrefer(key);
    }

    /// Takes a room out of the connection's list that it does not become a member of. The reference to
    /// it is the caller's now.
    pub(super) fn give_back(&mut self, slot: Slot, at: MembershipIndex) -> RoomKey {
        let membership = self.connections[slot].memberships[at];
        assert!(membership.listed().is_none(), "a refused join has no member");
        self.forget_membership(slot, at);
        membership.room
    }

    /// Takes the connection out of all rooms. Returns those whose homes count it as a member; the
    /// references to them are the caller's now.
    pub(super) fn leave_all(&mut self, slot: Slot) -> Vec<RoomKey> {
        use MembershipState::{Asking, Joined, Joining, Rejoining};
        let mut counted = Vec::new();
        self.connections[slot].clear_behind();
        for at in (0..self.connections[slot].memberships.len()).rev() {
            self.unlist(slot, MembershipIndex::new(at));
            let membership = self.connections[slot].memberships.pop().expect("the last one");
            self.entries -= u64::from(membership.room != EVERYBODY);
            let counts = matches!(membership.state(), Joining | Joined | Rejoining | Asking);
            if counts && membership.room != EVERYBODY {
                counted.push(membership.room);
            } else {
                self.rooms.unrefer(membership.room);
            }
        }
        counted
    }

    /// Changes what waits for one connection alone.
    pub(super) fn change_direct<R>(
        &mut self,
        slot: Slot,
        change: impl FnOnce(&mut Option<Box<DirectOutbox>>) -> R,
    ) -> R {
        self.connections.change_direct(slot, &mut self.rooms.pool.frames, change)
    }

    /// Frees the direct outbox once everything in it is sent.
    pub(super) fn drop_empty_direct(&mut self, slot: Slot) {
        if self[slot].direct.is_some() && !self[slot].has_direct() {
            self.change_direct(slot, |direct| *direct = None);
        }
    }

    /// Frees the slot of a connection whose socket is closed and that has no deferred leave.
    pub(super) fn vacate(&mut self, slot: Slot) {
        let connection = &self.connections[slot];
        if connection.phase() == Phase::Closed && connection.deferred_leaves == 0 {
            self.connections.vacate(slot);
        }
    }

    /// The rooms that a connection is a member of, in no particular order.
    pub(super) fn rooms_of(&self, slot: Slot) -> Vec<RoomName> {
        use MembershipState::{Asking, Joined, Rejoining};
        let is_member = |membership: &&Membership| {
            matches!(membership.state(), Joined | Rejoining | Asking)
                && membership.room != EVERYBODY
        };
        let memberships = self.connections[slot].memberships.iter().filter(is_member);
        memberships.map(|membership| self.rooms[membership.room].name.clone()).collect()
    }

    /// The same with those that it is about to leave and whose home has not answered.
    pub(super) fn counted_rooms(&self, slot: Slot) -> impl Iterator<Item = &RoomName> {
        let counts = |membership: &&Membership| {
            membership.listed().is_some()
                && membership.state() != MembershipState::Departing
                && membership.room != EVERYBODY
        };
        let memberships = self.connections[slot].memberships.iter().filter(counts);
        memberships.map(|membership| &self.rooms[membership.room].name)
    }

    /// Where a connection lists a room.
    pub(super) fn membership(&self, slot: Slot, room: &str) -> Option<MembershipIndex> {
        let key = self.rooms.find(room)?;
        let mut memberships = self.connections[slot].memberships.iter();
        memberships.position(|membership| membership.room == key).map(MembershipIndex::new)
    }

    /// Finds the membership that an answer is for; none when the answer is stale.
    pub(super) fn find_change(
        &self,
        name: &RoomName,
        conn: ConnId,
        change_id: u32,
    ) -> Option<(Slot, MembershipIndex)> {
        let slot = self.connections.find(conn)?;
        let at = self.membership(slot, name.as_str())?;
        let membership = &self.connections[slot].memberships[at];
        let expects = membership.is_changing() && membership.state() != MembershipState::Departing;
        (expects && membership.change_id == change_id).then_some((slot, at))
    }

    /// Whether the connection is in the room already, or may be in one more.
    pub(super) fn seat(&self, slot: Slot, room: &RoomName, most: usize) -> Seat {
        let memberships = &self.connections[slot].memberships;
        // The room of everybody is in the list and does not count; an event stream is not in it.
        let most = most + usize::from(!self.connections[slot].format.has_head());
        if memberships.len() < most || self.membership(slot, room.as_str()).is_some() {
            return Seat::Free;
        }
        use MembershipState::{Departing, Leaving};
        let leaves = |membership: &&Membership| matches!(membership.state(), Leaving | Departing);
        match memberships.iter().find(leaves) {
            Some(membership) => Seat::Leaving(membership.room),
            None => Seat::None,
        }
    }

    /// While a join or leave of a room has not ended, the next command for that room waits.
    pub(super) fn may_change(&self, slot: Slot, room: &RoomName) -> Flow {
        let Some(at) = self.membership(slot, room.as_str()) else { return Ok(()) };
        let membership = &self.connections[slot].memberships[at];
        match membership.is_changing() {
            true => Err(Wait::Change(membership.room)),
            false => Ok(()),
        }
    }

    pub(super) fn rejoins_while_sending(&self, conn: ConnId, room: &RoomName) -> bool {
        let Some(slot) = self.connections.find(conn) else { return false };
        let rejoins = self.membership(slot, room.as_str()).is_some_and(|at| {
            self.connections[slot].memberships[at].state() == MembershipState::Rejoining
        });
        rejoins && self.connections[slot].write_state() == WriteState::Begun
    }

    pub(super) fn exclude(&mut self, slot: Slot, key: RoomKey) {
        let memberships = &self.connections[slot].memberships;
        let membership = memberships.iter().find(|membership| membership.room == key);
        if let Some(index) = membership.and_then(|membership| membership.listed()) {
            let (room, pool) = self.rooms.with_pool(key);
            room.exclude(index, pool);
        }
    }

    pub(super) fn finished_departure(&self, slot: Slot) -> Option<(MembershipIndex, Left)> {
        // A dead socket takes no last message; waiting for that would keep the connection for ever.
        let is_dead = self.connections[slot].write_state() == WriteState::Dead;
        let memberships = self.connections[slot].memberships.iter().enumerate();
        let departing = |membership: &Membership| membership.state() == MembershipState::Departing;
        memberships.filter(|(_, membership)| departing(membership)).find_map(|(at, membership)| {
            let room = &self.rooms[membership.room];
            let member = &room.members[membership.listed()?];
            let owes =
                || room.is_behind(member) || self.next_replayed(slot, membership.room).is_some();
            let departure = member.departure().filter(|_| is_dead || !owes())?;
            let Departure { until, is_forbidden, .. } = *departure;
            let (name, id) = (room.name.clone(), departure.id.clone());
            Some((MembershipIndex::new(at), Left { name, id, until, is_forbidden }))
        })
    }

    /// Takes a membership out of the room's list of members.
    fn unlist(&mut self, slot: Slot, at: MembershipIndex) {
        let membership = &mut self.connections[slot].memberships[at];
        let Some(index) = membership.listed() else { return };
        let key = membership.room;
        membership.set_listed(None);
        let departs = membership.state() == MembershipState::Departing;
        let maybe_behind = membership.maybe_behind;
        if membership.watches {
            self.watchers.forget(key, slot);
        }
        let connection = &mut self.connections[slot];
        connection.departing -= u16::from(departs);
        if maybe_behind {
            connection.retain_behind(|membership| membership.listed().is_some());
        }
        let (room, pool) = self.rooms.with_pool(key);
        let moved = room.remove(index, pool);
        room.free_log(pool);
        for index in moved {
            if let Some(member) = room.members.get(index.get()) {
                let membership = &mut self.connections[member.slot].memberships[member.membership];
                membership.set_listed(Some(index));
            }
        }
        self.memberships -= u64::from(key != EVERYBODY);
    }

    /// Takes an unlisted membership out of the connection's list.
    fn forget_membership(&mut self, slot: Slot, at: MembershipIndex) {
        self.entries -= 1;
        let Some(moved) = self.connections[slot].forget(at) else { return };
        if let Some(index) = moved.listed() {
            self.rooms[moved.room].members[index].membership = at;
        }
    }
}

impl Index<Slot> for Directory {
    type Output = Connection;

    fn index(&self, slot: Slot) -> &Connection {
        &self.connections[slot]
    }
}

impl IndexMut<Slot> for Directory {
    fn index_mut(&mut self, slot: Slot) -> &mut Connection {
        &mut self.connections[slot]
    }
}

impl Index<RoomKey> for Directory {
    type Output = Room;

    fn index(&self, key: RoomKey) -> &Room {
        &self.rooms[key]
    }
}

impl IndexMut<RoomKey> for Directory {
    fn index_mut(&mut self, key: RoomKey) -> &mut Room {
        &mut self.rooms[key]
    }
}
