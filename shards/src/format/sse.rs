//! Server-Sent Events (WHATWG HTML, "Server-sent events"), each one chunk of an HTTP/1.1 response
//! (RFC 9112 section 7.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::event_id::{self, Place, push_position};
use super::fact::{Fact, Joined};
use super::message::Content;
use super::{Placed, RoomMessage, json};
use crate::epoch::Epoch;
use crate::history::Kept;
use crate::recovery::{Recovery, Unrecovered};
use crate::room_name::RoomName;

/// The digits of a chunk's length and its line break, for any length.
const CHUNK_HEADER_MAX: usize = 2 * size_of::<usize>() + CRLF.len();

/// The chunk that ends a response.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What a response begins with.
const HEAD_PREFIX: &[u8] = b"HTTP/";

/// What its head ends with (RFC 9112 section 2.1).
const HEAD_END: &[u8] = b"\r\n\r\n";

const CRLF: &[u8] = b"\r\n";

/// See [`Format::push_reply`](super::Format::push_reply). A stream has no commands, so that what
/// answers one is not said.
pub(super) fn push_reply(fact: &Fact<'_>, scope: Scope, out: &mut Vec<u8>) {
    match *fact {
        Fact::Joined { room, joined, .. } => push_begin(room, joined, scope, out),
        Fact::Gap { epoch, to, .. } => {
            let mut event = b"event: cast:gap\n".to_vec();
            if let Some(epoch) = epoch {
                push_id(epoch, to, &mut event);
            }
            event.extend_from_slice(DATA);
            json::push_fact(&mut event, fact);
            event.extend_from_slice(b"\n\n");
            push_chunk(out, &event);
        }
        Fact::Ping => push_chunk(out, b": ping\n\n"),
        Fact::Close { reason, .. } => {
            let mut comment = Vec::new();
            push_lines(&mut comment, b": ", reason.as_bytes());
            comment.push(b'\n');
            push_chunk(out, &comment);
            out.extend_from_slice(LAST_CHUNK);
        }
        Fact::Welcome(_)
        | Fact::Presence { .. }
        | Fact::Left { .. }
        | Fact::Refreshed { .. }
        | Fact::Ack { .. }
        | Fact::Error(_)
        | Fact::Pong { .. }
        | Fact::Echo(_) => {}
    }
}

/// Which rooms a stream is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// One: each message's event has the message's position as its id.
    Room,
    /// Several: the events of messages are shared and have no id, since one that names the positions
    /// in all rooms of a stream is the stream's own. It is that of an event which follows them.
    Rooms,
}

/// Appends what a stream begins with: where it is, for clients that do not know, so that one which is
/// cut before its first message goes on from there; and that what it missed is not sent.
fn push_begin(room: &RoomName, joined: &Joined, scope: Scope, out: &mut Vec<u8>) {
    match joined.recovery {
        Some(Recovery::Complete) => {}
        Some(Recovery::Refused(reason)) => push_unrecovered(room, reason, joined, scope, out),
        None if scope == Scope::Rooms => {}
        None => push_at(out, |out| push_position(joined.epoch, joined.offset, out)),
    }
}

/// Appends where a stream of several rooms is in each of them.
pub(super) fn push_positions(places: impl Iterator<Item = Place>, out: &mut Vec<u8>) {
    push_at(out, |out| event_id::push_positions(places, out));
}

/// Appends an event that has an id and nothing else.
fn push_at(out: &mut Vec<u8>, push_id: impl FnOnce(&mut Vec<u8>)) {
    let mut event = b"event: cast:at\nid: ".to_vec();
    push_id(&mut event);
    // Without data the event would be dropped by some clients, and its id with it.
    event.extend_from_slice(b"\ndata:\n\n");
    push_chunk(out, &event);
}

fn push_unrecovered(
    room: &RoomName,
    reason: Unrecovered,
    joined: &Joined,
    scope: Scope,
    out: &mut Vec<u8>,
) {
    let mut event = b"event: cast:unrecovered\n".to_vec();
    if scope == Scope::Room {
        push_id(joined.epoch, joined.offset, &mut event);
    }
    event.extend_from_slice(DATA);
    json::push_unrecovered(&mut event, room, reason);
    event.extend_from_slice(b"\n\n");
    push_chunk(out, &event);
}

/// The id of the last message of which the client now knows, or that it does not get.
fn push_id(epoch: Epoch, offset: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"id: ");
    push_position(epoch, offset, out);
    out.push(b'\n');
}

/// See [`Encoding::push_message`](super::Encoding::push_message).
pub(super) fn push_message(
    message: &RoomMessage,
    placed: &Placed<'_>,
    scope: Scope,
    out: &mut Vec<u8>,
) -> usize {
    push_event((placed.epoch, placed.offset), scope, out, |out| match message.content() {
        Content::Event { json: event, data_from } => {
            let (event, data) = event.split_at(*data_from);
            push_json(out, event, data, placed);
        }
        Content::Text(text) => push_lines(out, DATA, text.as_bytes()),
        Content::Binary(bytes) => push_binary(out, bytes),
    })
}

/// Appends the event of a message, whose name and data `push_body` appends. Returns where it begins.
fn push_event(
    (epoch, offset): (Epoch, u64),
    scope: Scope,
    out: &mut Vec<u8>,
    push_body: impl FnOnce(&mut Vec<u8>),
) -> usize {
    let payload_from = out.len() + CHUNK_HEADER_MAX;
    out.resize(payload_from, 0);
    if scope == Scope::Room {
        push_id(epoch, offset, out);
    }
    push_body(out);
    out.push(b'\n');
    let (header, used) = chunk_header(out.len() - payload_from);
    let from = payload_from - used;
    out[from..payload_from].copy_from_slice(&header[CHUNK_HEADER_MAX - used..]);
    out.extend_from_slice(CRLF);
    from
}

/// Appends the event of a message that a room's history keeps: the same as its members got.
pub(super) fn push_kept_event(epoch: Epoch, kept: Kept<'_>, scope: Scope, out: &mut Vec<u8>) {
    let (mut event, is_text) = (Vec::new(), kept.is_text);
    let from = push_event((epoch, kept.offset), scope, &mut event, |out| match is_text {
        true => push_lines(out, DATA, kept.payload),
        false => push_binary(out, kept.payload),
    });
    out.extend_from_slice(&event[from..]);
}

const DATA: &[u8] = b"data: ";

/// Appends bytes in base64, which is what an event can carry, under a name of their own.
fn push_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b"event: binary\n");
    out.extend_from_slice(DATA);
    out.extend_from_slice(BASE64.encode(bytes).as_bytes());
    out.push(b'\n');
}

/// Appends an event's JSON as data. Only the publisher's own data can have raw line breaks, between
/// two tokens.
fn push_json(out: &mut Vec<u8>, event: &[u8], data: &[u8], placed: &Placed<'_>) {
    let from = out.len();
    out.extend_from_slice(DATA);
    json::push_event(out, event, data, placed);
    if out[from..].iter().any(|byte| is_line_break(*byte)) {
        let text = out.split_off(from + DATA.len());
        out.truncate(from);
        push_lines(out, DATA, &text);
    } else {
        out.push(b'\n');
    }
}

/// Appends each line of a text after the name of this field, empty ones too. Lines end with CRLF, LF
/// or CR, as they do for readers of events.
fn push_lines(out: &mut Vec<u8>, field: &[u8], text: &[u8]) {
    let mut rest = Some(text);
    while let Some(text) = rest {
        let end = text.iter().position(|byte| is_line_break(*byte)).unwrap_or(text.len());
        out.extend_from_slice(field);
        out.extend_from_slice(&text[..end]);
        out.push(b'\n');
        rest = match &text[end..] {
            [] => None,
            [b'\r', b'\n', next @ ..] | [_, next @ ..] => Some(next),
        };
    }
}

fn is_line_break(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// Appends one chunk.
pub(super) fn push_chunk(out: &mut Vec<u8>, payload: &[u8]) {
    let (header, used) = chunk_header(payload.len());
    out.extend_from_slice(&header[CHUNK_HEADER_MAX - used..]);
    out.extend_from_slice(payload);
    out.extend_from_slice(CRLF);
}

/// A chunk's length in hexadecimal digits and its line break: how many bytes at the end of the array.
fn chunk_header(payload_len: usize) -> ([u8; CHUNK_HEADER_MAX], usize) {
    debug_assert!(payload_len > 0, "an empty chunk ends the response");
    let mut header = [0; CHUNK_HEADER_MAX];
    let mut from = CHUNK_HEADER_MAX - CRLF.len();
    header[from..].copy_from_slice(CRLF);
    let mut rest = payload_len;
    while rest > 0 {
        from -= 1;
        header[from] = b"0123456789abcdef"[rest & 0xf];
        rest >>= 4;
    }
    (header, CHUNK_HEADER_MAX - from)
}

/// The length of the response's head that these bytes begin with, up to its empty line; 0 when they
/// begin with a chunk.
pub(super) fn head_len(bytes: &[u8]) -> usize {
    if !bytes.starts_with(HEAD_PREFIX) {
        return 0;
    }
    let end = bytes.windows(HEAD_END.len()).position(|window| window == HEAD_END);
    end.expect("a head is queued whole") + HEAD_END.len()
}

/// The length of what these bytes begin with: a response's head or a chunk with its line breaks;
/// none while it is not known.
pub(super) fn frame_len(bytes: &[u8]) -> Option<usize> {
    if let head @ 1.. = head_len(bytes) {
        return Some(head);
    }
    let digits = bytes.iter().position(|byte| *byte == b'\r')?;
    let len = std::str::from_utf8(&bytes[..digits]).ok()?;
    let len = usize::from_str_radix(len, 16).ok()?;
    Some(digits + CRLF.len() + len + CRLF.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::Publication;
    use crate::epoch::Epoch;
    use crate::id::ShardId;
    use crate::limits::LINE_BREAK_BYTES;
    use crate::room_name::RoomName;

    fn encoded(message: &RoomMessage) -> Vec<u8> {
        encoded_for(Scope::Room, message)
    }

    fn encoded_for(scope: Scope, message: &RoomMessage) -> Vec<u8> {
        let room = RoomName::new("r").expect("legal");
        let placed = Placed { room: &room, epoch: Epoch::new(1, ShardId::new(0), 1), offset: 7 };
        let mut out = b"what was there before".to_vec();
        let from = push_message(message, &placed, scope, &mut out);
        out.split_off(from)
    }

    /// The payload of one whole chunk.
    fn payload(chunk: &[u8]) -> &[u8] {
        assert_eq!(frame_len(chunk), Some(chunk.len()), "one whole chunk");
        let from = chunk.iter().position(|byte| *byte == b'\n').expect("a length") + 1;
        &chunk[from..chunk.len() - CRLF.len()]
    }

    /// What follows the id of a message's event, which is the whole event in a stream of several rooms.
    fn fields(message: &RoomMessage) -> String {
        let (of_one, of_several) = (encoded(message), encoded_for(Scope::Rooms, message));
        let [of_one, of_several] =
            [&of_one, &of_several].map(|chunk| str::from_utf8(payload(chunk)).expect("text"));
        let id = format!("id: {}-7\n", Epoch::new(1, ShardId::new(0), 1));
        let fields = of_one.strip_prefix(&*id).expect("an id comes first");
        assert_eq!(of_several, fields, "without an id it is the same");
        fields.to_owned()
    }

    #[test]
    fn every_line_break_begins_a_line_of_data() {
        let rows = [
            ("", "data: \n\n"),
            ("a", "data: a\n\n"),
            (" a", "data:  a\n\n"),
            ("a\nb", "data: a\ndata: b\n\n"),
            ("a\r\nb", "data: a\ndata: b\n\n"),
            ("a\rb", "data: a\ndata: b\n\n"),
            ("a\n\rb", "data: a\ndata: \ndata: b\n\n"),
            ("\n", "data: \ndata: \n\n"),
            ("\r\n\r\n", "data: \ndata: \ndata: \n\n"),
            ("a\r\n", "data: a\ndata: \n\n"),
            ("id: x\nevent: y\n\n: z", "data: id: x\ndata: event: y\ndata: \ndata: : z\n\n"),
            ("\u{2028}\u{2029}\u{85}\u{feff}\0", "data: \u{2028}\u{2029}\u{85}\u{feff}\0\n\n"),
        ];
        for (text, expected) in rows {
            assert_eq!(fields(&RoomMessage::text(text)), expected, "{text:?}");
        }
    }

    #[test]
    fn nothing_in_a_message_grows_as_much_as_a_line_break() {
        let empty = encoded(&RoomMessage::text("")).len();
        let growth = |message: &RoomMessage| encoded(message).len() - empty;
        let breaks = RoomMessage::text(&"\n".repeat(15));
        assert_eq!(growth(&breaks), 15 * LINE_BREAK_BYTES);
        let others = ["\r".repeat(1_000), "\r\n".repeat(500), "x".repeat(1_000)];
        let others = others.iter().map(|text| RoomMessage::text(text));
        for message in others.chain([RoomMessage::binary(&[0; 1_000])]) {
            // The length of the chunk has a few digits more.
            assert!(growth(&message) <= 1_000 * LINE_BREAK_BYTES + 4, "{}", growth(&message));
        }
    }

    #[test]
    fn an_event_is_the_same_json_as_over_a_websocket_in_lines() {
        let rows = [
            ("1", "data: {\"event\":\"m\",\"data\":1,\"room\":\"r\",\"offset\":7}\n\n"),
            (
                "[1,\r\n2]",
                "data: {\"event\":\"m\",\"data\":[1,\ndata: 2],\"room\":\"r\",\"offset\":7}\n\n",
            ),
            (
                "\"\\n\u{2028}\"",
                "data: {\"event\":\"m\",\"data\":\"\\n\u{2028}\",\"room\":\"r\",\"offset\":7}\n\n",
            ),
        ];
        for (data, expected) in rows {
            let publication = Publication { event: "m".into(), data, echo: true, key: None };
            assert_eq!(fields(&RoomMessage::event(&publication)), expected, "{data:?}");
        }
        let hostile =
            Publication { event: "a\nid: 9\r\n\"".into(), data: "null", echo: true, key: None };
        let expected = "data: {\"event\":\"a\\nid: 9\\r\\n\\\"\",\"data\":null,\"room\":\"r\",\"offset\":7}\n\n";
        assert_eq!(fields(&RoomMessage::event(&hostile)), expected);
    }

    #[test]
    fn binary_messages_are_base64() {
        let rows: [(&[u8], &str); 4] =
            [(b"", ""), (b"\n", "Cg=="), (b"\xff\x00", "/wA="), (b"\r\n\r", "DQoN")];
        for (bytes, base64) in rows {
            let expected = format!("event: binary\ndata: {base64}\n\n");
            assert_eq!(fields(&RoomMessage::binary(bytes)), expected, "{bytes:?}");
        }
    }

    #[test]
    fn a_chunk_of_any_length_tells_it_shortly() {
        for len in [1, 9, 15, 16, 255, 256, 4_095, 65_536, 1 << 20] {
            let mut chunk = Vec::new();
            push_chunk(&mut chunk, &vec![b'x'; len]);
            assert!(chunk.starts_with(format!("{len:x}\r\nx").as_bytes()), "{len}");
            assert_eq!(payload(&chunk), vec![b'x'; len], "{len}");
            let huge = RoomMessage::text(&"x".repeat(len));
            assert_eq!(fields(&huge).len(), "data: \n\n".len() + len);
        }
    }

    #[test]
    fn a_stream_begins_with_where_it_is_unless_its_client_knows() {
        let room = RoomName::new("r\"").expect("legal");
        let epoch = Epoch::new(1, ShardId::new(0), 1);
        let at = format!("event: cast:at\nid: {epoch}-41\ndata:\n\n");
        let refused = Some(Recovery::Refused(Unrecovered::TooOld));
        let unrecovered = format!(
            "event: cast:unrecovered\nid: {epoch}-41\n\
             data: {{\"event\":\"cast:unrecovered\",\"room\":\"r\\\"\",\
             \"data\":{{\"reason\":\"too_old\"}}}}\n\n"
        );
        for (recovery, expected) in
            [(None, &at), (refused, &unrecovered), (Some(Recovery::Complete), &String::new())]
        {
            let joined = Joined { epoch, offset: 41, members: 1, recovery };
            let [of_one, of_several] = [Scope::Room, Scope::Rooms].map(|scope| {
                let (mut out, fact) = (
                    Vec::new(),
                    Fact::Joined { room: &room, id: None, joined: &joined, presence: None },
                );
                push_reply(&fact, scope, &mut out);
                if out.is_empty() { out } else { payload(&out).to_vec() }
            });
            assert_eq!(str::from_utf8(&of_one), Ok(&**expected), "{recovery:?}");
            // That of several rooms says where it is behind what it begins with.
            let without_id = match recovery {
                None => String::new(),
                Some(_) => expected.replace(&format!("id: {epoch}-41\n"), ""),
            };
            assert_eq!(str::from_utf8(&of_several), Ok(&*without_id), "{recovery:?}");
        }
    }

    #[test]
    fn the_end_is_a_comment_and_the_last_chunk() {
        let rows = [
            ("slow retry=700", ": slow retry=700\n\n"),
            ("", ": \n\n"),
            ("bye\r\n\r\ndata: x", ": bye\n: \n: data: x\n\n"),
        ];
        for (reason, expected) in rows {
            let mut out = Vec::new();
            push_reply(&Fact::Close { code: 1013, reason }, Scope::Room, &mut out);
            let comment = out.strip_suffix(LAST_CHUNK).expect("the response ends");
            assert_eq!(payload(comment), expected.as_bytes(), "{reason:?}");
        }
    }

    #[test]
    fn the_length_of_a_frame_is_known_or_not() {
        let head = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        assert_eq!(frame_len(&[&head[..], b"5\r\nhello\r\n"].concat()), Some(head.len()));
        assert_eq!(frame_len(b"5\r\nhel"), Some(10));
        assert_eq!(frame_len(LAST_CHUNK), Some(LAST_CHUNK.len()));
        for unknown in [&b""[..], b"1", b"1f"] {
            assert_eq!(frame_len(unknown), None, "{unknown:?}");
        }
    }
}
