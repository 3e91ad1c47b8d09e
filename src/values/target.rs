//! Where a message goes, and the verbs that publish it.

use std::fmt;

use corecast_shards::{BadName, BadRoomName, ConnId, Name, RoomMessage, RoomName};

use super::error::{ControlError, NotAccepted, PublishError};
use super::message::Message;
use super::receipt::Receipt;

/// Where a message goes: the members of a room, all connections, those of a user, or one.
///
/// | made by | recipients |
/// |---|---|
/// | [`Client::to_room`](crate::Client::to_room), [`Broadcaster::to_room`](crate::Broadcaster::to_room) | the members of a room |
/// | [`Client::to_all`](crate::Client::to_all), [`Broadcaster::to_all`](crate::Broadcaster::to_all) | all connections of the server |
/// | [`Client::reply_to`](crate::Client::reply_to) | this client, which learns what is answered |
/// | [`Broadcaster::to_connection`](crate::Broadcaster::to_connection) | one connection, wherever it is |
/// | [`Client::to_user`](crate::Client::to_user), [`Broadcaster::to_user`](crate::Broadcaster::to_user) | all connections whose claim `sub` this is |
///
/// The verbs are the same for all of them:
///
/// | verb | without capacity | returns when |
/// |---|---|---|
/// | [`try_publish`](Target::try_publish) | [`PublishError::Full`], with the message | the message is accepted |
/// | [`publish`](Target::publish) | waits, in any runtime | the message is published, with its [`Receipt`] |
/// | [`publish_blocking`](Target::publish_blocking) | keeps the thread | the same |
///
/// An accepted message reaches every recipient, through a shutdown, too. There is no capacity while
/// a room's members are slower than its publishers, while as much waits for one connection as may
/// ([`own_bytes`](crate::Limits::own_bytes)), or while too much is on its way to a shard.
///
/// `S` is what publishes: a [`Client`](crate::Client), on its shard's own thread, or a
/// [`Broadcaster`](crate::Broadcaster), on any. Only the latter can block: a handler would stop its shard.
///
/// ```compile_fail
/// # use corecast::{Client, Message};
/// # fn handler(client: &Client) {
/// client.to_room("lobby").publish_blocking(Message::text("hi"));
/// # }
/// ```
#[must_use = "nothing is sent before try_publish, publish or publish_blocking"]
pub struct Target<'a, S> {
    source: &'a S,
    recipient: Recipient<'a>,
    except: Option<ConnId>,
    confirm: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Recipient<'a> {
    /// The members of a room, or with the room of everybody all connections.
    Room(Result<RoomName, BadRoomName>),
    /// One connection, and the id of its request that this answers.
    Connection(ConnId, Option<&'a str>),
    /// The connections of a user.
    User(Result<Name, BadName>),
}

/// A message, encoded for its recipient.
#[derive(Debug)]
pub enum Outgoing<'a> {
    /// For a room.
    Room {
        /// Which.
        room: &'a RoomName,
        /// The message but for its offset.
        message: RoomMessage,
        /// The connection that does not get it.
        except: Option<ConnId>,
    },
    /// For one connection, as a whole frame.
    Connection(ConnId, Vec<u8>),
    /// For the connections of a user.
    User {
        /// Whose.
        user: &'a Name,
        /// A whole frame.
        frame: Vec<u8>,
        /// The connection that does not get it.
        except: Option<ConnId>,
    },
}

/// What publishes: on a shard's thread or beside all of them.
pub trait Source {
    /// Hands a message over without waiting.
    fn try_send(&self, outgoing: Outgoing<'_>) -> Result<(), NotAccepted>;

    /// Hands a message over when there is capacity; then waits until it is published, if that is
    /// to be confirmed.
    fn send(
        &self,
        outgoing: Outgoing<'_>,
        confirm: bool,
    ) -> impl Future<Output = Result<Receipt, NotAccepted>>;
}

impl<'a, S> Target<'a, S> {
    fn new(source: &'a S, recipient: Recipient<'a>) -> Target<'a, S> {
        Target { source, recipient, except: None, confirm: true }
    }

    pub(crate) fn room(source: &'a S, room: &str) -> Target<'a, S> {
        Target::new(source, Recipient::Room(RoomName::new(room)))
    }

    pub(crate) fn all(source: &'a S) -> Target<'a, S> {
        Target::new(source, Recipient::Room(Ok(RoomName::everybody())))
    }

    pub(crate) fn connection(
        source: &'a S,
        connection: ConnId,
        request: Option<&'a str>,
    ) -> Target<'a, S> {
        Target::new(source, Recipient::Connection(connection, request))
    }

    pub(crate) fn user(source: &'a S, user: &str) -> Target<'a, S> {
        Target::new(source, Recipient::User(Name::new(user)))
    }

    /// Leaves out one connection of the room, of the user, or of all, as `"echo": false` leaves out the sender.
    /// Other connections of the same user get the message.
    pub fn except(mut self, connection: ConnId) -> Target<'a, S> {
        self.except = Some(connection);
        self
    }

    /// Makes [`publish`](Target::publish) and [`publish_blocking`](Target::publish_blocking) return
    /// as soon as the message is accepted, with an empty [`Receipt`]: for a publisher that sends
    /// more messages than it can wait for, one after the other. They still wait for capacity.
    pub fn unconfirmed(mut self) -> Target<'a, S> {
        self.confirm = false;
        self
    }

    /// What publishes.
    pub(crate) fn source(&self) -> &'a S {
        self.source
    }

    /// The room.
    pub(crate) fn room_of(&self) -> Result<&RoomName, ControlError> {
        match &self.recipient {
            Recipient::Room(Ok(room)) if !room.is_everybody() => Ok(room),
            Recipient::Room(Err(bad)) => Err(ControlError::Room(*bad)),
            _ => Err(ControlError::NotARoom),
        }
    }

    fn encode(&self, message: &Message) -> Result<Outgoing<'_>, NotAccepted> {
        if message.has_key() && !self.takes_keys() {
            return Err(NotAccepted::KeyWithoutRoom);
        }
        match &self.recipient {
            Recipient::Room(Ok(room)) => {
                let message = message.for_rooms();
                Ok(Outgoing::Room { room, message, except: self.except })
            }
            Recipient::Room(Err(bad)) => Err(NotAccepted::BadRoom(*bad)),
            Recipient::Connection(connection, request) => {
                Ok(Outgoing::Connection(*connection, message.for_connection(*request)))
            }
            Recipient::User(Ok(user)) => {
                let (frame, except) = (message.for_connection(None), self.except);
                Ok(Outgoing::User { user, frame, except })
            }
            Recipient::User(Err(bad)) => Err(NotAccepted::BadUser(*bad)),
        }
    }

    /// Whether it has an offset to answer a repeat with: a room has, and all connections have not.
    fn takes_keys(&self) -> bool {
        match &self.recipient {
            Recipient::Room(Ok(room)) => !room.is_everybody(),
            Recipient::Room(Err(_)) => true,
            Recipient::Connection(..) | Recipient::User(_) => false,
        }
    }
}

impl<S: Source> Target<'_, S> {
    /// Publishes a message without waiting.
    ///
    /// # Errors
    ///
    /// [`PublishError`], with the message: `Full` when there is no capacity now. To a user, and from a
    /// [`Broadcaster`](crate::Broadcaster) to one connection, "accepted" means that the message is on its way to the
    /// connection's shard: a connection that has ended, or has not read what waits for it, does not
    /// get it. [`Target::publish`] says so.
    pub fn try_publish(&self, message: Message) -> Result<(), PublishError> {
        let sent = self.encode(&message).and_then(|outgoing| self.source.try_send(outgoing));
        sent.map_err(|not_accepted| not_accepted.with(message))
    }

    /// Publishes a message: waits while there is no capacity, and until it is published. A future
    /// that is dropped earlier leaves open whether it was.
    ///
    /// # Errors
    ///
    /// [`PublishError`], with the message, but never `Full`.
    pub async fn publish(&self, message: Message) -> Result<Receipt, PublishError> {
        let sent = match self.encode(&message) {
            Ok(outgoing) => self.source.send(outgoing, self.confirm).await,
            Err(not_accepted) => Err(not_accepted),
        };
        sent.map_err(|not_accepted| not_accepted.with(message))
    }
}

impl<S> Clone for Target<'_, S> {
    fn clone(&self) -> Self {
        let (recipient, except) = (self.recipient.clone(), self.except);
        Target { source: self.source, recipient, except, confirm: self.confirm }
    }
}

impl<S> fmt::Debug for Target<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Target");
        shown.field("recipient", &self.recipient).field("except", &self.except);
        shown.field("confirm", &self.confirm).finish_non_exhaustive()
    }
}
