//! Proves that only pages that may are connected, and that nobody reaches a server of this machine
//! under another machine's name.

use crate::support::{Raw, Response, Server, http, refused, serve, upgrade_head};

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
