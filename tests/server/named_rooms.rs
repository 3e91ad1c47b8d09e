//! Proves that a client joins the rooms that the query of its handshake names, behind its welcome and
//! as if it had asked for that first.

use crate::support::{Client, Envelope, Raw, Server, frames, upgrade_head};
use serde_json::json;

fn refused(server: &Server, query: &str) -> String {
    let response = Client::open(server, &format!("/ws?{query}"), &[]);
    let response = response.err().unwrap_or_else(|| panic!("{query} was let in"));
    assert_eq!(response.status().as_u16(), 400, "{query}");
    String::from_utf8(response.body().clone().unwrap()).unwrap()
}

/// The rooms that a client is told that it joined, in any order, since each has a home of its own.
fn joined(client: &mut Client, rooms: &[&str]) {
    let answers = (0..rooms.len()).map(|_| client.recv_event("cast:joined"));
    let mut answers: Vec<String> = answers
        .map(|answer| {
            assert!(!answer.has("id"), "nothing was asked: {answer:?}");
            answer.room()
        })
        .collect();
    answers.sort();
    assert_eq!(answers, rooms);
}

#[test]
fn the_rooms_of_the_query_are_joined_behind_the_welcome() {
    let server = Server::start(&[]);
    let mut publisher = Client::connect(&server);
    let mut client = Client::connect_to(&server, "/ws?x=%&room=a%2Fb&room=z+%C3%A9&room=%7B%22");
    joined(&mut client, &["a/b", "z \u{e9}", "{\""]);
    for room in ["a/b", "z \u{e9}", "{\""] {
        assert_eq!(publisher.publish(room, "chat", json!(1)), 1);
        assert_eq!(client.recv_event("chat").room(), room);
    }
    assert_eq!(client.leave("a/b"), 1);
    client.assert_nothing_pending();
    assert_eq!(server.members("a%2Fb"), 0);
}

#[test]
fn frames_that_come_with_the_handshake_come_after_the_joins() {
    let server = Server::start(&[]);
    for room in ["a", "b", "c", "d"] {
        let mut raw = Raw::dial(server.address());
        let head = upgrade_head("").replacen("/ws", &format!("/ws?room={room}"), 1);
        let publish = format!(
            r#"{{"event":"cast:publish","room":"{room}","id":1,"data":{{"event":"chat"}}}}"#
        );
        raw.write(&[head.as_bytes(), &frames::text(&publish)].concat());
        raw.expect_upgraded();
        let replies: Vec<Envelope> = (0..4).map(|_| raw.envelope()).collect();
        let events: Vec<String> = replies.iter().map(Envelope::event).collect();
        assert_eq!(events[..2], ["cast:welcome", "cast:joined"]);
        assert!(events[2..].contains(&"cast:ack".to_owned()), "{events:?}");
    }
}

#[test]
fn what_names_no_rooms_is_refused_before_the_upgrade() {
    let server = Server::start(&["--max-rooms", "3"]);
    for query in ["room", "room=", "room=a&room=%00", "room=%", "room=%f", "room=%FF"] {
        assert!(refused(&server, query).contains("bad_request"), "{query}");
    }
    assert!(refused(&server, &format!("room={}", "r".repeat(201))).contains("200 bytes"));
    let words = refused(&server, "room=a&room=b&room=c&room=d");
    assert!(words.contains("too_many_rooms") && words.contains("max_rooms"), "{words}");
    let mut client = Client::connect_to(&server, "/ws?room=a&room=b&room=c");
    joined(&mut client, &["a", "b", "c"]);
    client.send(&json!({"event": "cast:join", "room": "d", "id": 1}));
    assert_eq!(client.recv_event("cast:error").error_code(), "too_many_rooms");
}

#[test]
fn a_room_that_is_refused_is_answered_with_an_error_that_names_it() {
    let server = Server::start_with_shards(1, &["--max-joins-per-second", "2"]);
    let mut client = Client::connect_to(&server, "/ws?room=a&room=b&room=c");
    let answers: Vec<Envelope> = (0..3).map(|_| client.recv()).collect();
    let error = answers.iter().find(|answer| answer.event() == "cast:error").expect("one is");
    assert_eq!((error.error_code(), error.room()), ("rate_limited".to_owned(), "c".to_owned()));
    assert!(!error.has("id"), "nothing was asked: {error:?}");
    client.assert_nothing_pending();
}
