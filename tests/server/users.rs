//! Proves that what concerns a user, or a token, reaches its connections of all shards: messages,
//! the end, and a revocation, which also keeps them out until it is over.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{
    Close, Events, Folder, Issuer, Raw, Response, Server, events_head, http, unix, wait_until,
};

const SHARDS: usize = 3;

struct Setup {
    server: Server,
    issuer: Issuer,
    _folder: Folder,
}

fn setup() -> Setup {
    let (issuer, folder) = (Issuer::python(), Folder::new());
    let secret = folder.write("secret", issuer.secret());
    let flags = ["--jwt-secret-file", &secret, "--api-key", "the-key"];
    let server = Server::start_with_shards(SHARDS, &flags);
    Setup { server, issuer, _folder: folder }
}

impl Setup {
    fn request(&self, method: &str, target: &str, body: &Value) -> Response {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let key = [("Authorization", "Bearer the-key")];
        http(self.server.address(), method, target, &key, &body)
    }

    fn token(&mut self, sub: &str, jti: &str) -> String {
        self.issuer.sign(&json!({"sub": sub, "jti": jti, "cast": {"join": ["*"]}}))
    }

    /// So many connections by this token that every shard has one.
    fn everywhere(&self, token: &str) -> Vec<Raw> {
        let (mut all, mut shards) = (Vec::new(), BTreeSet::new());
        while shards.len() < SHARDS {
            assert!(all.len() < 500, "connections are spread");
            let raw = Raw::try_open_with(&self.server, token).expect("the token is good");
            shards.insert(raw.shard());
            all.push(raw);
        }
        all
    }

    /// A stream of the events of the room `r`.
    fn events(&self, token: &str) -> Result<Events, Response> {
        let mut raw = Raw::dial(self.server.address());
        raw.write(events_head("r", &format!("Authorization: Bearer {token}\r\n")).as_bytes());
        Events::answered(raw)
    }

    /// The sum over all shards.
    fn total(&self, figure: &str) -> u64 {
        let stats = self.request("GET", "/v1/stats", &Value::Null).json();
        let shards = stats["shards"].as_array().unwrap();
        shards.iter().map(|shard| shard[figure].as_u64().unwrap()).sum()
    }
}

fn assert_alive(raw: &mut Raw) {
    assert_eq!(raw.command(&json!({"event": "cast:ping"})).event(), "cast:pong");
}

#[test]
fn a_message_for_a_user_reaches_its_connections_of_all_shards_and_no_other() {
    let mut setup = setup();
    let (one, two) = (setup.token("a/n n", "1"), setup.token("a/n n", "2"));
    let mut ann = setup.everywhere(&one);
    ann.push(Raw::try_open_with(&setup.server, &two).unwrap());
    let bob = setup.token("bob", "1");
    let mut bob = Raw::try_open_with(&setup.server, &bob).unwrap();
    let mut anonymous = Raw::try_open(&setup.server, "/ws", "").unwrap();
    let message = json!({"event": "m", "data": {"n": 1}});
    let response = setup.request("POST", "/v1/users/a%2Fn%20n/emit", &message);
    assert_eq!((response.status, response.json()), (202, json!({"connections": ann.len()})));
    for raw in &mut ann {
        assert_eq!(raw.text(), r#"{"event":"m","data":{"n":1}}"#);
    }
    assert_alive(&mut bob);
    assert_alive(&mut anonymous);
    for (user, status) in [("zoe", 404), ("a%2Fn", 404), ("A%2Fn%20n", 404), ("%ff", 400)] {
        let response = setup.request("POST", &format!("/v1/users/{user}/emit"), &message);
        response.assert_error(status);
    }
}

#[test]
fn a_user_is_shown_with_its_connections_of_all_shards() {
    let mut setup = setup();
    let token = setup.token("ann", "1");
    let ann = setup.everywhere(&token);
    let mut ids: Vec<&str> = ann.iter().map(Raw::connection).collect();
    ids.sort_unstable();
    let shown = |stream: u64| {
        let mut shown = setup.request("GET", "/v1/users/ann", &Value::Null).json();
        let mut listed: Vec<Value> = shown["connections"].as_array().unwrap().clone();
        listed.sort_unstable_by_key(Value::to_string);
        shown["connections"] = listed.into();
        let count = ids.len() as u64 + stream;
        let expected = json!({"user": "ann", "count": count, "connections": ids, "more": false});
        (shown, expected)
    };
    let (found, expected) = shown(0);
    assert_eq!(found, expected);
    // A stream counts, and has no id that an answer names.
    let _events = setup.events(&token).unwrap();
    let (found, expected) = shown(1);
    assert_eq!(found, expected);
    setup.request("GET", "/v1/users/zoe", &Value::Null).assert_error(404);
}

#[test]
fn a_user_is_closed_on_all_shards_and_may_come_back() {
    let mut setup = setup();
    let token = setup.token("ann", "1");
    let ann = setup.everywhere(&token);
    let mut events = setup.events(&token).unwrap();
    let bob = setup.token("bob", "1");
    let mut bob = Raw::try_open_with(&setup.server, &bob).unwrap();
    let response = setup.request("DELETE", "/v1/users/ann", &Value::Null);
    assert_eq!((response.status, response.json()), (202, json!({"connections": ann.len() + 1})));
    for mut raw in ann {
        let Close { code, reason } = raw.expect_close();
        assert_eq!((code, reason.as_str()), (1008, "kicked"));
    }
    assert_eq!(events.event_or_close().unwrap_err(), "kicked");
    assert_alive(&mut bob);
    wait_until("they are gone", || {
        setup.request("DELETE", "/v1/users/ann", &Value::Null).status == 404
    });
    // A stream alone is a connection, too.
    let mut events = setup.events(&token).unwrap();
    let response = setup.request("DELETE", "/v1/users/ann", &Value::Null);
    assert_eq!((response.status, response.json()), (202, json!({"connections": 1})));
    assert_eq!(events.event_or_close().unwrap_err(), "kicked");
    assert_alive(&mut Raw::try_open_with(&setup.server, &token).unwrap());
}

/// What `{name: value}` revokes, for a client of this `sub` and `jti`.
fn check_revocation(name: &str, value: &str) {
    let mut setup = setup();
    let (token, fresh) = (setup.token("ann", "one"), setup.token("ann", "one"));
    let ann = setup.everywhere(&token);
    let mut events = setup.events(&token).unwrap();
    // A connection of the same user that the revocation of a token does not concern.
    let other = setup.token("ann", "other");
    let mut other = Raw::try_open_with(&setup.server, &other).unwrap();
    let bob = setup.token("bob", "two");
    let mut bob = Raw::try_open_with(&setup.server, &bob).unwrap();
    let revoke = |setup: &Setup, until: f64| {
        let response = setup.request("POST", "/v1/revoke", &json!({name: value, "until": until}));
        assert_eq!(response.status, 202, "{response:?}");
        response.json()["connections"].as_u64().unwrap()
    };
    let concerns_all = name == "sub";
    let closed = revoke(&setup, unix(3_600.0));
    assert_eq!(closed, ann.len() as u64 + 1 + u64::from(concerns_all));
    for mut raw in ann {
        let Close { code, reason } = raw.expect_close();
        assert_eq!((code, reason.as_str()), (1008, "expired"));
    }
    assert_eq!(events.event_or_close().unwrap_err(), "expired");
    assert_alive(&mut bob);
    if concerns_all {
        assert_eq!(other.expect_close().reason, "expired");
    } else {
        let command = json!({"event": "cast:refresh", "data": {"token": fresh}});
        assert_eq!(other.command(&command).error_code(), "bad_token", "it refreshes nothing");
        assert_alive(&mut other);
    }
    // On whatever shard the handshake comes in.
    for _ in 0..8 * SHARDS {
        let refused = Raw::try_open_with(&setup.server, &token).err().expect("it is revoked");
        refused.assert_error(401);
        setup.events(&token).err().expect("it is revoked").assert_error(401);
    }
    assert_eq!(setup.total("revocations"), SHARDS as u64);
    assert!(setup.total("refused_as_revoked") >= 16 * SHARDS as u64);

    // The latest `until` holds, and then it is over by itself.
    let until = unix(1.5);
    assert_eq!(revoke(&setup, until), 0);
    wait_until("it is allowed again", || Raw::try_open_with(&setup.server, &token).is_ok());
    assert!(unix(0.0) >= until, "and no sooner");

    // One that is over ends a revocation, and closes nothing.
    revoke(&setup, unix(3_600.0));
    assert!(Raw::try_open_with(&setup.server, &token).is_err());
    assert_eq!(revoke(&setup, 1.0), 0);
    let mut back = setup.everywhere(&token);
    assert_eq!(revoke(&setup, 1.0), 0, "said twice, it means the same");
    back.iter_mut().for_each(assert_alive);
    assert_eq!(setup.total("revocations"), 0);
}

#[test]
fn a_user_that_is_revoked_is_closed_on_all_shards_and_kept_out_of_all() {
    check_revocation("sub", "ann");
}

#[test]
fn a_token_that_is_revoked_is_closed_on_all_shards_and_kept_out_of_all() {
    check_revocation("jti", "one");
}

#[test]
fn a_revocation_is_one_object_that_names_one_of_both() {
    let setup = setup();
    for body in [
        json!(["ann", null, 9_999_999_999_u64]),
        json!([]),
        json!({"sub": "ann"}),
        json!({"sub": "ann", "jti": "one", "until": 1}),
        json!({"sub": ["ann"], "until": 1}),
        json!({"sub": "ann", "until": "1"}),
        // What JavaScript takes for now.
        json!({"sub": "ann", "until": 1_785_000_000_123_u64}),
        json!("ann"),
    ] {
        let response = setup.request("POST", "/v1/revoke", &body);
        response.assert_error(400);
        let message = response.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("until") && !message.contains("struct"), "{body}: {message}");
    }
    assert_eq!(setup.total("revocations"), 0);
}
