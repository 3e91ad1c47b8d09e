//! Proves that leaving is answered after the last message of the room, and nothing follows it.

use crate::support::{Client, Server};
use serde_json::json;

#[test]
fn left_tells_the_last_offset_and_nothing_follows() {
    let server = Server::start(&[]);
    let (mut member, mut other) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    member.join("lobby");
    member.join("marker");
    for n in 1..=3 {
        other.publish("lobby", "chat", json!(n));
    }
    member.send(&json!({"event": "cast:leave", "room": "lobby", "id": "bye"}));
    for n in 1..=3 {
        assert_eq!(member.recv_event("chat").offset(), n, "all up to the offset comes before");
    }
    let left = member.recv_event("cast:left");
    assert_eq!((left.room(), left.data_number("offset")), ("lobby".to_owned(), 3));
    assert_eq!(left.value("id"), json!("bye"));

    other.publish("lobby", "chat", json!(4));
    other.publish("marker", "mark", json!(null));
    member.recv_event("mark");
    member.assert_nothing_pending();
}

#[test]
fn left_comes_without_an_id_too() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.join("lobby");
    client.send(&json!({"event": "cast:leave", "room": "lobby"}));
    let left = client.recv_event("cast:left");
    assert!(!left.has("id"), "no id was given: {left:?}");
    assert_eq!((left.room(), left.data_number("offset")), ("lobby".to_owned(), 0));
}

#[test]
fn leaving_a_room_one_is_not_in_is_an_error() {
    let server = Server::start(&[]);
    let (mut client, mut other) = (Client::connect(&server), Client::connect(&server));
    other.join("lobby");
    client.join("another");
    for room in ["lobby", "never-was"] {
        let reply = client.request(json!({"event": "cast:leave", "room": room}));
        assert_eq!(reply.error_code(), "not_a_member");
        assert_eq!(reply.room(), room);
    }
    client.leave("another");
    let again = client.request(json!({"event": "cast:leave", "room": "another"}));
    assert_eq!(again.error_code(), "not_a_member");
    assert_eq!(other.leave("lobby"), 0, "nobody else was affected");
}

#[test]
fn a_member_that_returns_gets_what_comes_then() {
    let server = Server::start(&[]);
    let (mut member, mut other) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    for stay in 0..10 {
        let before = stay * 2;
        assert_eq!(member.join("lobby").offset, before);
        other.publish("lobby", "chat", json!(null));
        assert_eq!(member.recv_event("chat").offset(), before + 1);
        assert_eq!(member.leave("lobby"), before + 1);
        other.publish("lobby", "chat", json!(null));
    }
}
