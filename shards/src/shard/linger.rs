//! When the pass of a room begins whose policy has messages wait for others.
//!
//! ```text
//! first message ─▶ a time is set ─▶ it comes, or enough bytes wait ─▶ the room needs a pass
//! ```
//!
//! What a pass is the first to carry is one batch: it ends when the pass begins, and the next message is
//! the first of the next one. A send carries everything up to the end of the log, so that newer messages
//! come along with a batch that is due; but no send is begun for them alone.

use super::host::Host;
use crate::connection::WriteState;
use crate::memory::MemoryStage;
use crate::place::{MembershipIndex, Slot};
use crate::room::table::RoomKey;

impl Host {
    /// A message was appended to the room's log: a pass is to carry it, now or when it has lingered.
    pub(super) fn await_pass(&mut self, key: RoomKey) {
        let room = &mut self.directory[key];
        if room.policy.linger.is_none() {
            return self.fanout.mark_dirty(key, room);
        }
        let before = room.linger_until;
        room.note_arrival(self.now);
        if let Some(before) = before.filter(|before| room.linger_until != Some(*before)) {
            // What lingered was for members that have gone.
            self.directory.rooms.lingering.remove(before, key);
        }
        if !self.directory[key].may_linger(self.now) || !self.lets_linger() {
            return self.need_pass(key);
        }
        let room = &self.directory[key];
        if let Some(until) = room.linger_until.filter(|_| !room.dirty) {
            self.directory.rooms.lingering.add(until, key);
        }
    }

    /// The room needs a pass, whether or not messages linger there.
    pub(super) fn need_pass(&mut self, key: RoomKey) {
        let room = &mut self.directory.rooms[key];
        if room.dirty {
            return;
        }
        let lingered = room.linger_until.take();
        self.fanout.mark_dirty(key, room);
        if let Some(until) = lingered {
            self.directory.rooms.lingering.remove(until, key);
        }
    }

    /// A pass has ended, and newer messages are there or not. Returns whether the room needs another
    /// one now.
    pub(super) fn needs_next_pass(&mut self, key: RoomKey, has_newer: bool) -> bool {
        let lets_linger = self.lets_linger();
        let room = &mut self.directory.rooms[key];
        let is_paused = room.is_paused_for_replays();
        let lingers = has_newer && !is_paused && lets_linger && room.may_linger(self.now);
        room.dirty = is_paused || has_newer && !lingers;
        room.linger_until = room.linger_until.filter(|_| lingers);
        let (needs, until) = (room.dirty, room.linger_until);
        if let Some(until) = until {
            self.directory.rooms.lingering.add(until, key);
        }
        needs
    }

    /// Rooms need their pass whose messages have lingered.
    pub(super) fn end_lingers(&mut self) {
        self.end_lingers_of(!self.lets_linger());
    }

    /// Rooms need their pass whose messages linger.
    pub(super) fn end_all_lingers(&mut self) {
        self.end_lingers_of(true);
    }

    fn end_lingers_of(&mut self, is_any_due: bool) {
        while let Some(key) = self.directory.rooms.lingering.take_due(self.now, is_any_due) {
            let room = &mut self.directory.rooms[key];
            room.linger_until = None;
            // Those whom they were for may have gone.
            if room.bytes_uncarried() > 0 {
                self.fanout.mark_dirty(key, room);
            }
        }
    }

    /// Whether a connection is behind in a room by more than what lingers there.
    pub(super) fn is_owed_messages(&self, slot: Slot) -> bool {
        let lets_linger = self.lets_linger();
        self.directory[slot].memberships.iter().any(|membership| {
            let Some(index) = membership.listed() else { return false };
            let room = &self.directory[membership.room];
            let member = &room.members[index];
            let lingers = lets_linger && room.linger_until.is_some() && !room.is_due(member);
            room.is_behind(member) && !lingers
        })
    }

    /// Nothing lingers while memory is short, nor in a drain.
    fn lets_linger(&self) -> bool {
        self.reading && !self.pressure.is_short(MemoryStage::Refusing)
    }

    /// A member that leaves is sent what lingers: its answer follows the last message.
    pub(super) fn send_what_lingers(&mut self, slot: Slot, at: MembershipIndex) {
        let membership = &self.directory[slot].memberships[at];
        let (key, is_marked) = (membership.room, membership.maybe_behind);
        let Some(index) = membership.listed() else { return };
        let room = &self.directory[key];
        if room.policy.linger.is_none() || is_marked || !room.is_due(&room.members[index]) {
            return;
        }
        self.directory[slot].mark_behind(at);
        match self.directory[slot].write_state() {
            // What its send does not carry makes it ready again when the send ends.
            WriteState::Begun => {}
            WriteState::Idle => {
                self.pin_behind(slot);
                self.make_ready(slot);
            }
            WriteState::Unbegun | WriteState::Blocked | WriteState::Held | WriteState::Dead => {
                self.pin_behind(slot);
            }
        }
    }
}
