//! Proves that a broadcast reaches every connection, the sender's too, and all in one order.

use crate::support::{Client, Server};
use serde_json::{Value, json};
use std::thread;

#[test]
fn every_connection_gets_it_in_a_room_or_not() {
    let server = Server::start_with_shards(3, &[]);
    let mut clients: Vec<Client> = (0..12).map(|_| Client::connect(&server)).collect();
    clients[0].join("lobby");
    clients[0].join("another");
    let inner = json!({"event": "notice", "data": [1, 2]});
    let ack = clients[1].request(json!({"event": "cast:broadcast", "data": inner}));
    assert_eq!(ack.event(), "cast:ack", "in {ack:?}");
    assert!(!ack.has("room"), "a broadcast belongs to no room: {ack:?}");
    for client in &mut clients {
        let notice = client.recv_event("notice");
        assert_eq!(notice.data(), json!([1, 2]));
        for member in ["room", "offset", "id"] {
            assert!(!notice.has(member), "a broadcast has no {member}: {notice:?}");
        }
        client.assert_nothing_pending();
    }
}

#[test]
fn without_an_id_there_is_no_ack() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.send(&json!({"event": "cast:broadcast", "data": {"event": "notice"}}));
    assert_eq!(client.recv_event("notice").data(), Value::Null);
    client.assert_nothing_pending();
}

#[test]
fn all_connections_see_broadcasts_in_one_order() {
    const SPEAKERS: u64 = 4;
    const EACH: u64 = 100;
    let server = Server::start_with_shards(4, &[]);
    let mut listeners: Vec<Client> = (0..8).map(|n| Client::connect_on(&server, n % 4)).collect();
    thread::scope(|scope| {
        for speaker in 0..SPEAKERS {
            let server = &server;
            scope.spawn(move || {
                let mut client = Client::connect_on(server, speaker);
                (0..EACH).for_each(|n| client.broadcast("notice", json!([speaker, n])));
            });
        }
    });
    let hear = |client: &mut Client| -> Vec<Value> {
        (0..SPEAKERS * EACH).map(|_| client.recv_event("notice").data()).collect()
    };
    let order = hear(&mut listeners[0]);
    for speaker in 0..SPEAKERS {
        let own: Vec<&Value> = order.iter().filter(|data| data[0] == json!(speaker)).collect();
        let sent: Vec<Value> = (0..EACH).map(|n| json!([speaker, n])).collect();
        assert_eq!(own, sent.iter().collect::<Vec<_>>(), "one speaker's own order is kept");
    }
    for listener in &mut listeners[1..] {
        assert_eq!(hear(listener), order);
    }
}
