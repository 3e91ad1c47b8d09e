//! Proves that a connection that is slow over a head or a body, or idle between two requests, ends
//! in time, and keeps no other one out meanwhile.

use crate::support::{Raw, Server, heavy, upgrade_head, wait_until};
use serde_json::json;
use std::thread;
use std::time::Duration;

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

const HALF_BODY: &str = "POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\n\
    Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{";

const CHUNKED: &str = "POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\n\
    Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{";

#[test]
fn a_body_that_does_not_come_in_time_is_408_and_the_end() {
    let server = Server::start_with_shards(1, &["--body-timeout", "300ms"]);
    for request in [HALF_BODY, CHUNKED] {
        for trickles in [false, true] {
            let mut raw = Raw::dial(server.address());
            raw.write(request.as_bytes());
            while trickles && !raw.has_answer() {
                raw.try_write(b" ");
                thread::sleep(Duration::from_millis(20));
            }
            let response = raw.response();
            response.assert_error(408);
            raw.expect_end();
        }
    }
    assert_eq!(server.stats()["refused"]["body_timeout"], json!(4));
}

#[test]
fn a_head_that_does_not_come_in_time_is_counted() {
    let server = Server::start_with_shards(1, &["--handshake-timeout", "300ms"]);
    let mut raw = Raw::dial(server.address());
    raw.write(&GET.as_bytes()[..20]);
    raw.response().assert_error(408);
    raw.expect_end();
    assert_eq!(server.stats()["refused"]["handshake_timeout"], json!(1));
}

#[test]
fn a_connection_that_is_idle_between_two_requests_ends() {
    let server = Server::start_with_shards(1, &["--keep-alive-timeout", "300ms"]);
    let mut raw = Raw::dial(server.address());
    for _ in 0..2 {
        raw.write(GET.as_bytes());
        assert_eq!(raw.response().status, 200);
    }
    raw.expect_end();
    assert_eq!(server.stats()["refused"]["keep_alive_timeout"], json!(1));
}

/// Connections that have said this much, in the order in which they came.
fn slow(server: &Server, count: usize, bytes: &str) -> Vec<Raw> {
    let begin = |_| {
        let mut raw = Raw::dial(server.address());
        raw.try_write(bytes.as_bytes());
        raw
    };
    (0..count).map(begin).collect()
}

fn assert_healthy(server: &Server) {
    let mut raw = Raw::dial(server.address());
    raw.write(upgrade_head("").as_bytes());
    raw.expect_upgraded();
    assert_eq!(raw.envelope().event(), "cast:welcome");
}

#[test]
fn thousands_of_slow_heads_and_bodies_keep_none_out_and_free_their_places() {
    let _heavy = heavy();
    let flags =
        ["--max-http-connections", "4096", "--handshake-timeout", "5s", "--body-timeout", "5s"];
    let server = Server::start(&flags);
    let mut kept = Vec::new();
    for _ in 0..10 {
        kept.extend(slow(&server, 200, &GET[..20]));
        kept.extend(slow(&server, 200, HALF_BODY));
        assert_healthy(&server);
    }
    wait_until("their places are free", || server.stats()["http_connections"] == json!(1));
    assert_healthy(&server);
}

#[test]
fn where_slow_ones_hold_all_places_they_make_way() {
    let flags =
        ["--max-http-connections", "16", "--handshake-timeout", "5s", "--body-timeout", "5s"];
    let later = GET.to_owned() + &GET[..20];
    for request in [&GET[..20], HALF_BODY, CHUNKED, &later] {
        let server = Server::start_with_shards(1, &flags);
        let _kept = slow(&server, 16, request);
        wait_until("a handshake is answered", || {
            let mut raw = Raw::dial(server.address());
            raw.try_write(upgrade_head("").as_bytes());
            raw.response().status == 101
        });
    }
}
