//! Proves that tokens of issuers that we did not write are accepted by each algorithm, and that a
//! token says who a client is and what it may do.

use serde_json::{Value, json};

use crate::support::{ALGORITHMS, Folder, Issuer, Raw, Server, http, unix};

/// A server with all keys of an issuer, each in a file of its own.
fn with_all_keys(folder: &Folder, issuer: &Issuer) -> Server {
    let secret = folder.write("secret", &format!("{}\n", issuer.secret()));
    let mut flags = vec!["--jwt-secret-file".to_owned(), secret];
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let path = folder.write(algorithm, issuer.public_key(algorithm));
        flags.extend(["--jwt-key-file".to_owned(), path]);
    }
    Server::start(&flags.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn tokens_of_pyjwt_and_jose_are_accepted_by_each_algorithm() {
    for mut issuer in [Issuer::python(), Issuer::node()] {
        let folder = Folder::new();
        let server = with_all_keys(&folder, &issuer);
        let cast = json!({"join": ["news.*"], "publish": ["chat"], "broadcast": true});
        let claims = json!({"sub": "ann", "exp": unix(600.0).floor(), "cast": cast});
        for algorithm in ALGORITHMS {
            let token = issuer.token(algorithm, &claims);
            let mut raw = Raw::try_open_with(&server, &token)
                .unwrap_or_else(|refused| panic!("{algorithm}: {refused:?}"));
            assert_eq!(raw.outcome("cast:join", "news.uk"), "cast:joined", "{algorithm}");
            assert_eq!(raw.outcome("cast:join", "news."), "forbidden", "{algorithm}");
            assert_eq!(raw.outcome("cast:publish", "chat"), "cast:ack", "{algorithm}");
            assert_eq!(raw.outcome("cast:publish", "news.uk"), "forbidden", "{algorithm}");
            assert_eq!(raw.outcome("cast:broadcast", "x"), "cast:ack", "{algorithm}");
        }
        assert!(!server.log().contains("eyJ"), "no token is logged");
    }
}

#[test]
fn what_a_token_does_not_name_it_does_not_allow() {
    let (mut issuer, folder) = (Issuer::python(), Folder::new());
    let server = with_all_keys(&folder, &issuer);
    for (claims, join, publish, broadcast) in [
        (json!({}), false, false, false),
        (json!({"sub": "ann"}), false, false, false),
        (json!({"sub": "ann", "cast": {}}), false, false, false),
        (json!({"cast": {"join": ["*"], "other": {"x": []}}}), true, false, false),
        (json!({"cast": {"publish": ["r"], "presence": ["*"]}}), false, true, false),
        (json!({"cast": {"broadcast": true, "history": ["*"]}}), false, false, true),
    ] {
        let mut raw = Raw::try_open_with(&server, &issuer.sign(&claims)).unwrap();
        let mut may = |command: &str| raw.outcome(command, "r") != "forbidden";
        let found = (may("cast:join"), may("cast:publish"), may("cast:broadcast"));
        assert_eq!(found, (join, publish, broadcast), "{claims}");
    }
}

#[test]
fn a_server_with_a_key_for_tokens_is_closed_without_one() {
    let (mut issuer, folder) = (Issuer::python(), Folder::new());
    let server = with_all_keys(&folder, &issuer);
    let mut anonymous = Raw::try_open(&server, "/ws", "").unwrap();
    for command in ["cast:join", "cast:publish", "cast:broadcast"] {
        assert_eq!(anonymous.outcome(command, "r"), "forbidden", "{command}");
    }
    let token = format!("Bearer {}", issuer.sign(&json!({"cast": {"join": ["*"]}})));
    for (method, target, body) in [
        ("GET", "/v1/stats", ""),
        ("GET", "/v1/rooms", ""),
        ("POST", "/v1/broadcast", r#"{"event":"e"}"#),
        ("GET", "/v1/rooms/r/events", ""),
    ] {
        http(server.address(), method, target, &[], body).assert_error(401);
        if !target.ends_with("events") {
            let headers = [("Authorization", &*token)];
            http(server.address(), method, target, &headers, body).assert_error(401);
        }
    }
    assert_eq!(server.get("/healthz").status, 200);

    let secret = folder.path("secret");
    let flags = ["--jwt-secret-file", &secret, "--anonymous", "join"];
    let server = Server::start(&flags);
    let mut anonymous = Raw::try_open(&server, "/ws", "").unwrap();
    assert_eq!(anonymous.outcome("cast:join", "r"), "cast:joined");
    assert_eq!(anonymous.outcome("cast:publish", "r"), "forbidden");
}

#[test]
fn an_api_key_and_a_token_open_a_server_with_both() {
    let (mut issuer, folder) = (Issuer::python(), Folder::new());
    let secret = folder.write("secret", issuer.secret());
    let server = Server::start(&["--jwt-secret-file", &secret, "--api-key", "the-key"]);
    let mut by_key = Raw::try_open_with(&server, "the-key").unwrap();
    assert_eq!(by_key.outcome("cast:join", "r"), "cast:joined");
    assert_eq!(by_key.outcome("cast:broadcast", "r"), "cast:ack");
    let token = issuer.sign(&json!({"cast": {"join": ["r"]}}));
    let mut by_token = Raw::try_open_with(&server, &token).unwrap();
    assert_eq!(by_token.outcome("cast:join", "r"), "cast:joined");
    assert_eq!(by_token.outcome("cast:broadcast", "r"), "forbidden");
    Raw::try_open_with(&server, "the-ke").err().unwrap().assert_error(401);

    let headers = [("Authorization", "Bearer the-key")];
    let stats = http(server.address(), "GET", "/v1/stats", &headers, "").json();
    assert_eq!(stats["refused"]["token_malformed"], 1);
    assert_eq!(stats["refused"]["token_expired"], 0);
}

/// Patterns may be many, but not any number.
#[test]
fn a_token_with_too_many_patterns_is_refused_with_a_reason() {
    let (mut issuer, folder) = (Issuer::python(), Folder::new());
    let server = with_all_keys(&folder, &issuer);
    let rooms = |count: usize| (0..count).map(|n| Value::from(format!("{n}"))).collect::<Vec<_>>();
    let most = issuer.sign(&json!({"cast": {"join": rooms(1024)}}));
    let mut raw = Raw::try_open_with(&server, &most).unwrap();
    assert_eq!(raw.outcome("cast:join", "1023"), "cast:joined");
    assert_eq!(raw.outcome("cast:join", "1024"), "forbidden");
    let stars: Vec<_> = (0..300).map(|n| format!("{n}.*")).collect();
    for (cast, words) in [
        (json!({"join": rooms(1025)}), "1025 patterns"),
        (json!({"join": stars}), "256"),
        (json!({"join": ["*********"]}), "stars"),
        (json!({"join": "*"}), "cast.join"),
        (json!({"broadcast": "yes"}), "cast.broadcast"),
        (json!(["*"]), "cast"),
    ] {
        let token = issuer.sign(&json!({"cast": cast}));
        let refused = Raw::try_open_with(&server, &token).err().unwrap();
        refused.assert_error(401);
        let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words), "{words}: {message}");
    }
}
