//! Who is in a room, for the program.

use std::sync::Arc;

use corecast_shards::{Answer, Presence, Query};

use super::history::Beside;
use crate::values::{ControlError, Target};

impl<S: Beside> Target<'_, S> {
    /// Who is in the room at this moment; none where there is no such room. [`Presence::users`] is a
    /// JSON array, shared with whatever else is sent it.
    ///
    /// ```
    /// # use corecast::{Broadcaster, ControlError};
    /// # async fn show(cast: &Broadcaster) -> Result<(), ControlError> {
    /// if let Some(presence) = cast.to_room("lobby").presence().await? {
    ///     // [{"user":"ann","connections":2,"info":{"name":"Ann"}}]
    ///     println!("{} users: {}", presence.count, presence.users);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ControlError::Room`], `NotARoom` for another recipient than a room, `Short` where it is not
    /// known and memory is too short to find out, or `Closed`.
    pub async fn presence(&self) -> Result<Option<Arc<Presence>>, ControlError> {
        let room = self.room_of().cloned()?;
        let broadcaster = self.source().broadcaster();
        match broadcaster.ask_home(&room, Query::Presence(room.clone())).await? {
            Answer::Presence(presence) => Ok(presence),
            Answer::Short => Err(ControlError::Short),
            other => unreachable!("a question for presence is not answered with {other:?}"),
        }
    }
}
