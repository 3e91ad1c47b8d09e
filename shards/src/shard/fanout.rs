//! Which connection is sent to next: passes over rooms, in quanta.

use std::collections::VecDeque;

use super::deferred_to_home::send_deferred;
use super::host::Host;
use crate::connection::WriteState;
use crate::log::Pin;
use crate::place::Slot;
use crate::room::table::{RoomKey, Rooms};
use crate::room::{MemberIndex, Room};
use crate::time::Time;
use crate::tuning::Tuning;

/// Rooms that need a pass, and the quantum of passes that runs now.
#[derive(Debug, Default)]
pub(super) struct Fanout {
    /// Rooms with messages for their members.
    dirty: VecDeque<RoomKey>,
    quantum: Quantum,
}

/// The share of a turn that passes have. A pass that does not fit it goes on in the next one.
#[derive(Debug, Default)]
struct Quantum {
    room: Option<RoomKey>,
    /// For each pass that ended with this quantum: when its oldest message was accepted.
    accepted: Vec<Time>,
    /// Rooms that were in the queue when the quantum began and that it has not come to yet.
    rooms_left: usize,
    sends_left: usize,
    members_left: usize,
    /// The quantum begins no send once this many bytes were ever offered.
    offered_max: u64,
}

impl Fanout {
    /// Puts a room in the queue of those that need a pass.
    pub(super) fn mark_dirty(&mut self, key: RoomKey, room: &mut Room) {
        if !room.dirty {
            room.dirty = true;
            self.dirty.push_back(key);
        }
    }

    /// Begins the next quantum, when `offered` bytes were ever offered.
    pub(super) fn begin_quantum(&mut self, tuning: &Tuning, offered: u64, rooms: &mut Rooms) {
        if let Some(key) = self.quantum.room.take() {
            self.dirty.push_back(key);
        }
        self.quantum.sends_left = tuning.quantum_sends;
        self.quantum.members_left = tuning.quantum_members;
        self.quantum.offered_max = offered + tuning.quantum_bytes;
        self.quantum.rooms_left = self.dirty.len();
        // A caller without interest in latencies need not say when a quantum ends.
        self.quantum.accepted.clear();
        self.next_room(rooms);
    }

    /// Goes on with the next room in the queue, if one is left.
    fn next_room(&mut self, rooms: &mut Rooms) {
        self.quantum.room = None;
        while self.quantum.rooms_left > 0 {
            self.quantum.rooms_left -= 1;
            let Some(key) = self.dirty.pop_front() else { return };
            // The room may be forgotten, and its key may be another room's.
            if let Some(room) = rooms.get_mut(key)
                && room.dirty
            {
                room.begin_pass();
                self.quantum.room = Some(key);
                return;
            }
        }
    }

    /// Whether the quantum may begin a send, when `offered` bytes were ever offered.
    fn goes_on(&self, offered: u64) -> bool {
        let quantum = &self.quantum;
        quantum.sends_left > 0 && quantum.members_left > 0 && offered < quantum.offered_max
    }

    /// Whether a room besides the one whose pass runs waits for its pass.
    pub(super) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether a room waits for a quantum, or for more of it.
    pub(super) fn has_work(&self) -> bool {
        self.quantum.room.is_some() || !self.dirty.is_empty()
    }

    /// Whether passes ended with the sends of this quantum.
    pub(super) fn has_ended_passes(&self) -> bool {
        !self.quantum.accepted.is_empty()
    }

    /// For each pass that ended with this quantum: when its oldest message was accepted.
    pub(super) fn take_ended_passes(&mut self) -> impl Iterator<Item = Time> {
        self.quantum.accepted.drain(..)
    }

    /// Whether the room waits for its pass.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn holds(&self, key: RoomKey) -> bool {
        self.quantum.room == Some(key) || self.dirty.contains(&key)
    }
}

impl Host {
    /// Begins the next send of a connection that has direct frames or is writable again.
    pub(super) fn next_direct_send(&mut self) -> Option<Slot> {
        while let Some(slot) = self.queues.ready.pop_front() {
            if !std::mem::take(&mut self.directory[slot].ready) {
                continue;
            }
            if self.directory[slot].write_state() == WriteState::Idle && self.begin_send(slot) {
                return Some(slot);
            }
        }
        None
    }

    /// Begins the next send of this quantum; none when the quantum is over.
    pub(super) fn next_room_send(&mut self) -> Option<Slot> {
        while self.fanout.goes_on(self.counters.offered) {
            let key = self.fanout.quantum.room?;
            if !self.directory.rooms.get(key).is_some_and(Room::pass_is_under_way) {
                // The room's last member has left, and perhaps another room has taken its key.
                self.fanout.next_room(&mut self.directory.rooms);
                continue;
            }
            let Some(index) = self.directory[key].next_member() else {
                self.end_pass(key);
                self.fanout.next_room(&mut self.directory.rooms);
                continue;
            };
            self.fanout.quantum.members_left -= 1;
            let slot = self.directory[key].members[index].slot;
            if self.try_send_to(key, index, slot) {
                self.fanout.quantum.sends_left -= 1;
                return Some(slot);
            }
        }
        None
    }

    /// Looks at one member; returns whether a send was begun.
    fn try_send_to(&mut self, key: RoomKey, index: MemberIndex, slot: Slot) -> bool {
        let room = &self.directory[key];
        let member = &room.members[index];
        match self.directory[slot].write_state() {
            WriteState::Idle => {
                if !room.is_behind(member) {
                    return false;
                }
                let membership = member.membership;
                self.directory[slot].mark_behind(membership);
                self.begin_send(slot)
            }
            WriteState::Blocked | WriteState::Held | WriteState::Dead => {
                self.pass_by(key, index, slot);
                self.directory.leave_behind(key, index, Pin::Slow);
                false
            }
            // What its send does not carry makes it ready again when the send ends.
            WriteState::Begun => {
                self.directory.leave_behind(key, index, Pin::Held);
                false
            }
        }
    }

    fn end_pass(&mut self, key: RoomKey) {
        let (room, pool) = self.directory.rooms.with_pool(key);
        let (accepted, again) = room.end_pass(pool);
        room.dirty = again;
        room.trim(pool);
        if again {
            self.fanout.dirty.push_back(key);
        }
        self.fanout.quantum.accepted.extend(accepted);
        self.judge_back_pressure(key);
        send_deferred(&mut self.outboxes, &mut self.directory);
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
