//! One connected client, in the hands of a handler.

use std::fmt;

use corecast_shards::wire::{Opcode, push_frame};
use corecast_shards::{ConnId, Disconnect, event_frame};
use serde::Serialize;

use crate::payload::{Payload, PayloadError};
use crate::runtime::Hub;

/// A handle to one connected client: cheap to clone, and bound to its shard's thread, on which all
/// its handlers run.
///
/// A handle may outlive its connection; what is sent then goes nowhere, as it does when the
/// network fails a moment later.
#[derive(Clone)]
pub struct Client {
    hub: Hub,
    id: ConnId,
}

impl Client {
    pub(crate) fn new(hub: Hub, id: ConnId) -> Client {
        Client { hub, id }
    }

    /// Names the connection. The same text stands in `cast:welcome` and in the paths of
    /// `/v1/connections`.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// Sends an event to this client alone.
    ///
    /// # Errors
    ///
    /// When the event's name is not allowed or the data has no JSON form.
    pub fn emit(&self, event: &str, data: &impl Serialize) -> Result<(), PayloadError> {
        let payload = Payload::new(event, data)?;
        self.hub.emit(self.id, &event_frame(&payload.publication()));
        Ok(())
    }

    /// Sends a text message in the program's own format.
    pub fn send_text(&self, text: &str) {
        self.send(Opcode::Text, text.as_bytes());
    }

    /// Sends a binary message.
    pub fn send_binary(&self, bytes: &[u8]) {
        self.send(Opcode::Binary, bytes);
    }

    /// Closes the connection.
    pub fn close(&self, reason: Disconnect) {
        self.hub.close(self.id, reason);
    }

    fn send(&self, opcode: Opcode, payload: &[u8]) {
        let mut frame = Vec::with_capacity(payload.len() + 10);
        push_frame(&mut frame, opcode, payload);
        self.hub.emit(self.id, &frame);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).finish_non_exhaustive()
    }
}
