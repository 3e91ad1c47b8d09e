//! Proves that one connection can be spoken to, and ended, over HTTP.

use crate::support::{Client, Server, wait_until};
use serde_json::json;

#[test]
fn emit_reaches_this_connection_only() {
    let server = Server::start_with_shards(3, &[]);
    let mut clients: Vec<Client> = (0..9).map(|_| Client::connect(&server)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        let target = format!("/v1/connections/{}/emit", client.connection());
        let response = server.post(&target, &format!(r#"{{"event":"note","data":{n},"more":1}}"#));
        assert_eq!((response.status, response.json()), (202, json!({})));
        let note = client.recv_event("note");
        assert_eq!(note.data(), json!(n));
        assert!(!note.has("room") && !note.has("offset"), "no room's message: {note:?}");
    }
    clients.iter_mut().for_each(Client::assert_nothing_pending);
}

#[test]
fn emits_keep_their_order() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    let target = format!("/v1/connections/{}/emit", client.connection());
    for n in 0..50 {
        server.post(&target, &format!(r#"{{"event":"note","data":{n}}}"#));
    }
    for n in 0..50 {
        assert_eq!(client.recv_event("note").data(), json!(n));
    }
}

#[test]
fn an_unknown_connection_is_404() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    let gone = Client::connect(&server).connection();
    wait_until("the other one is gone", || server.stats()["connections"] == json!(1));
    let long = "z".repeat(300);
    let flipped: String = client.connection().chars().rev().collect();
    for id in [&gone, "0", "none", "%20", "%ff", "-1", &long, &flipped] {
        if *id == client.connection() {
            continue;
        }
        let emit = server.post(&format!("/v1/connections/{id}/emit"), r#"{"event":"e"}"#);
        emit.assert_error(404);
        server.delete(&format!("/v1/connections/{id}")).assert_error(404);
    }
    client.assert_nothing_pending();
}

#[test]
fn a_deleted_connection_is_kicked_and_then_unknown() {
    let server = Server::start_with_shards(3, &[]);
    let mut clients: Vec<Client> = (0..6).map(|_| Client::connect(&server)).collect();
    while let Some(mut client) = clients.pop() {
        let target = format!("/v1/connections/{}", client.connection());
        let response = server.delete(&target);
        assert_eq!((response.status, response.json()), (202, json!({})));
        let close = client.expect_close();
        assert_eq!((close.code, close.reason.as_str()), (1008, "kicked"));
        wait_until("its id is unknown", || server.delete(&target).status == 404);
        clients.iter_mut().for_each(Client::assert_alive);
    }
    assert_eq!(server.closed("kicked"), 6);
}
