//! What a room keeps of its messages, for the program.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;

use corecast_shards::{Answer, Position, Query, RoomHistory, RoomName};

use super::broadcaster::Broadcaster;
use super::client::Client;
use crate::values::{ControlError, Target};

/// A question for what a room keeps of its messages: [`Target::history`]. It is asked when this is
/// awaited, which any runtime may do. None is the answer where there is no such room, and none is
/// remembered.
///
/// Without more it is for all messages that are kept. The answer refers to them and copies none; it
/// holds their memory for as long as it lives, also when the room does not keep them any longer.
///
/// ```
/// # use corecast::{Broadcaster, ControlError};
/// # async fn show(cast: &Broadcaster) -> Result<(), ControlError> {
/// let room = cast.to_room("lobby");
/// if let Some(newest) = room.history().limit(10).await? {
///     for kept in newest.messages.iter() {
///         println!("{} {}", kept.offset, String::from_utf8_lossy(kept.payload));
///     }
///     // Later: what came since then, if all of it is kept.
///     let since = room.history().since((newest.epoch, newest.offset)).await?;
///     let missed = since.filter(|since| since.recovery.is_some_and(|it| it.is_complete()));
///     println!("{} came since", missed.map_or(0, |missed| missed.messages.messages()));
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is asked before this is awaited"]
pub struct History<'a> {
    broadcaster: &'a Broadcaster,
    room: Result<RoomName, ControlError>,
    since: Option<Position>,
    limit: usize,
}

impl History<'_> {
    /// Only messages behind this one, the oldest of them first; or none, if not all of them are kept:
    /// [`RoomHistory::recovery`] says which, and why. A position is a pair of an epoch, as
    /// [`RoomHistory::epoch`] or as text, and an offset.
    pub fn since(mut self, position: impl Into<Position>) -> Self {
        self.since = Some(position.into());
        self
    }

    /// At most so many messages: with [`since`](History::since) the oldest, otherwise the newest.
    pub fn limit(mut self, messages: usize) -> Self {
        self.limit = messages;
        self
    }
}

/// What reaches all shards.
pub trait Beside {
    /// By this.
    fn broadcaster(&self) -> &Broadcaster;
}

impl Beside for Broadcaster {
    fn broadcaster(&self) -> &Broadcaster {
        self
    }
}

impl Beside for Client {
    fn broadcaster(&self) -> &Broadcaster {
        self.beside()
    }
}

impl<'a, S: Beside> Target<'a, S> {
    /// What the room keeps of its messages ([`RoomPolicy::history`](crate::RoomPolicy::history)): all of
    /// it, unless [`History`] says otherwise. It is asked when that is awaited.
    ///
    /// # Errors
    ///
    /// [`ControlError::Room`], `NotARoom` for another recipient than a room, or `Closed`.
    pub fn history(&self) -> History<'a> {
        let room = self.room_of().cloned();
        let broadcaster = self.source().broadcaster();
        History { broadcaster, room, since: None, limit: usize::MAX }
    }
}

impl<'a> IntoFuture for History<'a> {
    type Output = Result<Option<RoomHistory>, ControlError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        let History { broadcaster, room, since, limit } = self;
        let (since, epoch) = since.map(|Position { epoch, offset }| (offset, epoch)).unzip();
        Box::pin(async move {
            let room = room?;
            let query = Query::History { room: room.clone(), since, epoch, limit };
            match broadcaster.ask_home(&room, query).await? {
                Answer::History(history) => Ok(history.map(|history| *history)),
                other => unreachable!("a question for a history is not answered with {other:?}"),
            }
        })
    }
}

impl fmt::Debug for History<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("History");
        shown.field("room", &self.room).field("since", &self.since);
        shown.field("limit", &self.limit).finish_non_exhaustive()
    }
}
