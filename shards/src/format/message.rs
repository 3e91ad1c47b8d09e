//! A message on its way to a room, before it has bytes of any format.

use crate::envelope::Publication;
use crate::epoch::Epoch;
use crate::publish_key::PublishKey;
use crate::room_name::RoomName;

use super::json;

/// A message for a room or for everybody, in no format: its home encodes it for its readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomMessage {
    content: Content,
    key: Option<PublishKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// An event with its data: two JSON texts, one after the other in one allocation.
    Event { json: Vec<u8>, data_from: usize },
    /// A text in a format of the program's own, which shows no offset.
    Text(Box<str>),
    /// The same in bytes.
    Binary(Box<[u8]>),
}

/// What an event's name has around it in JSON, if nothing in it needs to be escaped.
const QUOTES_BYTES: usize = 2;

/// The room, epoch and offset of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<'a> {
    pub(crate) room: &'a RoomName,
    pub(crate) epoch: Epoch,
    pub(crate) offset: u64,
}

impl RoomMessage {
    /// An event with its data.
    pub fn event(publication: &Publication<'_>) -> RoomMessage {
        let Publication { event, data, key, .. } = publication;
        let mut json = Vec::with_capacity(event.len() + QUOTES_BYTES + data.len());
        json::push_string(&mut json, event);
        let data_from = json.len();
        json.extend_from_slice(data.as_bytes());
        RoomMessage { content: Content::Event { json, data_from }, key: key.clone() }
    }

    /// A text message in the program's own format, carried as it is.
    pub fn text(text: &str) -> RoomMessage {
        RoomMessage { content: Content::Text(text.into()), key: None }
    }

    /// A binary message in the program's own format, carried as it is.
    pub fn binary(bytes: &[u8]) -> RoomMessage {
        RoomMessage { content: Content::Binary(bytes.into()), key: None }
    }

    /// The same with a key: while its home remembers the key, another message with it is not
    /// delivered, and is answered with this one's offset. For everybody, who are no room, a key
    /// means nothing.
    pub fn with_key(self, key: PublishKey) -> RoomMessage {
        RoomMessage { key: Some(key), ..self }
    }

    /// Its key, if it has one.
    pub fn key(&self) -> Option<&PublishKey> {
        self.key.as_ref()
    }

    pub(super) fn content(&self) -> &Content {
        &self.content
    }

    /// Bytes of its allocation, without that of its key.
    pub(crate) fn capacity(&self) -> usize {
        match &self.content {
            Content::Event { json, .. } => json.capacity(),
            Content::Text(text) => text.len(),
            Content::Binary(bytes) => bytes.len(),
        }
    }

    /// Bytes that this message takes on a ring, for its byte limit.
    pub(crate) fn len(&self) -> usize {
        let content = match &self.content {
            Content::Event { json, .. } => json.len(),
            Content::Text(text) => text.len(),
            Content::Binary(bytes) => bytes.len(),
        };
        content + self.key.as_ref().map_or(0, |key| key.as_str().len())
    }
}
