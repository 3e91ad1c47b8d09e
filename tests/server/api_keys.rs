//! Proves that `/v1/*` wants a key once one is configured, and that everything else does not.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::support::{Client, Raw, Server, http, refused, serve, upgrade_head};

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
fn two_keys_in_one_request_are_none() {
    let server = Server::start(FLAGS);
    let line = |key: &str| format!("Authorization: Bearer {key}\r\n");
    for lines in [
        line("first-key") + &line("x"),
        line("x") + &line("first-key"),
        line("first-key") + &line("second-key"),
    ] {
        for target in ["/v1/stats", "/v1/rooms/r/events", "/ws"] {
            let mut raw = Raw::dial(server.address());
            let head = match target {
                "/ws" => upgrade_head(&lines),
                _ => format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"),
            };
            raw.write(head.as_bytes());
            raw.response().assert_error(400);
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

/// Every spelling of a path in which some bytes of `v1` are percent-encoded.
fn spellings(target: &str) -> Vec<String> {
    let rest = target.strip_prefix("/v1").unwrap();
    ["/%76%31", "/%761", "/v%31"].map(|first| format!("{first}{rest}")).to_vec()
}

#[test]
fn no_spelling_of_a_path_gets_past_the_key() {
    let server = Server::start(FLAGS);
    let key = [("Authorization", "Bearer first-key")];
    for (method, target, body, status) in REQUESTS {
        let mut targets = spellings(target);
        targets.push(target.replace("stats", "%73tats").replace("rooms", "%72ooms"));
        let absolute = targets.iter().map(|target| format!("http://localhost{target}"));
        targets.extend(absolute.collect::<Vec<_>>());
        for target in targets {
            let response = http(server.address(), method, &target, &[], body);
            assert_eq!(response.status, 401, "{method} {target}: {response:?}");
            let response = http(server.address(), method, &target, &key, body);
            assert_eq!(response.status, *status, "{method} {target}: {response:?}");
        }
    }
    for target in ["/v1", "/v1/", "/%76%31/nothing", "/v1/rooms/%2e%2e/%2e%2e"] {
        assert_eq!(server.get(target).status, 401, "{target}");
    }
    for target in ["/%2576%2531/stats", "/x/../v1/stats", "//v1/stats", "/v1%2Fstats"] {
        assert_eq!(server.get(target).status, 404, "{target} is another path");
    }
    // A path is one thing, however often the connection asks.
    let mut raw = Raw::dial(server.address());
    for _ in 0..3 {
        raw.write(b"GET /%76%31/stats HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(raw.response().status, 401);
    }
}

fn opens(server: &Server, key: &str) -> bool {
    let key = format!("Bearer {key}");
    let headers = [("Authorization", key.as_str())];
    http(server.address(), "GET", "/v1/stats", &headers, "").status == 200
}

#[test]
fn a_comma_is_part_of_a_key_that_was_typed_and_separates_those_of_the_environment() {
    let server = Server::start(&["--api-key", "a,b"]);
    assert!(opens(&server, "a,b") && !opens(&server, "a") && !opens(&server, "b"));
    for listed in ["a,b", " a, b "] {
        let mut command = serve(&["--listen", "127.0.0.1:0", "--shards", "1"]);
        command.env("CORECAST_API_KEY", listed);
        let server = Server::spawn(command, 1);
        assert!(opens(&server, "a") && opens(&server, "b"), "blanks are not part of {listed:?}");
        assert!(!opens(&server, "a,b"));
    }
}

#[test]
fn keys_come_from_a_file() {
    let directory = std::env::temp_dir().join(format!("corecast-keys-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let good = path("good");
    std::fs::write(&good, "# of the publisher\n\n  one,1  \r\n#two\nthree\n").unwrap();
    let server = Server::start(&["--api-key-file", &good, "--api-key", "typed"]);
    assert!(opens(&server, "one,1") && opens(&server, "three") && opens(&server, "typed"));
    assert!(!opens(&server, "two") && !opens(&server, "#two") && !opens(&server, "one"));
    for (name, text, words) in [
        ("empty", "", "holds no api key"),
        ("comments", "# only\n", "holds no api key"),
        ("spaces", "fine\nnot fine\n", "line 2"),
    ] {
        let file = path(name);
        std::fs::write(&file, text).unwrap();
        let outcome = refused(serve(&["--listen", "127.0.0.1:0", "--api-key-file", &file]));
        outcome.assert_readable(&[&file.to_lowercase(), words]);
    }
    let odd = directory.join(OsStr::from_bytes(b"\xff"));
    std::fs::write(&odd, "one").unwrap();
    let mut command = serve(&["--listen", "127.0.0.1:0", "--shards", "1", "--api-key-file"]);
    command.arg(&odd);
    assert!(opens(&Server::spawn(command, 1), "one"), "names of files need not be text");
    let missing = path("missing");
    let outcome = refused(serve(&["--listen", "127.0.0.1:0", "--api-key-file", &missing]));
    outcome.assert_readable(&[&missing.to_lowercase(), "no such file"]);
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_key_that_no_header_can_carry_is_refused() {
    for key in ["", " ", "a b", "\u{e9}"] {
        let outcome = refused(serve(&["--listen", "127.0.0.1:0", "--api-key", key]));
        outcome.assert_readable(&["api key"]);
    }
}
