//! What must hold of a shard between any two calls.
//!
//! Only builds with debug assertions have this. A test calls it after every step, so that a fault
//! shows where it arises and not where it hurts.

use std::collections::{HashMap, HashSet};

use super::Shard;
use crate::connection::{Connection, Membership, MembershipState, Phase, Sending, Wait};
use crate::log::Pin;
use crate::rooms::EVERYBODY;

impl Shard {
    /// Asserts every invariant that a walk over the whole shard can see.
    ///
    /// # Panics
    ///
    /// When one does not hold.
    #[doc(hidden)]
    pub fn check(&self) {
        self.check_rooms();
        self.homes.check(self.linger().rooms_max);
        for slot in self.connections.slots() {
            let connection = &self.connections[slot];
            self.check_connection(slot, connection);
            self.check_inbound(slot, connection);
            self.check_memberships(slot, connection);
        }
        self.check_sums();
        self.check_queues();
        self.check_nobody_is_forgotten();
    }

    fn check_rooms(&self) {
        let mut references = HashMap::<u32, u32>::new();
        for slot in self.connections.slots() {
            for membership in &self.connections[slot].memberships {
                *references.entry(membership.room).or_default() += 1;
            }
        }
        for (_, room) in self.lanes.iter().flat_map(|lanes| &lanes.owing) {
            *references.entry(*room).or_default() += 1;
        }
        for (key, room) in self.rooms.by_key() {
            room.check();
            let counted = references.remove(&key).unwrap_or(0) + u32::from(key == EVERYBODY);
            assert_eq!(room.references, counted, "{key}: entries in lists of rooms");
            assert_eq!(self.rooms.find(room.name.as_str()), Some(key), "a room is found by name");
            assert_eq!(room.home, self.rooms.home(room.name.as_str()), "a room knows its home");
            for (index, member) in room.members.iter().enumerate() {
                let membership = &self.connections[member.slot].memberships[member.place as usize];
                let listed = (membership.room, membership.listed());
                assert_eq!(listed, (key, Some(index)), "room and connection know each other");
            }
        }
        assert!(references.is_empty(), "lists name rooms that are gone: {references:?}");
    }

    fn check_connection(&self, slot: u32, connection: &Connection) {
        let Connection { phase, sending, .. } = *connection;
        let is_out = !matches!(phase, Phase::Open | Phase::Finishing(_));
        if phase == Phase::Vacant {
            let is_bare = connection.own.is_none() && connection.inbound.is_none();
            assert!(is_bare && connection.memberships.is_empty(), "{slot}: a free slot is empty");
            assert!(connection.wait.is_none() && !connection.ready, "{slot}: a free slot is idle");
        }
        if sending == Sending::Blocked && !is_out {
            assert!(connection.slow, "{slot}: a socket that refused bytes is slow");
        }
        if connection.slow && !is_out {
            let watched = connection.slow_timer || sending != Sending::Blocked;
            assert!(watched, "{slot}: a socket that refuses bytes has a timer");
        }
        let owed = connection.fate.is_some() || connection.own_bytes() <= self.own_bytes_max();
        assert!(owed || is_out, "{slot}: own frames have a limit");
        if connection.fate.is_some() && !is_out && sending != Sending::Begun {
            assert!(self.queues.marked.contains(&slot), "{slot}: whoever ends stands in line");
        }
    }

    /// What waits to be handled is what one read brought: nothing more is read until it is.
    fn check_inbound(&self, slot: u32, connection: &Connection) {
        let is_read = connection.is_open() && self.reading && connection.wait.is_none();
        let Some(inbound) = connection.inbound.as_ref().filter(|_| is_read) else { return };
        assert!(inbound.pending.is_none(), "{slot}: who is read has no message that waits");
        assert_eq!(inbound.undecoded(), 0, "{slot}: who is read has left nothing undecoded");
    }

    fn own_bytes_max(&self) -> usize {
        super::send::OWN_EXCESS_MAX * self.config.limits.own_bytes
    }

    fn check_memberships(&self, slot: u32, connection: &Connection) {
        let mut rooms = HashSet::new();
        let mut noted: Vec<usize> = connection.behind.iter().collect();
        noted.sort_unstable();
        let places = connection.memberships.iter().enumerate();
        let marked = places.filter(|(_, m)| m.noted).map(|(place, _)| place);
        assert!(marked.eq(noted), "{slot}: who may be behind is in the list, once");
        let departs = |membership: &&Membership| membership.state == MembershipState::Departing;
        let departing = connection.memberships.iter().filter(departs).count();
        assert_eq!(usize::from(connection.departing), departing, "{slot}: leaves to finish");
        let is_out = !matches!(connection.phase, Phase::Open | Phase::Finishing(_));
        for (place, membership) in connection.memberships.iter().enumerate() {
            assert!(rooms.insert(membership.room), "{slot}: a room is listed once");
            assert!(!is_out, "{slot}: who is out of all rooms lists none: {membership:?}");
            let Some(index) = membership.listed() else {
                let joins = membership.state == MembershipState::Joining;
                assert!(joins, "{slot}: only who joins is no member: {membership:?}");
                continue;
            };
            self.check_membership(slot, place, membership, index);
        }
    }

    fn check_membership(&self, slot: u32, place: usize, membership: &Membership, index: usize) {
        let connection = &self.connections[slot];
        let room = &self.rooms[membership.room];
        let member = &room.members[index];
        assert_eq!((member.slot, member.place as usize), (slot, place), "the room knows where");
        let departs = membership.state == MembershipState::Departing;
        assert_eq!(departs, member.departure().is_some(), "{slot}: {membership:?}");
        let begun = connection.sending == Sending::Begun;
        assert!(begun || member.in_flight == 0, "{slot}: only a begun send carries: {member:?}");
        if !membership.noted {
            assert!(member.in_flight == 0 && member.pin.is_none(), "{slot}: not noted: {member:?}");
            assert!(room.dirty || !room.is_behind(member), "{slot}: nobody knows: {member:?}");
        } else if !begun {
            let pin = if connection.slow { Pin::Slow } else { Pin::Held };
            assert_eq!(member.pin, Some(pin), "{slot}: who was left behind is pinned: {member:?}");
        }
    }

    fn check_sums(&self) {
        let slots = || self.connections.slots().map(|slot| &self.connections[slot]);
        let open = slots().filter(|c| matches!(c.phase, Phase::Open | Phase::Finishing(_)));
        assert_eq!(self.open_connections, open.count() as u64, "open connections");
        let members = |(key, room): (u32, &crate::room::Room)| match key {
            EVERYBODY => 0,
            _ => room.members.len() as u64,
        };
        let memberships: u64 = self.rooms.by_key().map(members).sum();
        assert_eq!(self.memberships, memberships, "memberships");
        let logs = || self.rooms.by_key().map(|(_, room)| room.log.bytes());
        let sizes = &self.rooms.pool.sizes;
        assert_eq!(sizes.total(), logs().sum::<usize>() as u64, "bytes of all logs");
        assert_eq!(Some(sizes.largest()), logs().max(), "bytes of the largest log");
        assert_eq!(self.paused, slots().filter(|c| c.wait.is_some()).count() as u64, "paused");
        let blocked = slots().filter(|c| c.sending == Sending::Blocked).count();
        assert_eq!(self.blocked, blocked as u64, "blocked");
        assert_eq!(self.pressed_homes, self.homes.pressed_count() as u64, "pressed homes");
    }

    fn check_queues(&self) {
        let queues = &self.queues;
        for slot in self.connections.slots() {
            let connection = &self.connections[slot];
            let stands = queues.ready.contains(&slot);
            assert!(stands || !connection.ready, "{slot}: who is ready stands in line");
            let id = self.connections.id(slot);
            let owing = self.lanes.iter().flat_map(|lanes| &lanes.owing);
            let owed = owing.filter(|(conn, _)| *conn == id).count();
            assert_eq!(
                connection.owed as usize, owed,
                "{slot}: leaves that are owed stand in line"
            );
            self.check_line(slot, connection);
        }
        let debts = |lanes: &super::Lanes| lanes.owing.len() + lanes.telling.len();
        assert_eq!(self.debts, self.lanes.iter().map(debts).sum::<usize>(), "debts");
        for (key, room) in self.rooms.by_key() {
            let stands = self.slice.room == Some(key) || queues.dirty.contains(&key);
            assert!(stands || !room.dirty, "{key}: a room that needs a pass stands in line");
            let stands = self.lanes[room.home.index()].telling.contains(&key);
            assert!(stands || !room.press.queued, "{key}: a room that has news stands in line");
        }
    }

    /// Who waits for room or for a release stands in that line.
    fn check_line(&self, slot: u32, connection: &Connection) {
        let line = match &connection.wait {
            Some(Wait::Lane(home)) => &self.lanes[home.index()].waiting,
            Some(Wait::Pressed(room)) => &self.pressed[&**room],
            _ => return,
        };
        let id = self.connections.id(slot);
        let stands = line.ids().filter(|other| **other == id).count();
        let is_taken_up = connection.is_open() && self.reading;
        assert!(stands == 1 || !is_taken_up, "{slot}: who waits stands in line once: {stands}");
    }

    /// Whoever is writable and waits for bytes will be sent them without any further event.
    fn check_nobody_is_forgotten(&self) {
        for slot in self.connections.slots() {
            let connection = &self.connections[slot];
            let ends = connection.fate.is_some() && connection.phase != Phase::Closing;
            if connection.sending != Sending::Idle || connection.ready || ends {
                continue;
            }
            assert!(!connection.has_own(), "{slot}: own frames wait for nothing");
            for membership in &connection.memberships {
                let Some(index) = membership.listed() else { continue };
                let room = &self.rooms[membership.room];
                let behind = room.is_behind(&room.members[index]);
                assert!(room.dirty || !behind, "{slot}: messages wait for nothing");
            }
        }
    }
}
