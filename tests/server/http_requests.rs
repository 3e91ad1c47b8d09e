//! Proves that requests are understood as RFC 9110 and 9112 say, whatever they look like and
//! however their bytes arrive, and that what leaves room for two readings is refused.

use std::thread;
use std::time::Duration;

use crate::support::{Client, Raw, Response, Server, http, upgrade_head};
use serde_json::json;

const MESSAGE: &str = r#"{"event":"e"}"#;

fn answer_to(server: &Server, request: &str) -> Response {
    let mut raw = Raw::dial(server.address());
    raw.write(request.as_bytes());
    raw.response()
}

fn publish(fields: &str, body: &str) -> String {
    format!(
        "POST /v1/rooms/r/publish HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/json\r\n{fields}\r\n{body}"
    )
}

#[test]
fn a_request_names_exactly_one_valid_host() {
    let server = Server::start(&[]);
    let get = |version: &str, fields: &str| {
        answer_to(&server, &format!("GET /healthz HTTP/{version}\r\n{fields}\r\n"))
    };
    for fields in ["", "Host: a\r\nHost: a\r\n", "Host: a b\r\n", "Host:\r\n", "Host: a:b\r\n"] {
        get("1.1", fields).assert_error(400);
        let head = upgrade_head("").replace("Host: localhost\r\n", fields);
        answer_to(&server, &head).assert_error(400);
    }
    assert_eq!(get("1.1", "Host: a.example:80\r\n").status, 200);
    assert_eq!(get("1.0", "").status, 200);
    get("1.0", "Host: a\r\nHost: a\r\n").assert_error(400);
    get("1.0", "Host: a b\r\n").assert_error(400);
}

#[test]
fn a_target_may_be_absolute() {
    let server = Server::start(&[]);
    let address = server.address();
    for target in [format!("http://{address}/healthz"), "HTTP://localhost/healthz?x".to_owned()] {
        assert_eq!(http(address, "GET", &target, &[], "").status, 200, "{target}");
    }
    for target in [format!("http://{address}/ws"), "ws://localhost/ws?x=1".to_owned()] {
        let head = upgrade_head("").replace("GET /ws ", &format!("GET {target} "));
        let mut raw = Raw::dial(address);
        raw.write(head.as_bytes());
        raw.expect_upgraded();
        assert_eq!(raw.envelope().event(), "cast:welcome");
    }
    for target in ["http:///ws", "ftp://localhost/ws", "http://a b/ws", "/ws#x"] {
        let head = upgrade_head("").replace("GET /ws ", &format!("GET {target} "));
        answer_to(&server, &head).assert_error(400);
    }
}

#[test]
fn a_body_is_framed_in_one_way() {
    let server = Server::start(&[]);
    let chunked = format!("{:x}\r\n{MESSAGE}\r\n0\r\n\r\n", MESSAGE.len());
    let good = publish("Transfer-Encoding: chunked\r\n", &chunked);
    assert_eq!(answer_to(&server, &good).status, 202);
    for fields in [
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
    ] {
        let response = answer_to(&server, &publish(fields, &chunked));
        assert!([400, 501].contains(&response.status), "{fields}: {response:?}");
        response.assert_error(response.status);
    }
    for fields in [
        "Content-Length: 13\r\nContent-Length: 14\r\n",
        "Content-Length: 13, 13\r\n",
        "Content-Length: x\r\n",
        "Content-Length: 13\r\nTransfer-Encoding: chunked\r\n",
    ] {
        answer_to(&server, &publish(fields, MESSAGE)).assert_error(400);
    }
    assert_eq!(server.get("/v1/rooms/r").json()["offset"], json!(1), "only one was published");
}

#[test]
fn lines_may_end_in_a_bare_newline_and_a_body_may_come_with_them() {
    let server = Server::start(&[]);
    let body = format!("{MESSAGE}{}", " ".repeat(20 << 10));
    for newline in ["\r\n", "\n"] {
        let head = publish(&format!("Content-Length: {}\r\n", body.len()), "");
        let request = head.replace("\r\n", newline) + &body;
        assert_eq!(answer_to(&server, &request).status, 202, "{newline:?}");
    }
}

#[test]
fn a_client_that_asks_to_go_on_is_told_so() {
    let server = Server::start(&[]);
    let mut raw = Raw::dial(server.address());
    for n in 1..=2 {
        let fields = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", MESSAGE.len());
        raw.write(publish(&fields, "").as_bytes());
        assert_eq!(raw.response().status, 100);
        raw.write(MESSAGE.as_bytes());
        assert_eq!(raw.response().json(), json!({"offset": n, "members": 0}));
    }
    let fields = "Content-Length: 99999999\r\nExpect: 100-continue\r\n";
    raw.write(publish(fields, "").as_bytes());
    raw.response().assert_error(413);
}

#[test]
fn a_client_that_has_ended_its_side_is_answered() {
    let server = Server::start(&[]);
    let mut member = Client::connect(&server);
    member.join("r");
    for n in 1..=20 {
        let mut raw = Raw::dial(server.address());
        let length = format!("Content-Length: {}\r\n", MESSAGE.len());
        raw.write(publish(&length, MESSAGE).as_bytes());
        raw.half_close();
        let response = raw.response();
        assert_eq!((response.status, response.json()["offset"].as_u64()), (202, Some(n)));
        raw.expect_end();
        assert_eq!(member.recv_event("e").offset(), n, "what is published is answered");
    }
    // Half a body is no message.
    let mut raw = Raw::dial(server.address());
    raw.write(publish("Content-Length: 100\r\n", MESSAGE).as_bytes());
    raw.half_close();
    raw.response().assert_error(400);
}

#[test]
fn a_later_request_that_is_malformed_is_answered_as_a_first_one() {
    let server = Server::start(&[]);
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = format!("Content-Length: {}\r\n", MESSAGE.len());
    let chunked = format!("{:x}\r\n{MESSAGE}\r\n0\r\n\r\n", MESSAGE.len());
    let first = [
        get.to_owned(),
        publish(&length, MESSAGE),
        publish("Transfer-Encoding: chunked\r\n", &chunked),
    ];
    let long = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(17 << 10));
    let second = [
        ("hello\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (long.as_str(), 431),
    ];
    for first in &first {
        for (second, status) in second {
            for together in [true, false] {
                let mut raw = Raw::dial(server.address());
                if together {
                    raw.write(format!("{first}{second}").as_bytes());
                }
                assert!([200, 202].contains(&raw_first(&mut raw, first, together)));
                if !together {
                    raw.write(second.as_bytes());
                }
                let response = raw.response();
                response.assert_error(status);
                assert_eq!(response.header("connection"), Some("close"));
                raw.expect_end();
            }
        }
    }
}

fn raw_first(raw: &mut Raw, first: &str, is_sent: bool) -> u16 {
    if !is_sent {
        raw.write(first.as_bytes());
    }
    raw.response().status
}

#[test]
fn a_handshake_may_be_any_request_of_its_connection() {
    let server = Server::start(&[]);
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let length = format!("Content-Length: {}\r\n", MESSAGE.len());
    let chunked = format!("{:x}\r\n{MESSAGE}\r\n0\r\n\r\n", MESSAGE.len());
    let before = [
        get.to_owned(),
        get.repeat(20),
        publish(&length, MESSAGE),
        publish("Transfer-Encoding: chunked\r\n", &chunked),
    ];
    let frame = crate::support::frames::text(r#"{"event":"cast:ping","id":1}"#);
    let upgrade = [upgrade_head("").as_bytes(), &frame].concat();
    for before in before {
        let requests = before.matches("HTTP/1.1").count();
        for together in [true, false] {
            let mut raw = Raw::dial(server.address());
            match together {
                true => raw.write(&[before.as_bytes(), &upgrade].concat()),
                false => raw.write(before.as_bytes()),
            }
            for _ in 0..requests {
                assert!([200, 202].contains(&raw.response().status));
            }
            if !together {
                thread::sleep(Duration::from_millis(5));
                raw.write(&upgrade);
            }
            raw.expect_upgraded();
            assert_eq!(raw.envelope().event(), "cast:welcome");
            assert_eq!(raw.envelope().event(), "cast:pong", "what was behind it is not lost");
        }
    }
    server.wait_for_total("connections", 0);
}

#[test]
fn a_later_handshake_is_judged_as_a_first_one() {
    let server = Server::start(&["--max-connections", "1"]);
    let mut first = Client::connect(&server);
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (from, to, status) in [
        ("Host: localhost", "Host: evil.example", 403),
        ("Version: 13", "Version: 12", 426),
        ("/ws", "/ws", 503),
    ] {
        let mut raw = Raw::dial(server.address());
        raw.write(get.as_bytes());
        assert_eq!(raw.response().status, 200);
        raw.write(upgrade_head("").replace(from, to).as_bytes());
        raw.response().assert_error(status);
        raw.expect_end();
    }
    first.assert_alive();
}
