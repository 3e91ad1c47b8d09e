//! What must hold of a shard between any two calls.
//!
//! Only builds with debug assertions have this. A test calls it after every step, so that a fault
//! shows where it arises and not where it hurts.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Shard;
use super::directory::Directory;
use super::expiries::Expiries;
use super::host::Host;
use super::slow::DIRECT_EXCESS_MAX;
use crate::connection::inbound::Pending;
use crate::connection::{Connection, Membership, MembershipState, Phase, Wait, WriteState};
use crate::id::ConnId;
use crate::identity::Name;
use crate::log::Pin;
use crate::place::{MembershipIndex, Slot};
use crate::room::MemberIndex;
use crate::room::table::{EVERYBODY, RoomKey};
use crate::room_name::RoomName;

impl Shard {
    /// Asserts every invariant that can be seen in the whole shard's state.
    ///
    /// # Panics
    ///
    /// When one does not hold.
    #[doc(hidden)]
    pub fn check(&self) {
        self.home.check();
        check_host(&self.host);
    }

    /// How many bytes of a client wait to be decoded, and whether a text that was decoded waits to be
    /// read, for tests that count what was; none when the connection is gone.
    #[doc(hidden)]
    pub fn unread_input(&self, id: ConnId) -> Option<(usize, bool)> {
        let slot = self.host.directory.find(id)?;
        let Some(inbound) = &*self.host.directory[slot].inbound else { return Some((0, false)) };
        let is_unread = inbound.pending.as_ref().is_some_and(|pending| match pending {
            Pending::Text(_) => true,
            Pending::Deflated(deflated) => deflated.is_text && !deflated.is_read,
            _ => false,
        });
        Some((inbound.undecoded(), is_unread))
    }

    /// The most memberships that the shard had at once since this was asked last, for tests that judge
    /// what it refused within one event.
    #[doc(hidden)]
    pub fn take_most_memberships(&mut self) -> u64 {
        let now = self.host.directory.entries();
        std::mem::replace(&mut self.host.directory.most_entries, now)
    }

    /// Whether this room's publishers pause because of members that are sent histories, for tests that
    /// count such moments.
    #[doc(hidden)]
    pub fn is_paused_for_histories(&self, room: &RoomName) -> bool {
        let rooms = &self.host.directory.rooms;
        rooms.find(room.as_str()).is_some_and(|key| rooms[key].is_paused_for_replays())
    }

    /// What a room's messages wait for, for tests that judge when they are sent; none of a room that
    /// nobody here is in.
    #[doc(hidden)]
    pub fn passes(&self, room: &RoomName) -> Option<Passes> {
        let rooms = &self.host.directory.rooms;
        let room = &rooms[rooms.find(room.as_str())?];
        let (bytes, lingering) = (room.log.appended_bytes(), room.bytes_uncarried());
        Some(Passes {
            newest: room.next_offset().wrapping_sub(1),
            appended: room.log.next() - 1,
            carried: room.carried_to() - 1,
            appended_bytes: bytes,
            carried_bytes: bytes - lingering,
            is_queued: room.dirty,
        })
    }

    /// Whether publishers of this room are to pause for its members here, for tests that judge what
    /// lingers.
    #[doc(hidden)]
    pub fn wants_pause(&self, room: &RoomName) -> bool {
        let rooms = &self.host.directory.rooms;
        rooms.find(room.as_str()).is_some_and(|key| rooms[key].back_pressure.wanted)
    }

    /// Whether a pass over this room's members is under way, for tests that count such moments.
    #[doc(hidden)]
    pub fn is_in_pass(&self, room: &RoomName) -> bool {
        let rooms = &self.host.directory.rooms;
        rooms.find(room.as_str()).is_some_and(|key| rooms[key].pass_is_under_way())
    }
}

/// How far a room's messages have come on a shard.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Passes {
    /// The offset of the newest message.
    pub newest: u64,
    /// How many messages were appended to the log, and how many of them the latest pass carries, has
    /// carried or had nobody to carry to.
    pub appended: u64,
    pub carried: u64,
    /// The bytes of these.
    pub appended_bytes: u64,
    pub carried_bytes: u64,
    /// A pass is under way, or begins without any further event.
    pub is_queued: bool,
}

impl Directory {
    /// Asserts that connections and rooms list each other, where `deferred` are the rooms that closed
    /// connections still refer to.
    fn check(&self, deferred: impl Iterator<Item = RoomKey>) {
        let mut references = HashMap::<RoomKey, u32>::new();
        let listed = |slot: Slot| self[slot].memberships.iter().map(|membership| membership.room);
        for key in self.connections.slots().flat_map(listed).chain(deferred) {
            *references.entry(key).or_default() += 1;
        }
        for (key, room) in self.rooms.by_key() {
            room.check();
            let counted = references.remove(&key).unwrap_or(0) + u32::from(key == EVERYBODY);
            assert_eq!(room.references, counted, "{key}: entries in lists of rooms");
            assert_eq!(self.rooms.find(room.name.as_str()), Some(key), "a room is found by name");
            assert_eq!(room.home, self.rooms.home(room.name.as_str()), "a room knows its home");
            for (index, member) in room.members.iter().enumerate() {
                let membership = &self[member.slot].memberships[member.membership];
                let listed = (membership.room, membership.listed().map(MemberIndex::get));
                assert_eq!(listed, (key, Some(index)), "room and connection know each other");
            }
        }
        assert!(references.is_empty(), "lists name rooms that are not there: {references:?}");
        for slot in self.connections.slots() {
            self.check_memberships(slot);
        }
        self.check_watchers();
        let members = |(key, room): (RoomKey, &crate::room::Room)| match key {
            EVERYBODY => 0,
            _ => room.members.len() as u64,
        };
        let memberships: u64 = self.rooms.by_key().map(members).sum();
        assert_eq!(self.memberships(), memberships, "memberships");
        let entries = |slot: Slot| {
            let memberships = self[slot].memberships.iter();
            memberships.filter(|membership| membership.room != EVERYBODY).count() as u64
        };
        let entries: u64 = self.connections.slots().map(entries).sum();
        assert_eq!(self.entries(), entries, "entries in connections' lists");
    }

    /// Who watches is a member that asked for that, and all of those are that the home has answered and
    /// that have not left.
    fn check_watchers(&self) {
        self.watchers.check();
        use MembershipState::{Departing, Joining};
        let mut watchers = 0;
        for slot in self.connections.slots() {
            for membership in self[slot].memberships.iter() {
                let is_there = !matches!(membership.state(), Joining | Departing);
                let watches = self.watchers.contains(membership.room, slot);
                assert_eq!(watches, membership.watches && is_there, "{slot}: {membership:?}");
                watchers += usize::from(watches);
            }
        }
        assert_eq!(self.watchers.count(), watchers, "who watches is a member");
    }

    fn check_memberships(&self, slot: Slot) {
        let connection = &self[slot];
        let mut rooms = HashSet::new();
        let mut behind: Vec<MembershipIndex> = connection.behind.iter().collect();
        behind.sort_unstable();
        let memberships = connection.memberships.iter().enumerate();
        let marked = memberships.filter(|(_, m)| m.maybe_behind);
        let marked = marked.map(|(index, _)| MembershipIndex::new(index));
        assert!(marked.eq(behind), "{slot}: rooms where it may be behind are listed, once");
        let departs = |membership: &&Membership| membership.state() == MembershipState::Departing;
        let departing = connection.memberships.iter().filter(departs).count();
        assert_eq!(usize::from(connection.departing), departing, "{slot}: leaves to finish");
        for (at, membership) in connection.memberships.iter().enumerate() {
            assert!(rooms.insert(membership.room), "{slot}: a room is listed once");
            assert!(connection.is_in_rooms(), "{slot}: it is out of all rooms: {membership:?}");
            let Some(index) = membership.listed() else {
                let joins = membership.state() == MembershipState::Joining;
                assert!(joins, "{slot}: only a joining one is not listed: {membership:?}");
                continue;
            };
            self.check_membership(slot, MembershipIndex::new(at), membership, index);
        }
    }

    fn check_membership(
        &self,
        slot: Slot,
        at: MembershipIndex,
        membership: &Membership,
        index: MemberIndex,
    ) {
        let connection = &self[slot];
        let room = &self[membership.room];
        let member = &room.members[index];
        assert_eq!((member.slot, member.membership), (slot, at), "the room knows where");
        let departs = membership.state() == MembershipState::Departing;
        assert_eq!(departs, member.departure().is_some(), "{slot}: {membership:?}");
        let begun = connection.write_state() == WriteState::Begun;
        assert!(begun || member.in_flight == 0, "{slot}: only a begun send carries: {member:?}");
        if !membership.maybe_behind {
            let is_idle = member.in_flight == 0 && member.pin.is_none();
            assert!(is_idle, "{slot}: no send looks at it: {member:?}");
            assert!(room.dirty || !room.is_due(member), "{slot}: no pass comes: {member:?}");
        } else if !begun {
            let waits = self.is_replayed(slot, membership.room) && !connection.is_blocked();
            let pins: &[Pin] = match (connection.slow, waits) {
                // It is writable again and has had no send since.
                (true, true) => &[Pin::Slow, Pin::Replay],
                (true, false) => &[Pin::Slow],
                (false, true) => &[Pin::Replay],
                (false, false) => &[Pin::Held],
            };
            let is_pinned = member.pin.is_some_and(|pin| pins.contains(&pin));
            assert!(is_pinned, "{slot}: a member left behind is pinned: {member:?}");
            let has_lost = room.has_lost(member);
            assert!(connection.slow || !has_lost, "{slot}: what it lost is known: {member:?}");
        }
    }
}

fn check_host(host: &Host) {
    host.directory.check(host.outboxes.deferred_leaves().map(|(_, key)| *key));
    host.outboxes.check();
    host.check_memory();
    for slot in host.directory.connections.slots() {
        let connection = &host.directory[slot];
        check_connection(host, slot, connection);
        check_inbound(host, slot, connection);
        check_queues(host, slot, connection);
        check_no_message_waits_in_vain(host, slot, connection);
    }
    check_sums(host);
    check_lingering(host);
    check_expiries(host);
    check_users(host);
    for (key, room) in host.directory.rooms.by_key() {
        assert!(host.fanout.holds(key) || !room.dirty, "{key}: a dirty room is in the queue");
        let queued = host.outboxes.has_deferred_update(room.home, key);
        assert!(queued || !room.back_pressure.queued, "{key}: its update is in the queue");
    }
}

/// The rooms whose messages linger end to do so, and no others.
fn check_lingering(host: &Host) {
    let rooms = &host.directory.rooms;
    let lingers = |(key, room): (RoomKey, &crate::room::Room)| {
        Some((room.linger_until.filter(|_| !room.dirty)?, key))
    };
    let expected: BTreeSet<_> = rooms.by_key().filter_map(lingers).collect();
    assert!(rooms.lingering.iter().eq(expected), "{:?}", rooms.lingering);
}

fn check_connection(host: &Host, slot: Slot, connection: &Connection) {
    let is_out = !connection.is_in_rooms();
    let is_blocked = connection.is_blocked();
    if connection.phase() == Phase::Vacant {
        let is_bare = connection.direct.is_none() && connection.inbound.is_none();
        assert!(is_bare && connection.memberships.is_empty(), "{slot}: a free slot is empty");
        assert!(connection.wait().is_none() && !connection.ready, "{slot}: a free slot is idle");
    }
    if is_blocked && !is_out {
        assert!(connection.slow, "{slot}: a blocked socket is slow");
    }
    if connection.slow && !is_out {
        assert!(connection.slow_timer || !is_blocked, "{slot}: a blocked socket has a timer");
    }
    if connection.write_state() == WriteState::Unbegun {
        let waits = connection.slow && connection.slow_timer && connection.direct.is_none();
        assert!(waits && !is_out, "{slot}: a stream that waits for its rooms is sent nothing");
    }
    let ends = connection.close_reason().is_some();
    let direct_max = DIRECT_EXCESS_MAX * host.config.limits.own_bytes;
    let is_bounded = ends || connection.direct_bytes() <= direct_max;
    assert!(is_bounded || is_out, "{slot}: direct frames have a limit");
    if ends && !is_out && connection.write_state() != WriteState::Begun {
        assert!(host.queues.to_close.contains(&slot), "{slot}: its end is in the queue");
    }
}

/// Each connection whose client may stay up to a time is found when that comes, and no other.
fn check_expiries(host: &Host) {
    let mut entries: HashSet<_> = host.clients.expiries.iter().copied().collect();
    for slot in host.directory.connections.slots() {
        let connection = &host.directory[slot];
        let Some(at) = connection.expires() else { continue };
        assert!(connection.is_in_rooms(), "{slot}: what has closed is known no longer");
        let found = entries.remove(&Expiries::entry(at, host.directory.id(slot)));
        assert!(found || connection.close_reason().is_some(), "{slot}: its end is not forgotten");
    }
    assert!(entries.is_empty(), "a time ends with its connection: {entries:?}");
}

/// The connections of a user, and of a token, are found by its name, and no others.
fn check_users(host: &Host) {
    let mut expected = [BTreeSet::new(), BTreeSet::new()];
    for slot in host.directory.connections.slots() {
        let Some(identity) = &host.directory[slot].identity else { continue };
        let entry = |name: &Name| (name.clone(), host.directory.id(slot));
        expected[0].extend(identity.subject.as_ref().map(entry));
        expected[1].extend(identity.token_id.as_ref().map(entry));
    }
    let found = host.clients.users.entries();
    assert!(found == [&expected[0], &expected[1]], "{found:?} and not {expected:?}");
}

/// What waits to be handled is what one read brought: nothing more is read until it is.
fn check_inbound(host: &Host, slot: Slot, connection: &Connection) {
    let waits = connection.wait().is_some();
    assert!(waits || !host.decided.contains(&slot), "{slot}: what was granted waits or is done");
    let is_read = connection.is_open() && host.reading && connection.wait().is_none();
    let Some(inbound) = connection.inbound.as_ref().filter(|_| is_read) else { return };
    assert!(inbound.pending.is_none(), "{slot}: it is read while a message waits");
    assert_eq!(inbound.undecoded(), 0, "{slot}: it is read while bytes are undecoded");
}

fn check_queues(host: &Host, slot: Slot, connection: &Connection) {
    let queued = host.queues.ready.contains(&slot);
    assert!(queued || !connection.ready, "{slot}: a ready connection is in the queue");
    let id = host.directory.id(slot);
    let leaves = host.outboxes.deferred_leaves().filter(|(conn, _)| *conn == id).count();
    assert_eq!(connection.deferred_leaves as usize, leaves, "{slot}: deferred leaves");
    let queue = match connection.wait() {
        Some(Wait::Capacity(home)) => host.outboxes.waiting(*home),
        Some(Wait::Paused(room)) => &host.paused_rooms[&**room],
        Some(Wait::Memory) => &host.pressure.publishers,
        Some(Wait::Turn) => &host.queues.to_inflate,
        _ => return,
    };
    let entries = queue.ids().filter(|other| **other == id).count();
    let is_taken_up = connection.is_open() && host.goes_on(slot);
    assert!(entries == 1 || !is_taken_up, "{slot}: it waits in the queue once: {entries}");
}

fn check_sums(host: &Host) {
    let slots = || host.directory.connections.slots().map(|slot| &host.directory[slot]);
    let open = slots().filter(|c| c.is_in_rooms()).count();
    assert_eq!(host.open_connections, open as u64, "open connections");
    let logs = || host.directory.rooms.by_key().map(|(_, room)| room.log.bytes());
    let totals = &host.directory.rooms.pool.totals;
    assert_eq!(totals.total(), logs().sum::<usize>() as u64, "bytes of all logs");
    assert_eq!(Some(totals.largest()), logs().max(), "bytes of the largest log");
    let waiting = slots().filter(|c| c.wait().is_some()).count();
    assert_eq!(host.directory.waiting, waiting as u64, "waiting connections");
    let blocked = slots().filter(|c| c.is_blocked()).count();
    assert_eq!(host.blocked, blocked as u64, "blocked connections");
}

/// A writable connection for which bytes wait will be sent them without any further event.
fn check_no_message_waits_in_vain(host: &Host, slot: Slot, connection: &Connection) {
    let ends = connection.close_reason().is_some() && connection.phase() != Phase::Closing;
    if connection.write_state() != WriteState::Idle || connection.ready || ends {
        return;
    }
    assert!(!connection.has_direct(), "{slot}: direct frames wait for nothing");
    assert!(!host.directory.owes_positions(slot), "{slot}: its client is not sent where it is");
    if let Some(replays) = &*connection.replays {
        let is_queued = replays.queued_at.is_some() && host.queues.to_replay.contains(&slot);
        assert!(is_queued, "{slot}: a history waits for nothing");
    }
    for membership in connection.memberships.iter() {
        let Some(index) = membership.listed() else { continue };
        let room = &host.directory[membership.room];
        let member = &room.members[index];
        let is_replayed = host.directory.is_replayed(slot, membership.room);
        let waits = room.dirty || room.linger_until.is_some() && !room.is_due(member);
        assert!(
            waits || is_replayed || !room.is_behind(member),
            "{slot}: messages wait for nothing"
        );
    }
}
