//! Why something that the program asked for did not happen.

use std::fmt;

use corecast_shards::{BadRoomName, Full, Unsent};

use crate::payload::PayloadError;

/// Why a message was not published. Nothing has happened then.
#[derive(Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// Too many messages are on their way: there is no room in the shard's inbox or on its ring, the
    /// room's members are slower than its publishers, or too much waits for the one connection. Try again, or use a variant that waits.
    Full,
    /// The server is shutting down or has ended.
    Closed,
    /// The room's name is not allowed.
    Room(BadRoomName),
    /// The event or its data cannot be sent.
    Payload(PayloadError),
    /// The message is larger than what may wait for one client.
    TooLarge {
        /// How many bytes that is (`own_bytes`).
        limit: usize,
    },
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::Full => f.write_str("too many messages are on their way; try again"),
            PublishError::Closed => f.write_str("the server is shutting down"),
            PublishError::Room(error) => error.fmt(f),
            PublishError::Payload(error) => error.fmt(f),
            PublishError::TooLarge { limit } => SendError::TooLarge { limit: *limit }.fmt(f),
        }
    }
}

impl std::error::Error for PublishError {}

impl From<Full> for PublishError {
    fn from(_: Full) -> PublishError {
        PublishError::Full
    }
}

impl From<BadRoomName> for PublishError {
    fn from(error: BadRoomName) -> PublishError {
        PublishError::Room(error)
    }
}

impl From<PayloadError> for PublishError {
    fn from(error: PayloadError) -> PublishError {
        PublishError::Payload(error)
    }
}

/// Why a message to one connection was not sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The connection has ended, or its client has gone.
    Gone,
    /// As much waits for the client as may (`own_bytes`), and it has not read it yet. Try again later.
    Full,
    /// The message is larger than what may wait for one client.
    TooLarge {
        /// How many bytes that is (`own_bytes`).
        limit: usize,
    },
    /// The event or its data cannot be sent.
    Payload(PayloadError),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Gone => f.write_str("the connection has ended"),
            SendError::Full => f.write_str("too much waits for the client; try again later"),
            SendError::TooLarge { limit } => {
                write!(f, "a message for one client may have at most {limit} bytes (own_bytes)")
            }
            SendError::Payload(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

impl From<Unsent> for SendError {
    fn from(unsent: Unsent) -> SendError {
        match unsent {
            Unsent::Full => SendError::Full,
            Unsent::TooLarge(limit) => SendError::TooLarge { limit },
            _ => SendError::Gone,
        }
    }
}

impl From<PayloadError> for SendError {
    fn from(error: PayloadError) -> SendError {
        SendError::Payload(error)
    }
}

/// An error of a handler whose words are for the client: it is answered with `handler_failed` and
/// these words. Of any other error the client hears no more than that there was one.
///
/// ```
/// # use corecast::{Client, ClientError, HandlerResult, Message};
/// async fn rename(client: Client, message: Message) -> HandlerResult {
///     let name: String = message.parse().map_err(|_| ClientError::new("a name is a string"))?;
///     if name.is_empty() {
///         return Err(ClientError::new("a name has at least one character").into());
///     }
///     Ok(client.reply(&message, "renamed", &name)?)
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
