//! Proves which requests become a WebSocket connection, and what the others are told.

use crate::support::frames::text;
use crate::support::{Client, PATIENCE, Raw, Response, Server, http, upgrade_head, wait_until};
use serde_json::json;
use std::thread;
use std::time::Duration;

const PING: &str = r#"{"event":"cast:ping","id":1}"#;

/// A head that differs from a good one in one place.
fn head_with(from: &str, to: &str) -> String {
    let head = upgrade_head("");
    assert!(head.contains(from), "{from} is in the head");
    head.replace(from, to)
}

fn answer_to(server: &Server, head: &str) -> Response {
    let mut raw = Raw::dial(server.address());
    raw.write(head.as_bytes());
    raw.response()
}

#[test]
fn a_valid_upgrade_is_accepted_however_it_is_spelled() {
    let server = Server::start(&[]);
    let rows = [
        upgrade_head(""),
        upgrade_head("Origin: http://localhost\r\nX-More: 1\r\n"),
        upgrade_head("Content-Length: 0\r\n"),
        head_with("ZQ==", "ZR=="),
        head_with("GET /ws", "GET /%77s"),
        head_with("Connection: Upgrade", "connection: keep-alive, UPGRADE"),
        head_with("Upgrade: websocket", "UPGRADE: WebSocket"),
        head_with("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket"),
        head_with("GET /ws", "GET /ws?x=1&y=%20"),
        head_with("Sec-WebSocket-Version: 13", "sec-websocket-version:13"),
        upgrade_head("Sec-WebSocket-Protocol: chat, superchat\r\n"),
        upgrade_head("Sec-WebSocket-Extensions: x-unheard-of\r\n"),
    ];
    for head in rows {
        let mut raw = Raw::dial(server.address());
        raw.write(head.as_bytes());
        let response = match head.contains("ZR==") {
            // Another key has another answer.
            true => raw.response(),
            false => raw.expect_upgraded(),
        };
        assert_eq!(response.status, 101, "{head}: {response:?}");
        let header = |name| response.header(name).unwrap_or_default().to_lowercase();
        assert_eq!(
            (header("upgrade"), header("connection")),
            ("websocket".into(), "upgrade".into())
        );
        assert_eq!(response.header("sec-websocket-protocol"), None, "none of ours was offered");
        assert_eq!(response.header("sec-websocket-extensions"), None, "we know no such extension");
        assert_eq!(raw.envelope().event(), "cast:welcome");
    }
}

#[test]
fn a_head_may_come_in_single_bytes() {
    let server = Server::start(&[]);
    let mut raw = Raw::dial(server.address());
    for byte in upgrade_head("").bytes() {
        raw.write(&[byte]);
    }
    raw.expect_upgraded();
    assert_eq!(raw.envelope().event(), "cast:welcome");
}

#[test]
fn bytes_behind_the_head_are_the_first_frames() {
    let server = Server::start(&[]);
    let whole = [upgrade_head("").into_bytes(), text(PING), text(PING)].concat();
    // Once in one segment, and with the cut at some places before, in and behind the head's end.
    let end = upgrade_head("").len();
    for cut in [whole.len(), 10, end - 2, end, end + 1, end + 7, whole.len() - 1] {
        let mut raw = Raw::dial(server.address());
        raw.write(&whole[..cut]);
        thread::sleep(Duration::from_millis(20));
        raw.write(&whole[cut..]);
        raw.expect_upgraded();
        for event in ["cast:welcome", "cast:pong", "cast:pong"] {
            assert_eq!(raw.envelope().event(), event, "cut at {cut}");
        }
    }
}

#[test]
fn an_invalid_upgrade_is_refused_with_400() {
    let server = Server::start(&[]);
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let rows = [
        ("no upgrade at all", "GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
        ("no key", head_with(&format!("{key}\r\n"), "")),
        ("an empty key", head_with(key, "Sec-WebSocket-Key:")),
        ("a key of 15 bytes", head_with(key, "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1")),
        ("a key that is no base64", head_with(key, "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==")),
        ("two keys", head_with(key, &format!("{key}\r\n{key}"))),
        ("another protocol", head_with("Upgrade: websocket", "Upgrade: h2c")),
        ("a version of it", head_with("Upgrade: websocket", "Upgrade: websocket/13")),
        ("no Upgrade header", head_with("Upgrade: websocket\r\n", "")),
        ("no Connection header", head_with("Connection: Upgrade\r\n", "")),
        ("a body", upgrade_head("Content-Length: 3\r\n") + "abc"),
        ("chunks", upgrade_head("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n"),
    ];
    for (what, head) in rows {
        let mut raw = Raw::dial(server.address());
        raw.write(head.as_bytes());
        let response = raw.response();
        assert_eq!(response.status, 400, "{what}: {response:?}");
        response.assert_error(400);
        assert_eq!(response.header("connection"), Some("close"), "{what}: no tunnel stays open");
        raw.expect_end();
    }
}

#[test]
fn another_version_is_refused_with_the_one_we_speak() {
    let server = Server::start(&[]);
    for version in ["8", "14", "x", "13, 8", "13\r\nSec-WebSocket-Version: 13"] {
        let head = head_with("Version: 13", &format!("Version: {version}"));
        let response = answer_to(&server, &head);
        response.assert_error(426);
        assert_eq!(response.header("upgrade"), Some("websocket"), "RFC 9110 section 15.5.22");
        assert_eq!(response.header("connection"), Some("close, upgrade"), "the same, 7.8");
        assert_eq!(response.header("sec-websocket-version"), Some("13"), "in {response:?}");
    }
}

#[test]
fn an_upgrade_under_http_1_0_says_what_to_set() {
    let server = Server::start(&[]);
    let response = answer_to(&server, &head_with("HTTP/1.1", "HTTP/1.0"));
    response.assert_error(400);
    let body = String::from_utf8(response.body).unwrap();
    assert!(body.contains("proxy_http_version 1.1"), "{body}");
}

#[test]
fn the_subprotocol_is_selected_when_it_is_offered() {
    let server = Server::start(&[]);
    for (offer, selected) in [
        ("corecast.v1", Some("corecast.v1")),
        ("chat, corecast.v1, corecast.token.x", Some("corecast.v1")),
        ("chat\r\nSec-WebSocket-Protocol: corecast.v1", Some("corecast.v1")),
        (", ,\tcorecast.v1,,", Some("corecast.v1")),
        ("corecast.v1, corecast.v1", Some("corecast.v1")),
        ("corecast.v2\r\nSec-WebSocket-Protocol: chat", None),
        ("CORECAST.V1", None),
        ("\"corecast.v1\"", None),
        ("", None),
    ] {
        let mut raw = Raw::dial(server.address());
        raw.write(upgrade_head(&format!("Sec-WebSocket-Protocol: {offer}\r\n")).as_bytes());
        let response = raw.expect_upgraded();
        assert_eq!(response.header("sec-websocket-protocol"), selected, "{offer}");
        assert_eq!(raw.envelope().event(), "cast:welcome");
    }
}

#[test]
fn only_get_of_ws_upgrades() {
    let server = Server::start(&[]);
    for method in ["POST", "PUT", "DELETE"] {
        let response = http(server.address(), method, "/ws", &[], "");
        response.assert_error(405);
        assert!(response.header("allow").is_some_and(|allow| allow.contains("GET")));
    }
    for path in ["/ws/", "/wss", "/ws/more", "/WS"] {
        let response = answer_to(&server, &head_with("/ws ", &format!("{path} ")));
        response.assert_error(404);
    }
}

#[test]
fn half_a_head_is_answered_with_408_after_the_deadline() {
    let server = Server::start(&["--handshake-timeout", "1s"]);
    let head = upgrade_head("");
    for begun in ["G", "GET /ws HTTP/1.1\r\nHost: localhost\r\n", &head[..head.len() - 1]] {
        let mut raw = Raw::dial(server.address());
        raw.write(begun.as_bytes());
        raw.response().assert_error(408);
        assert_eq!(raw.read_to_end(), b"", "the connection ends behind {begun:?}");
    }
}

#[test]
fn a_head_that_never_begins_ends_without_an_answer() {
    let server = Server::start(&["--handshake-timeout", "1s"]);
    let mut raw = Raw::dial(server.address());
    assert_eq!(raw.read_to_end(), b"");
}

#[test]
fn the_deadline_is_the_heads_and_not_each_bytes() {
    let server = Server::start(&["--handshake-timeout", "1s"]);
    let mut raw = Raw::dial(server.address());
    let end = std::time::Instant::now() + PATIENCE;
    raw.write(b"GET /ws HTTP/1.1\r\nX: ");
    while !raw.has_answer() {
        assert!(std::time::Instant::now() < end, "one byte now and then held the head open");
        raw.try_write(b"x");
        thread::sleep(Duration::from_millis(100));
    }
    raw.response().assert_error(408);
}

#[test]
fn the_deadline_ends_with_the_handshake() {
    let server = Server::start(&["--handshake-timeout", "500ms"]);
    let mut client = Client::connect(&server);
    thread::sleep(Duration::from_millis(1500));
    client.assert_alive();
}

#[test]
fn too_long_a_head_is_refused_with_431() {
    let server = Server::start(&[]);
    let long = format!("X-Long: {}\r\n", "x".repeat(17 * 1024));
    answer_to(&server, &upgrade_head(&long)).assert_error(431);
    let plain = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{long}\r\n");
    answer_to(&server, &plain).assert_error(431);
    let endless = format!("GET /ws HTTP/1.1\r\nX-Long: {}", "x".repeat(20 * 1024));
    answer_to(&server, &endless).assert_error(431);

    let short = format!("X-Long: {}\r\n", "x".repeat(15 * 1024));
    let mut raw = Raw::dial(server.address());
    raw.write(upgrade_head(&short).as_bytes());
    raw.expect_upgraded();
}

#[test]
fn the_head_limit_can_be_chosen() {
    let server = Server::start(&["--max-head", "1KiB"]);
    let long = format!("X-Long: {}\r\n", "x".repeat(1024));
    answer_to(&server, &upgrade_head(&long)).assert_error(431);
    assert_eq!(answer_to(&server, &upgrade_head("")).status, 101);
}

#[test]
fn beyond_the_capacity_upgrades_are_refused_with_503() {
    let server = Server::start(&["--max-connections", "5"]);
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(&server)).collect();
    for _ in 0..10 {
        let response = answer_to(&server, &upgrade_head(""));
        response.assert_error(503);
        let retry = response.header("retry-after").unwrap_or_default().parse::<u64>();
        assert!(retry.is_ok(), "Retry-After tells seconds: {response:?}");
    }
    assert_eq!(server.get("/healthz").status, 200, "HTTP takes no place");
    assert_eq!(server.stats()["connections"], json!(5));
    clients.iter_mut().for_each(Client::assert_alive);
    clients.pop();
    wait_until("a place is free again", || answer_to(&server, &upgrade_head("")).status == 101);
}
