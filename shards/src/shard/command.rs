//! What a client asks for.

use super::Shard;
use super::receive::Flow;
use crate::call::{Call, Called, Message};
use crate::connection::{Membership, MembershipState, NOT_LISTED, Sending, Wait};
use crate::disconnect::Disconnect;
use crate::envelope::{Command, Envelope, ErrorCode, Publication, Reply, Since, Unnumbered};
use crate::id::ShardId;
use crate::message::{Asked, Asker, Origin, Request};
use crate::permissions::Permission;
use crate::room_name::RoomName;

impl Shard {
    /// Handles one text message, or says why it must wait: then nothing has happened.
    pub(super) fn handle_text(&mut self, slot: u32, text: &str) -> Flow {
        self.may_reply(slot)?;
        if self.config.handled.text {
            self.call(slot, Called::Text(text.to_owned()));
            return Ok(());
        }
        match Envelope::parse(text) {
            Ok(envelope) => self.handle_envelope(slot, &envelope),
            Err(bad) => {
                let room = bad.room.as_ref();
                self.refuse(slot, ErrorCode::BadEnvelope, bad.message, bad.id, room)
            }
        }
    }

    pub(super) fn handle_binary(&mut self, slot: u32, bytes: &[u8]) -> Flow {
        self.may_reply(slot)?;
        match self.config.handled.binary {
            true => self.call(slot, Called::Binary(bytes.to_vec())),
            false => self.mark(slot, Disconnect::Binary),
        }
        Ok(())
    }

    fn may_reply(&self, slot: u32) -> Flow {
        let connection = &self.connections[slot];
        match connection.sending {
            Sending::Begun => Err(Wait::Begun),
            _ if connection.owes_reading(&self.config.limits) => Err(Wait::Own),
            _ => Ok(()),
        }
    }

    fn handle_envelope(&mut self, slot: u32, envelope: &Envelope<'_>) -> Flow {
        let room = envelope.room.as_ref();
        self.room_is_answered(slot, room)?;
        let command = match Command::read(envelope) {
            Ok(command) => command,
            Err(bad) => return self.refuse(slot, bad.code, bad.message, envelope.id, room),
        };
        if let Some(action) = command.action()
            && self.connections[slot].permissions.of(action) == Permission::Forbidden
        {
            return self.refuse(slot, ErrorCode::Forbidden, action.refusal(), envelope.id, room);
        }
        let room = || envelope.room.clone().expect("the command was read with its room");
        match command {
            Command::Join { since } => self.join_from(slot, room(), envelope.id, since),
            Command::Leave => self.leave_from(slot, room(), envelope.id),
            Command::Publish(publication) => {
                self.publish_from(slot, room(), envelope.id, &publication)
            }
            Command::Broadcast(publication) => {
                self.publish_from(slot, RoomName::everybody(), envelope.id, &publication)
            }
            Command::Ping => {
                self.push_own(slot, &Reply::pong(envelope.id));
                Ok(())
            }
            Command::Application => self.handle_application(slot, envelope),
        }
    }

    fn handle_application(&mut self, slot: u32, envelope: &Envelope<'_>) -> Flow {
        let room = envelope.room.as_ref();
        if !self.config.handled.events.contains(&*envelope.event) {
            let message = "no handler is registered for this event; the protocol's own are \
                           cast:join, cast:leave, cast:publish, cast:broadcast and cast:ping";
            return self.refuse(slot, ErrorCode::UnknownEvent, message, envelope.id, room);
        }
        let message = Message {
            event: envelope.event.as_ref().into(),
            data: envelope.data.map_or("null", serde_json::value::RawValue::get).into(),
            room: room.cloned(),
            id: envelope.id.map(Into::into),
        };
        self.call(slot, Called::Event(message));
        Ok(())
    }

    fn call(&mut self, slot: u32, what: Called) {
        let conn = self.connections.id(slot);
        self.connections[slot].wait = Some(Wait::Handler);
        self.outputs.calls.push_back(Call { conn, what });
    }

    fn join_from(
        &mut self,
        slot: u32,
        room: RoomName,
        id: Option<&str>,
        since: Option<Since<'_>>,
    ) -> Flow {
        if !self.may_join(slot, &room) {
            let rooms_max = self.config.limits.rooms_per_connection;
            let message = format!("rooms per connection (max_rooms) are limited to {rooms_max}");
            return self.refuse(slot, ErrorCode::TooManyRooms, &message, id, Some(&room));
        }
        let since = since.map(|since| (since.epoch.as_ref().into(), since.offset));
        self.request_join(slot, room, Asker::Client(id.map(Into::into)), since)
    }

    /// Whether the connection is in the room already, or may be in one more.
    pub(super) fn may_join(&self, slot: u32, room: &RoomName) -> bool {
        // The room of everybody is in the list and does not count.
        self.connections[slot].memberships.len() <= self.config.limits.rooms_per_connection
            || self.membership(slot, room.as_str()).is_some()
    }

    pub(super) fn request_join(
        &mut self,
        slot: u32,
        room: RoomName,
        asker: Asker,
        since: Option<(Box<str>, u64)>,
    ) -> Flow {
        let home = self.rooms.home(room.as_str());
        self.has_lane(home)?;
        let again = self.membership(slot, room.as_str()).is_some();
        let attempt = self.next_attempt(slot);
        self.note_join(slot, &room, attempt);
        let conn = self.connections.id(slot);
        self.push_request(home, Request::Join { room, conn, attempt, asker, since, again });
        Ok(())
    }

    fn note_join(&mut self, slot: u32, room: &RoomName, attempt: u32) {
        if let Some(place) = self.membership(slot, room.as_str()) {
            let membership = &mut self.connections[slot].memberships[place];
            membership.state = MembershipState::Rejoining;
            membership.attempt = attempt;
            return;
        }
        let room = self.rooms.refer(room);
        let state = MembershipState::Joining;
        let membership = Membership { room, member: NOT_LISTED, attempt, state };
        self.connections[slot].memberships.push(membership);
    }

    fn leave_from(&mut self, slot: u32, room: RoomName, id: Option<&str>) -> Flow {
        let Some(place) = self.membership(slot, room.as_str()) else {
            let message = "the connection is not in this room; join it first";
            return self.refuse(slot, ErrorCode::NotAMember, message, id, Some(&room));
        };
        self.request_leave(slot, place, room, Asker::Client(id.map(Into::into)))
    }

    pub(super) fn request_leave(
        &mut self,
        slot: u32,
        place: usize,
        room: RoomName,
        asker: Asker,
    ) -> Flow {
        let home = self.rooms.home(room.as_str());
        self.has_lane(home)?;
        let attempt = self.next_attempt(slot);
        let membership = &mut self.connections[slot].memberships[place];
        membership.state = MembershipState::Leaving;
        membership.attempt = attempt;
        let asked = Some(Asked { attempt, asker });
        self.push_request(home, Request::Leave { room, conn: self.connections.id(slot), asked });
        Ok(())
    }

    fn publish_from(
        &mut self,
        slot: u32,
        room: RoomName,
        id: Option<&str>,
        publication: &Publication<'_>,
    ) -> Flow {
        if self.pressed.contains_key(&room) {
            return Err(Wait::Pressed(room));
        }
        let home = self.rooms.home(room.as_str());
        self.has_lane(home)?;
        let conn = self.connections.id(slot);
        let origin = match id {
            Some(id) => Origin::Connection { conn, id: id.into() },
            None => Origin::Nobody,
        };
        self.connections[slot].unanswered += u32::from(id.is_some());
        let excludes = !publication.echo && !room.is_everybody();
        let message = Unnumbered::new(publication, &room);
        let exclude = excludes.then_some(conn);
        let accepted = self.now;
        self.push_request(home, Request::Publish { room, message, exclude, origin, accepted });
        Ok(())
    }

    /// Answers with `cast:error`. When a home still owes this connection answers, the error travels
    /// through the room's home, since commands for one room are answered in the order sent.
    fn refuse(
        &mut self,
        slot: u32,
        code: ErrorCode,
        message: &str,
        id: Option<&str>,
        room: Option<&RoomName>,
    ) -> Flow {
        self.room_is_answered(slot, room)?;
        let frame = Reply::error(code, message, id, room);
        let owed = self.connections[slot].unanswered > 0;
        let Some(room) = room.filter(|_| owed) else {
            self.push_own(slot, &frame);
            return Ok(());
        };
        let home = self.rooms.home(room.as_str());
        self.has_lane(home)?;
        self.connections[slot].unanswered += 1;
        self.push_request(home, Request::Relay { conn: self.connections.id(slot), frame });
        Ok(())
    }

    /// While a join or leave is unanswered, the next command for that room waits.
    pub(super) fn room_is_answered(&self, slot: u32, room: Option<&RoomName>) -> Flow {
        let place = room.and_then(|room| self.membership(slot, room.as_str()));
        match place.is_some_and(|place| self.connections[slot].memberships[place].is_unanswered()) {
            true => Err(Wait::Answer),
            false => Ok(()),
        }
    }

    /// Whether a request for `home` fits and nobody stood in line before. Those in line are taken
    /// out of it before they try again.
    fn has_lane(&self, home: ShardId) -> Flow {
        let lanes = &self.lanes[home.index()];
        match lanes.requests.has_room() && (lanes.waiting.is_empty() || self.serving == Some(home))
        {
            true => Ok(()),
            false => Err(Wait::Lane(home)),
        }
    }

    /// Where a connection lists a room.
    pub(super) fn membership(&self, slot: u32, room: &str) -> Option<usize> {
        let key = self.rooms.find(room)?;
        self.connections[slot].memberships.iter().position(|membership| membership.room == key)
    }

    fn next_attempt(&mut self, slot: u32) -> u32 {
        let attempts = &mut self.connections[slot].attempts;
        *attempts = attempts.wrapping_add(1);
        *attempts
    }
}
