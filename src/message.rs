//! An event that a client sent.

use serde::Deserialize;
use serde_json::value::RawValue;

/// An application's event, as a client sent it.
#[derive(Clone, Debug)]
pub struct Message(corecast_shards::Message);

impl Message {
    pub(crate) fn new(message: corecast_shards::Message) -> Message {
        Message(message)
    }

    /// The event's name: 1 to 128 bytes.
    pub fn event(&self) -> &str {
        &self.0.event
    }

    /// The data, byte for byte as it was written. It can be emitted and published as it is.
    pub fn data(&self) -> &RawValue {
        serde_json::from_str(&self.0.data).expect("the envelope was read, so its data is JSON")
    }

    /// The data as a value of the program's own.
    ///
    /// # Errors
    ///
    /// When the data does not have the shape of `T`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.0.data)
    }

    /// The room that the message names, if any.
    pub fn room(&self) -> Option<&str> {
        self.0.room.as_deref()
    }
}
