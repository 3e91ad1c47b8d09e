//! Proves what joining answers, and that every later message of the room then arrives.

use crate::support::{Client, Server};
use serde_json::json;

#[test]
fn joined_tells_epoch_offset_and_members() {
    let server = Server::start(&[]);
    let (mut first, mut second) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    let joined = first.join("lobby");
    assert_eq!((joined.offset, joined.members, joined.recovered), (0, 1, None));
    assert!((1..=32).contains(&joined.epoch.len()), "epoch {:?}", joined.epoch);
    assert!(joined.epoch.chars().all(|c| c.is_ascii_alphanumeric()), "epoch {:?}", joined.epoch);

    for n in 1..=3 {
        assert_eq!(first.publish("lobby", "chat", json!(n)), n);
    }
    let later = second.join("lobby");
    assert_eq!((later.offset, later.members), (3, 2), "members counts the joiner");
    assert_eq!(later.epoch, joined.epoch, "one life of a room has one epoch");
    assert_eq!(first.publish("lobby", "chat", json!(4)), 4);
    let message = second.recv_event("chat");
    assert_eq!((message.offset(), message.room()), (4, "lobby".to_owned()));
}

#[test]
fn joined_comes_without_an_id_too() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.send(&json!({"event": "cast:join", "room": "lobby"}));
    let joined = client.recv_event("cast:joined");
    assert!(!joined.has("id"), "no id was given: {joined:?}");
    assert_eq!(joined.room(), "lobby");
    assert_eq!(joined.data_number("members"), 1);
}

#[test]
fn joining_twice_changes_nothing() {
    let server = Server::start(&[]);
    let (mut member, mut other) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    let first = member.join("lobby");
    for n in 1..=3 {
        other.publish("lobby", "chat", json!(n));
        assert_eq!(member.recv_event("chat").offset(), n);
    }
    let again = member.join("lobby");
    assert_eq!((again.offset, again.members), (3, 1), "the next message will be 4, for one member");
    assert_eq!(again.epoch, first.epoch);

    other.publish("lobby", "chat", json!(4));
    assert_eq!(member.recv_event("chat").offset(), 4);
    other.publish("lobby", "chat", json!(5));
    assert_eq!(member.recv_event("chat").offset(), 5, "4 came once only");
    assert_eq!(member.leave("lobby"), 5, "leaving once undoes both joins");
    assert_eq!(server.members("lobby"), 0);
}

#[test]
fn since_is_ignored_when_joining_twice() {
    let server = Server::start(&[]);
    let mut member = Client::connect(&server);
    let joined = member.join("lobby");
    member.publish("lobby", "chat", json!(1));
    assert_eq!(member.recv_event("chat").offset(), 1);
    let again = member.join_since("lobby", &joined.epoch, 0);
    assert_eq!(again.offset, 1, "nothing is sent a second time");
    member.publish("lobby", "chat", json!(2));
    assert_eq!(member.recv_event("chat").offset(), 2);
}

#[test]
fn a_connection_can_be_in_many_rooms() {
    let server = Server::start(&[]);
    let (mut member, mut other) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    let rooms: Vec<String> = (0..20).map(|n| format!("room-{n}")).collect();
    for room in &rooms {
        assert_eq!(member.join(room).members, 1);
    }
    for room in &rooms {
        assert_eq!(other.publish(room, "chat", json!(room)), 1, "every room counts for itself");
        let message = member.recv_event("chat");
        assert_eq!((message.room(), message.data()), (room.clone(), json!(room)));
    }
}

#[test]
fn every_room_name_up_to_200_bytes_works() {
    let server = Server::start(&[]);
    let names = [
        "r".to_owned(),
        " ".to_owned(),
        "a/b?c#d%2F".to_owned(),
        "\"quoted\\\"".to_owned(),
        "\u{80}\u{2028}\u{FEFF}".to_owned(),
        "r".repeat(200),
        "é".repeat(100),
        "🦀".repeat(50),
        "cast:room".to_owned(),
    ];
    let (mut member, mut other) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    for name in &names {
        member.join(name);
        other.publish(name, "chat", json!(null));
        assert_eq!(&member.recv_event("chat").room(), name);
    }
}

#[test]
fn a_room_is_the_same_however_its_name_is_escaped() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.join("caf\u{e9}/\u{1F980}");
    let inner = r#"{"event":"chat"}"#;
    let spelled = r#""c\u0061f\u00e9\/\ud83e\udd80""#;
    client.send_text(&format!(r#"{{"event":"cast:publish","room":{spelled},"data":{inner}}}"#));
    assert_eq!(client.recv_event("chat").room(), "caf\u{e9}/\u{1F980}");
}
