//! Sending from any thread.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use corecast_shards::{RoomName, ShardId};
use serde::Serialize;

use crate::payload::{Payload, PayloadError};
use crate::runtime::{Foreign, Inboxes, Process};

/// Sends to everybody or to a room, from any thread and any runtime.
///
/// What one thread sends to one room, or to everybody, arrives in the order in which it was sent.
#[derive(Clone, Debug)]
pub struct Broadcaster {
    inboxes: Inboxes,
    process: Arc<Process>,
}

impl Broadcaster {
    pub(crate) fn new(inboxes: Inboxes, process: Arc<Process>) -> Broadcaster {
        Broadcaster { inboxes, process }
    }

    /// Sends an event to every connection.
    ///
    /// # Errors
    ///
    /// [`PublishError::Full`] instead of waiting; nothing has happened then.
    pub fn broadcast(&self, event: &str, data: &impl Serialize) -> Result<(), PublishError> {
        self.publish(RoomName::everybody(), event, data)
    }

    /// Sends an event to the members of a room.
    ///
    /// # Errors
    ///
    /// [`PublishError::Room`] when the name is not allowed, [`PublishError::Full`] instead of
    /// waiting; nothing has happened then.
    pub fn publish_to(
        &self,
        room: &str,
        event: &str,
        data: &impl Serialize,
    ) -> Result<(), PublishError> {
        let room = RoomName::new(room).map_err(|_| PublishError::Room)?;
        self.publish(room, event, data)
    }

    /// Open connections of all shards, at about this moment.
    pub fn connection_count(&self) -> u64 {
        self.process.connections()
    }

    fn publish(
        &self,
        room: RoomName,
        event: &str,
        data: &impl Serialize,
    ) -> Result<(), PublishError> {
        let payload = Payload::new(event, data).map_err(PublishError::Payload)?;
        if self.process.is_draining() {
            return Err(PublishError::Closed);
        }
        let to = self.way_to(&room);
        let sent = self.inboxes.try_send(to, Foreign::Publish { room, payload });
        sent.map_err(|_| PublishError::Full)
    }

    /// Always the same shard for the same room, so that the order of a thread's messages holds.
    fn way_to(&self, room: &RoomName) -> ShardId {
        let mut hasher = DefaultHasher::new();
        room.hash(&mut hasher);
        let index = hasher.finish() % self.inboxes.len() as u64;
        ShardId::new(u16::try_from(index).expect("shards are counted in u16"))
    }
}

/// Why a message was not sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// Too many messages are on their way: try again.
    Full,
    /// The server is shutting down or has ended.
    Closed,
    /// A room's name has 1 to 200 bytes and no control characters.
    Room,
    /// The event or its data cannot be sent.
    Payload(PayloadError),
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::Full => f.write_str("too many messages are on their way; try again"),
            PublishError::Closed => f.write_str("the server is shutting down"),
            PublishError::Room => corecast_shards::BadRoomName.fmt(f),
            PublishError::Payload(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PublishError {}
