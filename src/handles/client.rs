//! One connected client, in the hands of a handler.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use corecast_shards::{Close, ConnId, RoomName};
use serde_json::value::RawValue;

use super::broadcaster::Broadcaster;
use super::join::Join;
use crate::program::{Handshake, Session, ShardStates};
use crate::runtime::ShardHandle;
use crate::values::{
    Claims, Event, JoinError, Message, NotAccepted, Outgoing, PublishError, Receipt, Source, Target,
};

/// A handle to one connected client: cheap to clone, and bound to its shard's thread, on which all
/// its handlers run.
///
/// A handle may outlive its connection: [`Client::is_open`] is false then, and publishing to it is
/// an error.
///
/// Its own verbs, [`Client::try_publish`] and [`Client::publish`], are for this client alone; other
/// recipients are a [`Target`]: [`Client::to_room`], [`Client::to_all`].
#[derive(Clone)]
pub struct Client {
    shard: Rc<ClientShard>,
    id: ConnId,
    session: Rc<Session>,
}

/// What the clients of one shard share.
pub(super) struct ClientShard {
    pub(super) handle: ShardHandle,
    pub(super) states: Rc<ShardStates>,
    pub(super) broadcaster: Broadcaster,
}

impl Client {
    pub(super) fn new(shard: Rc<ClientShard>, id: ConnId, session: Rc<Session>) -> Client {
        Client { shard, id, session }
    }

    /// Names the connection. The same text stands in `cast:welcome` and in the paths of
    /// `/v1/connections`.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// What the `authorize` hook found out about the client, or [`Builder::authorize_refresh`] since. A
    /// handle that was made before a refresh keeps the claims of then; each handler is handed one of
    /// its own.
    ///
    /// [`Builder::authorize_refresh`]: crate::Builder::authorize_refresh
    pub fn claims(&self) -> &Claims {
        &self.session.claims
    }

    /// The other end of the socket; behind a proxy, the proxy.
    pub fn remote_addr(&self) -> SocketAddr {
        self.session.handshake().remote_addr()
    }

    /// The address of the client, as [`Handshake::client_addr`].
    pub fn client_addr(&self) -> IpAddr {
        self.session.handshake().client_addr()
    }

    /// The request with which the connection began: its path, query and header fields. A program
    /// with handlers keeps it, about 1 KB, as long as the connection.
    pub fn handshake(&self) -> &Handshake {
        self.session.handshake()
    }

    /// Whether the connection is still there and open. False as soon as the end of a client's stream
    /// arrives, while a handler is at work, too.
    pub fn is_open(&self) -> bool {
        self.shard.handle.is_open(self.id)
    }

    /// Waits until the connection has ended or its client has gone: the end of [`Client::is_open`].
    /// A handler that works until then does not keep the connection of a client that left.
    ///
    /// ```
    /// # use corecast::{Client, Event, HandlerResult, Message};
    /// # async fn next_price() -> f64 { 1.0 }
    /// use futures_lite::FutureExt;
    ///
    /// async fn prices(client: Client, _: Event) -> HandlerResult {
    ///     let send = async {
    ///         loop {
    ///             client.publish(Message::event("price", next_price().await)?).await?;
    ///         }
    ///     };
    ///     let gone = async {
    ///         client.closed().await;
    ///         Ok(())
    ///     };
    ///     gone.or(send).await
    /// }
    /// ```
    ///
    /// A client that vanishes without a word from its network is noticed as long as something is
    /// sent to it; see [`Builder::handler_timeout`](crate::Builder::handler_timeout) for handlers
    /// that wait for something else.
    pub async fn closed(&self) {
        loop {
            let told = self.session.listen_closed();
            if !self.is_open() {
                return;
            }
            told.await;
        }
    }

    /// Keeps a value with the connection, in place of an earlier one of the same type. It lives
    /// until the last handle is gone.
    pub fn set_state<T: 'static>(&self, value: T) {
        self.session.set_state(value);
    }

    /// The value of this type that was kept with [`Client::set_state`].
    pub fn state<T: 'static>(&self) -> Option<Rc<T>> {
        self.session.state()
    }

    /// The shard's own value of this type, which all handlers on this core share.
    ///
    /// # Panics
    ///
    /// When [`Builder::shard_state`](crate::Builder::shard_state) was not told how to make one.
    pub fn shard_state<T: Clone + 'static>(&self) -> T {
        self.shard.states.get().unwrap_or_else(|| {
            let name = std::any::type_name::<T>();
            panic!("no shard has a {name}; say how to make one with Builder::shard_state")
        })
    }

    /// Makes the client a member of a room, as if it had asked for it, and waits until it is. The
    /// client is told with `cast:joined`, without an id; every later message of the room reaches
    /// it. Joining a room twice changes nothing.
    ///
    /// What it says besides, [`Join::since`] and [`Join::last`], brings messages of before. It is made
    /// a member when this is awaited, and not before.
    ///
    /// # Errors
    ///
    /// [`JoinError`] says why it is no member.
    pub fn join(&self, room: &str) -> Join<'_> {
        Join::new(&self.shard.handle, self.id, room)
    }

    /// Takes the client out of a room, and waits until it is out: no message that is published
    /// afterwards reaches it. The client is told with `cast:left`, without an id.
    ///
    /// # Errors
    ///
    /// [`JoinError::NotAMember`] when it was not in the room, or [`JoinError::Gone`].
    pub async fn leave(&self, room: &str) -> Result<(), JoinError> {
        self.shard.handle.leave(self.id, &RoomName::new(room)?).await
    }

    /// The names of the rooms that the client is in, in no particular order; once its end is decided, of
    /// those that it was in then.
    pub fn rooms(&self) -> Vec<String> {
        let mut rooms = self.shard.handle.rooms_of(self.id);
        if rooms.is_empty() {
            rooms = self.session.last_rooms();
        }
        rooms.iter().map(|room| room.as_str().to_owned()).collect()
    }

    /// Publishes a message to this client alone, without waiting. What it has not read is kept for
    /// it up to [`own_bytes`](crate::Limits::own_bytes).
    ///
    /// # Errors
    ///
    /// [`PublishError`], with the message: `Gone` when the connection has ended; `Full` when more
    /// would have to be kept; `TooLarge` when even this message alone is more. A client that takes
    /// nothing for 4 seconds meanwhile is closed with 1013 `slow`.
    pub fn try_publish(&self, message: Message) -> Result<(), PublishError> {
        self.to_self(None).try_publish(message)
    }

    /// Publishes a message to this client alone: waits while more than
    /// [`own_bytes`](crate::Limits::own_bytes) would have to be kept for it.
    ///
    /// # Errors
    ///
    /// As [`Client::try_publish`], but never `Full`.
    pub async fn publish(&self, message: Message) -> Result<Receipt, PublishError> {
        self.to_self(None).publish(message).await
    }

    /// This client, as the recipient of an answer: an event that is published to it carries the id
    /// that the client gave its own, so that it learns which one this answers. Without an id, and
    /// for a text or binary message, it is as if published to the client itself.
    pub fn reply_to<'a>(&'a self, event: &'a Event) -> Target<'a, Client> {
        self.to_self(event.id().map(RawValue::get))
    }

    /// The members of a room. The client need not be one of them.
    pub fn to_room(&self, room: &str) -> Target<'_, Client> {
        Target::room(self, room)
    }

    /// All connections of a user: [`Broadcaster::to_user`].
    pub fn to_user(&self, user: &str) -> Target<'_, Client> {
        Target::user(self, user)
    }

    /// All connections of the server, this one too.
    pub fn to_all(&self) -> Target<'_, Client> {
        Target::all(self)
    }

    /// Closes the connection: for a reason of the engine's, such as [`Disconnect::Kicked`], or with
    /// a code and words of the program's own. Returns whether it was there and open.
    ///
    /// ```
    /// # use corecast::{Client, Close, CloseCode, Event, HandlerResult};
    /// async fn sign_out(client: Client, _: Event) -> HandlerResult {
    ///     client.close(Close::new(CloseCode::new(4001)?, "signed out"));
    ///     Ok(())
    /// }
    /// ```
    ///
    /// [`Disconnect::Kicked`]: crate::Disconnect::Kicked
    pub fn close(&self, close: impl Into<Close>) -> bool {
        self.shard.handle.close(self.id, close.into())
    }

    /// Runs a future on this shard's thread, beside all connections. Unlike the future of a handler
    /// it delays no message, and goes on when the connection has ended; a panic ends it alone, and
    /// is logged.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.shard.handle.spawn(future);
    }

    /// What reaches all shards.
    pub(super) fn beside(&self) -> &Broadcaster {
        &self.shard.broadcaster
    }

    /// Publishes from any thread and any runtime: for what this handler hands on to others.
    pub fn broadcaster(&self) -> Broadcaster {
        self.shard.broadcaster.clone()
    }

    fn to_self<'a>(&'a self, request: Option<&'a str>) -> Target<'a, Client> {
        Target::connection(self, self.id, request)
    }
}

/// On the thread of the client's shard.
impl Source for Client {
    fn try_send(&self, outgoing: Outgoing<'_>) -> Result<(), NotAccepted> {
        match outgoing {
            Outgoing::Room { room, message, except } => {
                self.shard.handle.publish(room, message, except)
            }
            Outgoing::Connection(id, frame) => Ok(self.shard.handle.emit(id, &frame)?),
            to_user @ Outgoing::User { .. } => self.shard.broadcaster.try_send(to_user),
        }
    }

    async fn send(&self, outgoing: Outgoing<'_>, confirm: bool) -> Result<Receipt, NotAccepted> {
        match outgoing {
            Outgoing::Room { room, message, except } => {
                self.shard.handle.publish_waiting(room, message, except, confirm).await
            }
            Outgoing::Connection(id, frame) => {
                self.shard.handle.emit_waiting(id, &frame).await?;
                Ok(Receipt::of_connection())
            }
            to_user @ Outgoing::User { .. } => self.shard.broadcaster.send(to_user, confirm).await,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).finish_non_exhaustive()
    }
}
