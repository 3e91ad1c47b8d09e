//! Proves that one stream brings the messages of several rooms, and that its ids let a client that was
//! cut go on in each of them.

use crate::support::{Client, Envelope, Event, Events, Raw, Response, Server, wait_until};
use serde_json::json;

/// The answer to a request for the events of the rooms that this query names.
fn ask(server: &Server, query: &str, more: &str) -> Result<Events, Response> {
    let mut raw = Raw::dial(server.address());
    let head = format!("GET /v1/events?{query} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n");
    raw.write(head.as_bytes());
    Events::answered(raw)
}

fn listen(server: &Server, query: &str, more: &str) -> Events {
    ask(server, query, more).unwrap_or_else(|refused| panic!("refused with {refused:?}"))
}

fn refused(server: &Server, query: &str, more: &str, status: u16) -> Response {
    let response = ask(server, query, more).err().expect("it is no stream");
    response.assert_error(status);
    response
}

fn after(id: &str) -> String {
    format!("Last-Event-ID: {id}\r\n")
}

/// The next message, which has no id: its room and its offset.
fn message(stream: &mut Events) -> (String, u64) {
    let Event { id, name, data } = stream.event();
    assert_eq!((id, name), (None, None), "{data}");
    let envelope = Envelope::parse(&data);
    (envelope.room(), envelope.offset())
}

fn publish(publisher: &mut Client, rooms: &[&str]) {
    for room in rooms {
        publisher.publish(room, "chat", json!(room));
    }
}

#[test]
fn messages_of_all_rooms_come_in_one_stream_each_in_its_order() {
    let server = Server::start_with_shards(3, &[]);
    let mut publisher = Client::connect(&server);
    let rooms: Vec<String> = (0..20).map(|n| format!("room/{n}")).collect();
    let query: Vec<String> = (0..20).map(|n| format!("room=room%2F{n}")).collect();
    let mut stream = listen(&server, &query.join("&"), "");
    assert!(rooms.iter().all(|room| server.members(&room.replace('/', "%2F")) == 1));
    for _ in 0..10 {
        for room in &rooms {
            publisher.publish(room, "chat", json!(1));
        }
    }
    let mut next = vec![1; rooms.len()];
    for _ in 0..200 {
        let (room, offset) = message(&mut stream);
        let place = rooms.iter().position(|name| *name == room).expect("a room of the stream");
        assert_eq!(offset, next[place], "in {room}");
        next[place] += 1;
    }
    assert_eq!(next, [11; 20]);
    drop(stream);
    wait_until("it has gone", || server.total("memberships") == 0);
}

#[test]
fn a_client_that_comes_back_misses_nothing_and_repeats_nothing() {
    let server = Server::start_with_shards(3, &["--room", "*:history=100"]);
    let mut publisher = Client::connect(&server);
    let mut stream = listen(&server, "room=a&room=b&room=c", "");
    let begin = stream.last_id();
    publish(&mut publisher, &["a", "b", "b"]);
    (0..3).for_each(|_| drop(message(&mut stream)));
    let id = stream.last_id();
    assert_ne!(id, begin);
    drop(stream);
    publish(&mut publisher, &["b", "c", "a", "c"]);
    // The parameter says the same for a page, in any order of rooms, and another room is new.
    let parameter = format!("room=c&room=new&room=b&room=a&last_event_id={id}");
    let mut back =
        [listen(&server, "room=a&room=b&room=c", &after(&id)), listen(&server, &parameter, "")];
    for stream in &mut back {
        let mut missed: Vec<_> = (0..4).map(|_| message(stream)).collect();
        missed.sort();
        let expected = [("a", 2), ("b", 3), ("c", 1), ("c", 2)];
        assert_eq!(missed, expected.map(|(room, offset)| (room.to_owned(), offset)));
    }
    let offset = publisher.publish("a", "chat", json!(null));
    for stream in &mut back {
        assert_eq!(message(stream), ("a".to_owned(), offset), "then what is new");
    }
    let mut stream = listen(&server, "room=a&room=b&room=c", &after(&begin));
    let mut all: Vec<_> = (0..8).map(|_| message(&mut stream)).collect();
    all.sort();
    let expected = [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("b", 3), ("c", 1), ("c", 2)];
    assert_eq!(all, expected.map(|(room, offset)| (room.to_owned(), offset)));
}

#[test]
fn what_is_not_recovered_is_said_of_each_room() {
    let server = Server::start(&["--room", "kept:history=10"]);
    let mut publisher = Client::connect(&server);
    let mut stream = listen(&server, "room=kept&room=off&room=still", "");
    let id = stream.last_id();
    drop(stream);
    publish(&mut publisher, &["kept", "off"]);
    let mut stream = listen(&server, "room=kept&room=off&room=still", &after(&id));
    let event = stream.event();
    assert_eq!((event.id, event.name.as_deref()), (None, Some("cast:unrecovered")));
    let said = Envelope::parse(&event.data);
    assert_eq!((said.room().as_str(), &said.data()["reason"]), ("off", &json!("off")));
    assert_eq!(message(&mut stream), ("kept".to_owned(), 1));
    for foreign in ["x-1", "AAAA", &id[..id.len() - 1]] {
        let mut stream = listen(&server, "room=kept&room=off", &after(foreign));
        let said = [(), ()].map(|()| Envelope::parse(&stream.event().data));
        assert!(said.iter().all(|said| said.data()["reason"] == "epoch"), "{said:?}");
        let mut rooms = said.map(|said| said.room());
        rooms.sort();
        assert_eq!(rooms, ["kept", "off"]);
        // The next time it is known where it is.
        let id = stream.last_id();
        drop(stream);
        let mut stream = listen(&server, "room=kept&room=off", &after(&id));
        let offset = publisher.publish("kept", "chat", json!(1));
        assert_eq!(message(&mut stream), ("kept".to_owned(), offset));
    }
}

#[test]
fn a_room_named_twice_counts_once_and_a_single_one_has_the_ids_of_its_messages() {
    let server = Server::start(&[]);
    let mut publisher = Client::connect(&server);
    let epoch = publisher.join("a").epoch;
    let mut stream = listen(&server, "room=a&room=b&room=a", "");
    assert_eq!(server.members("a"), 2);
    publish(&mut publisher, &["a"]);
    assert_eq!(message(&mut stream), ("a".to_owned(), 1));
    let mut alone = listen(&server, "room=a&room=a", "");
    publish(&mut publisher, &["a"]);
    assert_eq!(alone.event().id, Some(format!("{epoch}-2")));
}

#[test]
fn which_rooms_may_be_read_and_how_many_is_known_before_the_answer() {
    let server = Server::start(&["--max-rooms", "3"]);
    for query in ["", "room=", "rooms=a", "room=a&room=", "room=a&room=%00"] {
        refused(&server, query, "", 400);
    }
    let response = refused(&server, "room=a&room=b&room=c&room=d", "", 400);
    assert_eq!(response.error_code(), "too_many_rooms");
    listen(&server, "room=a&room=b&room=c&room=a", "");
    let many: Vec<String> = (0..129).map(|n| format!("room={n}")).collect();
    let server = Server::start(&["--max-rooms", "1000"]);
    refused(&server, &many.join("&"), "", 400);
    let mut stream = listen(&server, &many[1..].join("&"), "");
    let id = stream.last_id();
    assert!(id.len() < 3_800, "{} characters", id.len());
    listen(&server, &many[1..].join("&"), &after(&id));
    let server = Server::start(&["--api-key", "a-secret-that-is-long"]);
    refused(&server, "room=a&room=b", "", 401);
    listen(&server, "room=a&room=b", "Authorization: Bearer a-secret-that-is-long\r\n");
}

#[test]
fn a_stream_that_is_refused_one_of_its_rooms_ends_and_comes_back() {
    let server = Server::start_with_shards(1, &["--max-total-rooms", "2"]);
    let mut member = Client::connect(&server);
    member.join("a");
    listen(&server, "room=a&room=b&room=c", "").expect_close("capacity");
    wait_until("it is in none of them", || server.members("a") == 1);
}
