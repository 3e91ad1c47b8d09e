//! Who is in a room, over HTTP.

use corecast_shards::{Answer, Presence, Query, RoomName};

use super::response::{Answered, ok_text};
use super::{Backend, HttpError};
use crate::values::RefusalReason;

/// Who is in a room, as the data of `cast:presence`.
pub(super) async fn one(shard: &impl Backend, name: &str) -> Answered {
    let unknown =
        || HttpError::not_found("there is no such room; it exists from its first join or publish");
    let room = RoomName::new(name).map_err(|_| unknown())?;
    match shard.query(shard.home(&room), Query::Presence(room)).await? {
        Answer::Presence(Some(presence)) => ok_text(describe(&presence)),
        Answer::Short => {
            shard.rules().refusals.count(RefusalReason::Memory);
            Err(HttpError::overloaded())
        }
        _ => Err(unknown()),
    }
}

/// The list of users is JSON already.
fn describe(presence: &Presence) -> Vec<u8> {
    let Presence { version, count, users, more, .. } = presence;
    format!(r#"{{"version":{version},"count":{count},"users":{users},"more":{more}}}"#).into()
}
