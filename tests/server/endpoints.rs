//! Proves that a server with keys is closed at each of its endpoints, however the request is spelled,
//! and that one without keys is open to its own machine alone.
//!
//! `tests/tidy.rs` compares these rows with the routes that there are.

use serde_json::json;

use crate::support::{Folder, Issuer, Raw, Server, parse_head, upgrade_head, wait_until};

const MESSAGE: &str = r#"{"event":"e"}"#;
const REVOCATION: &str = r#"{"sub":"zoe","until":1}"#;

/// What is open to all: it changes nothing and tells no secret.
const PUBLIC: [(&str, &str, u16); 4] =
    [("GET", "/", 200), ("GET", "/healthz", 200), ("GET", "/readyz", 200), ("GET", "/ws", 400)];

/// What asks for a key: method, path and body.
const CLOSED: [(&str, &str, &str); 19] = [
    ("GET", "/v1", ""),
    ("GET", "/v1/", ""),
    ("GET", "/v1/{*rest}", ""),
    ("GET", "/v1/stats", ""),
    ("GET", "/v1/rooms", ""),
    ("GET", "/v1/rooms/{room}", ""),
    ("POST", "/v1/rooms/{room}/publish", MESSAGE),
    ("GET", "/v1/rooms/{room}/history", ""),
    ("GET", "/v1/rooms/{room}/presence", ""),
    ("GET", "/v1/rooms/{room}/events", ""),
    ("GET", "/v1/events", ""),
    ("POST", "/v1/broadcast", MESSAGE),
    ("DELETE", "/v1/connections/{id}", ""),
    ("POST", "/v1/connections/{id}/emit", MESSAGE),
    ("GET", "/v1/users/{sub}", ""),
    ("DELETE", "/v1/users/{sub}", ""),
    ("POST", "/v1/users/{sub}/emit", MESSAGE),
    ("POST", "/v1/revoke", REVOCATION),
    ("POST", "/v1/nothing", MESSAGE),
];

/// A path with something for each of its parameters.
fn filled(path: &str) -> String {
    if path == "/v1/events" {
        return format!("{path}?room=r");
    }
    let path = path.replace("{*rest}", "no/such/thing").replace("{room}", "r");
    path.replace("{id}", "none").replace("{sub}", "zoe")
}

/// The status of an answer; the rest of it is not waited for.
fn status(server: &Server, method: &str, target: &str, fields: &str, body: &str) -> u16 {
    let host = if fields.to_lowercase().contains("host:") { "" } else { "Host: localhost\r\n" };
    let length = match body.is_empty() {
        true => String::new(),
        false => {
            format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
        }
    };
    let mut raw = Raw::dial(server.address());
    raw.write(format!("{method} {target} HTTP/1.1\r\n{host}{length}{fields}\r\n{body}").as_bytes());
    parse_head(&raw.head()).status
}

fn is_served(status: u16) -> bool {
    [200, 202, 404].contains(&status)
}

/// A server per kind of key, with a token that may join every room where there is a key for one.
fn closed_servers(folder: &Folder, issuer: &mut Issuer) -> Vec<(Server, Option<String>)> {
    let secret = folder.write("secret", issuer.secret());
    let tokens = ["--jwt-secret-file", &secret, "--token-cookie", "t"];
    let key = ["--api-key", "the-key"];
    let token = issuer.sign(&json!({"sub": "ann", "cast": {"join": ["*"], "publish": ["*"]}}));
    vec![
        (Server::start(&key), None),
        (Server::start(&tokens), Some(token.clone())),
        (Server::start(&[&tokens[..], &key].concat()), Some(token)),
    ]
}

#[test]
fn a_server_with_keys_is_closed_at_each_endpoint() {
    let (folder, mut issuer) = (Folder::new(), Issuer::python());
    for (server, token) in closed_servers(&folder, &mut issuer) {
        for (method, path, body) in CLOSED {
            let target = filled(path);
            for fields in [
                "",
                "Authorization: Bearer wrong\r\n",
                "Authorization: Bearer \r\n",
                "Authorization: Basic dGhlLWtleTp0aGUta2V5\r\n",
                "X-Authorization: Bearer the-key\r\n",
                "Proxy-Authorization: Bearer the-key\r\n",
                "Cookie: t=the-key; Authorization=the-key\r\n",
            ] {
                let found = status(&server, method, &target, fields, body);
                assert_eq!(found, 401, "{method} {target} with {fields:?}");
            }
            for query in ["access_token=the-key", "api_key=the-key", "Authorization=the-key"] {
                let found = status(&server, method, &format!("{target}?{query}"), "", body);
                assert_eq!(found, 401, "{method} {target}?{query}");
            }
            // Which methods there are is not said either.
            for other in ["PUT", "HEAD", "OPTIONS", "PATCH"] {
                assert_eq!(status(&server, other, &target, "", ""), 401, "{other} {target}");
            }
            let Some(token) = &token else { continue };
            let bearer = format!("Authorization: Bearer {token}\r\n");
            let expected = if path.ends_with("/events") { 200 } else { 401 };
            let found = status(&server, method, &target, &bearer, body);
            assert_eq!(found, expected, "{method} {target} with a client's token");
        }
        for (method, path, expected) in PUBLIC {
            assert_eq!(status(&server, method, path, "", ""), expected, "{path}");
        }
        let mut anonymous = Raw::try_open(&server, "/ws", "").unwrap();
        for command in ["cast:join", "cast:publish", "cast:broadcast"] {
            assert_eq!(anonymous.outcome(command, "r"), "forbidden", "{command}");
        }
        assert_eq!(
            anonymous.outcome("cast:leave", "r"),
            "not_a_member",
            "there is nothing to leave"
        );
    }
}

/// Spellings of the same path: with these bytes percent-encoded, and in absolute form.
fn spellings(target: &str) -> Vec<String> {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let encoded = |is_encoded: &dyn Fn(usize) -> bool, upper: bool| -> String {
        let spelled = path.bytes().enumerate().map(|(at, byte)| match byte {
            b'/' => "/".to_owned(),
            byte if !is_encoded(at) => char::from(byte).to_string(),
            byte if upper => format!("%{byte:02X}"),
            byte => format!("%{byte:02x}"),
        });
        spelled.collect()
    };
    let mut all = vec![
        path.to_owned(),
        encoded(&|_| true, false),
        encoded(&|_| true, true),
        encoded(&|at| at % 2 == 0, true),
        encoded(&|at| at % 2 == 1, false),
    ];
    all.iter_mut().for_each(|path| path.push_str(query));
    let absolute = all.iter().map(|path| format!("http://localhost{path}"));
    all.extend(absolute.collect::<Vec<_>>());
    all
}

#[test]
fn no_spelling_of_an_endpoint_gets_around_its_key() {
    let server = Server::start(&["--api-key", "the-key"]);
    for (method, path, body) in CLOSED {
        for target in spellings(&filled(path)) {
            assert_eq!(status(&server, method, &target, "", body), 401, "{method} {target}");
            for field in ["Authorization: Bearer", "aUTHORIZATION:bEARER", "AUTHORIZATION:  BEARER"]
            {
                let field = format!("{field} the-key\r\n");
                let found = status(&server, method, &target, &field, body);
                assert!(is_served(found), "{method} {target} with {field:?}: {found}");
            }
        }
    }
    for target in [
        "//v1/stats",
        "/./v1/stats",
        "/v1/../v1/stats",
        "/v1/%2e%2e/v1/stats",
        "/v1/./stats",
        "/v1//stats",
        "/v1/stats/",
        "/v1/stats;x",
        "/v1;x/stats",
        "/v1/stats%00",
        "/v1/stats%20",
        "/v1/stats%3Fx",
        "/V1/stats",
        "/v1%2Fstats",
        "/%2Fv1/stats",
        "/%2576%2531/stats",
        "/v%u0031/stats",
        "/healthz/../v1/stats",
        "/healthz%2F..%2Fv1/stats",
        "/ws/../v1/stats",
        "/\\v1\\stats",
        "/v1\\stats",
        "http://localhost//v1/stats",
        "http://localhost/./v1/stats",
        "v1/stats",
        "*",
    ] {
        let found = status(&server, "GET", target, "", "");
        assert!([400, 401, 404].contains(&found), "{target} is {found}");
    }
    for field in ["Authorization : Bearer the-key", "Authorization\t: Bearer the-key"] {
        let found = status(&server, "GET", "/v1/stats", &format!("{field}\r\n"), "");
        assert_eq!(found, 400, "{field:?} is no field (RFC 9112 section 5.1)");
    }
}

#[test]
fn without_keys_each_endpoint_is_for_its_own_machine_alone() {
    let server = Server::start(&[]);
    let evil = "Host: evil.example\r\n";
    for (method, path, body) in CLOSED {
        for target in spellings(&filled(path)).iter().filter(|target| target.starts_with('/')) {
            assert!(is_served(status(&server, method, target, "", body)), "{method} {target}");
            assert_eq!(status(&server, method, target, evil, body), 403, "{method} {target}");
        }
        let absolute = format!("http://evil.example{}", filled(path));
        assert_eq!(status(&server, method, &absolute, "Host: localhost\r\n", body), 403, "{path}");
    }
    for (method, path, expected) in PUBLIC {
        assert_eq!(status(&server, method, path, evil, ""), expected, "{path}");
    }
    let mut raw = Raw::dial(server.address());
    raw.write(upgrade_head("").replace("Host: localhost\r\n", evil).as_bytes());
    raw.response().assert_error(403);
}

#[test]
fn a_server_that_is_open_is_so_at_each_endpoint_and_the_log_warns() {
    let server = Server::start(&["--open"]);
    for (method, path, body) in CLOSED {
        for fields in ["", "Host: any.example\r\n", "Authorization: Bearer whatever\r\n"] {
            let found = status(&server, method, &filled(path), fields, body);
            assert!(is_served(found), "{method} {path} with {fields:?}: {found}");
        }
    }
    wait_until("it is warned of", || server.log().contains("the server is open"));
    let closed = Server::start(&["--open", "--api-key", "the-key"]);
    assert_eq!(status(&closed, "GET", "/v1/stats", "", ""), 401);
}

#[test]
fn clients_that_bring_nothing_leave_places_for_those_that_bring_a_key() {
    let limit = ["--max-connections", "16"];
    let server = Server::start(&[&["--api-key", "the-key"], &limit[..]].concat());
    let fill = |server: &Server, fields: &str| {
        let all: Vec<Raw> =
            std::iter::from_fn(|| Raw::try_open(server, "/ws", fields).ok()).take(17).collect();
        Raw::try_open(server, "/ws", fields)
            .err()
            .expect("there is no place left")
            .assert_error(503);
        all
    };
    let unknown = fill(&server, "");
    let known = fill(&server, "Authorization: Bearer the-key\r\n");
    assert_eq!((unknown.len(), known.len()), (14, 2));
    // Where they may do something they are clients as all others are.
    let flags = ["--api-key", "the-key", "--anonymous", "join"];
    let server = Server::start(&[&flags[..], &limit].concat());
    assert_eq!(fill(&server, "").len(), 16);
}
