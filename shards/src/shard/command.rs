//! What a client asks for.

use std::borrow::Cow;

use super::receive::{Flow, Handled};
use super::{Shard, petition};
use crate::call::{Call, Called, Message, Petition};
use crate::connection::{Membership, MembershipState, NOT_LISTED, Sending, Wait};
use crate::disconnect::Disconnect;
use crate::envelope::{Command, Envelope, ErrorCode, Reply, Unnumbered};
use crate::id::ShardId;
use crate::inbound::{Errand, Pending, What};
use crate::message::{Asked, Asker, Origin, Request};
use crate::permissions::Permission;
use crate::room_name::RoomName;
use crate::rooms::EVERYBODY;

/// Whether a connection may be in one more room.
pub(super) enum Seat {
    /// It may, or is in it already.
    Free,
    /// Not before it is out of the room with this key, which it leaves.
    Leaving(u32),
    /// It is in as many rooms as it may.
    None,
}

/// About how many bytes an ack has besides its id.
const ACK_BYTES: usize = 72;

impl Shard {
    /// Handles one text message, or says why it must wait: then nothing has happened.
    pub(super) fn handle_text(&mut self, slot: u32, text: &str) -> Handled {
        if let Err(wait) = self.may_reply(slot) {
            self.counters.inbound_bytes_copied += text.len() as u64;
            return Err((wait, Pending::Text(text.to_owned())));
        }
        if self.config.handled.text {
            self.call(slot, Called::Text(text.to_owned()));
            return Ok(());
        }
        let errand = self.read(slot, text);
        self.run(slot, errand)
    }

    pub(super) fn handle_binary(&mut self, slot: u32, bytes: &[u8]) -> Handled {
        if let Err(wait) = self.may_reply(slot) {
            self.counters.inbound_bytes_copied += bytes.len() as u64;
            return Err((wait, Pending::Binary(bytes.to_vec())));
        }
        match self.config.handled.binary {
            true => self.call(slot, Called::Binary(bytes.to_vec())),
            false => self.mark(slot, Disconnect::Binary),
        }
        Ok(())
    }

    pub(super) fn may_reply(&self, slot: u32) -> Flow {
        let connection = &self.connections[slot];
        match connection.sending {
            Sending::Begun => Err(Wait::Begun),
            _ if connection.owes_reading(&self.config.limits) => Err(Wait::Own),
            _ => Ok(()),
        }
    }

    /// Reads a text message. Nothing that it says depends on what happens later, but for the rooms
    /// that the connection is in.
    fn read(&mut self, slot: u32, text: &str) -> Errand {
        self.counters.envelopes_read += 1;
        match Envelope::parse(text) {
            Ok(envelope) => Errand {
                what: self.read_envelope(slot, &envelope),
                id: envelope.id.map(Into::into),
                room: envelope.room,
            },
            Err(bad) => Errand {
                what: What::Refuse(ErrorCode::BadEnvelope, bad.message.into()),
                id: bad.id.map(Into::into),
                room: bad.room,
            },
        }
    }

    fn read_envelope(&self, slot: u32, envelope: &Envelope<'_>) -> What {
        let command = match Command::read(envelope) {
            Ok(command) => command,
            Err(bad) => return What::Refuse(bad.code, bad.message.into()),
        };
        if let Some(action) = command.action() {
            match self.connections[slot].permissions.of(action) {
                Permission::Allowed => {}
                Permission::Asked => return What::Ask(petition::wish(command)),
                Permission::Forbidden => {
                    return What::Refuse(ErrorCode::Forbidden, action.refusal().into());
                }
            }
        }
        match command {
            Command::Join { since } => {
                What::Join(since.map(|since| (since.epoch.as_ref().into(), since.offset)))
            }
            Command::Leave => What::Leave,
            Command::Publish(publication) => {
                let room = envelope.room.as_ref().expect("a publish was read with its room");
                let message = Unnumbered::new(&publication, room);
                What::Publish { message, echo: publication.echo }
            }
            Command::Broadcast(publication) => {
                What::Broadcast(Unnumbered::new(&publication, &self.rooms[EVERYBODY].name))
            }
            Command::Ping => What::Ping,
            Command::Application => self.read_application(envelope),
        }
    }

    fn read_application(&self, envelope: &Envelope<'_>) -> What {
        if !self.config.handled.events.contains(&*envelope.event) {
            let message = "no handler is registered for this event; the protocol's own are \
                           cast:join, cast:leave, cast:publish, cast:broadcast and cast:ping";
            return What::Refuse(ErrorCode::UnknownEvent, message.into());
        }
        What::Call(Message {
            event: envelope.event.as_ref().into(),
            data: envelope.data.map_or("null", serde_json::value::RawValue::get).into(),
            room: envelope.room.clone(),
            id: envelope.id.map(Into::into),
        })
    }

    /// Does what a client asked for, or says why it must wait: then nothing has happened.
    pub(super) fn run(&mut self, slot: u32, mut errand: Errand) -> Handled {
        match self.may_run(slot, &mut errand) {
            Ok(()) => {
                self.carry_out(slot, errand);
                Ok(())
            }
            Err(wait) => Err((wait, Pending::Errand(errand.into()))),
        }
    }

    /// A refusal replaces the errand only when it is told: what waits is judged again by what is so
    /// then.
    fn may_run(&mut self, slot: u32, errand: &mut Errand) -> Flow {
        let refusal = self.judge(slot, errand)?;
        self.may_travel(slot, refusal.as_ref().unwrap_or(&errand.what), errand.room.as_ref())?;
        if let Some(refusal) = refusal {
            errand.what = refusal;
        }
        Ok(())
    }

    /// Whether the request that this becomes may be queued for the room's home.
    fn may_travel(&mut self, slot: u32, what: &What, room: Option<&RoomName>) -> Flow {
        // An error that is known at once travels through the room's home while a home still owes
        // this connection answers, since commands for one room are answered in the order sent.
        let owed = self.connections[slot].unanswered > 0;
        let (room, publishes) = match (what, room) {
            (What::Broadcast(_), _) => (&self.rooms[EVERYBODY].name, true),
            (What::Publish { .. }, Some(room)) => (room, true),
            (What::Join(_) | What::Leave, Some(room)) => (room, false),
            (What::Refuse(..), Some(room)) if owed => (room, false),
            _ => return Ok(()),
        };
        if publishes && self.pressed.contains_key(room) {
            return Err(Wait::Pressed(room.clone().into()));
        }
        self.take_place(self.rooms.home(room.as_str()))
    }

    /// What the connection's own rooms say: the errand waits for one of them, or is refused.
    fn judge(&self, slot: u32, errand: &Errand) -> Result<Option<What>, Wait> {
        let Some(room) = &errand.room else { return Ok(None) };
        self.room_is_answered(slot, room)?;
        let (code, message) = match errand.what {
            What::Join(_) => match self.seat(slot, room) {
                Seat::Free => return Ok(None),
                Seat::Leaving(key) => return Err(Wait::Answer(key)),
                Seat::None => {
                    let most = self.config.limits.rooms_per_connection;
                    let message = format!("rooms per connection (max_rooms) are limited to {most}");
                    (ErrorCode::TooManyRooms, Cow::Owned(message))
                }
            },
            What::Leave if self.membership(slot, room.as_str()).is_none() => {
                let message = "the connection is not in this room; join it first";
                (ErrorCode::NotAMember, message.into())
            }
            _ => return Ok(None),
        };
        Ok(Some(What::Refuse(code, message)))
    }

    fn carry_out(&mut self, slot: u32, errand: Errand) {
        let Errand { room, id, what } = errand;
        match (what, room) {
            (What::Join(since), Some(room)) => {
                self.push_join(slot, room, Asker::Client(id), since);
            }
            (What::Leave, Some(room)) => self.push_leave(slot, room, Asker::Client(id)),
            (What::Publish { message, echo }, Some(room)) => {
                self.push_publish(slot, room, id, message, !echo);
            }
            (What::Broadcast(message), _) => {
                let everybody = self.rooms[EVERYBODY].name.clone();
                self.push_publish(slot, everybody, id, message, false);
            }
            (What::Ping, _) => self.push_own(slot, &Reply::pong(id.as_deref())),
            (What::Call(message), _) => self.call(slot, Called::Event(message)),
            (What::Ask(wish), room) => {
                self.call(slot, Called::Command(Petition { wish, room, id }));
            }
            (What::Refuse(code, message), room) => {
                let frame = Reply::error(code, &message, id.as_deref(), room.as_ref());
                self.push_refusal(slot, room, frame);
            }
            (What::Join(_) | What::Leave | What::Publish { .. }, None) => {
                unreachable!("it was read with its room")
            }
        }
    }

    fn call(&mut self, slot: u32, what: Called) {
        let conn = self.connections.id(slot);
        self.set_wait(slot, Some(Wait::Handler));
        self.outputs.calls.push_back(Call { conn, what });
    }

    /// Whether the connection is in the room already, or may be in one more.
    pub(super) fn seat(&self, slot: u32, room: &RoomName) -> Seat {
        let memberships = &self.connections[slot].memberships;
        // The room of everybody is in the list and does not count.
        if memberships.len() <= self.config.limits.rooms_per_connection
            || self.membership(slot, room.as_str()).is_some()
        {
            return Seat::Free;
        }
        use MembershipState::{Departing, Leaving};
        let leaves = |membership: &&Membership| matches!(membership.state, Leaving | Departing);
        match memberships.iter().find(leaves) {
            Some(membership) => Seat::Leaving(membership.room),
            None => Seat::None,
        }
    }

    pub(super) fn push_join(
        &mut self,
        slot: u32,
        room: RoomName,
        asker: Asker,
        since: Option<(Box<str>, u64)>,
    ) {
        let home = self.rooms.home(room.as_str());
        let again = self.membership(slot, room.as_str()).is_some();
        let attempt = self.next_attempt(slot);
        self.note_join(slot, &room, attempt);
        let conn = self.connections.id(slot);
        self.push_request(home, Request::Join { room, conn, attempt, asker, since, again });
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
        let membership = Membership { room, member: NOT_LISTED, attempt, state, noted: false };
        self.connections[slot].memberships.push(membership);
    }

    pub(super) fn push_leave(&mut self, slot: u32, room: RoomName, asker: Asker) {
        let home = self.rooms.home(room.as_str());
        let place = self.membership(slot, room.as_str()).expect("who is no member is refused");
        let attempt = self.next_attempt(slot);
        let membership = &mut self.connections[slot].memberships[place];
        membership.state = MembershipState::Leaving;
        membership.attempt = attempt;
        let asked = Some(Asked { attempt, asker });
        self.push_request(home, Request::Leave { room, conn: self.connections.id(slot), asked });
    }

    fn push_publish(
        &mut self,
        slot: u32,
        room: RoomName,
        id: Option<Box<str>>,
        message: Unnumbered,
        excludes: bool,
    ) {
        let home = self.rooms.home(room.as_str());
        let conn = self.connections.id(slot);
        let origin = match id {
            Some(id) => {
                self.connections[slot].expect_reply(ACK_BYTES + id.len());
                Origin::Connection { conn, id }
            }
            None => Origin::Nobody,
        };
        let exclude = excludes.then_some(conn);
        let accepted = self.now;
        self.push_request(home, Request::Publish { room, message, exclude, origin, accepted });
    }

    fn push_refusal(&mut self, slot: u32, room: Option<RoomName>, frame: Vec<u8>) {
        let connection = &mut self.connections[slot];
        let Some(room) = room.filter(|_| connection.unanswered > 0) else {
            return self.push_own(slot, &frame);
        };
        connection.expect_reply(frame.len());
        let home = self.rooms.home(room.as_str());
        self.push_request(home, Request::Relay { conn: self.connections.id(slot), frame });
    }

    /// While a join or leave is unanswered, the next command for that room waits.
    pub(super) fn room_is_answered(&self, slot: u32, room: &RoomName) -> Flow {
        let Some(place) = self.membership(slot, room.as_str()) else { return Ok(()) };
        let membership = &self.connections[slot].memberships[place];
        match membership.is_unanswered() {
            true => Err(Wait::Answer(membership.room)),
            false => Ok(()),
        }
    }

    /// Takes the place of one request for `home`, if there is one and nobody stood in line before,
    /// or if it is this connection's turn.
    fn take_place(&mut self, home: ShardId) -> Flow {
        let lanes = &self.lanes[home.index()];
        let is_its_turn = self.serving == Some(home);
        if !lanes.requests.has_room() || !(lanes.waiting.is_empty() || is_its_turn) {
            return Err(Wait::Lane(home));
        }
        if is_its_turn {
            // A turn is for one command.
            self.serving = None;
        }
        Ok(())
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
