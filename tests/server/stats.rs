//! Proves that the per-shard figures are true, and that every limit is shown with its value.

use crate::support::{Client, Server, wait_until};
use serde_json::{Value, json};

fn sum(stats: &Value, figure: &str) -> u64 {
    let shards = stats["shards"].as_array().unwrap();
    shards.iter().map(|shard| shard[figure].as_u64().unwrap()).sum()
}

#[test]
fn connections_memberships_and_rooms_are_exact() {
    let server = Server::start_with_shards(3, &[]);
    let mut clients: Vec<Client> = (0..12).map(|_| Client::connect(&server)).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.join("common");
        client.join(&format!("own-{index}"));
    }
    let stats = server.stats();
    assert_eq!(stats["connections"], json!(12));
    assert_eq!(sum(&stats, "connections"), 12);
    assert_eq!(sum(&stats, "memberships"), 24);
    assert_eq!(sum(&stats, "rooms"), 13, "a room counts at its home only");
    for (index, shard) in stats["shards"].as_array().unwrap().iter().enumerate() {
        assert_eq!(shard["shard"], json!(index));
        assert!(shard["core"].is_null() || shard["core"].is_u64(), "in {shard}");
        let here = clients.iter().filter(|client| client.shard() == index as u64).count();
        assert_eq!(shard["connections"], json!(here), "every connection counts at its own shard");
        assert_eq!(shard["memberships"], json!(2 * here));
    }
    drop(clients.split_off(6));
    wait_until("half is gone", || {
        let stats = server.stats();
        stats["connections"] == json!(6) && sum(&stats, "memberships") == 12
    });
}

#[test]
fn published_and_delivered_count_messages() {
    let server = Server::start(&[]);
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(&server)).collect();
    clients.iter_mut().for_each(|client| drop(client.join("r")));
    for n in 0..10 {
        clients[0].publish("r", "chat", json!(n));
    }
    for client in &mut clients {
        (0..10).for_each(|_| drop(client.recv_event("chat")));
    }
    assert_eq!(server.total("published"), 10);
    // Whether replies count as delivered frames too is not said; the messages do.
    wait_until("all is counted", || server.total("delivered") >= 40);
    wait_until("the log is empty", || server.total("log_bytes") == 0);
    for figure in ["log_bytes_max_room", "paused", "pressed_rooms", "blocked", "gaps"] {
        assert_eq!(server.total(figure), 0, "{figure} of a quiet server");
    }
}

#[test]
fn every_limit_is_shown() {
    // Each flag, a value other than the default, and how the stats show it.
    let rows = [
        ("--max-message", "128KiB", "max_message", 131_072.0),
        ("--max-head", "8KiB", "max_head", 8192.0),
        ("--handshake-timeout", "3s", "handshake_timeout", 3.0),
        ("--max-rooms", "7", "max_rooms", 7.0),
        ("--room-log", "1MiB", "room_log", 1_048_576.0),
        ("--slow-timeout", "2500ms", "slow_timeout", 2.5),
        ("--own-bytes", "262144", "own_bytes", 262_144.0),
        ("--message-timeout", "1500ms", "message_timeout", 1.5),
        ("--max-connections", "99", "max_connections", 99.0),
    ];
    let flags: Vec<&str> = rows.iter().flat_map(|(flag, value, ..)| [*flag, *value]).collect();
    let limits = Server::start(&flags).stats()["limits"].clone();
    for (_, _, name, value) in rows {
        assert_eq!(limits[name].as_f64(), Some(value), "{name} in {limits}");
    }
}

#[test]
fn the_default_limits_are_those_of_the_contract() {
    let limits = Server::start(&[]).stats()["limits"].clone();
    let rows = [
        ("max_message", 262_144.0),
        ("max_head", 16_384.0),
        ("handshake_timeout", 10.0),
        ("max_rooms", 128.0),
        ("room_log", 4_194_304.0),
        ("slow_timeout", 10.0),
        ("own_bytes", 524_288.0),
    ];
    for (name, value) in rows {
        assert_eq!(limits[name].as_f64(), Some(value), "{name} in {limits}");
    }
}
