//! Proves that a connection may be in so many rooms and no more, and is told the number.

use crate::support::{Client, Server};
use serde_json::json;

#[test]
fn one_room_too_many_is_refused_with_the_limit_and_its_value() {
    let server = Server::start(&["--max-rooms", "3"]);
    let (mut client, mut other) = (Client::connect(&server), Client::connect(&server));
    for room in ["a", "b", "c"] {
        client.join(room);
    }
    let refused = client.request(json!({"event": "cast:join", "room": "d"}));
    assert_eq!(refused.error_code(), "too_many_rooms");
    assert_eq!(refused.room(), "d");
    let message = refused.error_message();
    assert!(message.contains('3'), "the message tells the value: {message}");
    assert!(message.contains("max_rooms") || message.contains("rooms per connection"), "{message}");

    assert_eq!(client.join("a").members, 1, "joining twice takes no further place");
    client.leave("b");
    assert_eq!(client.join("d").members, 1, "leaving frees a place");
    assert_eq!(other.join("d").members, 2, "the limit is each connection's own");
}

#[test]
fn joins_under_way_count_too() {
    let server = Server::start(&["--max-rooms", "3"]);
    let mut client = Client::connect(&server);
    for n in 0..10 {
        client.send(&json!({"event": "cast:join", "room": format!("r{n}"), "id": n}));
    }
    let replies: Vec<_> = (0..10).map(|_| client.recv()).collect();
    let joined = replies.iter().filter(|reply| reply.event() == "cast:joined").count();
    assert_eq!(joined, 3);
    for refused in replies.iter().filter(|reply| reply.event() != "cast:joined") {
        assert_eq!(refused.error_code(), "too_many_rooms");
    }
    server.wait_for_total("memberships", 3);
}

#[test]
fn by_default_128_rooms_are_allowed() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    for n in 0..128 {
        client.join(&format!("room-{n}"));
    }
    let refused = client.request(json!({"event": "cast:join", "room": "one more"}));
    assert_eq!(refused.error_code(), "too_many_rooms");
    assert!(refused.error_message().contains("128"), "in {refused:?}");
}
