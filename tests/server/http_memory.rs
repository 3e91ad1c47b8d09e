//! Proves that what is held for HTTP connections counts as memory of their shard, for as long as it
//! is held.

use crate::support::{Client, Raw, Server, wait_until};
use serde_json::json;

/// What a request for the figures itself takes, at most.
const OWN_MAX: u64 = 4_000;

/// Bytes that are held by the figure of the runtime, and by the meter, which counts more beside them.
fn held(server: &Server) -> (u64, u64) {
    let stats = server.stats();
    let shard = &stats["shards"][0];
    let (held, outside) = (&shard["runtime"]["http_bytes"], &shard["memory"]["outside"]);
    (held.as_u64().expect("a figure"), outside.as_u64().expect("a figure"))
}

fn is_held(server: &Server, bytes: u64) {
    wait_until("it counts", || {
        let (held, outside) = held(server);
        held >= bytes && outside >= bytes
    });
}

fn is_free(server: &Server) {
    wait_until("it counts no longer", || held(server).0 <= OWN_MAX);
}

#[test]
fn a_head_counts_while_its_end_is_missing() {
    let server = Server::start_with_shards(1, &[]);
    for requests_before in 0..2 {
        let mut raw = Raw::dial(server.address());
        for _ in 0..requests_before {
            raw.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(raw.response().status, 200);
        }
        let begin =
            format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(12_000));
        raw.write(begin.as_bytes());
        is_held(&server, 12_000);
        raw.write(b"\r\n\r\n");
        assert_eq!(raw.response().status, 200);
        is_free(&server);
        raw.write(begin.as_bytes());
        is_held(&server, 12_000);
        drop(raw);
        is_free(&server);
    }
}

#[test]
fn a_body_counts_until_it_is_answered() {
    let server = Server::start_with_shards(1, &[]);
    let body = json!({"event": "e", "data": "x".repeat(100_000)}).to_string();
    let mut raw = Raw::dial(server.address());
    let head = format!(
        "POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    for _ in 0..2 {
        raw.write(&[head.as_bytes(), &body.as_bytes()[..90_000]].concat());
        is_held(&server, 90_000);
        raw.write(&body.as_bytes()[90_000..]);
        assert_eq!(raw.response().status, 202);
        is_free(&server);
    }
}

#[test]
fn an_answer_counts_until_it_is_read() {
    let server = Server::start_with_shards(1, &["--send-buffer", "8KiB"]);
    let mut client = Client::connect(&server);
    for room in 0..1_000 {
        client.publish(&format!("{room:0>200}"), "m", json!(null));
    }
    let mut raw = Raw::dial_narrow(server.address());
    raw.write(b"GET /v1/rooms?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    is_held(&server, 200_000);
    assert_eq!(raw.response().json()["rooms"].as_array().map(Vec::len), Some(1_000));
    is_free(&server);
}
