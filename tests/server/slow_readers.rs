//! Proves that a stalled reader costs itself only, and learns what it cost: a goodbye or a gap.

use crate::support::{Client, Close, Raw, Server, wait_until};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const ROOM_LOG: u64 = 256 * 1024;
const HEALTHY: u64 = 10;
const MESSAGES: u64 = 300;
/// Three hundred of them are ten times what the log and the socket's buffers can hold.
const MESSAGE_BYTES: usize = 8 * 1024;

/// A server that soon notices a stalled reader, and gives it all the time for its goodbye.
fn start(more: &[&str]) -> Server {
    let flags = ["--room-log", "256KiB", "--send-buffer", "32KiB", "--close-timeout", "600s"];
    Server::start(&[&flags, more].concat())
}

fn filling(n: u64) -> Value {
    json!({"n": n, "filling": "x".repeat(MESSAGE_BYTES)})
}

fn stalled_member(server: &Server) -> Raw {
    let mut raw = Raw::open_narrow(server);
    raw.send(&json!({"event": "cast:join", "room": "r"}));
    assert_eq!(raw.envelope().event(), "cast:joined");
    raw
}

/// As many messages as a member that is not scheduled for a while may have before it, and not look
/// stalled: those that fit into the log.
const LOGGED: u64 = 10;
/// The same where a member looks stalled once its socket has blocked: those that fit into the
/// server's send buffer.
const BUFFERED: u64 = 2;

/// Publishes everything while healthy members on both shards take all of it. The publisher waits
/// for them whenever it is so many messages ahead.
fn publish_to_healthy_members(server: &Server, ahead: u64) {
    let heard = AtomicU64::new(0);
    let members: Vec<Client> = (0..HEALTHY).map(|n| Client::connect_on(server, n % 2)).collect();
    thread::scope(|scope| {
        for mut client in members {
            client.join("r");
            let heard = &heard;
            scope.spawn(move || {
                for n in 1..=MESSAGES {
                    let message = client.recv_event("chat");
                    assert_eq!((message.offset(), message.data()["n"].as_u64()), (n, Some(n)));
                    heard.fetch_add(1, Ordering::SeqCst);
                }
                client.assert_nothing_pending();
            });
        }
        let mut publisher = Client::connect(server);
        for n in 1..=MESSAGES {
            assert_eq!(publisher.publish("r", "chat", filling(n)), n);
            if n % ahead == 0 {
                check_log(server);
                wait_until("all have heard it", || heard.load(Ordering::SeqCst) == HEALTHY * n);
            }
        }
    });
}

fn check_log(server: &Server) {
    let stats = server.stats();
    for shard in stats["shards"].as_array().unwrap() {
        let held = shard["log_bytes_max_room"].as_u64().unwrap();
        assert!(held <= ROOM_LOG, "a log of {held} bytes is beyond its limit: {shard}");
    }
}

#[test]
fn under_disconnect_it_finds_whole_frames_and_then_1013() {
    let server = start(&["--slow", "disconnect"]);
    let mut stalled = [stalled_member(&server), stalled_member(&server)];
    publish_to_healthy_members(&server, LOGGED);
    wait_until("both are closed", || server.closed("slow") == 2);
    for raw in &mut stalled {
        let (next, close) = read_in_order(raw);
        assert!(next > 1, "something had arrived before it stalled");
        assert!(next <= MESSAGES, "it was closed before it had everything");
        close.assert_retry(1013, "slow");
        raw.expect_end();
    }
    assert_eq!(server.total("gaps"), 0);
}

/// Takes messages without hole or repeat up to the goodbye; returns the offset missing then.
fn read_in_order(raw: &mut Raw) -> (u64, Close) {
    let mut next = 1;
    loop {
        match raw.envelope_or_close() {
            Ok(envelope) => assert_eq!(envelope.offset(), next, "whole frames, in order"),
            Err(close) => return (next, close),
        }
        next += 1;
    }
}

#[test]
fn under_skip_it_finds_a_gap_that_says_exactly_what_it_missed() {
    let server = start(&["--slow", "skip"]);
    let mut stalled = [stalled_member(&server), stalled_member(&server)];
    publish_to_healthy_members(&server, LOGGED);
    for raw in &mut stalled {
        let missed = read_with_gaps(raw, "slow", MESSAGES);
        assert!(missed > 0, "it cannot have got everything");
    }
    // Who has caught up is a member like any other.
    let mut publisher = Client::connect(&server);
    publisher.publish("r", "chat", json!("live"));
    for raw in &mut stalled {
        let live = raw.envelope();
        assert_eq!((live.offset(), live.data()), (MESSAGES + 1, json!("live")));
    }
    assert!(server.total("gaps") >= 2);
    assert_eq!(server.closed("slow"), 0, "nobody is disconnected under skip");
}

#[test]
fn under_latest_it_finds_a_gap_up_to_the_newest_message_and_that() {
    let server = start(&["--slow", "latest"]);
    let mut stalled = [stalled_member(&server), stalled_member(&server)];
    publish_to_healthy_members(&server, BUFFERED);
    let newest_alone = || server.total("log_bytes") <= ROOM_LOG / 2;
    wait_until("no log keeps more for them than the newest messages", newest_alone);
    for raw in &mut stalled {
        let missed = read_with_gaps(raw, "latest", MESSAGES - 1);
        assert!(missed > 0, "it cannot have got everything");
        let newest = raw.envelope();
        assert_eq!((newest.offset(), newest.data()["n"].as_u64()), (MESSAGES, Some(MESSAGES)));
    }
    let mut publisher = Client::connect(&server);
    publisher.publish("r", "chat", json!("live"));
    for raw in &mut stalled {
        assert_eq!(raw.envelope().offset(), MESSAGES + 1);
    }
    assert_eq!(server.closed("slow"), 0, "none is disconnected under latest");
}

/// Reads until every offset up to the last was sent or announced as skipped; returns how many were
/// skipped.
fn read_with_gaps(raw: &mut Raw, reason: &str, last: u64) -> u64 {
    let (mut missed, mut next) = (0, 1);
    while next <= last {
        let envelope = raw.envelope();
        if envelope.event() != "cast:gap" {
            assert_eq!(envelope.offset(), next, "after {missed} skipped ones: {envelope:?}");
            next += 1;
            continue;
        }
        assert_eq!(
            (envelope.room(), envelope.data()["reason"].clone()),
            ("r".into(), json!(reason))
        );
        let (from, to) = (envelope.data_number("from"), envelope.data_number("to"));
        assert_eq!(from, next, "a gap begins behind the last message: {envelope:?}");
        assert!(to >= from && to <= last, "in {envelope:?}");
        assert!(!envelope.has("offset"), "a gap is no message: {envelope:?}");
        missed += to - from + 1;
        next = to + 1;
    }
    missed
}

#[test]
fn a_socket_that_refuses_bytes_for_too_long_is_slow_even_with_room_in_the_log() {
    let flags = ["--room-log", "16MiB", "--slow-timeout", "1s"];
    for policy in ["disconnect", "skip"] {
        let server = start(&[&flags[..], &["--slow", policy]].concat());
        let mut raw = stalled_member(&server);
        let mut publisher = Client::connect(&server);
        for n in 1..=100 {
            publisher.publish("r", "chat", filling(n));
        }
        if policy == "disconnect" {
            wait_until("it is closed", || server.closed("slow") == 1);
            let (_, close) = read_in_order(&mut raw);
            close.assert_retry(1013, "slow");
        } else {
            wait_until("its place is given up", || server.total("log_bytes") == 0);
            assert_eq!(server.closed("slow"), 0, "nobody is disconnected under skip");
            publisher.publish("r", "chat", json!("last"));
            assert!(read_with_gaps(&mut raw, "slow", 101) > 0);
        }
    }
}

#[test]
fn a_reader_that_pauses_for_less_than_the_limits_gets_everything() {
    let server = start(&["--room-log", "16MiB", "--slow-timeout", "600s"]);
    let mut raw = stalled_member(&server);
    let mut publisher = Client::connect(&server);
    for n in 1..=MESSAGES {
        publisher.publish("r", "chat", filling(n));
    }
    for n in 1..=MESSAGES {
        let message = raw.envelope();
        assert_eq!((message.offset(), message.data()["n"].as_u64()), (n, Some(n)));
    }
    wait_until("the log is empty again", || server.total("log_bytes") == 0);
}

#[test]
fn a_stalled_reader_in_one_room_does_not_hold_up_another_room() {
    let server = start(&["--slow", "skip"]);
    let mut stalled = stalled_member(&server);
    let mut member = Client::connect(&server);
    member.join("other");
    let mut publisher = Client::connect(&server);
    for n in 1..=100 {
        publisher.publish("r", "chat", filling(n));
        publisher.publish("other", "chat", json!(n));
        assert_eq!(member.recv_event("chat").offset(), n);
    }
    assert_eq!(stalled.envelope().offset(), 1);
}
