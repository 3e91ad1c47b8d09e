//! Proves that `/v1/*` wants a key once one is configured, and that everything else does not.

use crate::support::{Client, Server, http};

const FLAGS: &[&str] = &["--api-key", "first-key", "--api-key", "second-key"];

/// Each request of the HTTP side that does no harm, with the status it has with a key.
const REQUESTS: &[(&str, &str, &str, u16)] = &[
    ("GET", "/v1/stats", "", 200),
    ("GET", "/v1/rooms", "", 200),
    ("GET", "/v1/rooms/none", "", 404),
    ("POST", "/v1/broadcast", r#"{"event":"e"}"#, 202),
    ("POST", "/v1/rooms/r/publish", r#"{"event":"e"}"#, 202),
    ("POST", "/v1/connections/none/emit", r#"{"event":"e"}"#, 404),
    ("DELETE", "/v1/connections/none", "", 404),
];

#[test]
fn without_a_right_key_the_answer_is_401() {
    let server = Server::start(FLAGS);
    let wrong = [
        None,
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer third-key"),
        Some("Bearer first-ke"),
        Some("Bearer first-key-"),
        Some("Bearer FIRST-KEY"),
        Some("Basic first-key"),
        Some("first-key"),
    ];
    for (method, target, body, _) in REQUESTS {
        for value in wrong {
            let header = value.map(|value| ("Authorization", value));
            let response = http(server.address(), method, target, header.as_slice(), body);
            assert_eq!(response.status, 401, "{method} {target} with {value:?}");
            response.assert_error(401);
        }
    }
}

#[test]
fn with_any_of_the_keys_the_request_is_served() {
    let server = Server::start(FLAGS);
    for key in ["Bearer first-key", "Bearer second-key"] {
        for (method, target, body, status) in REQUESTS {
            let headers = [("Authorization", key)];
            let response = http(server.address(), method, target, &headers, body);
            assert_eq!(response.status, *status, "{method} {target} with {key}");
        }
    }
}

#[test]
fn health_and_connections_need_no_key() {
    let server = Server::start(FLAGS);
    for target in ["/healthz", "/readyz"] {
        assert_eq!(server.get(target).status, 200, "{target}");
    }
    Client::connect(&server).assert_alive();
}

#[test]
fn without_configured_keys_everybody_is_served() {
    let server = Server::start(&[]);
    let headers = [("Authorization", "Bearer whatever")];
    for headers in [&headers[..], &[]] {
        let response = http(server.address(), "GET", "/v1/stats", headers, "");
        assert_eq!(response.status, 200);
    }
}
