//! Proves that a member gets everything when more pieces of memory wait for it than one send can
//! carry.

use crate::support::{Raw, Server, frames, heavy};
use serde_json::json;

/// Rooms whose members are served before the publisher is, so that much piles up for it.
const ROOMS: usize = 12;
const MEMBERS: usize = 64;
const BURSTS: u64 = 20;
const EACH: u64 = 400;

/// What is written in one go: one message to each of the other rooms, then messages to the
/// publisher's own room of which it gets every second one.
fn burst() -> Vec<u8> {
    let mut bytes = Vec::new();
    for room in 0..ROOMS {
        let command =
            json!({"event": "cast:publish", "room": room.to_string(), "data": {"event": "m"}});
        bytes.extend(frames::text(&command.to_string()));
    }
    for n in 0..2 * EACH {
        let data = json!({"event": "m", "echo": n % 2 == 0});
        let command = json!({"event": "cast:publish", "room": "v", "data": data});
        bytes.extend(frames::text(&command.to_string()));
    }
    bytes
}

fn member(server: &Server, room: &str) -> Raw {
    let mut raw = Raw::open(server);
    raw.send(&json!({"event": "cast:join", "room": room}));
    assert_eq!(raw.envelope().event(), "cast:joined");
    raw
}

#[test]
fn who_does_not_hear_every_second_message_hears_all_the_others() {
    let _heavy = heavy();
    let server = Server::start_with_shards(1, &[]);
    // They need not read: what they get fits into their sockets.
    let _members: Vec<Raw> =
        (0..ROOMS * MEMBERS).map(|n| member(&server, &(n % ROOMS).to_string())).collect();
    let mut publisher = member(&server, "v");
    let burst = burst();
    let mut offset = 1;
    for _ in 0..BURSTS {
        publisher.write(&burst);
        for _ in 0..EACH {
            assert_eq!(publisher.envelope().offset(), offset);
            offset += 2;
        }
    }
    assert_eq!(server.total("published"), BURSTS * (2 * EACH + ROOMS as u64));
}
