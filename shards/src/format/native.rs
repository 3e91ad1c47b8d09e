//! WebSocket messages with our envelope.

use super::fact::Fact;
use super::message::Content;
use super::{Placed, RoomMessage, json};
use crate::envelope::Publication;
use crate::room_name::RoomName;
use crate::wire::{FRAME_HEADER_MAX, Opcode, frame_header, push_close, push_frame};

/// See [`Format::push_reply`](super::Format::push_reply).
pub(super) fn push_reply(fact: &Fact<'_>, out: &mut Vec<u8>) {
    match *fact {
        Fact::Echo(payload) => push_frame(out, Opcode::Pong, payload),
        Fact::Ping => push_frame(out, Opcode::Ping, b""),
        Fact::Close { code, reason } => push_close(out, code, reason),
        _ => {
            let mut text = Vec::new();
            json::push_fact(&mut text, fact);
            push_frame(out, Opcode::Text, &text);
        }
    }
}

/// See [`Encoding::push_message`](super::Encoding::push_message).
pub(super) fn push_message(message: &RoomMessage, placed: &Placed<'_>, out: &mut Vec<u8>) -> usize {
    let header_from = out.len();
    let payload_from = header_from + FRAME_HEADER_MAX;
    out.resize(payload_from, 0);
    let opcode = match message.content() {
        Content::Event { json: event, data_from } => {
            let (event, data) = event.split_at(*data_from);
            json::push_event(out, event, data, placed);
            Opcode::Text
        }
        Content::Text(text) => {
            out.extend_from_slice(text.as_bytes());
            Opcode::Text
        }
        Content::Binary(bytes) => {
            out.extend_from_slice(bytes);
            Opcode::Binary
        }
    };
    let (header, used) = frame_header(opcode, out.len() - payload_from);
    let from = payload_from - used;
    out[from..payload_from].copy_from_slice(&header[..used]);
    from
}

/// The text frame `{"event": …, "data": …}` for one connection.
pub fn event_frame(publication: &Publication<'_>) -> Vec<u8> {
    reply_frame(publication, None)
}

/// The same with the id of the message that it answers, as its client wrote it.
pub fn reply_frame(publication: &Publication<'_>, id: Option<&str>) -> Vec<u8> {
    let mut text = Vec::with_capacity(publication.event.len() + publication.data.len() + 64);
    json::push_emit(&mut text, publication, id);
    let mut frame = Vec::with_capacity(FRAME_HEADER_MAX + text.len());
    push_frame(&mut frame, Opcode::Text, &text);
    frame
}

/// The text with which a client joins a room, without an id and from now on.
pub(crate) fn push_join(text: &mut Vec<u8>, room: &RoomName) {
    json::push_opening(text, "cast:join", None, Some(room));
    text.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::ErrorCode;
    use crate::epoch::Epoch;
    use crate::format::fact::{GapReason, Joined, Numbered, Refusal, Welcome};
    use crate::id::{ConnId, ShardId};
    use crate::recovery::Recovery;
    use crate::room_name::RoomName;
    use crate::wire::server_frame_len;

    fn payload_of(frame: &[u8]) -> &str {
        assert_eq!(server_frame_len(frame), Some(frame.len()), "one whole frame");
        assert_eq!(frame[0], 0x81, "a text frame");
        let header = if frame[1] < 126 { 2 } else { 4 };
        std::str::from_utf8(&frame[header..]).expect("text")
    }

    fn check(fact: &Fact<'_>, expected: &str) {
        let mut frame = Vec::new();
        push_reply(fact, &mut frame);
        assert_eq!(payload_of(&frame), expected);
    }

    #[test]
    fn replies_look_like_the_protocol_page() {
        let connection = ConnId { shard: ShardId::new(1), slot: 2, generation: 3 };
        let welcome =
            Welcome { connection, shard: ShardId::new(1), shards: 2, ping_interval_secs: 25.0 };
        check(
            &Fact::Welcome(welcome),
            r#"{"event":"cast:welcome","data":{"connection":"00010000000200000003","protocol":1,"shard":1,"shards":2,"ping_interval":25}}"#,
        );
        let room = &RoomName::new("a\"b").expect("legal");
        let epoch = Epoch::new(1, ShardId::new(0), 1);
        let joined = Joined { epoch, offset: 41, members: 3, recovery: Some(Recovery::Complete) };
        check(
            &Fact::Joined { room, id: Some("1"), joined: &joined, presence: None },
            &format!(
                r#"{{"event":"cast:joined","room":"a\"b","id":1,"data":{{"epoch":"{epoch}","offset":41,"members":3,"recovered":true}}}}"#
            ),
        );
        check(
            &Fact::Left { room, id: None, offset: 57, is_forbidden: false },
            r#"{"event":"cast:left","room":"a\"b","data":{"offset":57}}"#,
        );
        check(
            &Fact::Left { room, id: None, offset: 57, is_forbidden: true },
            r#"{"event":"cast:left","room":"a\"b","data":{"offset":57,"reason":"forbidden"}}"#,
        );
        for (expires, text) in [
            (None, "null"),
            (Some(1_800_000_000_000), "1800000000"),
            (Some(1_800_000_000_050), "1800000000.050"),
            (Some(u64::MAX), "18446744073709551.615"),
        ] {
            check(
                &Fact::Refreshed { id: Some("6"), expires },
                &format!(r#"{{"event":"cast:refreshed","id":6,"data":{{"expires":{text}}}}}"#),
            );
        }
        check(
            &Fact::Ack { id: "\"x\"", numbered: Some(Numbered { offset: 42, repeated: false }) },
            r#"{"event":"cast:ack","id":"x","data":{"offset":42}}"#,
        );
        check(
            &Fact::Ack { id: "5", numbered: Some(Numbered { offset: 7, repeated: true }) },
            r#"{"event":"cast:ack","id":5,"data":{"offset":7,"repeated":true}}"#,
        );
        check(&Fact::Ack { id: "4", numbered: None }, r#"{"event":"cast:ack","id":4}"#);
        check(&Fact::Pong { id: Some("6") }, r#"{"event":"cast:pong","id":6}"#);
        check(
            &Fact::Gap { room, epoch: None, from: 50, to: 61, reason: GapReason::Slow },
            r#"{"event":"cast:gap","room":"a\"b","data":{"from":50,"to":61,"reason":"slow"}}"#,
        );
        check(
            &Fact::Gap { room, epoch: None, from: 50, to: 50, reason: GapReason::Latest },
            r#"{"event":"cast:gap","room":"a\"b","data":{"from":50,"to":50,"reason":"latest"}}"#,
        );
        let refusal = Refusal {
            code: ErrorCode::NotAMember,
            message: "no \"x\"".into(),
            id: Some("3".into()),
            room: Some(room.clone()),
        };
        check(
            &Fact::Error(&refusal),
            r#"{"event":"cast:error","room":"a\"b","id":3,"data":{"code":"not_a_member","message":"no \"x\""}}"#,
        );
    }

    #[test]
    fn control_frames_are_the_transports_own() {
        let rows: [(Fact<'_>, &[u8]); 3] = [
            (Fact::Echo(b"hi"), b"\x8a\x02hi"),
            (Fact::Ping, b"\x89\x00"),
            (Fact::Close { code: 1013, reason: "slow" }, b"\x88\x06\x03\xf5slow"),
        ];
        for (fact, expected) in rows {
            let mut frame = Vec::new();
            push_reply(&fact, &mut frame);
            assert_eq!(frame, expected, "{fact:?}");
        }
    }

    fn encoded(message: &RoomMessage, room: &RoomName, offset: u64) -> Vec<u8> {
        let placed = Placed { room, epoch: Epoch::new(1, ShardId::new(0), 1), offset };
        let mut out = b"what stood there before".to_vec();
        let from = push_message(message, &placed, &mut out);
        out.split_off(from)
    }

    #[test]
    fn a_message_gets_its_offset_at_home() {
        let publication =
            Publication::parse(r#"{"event":"c\u0068at","data":{"t": 1}}"#).expect("legal");
        let message = RoomMessage::event(&publication);
        let frame = encoded(&message, &RoomName::new("lobby").expect("legal"), 42);
        let expected = r#"{"event":"chat","data":{"t": 1},"room":"lobby","offset":42}"#;
        assert_eq!(payload_of(&frame), expected);
        let frame = encoded(&message, &RoomName::everybody(), 7);
        assert_eq!(payload_of(&frame), r#"{"event":"chat","data":{"t": 1}}"#);
        assert_eq!(payload_of(&event_frame(&publication)), r#"{"event":"chat","data":{"t": 1}}"#);
        assert_eq!(
            payload_of(&reply_frame(&publication, Some(r#""\u0061""#))),
            r#"{"event":"chat","data":{"t": 1},"id":"\u0061"}"#
        );
    }

    #[test]
    fn data_and_verbatim_messages_are_carried_byte_for_byte() {
        let room = RoomName::new("r").expect("legal");
        for len in [0, 1, 60, 125, 126, 65_535, 65_536] {
            for (message, opcode) in [
                (RoomMessage::text(&"\r\n\u{2028}x".repeat(len)), Opcode::Text),
                (RoomMessage::binary(&b"\0\xff\r\n\x81\x7e".repeat(len)), Opcode::Binary),
            ] {
                let mut expected = Vec::new();
                let payload = match message.content() {
                    Content::Text(text) => text.as_bytes(),
                    Content::Binary(bytes) => bytes,
                    Content::Event { .. } => unreachable!("it is verbatim"),
                };
                push_frame(&mut expected, opcode, payload);
                assert_eq!(encoded(&message, &room, 3), expected, "{len}");
            }
        }
        let data = "[\r\n1,\n\r\"\u{2028}\\r\"]";
        let message =
            RoomMessage::event(&Publication { event: "a\"\n".into(), data, echo: true, key: None });
        let expected = format!(
            r#"{{"event":"a\"\n","data":{data},"room":"r","offset":18446744073709551615}}"#
        );
        assert_eq!(payload_of(&encoded(&message, &room, u64::MAX)), expected);
    }
}
