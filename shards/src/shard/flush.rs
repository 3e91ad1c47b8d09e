//! Whom to send to next.

use super::Shard;
use crate::connection::Sending;
use crate::disconnect::Disconnect;
use crate::id::ConnId;
use crate::log::Pin;
use crate::room::Room;
use crate::time::Time;

/// How a send ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendEnd {
    /// The socket took this many bytes, perhaps fewer than it was offered.
    Taken(usize),
    /// It took none, and says when it will.
    Blocked,
    /// It will never take any again.
    Failed,
}

impl Shard {
    /// Event: the socket takes bytes again.
    pub fn on_writable(&mut self, id: ConnId) {
        let Some(slot) = self.connections.find(id) else { return };
        if self.connections[slot].sending == Sending::Blocked {
            self.connections[slot].sending = Sending::Idle;
            self.blocked -= 1;
            self.make_ready(slot);
        }
    }

    /// Begins the next slice: of the next rooms in line, as many as its budget lasts for. Each of
    /// those that are in line now has at most one turn. Connections whose end was decided during
    /// the last slice are taken out of their rooms first.
    pub fn start_slice(&mut self) {
        self.reap();
        if let Some(key) = self.slice.room.take() {
            self.queues.dirty.push_back(key);
        }
        let tuning = &self.config.tuning;
        (self.slice.sends_left, self.slice.visits_left) = (tuning.slice_sends, tuning.slice_visits);
        self.slice.offered_max = self.counters.offered + tuning.slice_bytes;
        self.slice.rooms_left = self.queues.dirty.len();
        // Whoever does not care how long messages take need not say when a slice ends.
        self.slice.accepted.clear();
        self.next_room();
    }

    /// Goes on with the next room in line, if one is left.
    fn next_room(&mut self) {
        self.slice.room = None;
        while self.slice.rooms_left > 0 {
            self.slice.rooms_left -= 1;
            let Some(key) = self.queues.dirty.pop_front() else { return };
            // A key in line may belong to a room that is gone, or to its successor.
            if let Some(room) = self.rooms.get_mut(key)
                && room.dirty
            {
                room.begin_pass();
                self.slice.room = Some(key);
                return;
            }
        }
    }

    /// Whether a room waits for a slice, or a connection for a send of its own, or for being taken
    /// out of its rooms, which the next slice begins with.
    pub fn has_sends(&self) -> bool {
        let queues = &self.queues;
        let is_sending = self.slice.room.is_some() || !queues.dirty.is_empty();
        is_sending || !queues.ready.is_empty() || !queues.marked.is_empty()
    }

    /// Output: begins the next send of a connection that has frames of its own, or is writable
    /// again.
    pub fn next_own_send(&mut self) -> Option<ConnId> {
        while let Some(slot) = self.queues.ready.pop_front() {
            if !std::mem::take(&mut self.connections[slot].ready) {
                continue;
            }
            if self.connections[slot].sending == Sending::Idle && self.begin_send(slot) {
                return Some(self.connections.id(slot));
            }
        }
        None
    }

    /// Output: begins the next send of this slice; none when the slice is over.
    pub fn next_room_send(&mut self) -> Option<ConnId> {
        while self.slice.goes_on(self.counters.offered) {
            let key = self.slice.room?;
            if !self.rooms.get(key).is_some_and(Room::pass_is_under_way) {
                // The room's last member has left, and perhaps another room has taken its key.
                self.next_room();
                continue;
            }
            let Some(index) = self.rooms[key].visit() else {
                self.end_pass(key);
                self.next_room();
                continue;
            };
            self.slice.visits_left -= 1;
            let slot = self.rooms[key].members[index].slot;
            if self.visit(key, index, slot) {
                self.slice.sends_left -= 1;
                return Some(self.connections.id(slot));
            }
        }
        None
    }

    /// Whether passes ended with the sends of this slice, so that the shard wants to hear of its
    /// end.
    pub fn wants_slice_end(&self) -> bool {
        !self.slice.accepted.is_empty()
    }

    /// Event: every send of the slice has ended, and this is the time now. What the shard learns
    /// from it is how long the messages of the passes that ended were on their way.
    pub fn on_slice_end(&mut self, now: Time) {
        for accepted in self.slice.accepted.drain(..) {
            self.counters.latencies.record(now.since(accepted));
        }
    }

    /// Looks at one member; returns whether a send was begun.
    fn visit(&mut self, key: u32, index: usize, slot: u32) -> bool {
        let room = &self.rooms[key];
        let member = &room.members[index];
        match self.connections[slot].sending {
            Sending::Idle => {
                if !room.is_behind(member) {
                    return false;
                }
                self.connections[slot].note(member.place as usize);
                self.begin_send(slot)
            }
            Sending::Blocked | Sending::Dead => {
                if room.lost_its_place(member) && self.is_fatal_to_lose(key) {
                    self.mark(slot, Disconnect::Slow);
                }
                self.leave_behind(key, index, Pin::Slow);
                false
            }
            // What its send does not carry makes it ready again when the send ends.
            Sending::Begun => {
                self.leave_behind(key, index, Pin::Held);
                false
            }
        }
    }

    /// The pass goes by a member that cannot be sent to now. If it is behind, the log keeps its
    /// place.
    fn leave_behind(&mut self, key: u32, index: usize, pin: Pin) {
        let room = &mut self.rooms[key];
        let member = &room.members[index];
        if room.is_behind(member) && member.pin.is_none() {
            self.connections[member.slot].note(member.place as usize);
            room.pin(index, pin);
        }
    }

    fn end_pass(&mut self, key: u32) {
        let limit = self.config.limits.room_log_bytes;
        let (room, pool) = self.rooms.with_pool(key);
        let (accepted, again) = room.end_pass(pool);
        room.dirty = again;
        room.trim(limit, pool);
        if again {
            self.queues.dirty.push_back(key);
        }
        self.slice.accepted.extend(accepted);
        self.judge_press(key);
        self.settle_debts();
    }

    pub(super) fn make_ready(&mut self, slot: u32) {
        let connection = &mut self.connections[slot];
        if !connection.ready {
            connection.ready = true;
            self.queues.ready.push_back(slot);
        }
    }
}
