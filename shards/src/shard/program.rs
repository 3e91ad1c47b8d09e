//! What the embedding program asks for.

use super::Shard;
use super::command::Seat;
use crate::connection::{Membership, MembershipState, Wait};
use crate::disconnect::Disconnect;
use crate::envelope::{ErrorCode, Reply, Unnumbered};
use crate::id::{ConnId, ShardId};
use crate::message::{Asker, Origin, Request, Token};
use crate::room_name::RoomName;
use crate::rooms::EVERYBODY;

/// The message was not accepted, and nothing has happened: there is no room on the ring, or the
/// room's publishers are too fast. Try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the message was not accepted because too many are on their way; try again")
    }
}

impl std::error::Error for Full {}

/// Why a join or leave of the program was not taken; nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// Not now: there is no room on the ring, an earlier join or leave of the same room is
    /// unanswered, or the place among the connection's rooms is still taken by one that it leaves.
    /// It may be tried again in the next turn.
    Busy,
    /// The connection has ended.
    Gone,
    /// The connection is in as many rooms as it may, which is this many.
    TooManyRooms(usize),
    /// The connection is not in this room.
    NotAMember,
}

/// Why a frame for one connection was not queued; nothing has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsent {
    /// The connection has ended.
    Gone,
    /// Too much waits for the client to read it. It may be tried again later.
    Full,
    /// The frame is larger than what may wait for one connection, `own_bytes`, which is this many.
    TooLarge(usize),
}

/// What a client hears of a failure that is none of its business.
pub(super) const HANDLER_FAILED: &str = "the server could not handle this message";

impl Shard {
    /// Command: publishes to a room, or with [`RoomName::everybody`] broadcasts. One connection may
    /// be left out. With a token, the offset comes out of [`next_answer`](Shard::next_answer).
    ///
    /// # Errors
    ///
    /// [`Full`] instead of waiting, with the message.
    pub fn publish(
        &mut self,
        room: &RoomName,
        message: Unnumbered,
        exclude: Option<ConnId>,
        token: Option<Token>,
    ) -> Result<(), (Full, Unnumbered)> {
        let home = self.rooms.home(room.as_str());
        if self.pressed.contains_key(room) || self.has_free_lane(home).is_err() {
            return Err((Full, message));
        }
        let origin = token.map_or(Origin::Nobody, Origin::Caller);
        let (room, accepted) = (room.clone(), self.now);
        let request = Request::Publish { room, message, exclude, origin, accepted };
        self.push_request(home, request);
        Ok(())
    }

    /// Command: makes a connection a member of a room, as if its client had asked without an id.
    /// [`Answer::Joined`](crate::Answer::Joined) or `Gone` comes out of
    /// [`next_answer`](Shard::next_answer).
    ///
    /// # Errors
    ///
    /// [`Refused`], and nothing has happened.
    pub fn join(&mut self, id: ConnId, room: &RoomName, token: Token) -> Result<(), Refused> {
        let slot = self.find_open(id)?;
        self.room_is_answered(slot, room).map_err(|_| Refused::Busy)?;
        match self.seat(slot, room) {
            Seat::Free => {}
            Seat::Leaving(_) => return Err(Refused::Busy),
            Seat::None => {
                return Err(Refused::TooManyRooms(self.config.limits.rooms_per_connection));
            }
        }
        self.has_free_lane(self.home(room)).map_err(|_| Refused::Busy)?;
        self.push_join(slot, room.clone(), Asker::Program(token), None);
        Ok(())
    }

    /// Command: takes a connection out of a room, as if its client had asked without an id. The
    /// answer is `Left` or `Gone`.
    ///
    /// # Errors
    ///
    /// [`Refused`], and nothing has happened.
    pub fn leave(&mut self, id: ConnId, room: &RoomName, token: Token) -> Result<(), Refused> {
        let slot = self.find_open(id)?;
        self.room_is_answered(slot, room).map_err(|_| Refused::Busy)?;
        self.membership(slot, room.as_str()).ok_or(Refused::NotAMember)?;
        self.has_free_lane(self.home(room)).map_err(|_| Refused::Busy)?;
        self.push_leave(slot, room.clone(), Asker::Program(token));
        Ok(())
    }

    /// The rooms that a connection is a member of, in no particular order.
    pub fn rooms_of(&self, id: ConnId) -> Vec<RoomName> {
        let Some(slot) = self.connections.find(id) else { return Vec::new() };
        let is_member = |membership: &&Membership| {
            matches!(membership.state, MembershipState::Joined | MembershipState::Rejoining)
                && membership.room != EVERYBODY
        };
        let memberships = self.connections[slot].memberships.iter().filter(is_member);
        memberships.map(|membership| self.rooms[membership.room].name.clone()).collect()
    }

    /// Whether the connection is there and open, and its client has not gone.
    pub fn is_open(&self, id: ConnId) -> bool {
        self.find_open(id).is_ok()
    }

    fn find_open(&self, id: ConnId) -> Result<u32, Refused> {
        let is_open = |slot: &u32| {
            let connection = &self.connections[*slot];
            connection.is_open() && !connection.gone
        };
        self.connections.find(id).filter(is_open).ok_or(Refused::Gone)
    }

    /// Command: queues one whole frame for one connection.
    ///
    /// # Errors
    ///
    /// [`Unsent`] says why not. A client that reads is not closed because too much waits for it; one
    /// whose socket has taken nothing for a while is, and is `Gone` then.
    pub fn emit(&mut self, id: ConnId, frame: &[u8]) -> Result<(), Unsent> {
        let slot = self.find_open(id).map_err(|_| Unsent::Gone)?;
        let most = self.config.limits.own_bytes;
        if frame.len() > most {
            return Err(Unsent::TooLarge(most));
        }
        if self.connections[slot].own_bytes() + frame.len() <= most {
            self.push_own(slot, frame);
            return Ok(());
        }
        if !self.is_stuck(slot) {
            return Err(Unsent::Full);
        }
        self.mark(slot, Disconnect::Slow);
        Err(Unsent::Gone)
    }

    /// Event: a handler is done with its message; the connection's next one may be handled.
    pub fn end_call(&mut self, id: ConnId) {
        let Some(slot) = self.connections.find(id) else { return };
        if self.connections[slot].wait == Some(Wait::Handler) {
            self.resume(slot);
            self.reap();
        }
    }

    /// Command: answers a message, whose id and room these are, with `handler_failed`, because its
    /// handler returned an error or panicked. The words are for the client; without any it is told
    /// no more than that.
    pub fn fail_call(
        &mut self,
        id: ConnId,
        words: Option<&str>,
        request: Option<&str>,
        room: Option<&RoomName>,
    ) {
        let words = words.unwrap_or(HANDLER_FAILED);
        let frame = Reply::error(ErrorCode::HandlerFailed, words, request, room);
        if let Ok(slot) = self.find_open(id) {
            self.push_own(slot, &frame);
        }
    }

    /// The shard that orders this room's messages.
    pub fn home(&self, room: &RoomName) -> ShardId {
        self.rooms.home(room.as_str())
    }

    /// Why a connection ends, once that is decided.
    pub fn fate(&self, id: ConnId) -> Option<Disconnect> {
        self.connections[self.connections.find(id)?].fate
    }

    pub(super) fn has_free_lane(&self, home: ShardId) -> Result<(), Full> {
        let lanes = &self.lanes[home.index()];
        match lanes.requests.has_room() && lanes.waiting.is_empty() {
            true => Ok(()),
            false => Err(Full),
        }
    }
}
