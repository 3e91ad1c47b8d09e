//! What handlers of the embedding program are given, and how they may decide.

use std::fmt;
use std::sync::Arc;

use crate::id::ConnId;
use crate::identity::Identity;
use crate::permissions::Permissions;
use crate::publish_key::PublishKey;
use crate::recovery::JoinOptions;
use crate::room_name::RoomName;

/// One message, or the begin of one connection, for a handler of the program. The connection's
/// next message waits until [`Shard::end_call`](crate::Shard::end_call).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whose it is.
    pub conn: ConnId,
    /// What it is.
    pub kind: CallKind,
}

/// Something that happened to the members of a room, for programs that watch that
/// ([`Hooks`](crate::Hooks)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomEvent {
    /// This connection of the shard is a member of the room, which it was not.
    Joined(ConnId, RoomName),
    /// It is a member no longer; each follows one `Joined`, also when the connection ends.
    Left(ConnId, RoomName),
    /// A room whose home is this shard has a member, on any shard, and had none.
    Occupied(RoomName),
    /// It has none any more; each follows one `Occupied`.
    Vacated(RoomName),
}

/// What a [`Call`] is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallKind {
    /// The connection is open and its welcome is queued.
    Connect,
    /// An event of the envelope.
    Event(Message),
    /// A text message in the program's own format.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A command for which the connection's permission is [`Asked`](crate::Permission::Asked). It
    /// ends with [`Shard::decide`](crate::Shard::decide) instead.
    Command(AskedCommand),
    /// A fresh token, which is to be verified. It ends with
    /// [`Shard::end_refresh`](crate::Shard::end_refresh) instead.
    Refresh(Refresh),
}

/// A fresh token of a client that is not anonymous, which it sent by `cast:refresh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    /// The token, of which nothing is known but that it is no longer than the head of a request.
    pub token: Token,
    /// The client's id, as written.
    pub id: Option<Box<str>>,
}

/// A token as its client sent it. Its `Debug` output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Token {
        Token(text.into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} bytes)", self.0.len())
    }
}

/// What a verified token says of its client.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// What the client may do, shared with other connections.
    pub permissions: Arc<Permissions>,
    /// Who it is, and until when it may stay.
    pub identity: Arc<Identity>,
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

impl Message {
    /// Bytes that it refers to.
    pub(crate) fn len(&self) -> usize {
        let room = self.room.as_ref().map_or(0, |room| room.as_str().len());
        let id = self.id.as_ref().map_or(0, |id| id.len());
        self.event.len() + self.data.len() + room + id
    }
}

/// A command for which the connection's permission is to ask the program each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedCommand {
    /// What is asked for. The program may change what a client wants to have published.
    pub kind: AskedKind,
    /// The room that it names; none for a broadcast.
    pub room: Option<RoomName>,
    /// The client's id, as written.
    pub id: Option<Box<str>>,
}

/// What a client asks for in an [`AskedCommand`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskedKind {
    /// To join the room.
    Join(JoinOptions),
    /// To publish this to the room.
    Publish(Draft),
    /// To broadcast this.
    Broadcast(Draft),
}

impl AskedKind {
    /// Bytes that it refers to.
    pub(crate) fn len(&self) -> usize {
        match self {
            AskedKind::Join(options) => options.len(),
            AskedKind::Publish(draft) | AskedKind::Broadcast(draft) => {
                draft.event.len()
                    + draft.data.len()
                    + draft.key.as_ref().map_or(0, |key| key.as_str().len())
            }
        }
    }
}

/// An event with its data, as a client wants to have it published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// The event's name: 1 to 128 bytes, not beginning with `cast:`.
    pub event: Box<str>,
    /// Any JSON value.
    pub data: Box<str>,
    /// Whether the sender, if it is a member, gets it too.
    pub echo: bool,
    /// What makes a second one the same publish; none for a broadcast.
    pub key: Option<PublishKey>,
}

/// What the program decided about an [`AskedCommand`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is carried out as it is now.
    Granted,
    /// It is answered with `forbidden` and these words, and nothing happens.
    Forbidden(String),
    /// The program could not decide. It is answered with `handler_failed`, and nothing happens.
    Failed,
}
