//! What a client wants to have published.

use corecast_shards::{Draft, PublishKey, RoomName};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::event::raw;
use super::message::{EventParts, MessageError};

/// What a client wants to have published to a room, or broadcast, by its own command: for
/// [`Builder::authorize_publish`](crate::Builder::authorize_publish) and
/// [`authorize_broadcast`](crate::Builder::authorize_broadcast), which may change it.
#[derive(Clone, Debug)]
pub struct Publication {
    room: Option<RoomName>,
    draft: Draft,
}

impl Publication {
    pub(crate) fn new(room: Option<RoomName>, draft: Draft) -> Publication {
        Publication { room, draft }
    }

    pub(crate) fn into_draft(self) -> Draft {
        self.draft
    }

    /// The room; none for a broadcast.
    pub fn room(&self) -> Option<&str> {
        self.room.as_ref().map(RoomName::as_str)
    }

    /// The event's name: 1 to 128 bytes, not beginning with `cast:`.
    pub fn event(&self) -> &str {
        &self.draft.event
    }

    /// The key that the client gave it, if any: what makes a second one the same publish.
    pub fn key(&self) -> Option<&str> {
        self.draft.key.as_ref().map(PublishKey::as_str)
    }

    /// The data, byte for byte as it was written.
    pub fn data(&self) -> &RawValue {
        raw(&self.draft.data)
    }

    /// The data as a value of the program's own.
    ///
    /// # Errors
    ///
    /// When the data does not have the shape of `T`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.draft.data)
    }

    /// The same with another event and other data. Room, id, `echo` and key stay the client's.
    ///
    /// # Errors
    ///
    /// [`MessageError`] when the event's name is not allowed or the data has no JSON form.
    pub fn with(mut self, event: &str, data: impl Serialize) -> Result<Publication, MessageError> {
        let parts = EventParts::new(event, data)?;
        (self.draft.event, self.draft.data) = (parts.name, parts.data);
        Ok(self)
    }

    /// The same with other data.
    ///
    /// # Errors
    ///
    /// [`MessageError`] when the data has no JSON form.
    pub fn with_data(self, data: impl Serialize) -> Result<Publication, MessageError> {
        let event = self.draft.event.clone();
        self.with(&event, data)
    }

    /// The same with another key of 1 to 64 bytes, or with none. A key that has the client's name in it
    /// is the client's alone:
    ///
    /// ```
    /// # use corecast::{Client, HandlerResult, Publication};
    /// async fn own_keys(client: Client, publication: Publication) -> HandlerResult<Publication> {
    ///     let user = client.claims().subject().unwrap_or_default();
    ///     // Neither is longer than 31 bytes here.
    ///     let own = publication.key().map(|key| format!("{user}/{key}"));
    ///     Ok(publication.with_key(own.as_deref())?)
    /// }
    /// ```
    ///
    /// A broadcast has no offset to answer a repeat with: it stays without a key.
    ///
    /// # Errors
    ///
    /// [`MessageError::Key`] when the key is empty or longer.
    pub fn with_key(mut self, key: Option<&str>) -> Result<Publication, MessageError> {
        let key = key.map(PublishKey::new).transpose().map_err(MessageError::Key)?;
        self.draft.key = key.filter(|_| self.room.is_some());
        Ok(self)
    }
}
