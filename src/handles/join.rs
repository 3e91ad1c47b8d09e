//! How a client becomes a member by the program's decision, and from where on it gets messages.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;

use corecast_shards::{BadRoomName, ConnId, JoinOptions, Joined, Position, RoomName, Start};

use crate::runtime::ShardHandle;
use crate::values::JoinError;

/// A join of the program: [`Client::join`](crate::Client::join). It is made when this is awaited.
///
/// [`since`](Join::since) or [`last`](Join::last) brings the client messages of before, from a room
/// that keeps some
/// ([`RoomPolicy::history`](crate::RoomPolicy::history)): all that it missed or the newest; the later
/// call holds. They are sent behind its `cast:joined`, and live ones follow without hole or repeat. This
/// does not wait until they are sent. A client that is a member already gets none.
///
/// ```
/// # use corecast::{Client, Event, HandlerResult, Message};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Stopped {
///     epoch: String,
///     offset: u64,
/// }
///
/// /// A client that comes back says where it had stopped.
/// async fn resume(client: Client, event: Event) -> HandlerResult {
///     let Stopped { epoch, offset } = event.parse()?;
///     let joined = client.join("lobby").since((epoch, offset)).await?;
///     if let Some(reason) = joined.recovery.and_then(|recovery| recovery.reason()) {
///         // It has to load the whole state, as of `joined.offset`.
///         client.publish(Message::event("reload", reason.as_str())?).await?;
///     }
///     Ok(())
/// }
/// ```
#[must_use = "nothing is joined before this is awaited"]
pub struct Join<'a> {
    shard: &'a ShardHandle,
    client: ConnId,
    room: Result<RoomName, BadRoomName>,
    options: JoinOptions,
}

impl<'a> Join<'a> {
    pub(super) fn new(shard: &'a ShardHandle, client: ConnId, room: &str) -> Join<'a> {
        Join { shard, client, room: RoomName::new(room), options: JoinOptions::default() }
    }

    /// With every message behind this one, or with none: [`Joined::recovery`] says which, and why. A
    /// position is a pair of an epoch, as [`Joined::epoch`] or as text, and an offset.
    pub fn since(mut self, position: impl Into<Position>) -> Join<'a> {
        self.options.start = Start::Since(position.into());
        self
    }

    /// With who is in the room, and then with every change of that, as if the client had asked for it.
    pub fn presence(mut self) -> Join<'a> {
        self.options.presence = true;
        self
    }

    /// With the newest messages, at most so many. Nothing is claimed of those before them.
    pub fn last(mut self, messages: u32) -> Join<'a> {
        self.options.start = Start::Last(messages);
        self
    }
}

impl<'a> IntoFuture for Join<'a> {
    type Output = Result<Joined, JoinError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let Join { shard, client, room, options } = self;
        Box::pin(async move { shard.join(client, &room?, &options).await })
    }
}

impl fmt::Debug for Join<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Join");
        shown.field("client", &self.client).field("room", &self.room);
        shown.field("options", &self.options).finish_non_exhaustive()
    }
}
