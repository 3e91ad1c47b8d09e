//! Proves that one client address has only so many connections, and begins only so many handshakes
//! per second, and that each way in which a connection ends gives its place back.

use crate::support::{Folder, Raw, Response, Server, events_head, http, upgrade_head, wait_until};
use serde_json::json;
use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

/// Not the address from which the tests look at the figures.
const ONE: [u8; 4] = [127, 0, 0, 2];
const OTHER: [u8; 4] = [127, 0, 0, 3];

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn start(more: &[&str]) -> Server {
    let flags = [&["--max-connections-per-address", "2", "--open"], more].concat();
    Server::start_with_shards(2, &flags)
}

fn refused(server: &Server, limit: &str) -> u64 {
    server.stats()["refused"][limit].as_u64().expect("each reason is counted")
}

/// A connection and the answer to what it says; refusals may come before it has said it.
fn say(from: [u8; 4], address: SocketAddr, bytes: &str) -> (Raw, Response) {
    let mut raw = Raw::dial_from(from, address);
    raw.try_write(bytes.as_bytes());
    let response = parse(&mut raw);
    (raw, response)
}

fn parse(raw: &mut Raw) -> Response {
    let head = raw.head();
    let mut response = crate::support::parse_head(&head);
    if response.status != 101 && response.header("transfer-encoding").is_none() {
        response = raw.complete(response);
    }
    response
}

fn upgrade(from: [u8; 4], server: &Server) -> (Raw, Response) {
    say(from, server.address(), &upgrade_head(""))
}

fn assert_refused(response: &Response, code: &str) {
    response.assert_error(429);
    assert_eq!(response.error_code(), code);
    assert!(response.header("retry-after").is_some(), "{response:?}");
    assert_eq!(response.header("connection"), Some("close"));
}

/// Takes both places of the address, when they are free, and finds no third one.
fn take_both(server: &Server, what: &str) -> [Raw; 2] {
    let mut taken = None;
    wait_until(&format!("both places are free after: {what}"), || {
        let [one, two] = [(); 2].map(|()| upgrade(ONE, server));
        if one.1.status == 101 && two.1.status == 101 {
            assert_eq!(upgrade(ONE, server).1.status, 429, "a third after: {what}");
            taken = Some([one.0, two.0]);
        }
        taken.is_some()
    });
    taken.expect("it was waited for")
}

#[test]
fn an_address_has_as_many_connections_as_it_may() {
    let server = start(&[]);
    let taken = take_both(&server, "nothing");
    let before = refused(&server, "max_connections_per_address");
    for bytes in [upgrade_head(""), GET.to_owned(), events_head("r", ""), "x".to_owned()] {
        let (mut raw, response) = say(ONE, server.address(), &bytes);
        assert_refused(&response, "too_many_connections");
        raw.expect_end();
    }
    assert_eq!(refused(&server, "max_connections_per_address") - before, 4);
    assert_eq!(upgrade(OTHER, &server).1.status, 101, "another address");
    drop(taken);
    take_both(&server, "others came and went");
}

#[test]
fn every_way_in_which_a_connection_ends_gives_its_place_back() {
    let server = start(&["--handshake-timeout", "400ms", "--body-timeout", "400ms"]);
    let publish = "POST /v1/broadcast HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                   Content-Length: 99\r\n\r\n{";
    let long = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "x".repeat(20_000));
    let foreign = upgrade_head("Origin: http://evil.example\r\n");
    let ways: [(&str, &str); 14] = [
        ("nothing is said", ""),
        ("half a head", "GET / HT"),
        ("garbage", "\x16\x03\x01"),
        ("too long a head", &long),
        ("no host", "GET / HTTP/1.1\r\n\r\n"),
        ("a bad handshake", "GET /ws HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a foreign origin", &foreign),
        ("a request", GET),
        ("a last request", "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        ("half a body", publish),
        ("no room", "GET /v1/rooms/%00/events HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a handshake", &upgrade_head("")),
        ("an event stream", &events_head("r", "")),
        ("a request, and then a handshake", &(GET.to_owned() + &upgrade_head(""))),
    ];
    for (what, bytes) in ways {
        // The client goes at once, by an end or a reset; or after its answer; or it is cut.
        for end in 0..3 {
            let raws = [(); 2].map(|()| {
                let mut raw = Raw::dial_from(ONE, server.address());
                raw.try_write(bytes.as_bytes());
                raw
            });
            for mut raw in raws {
                match end {
                    0 => drop(raw),
                    1 => raw.reset(),
                    _ if bytes.is_empty() || what == "half a head" => drop(raw.read_to_end()),
                    _ => drop(raw.head()),
                }
            }
            take_both(&server, what);
        }
    }
}

#[test]
fn a_connection_that_is_kicked_gives_its_place_back() {
    let server = start(&[]);
    for _ in 0..3 {
        let mut raws = take_both(&server, "a kick");
        for raw in &mut raws {
            let welcome = raw.envelope();
            let id = welcome.data()["connection"].as_str().unwrap().to_owned();
            assert_eq!(server.delete(&format!("/v1/connections/{id}")).status, 202);
            assert_eq!(raw.expect_close().reason, "kicked");
        }
    }
    take_both(&server, "a kick");
}

#[test]
fn many_at_the_same_moment_are_counted_exactly() {
    let server = start(&[]);
    let dial = || upgrade(ONE, &server);
    for _ in 0..5 {
        wait_until("of sixteen two are accepted", || {
            let answers: Vec<(Raw, Response)> = thread::scope(|scope| {
                let threads: Vec<_> = (0..16).map(|_| scope.spawn(dial)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let accepted = answers.iter().filter(|(_, response)| response.status == 101).count();
            assert!(accepted <= 2, "{accepted} of sixteen");
            accepted == 2
        });
    }
}

/// What a trusted proxy says of its client.
fn forwarded(client: &str) -> String {
    format!("X-Forwarded-For: {client}\r\n")
}

#[test]
fn behind_a_trusted_proxy_the_clients_count_and_the_proxy_does_not() {
    let server = start(&["--trusted-proxy", "127.0.0.1"]);
    let open = |head: &str| {
        let mut raw = Raw::dial(server.address());
        raw.write(head.as_bytes());
        let response = parse(&mut raw);
        (raw, response)
    };
    let one = || open(&upgrade_head(&forwarded("192.0.2.1")));
    let stream = || open(&events_head("r", &forwarded("192.0.2.1")));
    for _ in 0..3 {
        let mut kept = Vec::new();
        wait_until("both places are free", || {
            // One that got a place the last time would take it from itself.
            kept.clear();
            kept = vec![one(), stream()];
            kept.iter().all(|(_, response)| [101, 200].contains(&response.status))
        });
        assert_refused(&one().1, "too_many_connections");
        assert_refused(&stream().1, "too_many_connections");
        let requests: Vec<_> = (0..9).map(|_| open(GET)).collect();
        assert!(requests.iter().all(|(_, response)| response.status == 200), "the proxy's own");
        let others = (2..12).map(|n| open(&upgrade_head(&forwarded(&format!("192.0.2.{n}")))));
        assert!(others.collect::<Vec<_>>().iter().all(|(_, response)| response.status == 101));
    }
}

#[test]
fn of_ipv6_a_network_is_one_address() {
    let server = start(&["--trusted-proxy", "127.0.0.1"]);
    let open = |client: &str| {
        let mut raw = Raw::dial(server.address());
        raw.write(upgrade_head(&forwarded(client)).as_bytes());
        let response = raw.response();
        (raw, response.status)
    };
    let kept = [open("2001:db8::1"), open("2001:db8::ffff:1")];
    assert!(kept.iter().all(|(_, status)| *status == 101));
    assert_eq!(open("2001:db8:0:0:1::").1, 429, "the same /64");
    assert_eq!(open("2001:db8:0:1::1").1, 101, "the next one");
}

#[test]
fn what_the_proxy_protocol_names_counts() {
    let server = start(&["--trusted-proxy", "127.0.0.1", "--proxy-protocol", "on"]);
    let open = |client: &str, head: &str| {
        let mut raw = Raw::dial(server.address());
        raw.try_write(format!("PROXY TCP4 {client} 127.0.0.1 1 2\r\n{head}").as_bytes());
        let response = raw.response();
        (raw, response)
    };
    let kept = [open("192.0.2.1", GET), open("192.0.2.1", &upgrade_head(""))];
    assert!(kept.iter().all(|(_, response)| [101, 200].contains(&response.status)));
    assert_refused(&open("192.0.2.1", GET).1, "too_many_connections");
    assert_eq!(open("192.0.2.2", GET).1.status, 200);
    drop(kept);
    wait_until("the places are free", || open("192.0.2.1", GET).1.status == 200);
}

#[test]
fn until_it_is_set_only_public_addresses_have_a_limit() {
    let flags = ["--trusted-proxy", "127.0.0.1", "--max-connections", "1000"];
    let server = Server::start(&flags);
    assert_eq!(server.stats()["limits"]["max_connections_per_address"], json!(256));
    for near in ["127.0.0.9", "10.0.0.1", "192.168.1.1", "fd00::1"] {
        let open = |_| {
            let mut raw = Raw::dial(server.address());
            raw.write(upgrade_head(&forwarded(near)).as_bytes());
            assert_eq!(raw.response().status, 101, "{near}");
            raw
        };
        drop((0..270).map(open).collect::<Vec<_>>());
    }
    wait_until("all have gone", || server.stats()["connections"] == json!(0));
    let mut kept = Vec::new();
    for n in 0..258 {
        let mut raw = Raw::dial(server.address());
        raw.write(upgrade_head(&forwarded("192.0.2.1")).as_bytes());
        assert_eq!(raw.response().status, if n < 256 { 101 } else { 429 }, "number {n}");
        kept.push(raw);
    }
}

#[test]
fn an_address_begins_so_many_handshakes_per_second() {
    let server = Server::start_with_shards(1, &["--handshakes-per-address", "1"]);
    let foreign = upgrade_head("Origin: http://evil.example\r\n");
    for head in [upgrade_head(""), events_head("r", ""), foreign] {
        let mut raws: Vec<Raw> = (0..20).map(|_| Raw::dial_from(ONE, server.address())).collect();
        for raw in &mut raws {
            raw.try_write(head.as_bytes());
        }
        let answers: Vec<Response> = raws.iter_mut().map(parse).collect();
        let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
        assert!(!refused.is_empty(), "twenty at once: {answers:?}");
        refused.into_iter().for_each(|answer| assert_refused(answer, "rate_limited"));
        assert_eq!(say(ONE, server.address(), GET).1.status, 200, "other requests do not count");
        wait_until("the address may begin one more", || {
            say(ONE, server.address(), &head).1.status != 429
        });
    }
    assert!(refused(&server, "handshakes_per_address") >= 3);
    assert_eq!(upgrade(OTHER, &server).1.status, 101, "another address");
}

#[test]
fn a_token_is_looked_at_only_where_the_address_may_begin_one_more() {
    let folder = Folder::new();
    let secret = folder.write("secret", &"s".repeat(32));
    let flags = ["--jwt-secret-file", &secret, "--api-key", "k", "--handshakes-per-address", "1"];
    let server = Server::start_with_shards(1, &flags);
    let forged = "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.e30.AAAA\r\n";
    let begin = Instant::now();
    let mut looked_at = 0;
    // At once, and behind another request of the same connection.
    for head in [events_head("r", forged), upgrade_head(forged)] {
        for behind in ["", GET] {
            let answers: Vec<u16> = (0..20)
                .map(|_| {
                    let mut raw = Raw::dial_from(ONE, server.address());
                    raw.write(format!("{behind}{head}").as_bytes());
                    if !behind.is_empty() {
                        assert_eq!(parse(&mut raw).status, 200);
                    }
                    parse(&mut raw).status
                })
                .collect();
            assert!(answers.iter().all(|status| [401, 429].contains(status)), "{answers:?}");
            looked_at += answers.iter().filter(|status| **status == 401).count() as u64;
        }
    }
    assert!(looked_at <= begin.elapsed().as_secs() + 2, "{looked_at} of 80 were looked at");
    let key = [("Authorization", "Bearer k")];
    let stats = http(server.address(), "GET", "/v1/stats", &key, "").json();
    assert_eq!(stats["refused"]["token_signature"], json!(looked_at), "each of them once");
}

#[test]
fn only_what_reads_a_room_s_events_is_paced() {
    let flags = ["--api-key", "k", "--handshakes-per-address", "1"];
    let server = Server::start_with_shards(1, &flags);
    let asked = |method: &str| -> Vec<u16> {
        let head = events_head("r", "").replacen("GET", method, 1);
        let ask = |_| {
            let mut raw = Raw::dial_from(ONE, server.address());
            raw.try_write(head.as_bytes());
            crate::support::parse_head(&raw.head()).status
        };
        (0..20).map(ask).collect()
    };
    for method in ["POST", "DELETE", "PUT"] {
        let statuses = asked(method);
        assert!(statuses.iter().all(|status| *status == 401), "{method}: {statuses:?}");
    }
    let statuses = asked("HEAD");
    assert_eq!(statuses[0], 401, "the others took nothing from it");
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
}
