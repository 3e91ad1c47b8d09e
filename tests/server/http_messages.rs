//! Proves that HTTP can publish and broadcast, and is told to how many.

use crate::support::{Client, Server};
use serde_json::{Value, json};

#[test]
fn a_broadcast_reaches_all_and_tells_how_many() {
    let server = Server::start_with_shards(3, &[]);
    let mut clients: Vec<Client> = (0..9).map(|_| Client::connect(&server)).collect();
    let response = server.post("/v1/broadcast", r#"{"event":"notice","data":{"a":1}}"#);
    assert_eq!((response.status, response.json()), (202, json!({"connections": 9})));
    for client in &mut clients {
        let notice = client.recv_event("notice");
        assert_eq!(notice.data(), json!({"a": 1}));
        assert!(!notice.has("room") && !notice.has("offset"), "no room's message: {notice:?}");
    }
}

#[test]
fn a_publish_tells_offset_and_members() {
    let server = Server::start_with_shards(3, &[]);
    let mut clients: Vec<Client> = (0..9).map(|_| Client::connect(&server)).collect();
    assert_eq!(publish(&server, "r", 0), json!({"offset": 1, "members": 0}));
    for (before, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.join("r").offset as usize, 1 + before);
        let answer = publish(&server, "r", before as u64);
        assert_eq!(answer, json!({"offset": 2 + before, "members": 1 + before}));
    }
    for (place, client) in clients.iter_mut().enumerate() {
        for n in place..9 {
            let message = client.recv_event("chat");
            assert_eq!((message.offset() as usize, message.data()), (2 + n, json!(n)));
            assert_eq!(message.room(), "r");
        }
    }
}

fn publish(server: &Server, room: &str, data: u64) -> Value {
    let target = format!("/v1/rooms/{room}/publish");
    let response = server.post(&target, &format!(r#"{{"event":"chat","data":{data}}}"#));
    assert_eq!(response.status, 202, "in {response:?}");
    response.json()
}

#[test]
fn http_and_websocket_share_one_order() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.join("r");
    for n in 0..20 {
        let offset = n * 2 + 1;
        assert_eq!(publish(&server, "r", n), json!({"offset": offset, "members": 1}));
        assert_eq!(client.publish("r", "chat", json!(n)), offset + 1);
    }
    for offset in 1..=40 {
        assert_eq!(client.recv_event("chat").offset(), offset);
    }
}

#[test]
fn a_room_in_a_path_is_percent_decoded() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    let rows = [
        ("a%2Fb", "a/b"),
        ("a%2fb", "a/b"),
        ("%61", "a"),
        ("a+b", "a+b"),
        ("a%20b", "a b"),
        ("caf%C3%A9", "café"),
        ("%F0%9F%A6%80", "🦀"),
        ("a%252Fb", "a%2Fb"),
        ("a%3Fb%23c", "a?b#c"),
        ("%25", "%"),
        ("a;b=c,d@e!$&'()*:~-._", "a;b=c,d@e!$&'()*:~-._"),
        ("publish", "publish"),
    ];
    for (segment, room) in rows {
        client.join(room);
        publish(&server, segment, 1);
        assert_eq!(client.recv_event("chat").room(), room, "from {segment}");
        let answer = server.get(&format!("/v1/rooms/{segment}"));
        assert_eq!((answer.status, answer.json()["room"].clone()), (200, json!(room)));
        client.leave(room);
    }
}

#[test]
fn what_is_no_message_is_refused_with_400() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.join("r");
    let emit = format!("/v1/connections/{}/emit", client.connection());
    let long = format!(r#"{{"event":"{}"}}"#, "e".repeat(129));
    let bodies = [
        " ",
        "x",
        "[]",
        "null",
        r#""e""#,
        "{}",
        r#"{"event":7}"#,
        r#"{"event":null}"#,
        r#"{"event":""}"#,
        r#"{"event":"cast:ack"}"#,
        r#"{"event":"cast:"}"#,
        r#"{"event":"e"}x"#,
        r#"{"event":"e","data":}"#,
        r#"{"event":"e","event":"e"}"#,
        r#"[{"event":"e"}]"#,
        &long,
    ];
    for target in ["/v1/broadcast", "/v1/rooms/r/publish", &emit] {
        for body in bodies {
            let response = server.post(target, body);
            assert_eq!(response.status, 400, "{target} with {body}: {response:?}");
            response.assert_error(400);
        }
    }
    client.assert_nothing_pending();
    assert_eq!(server.get("/v1/rooms/r").json()["offset"], json!(0), "nothing was numbered");
}

#[test]
fn what_is_no_room_is_refused_with_400() {
    let server = Server::start(&[]);
    let long = "r".repeat(201);
    let wide = "%C3%A9".repeat(101);
    for room in [&long, &wide, "a%00b", "a%1Fb", "%7F", "%0A", "%FF", "%C3"] {
        let response = server.post(&format!("/v1/rooms/{room}/publish"), r#"{"event":"e"}"#);
        assert_eq!(response.status, 400, "{room}: {response:?}");
        response.assert_error(400);
    }
    assert_eq!(server.get("/v1/rooms").json(), json!({"rooms": []}));
}
