//! A message on its way to a room, before it has bytes of any format.

use crate::envelope::Publication;
use crate::epoch::Epoch;
use crate::room_name::RoomName;

use super::json;

/// A message for a room or for everybody, in no format: its home encodes it for its readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomMessage(Content);

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
        let Publication { event, data, .. } = publication;
        let mut json = Vec::with_capacity(event.len() + QUOTES_BYTES + data.len());
        json::push_string(&mut json, event);
        let data_from = json.len();
        json.extend_from_slice(data.as_bytes());
        RoomMessage(Content::Event { json, data_from })
    }

    /// A text message in the program's own format, carried as it is.
    pub fn text(text: &str) -> RoomMessage {
        RoomMessage(Content::Text(text.into()))
    }

    /// A binary message in the program's own format, carried as it is.
    pub fn binary(bytes: &[u8]) -> RoomMessage {
        RoomMessage(Content::Binary(bytes.into()))
    }

    pub(super) fn content(&self) -> &Content {
        &self.0
    }

    /// Bytes of its allocation.
    pub(crate) fn capacity(&self) -> usize {
        match &self.0 {
            Content::Event { json, .. } => json.capacity(),
            Content::Text(_) | Content::Binary(_) => self.len(),
        }
    }

    /// Bytes that this message takes on a ring, for its byte limit.
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Content::Event { json, .. } => json.len(),
            Content::Text(text) => text.len(),
            Content::Binary(bytes) => bytes.len(),
        }
    }
}
