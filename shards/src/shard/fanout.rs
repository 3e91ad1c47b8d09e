//! Which rooms wait for their pass, and what is left of the quantum.

use std::collections::VecDeque;

use crate::room::Room;
use crate::room::table::{RoomKey, Rooms};
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

    /// The room whose pass runs.
    pub(super) fn room(&self) -> Option<RoomKey> {
        self.quantum.room
    }

    /// One more member was looked at.
    pub(super) fn count_look(&mut self) {
        self.quantum.members_left -= 1;
    }

    /// One more send was begun.
    pub(super) fn count_send(&mut self) {
        self.quantum.sends_left -= 1;
    }

    /// A room's pass has ended, whose oldest message was accepted then; it may need another one.
    pub(super) fn end_pass(&mut self, key: RoomKey, accepted: Option<Time>, again: bool) {
        if again {
            self.dirty.push_back(key);
        }
        self.quantum.accepted.extend(accepted);
    }

    /// Goes on with the next room in the queue, if one is left.
    pub(super) fn next_room(&mut self, rooms: &mut Rooms) {
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
    pub(super) fn goes_on(&self, offered: u64) -> bool {
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
