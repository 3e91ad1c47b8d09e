//! Proves that only pages that may are connected, and that nobody reaches a server of this machine
//! under another machine's name.

use crate::support::{
    Raw, Response, Server, http, parse_head, refused, serve, upgrade_head, wait_until,
};

/// The answer to a handshake that says `Host` and, if not empty, `Origin`.
fn handshake(server: &Server, host: &str, origin: &str) -> Response {
    let origin = if origin.is_empty() { String::new() } else { format!("Origin: {origin}\r\n") };
    let head = upgrade_head(&origin).replace("Host: localhost", &format!("Host: {host}"));
    let mut raw = Raw::dial(server.address());
    raw.write(head.as_bytes());
    raw.response()
}

#[test]
fn a_page_of_another_origin_may_not_connect() {
    for flags in [&[][..], &["--open"], &["--api-key", "secret"]] {
        let server = Server::start(flags);
        let own = format!("http://{}", server.address());
        let host = server.address().to_string();
        assert_eq!(handshake(&server, &host, &own).status, 101, "{flags:?}");
        assert_eq!(handshake(&server, &host, "").status, 101, "no browser, no origin");
        assert_eq!(handshake(&server, "LOCALHOST", "https://localhost:443").status, 101);
        for origin in
            ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "x"]
        {
            let response = handshake(&server, &host, origin);
            response.assert_error(403);
            let words = String::from_utf8_lossy(&response.body);
            let is_helpful = ["proxy_set_header Host $http_host", "--allow-origin"];
            assert!(is_helpful.iter().all(|word| words.contains(word)), "{words}");
            assert_eq!(response.header("connection"), Some("close"), "{origin}");
        }
        let two = format!("{own}\r\nOrigin: {own}");
        handshake(&server, &host, &two).assert_error(403);
    }
}

#[test]
fn origins_may_be_allowed() {
    let flags = ["--allow-origin", "https://*.example.com,http://localhost:*"];
    let server = Server::start(&flags);
    for origin in ["https://a.example.com", "https://A.b.Example.com:443", "http://localhost:3000"]
    {
        assert_eq!(handshake(&server, "localhost", origin).status, 101, "{origin}");
    }
    for origin in ["https://example.com", "http://a.example.com", "https://a.example.com.evil.org"]
    {
        handshake(&server, "localhost", origin).assert_error(403);
    }
    let everybody = Server::start(&["--allow-origin", "*"]);
    assert_eq!(handshake(&everybody, "localhost", "https://evil.example").status, 101);
    let outcome = refused(serve(&["--listen", "127.0.0.1:0", "--allow-origin", "example.com"]));
    outcome.assert_readable(&["example.com", "https://"]);
}

#[test]
fn a_server_of_this_machine_answers_to_no_other_name() {
    let server = Server::start(&[]);
    for host in
        ["localhost", "LocalHost:1", "app.localhost", "127.0.0.1:8080", "127.9.9.9", "[::1]"]
    {
        assert_eq!(handshake(&server, host, "").status, 101, "{host}");
        let headers = [("Host", host)];
        let response = http(server.address(), "GET", "/v1/stats", &headers, "");
        assert_eq!(response.status, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example:8080", "192.0.2.1", "0.0.0.0"] {
        let same_origin = format!("http://{host}");
        for origin in ["", &same_origin] {
            let response = handshake(&server, host, origin);
            response.assert_error(403);
            let body = String::from_utf8(response.body).unwrap();
            assert!(body.contains("localhost") && body.contains("--api-key"), "{body}");
        }
        let headers = [("Host", host)];
        for (method, target, body) in [
            ("GET", "/v1/stats", ""),
            ("GET", "/%76%31/rooms", ""),
            ("POST", "/v1/broadcast", r#"{"event":"e"}"#),
        ] {
            http(server.address(), method, target, &headers, body).assert_error(403);
        }
        let healthy = http(server.address(), "GET", "/healthz", &headers, "");
        assert_eq!(healthy.status, 200, "it tells nothing");
    }
    // The target says which host is meant when it is absolute, and the header does not.
    let absolute = |host: &str| format!("http://{host}/v1/stats");
    let evil = [("Host", "evil.example")];
    assert_eq!(http(server.address(), "GET", &absolute("localhost"), &evil, "").status, 200);
    http(server.address(), "GET", &absolute("evil.example"), &[], "").assert_error(403);
}

/// Names that another program might take for this machine's, or that change when they are decoded.
const NEARLY_LOOPBACK: [&str; 12] = [
    "%6cocalhost",
    "localhost%2eevil.example",
    "localhost%00.evil.example",
    "127.0.0.1.",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "[::]",
    "[::ffff:192.0.2.1]",
    "localhost.localdomain",
    "xn--localhost",
];

#[test]
fn only_the_plain_names_of_this_machine_are_its_own() {
    let server = Server::start(&[]);
    for host in ["[0:0:0:0:0:0:0:1]:80", "[::ffff:127.0.0.1]", "[::FFFF:7f00:1]", "a.localhost."] {
        assert_eq!(handshake(&server, host, "").status, 101, "{host}");
    }
    for host in NEARLY_LOOPBACK {
        handshake(&server, host, "").assert_error(403);
        for target in ["/v1/stats", "/v1/rooms/r/events"] {
            http(server.address(), "GET", target, &[("Host", host)], "").assert_error(403);
        }
    }
    for host in ["localhost, evil.example", "localhost evil", "user@localhost", "[::1%25lo]", "::1"]
    {
        handshake(&server, host, "").assert_error(400);
        let headers = [("Host", host)];
        http(server.address(), "GET", "/v1/rooms/r/events", &headers, "").assert_error(400);
    }
    let two = "localhost\r\nHost: localhost";
    handshake(&server, two, "").assert_error(400);
}

#[test]
fn an_absolute_target_says_which_host_is_meant_to_handshakes_and_event_streams() {
    let server = Server::start(&[]);
    let absolute = |host: &str, more: &str| {
        let head = upgrade_head(more).replace("/ws", &format!("http://{host}/ws"));
        let mut raw = Raw::dial(server.address());
        raw.write(head.replace("Host: localhost", "Host: evil.example").as_bytes());
        raw.response()
    };
    assert_eq!(absolute("localhost", "").status, 101);
    absolute("localhost", "Origin: http://evil.example\r\n").assert_error(403);
    absolute("evil.example", "").assert_error(403);
    absolute("%6cocalhost", "").assert_error(403);
    absolute("user@localhost", "").assert_error(400);
    let events = |host: &str, origin: &str| {
        let target = format!("http://{host}/v1/rooms/r/events");
        http(server.address(), "GET", &target, &[("Origin", origin)], "")
    };
    events("localhost", "http://evil.example").assert_error(403);
    events("evil.example", "http://evil.example").assert_error(403);
}

#[test]
fn an_event_stream_asks_for_the_origin_as_a_handshake_does() {
    let server = Server::start(&[]);
    let own = format!("http://{}", server.address());
    let host = server.address().to_string();
    let answer = |origins: &[&str]| {
        let mut headers = vec![("Host", host.as_str())];
        headers.extend(origins.iter().map(|origin| ("Origin", *origin)));
        let fields = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let fields: String = fields.collect();
        let mut raw = Raw::dial(server.address());
        raw.write(format!("HEAD /v1/rooms/r/events HTTP/1.1\r\n{fields}\r\n").as_bytes());
        parse_head(&raw.head()).status
    };
    assert_eq!((answer(&[]), answer(&[&own])), (200, 200));
    for origins in [&["null"][..], &["http://evil.example"], &[&own, &own], &[&own, "null"], &[""]]
    {
        assert_eq!(answer(origins), 403, "{origins:?}");
    }
}

#[test]
fn an_event_stream_is_none_for_a_page_of_another_site_that_does_not_name_itself() {
    let server = Server::start(&["--allow-origin", "https://a.example"]);
    let answer = |fields: &str| {
        let target = "/v1/rooms/r/events";
        let head = format!("HEAD {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let mut raw = Raw::dial(server.address());
        raw.write(head.as_bytes());
        parse_head(&raw.head()).status
    };
    for (fields, expected) in [
        ("Sec-Fetch-Site: same-origin\r\n", 200),
        ("Sec-Fetch-Site: none\r\n", 200),
        ("Sec-Fetch-Site: cross-site\r\nOrigin: https://a.example\r\n", 200),
        ("Sec-Fetch-Site: cross-site\r\n", 403),
        ("sec-fetch-site: Same-Site \r\n", 403),
        ("Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n", 403),
        ("Sec-Fetch-Site: cross-site\r\nOrigin: https://b.example\r\n", 403),
    ] {
        assert_eq!(answer(fields), expected, "{fields}");
    }
    assert_eq!(server.stats()["refused"]["origin"], 4);
}

/// What proxies add to requests, and browsers do not.
const BY_PROXY: [&str; 4] = [
    "X-Forwarded-For: 127.0.0.1\r\n",
    "forwarded: for=127.0.0.1\r\n",
    "VIA: 1.1 shop\r\n",
    "X-Real-IP: ::1\r\n",
];

#[test]
fn what_came_over_a_proxy_is_warned_of_while_only_this_machine_is_to_be_served() {
    let status = |server: &Server, fields: &str| {
        let mut raw = Raw::dial(server.address());
        raw.write(upgrade_head(fields).as_bytes());
        raw.response().status
    };
    let words = "a request came over a proxy";
    for fields in BY_PROXY {
        let server = Server::start(&[]);
        assert_eq!(status(&server, "X-Forwarded-Proto: https\r\n"), 101);
        assert_eq!(status(&server, fields), 101, "{fields}");
        wait_until("the log warns", || server.log().contains(words));
        assert_eq!(status(&server, fields), 101, "{fields}");
        assert_eq!(server.log().matches(words).count(), 1, "once");
    }
    for flags in [&["--open"][..], &["--api-key", "secret"], &["--trusted-proxy", "loopback"]] {
        let server = Server::start(flags);
        for fields in BY_PROXY {
            assert_eq!(status(&server, fields), 101, "{flags:?}: {fields}");
        }
        if flags[0] == "--trusted-proxy" {
            let words = "--trusted-proxy let in may do everything";
            wait_until("the log warns", || server.log().contains(words));
        }
        assert!(!server.log().contains(words), "{flags:?}");
    }
}

#[test]
fn with_keys_or_when_it_is_open_a_server_has_any_name() {
    for flags in [&["--open"][..], &["--api-key", "secret"]] {
        let server = Server::start(flags);
        let response = handshake(&server, "chat.example.com", "https://chat.example.com");
        assert_eq!(response.status, 101, "{flags:?}: {response:?}");
        let headers = [("Host", "chat.example.com"), ("Authorization", "Bearer secret")];
        assert_eq!(http(server.address(), "GET", "/v1/stats", &headers, "").status, 200);
    }
}
