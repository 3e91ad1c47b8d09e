//! What the server says, encoded for the wire.

use std::fmt::Write as _;
use std::sync::Arc;

use super::Publication;
use crate::id::{ConnId, ShardId};
use crate::mesh::Joined;
use crate::room_name::RoomName;
use crate::wire::{FRAME_HEADER_MAX, Opcode, frame_header, push_frame};

/// The code of a `cast:error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    /// The text is no envelope, or a member is wrong.
    BadEnvelope,
    /// Nobody handles this event.
    UnknownEvent,
    /// The connection may not.
    Forbidden,
    /// The connection is not in the room.
    NotAMember,
    /// The connection is in as many rooms as it may.
    TooManyRooms,
    /// The embedding program's handler returned an error or panicked.
    HandlerFailed,
}

impl ErrorCode {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            ErrorCode::BadEnvelope => "bad_envelope",
            ErrorCode::UnknownEvent => "unknown_event",
            ErrorCode::Forbidden => "forbidden",
            ErrorCode::NotAMember => "not_a_member",
            ErrorCode::TooManyRooms => "too_many_rooms",
            ErrorCode::HandlerFailed => "handler_failed",
        }
    }
}

/// What `cast:welcome` tells.
pub(crate) struct Welcome {
    pub(crate) connection: ConnId,
    pub(crate) shard: ShardId,
    pub(crate) shards: u16,
    pub(crate) ping_interval_secs: f64,
}

/// One frame of the protocol for one connection. Each method gives a whole text frame.
pub(crate) struct Reply;

impl Reply {
    pub(crate) fn welcome(welcome: &Welcome) -> Vec<u8> {
        let mut json = format!(
            r#"{{"event":"cast:welcome","data":{{"connection":"{}","protocol":1,"shard":{},"shards":{},"ping_interval":"#,
            welcome.connection, welcome.shard, welcome.shards,
        );
        // Display of a float prints 25 for 25.0, which is how the protocol page shows it.
        let _ = write!(json, "{}}}}}", welcome.ping_interval_secs);
        text_frame(&json)
    }

    pub(crate) fn joined(room: &RoomName, id: Option<&str>, joined: &Joined) -> Vec<u8> {
        let mut json = opening("cast:joined", id, Some(room));
        let Joined { epoch, offset, members, recovered } = joined;
        let _ =
            write!(json, r#","data":{{"epoch":"{epoch}","offset":{offset},"members":{members}"#);
        if let Some(recovered) = recovered {
            let _ = write!(json, r#","recovered":{recovered}"#);
        }
        json.push_str("}}");
        text_frame(&json)
    }

    pub(crate) fn left(room: &RoomName, id: Option<&str>, offset: u64) -> Vec<u8> {
        let mut json = opening("cast:left", id, Some(room));
        let _ = write!(json, r#","data":{{"offset":{offset}}}}}"#);
        text_frame(&json)
    }

    /// The ack of a publish carries its offset, the ack of a broadcast none.
    pub(crate) fn ack(id: &str, offset: Option<u64>) -> Vec<u8> {
        let mut json = opening("cast:ack", Some(id), None);
        if let Some(offset) = offset {
            let _ = write!(json, r#","data":{{"offset":{offset}}}"#);
        }
        json.push('}');
        text_frame(&json)
    }

    pub(crate) fn pong(id: Option<&str>) -> Vec<u8> {
        text_frame(&(opening("cast:pong", id, None) + "}"))
    }

    pub(crate) fn error(
        code: ErrorCode,
        message: &str,
        id: Option<&str>,
        room: Option<&RoomName>,
    ) -> Vec<u8> {
        let mut json = opening("cast:error", id, room);
        let _ = write!(json, r#","data":{{"code":"{}","message":"#, code.as_str());
        push_string(&mut json, message);
        json.push_str("}}");
        text_frame(&json)
    }

    /// Exactly the offsets `from..=to` were skipped.
    pub(crate) fn gap(room: &RoomName, from: u64, to: u64) -> Vec<u8> {
        let mut json = opening("cast:gap", None, Some(room));
        let _ = write!(json, r#","data":{{"from":{from},"to":{to},"reason":"slow"}}}}"#);
        text_frame(&json)
    }
}

/// The text frame `{"event": …, "data": …}` for one connection.
pub fn event_frame(publication: &Publication<'_>) -> Vec<u8> {
    let mut json = String::with_capacity(publication.event.len() + publication.data.len() + 24);
    push_event(&mut json, publication);
    json.push('}');
    text_frame(&json)
}

/// The same with the id of the message that it answers, as its client wrote it.
pub fn reply_frame(publication: &Publication<'_>, id: Option<&str>) -> Vec<u8> {
    let mut json = String::with_capacity(publication.event.len() + publication.data.len() + 64);
    push_event(&mut json, publication);
    if let Some(id) = id {
        json.push_str(r#","id":"#);
        json.push_str(id);
    }
    json.push('}');
    text_frame(&json)
}

/// A room's message, encoded but for its offset, which only the home shard knows.
///
/// It is built on the publisher's shard, so that a home's work does not grow with the messages'
/// size beyond one copy.
#[derive(Debug)]
pub struct Unnumbered(Form);

#[derive(Debug)]
enum Form {
    /// An envelope but for its offset and its closing brace.
    Open(String),
    /// A frame in a format of the program's own, which shows no offset.
    Whole(Vec<u8>),
}

impl Unnumbered {
    /// Encodes a message for `room`; for the room of everybody without room and offset.
    pub fn new(publication: &Publication<'_>, room: &RoomName) -> Unnumbered {
        let bytes = publication.event.len() + publication.data.len() + room.as_str().len() + 64;
        let mut json = String::with_capacity(bytes);
        push_event(&mut json, publication);
        if !room.is_everybody() {
            json.push_str(r#","room":"#);
            push_string(&mut json, room.as_str());
        }
        Unnumbered(Form::Open(json))
    }

    /// A message in the program's own format, carried as it is.
    pub fn verbatim(opcode: Opcode, payload: &[u8]) -> Unnumbered {
        let mut frame = Vec::with_capacity(FRAME_HEADER_MAX + payload.len());
        push_frame(&mut frame, opcode, payload);
        Unnumbered(Form::Whole(frame))
    }

    /// Bytes that this message takes on a ring, for its byte limit.
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            Form::Open(json) => json.len(),
            Form::Whole(frame) => frame.len(),
        }
    }

    /// The finished frame: from here on its bytes never change.
    pub(crate) fn number(self, offset: Option<u64>) -> Arc<[u8]> {
        let mut json = match self.0 {
            Form::Open(json) => json,
            Form::Whole(frame) => return Arc::from(frame),
        };
        if let Some(offset) = offset {
            let _ = write!(json, r#","offset":{offset}"#);
        }
        json.push('}');
        Arc::from(text_frame(&json))
    }
}

fn push_event(json: &mut String, publication: &Publication<'_>) {
    json.push_str(r#"{"event":"#);
    push_string(json, &publication.event);
    json.push_str(r#","data":"#);
    json.push_str(publication.data);
}

fn opening(event: &str, id: Option<&str>, room: Option<&RoomName>) -> String {
    let mut json = format!(r#"{{"event":"{event}""#);
    if let Some(room) = room {
        json.push_str(r#","room":"#);
        push_string(&mut json, room.as_str());
    }
    if let Some(id) = id {
        json.push_str(r#","id":"#);
        json.push_str(id);
    }
    json
}

fn push_string(json: &mut String, text: &str) {
    let plain = |b: u8| b >= 0x20 && b != b'"' && b != b'\\';
    if text.bytes().all(plain) {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&serde_json::to_string(text).expect("text always has a JSON form"));
    }
}

fn text_frame(json: &str) -> Vec<u8> {
    let (header, used) = frame_header(Opcode::Text, json.len());
    let mut frame = Vec::with_capacity(FRAME_HEADER_MAX + json.len());
    frame.extend_from_slice(&header[..used]);
    frame.extend_from_slice(json.as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::Epoch;

    fn json_of(frame: &[u8]) -> &str {
        let header = if frame[1] < 126 { 2 } else { 4 };
        std::str::from_utf8(&frame[header..]).expect("a text frame")
    }

    #[test]
    fn replies_look_like_the_protocol_page() {
        let connection = ConnId { shard: ShardId::new(1), slot: 2, generation: 3 };
        let welcome =
            Welcome { connection, shard: ShardId::new(1), shards: 2, ping_interval_secs: 25.0 };
        assert_eq!(
            json_of(&Reply::welcome(&welcome)),
            r#"{"event":"cast:welcome","data":{"connection":"00010000000200000003","protocol":1,"shard":1,"shards":2,"ping_interval":25}}"#
        );
        let room = RoomName::new("a\"b").expect("legal");
        let epoch = Epoch::new(1, ShardId::new(0), 1);
        let joined = Joined { epoch, offset: 41, members: 3, recovered: Some(true) };
        assert_eq!(
            json_of(&Reply::joined(&room, Some("1"), &joined)),
            format!(
                r#"{{"event":"cast:joined","room":"a\"b","id":1,"data":{{"epoch":"{epoch}","offset":41,"members":3,"recovered":true}}}}"#
            )
        );
        assert_eq!(
            json_of(&Reply::left(&room, None, 57)),
            r#"{"event":"cast:left","room":"a\"b","data":{"offset":57}}"#
        );
        assert_eq!(
            json_of(&Reply::ack("\"x\"", Some(42))),
            r#"{"event":"cast:ack","id":"x","data":{"offset":42}}"#
        );
        assert_eq!(json_of(&Reply::ack("4", None)), r#"{"event":"cast:ack","id":4}"#);
        assert_eq!(json_of(&Reply::pong(Some("6"))), r#"{"event":"cast:pong","id":6}"#);
        assert_eq!(
            json_of(&Reply::gap(&room, 50, 61)),
            r#"{"event":"cast:gap","room":"a\"b","data":{"from":50,"to":61,"reason":"slow"}}"#
        );
        assert_eq!(
            json_of(&Reply::error(ErrorCode::NotAMember, "no \"x\"", Some("3"), Some(&room))),
            r#"{"event":"cast:error","room":"a\"b","id":3,"data":{"code":"not_a_member","message":"no \"x\""}}"#
        );
    }

    #[test]
    fn a_message_gets_its_offset_at_home() {
        let publication =
            Publication::parse(r#"{"event":"c\u0068at","data":{"t": 1}}"#).expect("legal");
        let room = RoomName::new("lobby").expect("legal");
        let frame = Unnumbered::new(&publication, &room).number(Some(42));
        let expected = r#"{"event":"chat","data":{"t": 1},"room":"lobby","offset":42}"#;
        assert_eq!(json_of(&frame), expected);
        let frame = Unnumbered::new(&publication, &RoomName::everybody()).number(None);
        assert_eq!(json_of(&frame), r#"{"event":"chat","data":{"t": 1}}"#);
        assert_eq!(json_of(&event_frame(&publication)), r#"{"event":"chat","data":{"t": 1}}"#);
        assert_eq!(
            json_of(&reply_frame(&publication, Some(r#""\u0061""#))),
            r#"{"event":"chat","data":{"t": 1},"id":"\u0061"}"#
        );
        assert_eq!(reply_frame(&publication, None), event_frame(&publication));
    }
}
