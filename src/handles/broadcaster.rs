//! Publishing from any thread.

use std::sync::Arc;
use std::time::SystemTime;

use corecast_shards::{
    Answer, Close, ConnId, Name, Query, Revocable, RoomInfo, RoomName, ShardId, Time,
};
use futures_lite::future::block_on;

use crate::runtime::{
    External, Inboxes, OneshotReceiver, ServerState, ShardHandle, Unsent, is_shard_thread, oneshot,
};
use crate::values::{
    ControlError, Message, NotAccepted, Outgoing, PublishError, Receipt, Source, Target,
};

/// Publishes to all connections, to a room or to one connection, from any thread and any runtime.
///
/// Its own verbs are for all connections; other recipients are a [`Target`]:
/// [`Broadcaster::to_room`], [`Broadcaster::to_user`], [`Broadcaster::to_connection`]. What one caller publishes to one room,
/// or to all connections, arrives in the order in which it was published, whatever the verb: it is
/// handed to the shard that orders that room.
///
/// ```
/// # use corecast::{Message, PublishError, Server};
/// # let server = Server::builder().listen("127.0.0.1:0").start()?;
/// let cast = server.broadcaster();
/// let ticking = std::thread::spawn(move || {
///     let room = cast.to_room("ticker");
///     for n in 1..=3 {
///         match room.try_publish(Message::event("tick", n)?) {
///             Err(PublishError::Full(_)) => println!("tick {n} is skipped: the members are slow"),
///             other => other?,
///         }
///     }
///     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(room.publish_blocking(Message::text("end"))?)
/// });
/// let receipt = ticking.join().expect("it does not panic").map_err(|error| error.to_string())?;
/// assert_eq!(receipt.offset, Some(4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Broadcaster {
    inboxes: Inboxes,
    state: Arc<ServerState>,
}

impl Broadcaster {
    pub(crate) fn new(inboxes: Inboxes, state: Arc<ServerState>) -> Broadcaster {
        Broadcaster { inboxes, state }
    }

    /// One for the program's code on this shard.
    pub(super) fn of_shard(handle: &ShardHandle) -> Broadcaster {
        Broadcaster::new(handle.inboxes().clone(), Arc::clone(handle.state()))
    }

    /// Publishes a message to all connections, without waiting.
    ///
    /// # Errors
    ///
    /// [`PublishError`], with the message: `Full` when there is no capacity now.
    pub fn try_publish(&self, message: Message) -> Result<(), PublishError> {
        self.to_all().try_publish(message)
    }

    /// Publishes a message to all connections: waits while there is no capacity, and until it has
    /// its place among all messages to all connections.
    ///
    /// # Errors
    ///
    /// As [`Target::publish`].
    pub async fn publish(&self, message: Message) -> Result<Receipt, PublishError> {
        self.to_all().publish(message).await
    }

    /// The same, keeping the thread.
    ///
    /// # Errors
    ///
    /// As [`Target::publish_blocking`].
    pub fn publish_blocking(&self, message: Message) -> Result<Receipt, PublishError> {
        self.to_all().publish_blocking(message)
    }

    /// All connections of the server.
    pub fn to_all(&self) -> Target<'_, Broadcaster> {
        Target::all(self)
    }

    /// The members of a room.
    pub fn to_room(&self, room: &str) -> Target<'_, Broadcaster> {
        Target::room(self, room)
    }

    /// One connection, wherever it is.
    pub fn to_connection(&self, connection: ConnId) -> Target<'_, Broadcaster> {
        Target::connection(self, connection, None)
    }

    /// All connections of a user, on all shards: those whose claim `sub` this is. A message reaches
    /// each of them that is open when it comes to it. With [`Target::try_publish`] it passes over
    /// those for which too much waits; and `Full` can mean that it was on its way to some already.
    pub fn to_user(&self, user: &str) -> Target<'_, Broadcaster> {
        Target::user(self, user)
    }

    /// The open connections of a user, at most a thousand of each shard.
    ///
    /// # Errors
    ///
    /// [`ControlError::User`], or `Closed`.
    pub async fn connections_of(&self, user: &str) -> Result<Vec<ConnId>, ControlError> {
        let (user, mut all) = (Name::new(user)?, Vec::new());
        for shard in self.all_shards() {
            if let Answer::User { connections, .. } =
                self.ask(shard, Query::User(user.clone())).await?
            {
                all.extend(connections);
            }
        }
        Ok(all)
    }

    /// Closes all connections of a user, as [`close`](Broadcaster::close) does one. Returns how many
    /// there were. The user may come back; see [`revoke_user`](Broadcaster::revoke_user).
    ///
    /// # Errors
    ///
    /// [`ControlError::User`], or `Closed`.
    pub async fn close_user(
        &self,
        user: &str,
        close: impl Into<Close>,
    ) -> Result<u64, ControlError> {
        let (user, close) = (Name::new(user)?, close.into());
        self.close_some(|| Query::CloseUser(user.clone(), close.clone())).await
    }

    /// Revokes all that a user may connect by: closes its connections with 1008 `expired`, and
    /// refuses new ones, and fresh tokens, until then. Returns how many were closed. The latest call
    /// for a user holds: one with a time that is over lets it in again. Nothing of this outlives the
    /// server.
    ///
    /// Shards are asked one after the other. After an error some of them may have revoked, and calls
    /// for one user at the same time may hold on different shards: call again, and one at a time.
    ///
    /// # Errors
    ///
    /// [`ControlError::User`], `TooManyRevocations`, or `Closed`.
    pub async fn revoke_user(&self, user: &str, until: SystemTime) -> Result<u64, ControlError> {
        self.revoke(Revocable::Subject(Name::new(user)?), until).await
    }

    /// The same for one token: the claim `jti`.
    ///
    /// # Errors
    ///
    /// As [`revoke_user`](Broadcaster::revoke_user).
    pub async fn revoke_token(&self, id: &str, until: SystemTime) -> Result<u64, ControlError> {
        self.revoke(Revocable::Token(Name::new(id)?), until).await
    }

    async fn revoke(&self, revoked: Revocable, until: SystemTime) -> Result<u64, ControlError> {
        // A time that is over is over for every shard, whatever it takes for now.
        let until = match until.duration_since(SystemTime::now()) {
            Ok(left) => self.state.now() + left,
            Err(_) => Time::default(),
        };
        self.close_some(|| Query::Revoke { revoked: revoked.clone(), until }).await
    }

    /// Asks every shard to close some connections. Returns how many there were.
    async fn close_some(&self, query: impl Fn() -> Query) -> Result<u64, ControlError> {
        let mut closed = 0;
        for shard in self.all_shards() {
            match self.ask(shard, query()).await? {
                Answer::Closed(here) => closed += here,
                Answer::TooManyRevocations(limit) => {
                    return Err(ControlError::TooManyRevocations { limit });
                }
                other => unreachable!("a close of some is not answered with {other:?}"),
            }
        }
        Ok(closed)
    }

    /// Closes one connection: for a reason of the engine's, or with a code and words of the
    /// program's own. Returns whether it was there and open.
    ///
    /// # Errors
    ///
    /// [`ControlError::Closed`] when the server is shutting down.
    pub async fn close(
        &self,
        connection: ConnId,
        close: impl Into<Close>,
    ) -> Result<bool, ControlError> {
        if !self.has_shard(connection.shard) {
            return Ok(false);
        }
        let query = Query::Close(connection, close.into());
        Ok(matches!(self.ask(connection.shard, query).await?, Answer::Found(true)))
    }

    /// Closes every connection, each as soon as it was sent what waits for it. New ones are still
    /// accepted.
    ///
    /// # Errors
    ///
    /// [`ControlError::Closed`] when the server is shutting down, which closes them, too.
    pub async fn close_all(&self, close: impl Into<Close>) -> Result<(), ControlError> {
        let close = close.into();
        for shard in self.all_shards() {
            self.hand_over(shard, External::CloseAll(close.clone())).await?;
        }
        Ok(())
    }

    /// Open connections of all shards, at about this moment.
    pub fn connection_count(&self) -> u64 {
        self.state.connections()
    }

    /// How a room is: its members, its last offset, its life. None when nobody is in it and nobody
    /// has published to it lately.
    ///
    /// # Errors
    ///
    /// [`ControlError::Room`], or `Closed`.
    pub async fn room(&self, name: &str) -> Result<Option<RoomInfo>, ControlError> {
        let room = RoomName::new(name)?;
        match self.ask_home(&room, Query::Room(room.clone())).await? {
            Answer::Room(info) => Ok(info),
            other => unreachable!("a question for a room is not answered with {other:?}"),
        }
    }

    /// Whether the server has this shard: a connection's id may be anything that a program read.
    fn has_shard(&self, shard: ShardId) -> bool {
        shard.index() < self.state.shards()
    }

    fn all_shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        let count = u16::try_from(self.state.shards()).expect("shards are counted in u16");
        (0..count).map(ShardId::new)
    }

    /// Asks the shard that orders this room's messages.
    pub(super) async fn ask_home(
        &self,
        room: &RoomName,
        query: Query,
    ) -> Result<Answer, ControlError> {
        self.ask(self.state.home(room), query).await
    }

    async fn ask(&self, to: ShardId, query: Query) -> Result<Answer, ControlError> {
        let (reply, answer) = oneshot();
        self.hand_over(to, External::Ask { query, reply }).await?;
        answer.await.ok_or(ControlError::Closed)
    }

    /// Hands over without waiting. A message that is taken here is delivered even if the server
    /// begins to drain in the next moment.
    fn try_hand_over(&self, to: ShardId, external: External) -> Result<(), Unsent> {
        let Some(_open) = self.state.guard_hand_over() else { return Err(Unsent::Closed) };
        self.inboxes.try_send(to, external)
    }

    async fn hand_over(&self, to: ShardId, mut external: External) -> Result<(), Closed> {
        let mut listener = None;
        loop {
            let wanted;
            (external, wanted) = match self.try_hand_over(to, external) {
                Ok(()) => return Ok(()),
                Err(Unsent::Closed) => return Err(Closed),
                Err(Unsent::Full(external, wanted)) => (external, wanted),
            };
            match listener.take() {
                Some((want, room)) if want == wanted => room.await,
                _ => listener = Some((wanted, self.inboxes.capacity(to, wanted))),
            }
        }
    }

    async fn send_to_room(
        &self,
        room: &RoomName,
        external: External,
        answer: Option<OneshotReceiver<Answer>>,
    ) -> Result<Receipt, NotAccepted> {
        self.hand_over(self.state.home(room), external).await?;
        let Some(answer) = answer else { return Ok(Receipt::unconfirmed()) };
        let answer = answer.await.ok_or(NotAccepted::Unconfirmed)?;
        Ok(Receipt::of_answer(room, &answer, self.state.connections()))
    }

    async fn send_to_connection(
        &self,
        connection: ConnId,
        frame: Vec<u8>,
    ) -> Result<Receipt, NotAccepted> {
        self.check_frame(connection, &frame)?;
        let (reply, answer) = oneshot();
        self.hand_over(connection.shard, External::Emit { connection, frame, reply }).await?;
        match answer.await {
            Some(Answer::Found(true)) => Ok(Receipt::of_connection()),
            Some(_) => Err(NotAccepted::Gone),
            None => Err(NotAccepted::Unconfirmed),
        }
    }

    async fn send_to_user(
        &self,
        user: &Name,
        frame: Vec<u8>,
        except: Option<ConnId>,
    ) -> Result<Receipt, NotAccepted> {
        self.check_len(&frame)?;
        let frame: Arc<[u8]> = frame.into();
        let (mut sent, mut slow) = (0, Vec::new());
        for shard in self.all_shards() {
            let mut after = None;
            loop {
                let (user, frame) = (user.clone(), Arc::clone(&frame));
                let query = Query::EmitToUser { user, after, except, frame };
                let answer = self.ask(shard, query).await.map_err(|_| match sent {
                    0 => NotAccepted::Closed,
                    _ => NotAccepted::Unconfirmed,
                })?;
                let Answer::UserSent { sent: here, full, next } = answer else { break };
                sent += here;
                slow.extend(full);
                after = next;
                if next.is_none() {
                    break;
                }
            }
        }
        for connection in slow {
            match self.send_to_connection(connection, frame.to_vec()).await {
                Ok(_) => sent += 1,
                Err(NotAccepted::Gone) => {}
                Err(other) => return Err(other),
            }
        }
        if sent == 0 { Err(NotAccepted::Gone) } else { Ok(Receipt::of_user(sent)) }
    }

    /// Hands a frame for a user to every shard without waiting: to all, or as a rule to none.
    fn try_send_to_user(
        &self,
        user: &Name,
        frame: Vec<u8>,
        except: Option<ConnId>,
    ) -> Result<(), NotAccepted> {
        self.check_len(&frame)?;
        if !self.all_shards().all(|shard| self.inboxes.takes_questions(shard)) {
            return Err(NotAccepted::Full);
        }
        let frame: Arc<[u8]> = frame.into();
        for shard in self.all_shards() {
            let (user, frame) = (user.clone(), Arc::clone(&frame));
            let external = External::EmitToUser { user, except, frame };
            self.try_hand_over(shard, external).map_err(not_accepted)?;
        }
        Ok(())
    }

    /// A frame that is larger than what may wait for one connection is for none.
    fn check_len(&self, frame: &[u8]) -> Result<(), NotAccepted> {
        let most = self.state.limits().own_bytes;
        if frame.len() > most { Err(NotAccepted::TooLarge(most)) } else { Ok(()) }
    }

    /// What can be said of a frame for one connection before its shard has seen it.
    fn check_frame(&self, connection: ConnId, frame: &[u8]) -> Result<(), NotAccepted> {
        match self.has_shard(connection.shard) {
            true => self.check_len(frame),
            false => Err(NotAccepted::Gone),
        }
    }
}

/// The server takes nothing any more.
struct Closed;

impl From<Closed> for ControlError {
    fn from(_: Closed) -> ControlError {
        ControlError::Closed
    }
}

impl From<Closed> for NotAccepted {
    fn from(_: Closed) -> NotAccepted {
        NotAccepted::Closed
    }
}

/// Beside all shards.
impl Source for Broadcaster {
    fn try_send(&self, outgoing: Outgoing<'_>) -> Result<(), NotAccepted> {
        let (to, external) = match outgoing {
            Outgoing::Room { room, message, except } => {
                let to = self.state.home(room);
                (to, External::Publish { room: room.clone(), message, except, reply: None })
            }
            Outgoing::Connection(connection, frame) => {
                self.check_frame(connection, &frame)?;
                let (reply, _) = oneshot();
                let query = Query::Emit(connection, frame);
                (connection.shard, External::Ask { query, reply })
            }
            Outgoing::User { user, frame, except } => {
                return self.try_send_to_user(user, frame, except);
            }
        };
        self.try_hand_over(to, external).map_err(not_accepted)
    }

    async fn send(&self, outgoing: Outgoing<'_>, confirm: bool) -> Result<Receipt, NotAccepted> {
        match outgoing {
            Outgoing::Room { room, message, except } => {
                let (reply, answer) = confirm.then(oneshot).unzip();
                let external = External::Publish { room: room.clone(), message, except, reply };
                self.send_to_room(room, external, answer).await
            }
            Outgoing::Connection(connection, frame) => {
                self.send_to_connection(connection, frame).await
            }
            Outgoing::User { user, frame, except } => self.send_to_user(user, frame, except).await,
        }
    }
}

fn not_accepted(unsent: Unsent) -> NotAccepted {
    match unsent {
        Unsent::Full(..) => NotAccepted::Full,
        Unsent::Closed => NotAccepted::Closed,
    }
}

impl Target<'_, Broadcaster> {
    /// The same as [`publish`](Target::publish), keeping the thread. For threads without a runtime:
    /// one of tokio's would be kept as well.
    ///
    /// # Errors
    ///
    /// As [`publish`](Target::publish); and [`PublishError::WouldBlock`] on the thread of a shard,
    /// as in a handler: that thread makes the capacity that this would wait for.
    pub fn publish_blocking(&self, message: Message) -> Result<Receipt, PublishError> {
        match is_shard_thread() {
            true => Err(PublishError::WouldBlock(message)),
            false => block_on(self.publish(message)),
        }
    }
}
