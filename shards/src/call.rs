//! What the embedding program is asked to handle.

use crate::id::ConnId;
use crate::room_name::RoomName;

/// One message, or the begin of one connection, for a handler of the program. The connection's
/// next message waits until [`Shard::end_call`](crate::Shard::end_call).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whose it is.
    pub conn: ConnId,
    /// What it is.
    pub what: Called,
}

/// What a [`Call`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Called {
    /// The connection is open and its welcome is queued.
    Connect,
    /// An event of the envelope.
    Event(Message),
    /// A text message in the program's own format.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
}

/// An application's event, as the client sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The event's name, unescaped.
    pub event: Box<str>,
    /// Any JSON value, as it was written; `null` when it was absent.
    pub data: Box<str>,
    /// The room it names, if any. The engine gives it no meaning.
    pub room: Option<RoomName>,
    /// The client's id, as written.
    pub id: Option<Box<str>>,
}
