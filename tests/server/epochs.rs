//! Proves how long a room lives, and that each of its lives has another epoch.

use crate::support::{Client, Server, wait_until};
use serde_json::json;
use std::collections::HashSet;
use std::thread;
use std::time::Duration;

#[test]
fn a_lingering_room_keeps_offset_and_epoch() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    let first = client.join("r");
    client.publish("r", "chat", json!(1));
    client.leave("r");
    drop(client);
    server.wait_for_total("connections", 0);

    let again = Client::connect(&server).join("r");
    assert_eq!((again.offset, again.epoch), (1, first.epoch));
}

#[test]
fn after_its_linger_a_room_begins_anew() {
    let server = Server::start(&["--room-linger", "1s"]);
    let mut client = Client::connect(&server);
    let mut epochs = HashSet::new();
    for _ in 0..3 {
        for room in ["published", "silent"] {
            let joined = client.join(room);
            assert_eq!(joined.offset, 0, "offsets begin anew");
            epochs.insert(joined.epoch);
        }
        assert_eq!(client.publish("published", "chat", json!(1)), 1);
        assert_eq!(client.recv_event("chat").offset(), 1);
        client.leave("published");
        client.leave("silent");
        for room in ["published", "silent"] {
            let target = format!("/v1/rooms/{room}");
            wait_until("the room is forgotten", || server.get(&target).status == 404);
        }
    }
    assert_eq!(epochs.len(), 6, "no life shares its epoch with another");
}

#[test]
fn a_room_with_a_member_never_ends() {
    let server = Server::start(&["--room-linger", "200ms"]);
    let mut member = Client::connect(&server);
    let epoch = member.join("r").epoch;
    member.publish("r", "chat", json!(1));
    thread::sleep(Duration::from_secs(2));
    let seen = Client::connect(&server).join("r");
    assert_eq!((seen.offset, seen.epoch), (1, epoch));
}

#[test]
fn too_many_lingering_rooms_cost_the_oldest() {
    let server = Server::start_with_shards(1, &["--max-lingering-rooms", "10"]);
    let mut client = Client::connect(&server);
    client.join("inhabited");
    for n in 0..30 {
        client.publish(&format!("room-{n:02}"), "chat", json!(n));
    }
    let names = || -> Vec<String> {
        let list = server.get("/v1/rooms").json();
        let rooms = list["rooms"].as_array().unwrap().iter();
        rooms.map(|room| room["room"].as_str().unwrap().to_owned()).collect()
    };
    let expected: Vec<String> =
        ["inhabited".to_owned()].into_iter().chain((20..30).map(|n| format!("room-{n}"))).collect();
    wait_until("only the ten youngest linger", || names() == expected);
}

#[test]
fn each_shard_keeps_a_lingering_room_unless_none_may_linger() {
    for (most, lingering) in [("0", 0), ("1", 4), ("3", 4)] {
        let server = Server::start_with_shards(4, &["--max-lingering-rooms", most]);
        let mut client = Client::connect(&server);
        client.join("inhabited");
        for n in 0..50 {
            client.publish(&format!("room-{n:02}"), "chat", json!(n));
        }
        let rooms = server.get("/v1/rooms").json()["rooms"].as_array().unwrap().len();
        assert_eq!(rooms, 1 + lingering, "with --max-lingering-rooms {most}");
    }
}

#[test]
fn two_servers_never_share_an_epoch() {
    let epoch = || {
        let server = Server::start(&[]);
        Client::connect(&server).join("r").epoch
    };
    assert_ne!(epoch(), epoch());
}
