//! Proves that `cast:ping` is answered with `cast:pong` to whoever gives an id.

use crate::support::{Client, Server};
use serde_json::json;

#[test]
fn a_pong_carries_the_id_of_its_ping() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    for id in [json!(6), json!("six")] {
        client.send(&json!({"event": "cast:ping", "id": id}));
        assert_eq!(client.recv_event("cast:pong").value("id"), id);
    }
}

#[test]
fn a_ping_without_id_breaks_nothing() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.send(&json!({"event": "cast:ping"}));
    client.send(&json!({"event": "cast:ping", "id": 1}));
    // Whether a ping without id is answered is not said; if it is, then with a pong without id.
    let mut reply = client.recv_event("cast:pong");
    if !reply.has("id") {
        reply = client.recv_event("cast:pong");
    }
    assert_eq!(reply.value("id"), json!(1));
}
