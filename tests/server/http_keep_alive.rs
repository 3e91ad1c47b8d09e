//! Proves that one HTTP connection serves request after request, also when they come together.

use crate::support::{Client, Raw, Server};
use serde_json::json;

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn publish(data: usize) -> String {
    let body = format!(r#"{{"event":"chat","data":{data}}}"#);
    format!(
        "POST /v1/rooms/r/publish HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn several_requests_use_one_connection() {
    let server = Server::start(&[]);
    let mut raw = Raw::dial(server.address());
    let rows = [("/healthz", 200), ("/v1/rooms/none", 404), ("/v1/stats", 200), ("/nope", 404)];
    for (target, status) in rows.into_iter().cycle().take(20) {
        raw.write(get(target).as_bytes());
        assert_eq!(raw.response().status, status, "{target}");
    }
    for n in 1..=20 {
        raw.write(publish(n).as_bytes());
        assert_eq!(raw.response().json(), json!({"offset": n, "members": 0}));
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(&[]);
    let mut member = Client::connect(&server);
    member.join("r");
    let mut raw = Raw::dial(server.address());
    let requests: Vec<String> = (1..=10).flat_map(|n| [publish(n), get("/nope")]).collect();
    raw.write(requests.concat().as_bytes());
    for n in 1..=10 {
        assert_eq!(raw.response().json(), json!({"offset": n, "members": 1}));
        assert_eq!(raw.response().status, 404);
        let message = member.recv_event("chat");
        assert_eq!((message.offset(), message.data()), (n, json!(n)));
    }
}

#[test]
fn a_request_in_single_bytes_is_understood() {
    let server = Server::start(&[]);
    let mut raw = Raw::dial(server.address());
    for byte in publish(1).bytes() {
        raw.write(&[byte]);
    }
    assert_eq!(raw.response().status, 202);
}

#[test]
fn a_connection_that_is_to_be_closed_is_closed() {
    let server = Server::start(&[]);
    let mut raw = Raw::dial(server.address());
    raw.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(raw.response().status, 200);
    assert_eq!(raw.read_to_end(), b"");
}

#[test]
fn a_later_head_has_its_deadline_too() {
    let server = Server::start(&["--handshake-timeout", "1s"]);
    let mut raw = Raw::dial(server.address());
    raw.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(raw.response().status, 200);
    raw.write(b"GET /healthz HTTP/1.1\r\nHost");
    raw.response().assert_error(408);
    raw.expect_end();
}
