//! Proves that a connection ends with its token, unless it brings a fresh one before.

use serde_json::{Value, json};

use crate::support::{Events, Folder, Issuer, Raw, Server, events_head, http, unix};

struct Setup {
    server: Server,
    issuer: Issuer,
    _folder: Folder,
}

fn setup(flags: &[&str]) -> Setup {
    let (issuer, folder) = (Issuer::python(), Folder::new());
    let secret = folder.write("secret", issuer.secret());
    let server = Server::start(&[&["--jwt-secret-file", &secret], flags].concat());
    Setup { server, issuer, _folder: folder }
}

fn refresh(raw: &mut Raw, token: &str) -> Value {
    let answer = raw.command(&json!({"event": "cast:refresh", "data": {"token": token}}));
    match answer.event().as_str() {
        "cast:refreshed" => answer.data(),
        _ => answer.error_code().into(),
    }
}

#[test]
fn a_connection_ends_with_its_token() {
    let mut setup = setup(&[]);
    let until = unix(1.75);
    let token = setup.issuer.sign(&json!({"sub": "ann", "exp": until}));
    let mut raw = Raw::try_open_with(&setup.server, &token).unwrap();
    let close = raw.expect_close();
    assert_eq!((close.code, &*close.reason), (1008, "expired"));
    assert!(unix(0.0) >= until, "it ends no sooner");
}

#[test]
fn a_token_in_its_leeway_lets_a_connection_stay_for_the_rest_of_it() {
    let mut setup = setup(&["--jwt-leeway", "3s"]);
    let expired = unix(-1.0);
    let token = setup.issuer.sign(&json!({"sub": "ann", "exp": expired}));
    let mut raw = Raw::try_open_with(&setup.server, &token).unwrap();
    assert_eq!(raw.expect_close().reason, "expired");
    assert!(unix(0.0) >= expired + 3.0, "it ends no sooner");
}

#[test]
fn a_fresh_token_replaces_what_the_present_one_says() {
    let mut setup = setup(&[]);
    let first = json!({"sub": "ann", "exp": unix(600.0), "cast": {"join": ["a", "b"]}});
    let mut raw = Raw::try_open_with(&setup.server, &setup.issuer.sign(&first)).unwrap();
    assert_eq!(raw.outcome("cast:join", "a"), "cast:joined");
    assert_eq!(raw.outcome("cast:join", "b"), "cast:joined");
    let until = unix(900.0).floor();
    let fresh = json!({"sub": "ann", "exp": until, "cast": {"join": ["b", "c"], "publish": ["b"]}});
    let fresh = setup.issuer.token("HS512", &fresh);
    raw.send(&json!({"event": "cast:refresh", "id": 1, "data": {"token": fresh}}));
    let (mut refreshed, mut left) = (Value::Null, Value::Null);
    while refreshed.is_null() || left.is_null() {
        let envelope = raw.envelope();
        match envelope.event().as_str() {
            "cast:refreshed" => refreshed = envelope.data()["expires"].clone(),
            "cast:left" => left = json!([envelope.room(), envelope.data()["reason"]]),
            other => panic!("{other} is unexpected"),
        }
    }
    assert_eq!(refreshed.as_f64(), Some(until));
    assert_eq!(left, json!(["a", "forbidden"]));
    assert_eq!(raw.outcome("cast:join", "a"), "forbidden");
    assert_eq!(raw.outcome("cast:join", "c"), "cast:joined");
    assert_eq!(raw.outcome("cast:publish", "b"), "cast:ack");
}

#[test]
fn a_refresh_by_what_no_handshake_would_accept_changes_nothing() {
    let mut setup = setup(&[]);
    let claims = json!({"sub": "ann", "exp": unix(600.0), "cast": {"join": ["a"]}});
    let mut raw = Raw::try_open_with(&setup.server, &setup.issuer.sign(&claims)).unwrap();
    let sign = |issuer: &mut Issuer, name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        issuer.sign(&claims)
    };
    let other = sign(&mut setup.issuer, "sub", "bob".into());
    let expired = sign(&mut setup.issuer, "exp", json!(1));
    let malformed = sign(&mut setup.issuer, "cast", json!({"join": 7}));
    let foreign = Issuer::python().sign(&claims);
    let long = "x".repeat(100_000);
    for token in [&*other, &expired, &malformed, &foreign, "x", "", &long] {
        assert_eq!(refresh(&mut raw, token), json!("bad_token"), "{token}");
    }
    assert_eq!(raw.outcome("cast:join", "a"), "cast:joined");
    let mut anonymous = Raw::open(&setup.server);
    let good = setup.issuer.sign(&claims);
    assert_eq!(refresh(&mut anonymous, &good), json!("bad_token"));
    assert!(!setup.server.log().contains("eyJ"), "no token is logged");
}

#[test]
fn an_event_stream_ends_with_its_token() {
    let mut setup = setup(&[]);
    let until = unix(1.75);
    let token = setup.issuer.sign(&json!({"exp": until, "cast": {"join": ["r"]}}));
    let mut raw = Raw::dial(setup.server.address());
    raw.write(events_head("r", &format!("Authorization: Bearer {token}\r\n")).as_bytes());
    let mut events = Events::answered(raw).unwrap();
    let reason = events.event_or_close().unwrap_err();
    assert!(reason.starts_with("expired"), "{reason}");
    assert!(unix(0.0) >= until, "it ends no sooner");
}

#[test]
fn the_answer_to_a_refresh_says_when_the_token_ends() {
    let mut setup = setup(&[]);
    let first = setup.issuer.sign(&json!({"sub": "ann"}));
    let mut raw = Raw::try_open_with(&setup.server, &first).unwrap();
    for exp in [json!(4_000_000_000_u64), json!(4_000_000_000.5), json!(1e300)] {
        let fresh = setup.issuer.sign(&json!({"sub": "ann", "exp": exp}));
        let expires = refresh(&mut raw, &fresh)["expires"].as_f64();
        // Beyond all times that there are it never ends.
        assert_eq!(expires, exp.as_f64().filter(|exp| *exp < 1e300), "{exp}");
    }
    let fresh = setup.issuer.sign(&json!({"sub": "ann"}));
    assert_eq!(refresh(&mut raw, &fresh), json!({"expires": null}));
}

/// A token of ES256 that no key has signed, and that costs the verification by each.
fn forged() -> String {
    format!(
        "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhbm4iLCJleHAiOjQwMDAwMDAwMDB9.{}VQ",
        "VVVV".repeat(21)
    )
}

#[test]
fn a_crowd_of_fresh_tokens_is_verified_over_many_turns() {
    const CLIENTS: usize = 256;
    let (mut issuer, folder) = (Issuer::python(), Folder::new());
    let secret = folder.write("secret", issuer.secret());
    let mut flags = vec!["--jwt-secret-file".to_owned(), secret];
    for nth in 0..8 {
        let key = rcgen::KeyPair::generate().unwrap().public_key_pem();
        flags.extend(["--jwt-key-file".to_owned(), folder.write(&format!("key{nth}"), &key)]);
    }
    flags.extend(["--api-key", "k"].map(str::to_owned));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut server = Server::start_with_shards(1, &flags);
    let token = issuer.sign(&json!({"sub": "ann"}));
    let mut raws: Vec<Raw> =
        (0..CLIENTS).map(|_| Raw::try_open_with(&server, &token).unwrap()).collect();
    let turns = |server: &Server| {
        let key = [("Authorization", "Bearer k")];
        let stats = http(server.address(), "GET", "/v1/stats", &key, "").json();
        assert_eq!(stats["shards"].as_array().unwrap().len(), 1);
        stats["shards"][0]["runtime"]["turns"].as_u64().unwrap()
    };
    let before = turns(&server);
    // All of them are there when the server looks.
    server.signal(libc::SIGSTOP);
    let refresh = json!({"event": "cast:refresh", "id": 1, "data": {"token": forged()}});
    raws.iter_mut().for_each(|raw| raw.send(&refresh));
    server.signal(libc::SIGCONT);
    for raw in &mut raws {
        assert_eq!(raw.envelope().error_code(), "bad_token");
    }
    // Half a millisecond has place for six at most, if each key takes only 10 µs.
    let took = turns(&server) - before;
    assert!(took >= CLIENTS as u64 / 6, "{CLIENTS} in {took} turns");
}
