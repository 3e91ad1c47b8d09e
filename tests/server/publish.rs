//! Proves that a message is numbered, acknowledged when asked for, and sent to whom it should.

use crate::support::{Client, Server};
use serde_json::json;

#[test]
fn members_and_the_sender_get_the_message_with_its_offset() {
    let server = Server::start(&[]);
    let (mut sender, mut member) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    sender.join("lobby");
    member.join("lobby");
    let inner = json!({"event": "chat", "data": {"text": "hi"}});
    sender.send(&json!({"event": "cast:publish", "room": "lobby", "id": 3, "data": inner}));
    let both = [sender.recv(), sender.recv()];
    let ack = both.iter().find(|envelope| envelope.event() == "cast:ack").expect("an ack");
    assert_eq!((ack.value("id"), ack.data()), (json!(3), json!({"offset": 1})));
    let own = both.iter().find(|envelope| envelope.event() == "chat").expect("the own message");
    for message in [own.clone(), member.recv_event("chat")] {
        assert_eq!(message.data(), json!({"text": "hi"}));
        assert_eq!((message.room(), message.offset()), ("lobby".to_owned(), 1));
        assert!(!message.has("id"), "the id is between the sender and the server: {message:?}");
    }
}

#[test]
fn without_an_id_there_is_no_ack() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.join("lobby");
    client.send(&json!({"event": "cast:publish", "room": "lobby", "data": {"event": "chat"}}));
    assert_eq!(client.recv_event("chat").offset(), 1);
    client.assert_nothing_pending();
}

#[test]
fn publishing_needs_no_membership() {
    let server = Server::start(&[]);
    let (mut sender, mut member) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    assert_eq!(sender.publish("lobby", "chat", json!(1)), 1, "the room begins with the publish");
    assert_eq!(member.join("lobby").offset, 1);
    assert_eq!(sender.publish("lobby", "chat", json!(2)), 2);
    assert_eq!(member.recv_event("chat").offset(), 2);
    sender.assert_nothing_pending();
}

#[test]
fn echo_false_spares_the_sender_only() {
    let server = Server::start(&[]);
    let (mut sender, mut member) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    sender.join("lobby");
    member.join("lobby");
    let mut expected = Vec::new();
    for n in 1..=40 {
        let echo = n % 3 == 0;
        let inner = json!({"event": "chat", "data": n, "echo": echo});
        let command = json!({"event": "cast:publish", "room": "lobby", "data": inner});
        assert_eq!(
            sender.request(command).data(),
            json!({"offset": n}),
            "the ack tells the offset"
        );
        if echo {
            expected.push(n);
        }
        assert_eq!(member.recv_event("chat").offset(), n, "others get every message");
    }
    for n in expected {
        assert_eq!(sender.recv_event("chat").offset(), n);
    }
    assert_eq!(sender.leave("lobby"), 40, "own unechoed messages count as sent");
}

#[test]
fn echo_true_and_echo_absent_are_the_same() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.join("lobby");
    for (index, data) in
        [json!({"event": "e", "echo": true}), json!({"event": "e"})].into_iter().enumerate()
    {
        client.send(&json!({"event": "cast:publish", "room": "lobby", "data": data}));
        assert_eq!(client.recv_event("e").offset(), index as u64 + 1);
    }
}

#[test]
fn rooms_do_not_hear_each_other() {
    let server = Server::start(&[]);
    let (mut here, mut there) = (Client::connect(&server), Client::connect(&server));
    here.join("here");
    there.join("there");
    for n in 1..=10 {
        there.publish("here", "chat", json!("for here"));
        here.publish("there", "chat", json!("for there"));
        assert_eq!(here.recv_event("chat").data(), json!("for here"));
        let message = there.recv_event("chat");
        assert_eq!((message.data(), message.offset()), (json!("for there"), n));
    }
}

#[test]
fn an_event_name_of_128_bytes_is_delivered_as_it_is() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.join("lobby");
    let names =
        ["e".repeat(128), "é".repeat(64), "\u{0}\"\\\n".to_owned(), "CAST:x".into(), "cast".into()];
    for name in names {
        client.publish("lobby", &name, json!(null));
        assert_eq!(client.recv().event(), name);
    }
}
