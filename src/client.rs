//! One connected client, in the hands of a handler.

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

use corecast_shards::wire::{FRAME_HEADER_MAX, Opcode, push_frame};
use corecast_shards::{Close, ConnId, Joined, RoomName, Unnumbered, event_frame, reply_frame};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::broadcaster::Broadcaster;
use crate::claims::Claims;
use crate::error::{JoinError, PublishError, SendError};
use crate::handshake::Handshake;
use crate::message::Message;
use crate::payload::Payload;
use crate::room::ToRoom;
use crate::runtime::Hub;
use crate::session::Session;

/// A handle to one connected client: cheap to clone, and bound to its shard's thread, on which all
/// its handlers run.
///
/// A handle may outlive its connection: [`Client::is_open`] is false then, and sending to it is an
/// error.
#[derive(Clone)]
pub struct Client {
    hub: Hub,
    id: ConnId,
    session: Rc<Session>,
}

impl Client {
    pub(crate) fn new(hub: Hub, id: ConnId, session: Rc<Session>) -> Client {
        Client { hub, id, session }
    }

    /// Names the connection. The same text stands in `cast:welcome` and in the paths of
    /// `/v1/connections`.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// What the `authorize` hook found out about the client.
    pub fn claims(&self) -> &Claims {
        &self.session.claims
    }

    /// Where the connection came from.
    pub fn remote_addr(&self) -> SocketAddr {
        self.session.handshake.remote_addr()
    }

    /// The request with which the connection began: its path, query and header fields. A program
    /// with handlers keeps it, about 1 KB, as long as the connection.
    pub fn handshake(&self) -> &Handshake {
        &self.session.handshake
    }

    /// Whether the connection is still there and open. False as soon as the end of a client's stream
    /// arrives, while a handler is at work, too.
    pub fn is_open(&self) -> bool {
        self.hub.is_open(self.id)
    }

    /// Waits until the connection has ended or its client has gone: the end of [`Client::is_open`].
    /// A handler that works until then does not keep the connection of a client that left.
    ///
    /// ```
    /// # use corecast::{Client, HandlerResult, Message};
    /// # async fn next_price() -> f64 { 1.0 }
    /// use futures_lite::FutureExt;
    ///
    /// async fn prices(client: Client, _: Message) -> HandlerResult {
    ///     let send = async {
    ///         loop {
    ///             client.emit("price", &next_price().await)?;
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
        self.hub.shard_state()
    }

    /// Makes the client a member of a room, as if it had asked for it, and waits until it is. The
    /// client is told with `cast:joined`, without an id; every later message of the room reaches
    /// it. Joining a room twice changes nothing.
    ///
    /// # Errors
    ///
    /// [`JoinError`] says why it is no member.
    pub async fn join(&self, room: &str) -> Result<Joined, JoinError> {
        self.hub.join(self.id, &RoomName::new(room)?).await
    }

    /// Takes the client out of a room, and waits until it is out: no message that is published
    /// afterwards reaches it. The client is told with `cast:left`, without an id.
    ///
    /// # Errors
    ///
    /// [`JoinError::NotAMember`] when it was not in the room, or [`JoinError::Gone`].
    pub async fn leave(&self, room: &str) -> Result<(), JoinError> {
        self.hub.leave(self.id, &RoomName::new(room)?).await
    }

    /// The names of the rooms that the client is in, in no particular order; in `on_disconnect`,
    /// of those that it was in.
    pub fn rooms(&self) -> Vec<String> {
        let mut rooms = self.hub.rooms_of(self.id);
        if rooms.is_empty() {
            rooms = self.session.last_rooms();
        }
        rooms.iter().map(|room| room.as_str().to_owned()).collect()
    }

    /// Sends an event to this client alone.
    ///
    /// What it has not read is kept for it up to `own_bytes` ([`Limits`](crate::Limits)).
    ///
    /// # Errors
    ///
    /// Nothing is sent then. [`SendError::Gone`] when the connection has ended; `Full` when more would
    /// have to be kept, and `TooLarge` when even this message alone is more; a client that takes
    /// nothing for 4 seconds meanwhile is closed with 1013 `slow`. `Payload` when the event's name is
    /// not allowed or the data has no JSON form.
    pub fn emit(&self, event: &str, data: &(impl Serialize + ?Sized)) -> Result<(), SendError> {
        let payload = Payload::new(event, data)?;
        self.send(&event_frame(&payload.publication()))
    }

    /// Answers a message of this client: as [`Client::emit`], with the id that the client gave the
    /// message, so that it knows which of its messages this answers. A message without an id is
    /// answered with an ordinary event.
    ///
    /// # Errors
    ///
    /// As [`Client::emit`].
    pub fn reply(
        &self,
        message: &Message,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<(), SendError> {
        let payload = Payload::new(event, data)?;
        let id = message.id().map(RawValue::get);
        self.send(&reply_frame(&payload.publication(), id))
    }

    /// Sends an event to every connection of the server, this one too.
    ///
    /// # Errors
    ///
    /// [`PublishError::Full`] instead of waiting; nothing has happened then.
    pub fn broadcast(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<(), PublishError> {
        let room = RoomName::everybody();
        let payload = Payload::new(event, data)?;
        let message = Unnumbered::new(&payload.publication(), &room);
        Ok(self.hub.publish(&room, message, None)?)
    }

    /// Sends to the members of a room. The client need not be one of them.
    pub fn to_room(&self, room: &str) -> ToRoom<'_> {
        ToRoom::new(&self.hub, self.id, room)
    }

    /// Sends a text message in the program's own format.
    ///
    /// # Errors
    ///
    /// As [`Client::emit`], but for `Payload`.
    pub fn send_text(&self, text: &str) -> Result<(), SendError> {
        self.send_verbatim(Opcode::Text, text.as_bytes())
    }

    /// Sends a binary message.
    ///
    /// # Errors
    ///
    /// As [`Client::send_text`].
    pub fn send_binary(&self, bytes: &[u8]) -> Result<(), SendError> {
        self.send_verbatim(Opcode::Binary, bytes)
    }

    /// Closes the connection: for a reason of the engine's, such as [`Disconnect::Kicked`], or with
    /// a code and words of the program's own. Returns whether it was there and open.
    ///
    /// ```
    /// # use corecast::{Client, Close, CloseCode, HandlerResult, Message};
    /// async fn sign_out(client: Client, _: Message) -> HandlerResult {
    ///     client.close(Close::new(CloseCode::new(4001)?, "signed out"));
    ///     Ok(())
    /// }
    /// ```
    ///
    /// [`Disconnect::Kicked`]: crate::Disconnect::Kicked
    pub fn close(&self, close: impl Into<Close>) -> bool {
        self.hub.close(self.id, close.into())
    }

    /// Runs a future on this shard's thread, beside all connections. Unlike the future of a handler
    /// it delays nobody, and goes on when the connection has ended; a panic ends it alone, and is
    /// logged.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.hub.spawn(future);
    }

    /// Sends from any thread and any runtime: for what this handler hands on to others.
    pub fn broadcaster(&self) -> Broadcaster {
        self.hub.broadcaster()
    }

    fn send_verbatim(&self, opcode: Opcode, payload: &[u8]) -> Result<(), SendError> {
        let mut frame = Vec::with_capacity(payload.len() + FRAME_HEADER_MAX);
        push_frame(&mut frame, opcode, payload);
        self.send(&frame)
    }

    fn send(&self, frame: &[u8]) -> Result<(), SendError> {
        Ok(self.hub.emit(self.id, frame)?)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id).finish_non_exhaustive()
    }
}
