//! Proves that every wrong request gets the right status and a JSON error.

use crate::support::{Folder, Raw, Server, events_head, http, parse_head, upgrade_head};
use httpdate::{fmt_http_date, parse_http_date};
use std::time::{SystemTime, UNIX_EPOCH};

const MESSAGE: &str = r#"{"event":"e"}"#;
const TARGETS: [&str; 3] = ["/v1/broadcast", "/v1/rooms/r/publish", "/v1/connections/none/emit"];

#[test]
fn an_unknown_path_is_404() {
    let server = Server::start(&[]);
    let paths = [
        "/nope",
        "/v1",
        "/v1/",
        "/v1/nope",
        "/v2/stats",
        "/V1/stats",
        "/v1/rooms/a/b",
        "/v1/rooms/a/publish/more",
        "/v1/stats/more",
        "/healthz/more",
        "//v1/stats",
    ];
    for path in paths {
        let response = server.get(path);
        assert_eq!(response.status, 404, "{path}: {response:?}");
        response.assert_error(404);
    }
}

#[test]
fn a_method_that_is_not_allowed_is_405_with_those_that_are() {
    let server = Server::start(&[]);
    let rows = [
        ("GET", "/v1/broadcast", "POST"),
        ("DELETE", "/v1/rooms/r/publish", "POST"),
        ("PUT", "/v1/rooms/r/publish", "POST"),
        ("GET", "/v1/connections/x/emit", "POST"),
        ("GET", "/v1/connections/x", "DELETE"),
        ("POST", "/v1/connections/x", "DELETE"),
        ("POST", "/v1/rooms", "GET"),
        ("DELETE", "/v1/rooms/r", "GET"),
        ("POST", "/v1/stats", "GET"),
        ("POST", "/healthz", "GET"),
        ("PATCH", "/readyz", "GET"),
    ];
    for (method, path, allowed) in rows {
        let response = http(server.address(), method, path, &[], "");
        assert_eq!(response.status, 405, "{method} {path}: {response:?}");
        response.assert_error(405);
        let allow = response.header("allow").unwrap_or_default();
        assert!(allow.split(',').any(|name| name.trim() == allowed), "{path} allows {allow:?}");
        assert!(!allow.contains(method), "{path} allows {allow:?}");
    }
}

/// RFC 9110 section 6.6.1. The answers that are not hyper's are those of event streams, and those
/// before any request was handed to it.
#[test]
fn every_answer_has_a_date() {
    let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let server = Server::start(&[]);
    for request in [
        head("/v1/nope", ""),
        events_head("r", ""),
        upgrade_head("").replacen("Version: 13", "Version: 8", 1),
        upgrade_head("").replacen("/ws", "/ws#", 1),
        "no HTTP\r\n\r\n".to_owned(),
    ] {
        let before = seconds(SystemTime::now());
        let mut raw = Raw::dial(server.address());
        raw.write(request.as_bytes());
        let answer = parse_head(&raw.head());
        let date = answer.header("date").unwrap_or_else(|| panic!("no date in {answer:?}"));
        let time = parse_http_date(date).expect("a date of HTTP");
        assert_eq!(fmt_http_date(time), date, "in the preferred format");
        // hyper's may be a second old.
        assert!((before - 1..=seconds(SystemTime::now())).contains(&seconds(time)), "{date}");
    }
}

#[test]
fn a_body_that_is_not_declared_json_is_415() {
    let server = Server::start(&[]);
    for target in TARGETS {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json"]
        {
            let headers = [("Content-Type", kind)];
            let response = http(server.address(), "POST", target, &headers, MESSAGE);
            assert_eq!(response.status, 415, "{target} as {kind}: {response:?}");
            response.assert_error(415);
        }
        let mut raw = Raw::dial(server.address());
        raw.write(head(target, &format!("Content-Length: {}\r\n", MESSAGE.len())).as_bytes());
        raw.write(MESSAGE.as_bytes());
        raw.response().assert_error(415);
    }
    for kind in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
        let headers = [("Content-Type", kind)];
        let response = http(server.address(), "POST", "/v1/broadcast", &headers, MESSAGE);
        assert_eq!(response.status, 202, "{kind}: {response:?}");
    }
}

fn head(target: &str, headers: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

#[test]
fn too_large_a_body_is_413() {
    let server = Server::start(&["--max-message", "1KiB"]);
    let json = "Content-Type: application/json\r\n";
    for target in TARGETS {
        // Declared, with nothing behind the head: the answer may not wait for the body.
        for length in ["1025", "1099511627776"] {
            let mut raw = Raw::dial(server.address());
            let length = format!("Content-Length: {length}\r\n");
            raw.write(head(target, &format!("{json}{length}")).as_bytes());
            check_too_large(&mut raw);
        }
        // In chunks, whose sum is known only at the end.
        let mut raw = Raw::dial(server.address());
        raw.write(head(target, &format!("{json}Transfer-Encoding: chunked\r\n")).as_bytes());
        for _ in 0..3 {
            raw.try_write(format!("200\r\n{:512}\r\n", "").as_bytes());
        }
        check_too_large(&mut raw);
    }
    let exactly = format!("{MESSAGE:1024}");
    assert_eq!(server.post("/v1/broadcast", &exactly).status, 202, "the limit itself is allowed");
}

fn check_too_large(raw: &mut Raw) {
    let response = raw.response();
    response.assert_error(413);
    assert_eq!(response.error_code(), "too_large", "in {response:?}");
}

#[test]
fn a_chunked_body_is_a_body() {
    let server = Server::start(&[]);
    let mut raw = Raw::dial(server.address());
    let headers = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    raw.write(head("/v1/broadcast", headers).as_bytes());
    raw.write(b"5\r\n{\"eve\r\n8\r\nnt\":\"e\"}\r\n0\r\n\r\n");
    assert_eq!(raw.response().status, 202);
}

#[test]
fn what_is_not_http_is_400() {
    let server = Server::start(&[]);
    let rows: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03",
        b"hello\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n",
        b"\x00\x00\x00\x00\r\n\r\n",
    ];
    for bytes in rows {
        let mut raw = Raw::dial(server.address());
        raw.write(bytes);
        let response = raw.response();
        assert_eq!(response.status, 400, "for {bytes:?}: {response:?}");
        response.assert_error(400);
    }
}

#[test]
fn health_and_readiness_are_200() {
    let server = Server::start(&[]);
    for target in ["/healthz", "/readyz"] {
        assert_eq!(server.get(target).status, 200, "{target}");
    }
}

#[test]
fn the_first_page_says_where_the_endpoints_are() {
    let server = Server::start(&["--api-key", "secret"]);
    let home = server.get("/");
    assert_eq!((home.status, home.json()["websocket"].as_str()), (200, Some("/ws")));
    http(server.address(), "POST", "/", &[], "").assert_error(405);
}

#[test]
fn the_version_is_said_to_callers_that_may_read() {
    let folder = Folder::new();
    let keys = folder.write("keys", "reads read\npublishes publish\nadmin admin\n");
    let server = Server::start(&["--api-key-file", &keys]);
    let is_told = |server: &Server, key: Option<&str>| {
        let field = key.map(|key| ("Authorization", key));
        let home = http(server.address(), "GET", "/", field.as_slice(), "");
        assert_eq!((home.status, home.json()["websocket"].as_str()), (200, Some("/ws")));
        home.json().get("corecast").is_some()
    };
    for (key, expected) in [
        (None, false),
        (Some("Bearer other"), false),
        (Some("Bearer publishes"), false),
        (Some("Bearer reads"), true),
        (Some("Bearer admin"), true),
    ] {
        assert_eq!(is_told(&server, key), expected, "{key:?}");
    }
    assert!(is_told(&Server::start(&[]), None), "without keys each caller may read everything");
}
