//! Proves that publishers faster than the members are slowed down, and nobody is thrown out.

use crate::support::{Client, Crowd, Envelope, Member, Outbox, Server, heavy, wait_until};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

const MEMBERS: usize = 100;
const PUBLISHERS: u64 = 8;
const EACH: u64 = 500;
const ROOM_LOG: u64 = 256 * 1024;

#[test]
fn everybody_gets_everything_and_the_log_stays_bounded() {
    let _heavy = heavy();
    let server = Server::start(&["--room-log", "256KiB"]);
    let (joined, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut largest = 0;
    thread::scope(|scope| {
        let crowd = scope.spawn(|| {
            let members = (0..MEMBERS).map(|_| Listener { joined: &joined, next: 0 });
            let mut crowd = Crowd::connect(server.address(), members);
            crowd.run();
            done.store(true, Ordering::SeqCst);
        });
        wait_until("all are members", || joined.load(Ordering::SeqCst) == MEMBERS);
        for publisher in 0..PUBLISHERS {
            let server = &server;
            scope.spawn(move || publish_at_once(server, publisher));
        }
        while !done.load(Ordering::SeqCst) && !crowd.is_finished() {
            let stats = server.stats();
            for shard in stats["shards"].as_array().unwrap() {
                largest = largest.max(shard["log_bytes_max_room"].as_u64().unwrap());
            }
        }
    });
    // The press stops the publishers at half the limit; what was under way then comes on top.
    assert!(largest <= 2 * ROOM_LOG, "the log grew to {largest} bytes");
    assert_eq!(server.closed("slow"), 0, "every member's socket was writable");
    assert_eq!(server.total("published"), PUBLISHERS * EACH);
    wait_until("all is released", || {
        server.total("pressed_rooms") + server.total("paused") + server.total("log_bytes") == 0
    });
}

/// Sends everything without waiting for anything; only the last message asks for an ack.
fn publish_at_once(server: &Server, publisher: u64) {
    let mut client = Client::connect_on(server, publisher % 2);
    for n in 1..=EACH {
        let inner = json!({"event": "chat", "data": "x".repeat(2048)});
        let mut command = json!({"event": "cast:publish", "room": "r", "data": inner});
        if n == EACH {
            command["id"] = json!("last");
        }
        client.send(&command);
    }
    let ack = client.recv_event("cast:ack");
    assert_eq!(ack.value("id"), json!("last"), "every message before it was taken: {ack:?}");
}

#[derive(Debug)]
struct Listener<'a> {
    joined: &'a AtomicUsize,
    next: u64,
}

impl Member for Listener<'_> {
    fn on_welcome(&mut self, _: &Envelope, out: &mut Outbox) {
        out.send(r#"{"event":"cast:join","room":"r"}"#);
    }

    fn on_message(&mut self, text: &str, _: &mut Outbox) {
        let envelope = Envelope::parse(text);
        if self.next == 0 {
            assert_eq!(envelope.event(), "cast:joined", "in {envelope:?}");
            self.joined.fetch_add(1, Ordering::SeqCst);
        } else {
            assert_eq!(envelope.offset(), self.next, "no hole, no repeat");
        }
        self.next += 1;
    }

    fn is_done(&self) -> bool {
        self.next > PUBLISHERS * EACH
    }
}
