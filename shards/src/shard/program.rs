//! What the embedding program asks for.

use super::Shard;
use crate::connection::Wait;
use crate::disconnect::Disconnect;
use crate::envelope::{ErrorCode, Publication, Reply, Unnumbered};
use crate::id::{ConnId, ShardId};
use crate::message::{Origin, Request, Token};
use crate::room_name::RoomName;

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

impl Shard {
    /// Command: publishes to a room, or with [`RoomName::everybody`] broadcasts. With a token, the
    /// offset comes out of [`next_answer`](Shard::next_answer).
    ///
    /// # Errors
    ///
    /// [`Full`] instead of waiting.
    pub fn publish(
        &mut self,
        room: &RoomName,
        publication: &Publication<'_>,
        token: Option<Token>,
    ) -> Result<(), Full> {
        if self.pressed.contains_key(room) {
            return Err(Full);
        }
        let home = self.rooms.home(room.as_str());
        self.has_free_lane(home)?;
        let message = Unnumbered::new(publication, room);
        let origin = token.map_or(Origin::Nobody, Origin::Caller);
        let (room, accepted) = (room.clone(), self.now);
        let request = Request::Publish { room, message, exclude: None, origin, accepted };
        self.push_request(home, request);
        Ok(())
    }

    /// Command: queues one whole frame for one connection. Returns whether it was there and open.
    pub fn emit(&mut self, id: ConnId, frame: &[u8]) -> bool {
        let Some(slot) = self.connections.find(id) else { return false };
        let open = self.connections[slot].is_open();
        if open {
            self.push_own(slot, frame);
        }
        open
    }

    /// Event: a handler is done with its message; the connection's next one may be handled.
    pub fn end_call(&mut self, id: ConnId) {
        let Some(slot) = self.connections.find(id) else { return };
        if self.connections[slot].wait == Some(Wait::Handler) {
            self.resume(slot);
            self.reap();
        }
    }

    /// Command: answers a message with `handler_failed`, because its handler returned an error or
    /// panicked.
    pub fn fail_call(&mut self, id: ConnId, message: &str, request: Option<&str>) {
        let frame = Reply::error(ErrorCode::HandlerFailed, message, request, None);
        self.emit(id, &frame);
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
