//! Proves that rooms of certain names have policies of their own, and that what is no policy is
//! refused with what would be one.

use crate::support::{Client, Raw, Server, refused, serve, wait_until};
use serde_json::{Value, json};

const MESSAGES: u64 = 200;

fn filling(n: u64) -> Value {
    json!({"n": n, "filling": "x".repeat(8 * 1024)})
}

/// A member that reads nothing until it is asked to.
fn stalled_member(server: &Server, room: &str) -> Raw {
    let mut raw = Raw::open_narrow(server);
    raw.send(&json!({"event": "cast:join", "room": room}));
    assert_eq!(raw.envelope().event(), "cast:joined");
    raw
}

fn publish_much(server: &Server, room: &str) {
    let mut publisher = Client::connect(server);
    (1..=MESSAGES).for_each(|n| assert_eq!(publisher.publish(room, "m", filling(n)), n));
}

/// The reasons of the gaps up to the last message, and whether that one came itself.
fn read_gaps(raw: &mut Raw) -> (Vec<String>, bool) {
    let (mut reasons, mut next) = (Vec::new(), 1);
    loop {
        let envelope = raw.envelope();
        if envelope.event() == "cast:gap" {
            assert_eq!(envelope.data_number("from"), next, "gaps are exact");
            reasons.push(envelope.data()["reason"].as_str().unwrap().to_owned());
            next = envelope.data_number("to") + 1;
        } else {
            assert_eq!(envelope.offset(), next, "messages come in order");
            next += 1;
        }
        if next > MESSAGES {
            return (reasons, envelope.event() == "m");
        }
    }
}

const FLAGS: &[&str] = &["--room-log", "256KiB", "--send-buffer", "32KiB"];

#[test]
fn the_first_pattern_that_stands_for_a_room_decides() {
    let rules = ["--room", "news.uk:slow=skip", "--room", "news.*:slow=latest"];
    let server = Server::start(&[FLAGS, &rules].concat());
    let rooms = ["news.uk", "news.fr", "chat", "news."];
    let mut members: Vec<Raw> = rooms.iter().map(|room| stalled_member(&server, room)).collect();
    rooms.iter().for_each(|room| publish_much(&server, room));
    wait_until("those that none of the patterns stands for are closed", || {
        server.closed("slow") == 2
    });
    let (reasons, _) = read_gaps(&mut members[0]);
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| reason == "slow"), "{reasons:?}");
    let (reasons, newest) = read_gaps(&mut members[1]);
    assert!(!reasons.is_empty() && reasons.iter().all(|reason| reason == "latest"), "{reasons:?}");
    assert!(newest, "the newest message comes itself");
}

#[test]
fn a_room_has_a_log_of_its_own_size() {
    let rules = ["--slow", "skip", "--room", "small.*:log=64KiB"];
    let server = Server::start(&[FLAGS, &rules].concat());
    let mut publisher = Client::connect(&server);
    // The most that a room's log ever has while a member reads nothing.
    let mut most = |room: &str| {
        let member = stalled_member(&server, room);
        let held = (1..=MESSAGES).map(|n| {
            publisher.publish(room, "m", filling(n));
            server.total("log_bytes")
        });
        let most = held.max().unwrap();
        drop(member);
        server.wait_for_total("log_bytes", 0);
        most
    };
    let (small, large) = (most("small.a"), most("large"));
    assert!((32 << 10..=64 << 10).contains(&small), "{small} bytes are held of 64 KiB");
    assert!((192 << 10..=256 << 10).contains(&large), "{large} bytes are held of 256 KiB");
}

#[test]
fn a_log_smaller_than_a_message_delays_and_loses_nothing() {
    let server = Server::start(&["--room", "*:log=4KiB"]);
    let (mut member, mut publisher) = (Client::connect(&server), Client::connect(&server));
    member.join("r");
    for n in 1..=20 {
        let data = json!({"n": n, "filling": "x".repeat(100_000)});
        assert_eq!(publisher.publish("r", "m", data), n);
        assert_eq!(member.recv_event("m").data()["n"], n);
    }
}

#[test]
fn the_environment_has_one_policy_per_line() {
    let mut command =
        serve(&["--listen", "127.0.0.1:0", "--shards", "1", "--send-buffer", "32KiB"]);
    command.env("CORECAST_ROOM", "a.*:slow=latest,log=64KiB\n*:slow=skip");
    let server = Server::spawn(command, 1);
    let mut member = stalled_member(&server, "a.1");
    publish_much(&server, "a.1");
    assert!(read_gaps(&mut member).0.iter().all(|reason| reason == "latest"));
}

#[test]
fn what_is_no_policy_is_refused_with_what_would_be() {
    for (policy, words) in [
        ("ticker.*", "PATTERN:KEY=VALUE"),
        ("ticker.*:fast=1", "keys are slow (disconnect, skip or latest), log (a size"),
        ("ticker.*:slow=never", "disconnect, skip or latest"),
        ("ticker.*:log=1KiB", "at least 4096"),
        ("ticker.*:linger=999us", "such as 5ms"),
        ("ticker.*:linger=0", "from 1 millisecond to 10 seconds"),
        ("ticker.*:linger=11s", "from 1 millisecond to 10 seconds"),
        ("ticker.*:linger=5ms,linger-bytes=0", "from 1 byte"),
        ("ticker.*:linger-bytes=1KiB", "write linger=5ms"),
        (":log=1MiB", "a pattern is empty"),
        ("*********:log=1MiB", "at most 8"),
    ] {
        let outcome = refused(serve(&["--listen", "127.0.0.1:0", "--room", policy]));
        assert!(matches!(outcome.code, Some(1 | 2)), "{policy}: {:?}", outcome.code);
        assert!(outcome.stderr.contains(words), "{policy}: {}", outcome.stderr);
    }
    let many = ["--room", "r:slow=skip"].repeat(257);
    let outcome = refused(serve(&[&["--listen", "127.0.0.1:0"], &many[..]].concat()));
    outcome.assert_readable(&["256"]);
}
