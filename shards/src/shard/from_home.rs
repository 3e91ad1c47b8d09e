//! What each message from a home does.

use super::host::Host;
use crate::format::Frames;
use crate::id::ConnId;
use crate::mesh::{Answer, FromHome, Unjoined};
use crate::presence::NamedMembers;
use crate::room::table::EVERYBODY;
use crate::room_name::RoomName;
use crate::time::Time;

impl Host {
    /// Handles a message from a home, which never needs capacity on a ring.
    pub(super) fn on_from_home(&mut self, message: FromHome) {
        if let FromHome::Joined { conn, ref room, .. } = message
            && self.directory.rejoins_while_sending(conn, room)
        {
            // The cursor that the answer to a second join reports is known when the send has ended.
            self.joins_after_send.entry(conn).or_default().push(message);
            return;
        }
        self.counters.mesh_handled += 1;
        match message {
            FromHome::Deliver { room, offset, frames, exclude, accepted } => {
                self.deliver(&room, offset, &frames, exclude, accepted);
            }
            FromHome::Joined { room, conn, change_id, requester, joined, presence, replay } => {
                let entered = (joined, presence.as_deref(), replay);
                let joined = self.on_joined(&room, conn, change_id, &requester, entered);
                self.outputs.answer_program(&requester, joined.map(Answer::Joined));
            }
            FromHome::Unjoined { room, conn, change_id, requester, why } => {
                let is_there = self.on_unjoined(&room, conn, change_id, &requester, why);
                let answer = match why {
                    Unjoined::TooManyRooms(most) if is_there => Some(Answer::TooManyRooms(most)),
                    _ => None,
                };
                self.outputs.answer_program(&requester, answer);
            }
            FromHome::Presence { room, conn, change_id, id, presence } => {
                self.on_presence(&room, conn, change_id, id, presence.as_deref());
            }
            FromHome::PresenceChange { room, version, frame } => {
                self.on_presence_change(&room, version, frame);
            }
            FromHome::Census { room, census } => {
                let home = self.directory.home(room.as_str());
                self.outboxes.defer_named(home, NamedMembers { room, census, left: None });
            }
            FromHome::Left { room, conn, request, offset } => {
                let requester = request.requester.clone();
                let left = self.on_left(&room, conn, request, offset);
                self.outputs.answer_program(&requester, left.then_some(Answer::Left { offset }));
            }
            FromHome::Reply { conn, reply } => {
                if let Some(slot) = self.directory.find(conn) {
                    self.on_reply(slot, &reply);
                }
            }
            // From here on commands that publish to the room wait.
            FromHome::Paused { room, paused: true } => {
                self.paused_rooms.entry(room).or_default();
            }
            FromHome::Paused { room, paused: false } => self.resume_room(room),
            FromHome::Answer { token, answer } => self.outputs.answers.push_back((token, answer)),
        }
    }

    /// Appends once, whatever the number of members.
    fn deliver(
        &mut self,
        name: &RoomName,
        offset: u64,
        frames: &Frames,
        exclude: Option<ConnId>,
        accepted: Time,
    ) {
        let Some(key) = self.directory.rooms.find(name.as_str()) else { return };
        let (room, pool) = self.directory.rooms.with_pool(key);
        if key == EVERYBODY && room.members.is_empty() {
            // Connections enter this room without asking its home: so the next offset is learned
            // from the broadcast that follows.
            room.resume_at(offset + 1);
        }
        if !room.is_awaited() {
            // Its members here have left; their leaves are still on the way to the home.
            return;
        }
        assert_eq!(offset, room.next_offset(), "a room's messages come in order, without gaps");
        let copied = room.append(frames, pool);
        room.keep_accepted(accepted);
        self.counters.log_bytes_copied += copied as u64;
        if let Some(slot) = exclude.and_then(|conn| self.directory.find(conn)) {
            self.directory.exclude(slot, key);
            if self.directory.owes_positions(slot) {
                self.make_ready(slot);
            }
        }
        let (room, pool) = self.directory.rooms.with_pool(key);
        room.trim(pool);
        self.judge_back_pressure(key);
        self.await_pass(key);
    }
}
