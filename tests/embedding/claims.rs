//! Proves that the claims which a program returns decide what a client may do and for how long, and
//! that a fresh token changes both while the client is connected.

use std::time::{Duration, SystemTime};

use corecast::{Claims, Client, Event, Handshake, Message, Refusal, Server};
use serde_json::{Value, json};

use crate::socket::{Gate, PATIENCE, Socket, builder};

fn unix_now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// A token is nothing but its claims.
fn verify(token: &str) -> Result<Claims, Refusal> {
    let claims: Value = serde_json::from_str(token)
        .map_err(|_| Refusal::unauthorized("this is no token; sign in again"))?;
    Ok(Claims::new(&claims).unwrap())
}

fn start() -> Server {
    builder()
        .shards(2)
        .authorize(async |handshake: Handshake| verify(handshake.bearer_token().unwrap_or("{}")))
        .authorize_refresh(async |_: Client, token: String| {
            if token == "panic" {
                panic!("on purpose");
            }
            Gate::after(Duration::from_millis(20)).await;
            verify(&token)
        })
        .on("who", async |client: Client, _: Event| {
            let role = client.claims().get("role").cloned();
            Ok(client.try_publish(Message::event("you", role)?)?)
        })
        .start()
        .unwrap()
}

fn open(server: &Server, claims: &Value) -> Socket {
    let field = format!("Bearer {claims}");
    let headers = [("authorization", field.as_str())];
    let mut socket = Socket::open(server.local_addr(), "/ws", &headers).unwrap();
    assert_eq!(socket.recv()["event"], "cast:welcome");
    socket
}

fn refresh(socket: &mut Socket, token: &str) -> Value {
    let answer = socket.request(json!({"event": "cast:refresh", "data": {"token": token}}));
    json!({"event": answer["event"], "data": answer["data"]})
}

#[test]
fn claims_name_the_rooms_that_a_client_may_join_and_publish_to() {
    let server = start();
    let cast = json!({"join": ["news.*"], "publish": ["chat.*", "lobby"], "presence": ["*"]});
    let mut ann = open(&server, &json!({"sub": "ann", "cast": cast}));
    ann.join("news.uk");
    ann.publish("lobby", "m", json!(1));
    for command in [
        json!({"event": "cast:join", "room": "news."}),
        json!({"event": "cast:join", "room": "lobby"}),
        json!({"event": "cast:publish", "room": "news.uk", "data": {"event": "m"}}),
        json!({"event": "cast:broadcast", "data": {"event": "m"}}),
    ] {
        let error = ann.request(command);
        assert_eq!(error.error_code(), "forbidden", "{error:?}");
    }
    assert_eq!(ann.leave("news.uk"), 0);
    server.shutdown(PATIENCE);
}

#[test]
fn claims_that_mean_nothing_are_an_error_of_the_program() {
    let server = start();
    for claims in [
        json!({"sub": "x".repeat(257)}),
        json!({"sub": "ann", "cast": {"join": "all"}}),
        json!({"sub": "ann", "exp": "soon"}),
    ] {
        let field = format!("Bearer {claims}");
        let headers = [("authorization", field.as_str())];
        let refused = Socket::open(server.local_addr(), "/ws", &headers).unwrap_err();
        assert_eq!(refused.status().as_u16(), 500, "{claims}");
    }
    server.shutdown(PATIENCE);
}

#[test]
fn a_client_stays_until_its_claim_exp_passes() {
    let server = start();
    let past = format!("Bearer {}", json!({"sub": "ann", "exp": 1_000_000_000}));
    let headers = [("authorization", past.as_str())];
    let mut past = Socket::open(server.local_addr(), "/ws", &headers).unwrap();
    let close = past.expect_close();
    assert_eq!((close.code, close.reason.as_str()), (1008, "expired"));
    let mut far = open(&server, &json!({"sub": "ann", "exp": 1e300}));
    let exp = unix_now() + 0.75;
    let mut near = open(&server, &json!({"sub": "ann", "exp": exp}));
    let close = near.expect_close();
    assert!(unix_now() >= exp, "not before");
    assert_eq!((close.code, close.reason.as_str()), (1008, "expired"));
    far.assert_alive();
    server.shutdown(PATIENCE);
}

#[test]
fn a_fresh_token_changes_claims_rooms_and_the_end_at_once() {
    let server = start();
    let claims = json!({"sub": "ann", "role": "guest", "cast": {"join": ["a*", "b"]}});
    let mut ann = open(&server, &claims);
    ann.join("a1");
    ann.join("b");
    let fresh = json!({"sub": "ann", "role": "admin", "exp": 4_000_000_000_u64, "cast": {"join": ["b", "c"]}});
    let expected = json!({"event": "cast:refreshed", "data": {"expires": 4_000_000_000_u64}});
    assert_eq!(refresh(&mut ann, &fresh.to_string()), expected);
    let left = json!({"offset": 0, "reason": "forbidden"});
    ann.expect(json!({"event": "cast:left", "room": "a1", "data": left}));
    assert_eq!(ann.request(json!({"event": "cast:join", "room": "a1"})).error_code(), "forbidden");
    ann.join("c");
    ann.send(&json!({"event": "who"}));
    ann.expect(json!({"event": "you", "data": "admin"}));

    let soon = json!({"sub": "ann", "exp": unix_now() + 0.5});
    assert_eq!(refresh(&mut ann, &soon.to_string())["event"], "cast:refreshed");
    assert_eq!(ann.expect_close().reason, "expired");
    server.shutdown(PATIENCE);
}

#[test]
fn a_token_that_is_not_accepted_changes_nothing() {
    let server = start();
    let claims = json!({"sub": "ann", "role": "guest", "cast": {"join": ["a"]}});
    let mut ann = open(&server, &claims);
    ann.join("a");
    for (token, words) in [
        ("rubbish".to_owned(), "sign in again"),
        ("panic".to_owned(), "try again later"),
        (json!({"sub": "bob"}).to_string(), "another subject's"),
        (json!({"role": "admin"}).to_string(), "another subject's"),
        (json!({"sub": "ann", "exp": 1}).to_string(), "expired"),
        (json!({"sub": "ann", "cast": 7}).to_string(), "cast"),
        ("t".repeat(20_000), "at most 16384 bytes"),
    ] {
        let answer = refresh(&mut ann, &token);
        assert_eq!(answer["data"]["code"], "bad_token", "{answer}");
        assert!(answer["data"]["message"].as_str().unwrap().contains(words), "{answer}");
    }
    ann.send(&json!({"event": "who"}));
    ann.expect(json!({"event": "you", "data": "guest"}));
    assert_eq!(ann.leave("a"), 0, "it is still in its room");

    let mut anonymous = open(&server, &json!({}));
    let answer = refresh(&mut anonymous, &json!({"sub": "ann"}).to_string());
    assert_eq!(answer["data"]["code"], "bad_token", "{answer}");
    server.shutdown(PATIENCE);
}

#[test]
fn what_follows_a_fresh_token_waits_for_it() {
    let server = start();
    let mut ann = open(&server, &json!({"sub": "ann", "cast": {"join": ["a"]}}));
    let fresh = json!({"sub": "ann", "cast": {"join": ["b"]}}).to_string();
    ann.send(&json!({"event": "cast:join", "room": "a", "id": 1}));
    ann.send(&json!({"event": "cast:refresh", "id": 2, "data": {"token": fresh}}));
    ann.send(&json!({"event": "cast:join", "room": "b", "id": 3}));
    ann.send(&json!({"event": "cast:leave", "room": "a", "id": 4}));
    let answers: Vec<_> = (0..5).map(|_| ann.recv()).collect();
    let in_room = |room: &str| -> Vec<String> {
        answers.iter().filter(|answer| answer["room"] == room).map(|it| it.event()).collect()
    };
    let expected = ["cast:joined", "cast:left", "cast:error"];
    assert_eq!(in_room("a"), expected, "it is out of the room before it wants to leave it");
    assert_eq!(in_room("b"), ["cast:joined"]);
    let place = |event: &str| answers.iter().position(|answer| answer.event() == event).unwrap();
    assert!(place("cast:refreshed") < place("cast:left"));
    server.shutdown(PATIENCE);
}
