//! Where connections are behind, and what sends change about that.

use super::directory::Directory;
use crate::connection::Membership;
use crate::connection::table::Slot;
use crate::log::{Pin, Space};
use crate::room::table::RoomKey;

/// What a send has changed.
pub(super) struct Account {
    /// Everything that it carried was taken.
    pub(super) complete: bool,
    /// Nothing waits for its end: nothing more is to be sent, no place in a log is kept.
    pub(super) caught_up: bool,
    /// Messages that it brought.
    pub(super) delivered: u64,
    /// Bytes of a message that was cut, which had to be copied.
    pub(super) copied: u64,
}

const LISTED: &str = "only members are behind";

impl Directory {
    /// The membership that is the `behind`-th where the connection may be behind, and where its room
    /// lists it.
    pub(super) fn noted(&self, slot: Slot, behind: usize) -> (Membership, usize) {
        let connection = &self.connections[slot];
        let membership = connection.memberships[connection.behind.get(behind)];
        (membership, membership.listed().expect(LISTED))
    }

    pub(super) fn is_behind_anywhere(&self, slot: Slot) -> bool {
        self.connections[slot].memberships.iter().any(|membership| {
            let room = &self.rooms[membership.room];
            membership.listed().is_some_and(|index| room.is_behind(&room.members[index]))
        })
    }

    /// Begins to send a connection as many of its rooms' messages as there is space for. Returns
    /// whether there are any.
    pub(super) fn begin_rooms(&mut self, slot: Slot, space: &mut Space) -> bool {
        let mut carries = false;
        for behind in 0..self.connections[slot].behind.len() {
            let (membership, index) = self.noted(slot, behind);
            carries |= self.rooms[membership.room].begin_send(index, space);
        }
        carries
    }

    /// Looks for rooms whose pass has not come yet, so that a connection with news in several rooms
    /// gets them in one send. Each send looks at the next few memberships, whatever their number.
    pub(super) fn take_along(&mut self, slot: Slot, rooms_along: usize) -> usize {
        let connection = &mut self.connections[slot];
        let rooms = connection.memberships.len();
        let looks = rooms.min(rooms_along);
        let first = usize::from(connection.along);
        for place in first..first + looks {
            let place = place % rooms;
            let membership = connection.memberships[place];
            let Some(index) = membership.listed().filter(|_| !membership.noted) else { continue };
            let room = &self.rooms[membership.room];
            if room.dirty && room.is_behind(&room.members[index]) {
                connection.note(place);
            }
        }
        if looks < rooms {
            connection.along = ((first + looks) % rooms) as u16;
        }
        looks
    }

    /// Moves the cursors behind what was taken.
    pub(super) fn account(&mut self, slot: Slot, taken: usize) -> Account {
        let connection = &mut self.connections[slot];
        let caught_up = connection.is_at_ease() && connection.departing == 0;
        let mut account = Account { complete: true, caught_up, delivered: 0, copied: 0 };
        let mut left = taken;
        if let Some(direct) = &mut connection.direct {
            left = direct.consume(taken, connection.format.encoding());
            account.complete = direct.iovecs().iter().all(|iovec| iovec.is_empty());
        }
        let (mut cut, mut served) = (None, 0);
        for behind in 0..connection.behind.len() {
            let membership = &connection.memberships[connection.behind.get(behind)];
            let index = membership.listed().expect(LISTED);
            let (room, pool) = self.rooms.with_pool(membership.room);
            if room.members[index].in_flight > 0 {
                let advance = room.end_send(index, &mut left, pool);
                account.delivered += advance.messages;
                account.complete &= advance.complete;
                served = if advance.messages > 0 { behind + 1 } else { served };
                if advance.rest.is_some() {
                    cut = advance.rest;
                }
            }
            let member = &room.members[index];
            account.caught_up &= member.pin.is_none() && !room.is_behind(member);
        }
        match account.complete && account.caught_up {
            true => connection.unnote_all(),
            // The rooms that this send brought something of come last in the next one.
            false => connection.behind.rotate(served),
        }
        if let Some(rest) = cut {
            account.copied = rest.copied_bytes();
            self.connections[slot].direct.get_or_insert_default().push_rest(rest);
        }
        assert_eq!(left, 0, "a socket takes no more than it is offered");
        account
    }

    /// Gives up the places of those memberships that are not behind.
    pub(super) fn let_go(&mut self, slot: Slot) {
        let rooms = &mut self.rooms;
        self.connections[slot].keep_notes(|membership| {
            let index = membership.listed().expect(LISTED);
            let (room, pool) = rooms.with_pool(membership.room);
            let is_behind = room.is_behind(&room.members[index]);
            if !is_behind {
                room.unpin(index);
                room.release(pool);
            }
            is_behind
        });
    }

    /// Pins the memberships that may be behind: their rooms' passes have gone by, and what they wait
    /// for is to stay.
    pub(super) fn keep_places(&mut self, slot: Slot) {
        let pin = if self.connections[slot].slow { Pin::Slow } else { Pin::Held };
        for behind in 0..self.connections[slot].behind.len() {
            let (membership, index) = self.noted(slot, behind);
            let room = &mut self.rooms[membership.room];
            if room.members[index].pin != Some(pin) {
                room.pin(index, pin);
            }
        }
    }

    /// The pass goes by a member that cannot be sent to now. If it is behind, the log keeps its
    /// place.
    pub(super) fn leave_behind(&mut self, key: RoomKey, index: usize, pin: Pin) {
        let room = &mut self.rooms[key];
        let member = &room.members[index];
        if room.is_behind(member) && member.pin.is_none() {
            self.connections[member.slot].note(member.place as usize);
            room.pin(index, pin);
        }
    }
}
