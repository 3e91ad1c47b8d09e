//! The rooms of one send: which it takes along, and what its end changes in them.

use super::directory::Directory;
use crate::connection::Membership;
use crate::log::{Pin, Space};
use crate::place::{MembershipIndex, Slot};
use crate::room::MemberIndex;
use crate::room::table::RoomKey;

/// What a send has changed.
#[derive(Default)]
pub(super) struct Account {
    /// Everything that it carried was taken.
    pub(super) complete: bool,
    /// Nothing waits for its end: nothing more is to be sent, and no member is pinned.
    pub(super) caught_up: bool,
    /// Messages that it brought.
    pub(super) delivered: u64,
    /// How many of these were of histories.
    pub(super) replayed: u64,
    /// Bytes of histories that were taken, and bytes that it carried in vain.
    pub(super) taken_replay: usize,
    pub(super) untaken_replay: usize,
    /// Bytes of a message that was cut, which had to be copied.
    pub(super) copied: u64,
}

const LISTED: &str = "only members are behind";

impl Directory {
    /// The `nth` of the memberships where the connection may be behind, and where its room lists it.
    pub(super) fn nth_behind(&self, slot: Slot, nth: usize) -> (Membership, MemberIndex) {
        let connection = &self.connections[slot];
        let membership = connection.memberships[connection.behind.get(nth)];
        (membership, membership.listed().expect(LISTED))
    }

    /// Begins to send a connection as many of its rooms' messages as there is space for. Returns
    /// whether there are any.
    pub(super) fn begin_rooms(&mut self, slot: Slot, space: &mut Space) -> bool {
        let mut carries = false;
        let replays = self.connections[slot].replays.is_some();
        for nth in 0..self.connections[slot].behind.len() {
            let (membership, index) = self.nth_behind(slot, nth);
            if replays && self.is_replayed(slot, membership.room) {
                continue;
            }
            let room = &mut self.rooms[membership.room];
            if room.is_due(&room.members[index]) {
                carries |= room.begin_send(index, space);
            }
        }
        carries
    }

    /// Takes rooms along whose pass has not come to this connection yet, so that messages of several
    /// rooms travel in one send. Each send looks at the next few memberships, whatever their number.
    /// Returns how many it looked at.
    pub(super) fn take_along(&mut self, slot: Slot, rooms_along: usize) -> usize {
        let connection = &mut self.connections[slot];
        let rooms = connection.memberships.len();
        let looks = rooms.min(rooms_along);
        let first = connection.along_from.get();
        for at in first..first + looks {
            let at = at % rooms;
            let membership = connection.memberships[at];
            let Some(index) = membership.listed().filter(|_| !membership.maybe_behind) else {
                continue;
            };
            let room = &self.rooms[membership.room];
            if room.dirty && room.is_due(&room.members[index]) {
                connection.mark_behind(MembershipIndex::new(at));
            }
        }
        if looks < rooms {
            connection.along_from = MembershipIndex::new((first + looks) % rooms);
        }
        looks
    }

    /// Moves the cursors past what was taken.
    pub(super) fn account(&mut self, slot: Slot, taken: usize) -> Account {
        let connection = &self.connections[slot];
        let caught_up = connection.sends_move_cursors_only() && connection.departing == 0;
        let mut account = Account { complete: true, caught_up, ..Account::default() };
        let mut rooms_taken = taken;
        if connection.direct.is_some() {
            (rooms_taken, account.complete) = self.consume_direct(slot, taken);
        }
        let (mut cut, mut served) = (None, 0);
        if self.connections[slot].replays.is_some() {
            let replayed = self.change_replays(slot, |replays| replays.end_send(&mut rooms_taken));
            (account.delivered, account.replayed) = (replayed.messages, replayed.messages);
            (account.taken_replay, account.untaken_replay) = (replayed.taken, replayed.untaken);
            account.complete &= replayed.complete;
            cut = replayed.rest;
        }
        let connection = &mut self.connections[slot];
        for nth in 0..connection.behind.len() {
            let membership = &connection.memberships[connection.behind.get(nth)];
            let index = membership.listed().expect(LISTED);
            let (room, pool) = self.rooms.with_pool(membership.room);
            if room.members[index].in_flight > 0 {
                let advance = room.end_send(index, &mut rooms_taken, pool);
                account.delivered += advance.messages;
                account.complete &= advance.complete;
                served = if advance.messages > 0 { nth + 1 } else { served };
                if advance.rest.is_some() {
                    cut = advance.rest;
                }
            }
            let member = &room.members[index];
            account.caught_up &= member.pin.is_none() && !room.is_due(member);
        }
        if self.connections[slot].format.has_positions() {
            let (complete, rest) = self.end_positions(slot, &mut rooms_taken);
            account.complete &= complete;
            account.caught_up &= complete && !self.owes_positions(slot);
            cut = rest.or(cut);
        }
        let connection = &mut self.connections[slot];
        match account.complete && account.caught_up {
            true => connection.clear_behind(),
            // The rooms whose messages this send brought come last in the next one.
            false => connection.behind.rotate(served),
        }
        if let Some(rest) = cut {
            account.copied = rest.copied_bytes();
            self.change_direct(slot, |direct| direct.get_or_insert_default().push_rest(rest));
        }
        assert_eq!(rooms_taken, 0, "a socket takes no more than it is offered");
        account
    }

    /// Takes what was taken off the direct outbox. Returns how many bytes were not its own, and whether
    /// everything that it offered was taken.
    fn consume_direct(&mut self, slot: Slot, taken: usize) -> (usize, bool) {
        let encoding = self[slot].format.encoding(None);
        self.change_direct(slot, |direct| {
            let Some(direct) = direct else { return (taken, true) };
            let left = direct.consume(taken, encoding);
            (left, direct.iovecs().iter().all(|iovec| iovec.is_empty()))
        })
    }

    /// Unpins the members that are up to date.
    pub(super) fn unpin_up_to_date(&mut self, slot: Slot) {
        let rooms = &mut self.rooms;
        self.connections[slot].retain_behind(|membership| {
            let index = membership.listed().expect(LISTED);
            let (room, pool) = rooms.with_pool(membership.room);
            let is_due = room.is_due(&room.members[index]);
            if !is_due {
                room.unpin(index);
                room.free_log(pool);
            }
            is_due
        });
    }

    /// Whether a room's messages wait because the connection is sent a history of it first.
    pub(super) fn is_replayed(&self, slot: Slot, room: RoomKey) -> bool {
        let replays = self.connections[slot].replays.as_ref();
        replays.is_some_and(|replays| replays.rooms().any(|replayed| replayed == room))
    }

    /// Whether messages wait for the connection that its next send may carry, and whether it has lost some
    /// of those that wait behind a history.
    pub(super) fn what_it_is_behind_in(&self, slot: Slot) -> (bool, bool) {
        let count = self.connections[slot].behind.len();
        if self.connections[slot].replays.is_none() {
            return (count > 0, false);
        }
        let (mut behind, mut lost) = (false, false);
        for nth in 0..count {
            let (membership, index) = self.nth_behind(slot, nth);
            let room = &self.rooms[membership.room];
            match self.is_replayed(slot, membership.room) {
                true => lost |= room.has_lost(&room.members[index]),
                false => behind = true,
            }
        }
        (behind, lost)
    }

    /// Pins the members that may be behind: the passes of their rooms have visited them, and the log
    /// is to keep what they wait for.
    pub(super) fn pin_behind(&mut self, slot: Slot) {
        let pin = if self.connections[slot].slow { Pin::Slow } else { Pin::Held };
        // What its socket refuses is no matter of its turn.
        let replays =
            self.connections[slot].replays.is_some() && !self.connections[slot].is_blocked();
        for nth in 0..self.connections[slot].behind.len() {
            let (membership, index) = self.nth_behind(slot, nth);
            let is_replayed = replays && self.is_replayed(slot, membership.room);
            let pin = if is_replayed { Pin::Replay } else { pin };
            let room = &mut self.rooms[membership.room];
            if room.members[index].pin != Some(pin) {
                room.pin(index, pin);
            }
        }
    }

    /// The pass visits a member that cannot be sent to now. If it is behind, it is pinned.
    pub(super) fn leave_behind(&mut self, key: RoomKey, index: MemberIndex, pin: Pin) {
        let room = &mut self.rooms[key];
        let member = &room.members[index];
        if room.is_due(member) && member.pin.is_none() {
            self.connections[member.slot].mark_behind(member.membership);
            room.pin(index, pin);
        }
    }
}
