//! Proves that what concerns a user reaches all its connections, on whatever shard they are, and that
//! one who is revoked stays outside.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use corecast::{
    Claims, Client, ControlError, Disconnect, Event, Handshake, Message, PublishError, Refusal,
    Server,
};
use corecast_testkit::Refused;
use futures_lite::future::block_on;
use serde_json::{Value, json};

use crate::socket::{PATIENCE, Socket, builder, limits};
use crate::support::{Response, http, wait_until};

const SHARDS: usize = 3;

/// Every client is who it says it is.
fn start(revocations: usize) -> Server {
    let mut limits = limits();
    limits.revocations = revocations;
    let claims = |text: Option<String>| -> Result<Claims, Refusal> {
        let value: Value = serde_json::from_str(text.as_deref().unwrap_or("{}")).unwrap();
        Ok(Claims::new(&value).unwrap())
    };
    builder()
        .shards(SHARDS)
        .limits(limits)
        .authorize(async move |handshake: Handshake| claims(handshake.query_parameter("claims")))
        .authorize_refresh(async move |_: Client, token: String| claims(Some(token)))
        .on("others", async |client: Client, _: Event| {
            let me = client.claims().subject().unwrap().to_owned();
            let target = client.to_user(&me).except(client.id());
            target.publish(Message::event("hi", 1)?).await?;
            Ok(())
        })
        .start()
        .unwrap()
}

fn open(server: &Server, claims: &Value) -> Result<Socket, Refused> {
    let mut encoded = String::new();
    for byte in claims.to_string().bytes() {
        encoded += &format!("%{byte:02x}");
    }
    let target = format!("/ws?claims={encoded}");
    Socket::open(server.local_addr(), &target, &[])
}

/// A connection of this user, and its id.
fn connect(server: &Server, user: &str) -> (Socket, String) {
    let mut socket =
        open(server, &json!({"sub": user, "jti": format!("token of {user}")})).unwrap();
    let welcome = socket.recv();
    assert_eq!(welcome.event(), "cast:welcome");
    let id = welcome["data"]["connection"].as_str().unwrap().to_owned();
    (socket, id)
}

/// Enough connections of this user that every shard has one.
fn everywhere(server: &Server, user: &str) -> Vec<(Socket, String)> {
    let (mut all, mut shards) = (Vec::new(), BTreeSet::new());
    while shards.len() < SHARDS {
        assert!(all.len() < 200, "connections are spread");
        let (socket, id) = connect(server, user);
        shards.insert(id[..4].to_owned());
        all.push((socket, id));
    }
    all
}

fn request(server: &Server, method: &str, target: &str, body: &Value) -> Response {
    let headers = [("content-type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    http(server.local_addr(), method, target, &headers, &body)
}

fn in_an_hour() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3_600)
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_message_for_a_user_reaches_all_its_connections_and_no_other() {
    let server = start(10);
    let mut ann = everywhere(&server, "ann");
    let (mut bob, _) = connect(&server, "bob");
    let emit = |user: &str| {
        let body = json!({"event": "m", "data": {"n": 1}});
        request(&server, "POST", &format!("/v1/users/{user}/emit"), &body)
    };
    let response = emit("ann");
    assert_eq!((response.status, response.json()), (202, json!({"connections": ann.len()})));
    for (socket, _) in &mut ann {
        socket.expect(json!({"event": "m", "data": {"n": 1}}));
    }
    assert_eq!(emit("zoe").status, 404);
    assert_eq!(emit(&"x".repeat(257)).status, 400);
    assert_eq!(emit("%ff").status, 400);

    let cast = server.broadcaster();
    let receipt = block_on(cast.to_user("ann").publish(Message::event("m", 2).unwrap())).unwrap();
    assert_eq!((receipt.offset, receipt.members), (None, Some(ann.len() as u32)));
    cast.to_user("ann").try_publish(Message::event("m", 3).unwrap()).unwrap();
    for (socket, _) in &mut ann {
        socket.expect(json!({"event": "m", "data": 2}));
        socket.expect(json!({"event": "m", "data": 3}));
    }
    let gone = block_on(cast.to_user("zoe").publish(Message::event("m", 4).unwrap()));
    assert!(matches!(gone, Err(PublishError::Gone(_))), "{gone:?}");
    let long = block_on(cast.to_user(&"x".repeat(257)).publish(Message::event("m", 4).unwrap()));
    assert!(matches!(long, Err(PublishError::User { .. })), "{long:?}");

    let (first, others) = ann.split_first_mut().unwrap();
    first.0.send(&json!({"event": "others"}));
    for (socket, _) in others {
        socket.expect(json!({"event": "hi", "data": 1}));
    }
    first.0.assert_nothing_pending();
    bob.assert_nothing_pending();
    server.shutdown(PATIENCE);
}

#[test]
fn a_message_that_fits_no_connection_is_refused() {
    let server = start(10);
    let (_ann, _) = connect(&server, "ann");
    let most = limits().own_bytes;
    let message = || Message::event("m", "x".repeat(most)).unwrap();
    let cast = server.broadcaster();
    for sent in [
        block_on(cast.to_user("ann").publish(message())).map(drop),
        cast.to_user("ann").try_publish(message()),
    ] {
        assert!(matches!(sent, Err(PublishError::TooLarge { limit, .. }) if limit == most));
    }
    server.shutdown(PATIENCE);
}

#[test]
fn a_user_is_shown_with_its_connections() {
    let server = start(10);
    let ann = everywhere(&server, "a/n n\u{202e}");
    let response = request(&server, "GET", "/v1/users/a%2Fn%20n%E2%80%AE", &Value::Null);
    let mut ids: Vec<&str> = ann.iter().map(|(_, id)| id.as_str()).collect();
    ids.sort_unstable();
    let expected = json!({
        "user": "a/n n\u{202e}", "count": ann.len(), "connections": ids, "more": false
    });
    assert_eq!((response.status, response.json()), (200, expected));
    let mut found = block_on(server.broadcaster().connections_of("a/n n\u{202e}")).unwrap();
    found.sort_unstable();
    assert!(found.iter().map(ToString::to_string).eq(ids), "{found:?}");
    for other in ["a", "A%2Fn%20n%E2%80%AE", "token%20of%20ann"] {
        let response = request(&server, "GET", &format!("/v1/users/{other}"), &Value::Null);
        assert_eq!(response.status, 404, "{other}");
    }
    drop(ann);
    wait_until("its connections are gone", || {
        request(&server, "GET", "/v1/users/a%2Fn%20n%E2%80%AE", &Value::Null).status == 404
    });
    server.shutdown(PATIENCE);
}

#[test]
fn a_user_that_is_kicked_may_come_back() {
    let server = start(10);
    let (mut bob, _) = connect(&server, "bob");
    for by_http in [true, false] {
        let ann = everywhere(&server, "ann");
        let count = ann.len() as u64;
        if by_http {
            let response = request(&server, "DELETE", "/v1/users/ann", &Value::Null);
            assert_eq!((response.status, response.json()), (202, json!({"connections": count})));
        } else {
            let closed = block_on(server.broadcaster().close_user("ann", Disconnect::Kicked));
            assert_eq!(closed, Ok(count));
        }
        for (mut socket, _) in ann {
            let close = socket.expect_close();
            assert_eq!((close.code, close.reason.as_str()), (1008, "kicked"));
        }
        assert_eq!(request(&server, "DELETE", "/v1/users/ann", &Value::Null).status, 404);
    }
    bob.assert_alive();
    server.shutdown(PATIENCE);
}

#[test]
fn who_is_revoked_is_closed_on_every_shard_and_comes_in_on_none() {
    let server = start(10);
    let (mut bob, _) = connect(&server, "bob");
    for key in ["sub", "jti"] {
        let ann = everywhere(&server, "ann");
        let name = if key == "sub" { "ann" } else { "token of ann" };
        let revoke = |until: u64| {
            let body = json!({key: name, "until": until, "why": "unknown members are ignored"});
            let response = request(&server, "POST", "/v1/revoke", &body);
            assert_eq!(response.status, 202, "{response:?}");
            response.json()["connections"].clone()
        };
        assert_eq!(revoke(unix(in_an_hour())), json!(ann.len()));
        for (mut socket, _) in ann {
            let close = socket.expect_close();
            assert_eq!((close.code, close.reason.as_str()), (1008, "expired"));
        }
        for _ in 0..3 * SHARDS {
            let refused = open(&server, &json!({"sub": "ann", "jti": "token of ann"}));
            assert_eq!(refused.unwrap_err().status().as_u16(), 401);
        }
        assert_eq!(revoke(1), json!(0), "a time that is over ends a revocation");
        let (mut ann, _) = connect(&server, "ann");
        ann.assert_alive();
    }
    bob.assert_alive();
    let stats = request(&server, "GET", "/v1/stats", &Value::Null).json();
    let shards = stats["shards"].as_array().unwrap();
    assert!(shards.iter().all(|shard| shard["revocations"] == 0), "{stats}");
    let refused: u64 =
        shards.iter().map(|shard| shard["refused_as_revoked"].as_u64().unwrap()).sum();
    assert_eq!(refused, 6 * SHARDS as u64);
    server.shutdown(PATIENCE);
}

#[test]
fn a_token_that_is_revoked_refreshes_nothing() {
    let server = start(10);
    let (mut ann, _) = connect(&server, "ann");
    let cast = server.broadcaster();
    assert_eq!(block_on(cast.revoke_token("next", in_an_hour())), Ok(0));
    let refresh = |id: &str| json!({"token": json!({"sub": "ann", "jti": id}).to_string()});
    let mut ask = |id: &str| ann.request(json!({"event": "cast:refresh", "data": refresh(id)}));
    assert_eq!(ask("next").error_code(), "bad_token");
    assert_eq!(ask("other").event(), "cast:refreshed");
    assert_eq!(block_on(cast.revoke_token("token of ann", in_an_hour())), Ok(0), "it has another");
    assert_eq!(block_on(cast.revoke_token("other", in_an_hour())), Ok(1));
    assert_eq!(ann.expect_close().reason, "expired");
    server.shutdown(PATIENCE);
}

#[test]
fn revocations_are_bounded_and_what_has_no_place_is_said() {
    let server = start(2);
    let cast = server.broadcaster();
    for user in ["a", "b", "a"] {
        assert_eq!(block_on(cast.revoke_user(user, in_an_hour())), Ok(0));
    }
    let full = Err(ControlError::TooManyRevocations { limit: 2 });
    assert_eq!(block_on(cast.revoke_user("c", in_an_hour())), full);
    let body = json!({"sub": "c", "until": unix(in_an_hour())});
    let response = request(&server, "POST", "/v1/revoke", &body);
    assert_eq!((response.status, &response.json()["error"]["code"]), (503, &json!("overloaded")));
    let message = response.json()["error"]["message"].to_string();
    assert!(message.contains("repeat this"), "part of it may be done: {message}");
    assert_eq!(block_on(cast.revoke_user("a", SystemTime::UNIX_EPOCH)), Ok(0));
    assert_eq!(block_on(cast.revoke_user("c", in_an_hour())), Ok(0));
    server.shutdown(PATIENCE);
}

#[test]
fn what_is_no_revocation_is_refused() {
    let server = start(10);
    for body in [
        json!({}),
        json!({"sub": "ann"}),
        json!({"until": 1}),
        json!({"sub": "ann", "jti": "t", "until": 1}),
        json!({"sub": 7, "until": 1}),
        json!({"sub": "", "until": 1}),
        json!({"sub": "x".repeat(257), "until": 1}),
        json!({"jti": "t", "until": "tomorrow"}),
        json!(["sub"]),
    ] {
        let response = request(&server, "POST", "/v1/revoke", &body);
        assert_eq!(response.status, 400, "{body}: {response:?}");
    }
    for until in ["1e300", "18446744073709551615", "-1e300", "0.5"] {
        let body = format!(r#"{{"sub":"ann","until":{until}}}"#);
        let headers = [("content-type", "application/json")];
        let response = http(server.local_addr(), "POST", "/v1/revoke", &headers, &body);
        assert_eq!(response.status, 202, "{until}: {response:?}");
    }
    assert_eq!(request(&server, "GET", "/v1/revoke", &Value::Null).status, 405);
    server.shutdown(PATIENCE);
}
