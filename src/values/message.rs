//! A message on its way to clients.

use std::borrow::Cow;
use std::fmt;

use corecast_shards::wire::{FRAME_HEADER_MAX, Opcode, push_frame};
use corecast_shards::{BadKey, Publication, PublishKey, RoomMessage, reply_frame};
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
pub struct Message {
    content: Content,
    key: Option<PublishKey>,
}

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
        Publication { event: Cow::Borrowed(&self.name), data: &self.data, echo: true, key: None }
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
        EventParts::new(name, data).map(|parts| Content::Event(parts).into())
    }

    /// A text message in the program's own format, sent as it is. In a room it has an offset like
    /// any other, but does not show it.
    pub fn text(text: impl Into<String>) -> Message {
        Content::Text(text.into()).into()
    }

    /// A binary message in the program's own format, sent as it is. In a room it has an offset like
    /// any other, but does not show it.
    pub fn binary(bytes: impl Into<Vec<u8>>) -> Message {
        Content::Binary(bytes.into()).into()
    }

    /// The same with a key of 1 to 64 bytes, so that it can be published to a room again when its
    /// publisher does not know whether it was: for two minutes
    /// ([`publish_key_time`](crate::Limits::publish_key_time)) the same key to the same room is
    /// answered with the first one's offset and delivers nothing, whatever the message is, from
    /// whichever publisher, over WebSocket and HTTP, too. So a key is best random.
    /// An error of a publish gives the message back with its key, but for
    /// [`PublishError::Unconfirmed`](crate::PublishError::Unconfirmed), after which a repeat is worth most:
    /// keep a clone, as here.
    ///
    /// ```
    /// # use corecast::{Broadcaster, Message};
    /// # async fn order(cast: &Broadcaster) -> Result<(), Box<dyn std::error::Error>> {
    /// let paid = Message::event("paid", 17)?.with_key("9b2f6c1e-order-17")?;
    /// let first = cast.to_room("orders").publish(paid.clone()).await?;
    /// let again = cast.to_room("orders").publish(paid).await?;
    /// assert_eq!(first.offset, again.offset);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`MessageError::Key`] when the key is empty or longer.
    pub fn with_key(self, key: &str) -> Result<Message, MessageError> {
        let key = PublishKey::new(key).map_err(MessageError::Key)?;
        Ok(Message { key: Some(key), ..self })
    }

    /// Whether it has a key, which only a room takes.
    pub(crate) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// The message for a room, or for all connections, in no format yet.
    pub(crate) fn for_rooms(&self) -> RoomMessage {
        let message = match &self.content {
            Content::Event(parts) => RoomMessage::event(&parts.publication()),
            Content::Text(text) => RoomMessage::text(text),
            Content::Binary(bytes) => RoomMessage::binary(bytes),
        };
        match &self.key {
            Some(key) => message.with_key(key.clone()),
            None => message,
        }
    }

    /// Encodes the message for one connection. An event answers the request of this id, if any.
    pub(crate) fn for_connection(&self, request: Option<&str>) -> Vec<u8> {
        match &self.content {
            Content::Event(parts) => reply_frame(&parts.publication(), request),
            Content::Text(text) => verbatim(Opcode::Text, text.as_bytes()),
            Content::Binary(bytes) => verbatim(Opcode::Binary, bytes),
        }
    }
}

impl From<Content> for Message {
    fn from(content: Content) -> Message {
        Message { content, key: None }
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
        match &self.content {
            Content::Event(parts) => {
                shown.field("event", &parts.name).field("data_bytes", &parts.data.len())
            }
            Content::Text(text) => shown.field("text_bytes", &text.len()),
            Content::Binary(bytes) => shown.field("binary_bytes", &bytes.len()),
        };
        shown.finish()
    }
}

/// Why an event cannot be a message, or why a message cannot have a key.
#[derive(Debug)]
#[non_exhaustive]
pub enum MessageError {
    /// The event's name must have 1 to 128 bytes and must not begin with `cast:`.
    EventName,
    /// The data has no JSON form.
    Data(serde_json::Error),
    /// The key must have 1 to 64 bytes.
    Key(BadKey),
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageError::EventName => write!(
                f,
                "this name is not allowed: choose an event name of 1 to {NAME_BYTES_MAX} bytes \
                 that does not begin with cast:"
            ),
            MessageError::Key(error) => write!(f, "{error}; choose another one"),
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
            MessageError::Key(error) => Some(error),
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

    #[test]
    fn a_key_outside_the_protocols_rule_is_refused_in_words() {
        for key in ["", &"x".repeat(65), &"é".repeat(33)] {
            let error = Message::text("m").with_key(key).unwrap_err();
            assert!(error.to_string().contains("1 to 64 bytes"), "{key:?}: {error}");
        }
        for key in ["k", "\0", &"é".repeat(32)] {
            assert!(Message::text("m").with_key(key).is_ok_and(|message| message.has_key()));
        }
    }
}
