//! What comes back from a home.

use std::sync::Arc;

use super::Shard;
use crate::connection::{Membership, MembershipState, Sending, Wait};
use crate::envelope::Reply;
use crate::id::ConnId;
use crate::message::{Answer, Asked, Asker, Joined, Outcome};
use crate::room_name::RoomName;
use crate::rooms::EVERYBODY;
use crate::time::Time;

/// What `cast:left` tells.
struct Left {
    name: RoomName,
    id: Option<Box<str>>,
    until: u64,
}

impl Shard {
    /// Event: an outcome of a home. Always taken; never causes a message to another shard by
    /// itself.
    pub fn on_outcome(&mut self, outcome: Outcome) {
        self.counters.mesh_handled += 1;
        match outcome {
            Outcome::Deliver { room, offset, frame, exclude, accepted } => {
                self.deliver(&room, offset, &frame, exclude, accepted);
            }
            Outcome::Joined { conn, ref room, .. } if self.rejoins_while_sending(conn, room) => {
                // Where a second join finds its connection is known only when the send has ended.
                self.counters.mesh_handled -= 1;
                self.deferred.entry(conn).or_default().push(outcome);
            }
            Outcome::Joined { room, conn, attempt, asker, joined } => {
                let joined = self.on_joined(&room, conn, attempt, &asker, joined);
                self.answer_program(&asker, joined.map(Answer::Joined));
            }
            Outcome::Left { room, conn, asked, offset } => {
                let asker = asked.asker.clone();
                let left = self.on_left(&room, conn, asked, offset);
                self.answer_program(&asker, left.then_some(Answer::Left { offset }));
            }
            Outcome::Reply { conn, frame } => {
                if let Some(slot) = self.connections.find(conn) {
                    self.on_reply(slot, &frame);
                }
            }
            Outcome::Pressed { room, pressed: true } => {
                self.pressed.entry(room).or_default();
            }
            Outcome::Pressed { room, pressed: false } => self.on_released(room),
            Outcome::Answer { token, answer } => self.outputs.answers.push_back((token, answer)),
        }
        self.reap();
    }

    /// Appends once, whatever the number of members.
    fn deliver(
        &mut self,
        name: &RoomName,
        offset: u64,
        frame: &Arc<[u8]>,
        exclude: Option<ConnId>,
        accepted: Time,
    ) {
        let Some(key) = self.rooms.find(name.as_str()) else { return };
        let (room, pool) = self.rooms.with_pool(key);
        if key == EVERYBODY && room.members.is_empty() {
            // No answer of a home tells the next connection where it begins.
            room.resume_at(offset + 1);
        }
        if !room.is_awaited() {
            // Whoever was to get it has left, and the news is still on its way to the home.
            return;
        }
        assert_eq!(offset, room.next_offset(), "a room's messages come in order, without holes");
        room.log.append(frame, pool);
        room.note_accepted(accepted);
        if frame.len() <= self.config.tuning.copy_bytes {
            self.counters.log_bytes_copied += frame.len() as u64;
        }
        if let Some(slot) = exclude.and_then(|conn| self.connections.find(conn)) {
            self.exclude(slot, key);
        }
        let limit = self.config.limits.room_log_bytes;
        let (room, pool) = self.rooms.with_pool(key);
        room.trim(limit, pool);
        self.judge_press(key);
        self.mark_dirty(key);
    }

    fn exclude(&mut self, slot: u32, key: u32) {
        let memberships = &self.connections[slot].memberships;
        let membership = memberships.iter().find(|membership| membership.room == key);
        if let Some(index) = membership.and_then(|membership| membership.listed()) {
            self.rooms[key].exclude(index);
        }
    }

    fn mark_dirty(&mut self, key: u32) {
        let room = &mut self.rooms[key];
        if !room.dirty {
            room.dirty = true;
            self.queues.dirty.push_back(key);
        }
    }

    /// Puts the room in line when its home should hear that publishers are too fast, or no longer.
    pub(super) fn judge_press(&mut self, key: u32) {
        let limit = self.config.limits.room_log_bytes;
        if self.rooms[key].judge_press(limit) {
            self.queue_telling(key);
        }
    }

    fn on_joined(
        &mut self,
        name: &RoomName,
        conn: ConnId,
        attempt: u32,
        asker: &Asker,
        mut joined: Joined,
    ) -> Option<Joined> {
        let (slot, place) = self.attempt(name, conn, attempt)?;
        let membership = self.connections[slot].memberships[place];
        match membership.listed() {
            None => self.become_member(slot, place, joined.offset + 1),
            Some(index) => {
                let room = &self.rooms[membership.room];
                joined.offset = room.offset_before(&room.members[index]);
            }
        }
        self.connections[slot].memberships[place].state = MembershipState::Joined;
        self.push_own(slot, &Reply::joined(name, asker.id(), &joined));
        self.on_answered(slot, membership.room);
        Some(joined)
    }

    /// Tells the program, if it was the one that asked, how its join or leave went; none when the
    /// connection has ended meanwhile.
    fn answer_program(&mut self, asker: &Asker, answer: Option<Answer>) {
        if let Asker::Program(token) = asker {
            self.outputs.answers.push_back((*token, answer.unwrap_or(Answer::Gone)));
        }
    }

    fn become_member(&mut self, slot: u32, place: usize, next: u64) {
        let key = self.connections[slot].memberships[place].room;
        let room = &mut self.rooms[key];
        let member = room.add(slot, u16::try_from(place).expect("few rooms per connection"), next);
        if room.press.told == Some(true) {
            // If the last member had left meanwhile, the home has forgotten that this shard
            // pressed; otherwise it has not. So it is told again what holds now.
            room.press.told = None;
        }
        self.connections[slot].memberships[place].member = member;
        self.memberships += 1;
        self.judge_press(key);
    }

    /// The leave is counted; the client's answer follows the last message. Returns whether the
    /// connection is still there.
    fn on_left(&mut self, name: &RoomName, conn: ConnId, asked: Asked, offset: u64) -> bool {
        let Some((slot, place)) = self.attempt(name, conn, asked.attempt) else { return false };
        let membership = &mut self.connections[slot].memberships[place];
        assert_eq!(membership.state, MembershipState::Leaving, "only a leave is answered so");
        membership.state = MembershipState::Departing;
        let (key, index) = (membership.room, membership.listed().expect("it was joined"));
        self.connections[slot].departing += 1;
        self.rooms[key].depart(index, offset, asked.asker.id().map(Into::into));
        self.finish_departures(slot);
        self.reap();
        true
    }

    /// Lets those memberships go whose last message is sent.
    pub(super) fn finish_departures(&mut self, slot: u32) {
        let connection = &self.connections[slot];
        if connection.sending == Sending::Begun || connection.departing == 0 {
            return;
        }
        while let Some((place, left)) = self.finished_departure(slot) {
            let key = self.connections[slot].memberships[place].room;
            self.unlist(slot, place);
            self.forget_membership(slot, place);
            let frame = Reply::left(&left.name, left.id.as_deref(), left.until);
            self.rooms.release(key);
            self.push_own(slot, &frame);
            self.on_answered(slot, key);
        }
    }

    fn finished_departure(&self, slot: u32) -> Option<(usize, Left)> {
        // A dead socket takes no last message; waiting for that would keep the connection for ever.
        let is_dead = self.connections[slot].sending == Sending::Dead;
        let memberships = self.connections[slot].memberships.iter().enumerate();
        let departing = |membership: &Membership| membership.state == MembershipState::Departing;
        memberships.filter(|(_, membership)| departing(membership)).find_map(
            |(place, membership)| {
                let room = &self.rooms[membership.room];
                let member = &room.members[membership.listed()?];
                let departure =
                    member.departure().filter(|_| is_dead || !room.is_behind(member))?;
                let (until, id) = (departure.until, departure.id.clone());
                Some((place, Left { name: room.name.clone(), id, until }))
            },
        )
    }

    fn rejoins_while_sending(&self, conn: ConnId, room: &RoomName) -> bool {
        let Some(slot) = self.connections.find(conn) else { return false };
        let rejoins = self.membership(slot, room.as_str()).is_some_and(|place| {
            self.connections[slot].memberships[place].state == MembershipState::Rejoining
        });
        rejoins && self.connections[slot].sending == Sending::Begun
    }

    /// Finds the membership that an answer is for; none when the answer is stale.
    fn attempt(&self, name: &RoomName, conn: ConnId, attempt: u32) -> Option<(u32, usize)> {
        let slot = self.connections.find(conn)?;
        let place = self.membership(slot, name.as_str())?;
        let membership = &self.connections[slot].memberships[place];
        let expects = membership.is_unanswered() && membership.state != MembershipState::Departing;
        (expects && membership.attempt == attempt).then_some((slot, place))
    }

    /// A join or leave has its answer: what waited for that may go on.
    fn on_answered(&mut self, slot: u32, room: u32) {
        if self.connections[slot].wait == Some(Wait::Answer(room)) {
            self.resume(slot);
        }
    }

    /// An ack, or an answer that had to come behind one.
    fn on_reply(&mut self, slot: u32, frame: &[u8]) {
        self.connections[slot].note_reply();
        self.push_own(slot, frame);
        let connection = &self.connections[slot];
        if connection.wait == Some(Wait::Own) && !connection.owes_reading(&self.config.limits) {
            self.resume(slot);
        }
    }

    /// Those who waited go to the end of the home's line, so that they go on as fast as it has room.
    fn on_released(&mut self, room: RoomName) {
        let Some(mut line) = self.pressed.remove(&room) else { return };
        let home = self.rooms.home(room.as_str());
        let pressed = Wait::Pressed(room.into());
        while let Some(id) = line.pop() {
            if let Some(slot) = self.connections.find(id)
                && self.connections[slot].wait.as_ref() == Some(&pressed)
            {
                self.set_wait(slot, Some(Wait::Lane(home)));
                self.lanes[home.index()].waiting.push(id);
            }
        }
        self.resume_waiting(home);
    }
}
