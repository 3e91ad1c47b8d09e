//! Proves that a room's Server-Sent Events are what its members over WebSockets receive: the same
//! messages, in the same order, each with its place in the room.

use crate::support::events_head;
use crate::support::{Client, Crowd, Envelope, Events, Member, Outbox, Raw, Said, Server, heavy};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;

/// A member over a WebSocket that sees each byte.
fn raw_member(server: &Server, room: &str) -> Raw {
    let mut raw = Raw::open(server);
    raw.send(&json!({"event": "cast:join", "room": room}));
    assert_eq!(raw.envelope().event(), "cast:joined");
    raw
}

#[test]
fn every_byte_of_the_answer_is_as_promised() {
    let server = Server::start(&[]);
    let mut publisher = Client::connect(&server);
    let epoch = publisher.join("lobby").epoch;
    let mut raw = Raw::dial(server.address());
    raw.write(events_head("lobby", "").as_bytes());
    let head = raw.head();
    let date = head.lines().find_map(|line| line.strip_prefix("Date: ")).expect("a date");
    let fields = "Content-Type: text/event-stream\r\nCache-Control: no-store\r\n\
        X-Accel-Buffering: no\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(head, format!("HTTP/1.1 200 OK\r\nDate: {date}\r\n{fields}"));
    let retry = raw.take("d\r\nretry: 2345\n\n\r\n".len());
    let retry = String::from_utf8(retry).unwrap();
    let (begin, ms, end) = (&retry[..10], &retry[10..14], &retry[14..]);
    assert_eq!((begin, end), ("d\r\nretry: ", "\n\n\r\n"));
    assert!((2_000..5_000).contains(&ms.parse().unwrap()), "{ms} ms");

    let at = format!("event: cast:at\nid: {epoch}-0\ndata:\n\n");
    let chunk = format!("{:x}\r\n{at}\r\n", at.len());
    assert_eq!(String::from_utf8(raw.take(chunk.len())).unwrap(), chunk);
    assert_eq!(server.members("lobby"), 2);
    publisher.publish("lobby", "chat", json!({"text": "hi"}));
    let json = r#"{"event":"chat","data":{"text":"hi"},"room":"lobby","offset":1}"#;
    let event = format!("id: {epoch}-1\ndata: {json}\n\n");
    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
    assert_eq!(String::from_utf8(raw.take(chunk.len())).unwrap(), chunk);
}

#[test]
fn a_member_over_a_websocket_receives_the_same_text_in_the_same_order() {
    let server = Server::start_with_shards(3, &[]);
    let mut socket = raw_member(&server, "r");
    let mut streams: Vec<Events> = (0..6).map(|_| Events::join(server.address(), "r")).collect();
    let mut publishers: Vec<Client> = (0..3).map(|n| Client::connect_on(&server, n)).collect();
    for n in 0..100 {
        let data = json!({"n": n, "text": "Grüße \u{2028} 🦀 \u{0} \n \r", "more": "x".repeat(n)});
        let inner = json!({"event": "chat", "data": data});
        let publisher = &mut publishers[n % 3];
        publisher.send(&json!({"event": "cast:publish", "room": "r", "data": inner}));
    }
    for offset in 1..=100 {
        let text = socket.text();
        for stream in &mut streams {
            let event = stream.event();
            assert_eq!((event.data.as_str(), event.position().1), (text.as_str(), offset));
        }
    }
}

#[test]
fn an_id_is_the_epoch_and_the_offset() {
    let server = Server::start(&[]);
    let mut publisher = Client::connect(&server);
    let epoch = publisher.join("r").epoch;
    let mut stream = Events::join(server.address(), "r");
    for offset in 1..=20 {
        publisher.publish("r", "chat", json!(offset));
        let event = stream.event();
        assert_eq!(event.position(), (epoch.as_str(), offset));
        assert_eq!(event.envelope().data(), json!(offset));
    }
    assert!(epoch.bytes().all(|byte| byte.is_ascii_alphanumeric()), "so the id can be split");
}

#[test]
fn line_breaks_between_the_tokens_of_data_cut_no_event() {
    let server = Server::start(&[]);
    let mut publisher = Raw::open(&server);
    let mut stream = Events::join(server.address(), "r");
    let broken = ["\n", "\r", "\r\n", "\n\n", "\r\r", "\n\r", "\r\n\r\n", " \n "];
    for line_break in broken {
        let data = format!("{{{line_break}\"a\":{line_break}[1,{line_break}\"b\\n\"]}}");
        let inner = format!(r#"{{"event":"chat","data":{data}}}"#);
        publisher.send_text(&format!(r#"{{"event":"cast:publish","room":"r","data":{inner}}}"#));
        let envelope = stream.envelope();
        assert_eq!(envelope.data(), json!({"a": [1, "b\n"]}), "{line_break:?}");
    }
    // Whatever is within a name cannot break a line: it is written as JSON has it.
    let odd = "a\nid: 7\r\rdata: x";
    publisher
        .send(&json!({"event": "cast:publish", "room": "r", "data": {"event": odd, "data": odd}}));
    let envelope = stream.envelope();
    assert_eq!((envelope.event(), envelope.data()), (odd.to_owned(), json!(odd)));
}

#[test]
fn what_was_published_before_is_not_seen() {
    let server = Server::start(&[]);
    let mut publisher = Client::connect(&server);
    for n in 1..=5 {
        publisher.publish("r", "chat", json!(n));
    }
    let mut stream = Events::join(server.address(), "r");
    let mut again = listen_after(&server, "x-2");
    assert_eq!(unrecovered(&mut again), "epoch");
    publisher.publish("r", "chat", json!(6));
    for stream in [&mut stream, &mut again] {
        assert_eq!(stream.envelope().offset(), 6);
    }
}

/// A stream of room `r` whose client was sent this id last.
fn listen_after(server: &Server, last_event_id: &str) -> Events {
    let mut raw = Raw::dial(server.address());
    raw.write(events_head("r", &format!("Last-Event-ID: {last_event_id}\r\n")).as_bytes());
    Events::begun(raw)
}

/// Why a stream does not bring what its client missed; it says so before anything else.
fn unrecovered(stream: &mut Events) -> String {
    let event = stream.event();
    assert_eq!(event.name.as_deref(), Some("cast:unrecovered"), "{event:?}");
    assert!(event.id.is_some(), "the next request goes on from here: {event:?}");
    let said = Envelope::parse(&event.data);
    assert_eq!((said.event().as_str(), said.room().as_str()), ("cast:unrecovered", "r"));
    said.data()["reason"].as_str().expect("a reason").to_owned()
}

#[test]
fn a_client_that_comes_back_goes_on_where_it_stopped_or_hears_why_not() {
    let server = Server::start(&[]);
    let mut publisher = Client::connect(&server);
    let epoch = publisher.join("r").epoch;
    for n in 1..=3 {
        publisher.publish("r", "chat", json!(n));
    }
    let ids = [(4, "future"), (2, "off"), (3, "")];
    for (stopped_at, reason) in ids {
        let mut stream = listen_after(&server, &format!("{epoch}-{stopped_at}"));
        if !reason.is_empty() {
            assert_eq!(unrecovered(&mut stream), reason, "after {stopped_at}");
        }
    }
    let mut stream = listen_after(&server, &format!("{epoch}-3"));
    publisher.publish("r", "chat", json!(4));
    assert_eq!(stream.envelope().offset(), 4);
    for foreign in ["7", "%00", "é", "0123456789abcdef-4", "-", &"x".repeat(4_000)] {
        let mut stream = listen_after(&server, foreign);
        assert_eq!(unrecovered(&mut stream), "epoch", "{foreign}");
    }
}

#[test]
fn a_stream_brings_what_its_client_missed_of_a_room_that_keeps_it() {
    let server = Server::start(&["--room", "r:history=3"]);
    let mut publisher = Client::connect(&server);
    let epoch = publisher.join("r").epoch;
    for n in 1..=5 {
        publisher.publish("r", "chat", json!(n));
    }
    let mut stream = listen_after(&server, &format!("{epoch}-1"));
    assert_eq!(unrecovered(&mut stream), "too_old");
    let mut stream = listen_after(&server, &format!("{epoch}-2"));
    for offset in 3..=5 {
        let event = stream.event();
        assert_eq!(event.id, Some(format!("{epoch}-{offset}")));
        let message = Envelope::parse(&event.data);
        assert_eq!((message.offset(), message.data()), (offset, json!(offset)));
    }
    publisher.publish("r", "chat", json!(6));
    assert_eq!(stream.envelope().offset(), 6, "without hole or repeat");
}

#[test]
fn a_page_says_in_the_query_what_an_event_source_says_in_a_field() {
    let server = Server::start(&[]);
    let mut publisher = Client::connect(&server);
    let epoch = publisher.join("r").epoch;
    publisher.publish("r", "chat", json!(1));
    for (field, reason) in [("", "off"), ("Last-Event-ID: x-9\r\n", "epoch")] {
        let mut raw = Raw::dial(server.address());
        let head = events_head("r", field);
        let query = format!("/events?last_event_id={epoch}-0 HTTP/1.1");
        raw.write(head.replacen("/events HTTP/1.1", &query, 1).as_bytes());
        assert_eq!(unrecovered(&mut Events::begun(raw)), reason, "the field is newer: {field}");
    }
}

#[test]
fn several_fields_are_no_id_and_an_empty_one_is_none() {
    let server = Server::start(&[]);
    let mut publisher = Client::connect(&server);
    let epoch = publisher.join("r").epoch;
    publisher.publish("r", "chat", json!(1));
    let field = |id: &str| format!("Last-Event-ID: {id}\r\n");
    let (old, new) = (field(&format!("{epoch}-0")), field(&format!("{epoch}-1")));
    let rows = [
        (format!("{old}{new}"), Some("epoch")),
        (format!("{new}{new}"), Some("epoch")),
        (format!("{}{old}", field("")), Some("off")),
        (format!("{}{new}{}", field(""), field("")), None),
    ];
    for (fields, reason) in rows {
        let mut raw = Raw::dial(server.address());
        raw.write(events_head("r", &fields).as_bytes());
        let mut stream = Events::begun(raw);
        match reason {
            Some(reason) => assert_eq!(unrecovered(&mut stream), reason, "{fields}"),
            None => {
                let next = publisher.publish("r", "chat", json!(2));
                assert_eq!(stream.envelope().offset(), next, "{fields}");
            }
        }
    }
}

/// The begin of the answer says that the stream is a member, wherever connection and home are.
#[test]
fn a_stream_misses_nothing_that_is_published_after_its_answer() {
    let server = Server::start_with_shards(3, &[]);
    let mut publishers: Vec<Client> = (0..3).map(|n| Client::connect_on(&server, n)).collect();
    for n in 0..150 {
        let room = format!("room-{n}");
        let mut stream = Events::join(server.address(), &room);
        assert_eq!(publishers[n % 3].publish(&room, "chat", json!(n)), 1);
        assert_eq!(stream.envelope().offset(), 1);
    }
}

#[test]
fn a_stream_is_of_one_room_alone() {
    let server = Server::start(&[]);
    let mut streams: Vec<Events> =
        (0..100).map(|n| Events::join(server.address(), &format!("room-{n}"))).collect();
    let mut publisher = Client::connect(&server);
    publisher.broadcast("notice", json!("for every WebSocket"));
    for n in 0..100 {
        publisher.publish(&format!("room-{n}"), "chat", json!(n));
    }
    publisher.publish("another", "chat", json!(null));
    for (n, stream) in streams.iter_mut().enumerate() {
        let envelope = stream.envelope();
        assert_eq!((envelope.room(), envelope.data()), (format!("room-{n}"), json!(n)));
    }
    // Nothing else was on its way: the next message is the next one.
    for (n, stream) in streams.iter_mut().enumerate() {
        publisher.publish(&format!("room-{n}"), "chat", json!("last"));
        assert_eq!(stream.envelope().data(), json!("last"));
    }
}

#[test]
fn clients_are_asked_to_come_back_at_different_times() {
    let server = Server::start(&[]);
    let retries = (0..20).map(|_| Events::join(server.address(), "r").retry());
    let retries: HashSet<u64> = retries.collect();
    assert!(retries.len() > 5 && retries.iter().all(|ms| *ms >= 1_000), "{retries:?}");
}

#[test]
fn an_idle_stream_says_every_ping_interval_that_it_lives() {
    let server = Server::start(&["--ping-interval", "200ms"]);
    let mut stream = Events::join(server.address(), "r");
    for _ in 0..3 {
        let said = stream.said();
        assert!(matches!(&said, Said::Comment(comment) if comment == "ping"), "{said:?}");
    }
    let mut publisher = Client::connect(&server);
    publisher.publish("r", "chat", json!("between heartbeats"));
    assert_eq!(stream.envelope().offset(), 1);
    // A client of HTTP has nothing to answer with.
    assert_eq!(server.closed("idle"), 0);
}

const MEMBERS: usize = 200;
const MESSAGES: u64 = 500;

/// Joins a room and takes every message of it.
#[derive(Debug)]
struct Listener {
    next: u64,
    joined: Rc<Cell<usize>>,
}

impl Member for Listener {
    fn on_welcome(&mut self, _: &Envelope, out: &mut Outbox) {
        out.send(r#"{"event":"cast:join","room":"r"}"#);
    }

    fn on_message(&mut self, text: &str, _: &mut Outbox) {
        let envelope = Envelope::parse(text);
        match self.next {
            0 => self.joined.set(self.joined.get() + 1),
            next => assert_eq!(envelope.offset(), next, "no hole, no repeat"),
        }
        self.next += 1;
    }

    fn is_done(&self) -> bool {
        self.next == MESSAGES + 1
    }
}

#[test]
fn many_of_both_kinds_in_one_room_lose_nothing() {
    let _heavy = heavy();
    let server = Server::start_with_shards(3, &["--room-log", "16MiB"]);
    let mut streams: Vec<Events> =
        (0..MEMBERS).map(|_| Events::join(server.address(), "r")).collect();
    let joined = Rc::new(Cell::new(0));
    let listeners = (0..MEMBERS).map(|_| Listener { next: 0, joined: Rc::clone(&joined) });
    let mut crowd = Crowd::connect(server.address(), listeners);
    crowd.run_until(|_| joined.get() == MEMBERS);
    assert_eq!(server.members("r"), 2 * MEMBERS as u64);
    let mut publisher = Client::connect(&server);
    for n in 1..=MESSAGES {
        let inner = json!({"event": "chat", "data": Value::from(n)});
        publisher.send(&json!({"event": "cast:publish", "room": "r", "data": inner}));
    }
    crowd.run();
    for stream in &mut streams {
        for n in 1..=MESSAGES {
            let envelope = stream.envelope();
            assert_eq!((envelope.offset(), envelope.data()), (n, json!(n)));
        }
    }
    assert_eq!(server.total("gaps"), 0);
}
