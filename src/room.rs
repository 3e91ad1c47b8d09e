//! Sending to the members of a room, from a handler.

use corecast_shards::wire::Opcode;
use corecast_shards::{BadRoomName, ConnId, RoomName, Unnumbered};
use serde::Serialize;

use crate::error::PublishError;
use crate::payload::Payload;
use crate::receipt::Receipt;
use crate::runtime::Hub;

/// The members of a room, as a handler sends to them. Made by
/// [`Client::to_room`](crate::Client::to_room).
#[derive(Clone)]
#[must_use = "nothing is sent before emit, publish or send"]
pub struct ToRoom<'a> {
    hub: &'a Hub,
    client: ConnId,
    room: Result<RoomName, BadRoomName>,
    except_self: bool,
}

impl<'a> ToRoom<'a> {
    pub(crate) fn new(hub: &'a Hub, client: ConnId, room: &str) -> ToRoom<'a> {
        ToRoom { hub, client, room: RoomName::new(room), except_self: false }
    }

    /// Leaves out the client on whose behalf this is sent, as `"echo": false` does. Other
    /// connections of the same user get it.
    pub fn except_self(mut self) -> ToRoom<'a> {
        self.except_self = true;
        self
    }

    /// Publishes an event and does not wait for its offset.
    ///
    /// # Errors
    ///
    /// [`PublishError::Full`] instead of waiting; nothing has happened then.
    pub fn emit(&self, event: &str, data: &(impl Serialize + ?Sized)) -> Result<(), PublishError> {
        let (room, message) = self.encode(event, data)?;
        Ok(self.hub.publish(room, message, self.excluded())?)
    }

    /// Publishes an event, waiting for room if there is none, and waits until it has its offset.
    ///
    /// # Errors
    ///
    /// [`PublishError`], but for `Full`.
    pub async fn publish(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<Receipt, PublishError> {
        let (room, message) = self.encode(event, data)?;
        self.hub.publish_waiting(room, message, self.excluded()).await
    }

    /// Sends a text message in the program's own format. It has an offset like any other, and
    /// shows none.
    ///
    /// # Errors
    ///
    /// As [`ToRoom::emit`].
    pub fn send_text(&self, text: &str) -> Result<(), PublishError> {
        self.send(Opcode::Text, text.as_bytes())
    }

    /// The same for a binary message.
    ///
    /// # Errors
    ///
    /// As [`ToRoom::emit`].
    pub fn send_binary(&self, bytes: &[u8]) -> Result<(), PublishError> {
        self.send(Opcode::Binary, bytes)
    }

    fn send(&self, opcode: Opcode, payload: &[u8]) -> Result<(), PublishError> {
        let message = Unnumbered::verbatim(opcode, payload);
        Ok(self.hub.publish(self.room()?, message, self.excluded())?)
    }

    fn encode(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<(&RoomName, Unnumbered), PublishError> {
        let room = self.room()?;
        let payload = Payload::new(event, data)?;
        Ok((room, Unnumbered::new(&payload.publication(), room)))
    }

    fn room(&self) -> Result<&RoomName, PublishError> {
        self.room.as_ref().map_err(|bad| PublishError::Room(*bad))
    }

    fn excluded(&self) -> Option<ConnId> {
        self.except_self.then_some(self.client)
    }
}

impl std::fmt::Debug for ToRoom<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("ToRoom");
        shown.field("room", &self.room).field("except_self", &self.except_self);
        shown.finish_non_exhaustive()
    }
}
