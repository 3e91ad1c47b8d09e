//! Proves that commands sent without waiting, even in one segment, take effect in the order sent.

use crate::support::{Client, Envelope, Raw, Server, frames};
use serde_json::json;

/// One write with all these commands, each in its own frame, under the ids 0, 1, 2, …
fn send_all(raw: &mut Raw, commands: &[String]) {
    let with_ids = commands
        .iter()
        .enumerate()
        .map(|(id, members)| frames::text(&format!("{{{members},\"id\":{id}}}")));
    raw.write(&with_ids.collect::<Vec<_>>().concat());
}

#[test]
fn one_segment_of_commands_for_one_room_is_answered_in_order() {
    let server = Server::start(&[]);
    // On whichever shard the room's home is, one of the two connections is elsewhere.
    for room in ["a", "b", "c", "d"] {
        let mut raw = Raw::open(&server);
        let publish = |echo: bool| {
            let data = format!(r#"{{"event":"chat","echo":{echo}}}"#);
            format!(r#""event":"cast:publish","room":"{room}","data":{data}"#)
        };
        let join = format!(r#""event":"cast:join","room":"{room}""#);
        let leave = format!(r#""event":"cast:leave","room":"{room}""#);
        let commands = [
            leave.clone(),
            join.clone(),
            publish(true),
            publish(false),
            publish(true),
            leave.clone(),
            publish(true),
            join,
            publish(true),
            leave.clone(),
            leave,
        ];
        send_all(&mut raw, &commands);
        let replies: Vec<Envelope> = (0..commands.len() + 3).map(|_| raw.envelope()).collect();
        check_story(&replies);
    }
}

/// The replies to the commands above, with the three messages that the member must get.
fn check_story(replies: &[Envelope]) {
    let story = [
        ("cast:error", None),
        ("cast:joined", Some(0)),
        ("cast:ack", Some(1)),
        ("cast:ack", Some(2)),
        ("cast:ack", Some(3)),
        ("cast:left", Some(3)),
        ("cast:ack", Some(4)),
        ("cast:joined", Some(4)),
        ("cast:ack", Some(5)),
        ("cast:left", Some(5)),
        ("cast:error", None),
    ];
    let answers: Vec<&Envelope> = replies.iter().filter(|reply| reply.has("id")).collect();
    assert_eq!(answers.len(), story.len(), "in {replies:?}");
    for (id, (answer, (event, offset))) in answers.iter().zip(story).enumerate() {
        assert_eq!((answer.value("id"), answer.event()), (json!(id), event.to_owned()));
        if let Some(offset) = offset {
            assert_eq!(answer.data_number("offset"), offset, "in {answer:?}");
        }
    }
    // The messages stand between the answers to the join and to the leave around them.
    let place = |id: usize| replies.iter().position(|reply| reply.value("id") == json!(id));
    let messages = replies.iter().enumerate().filter(|(_, reply)| reply.event() == "chat");
    let places: Vec<(usize, u64)> = messages.map(|(at, reply)| (at, reply.offset())).collect();
    let offsets: Vec<u64> = places.iter().map(|(_, offset)| *offset).collect();
    assert_eq!(offsets, [1, 3, 5], "in {replies:?}");
    for ((at, offset), (join, leave)) in places.iter().zip([(1, 5), (1, 5), (7, 9)]) {
        assert!(place(join) < Some(*at) && Some(*at) < place(leave), "{offset} in {replies:?}");
    }
}

#[test]
fn a_thousand_commands_in_one_write_are_all_answered() {
    let server = Server::start(&[]);
    let mut raw = Raw::open(&server);
    let commands: Vec<String> = (0..1000)
        .map(|n| match n % 4 {
            0 => r#""event":"cast:join","room":"r""#.to_owned(),
            1 | 2 => r#""event":"cast:publish","room":"r","data":{"event":"chat"}"#.to_owned(),
            _ => r#""event":"cast:leave","room":"r""#.to_owned(),
        })
        .collect();
    send_all(&mut raw, &commands);
    let (mut answered, mut next) = (0, 1);
    while answered < commands.len() {
        let envelope = raw.envelope();
        if envelope.event() == "chat" {
            assert_eq!(envelope.offset(), next, "every message falls into a stay");
            next += 1;
        } else {
            assert_eq!(envelope.value("id"), json!(answered), "in {envelope:?}");
            assert_ne!(envelope.event(), "cast:error", "in {envelope:?}");
            answered += 1;
        }
    }
    assert_eq!(next, 501);
}

#[test]
fn commands_for_many_rooms_are_all_answered_whatever_the_order() {
    let server = Server::start_with_shards(3, &[]);
    let mut raw = Raw::open(&server);
    let joins: Vec<String> =
        (0..100).map(|n| format!(r#""event":"cast:join","room":"room-{n}""#)).collect();
    send_all(&mut raw, &joins);
    let mut ids: Vec<u64> = (0..joins.len())
        .map(|_| {
            let joined = raw.envelope();
            let id = joined.value("id").as_u64().unwrap();
            assert_eq!(joined.room(), format!("room-{id}"), "the reply belongs to its command");
            id
        })
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..100).collect::<Vec<_>>());
}

#[test]
fn a_command_split_into_single_bytes_is_understood() {
    let server = Server::start(&[]);
    let mut raw = Raw::open(&server);
    for byte in frames::text(r#"{"event":"cast:ping","id":"slowly"}"#) {
        raw.write(&[byte]);
    }
    assert_eq!(raw.envelope().event(), "cast:pong");
}

#[test]
fn commands_right_before_the_end_take_effect() {
    let server = Server::start(&[]);
    let mut member = Client::connect(&server);
    member.join("r");
    for n in 1..=20 {
        let mut raw = Raw::open(&server);
        let publish = r#"{"event":"cast:publish","room":"r","data":{"event":"last words"}}"#;
        let mut bytes = frames::text(publish);
        bytes.extend(frames::close(1000, ""));
        raw.write(&bytes);
        assert_eq!(member.recv_event("last words").offset(), n);
    }
}
