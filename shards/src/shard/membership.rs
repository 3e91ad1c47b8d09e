//! How a connection becomes a member of a room, and ceases to be one: what a home's answers do.

use std::borrow::Cow;

use super::deferred_to_home;
use super::directory::Left;
use super::host::Host;
use super::presence::NO_MEMORY_FOR_PRESENCE;
use super::streams::Begin;
use crate::connection::{Wait, WriteState};
use crate::disconnect::Disconnect;
use crate::envelope::ErrorCode;
use crate::epoch::Epoch;
use crate::format::{Fact, Joined, Refusal, Reply};
use crate::handler::RoomEvent;
use crate::history::Parts;
use crate::id::ConnId;
use crate::memory::MemoryStage;
use crate::mesh::{LeaveRequest, Requester, Unjoined};
use crate::place::{MembershipIndex, Slot};
use crate::presence::Presence;
use crate::room::table::RoomKey;
use crate::room_name::RoomName;

impl Host {
    pub(super) fn on_joined(
        &mut self,
        name: &RoomName,
        conn: ConnId,
        change_id: u32,
        requester: &Requester,
        (mut joined, presence, replay): (Joined, Option<&Presence>, Parts),
    ) -> Option<Joined> {
        let (slot, at) = self.directory.find_change(name, conn, change_id)?;
        let membership = self.directory[slot].memberships[at];
        match membership.listed() {
            None => {
                self.become_member(slot, at, joined.offset + 1);
                self.note_member(slot, || RoomEvent::Joined(conn, name.clone()));
            }
            Some(index) => {
                let room = &self.directory[membership.room];
                let replayed = self.directory.next_replayed(slot, membership.room);
                let next = replayed.map(|next| next - 1);
                joined.offset = next.unwrap_or_else(|| room.offset_before(&room.members[index]));
            }
        }
        self.directory[slot].memberships[at].end_join();
        let fact = Fact::Joined { room: name, id: requester.id(), joined: &joined, presence };
        match self.directory[slot].format.has_head() {
            true => self.on_stream_joined(slot, (at, name, joined.epoch), &fact),
            false => self.say(slot, &fact),
        }
        if let Some(presence) = presence {
            self.begin_to_watch(slot, at, presence.version);
            self.note_presence(slot);
        }
        self.begin_replay(slot, membership.room, joined.epoch, replay);
        self.on_change_ended(slot, membership.room);
        Some(joined)
    }

    /// An event stream is in one more of its rooms. It begins when that was the last one: a client that
    /// has read its head gets every later message of all of them.
    fn on_stream_joined(
        &mut self,
        slot: Slot,
        room: (MembershipIndex, &RoomName, Epoch),
        fact: &Fact<'_>,
    ) {
        let format = self.directory[slot].format;
        let push = |begin: &mut Vec<u8>| format.push_reply(fact, begin);
        let Some(Begin { head, rest }) = self.directory.streams.enter(slot, room, push) else {
            return;
        };
        self.directory[slot].let_begin();
        // However many rooms have something to say, the client is sent it.
        self.directory.change_direct(slot, |direct| {
            let queue = direct.get_or_insert_default().queue();
            queue.extend_from_slice(&head);
            queue.extend_from_slice(&rest);
        });
        self.take_up_sends(slot);
    }

    /// The home refuses the room, and counts the connection as a member until its leave comes. Returns
    /// whether the connection is still there.
    pub(super) fn on_unjoined(
        &mut self,
        name: &RoomName,
        conn: ConnId,
        change_id: u32,
        requester: &Requester,
        why: Unjoined,
    ) -> bool {
        match why {
            Unjoined::TooManyRooms(_) => self.counters.too_many_rooms += 1,
            Unjoined::NoMemory => self.counters.memory.rooms_refused += 1,
            Unjoined::NoMemoryForPresence => {}
        }
        // A connection that has closed meanwhile has deferred its leave then.
        let Some((slot, at)) = self.directory.find_change(name, conn, change_id) else {
            return false;
        };
        if self.directory[slot].memberships[at].watches {
            self.note_presence(slot);
        }
        let key = self.directory.give_back(slot, at);
        deferred_to_home::defer_leave(&mut self.outboxes, &mut self.directory, slot, key);
        deferred_to_home::send_deferred(&mut self.outboxes, &mut self.directory);
        if self.directory[slot].format.has_head() {
            self.schedule_close(slot, Disconnect::Capacity);
        } else if let Requester::Client(id) = requester {
            let (code, message) = why_unjoined(why);
            let (id, room) = (id.clone(), Some(name.clone()));
            self.say(slot, &Fact::Error(&Refusal { code, message, id, room }));
        }
        self.on_change_ended(slot, key);
        true
    }

    /// The limit on memberships of all connections, if it is reached and this would be one more.
    pub(super) fn refuses_membership(&self, slot: Slot, room: &RoomName) -> Option<usize> {
        let most = self.config.limits.memberships;
        let is_full = self.directory.entries() + self.of_others.memberships >= most as u64;
        let is_new = || self.directory.membership(slot, room.as_str()).is_none();
        (is_full && is_new()).then_some(most)
    }

    /// Whether a client's join would be one more membership while memory is so short that some
    /// connections are not read: memberships are held until their clients leave, so that no later step
    /// could take them back.
    pub(super) fn refuses_for_memory(&self, slot: Slot, room: &RoomName) -> bool {
        self.pressure.is_short(MemoryStage::Unread)
            && self.directory.membership(slot, room.as_str()).is_none()
    }

    fn become_member(&mut self, slot: Slot, at: MembershipIndex, next: u64) {
        let key = self.directory[slot].memberships[at].room;
        self.directory.list(slot, at, next);
        let back_pressure = &mut self.directory[key].back_pressure;
        if back_pressure.announced == Some(true) {
            // If the last member had left meanwhile, the home has forgotten what this shard announced;
            // otherwise it has not. So the state is announced again.
            back_pressure.announced = None;
        }
        self.judge_back_pressure(key);
    }

    /// The home has counted the leave; the client's answer follows its last message. Returns whether the
    /// connection is still there.
    pub(super) fn on_left(
        &mut self,
        name: &RoomName,
        conn: ConnId,
        request: LeaveRequest,
        offset: u64,
    ) -> bool {
        let Some((slot, at)) = self.directory.find_change(name, conn, request.change_id) else {
            return false;
        };
        let membership = &mut self.directory[slot].memberships[at];
        membership.end_leave();
        let (key, index) = (membership.room, membership.listed().expect("it was joined"));
        let watches = membership.watches;
        self.directory[slot].departing += 1;
        if watches {
            self.directory.watchers.forget(key, slot);
        }
        self.note_member(slot, || RoomEvent::Left(conn, name.clone()));
        let is_forbidden = request.requester == Requester::Permissions;
        let id = request.requester.id().map(Into::into);
        let (room, pool) = self.directory.rooms.with_pool(key);
        room.depart(index, offset, id, is_forbidden, pool);
        self.send_what_lingers(slot, at);
        self.finish_departures(slot);
        true
    }

    /// The program hears of it, if it watches members and knows of this connection.
    fn note_member(&mut self, slot: Slot, event: impl FnOnce() -> RoomEvent) {
        if self.config.hooks.members && self.directory[slot].format.is_known_to_program() {
            self.outputs.room_events.push_back(event());
        }
    }

    /// The connection ends, and with it whatever memberships the program has heard of.
    pub(super) fn note_members_end(&mut self, slot: Slot) {
        if self.config.hooks.members && self.directory[slot].format.is_known_to_program() {
            let conn = self.directory.id(slot);
            let rooms = self.directory.counted_rooms(slot);
            let left = rooms.map(|room| RoomEvent::Left(conn, room.clone()));
            self.outputs.room_events.extend(left);
        }
    }

    /// Removes the departing memberships whose last message is sent.
    pub(super) fn finish_departures(&mut self, slot: Slot) {
        let connection = &self.directory[slot];
        if connection.write_state() == WriteState::Begun || connection.departing == 0 {
            return;
        }
        while let Some((at, left)) = self.directory.finished_departure(slot) {
            let key = self.directory[slot].memberships[at].room;
            self.directory.leave(slot, at);
            let Left { name, id, until, is_forbidden } = left;
            let id = id.as_deref();
            self.say(slot, &Fact::Left { room: &name, id, offset: until, is_forbidden });
            self.on_change_ended(slot, key);
        }
    }

    /// A join, question or leave of a room has ended: a command that waited for that may go on.
    pub(super) fn on_change_ended(&mut self, slot: Slot, room: RoomKey) {
        if self.directory[slot].wait() == Some(&Wait::Change(room)) {
            self.resume_later(slot);
        }
    }

    /// An ack, or an error that had to come after one.
    pub(super) fn on_reply(&mut self, slot: Slot, reply: &Reply) {
        self.directory[slot].count_reply();
        self.say(slot, &reply.fact());
        let connection = &self.directory[slot];
        if connection.wait() == Some(&Wait::Replies)
            && !connection.has_unread_replies(&self.config.limits)
        {
            self.resume_later(slot);
        }
    }
}

/// What a client is sent: how many rooms may be, or that memory is short.
fn why_unjoined(why: Unjoined) -> (ErrorCode, Cow<'static, str>) {
    match why {
        Unjoined::TooManyRooms(most) => {
            let words = format!("rooms of the server (max_total_rooms) are limited to {most}");
            (ErrorCode::TooManyRooms, words.into())
        }
        Unjoined::NoMemoryForPresence => (ErrorCode::Overloaded, NO_MEMORY_FOR_PRESENCE.into()),
        Unjoined::NoMemory => {
            let words = "memory is short, and new rooms are refused; try again later";
            (ErrorCode::Overloaded, words.into())
        }
    }
}
