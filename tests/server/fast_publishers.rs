//! Proves that publishers faster than the members can be served are slowed down, that the log stays
//! bounded, and that nobody whose socket takes bytes is thrown out.

use crate::big_room::{Listener, Story};
use crate::support::{Client, Crowd, Server, heavy, wait_until};
use serde_json::json;
use std::thread;
use std::time::Duration;

const MEMBERS: usize = 2000;
const PUBLISHERS: u64 = 8;
const EACH: u64 = 100;
/// A message is about 260 bytes on the wire, so that all of them, 208 KB, fit into a socket's own
/// buffers: whatever the scheduler does to this process, no member's socket ever refuses bytes. Yet
/// they are six times the log, so that publishers which nobody slows overrun it.
const MESSAGE_BYTES: usize = 200;
const ROOM_LOG: u64 = 32 * 1024;

#[test]
fn everybody_gets_everything_and_the_log_stays_bounded() {
    let _heavy = heavy();
    let server = Server::start(&["--room-log", "32KiB", "--max-message", "4KiB"]);
    let story = Story::new(PUBLISHERS * EACH);
    let mut largest = 0;
    thread::scope(|scope| {
        let crowds = [(); 2].map(|()| {
            scope.spawn(|| {
                let members = (0..MEMBERS / 2).map(|_| Listener::new(&story));
                Crowd::connect(server.address(), members).run();
            })
        });
        story.wait_for_listeners(MEMBERS);
        for publisher in 0..PUBLISHERS {
            let server = &server;
            scope.spawn(move || publish_at_once(server, publisher));
        }
        while !crowds.iter().all(|crowd| crowd.is_finished()) {
            let stats = server.stats();
            for shard in stats["shards"].as_array().unwrap() {
                largest = largest.max(shard["log_bytes_max_room"].as_u64().unwrap());
            }
            thread::sleep(Duration::from_millis(10));
        }
    });
    // Publishing pauses at half the limit; what was under way between the shards comes on top.
    assert!(largest <= 4 * ROOM_LOG, "the log grew to {largest} bytes");
    assert_eq!(server.closed("slow"), 0, "every member's socket was writable");
    assert_eq!(server.total("published"), PUBLISHERS * EACH);
    wait_until("all is released", || {
        ["pressed_rooms", "paused", "log_bytes"].iter().all(|figure| server.total(figure) == 0)
    });
}

/// Sends everything without waiting for anything; only the last message asks for an ack.
fn publish_at_once(server: &Server, publisher: u64) {
    let mut client = Client::connect_on(server, publisher % 2);
    for n in 1..=EACH {
        let inner = json!({"event": "chat", "data": format!("{publisher} {n:MESSAGE_BYTES$}")});
        let mut command = json!({"event": "cast:publish", "room": "r", "data": inner});
        if n == EACH {
            command["id"] = json!("last");
        }
        client.send(&command);
    }
    let ack = client.recv_event("cast:ack");
    assert_eq!(ack.value("id"), json!("last"), "every message before it was taken: {ack:?}");
}
