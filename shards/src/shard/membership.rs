//! How a connection becomes a member of a room, and ceases to be one.

use super::directory::Left;
use super::host::Host;
use crate::connection::table::Slot;
use crate::connection::{Wait, WriteState};
use crate::format::{Fact, Reply};
use crate::id::ConnId;
use crate::mesh::{Joined, LeaveRequest, Requester};
use crate::room::table::RoomKey;
use crate::room_name::RoomName;

impl Host {
    pub(super) fn on_joined(
        &mut self,
        name: &RoomName,
        conn: ConnId,
        change_id: u32,
        requester: &Requester,
        mut joined: Joined,
    ) -> Option<Joined> {
        let (slot, place) = self.directory.find_change(name, conn, change_id)?;
        let membership = self.directory[slot].memberships[place];
        match membership.listed() {
            None => self.become_member(slot, place, joined.offset + 1),
            Some(index) => {
                let room = &self.directory[membership.room];
                joined.offset = room.offset_before(&room.members[index]);
            }
        }
        self.directory[slot].memberships[place].end_join();
        self.push_head(slot);
        self.say(slot, &Fact::Joined { room: name, id: requester.id(), joined: &joined });
        self.on_answered(slot, membership.room);
        Some(joined)
    }

    fn become_member(&mut self, slot: Slot, place: usize, next: u64) {
        let key = self.directory[slot].memberships[place].room;
        self.directory.list(slot, place, next);
        let back_pressure = &mut self.directory[key].back_pressure;
        if back_pressure.announced == Some(true) {
            // If the last member had left meanwhile, the home has forgotten what this shard announced;
            // otherwise it has not. So the state is announced again.
            back_pressure.announced = None;
        }
        self.judge_back_pressure(key);
    }

    /// The leave is counted; the client's answer follows the last message. Returns whether the
    /// connection is still there.
    pub(super) fn on_left(
        &mut self,
        name: &RoomName,
        conn: ConnId,
        request: LeaveRequest,
        offset: u64,
    ) -> bool {
        let Some((slot, place)) = self.directory.find_change(name, conn, request.change_id) else {
            return false;
        };
        let membership = &mut self.directory[slot].memberships[place];
        membership.end_leave();
        let (key, index) = (membership.room, membership.listed().expect("it was joined"));
        self.directory[slot].departing += 1;
        self.directory[key].depart(index, offset, request.requester.id().map(Into::into));
        self.finish_departures(slot);
        true
    }

    /// Lets those memberships go whose last message is sent.
    pub(super) fn finish_departures(&mut self, slot: Slot) {
        let connection = &self.directory[slot];
        if connection.write_state() == WriteState::Begun || connection.departing == 0 {
            return;
        }
        while let Some((place, left)) = self.directory.finished_departure(slot) {
            let key = self.directory[slot].memberships[place].room;
            self.directory.leave(slot, place);
            let Left { name, id, until } = left;
            self.say(slot, &Fact::Left { room: &name, id: id.as_deref(), offset: until });
            self.on_answered(slot, key);
        }
    }

    /// A join or leave has its answer: what waited for that may go on.
    fn on_answered(&mut self, slot: Slot, room: RoomKey) {
        if self.directory[slot].wait() == Some(&Wait::Answer(room)) {
            self.resume_later(slot);
        }
    }

    /// An ack, or an answer that had to come behind one.
    pub(super) fn on_reply(&mut self, slot: Slot, reply: &Reply) {
        self.directory[slot].note_reply();
        self.say(slot, &reply.fact());
        let connection = &self.directory[slot];
        if connection.wait() == Some(&Wait::Replies)
            && !connection.has_unread_replies(&self.config.limits)
        {
            self.resume_later(slot);
        }
    }
}
