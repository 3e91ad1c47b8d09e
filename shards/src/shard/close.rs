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
        self.outputs.goodbyes.push_back(Goodbye::Parted(id, reason));
        self.leave_rooms(slot);
        let connection = &mut self.connections[slot];
        connection.phase = Phase::Closing;
        connection.inbound = None;
        if connection.wait.take().is_some() || !self.reading {
            // From here on it is read again, so that its end is noticed.
            self.outputs.resumed.push_back(id);
        }
        self.push_close_frame(slot, reason);
        self.timers.set(self.now + self.config.limits.close_timeout, Timer::Close, id);
        if !self.connections[slot].memberships.is_empty() {
            self.queues.owing.push_back(id);
        }
        self.make_ready(slot);
        self.advance_goodbye(slot);
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

    fn leave_rooms(&mut self, slot: u32) {
        for place in (0..self.connections[slot].memberships.len()).rev() {
            self.unlist(slot, place);
            let membership = &mut self.connections[slot].memberships[place];
            use MembershipState::{Joined, Joining, Rejoining};
            let owes = matches!(membership.state, Joining | Joined | Rejoining);
            let key = membership.room;
            if owes && key != EVERYBODY {
                membership.state = MembershipState::Owed;
            } else {
                self.forget_membership(slot, place);
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
        let memberships = &mut self.connections[slot].memberships;
        memberships.swap_remove(place);
        let Some(moved) = memberships.get(place) else { return };
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
        let id = self.connections.id(slot);
        self.outputs.goodbyes.push_back(Goodbye::Close(id));
        self.vacate(slot);
    }

    /// Sends what is owed to homes, as far as there is room: the leaves of closed connections, then
    /// presses and releases.
    pub(super) fn settle_debts(&mut self) {
        while let Some(&id) = self.queues.owing.front() {
            let slot = self.connections.find(id).expect("a slot is kept while it owes");
            if !self.pay_leaves(slot) {
                break;
            }
            self.queues.owing.pop_front();
            self.vacate(slot);
        }
        while let Some(&key) = self.queues.telling.front() {
            if !self.tell_home(key) {
                break;
            }
            self.queues.telling.pop_front();
        }
    }

    /// The home for whose lane the debts wait.
    pub(super) fn next_debt(&self) -> Option<ShardId> {
        let owing = self.queues.owing.front().and_then(|id| self.connections.find(*id));
        let owed = owing.and_then(|slot| self.connections[slot].memberships.last());
        let key = owed.map(|membership| membership.room);
        let key = key.or_else(|| self.queues.telling.front().copied())?;
        self.rooms.get(key).map(|room| room.home)
    }

    /// Sends a closed connection's leaves; false when there is no room for one.
    fn pay_leaves(&mut self, slot: u32) -> bool {
        let conn = self.connections.id(slot);
        while let Some(membership) = self.connections[slot].memberships.last() {
            debug_assert_eq!(membership.state, MembershipState::Owed);
            let key = membership.room;
            let room = &self.rooms[key];
            let (home, name) = (room.home, room.name.clone());
            if !self.lanes[home.index()].requests.has_room() {
                return false;
            }
            self.connections[slot].memberships.pop();
            self.rooms.release(key);
            self.push_request(home, Request::Leave { room: name, conn, asked: None });
        }
        true
    }

    /// Tells a home whether publishers are too fast for this shard; false when there is no room.
    fn tell_home(&mut self, key: u32) -> bool {
        let Some(room) = self.rooms.get_mut(key).filter(|room| room.press.queued) else {
            return true;
        };
        if room.press.told != Some(room.press.wanted) {
            if !self.lanes[room.home.index()].requests.has_room() {
                return false;
            }
            room.press.told = Some(room.press.wanted);
            let (home, name, pressed) = (room.home, room.name.clone(), room.press.wanted);
            self.push_request(home, Request::Press { room: name, pressed });
        }
        self.rooms[key].press.queued = false;
        true
    }

    /// Frees the slot of a connection that is gone and owes nothing.
    fn vacate(&mut self, slot: u32) {
        let connection = &self.connections[slot];
        if connection.phase == Phase::Gone && connection.memberships.is_empty() {
            self.connections.vacate(slot);
        }
    }
}
