//! Whether a client's command is done, refused or has to wait, and what it becomes.

use std::borrow::Cow;

use super::asked;
use super::directory::Seat;
use super::intake::{Intake, Processed};
use super::refresh::read_refresh;
use crate::config::Config;
use crate::connection::inbound::{Errand, Pending, What};
use crate::connection::{Flow, MembershipState, Wait};
use crate::disconnect::Disconnect;
use crate::envelope::{Command, Envelope, ErrorCode};
use crate::format::{Encoding, Fact, Refusal, Reply, RoomMessage};
use crate::handler::{AskedCommand, Call, CallKind, Message, Refresh};
use crate::identity::Identity;
use crate::mesh::{LeaveRequest, Origin, Requester, ToHome};
use crate::permissions::{Permissions, Ruling};
use crate::place::{MembershipIndex, Slot};
use crate::recovery::JoinOptions;
use crate::room::table::EVERYBODY;
use crate::room_name::RoomName;

const MEMORY_IS_SHORT: &str = "memory is short, and new memberships are refused; try again later";
const LISTED: &str = "a leave of another room was refused";

/// About how many bytes an ack has besides its id.
const ACK_BYTES: usize = 72;

/// About how many bytes an error has besides its texts.
const ERROR_BYTES: usize = 72;

impl Intake<'_> {
    /// Handles one text message, or says why it must wait: then nothing has happened.
    pub(super) fn handle_text(&mut self, slot: Slot, text: &str) -> Processed {
        if let Err(wait) = self.0.directory[slot].may_reply(&self.0.config.limits) {
            self.0.counters.inbound_bytes_copied += text.len() as u64;
            return Err((wait, Pending::Text(text.to_owned())));
        }
        if !self.0.directory[slot].format.has_envelopes() {
            self.call(slot, CallKind::Text(text.to_owned()));
            return Ok(());
        }
        self.0.counters.envelopes_read += 1;
        match self.keep_pace(slot, self.read(slot, text)) {
            Some(errand) => self.run(slot, errand),
            None => Ok(()),
        }
    }

    /// The same for a text that was read before: it is counted no second time.
    pub(super) fn run_again(&mut self, slot: Slot, text: &str) -> Processed {
        let errand = self.read(slot, text);
        self.run(slot, errand)
    }

    fn read(&self, slot: Slot, text: &str) -> Errand {
        let connection = &self.0.directory[slot];
        let permissions = connection.permissions.as_deref();
        let identity = connection.identity.as_deref();
        Reader { permissions, identity, config: &self.0.config }.read(text)
    }

    pub(super) fn handle_binary(&mut self, slot: Slot, bytes: &[u8]) -> Processed {
        if let Err(wait) = self.0.directory[slot].may_reply(&self.0.config.limits) {
            self.0.counters.inbound_bytes_copied += bytes.len() as u64;
            return Err((wait, Pending::Binary(bytes.to_vec())));
        }
        match self.0.config.hooks.binary {
            true => self.call(slot, CallKind::Binary(bytes.to_vec())),
            false => self.0.schedule_close(slot, Disconnect::Binary),
        }
        Ok(())
    }

    /// Does what a client asked for, and what follows from it; or says why it must wait: then of what
    /// is left nothing has happened.
    pub(super) fn run(&mut self, slot: Slot, mut errand: Errand) -> Processed {
        loop {
            if let Err(wait) = self.may_run(slot, &mut errand) {
                return Err((wait, Pending::Errand(errand.into())));
            }
            match self.carry_out(slot, errand) {
                Some(what) => errand = Errand { room: None, id: None, what },
                None => return Ok(()),
            }
        }
    }

    /// A refusal replaces the errand only when it can be sent. Until then the errand waits as it is, and
    /// is judged anew when it is taken up.
    fn may_run(&mut self, slot: Slot, errand: &mut Errand) -> Flow {
        if let What::Evict(before) = &errand.what {
            return self.may_evict(slot, before);
        }
        let refusal = self.judge(slot, errand)?;
        self.may_travel(slot, refusal.as_ref().unwrap_or(&errand.what), errand.room.as_ref())?;
        if let Some(refusal) = refusal {
            errand.what = refusal;
        }
        Ok(())
    }

    /// Whether the request that this becomes may be queued for the room's home.
    fn may_travel(&mut self, slot: Slot, what: &What, room: Option<&RoomName>) -> Flow {
        // Commands for one room are answered in order. So while a home owes this connection an answer,
        // even an error that is known here takes the way through the home.
        let owed = self.0.directory[slot].owed_replies > 0;
        let (room, publishes) = match (what, room) {
            (What::Broadcast(_), _) => (&self.0.directory[EVERYBODY].name, true),
            (What::Publish { .. }, Some(room)) => (room, true),
            (What::Join(_) | What::Leave | What::Presence, Some(room)) => (room, false),
            (What::Refuse(..), Some(room)) if owed => (room, false),
            _ => return Ok(()),
        };
        if publishes && self.0.pauses_publishers() {
            return Err(Wait::Memory);
        }
        if publishes && self.0.paused_rooms.contains_key(room) {
            return Err(Wait::Paused(room.clone().into()));
        }
        let home = self.0.directory.home(room.as_str());
        match self.0.outboxes.claim_capacity(home) {
            true => Ok(()),
            false => Err(Wait::Capacity(home)),
        }
    }

    /// Judges an errand by the rooms that the connection is in. Returns the refusal that it becomes, or
    /// an error if it has to wait for one of them.
    fn judge(&self, slot: Slot, errand: &Errand) -> Result<Option<What>, Wait> {
        if let What::Renew(credentials) = &errand.what {
            return Ok(self.judge_renewal(slot, credentials));
        }
        let Some(room) = &errand.room else { return Ok(None) };
        self.0.directory.may_change(slot, room)?;
        let (code, message) = match errand.what {
            What::Join(_) => {
                match self.0.directory.seat(slot, room, self.0.config.limits.rooms_per_connection) {
                    Seat::Free if self.0.refuses_for_memory(slot, room) => {
                        (ErrorCode::Overloaded, MEMORY_IS_SHORT.into())
                    }
                    Seat::Free => match self.0.refuses_membership(slot, room) {
                        Some(most) => {
                            (ErrorCode::TooManyRooms, Cow::Owned(too_many_memberships(most)))
                        }
                        None => return Ok(None),
                    },
                    Seat::Leaving(key) => return Err(Wait::Change(key)),
                    Seat::None => {
                        let most = self.0.config.limits.rooms_per_connection;
                        let message =
                            format!("rooms per connection (max_rooms) are limited to {most}");
                        (ErrorCode::TooManyRooms, Cow::Owned(message))
                    }
                }
            }
            What::Leave | What::Presence
                if self.0.directory.membership(slot, room.as_str()).is_none() =>
            {
                let message = "the connection is not in this room; join it first";
                (ErrorCode::NotAMember, message.into())
            }
            _ => return Ok(None),
        };
        Ok(Some(What::Refuse(code, message)))
    }

    /// Returns what follows from it.
    fn carry_out(&mut self, slot: Slot, errand: Errand) -> Option<What> {
        let Errand { room, id, what } = errand;
        match (what, room) {
            (What::Join(options), Some(room)) => {
                self.push_join(slot, room, Requester::Client(id), options);
            }
            (What::Leave, Some(room)) => self.push_leave(slot, room, Requester::Client(id)),
            (What::Presence, Some(room)) => self.push_question(slot, room, id),
            (What::Publish { message, echo }, Some(room)) => {
                self.push_publish(slot, room, id, message, !echo);
            }
            (What::Broadcast(message), _) => {
                let everybody = self.0.directory[EVERYBODY].name.clone();
                self.push_publish(slot, everybody, id, message, false);
            }
            (What::Ping, _) => self.0.say(slot, &Fact::Pong { id: id.as_deref() }),
            (What::Call(message), _) => self.call(slot, CallKind::Event(message)),
            (What::Refresh(token), _) => {
                self.call(slot, CallKind::Refresh(Refresh { token, id }));
            }
            (What::Renew(credentials), _) => return self.renew(slot, id.as_deref(), credentials),
            (What::Evict(before), _) => return self.evict(slot, before),
            (What::Ask(kind), room) => {
                self.call(slot, CallKind::Command(AskedCommand { kind, room, id }));
            }
            (What::Refuse(code, message), room) => {
                self.push_refusal(slot, Refusal { code, message, id, room });
            }
            (What::Join(_) | What::Leave | What::Presence | What::Publish { .. }, None) => {
                unreachable!("it was read with its room")
            }
        }
        None
    }

    pub(super) fn call(&mut self, slot: Slot, kind: CallKind) {
        let conn = self.0.directory.id(slot);
        self.0.directory.set_wait(slot, Some(Wait::Handler));
        self.0.outputs.calls.push_back(Call { conn, kind });
    }

    pub(super) fn push_join(
        &mut self,
        slot: Slot,
        room: RoomName,
        requester: Requester,
        options: JoinOptions,
    ) {
        let home = self.0.directory.home(room.as_str());
        let again = self.0.directory.membership(slot, room.as_str()).is_some();
        let change_id = self.0.directory[slot].next_change_id();
        self.0.directory.begin_join(slot, &room, change_id);
        let conn = self.0.directory.id(slot);
        let at = self.0.directory.membership(slot, room.as_str()).expect("it was just listed");
        let encoding = self.encoding(slot, at);
        if options.presence && !again {
            self.0.directory[slot].memberships[at].watches = true;
            self.0.expect_presence(slot);
        }
        let identity = self.0.directory[slot].identity.clone().filter(|_| !again);
        let message =
            ToHome::Join { room, conn, encoding, change_id, requester, options, identity, again };
        self.0.outboxes.push_to_home(home, message);
    }

    pub(super) fn push_leave(&mut self, slot: Slot, room: RoomName, requester: Requester) {
        let home = self.0.directory.home(room.as_str());
        let at = self.0.directory.membership(slot, room.as_str()).expect(LISTED);
        let change_id = self.0.directory[slot].next_change_id();
        let membership = &mut self.0.directory[slot].memberships[at];
        membership.begin_change(MembershipState::Leaving, change_id);
        let request = Some(LeaveRequest { change_id, requester });
        let encoding = self.encoding(slot, at);
        let conn = self.0.directory.id(slot);
        let message = ToHome::Leave { room, conn, encoding, request };
        self.0.outboxes.push_to_home(home, message);
    }

    fn encoding(&self, slot: Slot, at: MembershipIndex) -> Encoding {
        self.0.directory.encoding(slot, self.0.directory[slot].memberships[at].room)
    }

    fn push_publish(
        &mut self,
        slot: Slot,
        room: RoomName,
        id: Option<Box<str>>,
        message: RoomMessage,
        excludes: bool,
    ) {
        let home = self.0.directory.home(room.as_str());
        let conn = self.0.directory.id(slot);
        let origin = match id {
            Some(id) => {
                self.0.directory[slot].expect_reply(ACK_BYTES + id.len());
                Origin::Connection { conn, id }
            }
            None => Origin::None,
        };
        let exclude = excludes.then_some(conn);
        let accepted = self.0.now;
        let message = ToHome::Publish { room, message, exclude, origin, accepted };
        self.0.outboxes.push_to_home(home, message);
    }

    fn push_refusal(&mut self, slot: Slot, refusal: Refusal) {
        self.0.counters.forbidden += u64::from(refusal.code == ErrorCode::Forbidden);
        let is_too_many = refusal.code == ErrorCode::TooManyRooms;
        self.0.counters.too_many_rooms += u64::from(is_too_many);
        let is_short = refusal.code == ErrorCode::Overloaded;
        self.0.counters.memory.rooms_refused += u64::from(is_short);
        if self.0.directory[slot].format.has_head() && (is_too_many || is_short) {
            // An event stream has no errors, and nothing but its join.
            return self.0.schedule_close(slot, Disconnect::Capacity);
        }
        let connection = &mut self.0.directory[slot];
        let Some(room) = refusal.room.as_ref().filter(|_| connection.owed_replies > 0) else {
            return self.0.say(slot, &Fact::Error(&refusal));
        };
        connection.expect_reply(ERROR_BYTES + refusal.len());
        let home = self.0.directory.home(room.as_str());
        let conn = self.0.directory.id(slot);
        let message = ToHome::Relay { conn, reply: Reply::error(refusal) };
        self.0.outboxes.push_to_home(home, message);
    }
}

fn too_many_memberships(most: usize) -> String {
    format!("memberships of all connections (max_memberships) are limited to {most}")
}

/// What the meaning of a text message depends on.
struct Reader<'a> {
    permissions: Option<&'a Permissions>,
    identity: Option<&'a Identity>,
    config: &'a Config,
}

impl Reader<'_> {
    /// Reads a text message. Nothing that it says depends on what happens later.
    fn read(&self, text: &str) -> Errand {
        match Envelope::parse(text) {
            Ok(envelope) => Errand {
                what: self.read_envelope(&envelope),
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

    fn read_envelope(&self, envelope: &Envelope<'_>) -> What {
        let command = match Command::read(envelope) {
            Ok(command) => command,
            Err(bad) => return What::Refuse(bad.code, bad.message.into()),
        };
        if let Some(action) = command.action() {
            let room = envelope.room.as_ref().map(RoomName::as_str);
            let ruling = |permissions: &Permissions| permissions.ruling(action, room);
            match self.permissions.map_or(Ruling::Forbidden, ruling) {
                Ruling::Allowed => {}
                Ruling::Asked => return What::Ask(asked::asked_kind(command)),
                Ruling::Forbidden => {
                    return What::Refuse(ErrorCode::Forbidden, action.refusal().into());
                }
            }
        }
        match command {
            Command::Join(options) => What::Join(options),
            Command::Leave => What::Leave,
            Command::Presence => What::Presence,
            Command::Publish(publication) => {
                let message = RoomMessage::event(&publication);
                What::Publish { message, echo: publication.echo }
            }
            Command::Broadcast(publication) => What::Broadcast(RoomMessage::event(&publication)),
            Command::Refresh { token } => {
                let has_verifier = self.config.hooks.refresh;
                let bytes_max = self.config.limits.head_bytes;
                read_refresh(&token, self.identity, has_verifier, bytes_max)
            }
            Command::Ping => What::Ping,
            Command::Application => self.read_application(envelope),
        }
    }

    fn read_application(&self, envelope: &Envelope<'_>) -> What {
        if !self.config.hooks.events.contains(&*envelope.event) {
            let message = "no handler is registered for this event; the protocol's own are \
                           cast:join, cast:leave, cast:publish, cast:broadcast, \
                           cast:presence, cast:refresh and cast:ping";
            return What::Refuse(ErrorCode::UnknownEvent, message.into());
        }
        What::Call(Message {
            event: envelope.event.as_ref().into(),
            data: envelope.data.map_or("null", serde_json::value::RawValue::get).into(),
            room: envelope.room.clone(),
            id: envelope.id.map(Into::into),
        })
    }
}
