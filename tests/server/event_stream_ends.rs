//! Proves how a stream of events ends, and that a client which stalls or goes away costs what a
//! member over a WebSocket costs.

use crate::support::{Client, Events, Server, assert_retry, events_head, wait_until};
use crate::support::{Raw, heavy};
use serde_json::{Value, json};
use std::collections::HashSet;

fn filling(n: u64) -> Value {
    json!({"n": n, "filling": "x".repeat(8 * 1024)})
}

#[test]
fn a_client_that_goes_away_is_a_member_no_longer() {
    let server = Server::start(&[]);
    let mut member = Client::connect(&server);
    assert_eq!(member.join("r").members, 1);
    let mut end: Vec<fn(Raw)> = vec![drop, Raw::reset];
    // One that ends its half is a member no longer either, and may still read why.
    end.push(|mut raw| {
        raw.half_close();
        raw.read_to_end();
    });
    for end in end {
        let stream = Events::join(server.address(), "r");
        assert_eq!(server.get("/v1/rooms/r").json()["members"], 2);
        assert_eq!(server.stats()["connections"], json!(2));
        end(stream.into_raw());
        wait_until("it is no member", || server.members("r") == 1);
        wait_until("it is no connection", || server.stats()["connections"] == json!(1));
    }
    assert_eq!(server.closed("lost"), 3);
    assert_eq!(member.publish("r", "chat", json!(null)), 1);
}

#[test]
fn a_client_that_ends_its_side_is_answered_to_the_end() {
    let server = Server::start(&[]);
    // The rooms have their homes on either shard, that of the connection or the other.
    for n in 0..100 {
        let mut raw = Raw::dial(server.address());
        raw.write(events_head(&format!("r{n}"), "").as_bytes());
        if n % 3 == 0 {
            raw.write(b"bytes that belong to no request");
        }
        raw.half_close();
        let mut stream = Events::begun(raw);
        assert_eq!(stream.event_or_close().expect_err("the end"), "lost", "stream {n}");
    }
    wait_until("none is a connection", || server.stats()["connections"] == json!(0));
    assert_eq!(server.closed("lost"), 100);
}

#[test]
fn a_crowd_that_goes_away_leaves_nothing_behind() {
    let _heavy = heavy();
    let server = Server::start(&[]);
    let before = server.descriptors();
    for _ in 0..3 {
        let crowd: Vec<Events> =
            (0..200).map(|n| Events::join(server.address(), &format!("r{}", n % 20))).collect();
        wait_until("all are there", || server.total("connections") == 200);
        drop(crowd);
        wait_until("all have gone", || server.total("connections") == 0);
        wait_until("none is a member", || server.total("memberships") == 0);
    }
    wait_until("all are closed", || server.descriptors() <= before);
}

#[test]
fn a_client_that_goes_before_it_is_answered_leaves_nothing_behind() {
    let server = Server::start(&[]);
    for n in 0..200 {
        let mut raw = Raw::dial(server.address());
        raw.write(events_head("r", "").as_bytes());
        if n % 2 == 0 {
            raw.reset();
        }
    }
    wait_until("all have gone", || server.total("connections") == 0);
    wait_until("none is a member", || server.members("r") == 0);
}

#[test]
fn a_stream_whose_id_presence_shows_is_ended_by_it_and_hears_no_emit() {
    let server = Server::start(&[]);
    let mut stream = Events::join(server.address(), "r");
    let mut other = Events::join(server.address(), "other");
    let presence = server.get("/v1/rooms/r/presence").json();
    assert_eq!(presence["count"], json!(1), "{presence}");
    let id = presence["users"][0]["user"].as_str().expect("its connection id");
    server.post(&format!("/v1/connections/{id}/emit"), r#"{"event":"e"}"#).assert_error(404);
    assert_eq!(server.delete(&format!("/v1/connections/{id}")).status, 202);
    assert_eq!(stream.event_or_close().expect_err("the end, and no emit before"), "kicked");
    wait_until("it is gone", || {
        server.delete(&format!("/v1/connections/{id}")).status == 404 && server.members("r") == 0
    });
    server.post("/v1/rooms/other/publish", r#"{"event":"e"}"#);
    assert_eq!(other.envelope().offset(), 1, "no other has ended");
}

#[test]
fn a_server_that_ends_sends_what_it_acknowledged_and_says_so() {
    let mut server = Server::start(&["--drain-timeout", "60s"]);
    let mut streams: Vec<Events> = (0..20).map(|_| Events::join(server.address(), "r")).collect();
    let mut publisher = Client::connect(&server);
    for n in 1..=100 {
        publisher.publish("r", "chat", json!(n));
    }
    server.signal(libc::SIGTERM);
    let mut reasons = HashSet::new();
    for stream in &mut streams {
        for n in 1..=100 {
            assert_eq!(stream.envelope().offset(), n, "acknowledged before the signal");
        }
        let reason = stream.event_or_close().expect_err("the end");
        reasons.insert(reason.clone());
        assert_retry(reason, "shutdown");
    }
    assert!(reasons.len() > 5, "the times to come back are spread: {reasons:?}");
    drop((streams, publisher));
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn what_is_pending_is_sent_before_the_end() {
    let mut server = Server::start(&["--send-buffer", "32KiB", "--drain-timeout", "60s"]);
    let mut stream = Events::join_narrow(server.address(), "r");
    let mut publisher = Client::connect(&server);
    for n in 1..=100 {
        publisher.publish("r", "chat", filling(n));
    }
    server.signal(libc::SIGTERM);
    for n in 1..=100 {
        assert_eq!(stream.envelope().offset(), n, "acknowledged before the signal");
    }
    stream.expect_close("shutdown");
    drop((stream, publisher));
    assert_eq!(server.wait().code(), Some(0));
}

const MESSAGES: u64 = 300;

/// A server that soon notices a stalled reader, and gives it all the time for its last comment.
fn start(more: &[&str]) -> Server {
    let flags = ["--room-log", "256KiB", "--send-buffer", "32KiB", "--close-timeout", "600s"];
    Server::start(&[&flags, more].concat())
}

/// Publishes ten times what the log and the socket's buffers hold, to healthy members of both kinds
/// on both shards, which take all of it.
fn publish_to_healthy_members(server: &Server) {
    let mut sockets: Vec<Client> = (0..4).map(|n| Client::connect_on(server, n % 2)).collect();
    sockets.iter_mut().for_each(|socket| drop(socket.join("r")));
    let mut streams: Vec<Events> = (0..4).map(|_| Events::join(server.address(), "r")).collect();
    let mut publisher = Client::connect(server);
    for n in 1..=MESSAGES {
        assert_eq!(publisher.publish("r", "chat", filling(n)), n);
        sockets.iter_mut().for_each(|socket| assert_eq!(socket.recv_event("chat").offset(), n));
        streams.iter_mut().for_each(|stream| assert_eq!(stream.envelope().offset(), n));
    }
}

#[test]
fn under_disconnect_a_stalled_reader_finds_whole_events_and_then_the_reason() {
    let server = start(&["--slow", "disconnect"]);
    let mut stalled =
        [Events::join_narrow(server.address(), "r"), Events::join_narrow(server.address(), "r")];
    publish_to_healthy_members(&server);
    wait_until("both are closed", || server.closed("slow") == 2);
    assert_eq!(server.total("gaps"), 0);
    for stream in &mut stalled {
        let mut next = 1;
        let reason = loop {
            match stream.event_or_close() {
                Ok(event) => assert_eq!(event.envelope().offset(), next, "whole and in order"),
                Err(reason) => break reason,
            }
            next += 1;
        };
        assert!((2..=MESSAGES).contains(&next), "closed between its first and last: {next}");
        assert_retry(reason, "slow");
    }
}

#[test]
fn under_skip_a_stalled_reader_finds_a_gap_that_says_exactly_what_it_missed() {
    let server = start(&["--slow", "skip"]);
    let mut stalled =
        [Events::join_narrow(server.address(), "r"), Events::join_narrow(server.address(), "r")];
    publish_to_healthy_members(&server);
    for stream in &mut stalled {
        assert!(read_with_gaps(stream) > 0, "it cannot have got everything");
    }
    // A stream that has caught up is a member like any other.
    Client::connect(&server).publish("r", "chat", json!("live"));
    for stream in &mut stalled {
        assert_eq!(stream.envelope().data(), json!("live"));
    }
    assert!(server.total("gaps") >= 2);
    assert_eq!(server.closed("slow"), 0, "none is disconnected under skip");
}

/// Reads until every offset up to the last was sent or announced as skipped; returns how many were
/// skipped.
fn read_with_gaps(stream: &mut Events) -> u64 {
    let (mut missed, mut next) = (0, 1);
    while next <= MESSAGES {
        let event = stream.event();
        if event.name.is_none() {
            assert_eq!(event.envelope().offset(), next, "after {missed} skipped ones");
            next += 1;
            continue;
        }
        let (from, to) = event.gap("r");
        assert_eq!(event.position().1, to, "a client that comes back goes on behind it");
        assert_eq!(from, next, "a gap begins behind the last message: {event:?}");
        assert!(to >= from && to <= MESSAGES, "in {event:?}");
        missed += to - from + 1;
        next = to + 1;
    }
    missed
}

#[test]
fn a_socket_that_refuses_bytes_for_too_long_is_slow_even_with_room_in_the_log() {
    let flags = ["--room-log", "16MiB", "--slow-timeout", "1s"];
    let server = start(&flags);
    let mut stream = Events::join_narrow(server.address(), "r");
    let mut publisher = Client::connect(&server);
    for n in 1..=100 {
        publisher.publish("r", "chat", filling(n));
    }
    wait_until("it is closed", || server.closed("slow") == 1);
    let reason = loop {
        if let Err(reason) = stream.event_or_close() {
            break reason;
        }
    };
    assert_retry(reason, "slow");
}

#[test]
fn a_stalled_client_holds_up_a_drain_for_the_slow_timeout_only() {
    for policy in ["disconnect", "skip"] {
        let timeouts = ["--slow-timeout", "1s", "--close-timeout", "1s"];
        let others = ["--slow", policy, "--send-buffer", "32KiB", "--drain-timeout", "600s"];
        let mut server = Server::start(&[&timeouts[..], &others].concat());
        let _stalled = Events::join_narrow(server.address(), "r");
        let mut publisher = Client::connect(&server);
        for n in 1.. {
            publisher.publish("r", "chat", filling(n));
            if server.total("blocked") > 0 {
                break;
            }
            assert!(n < 100, "the socket takes everything");
        }
        // Otherwise this would take ten minutes.
        assert_eq!(server.terminate().code(), Some(0), "{policy}");
    }
}
