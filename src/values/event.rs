//! An event that a client sent.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

/// An application's event, as a client sent it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Event(Arc<corecast_shards::Message>);

impl Event {
    pub(crate) fn new(message: Arc<corecast_shards::Message>) -> Event {
        Event(message)
    }

    /// The event's name: 1 to 128 bytes.
    pub fn name(&self) -> &str {
        &self.0.event
    }

    /// The data, byte for byte as it was written. [`Message::event`](crate::Message::event) takes
    /// it as it is.
    pub fn data(&self) -> &RawValue {
        raw(&self.0.data)
    }

    /// The data as a value of the program's own.
    ///
    /// # Errors
    ///
    /// When the data does not have the shape of `T`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0.data)
    }

    /// The room that the event names, if any.
    pub fn room(&self) -> Option<&str> {
        self.0.room.as_ref().map(corecast_shards::RoomName::as_str)
    }

    /// The id that the client gave the event, if any, as it was written: a JSON string of 1 to 64
    /// bytes, or an integer. [`Client::reply_to`](crate::Client::reply_to) carries it back.
    pub fn id(&self) -> Option<&RawValue> {
        self.0.id.as_deref().map(raw)
    }
}

/// JSON of a client's that was read once already.
pub(crate) fn raw(json: &str) -> &RawValue {
    serde_json::from_str(json).expect("the envelope was read, so its members are JSON")
}
