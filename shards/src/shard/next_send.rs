//! Which connection is sent to next.

use super::deferred_to_home::send_deferred;
use super::host::Host;
use super::send::Sending;
use crate::connection::WriteState;
use crate::log::Pin;
use crate::place::Slot;
use crate::room::table::RoomKey;
use crate::room::{MemberIndex, Room};

impl Sending<'_> {
    /// Begins the next send of a connection that has direct frames or is writable again, or of one that is
    /// sent a history: these have their share of the sends, however many of the others there are.
    pub(super) fn next_direct_send(&mut self) -> Option<Slot> {
        if self.0.queues.sends_before_replay == 0
            && let Some(slot) = self.next_replay_send()
        {
            return Some(slot);
        }
        while let Some(slot) = self.0.queues.ready.pop_front() {
            if !std::mem::take(&mut self.0.directory[slot].ready)
                || self.0.directory[slot].write_state() != WriteState::Idle
            {
                continue;
            }
            let has_turn = self.is_first_to_replay(slot);
            if self.begin_send(slot, has_turn) {
                let before = &mut self.0.queues.sends_before_replay;
                *before = before.saturating_sub(1);
                return Some(slot);
            }
        }
        self.next_replay_send()
    }

    /// Begins the next send of this quantum; none when the quantum is over.
    pub(super) fn next_room_send(&mut self) -> Option<Slot> {
        while self.0.fanout.goes_on(self.0.offered_of_rooms()) {
            let key = self.0.fanout.room()?;
            if !self.0.directory.rooms.get(key).is_some_and(Room::pass_is_under_way) {
                // The room's last member has left, and perhaps another room has taken its key.
                self.0.fanout.next_room(&mut self.0.directory.rooms);
                continue;
            }
            let Some(index) = self.0.directory[key].next_member() else {
                self.end_pass(key);
                self.0.fanout.next_room(&mut self.0.directory.rooms);
                continue;
            };
            self.0.fanout.count_look();
            let slot = self.0.directory[key].members[index].slot;
            if self.try_send_to(key, index, slot) {
                self.0.fanout.count_send();
                return Some(slot);
            }
        }
        None
    }

    /// Looks at one member; returns whether a send was begun.
    fn try_send_to(&mut self, key: RoomKey, index: MemberIndex, slot: Slot) -> bool {
        let room = &self.0.directory[key];
        let member = &room.members[index];
        match self.0.directory[slot].write_state() {
            WriteState::Idle => {
                // One that is sent a history first has its next send when it is its turn.
                if !room.is_due(member) || member.pin == Some(Pin::Replay) {
                    return false;
                }
                let membership = member.membership;
                self.0.directory[slot].mark_behind(membership);
                self.begin_send(slot, false)
            }
            WriteState::Unbegun | WriteState::Blocked | WriteState::Held | WriteState::Dead => {
                self.0.pass_by(key, index, slot);
                self.0.directory.leave_behind(key, index, Pin::Slow);
                false
            }
            // What its send does not carry makes it ready again when the send ends.
            WriteState::Begun => {
                self.0.directory.leave_behind(key, index, Pin::Held);
                false
            }
        }
    }

    fn end_pass(&mut self, key: RoomKey) {
        let (room, pool) = self.0.directory.rooms.with_pool(key);
        let (accepted, again) = room.end_pass(pool);
        room.trim(pool);
        self.0.judge_back_pressure(key);
        let again = self.0.needs_next_pass(key, again);
        self.0.fanout.end_pass(key, accepted, again);
        send_deferred(&mut self.0.outboxes, &mut self.0.directory);
    }
}

impl Host {
    /// Bytes that sends were ever offered, without histories: those take nothing off a quantum.
    pub(super) fn offered_of_rooms(&self) -> u64 {
        self.counters.offered - self.queues.replay_bytes_offered
    }

    /// A connection can be sent to, for the first time or again. It has its turn among those that are sent
    /// histories whether or not those come first that have direct frames.
    pub(super) fn take_up_sends(&mut self, slot: Slot) {
        if self.directory[slot].replays.is_some() {
            self.queue_replay(slot);
        }
        self.make_ready(slot);
    }

    /// Puts a connection in the queue of those that are sent to without a pass.
    pub(super) fn make_ready(&mut self, slot: Slot) {
        let connection = &mut self.directory[slot];
        if !connection.ready {
            connection.ready = true;
            self.queues.ready.push_back(slot);
        }
    }
}
