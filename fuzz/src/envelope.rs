//! The envelope beside a plain reader that follows the protocol's tables sentence by sentence.
//!
//! What the tables leave open and both take the same way: the value of `offset`, which is the
//! server's, is not looked at; of a member that stands twice neither is told in an error.

use super::json::{Raw, members};
use super::{Reading, Verb, read_envelope};

/// Text that is not UTF-8 does not get as far as the envelope.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert_eq!(read_envelope(text), plainly(text), "of {text}");
}

const BAD: &str = "bad_envelope";

/// What the tables say of a text.
fn plainly(text: &str) -> Reading {
    let Some(all) = Object::read(text) else {
        return Reading { id: None, room: None, verb: Err(BAD) };
    };
    let id = all.member("id").ok().flatten().filter(|id| is_id(*id));
    let room = all.member("room").ok().flatten().and_then(Raw::text).filter(|it| is_room(it));
    let verb = verb(&all, id.is_some(), room.is_some());
    Reading { id: id.map(|id| id.0.to_owned()), room, verb }
}

fn verb(all: &Object<'_>, has_id: bool, has_room: bool) -> Result<Verb, &'static str> {
    let (event, data) = (all.member("event")?, all.member("data")?);
    let (room, id, _) = (all.member("room")?, all.member("id")?, all.member("offset")?);
    let event = event.and_then(Raw::text).filter(|event| is_event(event)).ok_or(BAD)?;
    let wrapping = usize::from(matches!(&*event, "cast:publish" | "cast:broadcast"));
    let needs_room =
        matches!(&*event, "cast:join" | "cast:leave" | "cast:publish" | "cast:presence");
    let is_bad = room.is_some() && !has_room
        || id.is_some() && !has_id
        || needs_room && !has_room
        || data.is_some_and(|data| data.depth() > 128 + wrapping);
    if is_bad {
        return Err(BAD);
    }
    match &*event {
        "cast:join" => {
            join(data).map(|(since, last, presence)| Verb::Join { since, last, presence })
        }
        "cast:leave" => Ok(Verb::Leave),
        "cast:presence" => Ok(Verb::Presence),
        "cast:publish" => {
            let ((event, data, echo), key) = publication(data)?;
            Ok(Verb::Publish { event, data, echo, key })
        }
        "cast:broadcast" => match publication(data)? {
            ((event, data, echo), None) => Ok(Verb::Broadcast { event, data, echo }),
            (_, Some(_)) => Err(BAD),
        },
        "cast:refresh" => token(data).map(|token| Verb::Refresh { token }),
        "cast:ping" => Ok(Verb::Ping),
        unknown if unknown.starts_with("cast:") => Err("unknown_event"),
        _ => Ok(Verb::Application { event, data: data.map(|data| data.0.to_owned()) }),
    }
}

/// Event, data and echo; and the key.
type Keyed = ((String, String, bool), Option<String>);

fn publication(data: Option<Raw<'_>>) -> Result<Keyed, &'static str> {
    let all = Object::read(data.ok_or(BAD)?.0).ok_or(BAD)?;
    let event = all.member("event")?.and_then(Raw::text).filter(|event| is_event(event));
    let event = event.filter(|event| !event.starts_with("cast:")).ok_or(BAD)?;
    let data = all.member("data")?.unwrap_or(Raw("null"));
    if data.depth() > 128 {
        return Err(BAD);
    }
    let echo = match all.member("echo")?.map(|echo| echo.0) {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(BAD),
    };
    let key = match all.member("key")? {
        None => None,
        Some(key) => {
            let key = key.text().filter(|key| (1..=64).contains(&key.len())).ok_or(BAD)?;
            Some(key)
        }
    };
    Ok(((event, data.0.to_owned(), echo), key))
}

fn token(data: Option<Raw<'_>>) -> Result<String, &'static str> {
    let all = Object::read(data.ok_or(BAD)?.0).ok_or(BAD)?;
    all.member("token")?.and_then(Raw::text).ok_or(BAD)
}

type Join = (Option<(String, u64)>, Option<u32>, bool);

fn join(data: Option<Raw<'_>>) -> Result<Join, &'static str> {
    let Some(data) = data.filter(|data| data.0 != "null") else { return Ok((None, None, false)) };
    let all = Object::read(data.0).ok_or(BAD)?;
    let presence = match all.member("presence")?.map(|presence| presence.0) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(BAD),
    };
    match (all.member("since")?, all.member("last")?) {
        (Some(_), Some(_)) => Err(BAD),
        (Some(since), None) => Ok((Some(position(since)?), None, presence)),
        (None, Some(last)) => {
            let last = Some(last).filter(|last| !last.0.starts_with('-')).and_then(Raw::integer);
            let last = last.ok_or(BAD)?.min(i64::from(u32::MAX));
            Ok((None, u32::try_from(last).ok(), presence))
        }
        (None, None) => Ok((None, None, presence)),
    }
}

fn position(since: Raw<'_>) -> Result<(String, u64), &'static str> {
    let since = Object::read(since.0).ok_or(BAD)?;
    let (epoch, offset) = (since.member("epoch")?, since.member("offset")?);
    let epoch = epoch.and_then(Raw::text).filter(|epoch| epoch.len() <= 32).ok_or(BAD)?;
    let offset = offset.filter(|offset| !offset.0.starts_with('-')).and_then(Raw::integer);
    let offset = offset.and_then(|offset| u64::try_from(offset).ok()).ok_or(BAD)?;
    Ok((epoch, offset))
}

/// The members of one JSON object.
struct Object<'a>(Vec<(Raw<'a>, Raw<'a>)>);

impl<'a> Object<'a> {
    fn read(text: &'a str) -> Option<Object<'a>> {
        members(text).map(Object)
    }

    /// A known member; it may not stand twice.
    fn member(&self, name: &str) -> Result<Option<Raw<'a>>, &'static str> {
        let mut found = self.0.iter().filter(|(key, _)| key.text().as_deref() == Some(name));
        match (found.next(), found.next()) {
            (first, None) => Ok(first.map(|(_, value)| *value)),
            _ => Err(BAD),
        }
    }
}

/// A string of 1 to 64 bytes, or an integer within ±(2^53-1) without fraction or exponent.
fn is_id(id: Raw<'_>) -> bool {
    match id.text() {
        Some(text) => (1..=64).contains(&text.len()),
        None => id.integer().is_some(),
    }
}

/// 1 to 200 bytes without control characters.
fn is_room(room: &str) -> bool {
    let has_control = room.chars().any(|c| c <= '\u{1f}' || c == '\u{7f}');
    (1..=200).contains(&room.len()) && !has_control
}

/// 1 to 128 bytes.
fn is_event(event: &str) -> bool {
    (1..=128).contains(&event.len())
}
