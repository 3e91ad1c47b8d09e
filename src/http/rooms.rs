//! Rooms over HTTP.

use corecast_shards::{Answer, Query, RoomInfo, RoomName};
use serde_json::{Value, json};

use super::response::{Answered, ok};
use super::{Backend, HttpError};
use crate::values::parameter;

/// Rooms, or messages, per page, unless the caller says otherwise.
const LIMIT_DEFAULT: usize = 100;

/// The same at most.
const LIMIT_MAX: usize = 1_000;

/// One page of all rooms, in the order of their names' bytes.
pub(super) async fn list(shard: &impl Backend, query: Option<&str>) -> Answered {
    let limit = read_limit(query)?;
    let after: Option<Box<str>> = parameter(query, "after").map(Into::into);
    // One more than asked for tells whether there is a next page.
    let ask = || Query::Rooms { after: after.clone(), limit: limit + 1 };
    let mut rooms: Vec<RoomInfo> = Vec::new();
    for answer in shard.query_all(ask).await? {
        if let Answer::Rooms(part) = answer {
            rooms.extend(part);
        }
    }
    rooms.sort_unstable_by(|a, b| a.room.cmp(&b.room));
    let more = rooms.len() > limit;
    rooms.truncate(limit);
    let mut page = json!({"rooms": rooms.iter().map(describe).collect::<Vec<_>>()});
    if let Some(last) = rooms.last().filter(|_| more) {
        page["next"] = last.room.as_str().into();
    }
    ok(&page)
}

/// One room.
pub(super) async fn one(shard: &impl Backend, name: &str) -> Answered {
    let unknown =
        || HttpError::not_found("there is no such room; it exists from its first join or publish");
    let room = RoomName::new(name).map_err(|_| unknown())?;
    match shard.query(shard.home(&room), Query::Room(room)).await? {
        Answer::Room(Some(info)) => ok(&describe(&info)),
        _ => Err(unknown()),
    }
}

/// How much a page is to have.
pub(super) fn read_limit(query: Option<&str>) -> Result<usize, HttpError> {
    let Some(limit) = parameter(query, "limit") else { return Ok(LIMIT_DEFAULT) };
    let limit = limit.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| HttpError::bad_request(format!("limit must be 1 to {LIMIT_MAX}")))
}

fn describe(info: &RoomInfo) -> Value {
    json!({
        "room": info.room.as_str(),
        "members": info.members,
        "offset": info.offset,
        "epoch": info.epoch.to_string(),
    })
}
