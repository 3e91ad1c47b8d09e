//! Proves that an API key is for what its line in the file says, over HTTP and at `/ws`.

use serde_json::Value;

use crate::support::{Events, Folder, Raw, Server, events_head, http};

/// Each request, the right that it needs, and its status with that.
const REQUESTS: &[(&str, &str, &str, &str, u16)] = &[
    ("GET", "/v1/stats", "", "read", 200),
    ("GET", "/v1/rooms", "", "read", 200),
    ("GET", "/v1/rooms/none", "", "read", 404),
    ("GET", "/v1/rooms/none/history", "", "read", 404),
    ("POST", "/v1/broadcast", r#"{"event":"e"}"#, "publish", 202),
    ("POST", "/v1/rooms/r/publish", r#"{"event":"e"}"#, "publish", 202),
    ("POST", "/v1/connections/none/emit", r#"{"event":"e"}"#, "publish", 404),
    ("DELETE", "/v1/connections/none", "", "admin", 404),
    ("GET", "/v1/users/none", "", "read", 404),
    ("POST", "/v1/users/none/emit", r#"{"event":"e"}"#, "publish", 404),
    ("DELETE", "/v1/users/none", "", "admin", 404),
    ("POST", "/v1/revoke", r#"{"sub":"none","until":1}"#, "admin", 202),
];

/// Keys by their names, which are what they are for.
const KEYS: [(&str, &str); 5] = [
    ("key-all", ""),
    ("key-publish", " publish"),
    ("key-read", "\tread"),
    ("key-both", "   publish , read"),
    ("key-admin", " admin"),
];

fn has(key: &str, right: &str) -> bool {
    match key {
        "key-all" | "key-admin" => true,
        "key-both" => right != "admin",
        _ => key.ends_with(right),
    }
}

fn server(folder: &Folder) -> Server {
    let lines: String = KEYS.iter().map(|(key, rights)| format!("{key}{rights}\n")).collect();
    let (one, two) = lines.split_at(lines.find("key-both").unwrap());
    let (one, two) = (folder.write("one", one), folder.write("two", two));
    Server::start(&["--api-key-file", &one, "--api-key-file", &two])
}

#[test]
fn a_request_needs_the_right_of_its_route() {
    let folder = Folder::new();
    let server = server(&folder);
    let mut refused = 0;
    for (key, _) in KEYS {
        let value = format!("Bearer {key}");
        let headers = [("Authorization", &*value)];
        for (method, target, body, right, status) in REQUESTS {
            let response = http(server.address(), method, target, &headers, body);
            if has(key, right) {
                assert_eq!(response.status, *status, "{method} {target} with {key}");
                continue;
            }
            assert_eq!(response.status, 403, "{method} {target} with {key}");
            refused += 1;
            response.assert_error(403);
            let message = response.json()["error"]["message"].clone();
            let message = message.as_str().unwrap().to_owned();
            assert!(message.contains(right), "{method} {target} with {key}: {message}");
        }
        let unknown = http(server.address(), "GET", "/v1/nothing", &headers, "");
        assert_eq!(unknown.status, 404, "a known key learns what there is not");
        let method = http(server.address(), "PUT", "/v1/stats", &headers, "");
        assert_eq!(method.status, 405);
    }
    let stats: Value =
        http(server.address(), "GET", "/v1/stats", &[("Authorization", "Bearer key-all")], "")
            .json();
    assert_eq!(stats["refused"]["right"], refused);
    assert_eq!(stats["refused"]["api_key"], 0);
}

#[test]
fn a_key_opens_a_connection_for_what_it_is_for() {
    let folder = Folder::new();
    let server = server(&folder);
    for (key, _) in KEYS {
        let mut raw = Raw::try_open_with(&server, key).unwrap();
        for (command, right) in
            [("cast:join", "read"), ("cast:publish", "publish"), ("cast:broadcast", "publish")]
        {
            let refused = raw.outcome(command, "r") == "forbidden";
            assert_eq!(!refused, has(key, right), "{command} with {key}");
        }
        let mut raw = Raw::dial(server.address());
        raw.write(events_head("r", &format!("Authorization: Bearer {key}\r\n")).as_bytes());
        match Events::answered(raw) {
            Ok(_) => assert!(has(key, "read"), "{key}"),
            Err(refused) => {
                refused.assert_error(403);
                assert!(!has(key, "read"), "{key}");
            }
        }
    }
}
