//! The end of a connection.

use super::{Goodbye, Shard};
use crate::close_code::Close;
use crate::connection::{MembershipState, NOT_LISTED, Phase, Sending};
use crate::disconnect::Disconnect;
use crate::id::{ConnId, ShardId};
use crate::message::Request;
use crate::rooms::EVERYBODY;
use crate::timers::Timer;
use crate::wire::push_close;

impl Shard {
    /// Command: closes a connection. Returns whether it was there and open.
    pub fn close(&mut self, id: ConnId, close: impl Into<Close>) -> bool {
        let Some(slot) = self.connections.find(id) else { return false };
        let open = self.connections[slot].is_open();
        if open {
            let reason = self.note_words(slot, close.into());
            self.mark(slot, reason);
        }
        open
    }

    /// Command: reads no more commands. What was received and not begun is not handled any more.
    pub fn stop_reading(&mut self) {
        self.reading = false;
        for slot in self.connections.slots() {
            let connection = &self.connections[slot];
            if connection.ended || connection.sending == Sending::Dead {
                // It stayed only for the sake of what it had sent before it went.
                self.mark(slot, Disconnect::Lost);
            }
        }
        self.reap();
    }

    /// Command: closes every connection, each as soon as it was sent everything that waits for it.
    pub fn close_all_when_flushed(&mut self, close: impl Into<Close>) {
        let close = close.into();
        for slot in self.connections.slots() {
            if self.connections[slot].is_open() {
                let reason = self.note_words(slot, close.clone());
                self.connections[slot].phase = Phase::Finishing(reason);
                self.advance_goodbye(slot);
            }
        }
        self.reap();
    }

    /// Keeps the program's words for the close frame, whose reason is returned.
    fn note_words(&mut self, slot: u32, close: Close) -> Disconnect {
        match close.text {
            Some(text) => self.words.insert(slot, (close.reason, text)),
            None => self.words.remove(&slot),
        };
        close.reason
    }

    /// Decides that a connection ends. It stays where it is until the next [`Shard::reap`].
    pub(super) fn mark(&mut self, slot: u32, reason: Disconnect) {
        let connection = &mut self.connections[slot];
        if connection.is_open() {
            let is_dead = connection.sending == Sending::Dead && reason == Disconnect::Slow;
            // A dead socket takes nothing either, but its client is gone and not slow.
            connection.fate = Some(if is_dead { Disconnect::Lost } else { reason });
            self.queues.marked.push_back(slot);
        }
    }

    /// Takes those out of their rooms whose end is decided. Whoever has a begun send stays until
    /// that has ended.
    pub(super) fn reap(&mut self) {
        while let Some(slot) = self.queues.marked.pop_front() {
            let connection = &self.connections[slot];
            let leaves = matches!(connection.phase, Phase::Open | Phase::Finishing(_));
            if let Some(reason) = connection.fate
                && leaves
                && connection.sending != Sending::Begun
            {
                self.take_out(slot, reason);
            }
        }
        self.settle_debts();
    }

    fn take_out(&mut self, slot: u32, reason: Disconnect) {
        let id = self.connections.id(slot);
        self.open_connections -= 1;
        self.counters.closed[reason.index()] += 1;
        if self.config.handled.disconnect {
            let rooms = self.rooms_of(id);
            self.outputs.left.extend((!rooms.is_empty()).then_some((id, rooms)));
        }
        self.outputs.goodbyes.push_back(Goodbye::Parted(id, reason));
        self.leave_rooms(slot);
        let connection = &mut self.connections[slot];
        connection.phase = Phase::Closing;
        connection.inbound = None;
        if self.leave_line(slot) || !self.reading {
            // From here on it is read again, so that its end is noticed.
            self.outputs.resumed.push_back(id);
        }
        self.push_close_frame(slot, reason);
        self.set_close_timer(slot);
        self.make_ready(slot);
        self.advance_goodbye(slot);
    }

    /// From here on the client has the whole `close_timeout` for its part of the end.
    fn set_close_timer(&mut self, slot: u32) {
        let due = self.now + self.config.limits.close_timeout;
        if self.connections[slot].close_due < due {
            self.connections[slot].close_due = due;
            self.timers.set(due, Timer::Close, self.connections.id(slot));
        }
    }

    /// Only the frame in progress goes before the close frame.
    fn push_close_frame(&mut self, slot: u32, reason: Disconnect) {
        let chance = self.chance.next();
        let words = self.words.remove(&slot).filter(|(noted, _)| *noted == reason);
        let connection = &mut self.connections[slot];
        let Some(code) = reason.close_code().filter(|_| connection.sending != Sending::Dead) else {
            connection.own = None;
            return;
        };
        let own = connection.own.get_or_insert_default();
        own.keep_frame_in_progress();
        let mut frame = Vec::new();
        match words {
            Some((_, text)) => push_close(&mut frame, code, &text),
            None => push_close(&mut frame, code, &reason.reason(chance)),
        }
        own.push(&frame);
    }

    /// Takes the connection out of all rooms. Those homes that count it as a member are owed a leave.
    fn leave_rooms(&mut self, slot: u32) {
        let id = self.connections.id(slot);
        self.connections[slot].unnote_all();
        for place in (0..self.connections[slot].memberships.len()).rev() {
            self.unlist(slot, place);
            let membership = self.connections[slot].memberships.pop().expect("this place");
            use MembershipState::{Joined, Joining, Rejoining};
            let counts = matches!(membership.state, Joining | Joined | Rejoining);
            let key = membership.room;
            if counts && key != EVERYBODY {
                // The reference to the room is kept until the leave is sent.
                self.lanes[self.rooms[key].home.index()].owing.push_back((id, key));
                self.connections[slot].owed += 1;
                self.debts += 1;
            } else {
                self.rooms.release(key);
            }
        }
    }

    /// Takes a membership out of the room's list of members.
    pub(super) fn unlist(&mut self, slot: u32, place: usize) {
        let membership = &mut self.connections[slot].memberships[place];
        let Some(index) = membership.listed() else { return };
        let key = membership.room;
        membership.member = NOT_LISTED;
        let (noted, departs) = (membership.noted, membership.state == MembershipState::Departing);
        let connection = &mut self.connections[slot];
        connection.departing -= u16::from(departs);
        if noted {
            connection.keep_notes(|membership| membership.listed().is_some());
        }
        let (room, pool) = self.rooms.with_pool(key);
        let moved = room.remove(index);
        room.release(pool);
        for index in moved {
            if let Some(member) = room.members.get(index) {
                let membership =
                    &mut self.connections[member.slot].memberships[member.place as usize];
                membership.member = u32::try_from(index).expect("fewer than 2^32 members");
            }
        }
        self.memberships -= u64::from(key != EVERYBODY);
    }

    /// Takes an unlisted membership out of the connection's list.
    pub(super) fn forget_membership(&mut self, slot: u32, place: usize) {
        let Some(moved) = self.connections[slot].forget(place) else { return };
        if let Some(index) = moved.listed() {
            let place = u16::try_from(place).expect("few rooms per connection");
            self.rooms[moved.room].members[index].place = place;
        }
    }

    /// Takes the next step of an end, if nothing stands in its way.
    pub(super) fn advance_goodbye(&mut self, slot: u32) {
        let connection = &self.connections[slot];
        if connection.sending == Sending::Begun || connection.has_own() {
            return;
        }
        match connection.phase {
            Phase::Finishing(reason) if !self.is_behind_anywhere(slot) => self.mark(slot, reason),
            Phase::Closing if connection.ended || connection.sending == Sending::Dead => {
                self.part(slot);
            }
            Phase::Closing => {
                self.connections[slot].phase = Phase::HalfClosed;
                self.set_close_timer(slot);
                let id = self.connections.id(slot);
                self.outputs.goodbyes.push_back(Goodbye::ShutdownWrite(id));
            }
            _ => {}
        }
    }

    fn is_behind_anywhere(&self, slot: u32) -> bool {
        self.connections[slot].memberships.iter().any(|membership| {
            let room = &self.rooms[membership.room];
            membership.listed().is_some_and(|index| room.is_behind(&room.members[index]))
        })
    }

    /// The socket is to be closed; what remains is the leaves that are owed.
    pub(super) fn part(&mut self, slot: u32) {
        let connection = &mut self.connections[slot];
        if connection.sending == Sending::Begun || connection.phase == Phase::Gone {
            return;
        }
        connection.phase = Phase::Gone;
        connection.own = None;
        if std::mem::replace(&mut connection.sending, Sending::Dead) == Sending::Blocked {
            self.blocked -= 1;
        }
        let id = self.connections.id(slot);
        self.outputs.goodbyes.push_back(Goodbye::Close(id));
        self.vacate(slot);
    }

    /// Sends what is owed to homes, as far as there is room: the leaves of closed connections, then
    /// presses and releases. A home whose lane is full keeps no other waiting.
    pub(super) fn settle_debts(&mut self) {
        if self.debts == 0 {
            return;
        }
        for home in (0..self.config.shards).map(ShardId::new) {
            while self.pay_leave(home) {}
            while self.tell(home) {}
        }
    }

    /// Sends the first leave that is owed to this home, if there is room.
    fn pay_leave(&mut self, home: ShardId) -> bool {
        let lanes = &mut self.lanes[home.index()];
        if !lanes.requests.has_room() {
            return false;
        }
        let Some((conn, key)) = lanes.owing.pop_front() else { return false };
        self.debts -= 1;
        let room = self.rooms[key].name.clone();
        self.rooms.release(key);
        self.push_request(home, Request::Leave { room, conn, asked: None });
        let slot = self.connections.find(conn).expect("a slot is kept while it owes");
        self.connections[slot].owed -= 1;
        self.vacate(slot);
        true
    }

    /// Tells a home of the first room in line whether publishers are too fast for this shard, if
    /// there is room. Rooms that are gone, or have nothing to tell any more, need none.
    fn tell(&mut self, home: ShardId) -> bool {
        let lanes = &mut self.lanes[home.index()];
        let Some(key) = lanes.telling.front().copied() else { return false };
        let has_room = lanes.requests.has_room();
        // The key may belong to another room now, which stands in line by itself.
        let room = self.rooms.get_mut(key).filter(|room| room.press.queued && room.home == home);
        let told = room.map(|room| (room.name.clone(), &mut room.press));
        if let Some((room, press)) = told {
            let pressed = press.wanted;
            if press.told != Some(pressed) {
                if !has_room {
                    return false;
                }
                press.told = Some(pressed);
                press.queued = false;
                self.push_request(home, Request::Press { room, pressed });
            } else {
                press.queued = false;
            }
        }
        self.lanes[home.index()].telling.pop_front();
        self.debts -= 1;
        true
    }

    /// Puts a room in line that has something to tell its home.
    pub(super) fn queue_telling(&mut self, key: u32) {
        let room = &mut self.rooms[key];
        if !room.press.queued {
            room.press.queued = true;
            self.lanes[room.home.index()].telling.push_back(key);
            self.debts += 1;
        }
    }

    /// Frees the slot of a connection that is gone and owes nothing.
    fn vacate(&mut self, slot: u32) {
        let connection = &self.connections[slot];
        if connection.phase == Phase::Gone && connection.owed == 0 {
            self.connections.vacate(slot);
        }
    }
}
