//! A message on its way to clients.

use std::borrow::Cow;
use std::fmt;

use corecast_shards::wire::{FRAME_HEADER_MAX, Opcode, push_frame};
use corecast_shards::{Publication, RoomMessage, reply_frame};
use serde::Serialize;

/// A message to publish: an event with its data, a text, or bytes. Each fits every target: a room
/// or all connections ([`Target`](crate::Target)), or one [`Client`](crate::Client).
///
/// ```
/// # use corecast::Message;
/// # use serde_json::json;
/// let event = Message::event("chat", json!({"text": "hi"}))?; // {"event":"chat","data":{"text":"hi"}}
/// let text = Message::text("hi"); // a text message with these two letters
/// let bytes = Message::binary([1, 2, 3]); // a binary message with these three bytes
/// # Ok::<(), corecast::MessageError>(())
/// ```
///
/// Its `Debug` output shows how long it is, and not what it says.
#[derive(Clone, PartialEq, Eq)]
pub struct Message(Content);

#[derive(Clone, PartialEq, Eq)]
enum Content {
    Event(EventParts),
    Text(String),
    Binary(Vec<u8>),
}

/// An event's name, and its data as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EventParts {
    pub(crate) name: Box<str>,
    pub(crate) data: Box<str>,
}

/// As in the protocol.
const NAME_BYTES_MAX: usize = 128;

impl EventParts {
    pub(crate) fn new(name: &str, data: impl Serialize) -> Result<EventParts, MessageError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with("cast:") {
            return Err(MessageError::EventName);
        }
        let data = serde_json::to_string(&data).map_err(MessageError::Data)?;
        Ok(EventParts { name: name.into(), data: data.into() })
    }

    fn publication(&self) -> Publication<'_> {
        Publication { event: Cow::Borrowed(&self.name), data: &self.data, echo: true }
    }
}

impl Message {
    /// An event in the envelope that every client of the protocol reads. The data is anything that
    /// can be serialized, by value or by reference; [`Event::data`](crate::Event::data) is carried
    /// on byte for byte.
    ///
    /// # Errors
    ///
    /// [`MessageError`] when the name is not allowed or the data has no JSON form.
    pub fn event(name: &str, data: impl Serialize) -> Result<Message, MessageError> {
        EventParts::new(name, data).map(|parts| Message(Content::Event(parts)))
    }

    /// A text message in the program's own format, sent as it is. In a room it has an offset like
    /// any other, but does not show it.
    pub fn text(text: impl Into<String>) -> Message {
        Message(Content::Text(text.into()))
    }

    /// A binary message in the program's own format, sent as it is. In a room it has an offset like
    /// any other, but does not show it.
    pub fn binary(bytes: impl Into<Vec<u8>>) -> Message {
        Message(Content::Binary(bytes.into()))
    }

    /// The message for a room, or for all connections, in no format yet.
    pub(crate) fn for_rooms(&self) -> RoomMessage {
        match &self.0 {
            Content::Event(parts) => RoomMessage::event(&parts.publication()),
            Content::Text(text) => RoomMessage::text(text),
            Content::Binary(bytes) => RoomMessage::binary(bytes),
        }
    }

    /// Encodes the message for one connection. An event answers the request of this id, if any.
    pub(crate) fn for_connection(&self, request: Option<&str>) -> Vec<u8> {
        match &self.0 {
            Content::Event(parts) => reply_frame(&parts.publication(), request),
            Content::Text(text) => verbatim(Opcode::Text, text.as_bytes()),
            Content::Binary(bytes) => verbatim(Opcode::Binary, bytes),
        }
    }
}

fn verbatim(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + FRAME_HEADER_MAX);
    push_frame(&mut frame, opcode, payload);
    frame
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Message");
        match &self.0 {
            Content::Event(parts) => {
                shown.field("event", &parts.name).field("data_bytes", &parts.data.len())
            }
            Content::Text(text) => shown.field("text_bytes", &text.len()),
            Content::Binary(bytes) => shown.field("binary_bytes", &bytes.len()),
        };
        shown.finish()
    }
}

/// Why an event cannot be a message.
#[derive(Debug)]
#[non_exhaustive]
pub enum MessageError {
    /// The event's name must have 1 to 128 bytes and must not begin with `cast:`.
    EventName,
    /// The data has no JSON form.
    Data(serde_json::Error),
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageError::EventName => write!(
                f,
                "this name is not allowed: choose an event name of 1 to {NAME_BYTES_MAX} bytes \
                 that does not begin with cast:"
            ),
            MessageError::Data(error) => {
                write!(
                    f,
                    "the data has no JSON form: {error}; use a type that serde_json can write"
                )
            }
        }
    }
}

impl std::error::Error for MessageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MessageError::EventName => None,
            MessageError::Data(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debug_output_keeps_what_a_message_says_to_itself() {
        let event = Message::event("chat", "secret").unwrap();
        assert_eq!(format!("{event:?}"), r#"Message { event: "chat", data_bytes: 8 }"#);
        assert_eq!(format!("{:?}", Message::text("secret")), "Message { text_bytes: 6 }");
        assert_eq!(format!("{:?}", Message::binary(*b"secret")), "Message { binary_bytes: 6 }");
    }

    #[test]
    fn a_name_outside_the_protocols_rule_is_refused() {
        for name in ["", "cast:", "cast:join", &"x".repeat(129)] {
            let error = Message::event(name, ()).unwrap_err();
            assert!(matches!(error, MessageError::EventName), "{name:?}: {error}");
        }
        for name in ["x", "cast", "\0", &"x".repeat(128)] {
            assert!(Message::event(name, ()).is_ok(), "{name:?}");
        }
    }
}
