//! Sending from any thread.

use std::sync::Arc;

use corecast_shards::wire::Opcode;
use corecast_shards::{
    Answer, BadRoomName, Close, ConnId, Query, RoomInfo, RoomName, ShardId, Unnumbered, event_frame,
};
use futures_lite::future::block_on;
use serde::Serialize;

use crate::error::PublishError;
use crate::payload::Payload;
use crate::receipt::Receipt;
use crate::runtime::{Foreign, Inboxes, Process, Promise, Unsent, promise};

/// Sends to everybody, to a room or to one connection, from any thread and any runtime.
///
/// Each method comes in up to three variants: at once, with [`PublishError::Full`] instead of
/// waiting; `_blocking`, which keeps the thread until there is room; and async, which waits in any
/// runtime. The blocking ones are not for handlers: the room that they would wait for is made by
/// the thread that they would keep. What one caller sends to one room, or to everybody, arrives in the order in which it
/// was sent, whatever the variant: it is handed to the shard that orders that room.
///
/// ```
/// # use corecast::{PublishError, Server};
/// # let server = Server::builder().listen("127.0.0.1:0").start()?;
/// let cast = server.broadcaster();
/// let ticking = std::thread::spawn(move || {
///     for n in 1..=3 {
///         match cast.to_room("ticker").emit("tick", &n) {
///             Err(PublishError::Full) => println!("nobody waits for tick {n}"),
///             other => other?,
///         }
///     }
///     cast.to_room("ticker").publish_blocking("end", &())
/// });
/// let receipt = ticking.join().expect("it does not panic")?;
/// assert_eq!(receipt.offset, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Broadcaster {
    inboxes: Inboxes,
    process: Arc<Process>,
}

impl Broadcaster {
    pub(crate) fn new(inboxes: Inboxes, process: Arc<Process>) -> Broadcaster {
        Broadcaster { inboxes, process }
    }

    /// Sends an event to every connection.
    ///
    /// # Errors
    ///
    /// [`PublishError::Full`] instead of waiting; nothing has happened then.
    pub fn broadcast(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<(), PublishError> {
        self.to_everybody().emit(event, data)
    }

    /// Sends an event to every connection; keeps the thread while there is no room.
    ///
    /// # Errors
    ///
    /// [`PublishError`], but for `Full`.
    pub fn broadcast_blocking(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<(), PublishError> {
        self.to_everybody().emit_blocking(event, data)
    }

    /// Sends an event to every connection; waits while there is no room, and until the message has
    /// its place among all broadcasts.
    ///
    /// # Errors
    ///
    /// [`PublishError`], but for `Full`.
    pub async fn broadcast_async(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<(), PublishError> {
        self.to_everybody().publish(event, data).await.map(drop)
    }

    /// Sends a text message in the program's own format to every connection.
    ///
    /// # Errors
    ///
    /// As [`Broadcaster::broadcast`].
    pub fn broadcast_text(&self, text: &str) -> Result<(), PublishError> {
        self.to_everybody().send_text(text)
    }

    /// Sends to the members of a room.
    pub fn to_room(&self, room: &str) -> RoomPublisher<'_> {
        RoomPublisher { broadcaster: self, room: RoomName::new(room) }
    }

    fn to_everybody(&self) -> RoomPublisher<'_> {
        RoomPublisher { broadcaster: self, room: Ok(RoomName::everybody()) }
    }

    /// Sends an event to one connection, wherever it is. Returns whether it was there and open.
    ///
    /// # Errors
    ///
    /// [`PublishError`]: `Full` when too much waits already for the client to read it, and `TooLarge`
    /// when this message alone is more than may.
    pub async fn emit(
        &self,
        connection: ConnId,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<bool, PublishError> {
        let frame = event_frame(&Payload::new(event, data)?.publication());
        self.ask_connection(connection, Query::Emit(connection, frame)).await
    }

    /// Closes one connection: for a reason of the engine's, or with a code and words of the
    /// program's own. Returns whether it was there and open.
    ///
    /// # Errors
    ///
    /// [`PublishError::Closed`] when the server is shutting down.
    pub async fn close(
        &self,
        connection: ConnId,
        close: impl Into<Close>,
    ) -> Result<bool, PublishError> {
        self.ask_connection(connection, Query::Close(connection, close.into())).await
    }

    /// Closes every connection, each as soon as it was sent what waits for it. New ones are still
    /// accepted.
    ///
    /// # Errors
    ///
    /// [`PublishError::Closed`] when the server is shutting down, which closes them, too.
    pub async fn close_all(&self, close: impl Into<Close>) -> Result<(), PublishError> {
        let close = close.into();
        for index in 0..self.process.shards() {
            let shard = ShardId::new(u16::try_from(index).expect("shards are counted in u16"));
            self.hand_over(shard, Foreign::CloseAll(close.clone())).await?;
        }
        Ok(())
    }

    /// Open connections of all shards, at about this moment.
    pub fn connection_count(&self) -> u64 {
        self.process.connections()
    }

    /// How a room is: its members, its last offset, its life. None when nobody is in it and nobody
    /// has published to it lately.
    ///
    /// # Errors
    ///
    /// [`PublishError::Room`], or `Closed`.
    pub async fn room(&self, name: &str) -> Result<Option<RoomInfo>, PublishError> {
        let room = RoomName::new(name)?;
        match self.ask(self.process.home(&room), Query::Room(room)).await? {
            Answer::Room(info) => Ok(info),
            other => unreachable!("a question for a room is not answered with {other:?}"),
        }
    }

    async fn ask_connection(&self, to: ConnId, query: Query) -> Result<bool, PublishError> {
        if to.shard.index() >= self.process.shards() {
            return Ok(false);
        }
        match self.ask(to.shard, query).await? {
            Answer::Full(_) => Err(PublishError::Full),
            Answer::TooLarge(limit) => Err(PublishError::TooLarge { limit }),
            answer => Ok(matches!(answer, Answer::Found(true))),
        }
    }

    async fn ask(&self, to: ShardId, query: Query) -> Result<Answer, PublishError> {
        let (reply, answer) = promise();
        self.hand_over(to, Foreign::Ask { query, reply }).await?;
        answer.await.ok_or(PublishError::Closed)
    }

    /// Hands over without waiting. A message that is taken here is delivered even if the server
    /// begins to drain in the next moment.
    fn try_hand_over(&self, to: ShardId, foreign: Foreign) -> Result<(), Unsent> {
        let Some(_open) = self.process.keep_open() else { return Err(Unsent::Closed) };
        self.inboxes.try_send(to, foreign)
    }

    async fn hand_over(&self, to: ShardId, mut foreign: Foreign) -> Result<(), PublishError> {
        let mut listener = None;
        loop {
            let wanted;
            (foreign, wanted) = match self.try_hand_over(to, foreign) {
                Ok(()) => return Ok(()),
                Err(Unsent::Closed) => return Err(PublishError::Closed),
                Err(Unsent::Full(foreign, wanted)) => (foreign, wanted),
            };
            match listener.take() {
                Some((want, room)) if want == wanted => room.await,
                _ => listener = Some((wanted, self.inboxes.room(to, wanted))),
            }
        }
    }
}

/// The members of a room, as any thread sends to them. Made by [`Broadcaster::to_room`].
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before emit, publish or send"]
pub struct RoomPublisher<'a> {
    broadcaster: &'a Broadcaster,
    room: Result<RoomName, BadRoomName>,
}

impl RoomPublisher<'_> {
    /// Publishes an event and does not wait.
    ///
    /// # Errors
    ///
    /// [`PublishError::Full`] instead of waiting; nothing has happened then.
    pub fn emit(&self, event: &str, data: &(impl Serialize + ?Sized)) -> Result<(), PublishError> {
        let (room, message) = self.encode(event, data)?;
        self.hand_over_at_once(room, message)
    }

    /// Publishes an event; keeps the thread while there is no room.
    ///
    /// # Errors
    ///
    /// [`PublishError`], but for `Full`.
    pub fn emit_blocking(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<(), PublishError> {
        let (room, message) = self.encode(event, data)?;
        let to = self.broadcaster.process.home(&room);
        let foreign = Foreign::Publish { room, message, reply: None };
        block_on(self.broadcaster.hand_over(to, foreign))
    }

    /// Publishes an event; waits while there is no room, and until it has its offset.
    ///
    /// # Errors
    ///
    /// [`PublishError`], but for `Full`. [`PublishError::Closed`] leaves open whether the message
    /// was published when the server ended before it could tell.
    pub async fn publish(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<Receipt, PublishError> {
        let (room, message) = self.encode(event, data)?;
        let to = self.broadcaster.process.home(&room);
        let (reply, receipt): (_, Promise<Answer>) = promise();
        let foreign = Foreign::Publish { room, message, reply: Some(reply) };
        self.broadcaster.hand_over(to, foreign).await?;
        receipt.await.as_ref().map(Receipt::of).ok_or(PublishError::Closed)
    }

    /// The same, keeping the thread.
    ///
    /// # Errors
    ///
    /// As [`RoomPublisher::publish`].
    pub fn publish_blocking(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<Receipt, PublishError> {
        block_on(self.publish(event, data))
    }

    /// Sends a text message in the program's own format. It has an offset like any other, and
    /// shows none.
    ///
    /// # Errors
    ///
    /// As [`RoomPublisher::emit`].
    pub fn send_text(&self, text: &str) -> Result<(), PublishError> {
        self.send(Opcode::Text, text.as_bytes())
    }

    /// The same for a binary message.
    ///
    /// # Errors
    ///
    /// As [`RoomPublisher::emit`].
    pub fn send_binary(&self, bytes: &[u8]) -> Result<(), PublishError> {
        self.send(Opcode::Binary, bytes)
    }

    fn send(&self, opcode: Opcode, payload: &[u8]) -> Result<(), PublishError> {
        self.hand_over_at_once(self.room.clone()?, Unnumbered::verbatim(opcode, payload))
    }

    fn hand_over_at_once(&self, room: RoomName, message: Unnumbered) -> Result<(), PublishError> {
        let to = self.broadcaster.process.home(&room);
        let foreign = Foreign::Publish { room, message, reply: None };
        self.broadcaster.try_hand_over(to, foreign).map_err(|unsent| match unsent {
            Unsent::Full(..) => PublishError::Full,
            Unsent::Closed => PublishError::Closed,
        })
    }

    fn encode(
        &self,
        event: &str,
        data: &(impl Serialize + ?Sized),
    ) -> Result<(RoomName, Unnumbered), PublishError> {
        let room = self.room.clone()?;
        let payload = Payload::new(event, data)?;
        let message = Unnumbered::new(&payload.publication(), &room);
        Ok((room, message))
    }
}
