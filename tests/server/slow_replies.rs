//! Proves that a connection's own replies are bounded: first its commands wait, then it is closed.

use crate::support::frames::{self, FIN, PING, PONG};
use crate::support::{Raw, Server, http};
use serde_json::json;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const COMMANDS: usize = 40_000;
/// A legal message must fit into the own bytes, so the message limit goes down with them.
const NARROW: &[&str] =
    &["--own-bytes", "64KiB", "--max-message", "16KiB", "--send-buffer", "32KiB"];

/// The command's id makes its reply about as long as itself, so unread replies pile up fast.
fn command(n: usize) -> Vec<u8> {
    frames::text(&format!(r#"{{"event":"cast:ping","id":"{n:064}"}}"#))
}

#[test]
fn commands_are_not_read_while_replies_are_not() {
    let server = Server::start(NARROW);
    let mut raw = Raw::open_narrow(&server);
    let mut writer = raw.writer();
    let written = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..COMMANDS {
                writer.write_all(&command(n)).unwrap();
                written.store(n + 1, Ordering::SeqCst);
            }
        });
        wait_for_standstill(&written);
        // Only now the replies are read; a server that had read on would have closed long ago.
        for n in 0..COMMANDS {
            let pong = raw.envelope();
            assert_eq!(pong.value("id"), json!(format!("{n:064}")), "in order: {pong:?}");
        }
    });
}

#[test]
fn pings_are_not_read_while_pongs_are_not() {
    let server = Server::start(NARROW);
    let mut raw = Raw::open_narrow(&server);
    let mut writer = raw.writer();
    let written = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..COMMANDS {
                let ping = frames::frame(FIN | PING, format!("{n:0125}").as_bytes());
                writer.write_all(&ping).unwrap();
                written.store(n + 1, Ordering::SeqCst);
            }
        });
        wait_for_standstill(&written);
        for n in 0..COMMANDS {
            let (opcode, payload) = raw.frame().expect("a pong for each ping");
            assert_eq!((opcode, payload), (PONG, format!("{n:0125}").into_bytes()));
        }
    });
}

/// Waits until the writer makes no more progress. Reading too early weakens the test, but cannot
/// fail it.
fn wait_for_standstill(written: &AtomicUsize) {
    let mut before = usize::MAX;
    loop {
        let now = written.load(Ordering::SeqCst);
        if now == before || now == COMMANDS {
            return;
        }
        before = now;
        thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn a_client_that_reads_gets_whatever_is_sent_to_it_at_once() {
    const MESSAGES: usize = 40;
    let server = Server::start(&["--send-buffer", "32KiB"]);
    let mut raw = Raw::open_narrow(&server);
    let target = format!("/v1/connections/{}/emit", raw.connection());
    let body = json!({"event": "note", "data": "x".repeat(200_000)}).to_string();
    thread::scope(|scope| {
        for _ in 0..MESSAGES {
            scope.spawn(|| {
                let status = http(server.address(), "POST", &target, &[], &body).status;
                assert_eq!(status, 202);
            });
        }
        for _ in 0..MESSAGES {
            assert_eq!(raw.envelope().event(), "note");
        }
    });
}

#[test]
fn a_message_that_can_never_fit_is_refused() {
    let server = Server::start(&["--max-message", "8MiB"]);
    let mut raw = Raw::open(&server);
    let target = format!("/v1/connections/{}/emit", raw.connection());
    let body = json!({"event": "note", "data": "x".repeat(5_000_000)}).to_string();
    let refused = http(server.address(), "POST", &target, &[], &body);
    refused.assert_error(413);
    assert!(refused.json().to_string().contains("own_bytes"), "{refused:?}");
    raw.send(&json!({"event": "cast:ping", "id": 1}));
    assert_eq!(raw.envelope().event(), "cast:pong", "the client was not cut");
}

#[test]
fn beyond_the_limit_the_connection_is_closed() {
    let server = Server::start(&[NARROW, &["--close-timeout", "600s"]].concat());
    let mut raw = Raw::open_narrow(&server);
    let target = format!("/v1/connections/{}/emit", raw.connection());
    let body = json!({"event": "note", "data": "x".repeat(8 * 1024)}).to_string();
    // What the kernel holds and what the server may hold is far less than 500 times 8 KiB.
    let statuses: Vec<u16> = (0..500)
        .map(|_| http(server.address(), "POST", &target, &[], &body).status)
        .take_while(|status| *status == 202)
        .collect();
    assert!(statuses.len() < 500, "an emit to a closed connection is 404");
    let mut taken = 0;
    let close = loop {
        match raw.envelope_or_close() {
            Ok(note) => assert_eq!(note.event(), "note"),
            Err(close) => break close,
        }
        taken += 1;
    };
    close.assert_retry(1013, "slow");
    assert!(taken <= statuses.len());
    raw.expect_end();
}
