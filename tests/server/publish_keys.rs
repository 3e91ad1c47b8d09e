//! Proves that a publish which is repeated with its key is answered like the first, and delivered once.

use crate::support::{Client, Server};
use serde_json::{Value, json};

const NEW: bool = false;
const REPEAT: bool = true;

/// Publishes with a key. Returns the offset, and checks that only a repeat is said to be one.
fn keyed(client: &mut Client, room: &str, key: &str, data: u64, is_repeat: bool) -> u64 {
    let inner = json!({"event": "chat", "data": data, "key": key});
    let ack = client.request(json!({"event": "cast:publish", "room": room, "data": inner}));
    assert_eq!(ack.event(), "cast:ack", "{ack:?}");
    let data = ack.data();
    assert_eq!(data.get("repeated"), is_repeat.then_some(&json!(true)), "{key}: {data}");
    data["offset"].as_u64().expect("an offset")
}

fn post_keyed(server: &Server, room: &str, key: &str, data: u64) -> Value {
    let body = json!({"event": "chat", "data": data, "key": key});
    let response = server.post(&format!("/v1/rooms/{room}/publish"), &body.to_string());
    assert_eq!(response.status, 202, "in {response:?}");
    response.json()
}

#[test]
fn a_key_is_delivered_once_whoever_repeats_it_over_websocket_and_http() {
    let server = Server::start(&[]);
    let (mut first, mut second) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    let mut member = Client::connect_on(&server, 1);
    member.join("r");
    assert_eq!(keyed(&mut first, "r", "k", 1, NEW), 1);
    assert_eq!(keyed(&mut first, "r", "k", 2, REPEAT), 1);
    assert_eq!(keyed(&mut second, "r", "k", 3, REPEAT), 1);
    assert_eq!(
        post_keyed(&server, "r", "k", 4),
        json!({"offset": 1, "members": 1, "repeated": true})
    );
    second.join("r");
    assert_eq!(
        post_keyed(&server, "r", "k", 5),
        json!({"offset": 1, "members": 2, "repeated": true})
    );
    assert_eq!(post_keyed(&server, "r", "k2", 6), json!({"offset": 2, "members": 2}));
    assert_eq!(keyed(&mut first, "r", "k2", 7, REPEAT), 2);
    assert_eq!(keyed(&mut first, "other", "k", 8, NEW), 1, "a key belongs to its room");
    assert_eq!(first.publish("r", "chat", json!(9)), 3, "without a key nothing is repeated");
    for (offset, data) in [(1, 1), (2, 6), (3, 9)] {
        let message = member.recv_event("chat");
        assert_eq!((message.offset(), message.data()), (offset, json!(data)));
        assert!(!message.has("key"), "the key is between publisher and server: {message:?}");
    }
    member.assert_nothing_pending();
    first.assert_nothing_pending();
    assert_eq!((server.total("repeated"), server.total("publish_keys")), (5, 3));
}

#[test]
fn a_repeat_without_id_or_echo_does_nothing_at_all() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.join("r");
    for echo in [true, false, true] {
        let inner = json!({"event": "chat", "key": "k", "echo": echo});
        client.send(&json!({"event": "cast:publish", "room": "r", "data": inner}));
    }
    assert_eq!(client.recv_event("chat").offset(), 1);
    assert_eq!(client.leave("r"), 1);
    client.assert_nothing_pending();
}

#[test]
fn an_ack_of_a_repeat_precedes_every_later_message() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.join("r");
    let publish = |n: u64, id: u64, key: Option<&str>| {
        let mut inner = json!({"event": "chat", "data": n, "echo": n > 0});
        if let Some(key) = key {
            inner["key"] = key.into();
        }
        json!({"event": "cast:publish", "room": "r", "id": id, "data": inner})
    };
    client.send(&publish(0, 1, Some("k")));
    client.send(&publish(0, 2, Some("k")));
    client.send(&publish(7, 3, None));
    let repeat = json!({"offset": 1, "repeated": true});
    for (id, data) in [(1, json!({"offset": 1})), (2, repeat), (3, json!({"offset": 2}))] {
        let ack = client.recv_event("cast:ack");
        assert_eq!((ack.value("id"), ack.data()), (json!(id), data));
    }
    assert_eq!(client.recv_event("chat").offset(), 2);
}

#[test]
fn a_key_has_1_to_64_bytes_after_unescaping() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    let keys = ["k".repeat(64), "é".repeat(32), "\u{0}\n\"".to_owned(), "🦀".repeat(16)];
    for (before, key) in keys.iter().enumerate() {
        assert_eq!(keyed(&mut client, "r", key, 0, NEW), before as u64 + 1, "{key:?}");
        assert_eq!(keyed(&mut client, "r", key, 0, REPEAT), before as u64 + 1, "{key:?}");
    }
    let escaped = format!(
        r#"{{"event":"cast:publish","room":"r","id":1,"data":{{"event":"e","key":"{}"}}}}"#,
        r"\u006b".repeat(64)
    );
    client.send_text(&escaped);
    assert_eq!(
        client.recv_event("cast:ack").data(),
        json!({"offset": 1, "repeated": true}),
        "it is the first key"
    );
}

#[test]
fn what_is_no_key_is_refused_in_words_and_publishes_nothing() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    let emit = format!("/v1/connections/{}/emit", client.connection());
    let rows = [
        (r#""""#.to_owned(), "1 to 64 bytes"),
        (format!("\"{}\"", "k".repeat(65)), "1 to 64 bytes"),
        (format!("\"{}\"", "é".repeat(33)), "1 to 64 bytes"),
        ("7".to_owned(), "key must be a string"),
        ("null".to_owned(), "key must be a string"),
        (r#"["k"]"#.to_owned(), "key must be a string"),
        (r#""\ud800""#.to_owned(), "surrogate"),
        (r#""a","key":"b""#.to_owned(), "twice"),
    ];
    for (key, words) in rows {
        let inner = format!(r#"{{"event":"e","key":{key}}}"#);
        for event in [r#""cast:publish","room":"r""#, r#""cast:broadcast""#] {
            client.send_text(&format!(r#"{{"event":{event},"id":1,"data":{inner}}}"#));
            check_refused(&client.recv_event("cast:error").data(), words);
        }
        for target in ["/v1/rooms/r/publish", "/v1/broadcast", &emit, "/v1/users/u/emit"] {
            let response = server.post(target, &inner);
            response.assert_error(400);
            let message = response.json()["error"]["message"].to_string();
            assert!(message.contains(words), "{target} with {key}: {message}");
        }
    }
    let inner = r#"{"event":"e","key":"k"}"#;
    client.send_text(&format!(r#"{{"event":"cast:broadcast","id":1,"data":{inner}}}"#));
    check_refused(&client.recv_event("cast:error").data(), "leave key out");
    for target in ["/v1/broadcast", &emit, "/v1/users/u/emit"] {
        let response = server.post(target, inner);
        response.assert_error(400);
        assert!(response.json()["error"]["message"].to_string().contains("leave key out"));
    }
    client.assert_nothing_pending();
    assert_eq!(server.get("/v1/rooms/r").status, 404, "nothing was published");
}

fn check_refused(error: &Value, words: &str) {
    assert_eq!(error["code"], "bad_envelope", "{error}");
    assert!(error["message"].to_string().contains(words), "{error}");
}

#[test]
fn a_key_outlives_its_room() {
    let server = Server::start(&["--room-linger", "0"]);
    let mut client = Client::connect(&server);
    assert_eq!(post_keyed(&server, "r", "k", 1), json!({"offset": 1, "members": 0}));
    for _ in 0..3 {
        assert_eq!(keyed(&mut client, "r", "k", 1, REPEAT), 1);
        let repeat = json!({"offset": 1, "members": 0, "repeated": true});
        assert_eq!(post_keyed(&server, "r", "k", 1), repeat);
        server.wait_for_total("rooms", 0);
    }
    let epoch = client.join("r").epoch;
    assert_eq!(keyed(&mut client, "r", "k", 1, REPEAT), 1, "of the life before");
    assert_eq!(keyed(&mut client, "r", "another", 2, NEW), 1, "of this one");
    assert_eq!(client.recv_event("chat").data(), json!(2));
    assert_eq!(client.join("r").epoch, epoch);
    client.assert_nothing_pending();
}

#[test]
fn the_oldest_key_is_forgotten_when_there_are_too_many() {
    let server = Server::start_with_shards(1, &["--publish-keys", "2"]);
    let mut client = Client::connect(&server);
    let mut newest = 0;
    for (key, offset) in [("a", 1), ("b", 2), ("a", 1), ("c", 3), ("b", 2), ("a", 4), ("b", 5)] {
        let is_repeat = offset <= newest;
        assert_eq!(keyed(&mut client, "r", key, 0, is_repeat), offset, "{key}");
        newest = newest.max(offset);
    }
    let figures = ["publish_keys", "keys_forgotten", "repeated"].map(|it| server.total(it));
    assert_eq!(figures, [2, 3, 2]);
}

#[test]
fn a_key_whose_time_is_over_publishes_anew() {
    let server = Server::start(&["--publish-key-for", "0.000001"]);
    let mut client = Client::connect(&server);
    for offset in 1..=3 {
        assert_eq!(keyed(&mut client, "r", "k", 0, NEW), offset);
    }
    server.wait_for_total("publish_keys", 0);
    assert_eq!(server.total("repeated") + server.total("keys_forgotten"), 0);
}
