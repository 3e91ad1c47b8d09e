//! Proves how connections end: the goodbye comes whole, then the server's half ends, and the client
//! is given time for its own.

use crate::support::frames::{self, CLOSE, FIN, frame};
use crate::support::{Client, Close, Raw, Server, wait_until};
use serde_json::json;
use std::time::Duration;

#[test]
fn a_clients_close_is_echoed() {
    let server = Server::start(&[]);
    for code in [1000, 1001, 1003, 1011, 3000, 4999] {
        let mut raw = Raw::open(&server);
        raw.write(&frames::close(code, "going"));
        assert_eq!(raw.expect_close().code, code);
    }
    let mut raw = Raw::open(&server);
    raw.write(&frame(FIN | CLOSE, b""));
    let close = raw.expect_close();
    assert!([1000, 1005].contains(&close.code), "the answer to a close without a code: {close:?}");
}

#[test]
fn a_connection_that_closed_is_in_no_room_any_more() {
    let server = Server::start(&[]);
    let mut ends: [fn(Raw); 4] = [
        |mut raw| {
            raw.write(&frames::close(1000, ""));
            raw.expect_close();
        },
        |mut raw| raw.half_close(),
        Raw::reset,
        drop,
    ];
    for end in &mut ends {
        let mut raw = Raw::open(&server);
        raw.send(&json!({"event": "cast:join", "room": "r"}));
        raw.envelope();
        assert_eq!(server.members("r"), 1);
        end(raw);
        wait_until("its membership is gone", || server.members("r") == 0);
        server.wait_for_total("connections", 0);
        server.wait_for_total("memberships", 0);
    }
}

#[test]
fn nothing_behind_a_close_is_heard() {
    let server = Server::start(&[]);
    let mut raw = Raw::open(&server);
    let ping = frames::text(r#"{"event":"cast:ping","id":1}"#);
    raw.write(&[frames::close(1000, ""), ping].concat());
    assert_eq!(raw.expect_close().code, 1000);
}

#[test]
fn a_kicked_connection_hears_1008() {
    let server = Server::start(&[]);
    let mut client = Client::connect(&server);
    client.join("r");
    let target = format!("/v1/connections/{}", client.connection());
    let response = server.delete(&target);
    assert_eq!((response.status, response.json()), (202, json!({})));
    // A client that may not come back is told no time to come back after.
    let kicked = Close { code: 1008, reason: "kicked".to_owned() };
    assert_eq!(client.expect_close(), kicked);
    wait_until("the connection is gone", || server.delete(&target).status == 404);
}

#[test]
fn after_its_goodbye_the_server_waits_for_the_clients_end() {
    let server = Server::start(&["--close-timeout", "600s"]);
    let mut raw = Raw::open(&server);
    raw.write(&frames::unmasked(FIN | frames::TEXT, b"{}"));
    assert_eq!(raw.expect_close().code, 1002);
    // What still arrives is discarded. A closed socket would answer it with a reset.
    for _ in 0..50 {
        raw.write(&[b'x'; 4096]);
        std::thread::sleep(Duration::from_millis(5));
    }
    raw.half_close();
    raw.expect_end();
    server.wait_for_total("connections", 0);
}

#[test]
fn a_client_that_never_ends_is_cut_off_after_the_close_timeout() {
    let server = Server::start(&["--close-timeout", "300ms"]);
    let mut raw = Raw::open(&server);
    raw.write(&frames::unmasked(FIN | frames::TEXT, b"{}"));
    assert_eq!(raw.expect_close().code, 1002);
    wait_until("the socket is closed", || !raw.try_write(b"still here"));
}

#[test]
fn a_goodbye_follows_whole_frames_only() {
    let server = Server::start(&["--send-buffer", "32KiB"]);
    let mut sender = Client::connect(&server);
    let mut raw = Raw::open_narrow(&server);
    raw.send(&json!({"event": "cast:join", "room": "r"}));
    raw.envelope();
    for n in 0..40 {
        sender.publish("r", "chat", json!("x".repeat(8 * 1024 + n)));
    }
    raw.write(&frames::close(1000, "enough"));
    let mut next = 1;
    let close = loop {
        match raw.envelope_or_close() {
            Ok(envelope) => assert_eq!(envelope.offset(), next),
            Err(close) => break close,
        }
        next += 1;
    };
    assert_eq!(close.code, 1000);
    raw.expect_end();
}
