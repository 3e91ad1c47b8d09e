//! Proves that a server which is asked to end first delivers what it acknowledged, then says so.

use crate::support::{Client, Close, Crowd, Envelope, Member, Outbox, Raw, Server, heavy};
use crate::support::{http, upgrade_head, wait_until};
use serde_json::json;
use std::collections::HashSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const MEMBERS: usize = 300;
const PUBLISHERS: u64 = 4;

#[test]
fn every_message_acked_before_the_signal_reaches_every_member() {
    let _heavy = heavy();
    let mut server = Server::start_with_shards(3, &["--drain-timeout", "60s"]);
    let (joined, acked) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let (members, promised) = thread::scope(|scope| {
        let address = server.address();
        let crowd = scope.spawn({
            let joined = &joined;
            move || {
                let members = (0..MEMBERS).map(|_| Listener::new(joined));
                let mut crowd = Crowd::connect(address, members);
                crowd.run();
                crowd.members().map(|member| (member.next - 1, member.retry)).collect::<Vec<_>>()
            }
        });
        wait_until("all are members", || joined.load(Ordering::SeqCst) == MEMBERS);
        for publisher in 0..PUBLISHERS {
            let client = Client::connect_on(&server, publisher % 3);
            let acked = &acked;
            scope.spawn(move || publish_until_closed(client, acked));
        }
        wait_until("there is load", || acked.lock().unwrap().len() >= 500);
        let promised: Vec<u64> = acked.lock().unwrap().clone();
        let status = server.terminate();
        assert_eq!(status.code(), Some(0), "a drained server ends well");
        (crowd.join().unwrap(), promised)
    });
    let last = promised.into_iter().max().unwrap();
    assert_eq!(members.len(), MEMBERS);
    for (heard, _) in &members {
        assert!(*heard >= last, "a member heard up to {heard}, but {last} was acknowledged before");
    }
    let times: HashSet<u64> = members.iter().map(|(_, retry)| retry.unwrap()).collect();
    assert!(times.len() > MEMBERS / 10, "the times to come back are spread: {times:?}");
}

/// Keeps up to 20 messages under way until the server says goodbye, and notes each ack.
fn publish_until_closed(mut client: Client, acked: &Mutex<Vec<u64>>) {
    let inner = json!({"event": "chat", "data": "x".repeat(200)});
    let command = json!({"event": "cast:publish", "room": "r", "id": 1, "data": inner});
    (0..20).for_each(|_| client.send(&command));
    loop {
        match client.envelope_or_close() {
            Ok(ack) => {
                assert_eq!(ack.event(), "cast:ack", "in {ack:?}");
                acked.lock().unwrap().push(ack.data_number("offset"));
                client.try_send(&command);
            }
            Err(close) => return close.assert_retry(1001, "shutdown"),
        }
    }
}

#[derive(Debug)]
struct Listener<'a> {
    joined: &'a AtomicUsize,
    next: u64,
    retry: Option<u64>,
}

impl<'a> Listener<'a> {
    fn new(joined: &'a AtomicUsize) -> Self {
        Self { joined, next: 0, retry: None }
    }
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

    fn on_close(&mut self, code: u16, reason: &str) {
        let close = Close { code, reason: reason.to_owned() };
        close.assert_retry(1001, "shutdown");
        self.retry = reason.split_once("retry=").and_then(|(_, retry)| retry.parse().ok());
    }

    fn is_done(&self) -> bool {
        self.retry.is_some()
    }
}

/// A server that waits for ever for one client which has not ended its half.
fn draining_server() -> (Server, Raw) {
    let flags = ["--drain-timeout", "600s", "--close-timeout", "600s"];
    let mut server = Server::start(&flags);
    let mut holding = Raw::open(&server);
    server.signal(libc::SIGTERM);
    holding.expect_close().assert_retry(1001, "shutdown");
    (server, holding)
}

#[test]
fn while_draining_http_is_served_and_upgrades_are_refused() {
    let (mut server, mut holding) = draining_server();
    server.get("/readyz").assert_error(503);
    assert_eq!(server.get("/healthz").status, 200, "it is alive");
    assert_eq!(server.get("/v1/stats").status, 200);
    for _ in 0..5 {
        let mut raw = Raw::dial(server.address());
        raw.write(upgrade_head("").as_bytes());
        let response = raw.response();
        response.assert_error(503);
        let retry = response.header("retry-after").unwrap_or_default().parse::<u64>();
        assert!(retry.is_ok(), "Retry-After tells seconds: {response:?}");
    }
    let _ = http(server.address(), "POST", "/v1/broadcast", &[], r#"{"event":"late"}"#);
    holding.half_close();
    assert_eq!(server.wait().code(), Some(0));
    assert!(std::net::TcpStream::connect(server.address()).is_err(), "nobody listens any more");
}

#[test]
fn while_draining_every_answer_ends_its_connection() {
    let server = Server::start(&["--close-timeout", "60s", "--drain-timeout", "60s"]);
    let get = "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut kept: Vec<Raw> = (0..4).map(|_| Raw::dial(server.address())).collect();
    for raw in &mut kept {
        raw.write(get.as_bytes());
        let response = raw.response();
        assert_eq!((response.status, response.header("connection")), (200, None));
    }
    let stays = Raw::open(&server);
    let mut server = server;
    server.signal(libc::SIGTERM);
    wait_until("it drains", || http(server.address(), "GET", "/readyz", &[], "").status == 503);
    for raw in &mut kept {
        raw.write(get.as_bytes());
        let response = raw.response();
        response.assert_error(503);
        assert_eq!(response.header("connection"), Some("close"));
        raw.expect_end();
    }
    drop(stays);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for second in [libc::SIGTERM, libc::SIGINT] {
        let (mut server, _holding) = draining_server();
        server.signal(second);
        // Without the signal this would take ten minutes.
        server.wait();
    }
}

#[test]
fn what_remains_after_the_drain_timeout_is_cut() {
    let flags = ["--drain-timeout", "1s", "--close-timeout", "600s"];
    let mut server = Server::start(&flags);
    let mut holding = Raw::open(&server);
    assert_eq!(server.terminate().code(), Some(0));
    holding.expect_close().assert_retry(1001, "shutdown");
}

/// Joins that are to watch are gathered: those that have come are answered before the goodbye.
#[test]
fn a_join_that_waits_to_be_told_who_is_there_is_answered_before_the_goodbye() {
    let mut server = Server::start_with_shards(2, &["--drain-timeout", "60s"]);
    let watch = json!({"event": "cast:join", "room": "r", "data": {"presence": true}});
    let mut first = Client::connect(&server);
    first.send(&watch);
    assert_eq!(first.recv().event(), "cast:joined");
    let mut watchers: Vec<Client> = (0..10).map(|_| Client::connect(&server)).collect();
    for client in &mut watchers {
        client.send(&watch);
        client.send(&json!({"event": "cast:ping"}));
    }
    let heard: Vec<bool> = watchers.iter_mut().map(|client| hears(client, "cast:pong")).collect();
    server.signal(libc::SIGTERM);
    for (mut client, was_joined) in watchers.into_iter().zip(heard) {
        assert!(was_joined || hears(&mut client, "cast:joined"), "it has asked before the signal");
    }
    drop(first);
    assert_eq!(server.wait().code(), Some(0));
}

/// Reads up to this event; whether that or a `cast:joined` before it came.
fn hears(client: &mut Client, event: &str) -> bool {
    let mut is_joined = false;
    loop {
        let Ok(envelope) = client.envelope_or_close() else { return is_joined };
        is_joined |= envelope.event() == "cast:joined";
        if envelope.event() == event {
            return is_joined;
        }
    }
}

#[test]
fn an_interrupt_drains_too() {
    let mut server = Server::start(&[]);
    let mut client = Client::connect(&server);
    server.signal(libc::SIGINT);
    client.expect_close().assert_retry(1001, "shutdown");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_server_without_connections_ends_at_once() {
    let mut server = Server::start(&["--drain-timeout", "600s"]);
    assert_eq!(server.terminate().code(), Some(0));
}

#[test]
fn what_is_pending_is_sent_before_the_goodbye() {
    let mut server = Server::start(&["--send-buffer", "32KiB", "--drain-timeout", "60s"]);
    let mut raw = Raw::open_narrow(&server);
    raw.send(&json!({"event": "cast:join", "room": "r"}));
    assert_eq!(raw.envelope().event(), "cast:joined");
    let mut publisher = Client::connect(&server);
    for n in 1..=100 {
        publisher.publish("r", "chat", json!({"n": n, "filling": "x".repeat(8 * 1024)}));
    }
    server.signal(libc::SIGTERM);
    for n in 1..=100 {
        assert_eq!(raw.envelope().offset(), n, "acknowledged before the signal");
    }
    raw.expect_close().assert_retry(1001, "shutdown");
    drop((raw, publisher));
    assert_eq!(server.wait().code(), Some(0));
}

/// The server counts the requests that it answers, those included whose client has gone.
#[test]
fn clients_that_hung_up_on_their_request_hold_nothing_up() {
    let mut server = Server::start(&["--drain-timeout", "60s"]);
    for _ in 0..200 {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(b"GET /v1/stats HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    }
    let begin = Instant::now();
    assert_eq!(server.terminate().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(30), "it drained for {:?}", begin.elapsed());
}

/// Lets a client's socket refuse what is for it: its room's messages, or its own.
fn stall(server: &Server, own: bool) -> Raw {
    let mut raw = Raw::open_narrow(server);
    raw.send(&json!({"event": "cast:join", "room": "r"}));
    assert_eq!(raw.envelope().event(), "cast:joined");
    let filling = "x".repeat(8 * 1024);
    let target = format!("/v1/connections/{}/emit", raw.connection());
    let body = json!({"event": "note", "data": filling}).to_string();
    let mut publisher = Client::connect(server);
    for _ in 0..100 {
        if own {
            assert_eq!(server.post(&target, &body).status, 202);
        } else {
            publisher.publish("r", "chat", json!(filling));
        }
        if server.total("blocked") > 0 {
            return raw;
        }
    }
    panic!("the socket takes everything");
}

#[test]
fn a_stalled_client_holds_up_a_drain_for_the_slow_timeout_only() {
    for policy in ["disconnect", "skip"] {
        for own in [false, true] {
            let timeouts = ["--slow-timeout", "1s", "--close-timeout", "1s"];
            let others = ["--slow", policy, "--send-buffer", "32KiB", "--drain-timeout", "600s"];
            let mut server = Server::start(&[&timeouts[..], &others].concat());
            let _stalled = stall(&server, own);
            // Otherwise this would take ten minutes.
            assert_eq!(server.terminate().code(), Some(0), "{policy}, own frames: {own}");
        }
    }
}

#[test]
fn a_stalled_client_that_reads_in_time_finds_a_close_frame() {
    let timeouts = ["--slow-timeout", "300ms", "--close-timeout", "60s"];
    let others = ["--send-buffer", "32KiB", "--drain-timeout", "600s"];
    let mut server = Server::start(&[&timeouts[..], &others].concat());
    let mut stalled = stall(&server, true);
    server.signal(libc::SIGTERM);
    wait_until("it is given up", || server.closed("slow") == 1);
    let close = loop {
        match stalled.envelope_or_close() {
            Ok(note) => assert_eq!(note.event(), "note"),
            Err(close) => break close,
        }
    };
    close.assert_retry(1013, "slow");
    drop(stalled);
    assert_eq!(server.wait().code(), Some(0));
}
