//! The connections of one user over HTTP, and what is revoked.

use std::sync::Arc;
use std::time::Duration;

use corecast_shards::{
    Answer, ConnId, Disconnect, Name, Publication, Query, Revocable, ShardId, event_frame,
};
use serde::Deserialize;
use serde_json::json;

use super::claimed::{expiry, since_1970};
use super::response::{Answered, accepted, ok};
use super::{Backend, HttpError};
use crate::values::NotAccepted;

/// Connections of which one answer names the ids.
const IDS_MAX: usize = 1_000;

/// How long is waited for what is full, and how often it is tried again.
const FULL_TIMEOUT: Duration = Duration::from_secs(5);
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// Connections of one user that a message waits for. Of a user with more that do not read, the others
/// miss it at once.
const FULL_MAX: usize = 64;

/// The user that a path names.
pub(super) fn named(user: &str) -> Result<Name, HttpError> {
    Name::new(user).map_err(|bad| HttpError::bad_request(bad.to_string()))
}

/// Which connections a user has.
pub(super) async fn one(shard: &impl Backend, user: &str) -> Answered {
    let name = named(user)?;
    let (mut count, mut ids) = (0, Vec::new());
    for answer in shard.query_all(|| Query::User(name.clone())).await? {
        if let Answer::User { count: here, connections } = answer {
            count += here;
            ids.extend(connections.iter().map(ToString::to_string));
        }
    }
    if count == 0 {
        return Err(HttpError::no_user());
    }
    let more = ids.len() > IDS_MAX;
    ids.truncate(IDS_MAX);
    ok(&json!({"user": user, "count": count, "connections": ids, "more": more}))
}

/// Sends a message to all connections of a user.
pub(super) async fn emit(shard: &impl Backend, user: &Name, body: &str) -> Answered {
    let frame: Arc<[u8]> = event_frame(&Publication::parse(body)?.without_key()?).into();
    let (mut sent, mut full) = (0, Vec::new());
    for to in shard.all_shards() {
        let mut after = None;
        loop {
            let query = || {
                let (user, frame) = (user.clone(), Arc::clone(&frame));
                Query::EmitToUser { user, after, except: None, frame }
            };
            match ask(shard, to, query).await? {
                Answer::UserSent { sent: here, full: slow, next } => {
                    sent += u64::from(here);
                    full.extend(slow);
                    after = next;
                }
                Answer::TooLarge(limit) => return Err(HttpError::emit_too_large(limit)),
                other => unreachable!("an emit to a user is not answered with {other:?}"),
            }
            if after.is_none() {
                break;
            }
        }
    }
    let given_up = full.split_off(full.len().min(FULL_MAX)).len();
    let tried = shard.within(FULL_TIMEOUT, emit_when_it_fits(shard, &mut full, &mut sent, &frame));
    tried.await.transpose()?;
    match (sent, full.len() + given_up) {
        (0, 0) => Err(HttpError::no_user()),
        (0, _) => Err(HttpError::overloaded()),
        (sent, 0) => accepted(&json!({"connections": sent})),
        (sent, missed) => accepted(&json!({"connections": sent, "missed": missed})),
    }
}

/// Tries the connections again for which too much waits, until none is left.
async fn emit_when_it_fits(
    shard: &impl Backend,
    full: &mut Vec<ConnId>,
    sent: &mut u64,
    frame: &[u8],
) -> Result<(), NotAccepted> {
    while !full.is_empty() {
        shard.sleep(FULL_PAUSE).await;
        for place in (0..full.len()).rev() {
            let conn = full[place];
            match shard.query(conn.shard, Query::Emit(conn, frame.to_vec())).await {
                Ok(Answer::Found(found)) => {
                    *sent += u64::from(found);
                    full.swap_remove(place);
                }
                // It is still so, or there is no capacity on the way.
                Ok(_) | Err(NotAccepted::Full) => {}
                Err(closed) => return Err(closed),
            }
        }
    }
    Ok(())
}

/// Closes all connections of a user.
pub(super) async fn kick(shard: &impl Backend, user: &str) -> Answered {
    let name = named(user)?;
    shard.refuse_while_draining()?;
    let close = || Query::CloseUser(name.clone(), Disconnect::Kicked.into());
    match close_some(shard, close).await? {
        0 => Err(HttpError::no_user()),
        count => accepted(&json!({"connections": count})),
    }
}

/// The body of a revocation. Unknown members are ignored.
#[derive(Deserialize)]
struct Revocation {
    sub: Option<String>,
    jti: Option<String>,
    /// In seconds since 1970.
    until: f64,
}

/// Closes the connections of a user or a token, and refuses new ones for a while.
pub(super) async fn revoke(shard: &impl Backend, body: &str) -> Answered {
    let shape = || {
        HttpError::bad_request(
            "must be {\"sub\": string, \"until\": seconds since 1970}, or jti instead of sub",
        )
    };
    // An array of the same values would be read, too.
    let object = Some(body).filter(|body| body.trim_start().starts_with('{')).ok_or_else(shape)?;
    let Revocation { sub, jti, until } = serde_json::from_str(object).map_err(|_| shape())?;
    let revoked = match (sub, jti) {
        (Some(sub), None) => Revocable::Subject(named(&sub)?),
        (None, Some(jti)) => Revocable::Token(named(&jti)?),
        _ => return Err(shape()),
    };
    if looks_like_millis(until) {
        return Err(HttpError::bad_request(
            "until is in seconds since 1970, and this looks like milliseconds; divide it by 1000",
        ));
    }
    let until = expiry(until, shard.now(), since_1970()).at;
    let revoke = || Query::Revoke { revoked: revoked.clone(), until };
    accepted(&json!({"connections": close_some(shard, revoke).await?}))
}

/// Whether a time is one of 1973 to 5138 in milliseconds, as `Date.now()` says it. It would hold for
/// thousands of years.
fn looks_like_millis(until: f64) -> bool {
    (1e11..1e14).contains(&until)
}

/// Asks every shard to close some connections, one after the other; after an error some may have
/// done so. Returns how many there were.
async fn close_some(shard: &impl Backend, query: impl Fn() -> Query) -> Result<u64, HttpError> {
    let mut closed = 0;
    for to in shard.all_shards() {
        match ask(shard, to, &query).await? {
            Answer::Closed(here) => closed += here,
            Answer::TooManyRevocations(limit) => {
                return Err(HttpError::too_many_revocations(limit));
            }
            other => unreachable!("a close of some is not answered with {other:?}"),
        }
    }
    Ok(closed)
}

/// Asks one shard, and waits while there is no capacity on the way: the others may have been asked
/// already.
async fn ask(
    shard: &impl Backend,
    to: ShardId,
    query: impl Fn() -> Query,
) -> Result<Answer, NotAccepted> {
    let asking = async {
        loop {
            match shard.query(to, query()).await {
                Err(NotAccepted::Full) => shard.sleep(FULL_PAUSE).await,
                answered => return answered,
            }
        }
    };
    shard.within(FULL_TIMEOUT, asking).await.unwrap_or(Err(NotAccepted::Full))
}
