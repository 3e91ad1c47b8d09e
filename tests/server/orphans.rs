//! Proves that a peer which was cut costs the kernel nothing for long.

use crate::support::{Client, Raw, Server, heavy, wait_until};
use serde_json::json;

/// Sockets of this local port that nobody owns any more and that still hold bytes (FIN-WAIT-1).
fn orphans(port: u16) -> usize {
    const FIN_WAIT_1: &str = "04";
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let is_orphan = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().is_some_and(|local| local.ends_with(&format!(":{port:04X}")));
        local && fields.nth(1) == Some(FIN_WAIT_1)
    };
    sockets.lines().filter(is_orphan).count()
}

#[test]
fn what_a_cut_reader_has_not_taken_is_given_up() {
    let _heavy = heavy();
    let server = Server::start(&["--slow-timeout", "1s", "--close-timeout", "1s"]);
    let mut stalled = Raw::open_narrow(&server);
    stalled.send(&json!({"event": "cast:join", "room": "r"}));
    assert_eq!(stalled.envelope().event(), "cast:joined");
    let mut publisher = Client::connect(&server);
    publisher.join("r");
    let data = "x".repeat(60_000);
    while server.closed("slow") == 0 {
        publisher.publish("r", "m", json!(data));
        publisher.recv_event("m");
    }
    let port = server.address().port();
    wait_until("it is cut", || orphans(port) == 1);
    wait_until("the kernel has forgotten it", || orphans(port) == 0);
}
