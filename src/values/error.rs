//! Why something that the program asked for did not happen.

use std::fmt;

use corecast_shards::{BadName, BadRoomName, Unsent};

use super::message::Message;

/// Why a message was not published. It was not accepted, and is given back, but for the one case
/// [`PublishError::Unconfirmed`].
///
/// ```
/// # use corecast::{Broadcaster, Message, PublishError};
/// fn update(cast: &Broadcaster, message: Message) -> Result<(), PublishError> {
///     match cast.to_room("ticker").try_publish(message) {
///         // The members are slower than the updates: the next one will do.
///         Err(PublishError::Full(_)) => Ok(()),
///         other => other,
///     }
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// There is no capacity now: a room's members are slower than its publishers, as much waits for
    /// the one connection as may, or too much is on its way to a shard.
    Full(Message),
    /// The server is shutting down or has ended.
    Closed(Message),
    /// The one connection has ended, or its client has gone; or the user has no connection.
    Gone(Message),
    /// The message is larger than what may wait for one connection.
    TooLarge {
        /// What was to be published.
        message: Message,
        /// How many bytes that is ([`own_bytes`](crate::Limits::own_bytes)).
        limit: usize,
    },
    /// The room's name is not allowed.
    Room {
        /// What was to be published.
        message: Message,
        /// Which names are.
        error: BadRoomName,
    },
    /// The user's name is not allowed.
    User {
        /// What was to be published.
        message: Message,
        /// Which names are.
        error: BadName,
    },
    /// The message has a [key](crate::Message::with_key), and only a room takes one: all connections,
    /// a user and one connection have no offset to answer a repeat with.
    KeyWithoutRoom(Message),
    /// [`publish_blocking`](crate::Target::publish_blocking) was called on the thread of a shard,
    /// which it would stop.
    WouldBlock(Message),
    /// The message was accepted, but the server ended before it said that it was published.
    Unconfirmed,
}

impl PublishError {
    /// The message, to publish it again or elsewhere.
    pub fn into_message(self) -> Option<Message> {
        match self {
            PublishError::Full(message)
            | PublishError::Closed(message)
            | PublishError::Gone(message)
            | PublishError::TooLarge { message, .. }
            | PublishError::Room { message, .. }
            | PublishError::User { message, .. }
            | PublishError::KeyWithoutRoom(message)
            | PublishError::WouldBlock(message) => Some(message),
            PublishError::Unconfirmed => None,
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::Full(_) => f.write_str(
                "the message was not accepted because too many are on their way; try again later, \
                 or await publish, which waits",
            ),
            PublishError::Closed(_) => f.write_str(
                "the message was not accepted because the server is shutting down; publish it on \
                 another server, or later",
            ),
            PublishError::Gone(_) => f.write_str(
                "the message was not accepted because the connection has ended; publish it to \
                 another connection, or to a room",
            ),
            PublishError::TooLarge { limit, .. } => write!(
                f,
                "a message for one connection may have at most {limit} bytes; send it in parts, or \
                 raise own_bytes"
            ),
            PublishError::Room { error, .. } => write!(f, "{error}; choose another name"),
            PublishError::User { error, .. } => write!(f, "{error}; no client has this one"),
            PublishError::KeyWithoutRoom(_) => f.write_str(
                "only a publish to a room takes a key, because a repeat is answered with the \
                 first one's offset; publish a message without a key, or to a room",
            ),
            PublishError::WouldBlock(_) => f.write_str(
                "publish_blocking would stop the shard whose thread this is; await publish here, \
                 or call it on another thread",
            ),
            PublishError::Unconfirmed => f.write_str(
                "the server ended before it confirmed the message; look into the room before it is \
                 published again",
            ),
        }
    }
}

impl std::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PublishError::Room { error, .. } => Some(error),
            PublishError::User { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// Why a message was not accepted, before it is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAccepted {
    /// There is no capacity now.
    Full,
    /// The server is shutting down or has ended.
    Closed,
    /// The connection has ended.
    Gone,
    /// More than this many bytes may not wait for one connection.
    TooLarge(usize),
    /// The room's name is not allowed.
    BadRoom(BadRoomName),
    /// The user's name is not allowed.
    BadUser(BadName),
    /// The message has a key, and the recipient is no room.
    KeyWithoutRoom,
    /// It was accepted, and the server ended before it was confirmed.
    Unconfirmed,
}

impl NotAccepted {
    pub(crate) fn with(self, message: Message) -> PublishError {
        match self {
            NotAccepted::Full => PublishError::Full(message),
            NotAccepted::Closed => PublishError::Closed(message),
            NotAccepted::Gone => PublishError::Gone(message),
            NotAccepted::TooLarge(limit) => PublishError::TooLarge { message, limit },
            NotAccepted::BadRoom(error) => PublishError::Room { message, error },
            NotAccepted::BadUser(error) => PublishError::User { message, error },
            NotAccepted::KeyWithoutRoom => PublishError::KeyWithoutRoom(message),
            NotAccepted::Unconfirmed => PublishError::Unconfirmed,
        }
    }
}

impl From<Unsent> for NotAccepted {
    fn from(unsent: Unsent) -> NotAccepted {
        match unsent {
            Unsent::Full => NotAccepted::Full,
            Unsent::TooLarge(limit) => NotAccepted::TooLarge(limit),
            _ => NotAccepted::Gone,
        }
    }
}

/// Why a [`Broadcaster`](crate::Broadcaster) could not look at a room or a user, close a connection or
/// revoke a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlError {
    /// The server is shutting down or has ended.
    Closed,
    /// The room's name is not allowed.
    Room(BadRoomName),
    /// Only a room has what was asked for: all connections, a user and one connection have not.
    NotARoom,
    /// Memory is short, and for the answer some would be needed.
    Short,
    /// The name of the user or token is not allowed.
    User(BadName),
    /// As many users and tokens are revoked as may be ([`revocations`](crate::Limits::revocations)).
    TooManyRevocations {
        /// How many that is.
        limit: usize,
    },
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlError::Closed => f.write_str(
                "the server is shutting down and closes all connections; ask another server, or \
                 later",
            ),
            ControlError::Room(error) => write!(f, "{error}; choose another name"),
            ControlError::NotARoom => {
                f.write_str("only a room has what was asked for; ask what to_room returns")
            }
            ControlError::Short => {
                f.write_str("memory is short, and for the answer some would be needed; ask later")
            }
            ControlError::User(error) => write!(f, "{error}; no client has this one"),
            ControlError::TooManyRevocations { limit } => write!(
                f,
                "{limit} users and tokens are revoked, and that is as many as may be; raise \
                 max_revocations, or wait until the end of one passes, and revoke this again, since \
                 some shards may have had a place"
            ),
        }
    }
}

impl std::error::Error for ControlError {}

impl From<BadName> for ControlError {
    fn from(error: BadName) -> ControlError {
        ControlError::User(error)
    }
}

impl From<BadRoomName> for ControlError {
    fn from(error: BadRoomName) -> ControlError {
        ControlError::Room(error)
    }
}

/// An error of a handler whose words are for the client: it is answered with `handler_failed` and
/// these words. Of any other error the client hears no more than that there was one.
///
/// ```
/// # use corecast::{Client, ClientError, Event, HandlerResult, Message};
/// async fn rename(client: Client, event: Event) -> HandlerResult {
///     let name: String = event.parse().map_err(|_| ClientError::new("a name is a string"))?;
///     if name.is_empty() {
///         return Err(ClientError::new("a name has at least one character").into());
///     }
///     Ok(client.reply_to(&event).try_publish(Message::event("renamed", name)?)?)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientError(String);

impl ClientError {
    /// An error with these words for the client.
    pub fn new(words: impl Into<String>) -> ClientError {
        ClientError(words.into())
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ClientError {}

/// Why a connection did not become a member of a room, or did not cease to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The connection has ended.
    Gone,
    /// The connection is in as many rooms as it may (`rooms_per_connection`).
    TooManyRooms {
        /// How many that is.
        limit: usize,
    },
    /// There are as many rooms with members as may be (`total_rooms`), on the whole server.
    TooManyRoomsInAll {
        /// How many that is.
        limit: usize,
    },
    /// All connections together have as many memberships as may be (`memberships`).
    TooManyMemberships {
        /// How many that is.
        limit: usize,
    },
    /// The connection is not in the room that it was to leave.
    NotAMember,
    /// The room's name is not allowed.
    Room(BadRoomName),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Gone => f.write_str("the connection has ended"),
            JoinError::TooManyRooms { limit } => {
                write!(f, "rooms per connection (max_rooms) are limited to {limit}")
            }
            JoinError::TooManyRoomsInAll { limit } => {
                write!(f, "rooms of the server (max_total_rooms) are limited to {limit}")
            }
            JoinError::TooManyMemberships { limit } => {
                write!(f, "memberships of all connections (max_memberships) are limited to {limit}")
            }
            JoinError::NotAMember => f.write_str("the connection is not in this room"),
            JoinError::Room(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<BadRoomName> for JoinError {
    fn from(error: BadRoomName) -> JoinError {
        JoinError::Room(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_a_publish_says_what_to_do_and_gives_back_what_was_not_accepted() {
        let reasons = [
            NotAccepted::Full,
            NotAccepted::Closed,
            NotAccepted::Gone,
            NotAccepted::TooLarge(7),
            NotAccepted::BadRoom(BadRoomName),
            NotAccepted::BadUser(BadName),
            NotAccepted::KeyWithoutRoom,
        ];
        let message = Message::text("hi");
        let errors = reasons.map(|reason| reason.with(message.clone()));
        for error in errors.into_iter().chain([PublishError::WouldBlock(message.clone())]) {
            assert!(error.to_string().contains("; "), "{error}");
            assert_eq!(error.into_message().as_ref(), Some(&message));
        }
        let unconfirmed = NotAccepted::Unconfirmed.with(message);
        assert!(unconfirmed.to_string().contains("; "), "{unconfirmed}");
        assert_eq!(unconfirmed.into_message(), None, "it may have been published");
    }
}
