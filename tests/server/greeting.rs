//! Proves that every connection is greeted first, and hears every broadcast from then on.

use crate::support::{Client, Server};
use serde_json::json;
use std::collections::HashSet;

#[test]
fn the_welcome_tells_the_connection_its_place() {
    let server = Server::start_with_shards(3, &[]);
    let clients: Vec<Client> = (0..20).map(|_| Client::connect(&server)).collect();
    for client in &clients {
        let welcome = client.welcome();
        let data = welcome.data();
        assert_eq!(data["protocol"], json!(1), "in {welcome:?}");
        assert_eq!(data["shards"], json!(3), "in {welcome:?}");
        assert!(client.shard() < 3, "in {welcome:?}");
        let id = client.connection();
        assert!((1..=32).contains(&id.len()), "in {welcome:?}");
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric()), "in {welcome:?}");
    }
    let ids: HashSet<String> = clients.iter().map(Client::connection).collect();
    assert_eq!(ids.len(), clients.len(), "no two connections share an id");
}

#[test]
fn the_welcome_tells_the_ping_interval_in_seconds() {
    let rows: [(&[&str], f64); 4] = [
        (&[], 25.0),
        (&["--ping-interval", "7"], 7.0),
        (&["--ping-interval", "90s"], 90.0),
        (&["--ping-interval", "0"], 0.0),
    ];
    for (flags, seconds) in rows {
        let server = Server::start(flags);
        let client = Client::connect(&server);
        let told = client.welcome().data()["ping_interval"].as_f64();
        assert_eq!(told, Some(seconds), "with {flags:?}: {:?}", client.welcome());
    }
}

#[test]
fn whoever_was_greeted_hears_every_later_broadcast() {
    let server = Server::start(&[]);
    let mut speaker = Client::connect_on(&server, 0);
    for round in 0..50 {
        let mut newcomer = Client::connect(&server);
        speaker.broadcast("notice", json!(round));
        // One that was sent before the welcome may still have been on its way to this shard.
        let mut first = newcomer.recv_event("notice").data();
        while first.as_u64().unwrap() < round {
            first = newcomer.recv_event("notice").data();
        }
        assert_eq!(first, json!(round), "nothing is missed after the welcome");
        assert_eq!(speaker.recv_event("notice").data(), json!(round));
    }
}
