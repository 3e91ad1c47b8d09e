//! Proves that plain HTTP connections and unfinished handshakes have a limit of their own, at which
//! idle ones make way and the others are answered.

use serde_json::json;

use crate::support::{Client, Raw, Server, upgrade_head, wait_until};

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn idle(server: &Server) -> Raw {
    let mut raw = Raw::dial(server.address());
    raw.write(GET.as_bytes());
    assert_eq!(raw.response().status, 200);
    raw
}

#[test]
fn idle_connections_make_way_for_new_ones() {
    let server = Server::start_with_shards(1, &["--max-http-connections", "32"]);
    assert_eq!(server.stats()["limits"]["max_http_connections"], json!(32));
    let mut idle: Vec<Raw> = (0..300).map(|_| idle(&server)).collect();
    let mut raw = Raw::dial(server.address());
    raw.write(upgrade_head("").as_bytes());
    raw.expect_upgraded();
    assert_eq!(raw.envelope().event(), "cast:welcome");
    for old in &mut idle[..200] {
        old.expect_end();
    }
    let last = idle.last_mut().unwrap();
    last.write(GET.as_bytes());
    assert_eq!(last.response().status, 200, "those that were idle for longest went first");
}

#[test]
fn those_that_have_said_nothing_make_way_too() {
    let server = Server::start_with_shards(1, &["--max-http-connections", "8"]);
    let mut silent: Vec<Raw> = (0..40).map(|_| Raw::dial(server.address())).collect();
    for _ in 0..5 {
        assert_eq!(server.get("/healthz").status, 200);
    }
    for old in &mut silent[..30] {
        old.expect_end();
    }
}

#[test]
fn beyond_the_limit_the_answer_is_503() {
    // They are slow, and so make way, after a tenth of their time.
    let flags = ["--max-http-connections", "8", "--handshake-timeout", "1h"];
    let server = Server::start_with_shards(1, &flags);
    let mut member = Client::connect(&server);
    let busy: Vec<Raw> = (0..8)
        .map(|_| {
            let mut raw = Raw::dial(server.address());
            raw.write(&GET.as_bytes()[..10]);
            raw
        })
        .collect();
    for head in [GET.to_owned(), upgrade_head("")].iter().cycle().take(200) {
        let mut raw = Raw::dial(server.address());
        raw.try_write(head.as_bytes());
        let response = raw.response();
        response.assert_error(503);
        assert!(response.header("retry-after").is_some(), "{response:?}");
    }
    member.assert_alive();
    drop(busy);
    wait_until("there is room again", || {
        let mut raw = Raw::dial(server.address());
        raw.try_write(GET.as_bytes());
        raw.response().status == 200
    });
    wait_until("they are counted out", || server.stats()["http_connections"] == json!(1));
}

#[test]
fn open_connections_do_not_count() {
    let server = Server::start(&["--max-http-connections", "4"]);
    let mut clients: Vec<Client> = (0..40).map(|_| Client::connect(&server)).collect();
    clients.iter_mut().for_each(Client::assert_alive);
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn requests_whose_end_is_in_doubt_keep_no_place() {
    let server = Server::start_with_shards(1, &["--max-http-connections", "8"]);
    let heads = [
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /v1/rooms/r/publish HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    for trailer in ["0\r\n\n", "0\r\nA: b\n\n", "0\r\nA: b\n\r\n", "0\r\n\r\r\n", "0\n\n"] {
        for head in heads.iter().cycle().take(20) {
            let mut raw = Raw::dial(server.address());
            raw.try_write(format!("{head}{trailer}{GET}").as_bytes());
        }
        assert_eq!(server.get("/healthz").status, 200, "behind {trailer:?}");
        let mut raw = Raw::dial(server.address());
        raw.write(upgrade_head("").as_bytes());
        raw.expect_upgraded();
    }
}

#[test]
fn a_body_that_nobody_read_is_no_request() {
    let server = Server::start_with_shards(1, &[]);
    let head = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n";
    let mut raw = Raw::dial(server.address());
    raw.write(format!("{head}abcd{GET}").as_bytes());
    for _ in 0..2 {
        assert_eq!(raw.response().status, 200);
    }
    let mut raw = Raw::dial(server.address());
    raw.write(format!("{head}ab").as_bytes());
    assert_eq!(raw.response().status, 200);
    raw.try_write(b"cd");
    raw.expect_end();
}
