//! Proves what clients may do that bring no key, and that one who brings a key may do everything.

use serde_json::{Value, json};

use crate::support::{Raw, Response, Server, http, refused, serve, upgrade_head};

const COMMANDS: [&str; 3] = ["join", "publish", "broadcast"];

/// Opens a connection, with this key if there is one.
fn connect(server: &Server, key: Option<&str>) -> Raw {
    let mut raw = Raw::dial(server.address());
    raw.write(head(key).as_bytes());
    raw.expect_upgraded();
    assert_eq!(raw.envelope().event(), "cast:welcome");
    raw
}

fn head(key: Option<&str>) -> String {
    upgrade_head(&key.map_or(String::new(), |key| format!("Authorization: Bearer {key}\r\n")))
}

/// Which of the commands a connection may give.
fn allowed(raw: &mut Raw) -> Vec<&'static str> {
    let may = |command: &&'static str| {
        raw.send(&json!({"event": format!("cast:{command}"), "room": "r", "id": 7, "data": data(command)}));
        let answer = loop {
            let envelope = raw.envelope();
            if envelope.event().starts_with("cast:") {
                break envelope;
            }
        };
        match answer.event().as_str() {
            "cast:error" => {
                assert_eq!(answer.error_code(), "forbidden", "in {answer:?}");
                false
            }
            _ => true,
        }
    };
    COMMANDS.into_iter().filter(may).collect()
}

fn data(command: &str) -> Value {
    if command == "join" { Value::Null } else { json!({"event": "e"}) }
}

#[test]
fn a_server_with_keys_is_closed_for_those_who_bring_none() {
    let server = Server::start(&["--api-key", "secret"]);
    assert!(allowed(&mut connect(&server, None)).is_empty());
    assert_eq!(allowed(&mut connect(&server, Some("secret"))), COMMANDS);
    assert_eq!(shown(&server), json!("none"));
    let open = Server::start(&[]);
    assert_eq!(allowed(&mut connect(&open, None)), COMMANDS);
    assert_eq!(allowed(&mut connect(&open, Some("whatever"))), COMMANDS, "no key is asked for");
    assert_eq!(shown(&open), json!("all"));
}

#[test]
fn a_client_that_brings_nothing_hears_broadcasts_and_no_room() {
    let server = Server::start(&["--api-key", "secret"]);
    let mut anonymous = connect(&server, None);
    let headers = [("Authorization", "Bearer secret")];
    for (target, event) in [("/v1/rooms/r/publish", "of-a-room"), ("/v1/broadcast", "for-all")] {
        let body = json!({"event": event}).to_string();
        assert_eq!(http(server.address(), "POST", target, &headers, &body).status, 202);
    }
    assert_eq!(anonymous.envelope().event(), "for-all");
}

fn shown(server: &Server) -> Value {
    let headers = [("Authorization", "Bearer secret")];
    let stats = http(server.address(), "GET", "/v1/stats", &headers, "").json();
    stats["anonymous"].clone()
}

#[test]
fn a_wrong_key_is_refused_before_the_upgrade() {
    let server = Server::start(&["--api-key", "secret", "--anonymous", "all"]);
    let answer = |head: String| -> Response {
        let mut raw = Raw::dial(server.address());
        raw.write(head.as_bytes());
        raw.response()
    };
    for key in ["wrong", "secre", "secrets", "Secret", "x"] {
        let response = answer(head(Some(key)));
        response.assert_error(401);
        assert_eq!(response.header("connection"), Some("close"));
    }
    assert_eq!(answer(head(Some("secret"))).status, 101);
    assert_eq!(answer(upgrade_head("Authorization: Basic c2VjcmV0\r\n")).status, 101);
}

#[test]
fn what_the_anonymous_may_do_can_be_chosen() {
    for (list, expected) in [
        ("all", &COMMANDS[..]),
        ("none", &[]),
        ("join", &["join"]),
        ("publish,join", &["join", "publish"]),
    ] {
        for keys in [&["--api-key", "secret"][..], &[]] {
            let server = Server::start(&[&["--anonymous", list], keys].concat());
            assert_eq!(allowed(&mut connect(&server, None)), expected, "{list} with {keys:?}");
        }
    }
    let mut command = serve(&["--listen", "127.0.0.1:0", "--shards", "1"]);
    command.env("CORECAST_ANONYMOUS", "publish").env("CORECAST_API_KEY", "secret");
    let server = Server::spawn(command, 1);
    assert_eq!(allowed(&mut connect(&server, None)), ["publish"]);
    let outcome = refused(serve(&["--listen", "127.0.0.1:0", "--anonymous", "joins"]));
    assert!(matches!(outcome.code, Some(1 | 2)) && outcome.stderr.contains("broadcast"));
}
