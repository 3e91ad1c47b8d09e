//! Proves which requests for the events of a room are answered with a stream, and how the others
//! are refused.

use crate::support::wait_until;
use crate::support::{Client, Events, Raw, Response, Server, events_head, upgrade_head};
use serde_json::json;

const EVENTS: &str = "/v1/rooms/r/events";

/// The answer to a request with these header lines; of a stream, the begin.
fn ask(server: &Server, more: &[(&str, &str)]) -> Result<Events, Response> {
    ask_for(server, EVENTS, more)
}

fn ask_for(server: &Server, target: &str, more: &[(&str, &str)]) -> Result<Events, Response> {
    let mut head = format!("GET {target} HTTP/1.1\r\n");
    if !more.iter().any(|(name, _)| *name == "Host") {
        head += "Host: localhost\r\n";
    }
    more.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    let mut raw = Raw::dial(server.address());
    raw.write(format!("{head}\r\n").as_bytes());
    Events::answered(raw)
}

fn refused(asked: Result<Events, Response>, status: u16) -> Response {
    let response = asked.err().unwrap_or_else(|| panic!("it is a stream and not {status}"));
    response.assert_error(status);
    response
}

fn opens(asked: Result<Events, Response>) -> Events {
    asked.unwrap_or_else(|response| panic!("it is no stream but {response:?}"))
}

#[test]
fn any_other_method_is_refused() {
    let server = Server::start(&[]);
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let mut raw = Raw::dial(server.address());
        let end = "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        raw.write(format!("{method} {EVENTS} {end}").as_bytes());
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 405 "), "{method}: {head}");
        assert!(head.to_lowercase().contains("\r\nallow: get, head\r\n"), "{method}: {head}");
    }
    assert_eq!(server.members("r"), 0);
}

/// The header fields of the answer to a browser's question, which has no content.
fn preflight(server: &Server, more: &str) -> Response {
    let mut raw = Raw::dial(server.address());
    let asked = "Access-Control-Request-Method: GET\r\n\
         Access-Control-Request-Headers: cache-control,last-event-id\r\n";
    let head = format!("OPTIONS {EVENTS} HTTP/1.1\r\nHost: localhost\r\n{asked}{more}\r\n");
    raw.write(head.as_bytes());
    raw.response()
}

#[test]
fn a_page_whose_client_adds_fields_is_answered_before_it_asks() {
    for flags in [&[][..], &["--api-key", "secret"]] {
        let allowed = ["--allow-origin", "https://*.example.com"];
        let server = Server::start(&[&allowed[..], flags].concat());
        let origin = "https://a.example.com";
        let answer = preflight(&server, &format!("Origin: {origin}\r\n"));
        assert_eq!((answer.status, &*answer.body), (204, &[][..]), "{answer:?}");
        for (name, value) in [
            ("access-control-allow-origin", origin),
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-methods", "GET, HEAD"),
            ("access-control-allow-headers", "authorization, cache-control, last-event-id"),
            ("access-control-max-age", "7200"),
            ("vary", "Origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
        preflight(&server, "Origin: https://a.example.org\r\n").assert_error(403);
        preflight(&server, "Sec-Fetch-Site: cross-site\r\n").assert_error(match flags {
            [] => 405,
            _ => 401,
        });
    }
}

/// The answer to a request of a client that ends its side: the status line, the header fields in the
/// order of their names without `Date` and `Transfer-Encoding`, and what follows the head.
fn answer_to(server: &Server, method: &str, more: &str) -> (String, Vec<String>, Vec<u8>) {
    let mut raw = Raw::dial(server.address());
    raw.write(events_head("r", more).replacen("GET", method, 1).as_bytes());
    raw.half_close();
    let head = raw.head().to_lowercase();
    let mut lines = head.lines().map(str::to_owned).filter(|line| !line.is_empty());
    let status = lines.next().unwrap_or_default();
    let differs = ["date: ", "transfer-encoding: "];
    let is_same = |line: &String| !differs.iter().any(|name| line.starts_with(name));
    let mut fields: Vec<_> = lines.filter(is_same).collect();
    fields.sort_unstable();
    (status, fields, raw.read_to_end())
}

#[test]
fn head_is_answered_as_get_is_without_joining() {
    let server = Server::start(&["--allow-origin", "https://a.example"]);
    for more in ["", "Accept: text/event-stream\r\n", "Origin: https://a.example\r\n"] {
        let (status, fields, body) = answer_to(&server, "HEAD", more);
        assert_eq!(status, "http/1.1 200 ok");
        assert_eq!(body, b"", "{more}");
        assert_eq!(server.stats()["connections"], json!(0), "{more}");
        assert_eq!(server.members("r"), 0, "{more}");
        assert!(fields.iter().any(|line| line == "content-type: text/event-stream"), "{fields:?}");
        let (of_get, fields_of_get, _) = answer_to(&server, "GET", more);
        assert_eq!((status, fields), (of_get, fields_of_get), "{more}");
        wait_until("it has gone", || server.stats()["connections"] == json!(0));
    }
}

#[test]
fn head_is_refused_as_get_is() {
    let server = Server::start_with_shards(1, &["--max-connections", "1"]);
    let status = |more: &str| {
        let (status, _, body) = answer_to(&server, "HEAD", more);
        assert_eq!(body, b"", "{more}");
        status
    };
    assert_eq!(status("Origin: https://a.example\r\n"), "http/1.1 403 forbidden");
    let holder = opens(ask(&server, &[]));
    assert_eq!(status(""), "http/1.1 503 service unavailable");
    assert_eq!(status("Accept: text/event-stream\r\n"), "http/1.1 200 ok");
    drop(holder);
    wait_until("there is room again", || status("") == "http/1.1 200 ok");
}

#[test]
fn a_key_is_needed_once_there_is_one() {
    let flags = ["--api-key", "secret", "--anonymous", "all"];
    let server = Server::start(&flags);
    for target in [EVENTS, "/%76%31/rooms/r/events", "/v1/%72ooms/r/%65vents"] {
        for value in [None, Some("Bearer wrong"), Some("Basic secret"), Some("secret")] {
            let header = value.map(|value| ("Authorization", value));
            refused(ask_for(&server, target, header.as_slice()), 401);
        }
        opens(ask_for(&server, target, &[("Authorization", "Bearer secret")]));
    }
}

#[test]
fn a_caller_without_a_key_reads_what_it_could_join() {
    for (anonymous, may) in [("all", true), ("join", true), ("publish,broadcast", false)] {
        let server = Server::start(&["--anonymous", anonymous]);
        match may {
            true => drop(opens(ask(&server, &[]))),
            false => assert_eq!(refused(ask(&server, &[]), 403).error_code(), "forbidden"),
        }
    }
    let server = Server::start(&["--anonymous", "none", "--api-key", "secret"]);
    opens(ask(&server, &[("Authorization", "Bearer secret")]));
}

#[test]
fn a_server_of_this_machine_streams_under_no_other_name() {
    let server = Server::start(&[]);
    for host in ["localhost", "127.0.0.1:8080", "[::1]", "app.localhost:1"] {
        opens(ask(&server, &[("Host", host)]));
    }
    for host in ["evil.example", "localhost.evil.example:8080", "192.0.2.1"] {
        refused(ask(&server, &[("Host", host)]), 403);
        let own = format!("http://{host}");
        refused(ask(&server, &[("Host", host), ("Origin", &own)]), 403);
    }
    refused(ask_for(&server, &format!("http://evil.example{EVENTS}"), &[]), 403);
    let absolute = format!("http://localhost{EVENTS}");
    opens(ask_for(&server, &absolute, &[("Host", "evil.example")]));
    let open = Server::start(&["--open"]);
    opens(ask(&open, &[("Host", "chat.example.com")]));
}

#[test]
fn a_page_of_another_origin_may_not_listen() {
    for flags in [&[][..], &["--open"], &["--api-key", "secret"]] {
        let server = Server::start(flags);
        let (host, key) = (server.address().to_string(), ("Authorization", "Bearer secret"));
        let with = |origin: &str| ask(&server, &[key, ("Host", &host), ("Origin", origin)]);
        let own = format!("http://{host}");
        assert_eq!(opens(with(&own)).header("access-control-allow-origin"), Some(own.as_str()));
        let stream = opens(ask(&server, &[key]));
        assert_eq!(stream.header("access-control-allow-origin"), None, "no browser, no origin");
        for origin in ["https://evil.example", "null", "http://127.0.0.1:1", "x"] {
            refused(with(origin), 403);
        }
        let both = [key, ("Host", &host), ("Origin", &own), ("Origin", &own)];
        refused(ask(&server, &both), 403);
    }
}

#[test]
fn a_page_that_was_let_in_may_read_what_it_gets() {
    let server = Server::start(&["--allow-origin", "https://*.example.com"]);
    let origin = "https://a.example.com";
    let stream = opens(ask(&server, &[("Origin", origin)]));
    for (name, value) in [
        ("access-control-allow-origin", origin),
        ("access-control-allow-credentials", "true"),
        ("vary", "Origin"),
    ] {
        assert_eq!(stream.header(name), Some(value), "{name}");
    }
    refused(ask(&server, &[("Origin", "https://a.example.org")]), 403);
}

#[test]
fn a_room_is_named_as_in_any_other_path() {
    let server = Server::start(&[]);
    let mut publisher = Client::connect(&server);
    let long = "x".repeat(200);
    for (segment, name) in
        [("a%2Fb", "a/b"), ("%C3%A9%20", "é "), ("a+b", "a+b"), ("%25", "%"), (&long, &long)]
    {
        let mut stream = Events::join(server.address(), segment);
        publisher.publish(name, "chat", json!(null));
        assert_eq!(stream.envelope().room(), name);
    }
    let too_long = "x".repeat(201);
    for segment in ["%00", "a%0Ab", "%7F", "%FF", "%C3", &too_long] {
        refused(ask_for(&server, &format!("/v1/rooms/{segment}/events"), &[]), 400);
    }
    refused(ask_for(&server, "/v1/rooms//events", &[]), 400);
    for target in ["/v1/rooms/r/events/", "/v1/rooms/r/Events"] {
        refused(ask_for(&server, target, &[]), 404);
    }
}

#[test]
fn an_older_version_of_http_is_told_what_is_missing() {
    let server = Server::start(&[]);
    let mut raw = Raw::dial(server.address());
    raw.write(format!("GET {EVENTS} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes());
    let response = raw.response();
    response.assert_error(426);
    assert_eq!(response.header("upgrade"), Some("HTTP/1.1"));
    assert_eq!(response.header("connection"), Some("upgrade"), "RFC 9110 section 7.8");
    let body = String::from_utf8(response.body).unwrap();
    assert!(body.contains("proxy_http_version 1.1"), "{body}");
    let mut raw = Raw::dial(server.address());
    raw.write(format!("GET {EVENTS} HTTP/1.1\r\n\r\n").as_bytes());
    raw.response().assert_error(400);
}

#[test]
fn it_may_be_any_request_of_a_connection() {
    let server = Server::start(&[]);
    let health = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut publisher = Client::connect(&server);
    // One by one, all at once, and in pieces.
    for pieces in [
        vec![health.to_owned(), events_head("r", "")],
        vec![format!("{health}{}", events_head("r", ""))],
        format!("{health}{}", events_head("r", "")).chars().map(String::from).collect(),
    ] {
        let mut raw = Raw::dial(server.address());
        pieces.iter().for_each(|piece| raw.write(piece.as_bytes()));
        assert_eq!(raw.response().status, 200);
        let mut stream = Events::begun(raw);
        let offset = publisher.publish("r", "chat", json!(null));
        assert_eq!(stream.envelope().offset(), offset);
        drop(stream);
        wait_until("it has gone", || server.members("r") == 0);
    }
}

#[test]
fn what_is_sent_behind_the_request_is_discarded() {
    let server = Server::start(&[]);
    let mut publisher = Client::connect(&server);
    let behind = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100);
    let body = format!("{}{}", events_head("r", "Content-Length: 5\r\n"), "hello");
    let open_end = events_head("r", "Transfer-Encoding: chunked\r\n") + "5\r\nhel";
    for request in [events_head("r", "") + &behind, body + &behind, open_end] {
        let mut raw = Raw::dial(server.address());
        raw.write(request.as_bytes());
        let mut stream = Events::begun(raw);
        (0..16).for_each(|_| stream.raw().write(&[0xff; 64 * 1024]));
        let offset = publisher.publish("r", "chat", json!(null));
        assert_eq!(stream.envelope().offset(), offset);
        drop(stream);
        wait_until("it has gone", || server.members("r") == 0);
    }
}

#[test]
fn a_stream_takes_one_of_the_connections_that_there_may_be() {
    let server = Server::start(&["--max-connections", "3"]);
    let (_member, stream) = (Client::connect(&server), opens(ask(&server, &[])));
    let _other = opens(ask(&server, &[]));
    assert_eq!(server.stats()["connections"], json!(3));
    for _ in 0..5 {
        let response = refused(ask(&server, &[]), 503);
        let after = response.header("retry-after").and_then(|after| after.parse::<u32>().ok());
        assert!(after.is_some_and(|after| after > 0), "{response:?}");
    }
    let mut raw = Raw::dial(server.address());
    raw.write(upgrade_head("").as_bytes());
    raw.response().assert_error(503);
    drop(stream);
    wait_until("there is room again", || ask(&server, &[]).is_ok());
}

/// Reads the answer to a request with this `Accept`, up to its end.
fn ask_accepting(server: &Server, accept: &str) -> String {
    let mut raw = Raw::dial(server.address());
    let accept = format!("Accept: {accept}\r\n");
    raw.write(events_head("r", "").replacen("Accept: */*\r\n", &accept, 1).as_bytes());
    raw.half_close();
    String::from_utf8(raw.read_to_end()).unwrap()
}

/// An `EventSource` gives up for good behind any status but 200.
fn assert_comes_back(answer: &str, reason: &str) {
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let (_, retry) = answer.split_once("\nretry: ").expect("a time to come back");
    let (ms, _) = retry.split_once('\n').expect("a whole line");
    assert!(answer.ends_with(&format!(": {reason} retry={ms}\n\n\r\n0\r\n\r\n")), "{answer}");
}

#[test]
fn an_event_source_that_finds_no_place_comes_back() {
    let server = Server::start_with_shards(1, &["--max-connections", "1"]);
    let holder = opens(ask(&server, &[]));
    assert_comes_back(&ask_accepting(&server, "text/event-stream"), "capacity");
    assert_eq!(server.members("r"), 1);
    drop(holder);
}

#[test]
fn only_an_accept_that_names_event_streams_is_that_of_an_event_source() {
    let server = Server::start_with_shards(1, &["--max-connections", "1"]);
    let holder = opens(ask(&server, &[]));
    for accept in [
        "Text/Event-Stream",
        "text/event-stream, */*",
        "text/html,\ttext/event-stream",
        "text/event-stream;q=0.9",
        "text/event-stream ; charset=utf-8 ; Q=0.001",
        "text/html\r\nAccept: text/event-stream",
    ] {
        assert_comes_back(&ask_accepting(&server, accept), "capacity");
    }
    for accept in [
        "*/*",
        "text/*",
        "text/event-streams",
        "text/html;a=text/event-stream",
        "text/event-stream;q=0",
        "text/event-stream; Q=0.000, */*",
    ] {
        let answer = ask_accepting(&server, accept);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{accept}: {answer}");
        assert!(answer.contains("\r\nretry-after: "), "{accept}: {answer}");
    }
    drop(holder);
}

#[test]
fn a_stream_that_found_no_place_does_not_hold_a_shutdown_back() {
    let flags = ["--max-connections", "1", "--drain-timeout", "60s", "--close-timeout", "20s"];
    let mut server = Server::start_with_shards(1, &flags);
    let holder = opens(ask(&server, &[]));
    let mut kept = Raw::dial(server.address());
    kept.write(events_head("r", "").as_bytes());
    assert_eq!(kept.response().status, 503);
    let begun = std::time::Instant::now();
    server.signal(libc::SIGTERM);
    drop(holder);
    assert_eq!(server.wait().code(), Some(0));
    assert!(begun.elapsed() < std::time::Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn open_streams_are_no_plain_connections() {
    let server = Server::start_with_shards(1, &["--max-http-connections", "4"]);
    let mut streams: Vec<Events> = (0..40).map(|_| opens(ask(&server, &[]))).collect();
    assert_eq!(server.stats()["http_connections"], json!(1), "the one that asks");
    assert_eq!(server.members("r"), 40);
    Client::connect(&server).publish("r", "chat", json!(null));
    streams.iter_mut().for_each(|stream| assert_eq!(stream.envelope().offset(), 1));
}

#[test]
fn while_the_server_drains_none_begins() {
    let flags = ["--drain-timeout", "600s", "--close-timeout", "600s"];
    let mut server = Server::start(&flags);
    let mut kept = Raw::dial(server.address());
    kept.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(kept.response().status, 200);
    let mut holding = Raw::open(&server);
    server.signal(libc::SIGTERM);
    holding.expect_close().assert_retry(1001, "shutdown");
    kept.write(events_head("r", "").as_bytes());
    for response in [kept.response(), refused(ask(&server, &[]), 503)] {
        response.assert_error(503);
        assert_eq!(response.header("connection"), Some("close"));
        assert!(response.header("retry-after").is_some(), "{response:?}");
    }
    kept.expect_end();
    assert_comes_back(&ask_accepting(&server, "text/event-stream"), "shutdown");
    holding.half_close();
    assert_eq!(server.wait().code(), Some(0));
}

/// A wish for a WebSocket at this path is no handshake, and the answer is what was asked for.
#[test]
fn a_wish_to_upgrade_changes_nothing() {
    let server = Server::start(&[]);
    let upgrade = upgrade_head("").replacen("/ws", EVENTS, 1);
    let mut raw = Raw::dial(server.address());
    raw.write(upgrade.as_bytes());
    let mut stream = Events::begun(raw);
    let published = server.post("/v1/rooms/r/publish", r#"{"event":"chat","data":null}"#);
    assert_eq!(published.json(), json!({"offset": 1, "members": 1}));
    assert_eq!(stream.envelope().offset(), 1);
}
