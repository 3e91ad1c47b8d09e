//! The JSON texts that clients read: `{"event": …, "data": …, "room": …, "id": …}`.

use std::fmt::{self, Write as _};

use super::Placed;
use super::fact::{Fact, Joined, Numbered, Refusal, Welcome};
use crate::envelope::Publication;
use crate::presence::Presence;
use crate::recovery::{Recovery, Unrecovered};
use crate::room_name::RoomName;

/// Appends the text for a fact of the protocol; nothing for those that are the transport's.
pub(super) fn push_fact(out: &mut Vec<u8>, fact: &Fact<'_>) {
    match *fact {
        Fact::Welcome(welcome) => push_welcome(out, welcome),
        Fact::Joined { room, id, joined, presence } => {
            push_joined(out, room, id, *joined);
            if let Some(presence) = presence {
                out.extend_from_slice(br#","presence":"#);
                push_presence(out, presence);
            }
            out.extend_from_slice(b"}}");
        }
        Fact::Presence { room, id, presence } => {
            push_opening(out, "cast:presence", id, Some(room));
            out.extend_from_slice(br#","data":"#);
            push_presence(out, presence);
            out.push(b'}');
        }
        Fact::Left { room, id, offset, is_forbidden } => {
            push_opening(out, "cast:left", id, Some(room));
            let reason = if is_forbidden { r#","reason":"forbidden""# } else { "" };
            push_fmt(out, format_args!(r#","data":{{"offset":{offset}{reason}}}}}"#));
        }
        Fact::Refreshed { id, expires } => push_refreshed(out, id, expires),
        Fact::Ack { id, numbered } => {
            push_opening(out, "cast:ack", Some(id), None);
            if let Some(Numbered { offset, repeated }) = numbered {
                let repeated = if repeated { r#","repeated":true"# } else { "" };
                push_fmt(out, format_args!(r#","data":{{"offset":{offset}{repeated}}}"#));
            }
            out.push(b'}');
        }
        Fact::Error(refusal) => push_error(out, refusal),
        Fact::Gap { room, from, to, reason, .. } => {
            push_opening(out, "cast:gap", None, Some(room));
            let reason = reason.as_str();
            let data = format_args!(r#","data":{{"from":{from},"to":{to},"reason":"{reason}"}}}}"#);
            push_fmt(out, data);
        }
        Fact::Pong { id } => {
            push_opening(out, "cast:pong", id, None);
            out.push(b'}');
        }
        Fact::Echo(_) | Fact::Ping | Fact::Close { .. } => {}
    }
}

fn push_welcome(out: &mut Vec<u8>, welcome: Welcome) {
    let Welcome { connection, shard, shards, ping_interval_secs } = welcome;
    // Display of a float prints 25 for 25.0, which is how the protocol page shows it.
    push_fmt(
        out,
        format_args!(
            r#"{{"event":"cast:welcome","data":{{"connection":"{connection}","protocol":1,"shard":{shard},"shards":{shards},"ping_interval":{ping_interval_secs}}}}}"#
        ),
    );
}

/// Appends an answer to a join without its end.
fn push_joined(out: &mut Vec<u8>, room: &RoomName, id: Option<&str>, joined: Joined) {
    push_opening(out, "cast:joined", id, Some(room));
    let Joined { epoch, offset, members, recovery } = joined;
    push_fmt(
        out,
        format_args!(r#","data":{{"epoch":"{epoch}","offset":{offset},"members":{members}"#),
    );
    match recovery {
        None => {}
        Some(Recovery::Complete) => out.extend_from_slice(br#","recovered":true"#),
        Some(Recovery::Refused(reason)) => {
            let reason = reason.as_str();
            push_fmt(out, format_args!(r#","recovered":false,"reason":"{reason}""#));
        }
    }
}

/// Appends the data that says who is there.
fn push_presence(out: &mut Vec<u8>, presence: &Presence) {
    let Presence { version, count, users, more } = presence;
    push_fmt(
        out,
        format_args!(r#"{{"version":{version},"count":{count},"users":{users},"more":{more}}}"#),
    );
}

/// Appends that what a client missed of a room is not sent to it, and why.
pub(super) fn push_unrecovered(out: &mut Vec<u8>, room: &RoomName, reason: Unrecovered) {
    push_opening(out, "cast:unrecovered", None, Some(room));
    push_fmt(out, format_args!(r#","data":{{"reason":"{}"}}}}"#, reason.as_str()));
}

fn push_refreshed(out: &mut Vec<u8>, id: Option<&str>, expires: Option<u64>) {
    push_opening(out, "cast:refreshed", id, None);
    match expires {
        None => push_fmt(out, format_args!(r#","data":{{"expires":null}}}}"#)),
        Some(millis) if millis % 1_000 == 0 => {
            push_fmt(out, format_args!(r#","data":{{"expires":{}}}}}"#, millis / 1_000));
        }
        Some(millis) => {
            let (seconds, millis) = (millis / 1_000, millis % 1_000);
            push_fmt(out, format_args!(r#","data":{{"expires":{seconds}.{millis:03}}}}}"#));
        }
    }
}

fn push_error(out: &mut Vec<u8>, refusal: &Refusal) {
    push_opening(out, "cast:error", refusal.id.as_deref(), refusal.room.as_ref());
    push_fmt(out, format_args!(r#","data":{{"code":"{}","message":"#, refusal.code.as_str()));
    push_string(out, &refusal.message);
    out.extend_from_slice(b"}}");
}

/// Appends the text of a room's event. In the room of everybody it shows neither room nor offset.
pub(super) fn push_event(out: &mut Vec<u8>, event_json: &[u8], data: &[u8], placed: &Placed<'_>) {
    out.extend_from_slice(br#"{"event":"#);
    out.extend_from_slice(event_json);
    out.extend_from_slice(br#","data":"#);
    out.extend_from_slice(data);
    if !placed.room.is_everybody() {
        out.extend_from_slice(br#","room":"#);
        push_string(out, placed.room.as_str());
        push_fmt(out, format_args!(r#","offset":{}"#, placed.offset));
    }
    out.push(b'}');
}

/// Appends `{"event": …, "data": …}` for one connection, with the id of the message that it answers.
pub(super) fn push_emit(out: &mut Vec<u8>, publication: &Publication<'_>, id: Option<&str>) {
    out.extend_from_slice(br#"{"event":"#);
    push_string(out, &publication.event);
    out.extend_from_slice(br#","data":"#);
    out.extend_from_slice(publication.data.as_bytes());
    if let Some(id) = id {
        out.extend_from_slice(br#","id":"#);
        out.extend_from_slice(id.as_bytes());
    }
    out.push(b'}');
}

pub(super) fn push_opening(
    out: &mut Vec<u8>,
    event: &str,
    id: Option<&str>,
    room: Option<&RoomName>,
) {
    push_fmt(out, format_args!(r#"{{"event":"{event}""#));
    if let Some(room) = room {
        out.extend_from_slice(br#","room":"#);
        push_string(out, room.as_str());
    }
    if let Some(id) = id {
        out.extend_from_slice(br#","id":"#);
        out.extend_from_slice(id.as_bytes());
    }
}

/// Appends a text as a JSON string.
pub(super) fn push_string(out: &mut Vec<u8>, text: &str) {
    let plain = |b: u8| b >= 0x20 && b != b'"' && b != b'\\';
    if text.bytes().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        let json = serde_json::to_string(text).expect("text always has a JSON form");
        out.extend_from_slice(json.as_bytes());
    }
}

/// Bytes that take formatted text.
struct Text<'a>(&'a mut Vec<u8>);

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

pub(super) fn push_fmt(out: &mut Vec<u8>, arguments: fmt::Arguments<'_>) {
    Text(out).write_fmt(arguments).expect("memory takes every byte");
}
