//! Proves that a program has a say in what clients do by their own commands: it refuses them, or
//! changes what is said, per connection and room, and nobody else waits for it.

use std::time::Duration;

use corecast::{
    Claims, Client, ClientError, HandlerResult, Handshake, Message, Publication, Server,
};
use serde_json::{Value, json};

use crate::socket::{Gate, PATIENCE, Socket, builder};

/// Takes its time, and lets everybody into its own room and into `open`.
async fn judge_join(client: Client, room: String) -> HandlerResult {
    Gate::after(Duration::from_millis(20)).await;
    match room.as_str() {
        "panic" => panic!("on purpose"),
        "error" => Err("postgres://app:hunter2@db".into()),
        "open" => Ok(()),
        room if Some(room) == client.claims().subject() => Ok(()),
        room => Err(ClientError::new(format!("{room} is not yours")).into()),
    }
}

/// Signs what is said with its author.
async fn sign(client: Client, publication: Publication) -> HandlerResult<Publication> {
    let data: Value = publication.parse()?;
    if data["text"] == "bad" {
        return Err(ClientError::new("mind your words").into());
    }
    let room = publication.room().map(str::to_owned);
    let signed = json!({"author": client.claims().subject(), "text": data["text"], "to": room});
    Ok(publication.with_data(&signed)?)
}

fn start() -> Server {
    builder()
        .shards(2)
        .authorize(async |handshake: Handshake| {
            Ok(Claims::for_subject(handshake.query_parameter("name").unwrap_or_default()))
        })
        .authorize_join(judge_join)
        .authorize_publish(sign)
        .authorize_broadcast(sign)
        .on_connect(async |client: Client| Ok(client.join("home").await.map(drop)?))
        .start()
        .unwrap()
}

fn connect(server: &Server, name: &str) -> Socket {
    let mut socket = Socket::open(server.local_addr(), &format!("/ws?name={name}"), &[]).unwrap();
    assert_eq!(socket.recv()["event"], "cast:welcome");
    assert_eq!(socket.recv()["room"], "home", "the program itself is not asked");
    socket
}

/// The rooms of a handshake are asked about as commands are, one after the other, behind the connect
/// handler.
#[test]
fn a_program_is_asked_about_the_rooms_of_a_handshake() {
    let server = start();
    let target = "/ws?name=ada&room=bob&room=ada&room=panic&room=open";
    let mut ada = Socket::open(server.local_addr(), target, &[]).unwrap();
    assert_eq!(ada.recv()["event"], "cast:welcome");
    let answers = [("home", None), ("bob", Some("forbidden")), ("ada", None)];
    let more = [("panic", Some("handler_failed")), ("open", None)];
    for (room, refused) in answers.into_iter().chain(more) {
        let answer = ada.recv();
        assert_eq!(answer["room"], room, "{answer:?}");
        match refused {
            Some(code) => assert_eq!(answer["data"]["code"], code),
            None => assert_eq!(answer["event"], "cast:joined"),
        }
    }
    ada.assert_nothing_pending();
    server.shutdown(PATIENCE);
}

/// A program that reads the texts of its clients itself may have a parameter of this name.
#[test]
fn where_a_program_has_a_format_of_its_own_the_query_is_its_own() {
    let server = builder()
        .on_connect(async |client: Client| {
            let query = client.handshake().query().map(str::to_owned);
            Ok(client.try_publish(Message::text(query.unwrap_or_default()))?)
        })
        .on_text(async |_: Client, _: String| Ok(()))
        .start()
        .unwrap();
    let mut socket = Socket::open(server.local_addr(), "/ws?room=%00&room=", &[]).unwrap();
    assert_eq!(socket.next_message().to_text().unwrap(), "room=%00&room=");
    server.shutdown(PATIENCE);
}

#[test]
fn a_program_refuses_joins_in_its_own_words() {
    let server = start();
    let mut ada = connect(&server, "ada");
    ada.join("ada");
    ada.join("open");
    for (room, code, words) in [
        ("bob", "forbidden", "bob is not yours"),
        ("panic", "handler_failed", "the server could not handle this message"),
        ("error", "handler_failed", "the server could not handle this message"),
    ] {
        let error = ada.request(json!({"event": "cast:join", "room": room}));
        let data = json!({"code": code, "message": words});
        let expected =
            json!({"event": "cast:error", "id": error["id"], "room": room, "data": data});
        assert_eq!(error, expected);
    }
    server.shutdown(PATIENCE);
}

#[test]
fn a_program_signs_what_its_clients_say() {
    let server = start();
    let (mut ada, mut bob) = (connect(&server, "ada"), connect(&server, "bob"));
    bob.join("open");
    ada.join("open");
    let forged = json!({"event": "chat", "data": {"author": "bob", "text": "hi"}, "echo": false});
    let ack = ada.request(json!({"event": "cast:publish", "room": "open", "data": forged}));
    assert_eq!(ack, json!({"event": "cast:ack", "id": ack["id"], "data": {"offset": 1}}));
    let signed = json!({"author": "ada", "text": "hi", "to": "open"});
    bob.expect(json!({"event": "chat", "data": signed, "room": "open", "offset": 1}));

    ada.send(&json!({"event": "cast:broadcast", "data": forged}));
    let signed = json!({"author": "ada", "text": "hi", "to": null});
    bob.expect(json!({"event": "chat", "data": signed}));
    ada.expect(json!({"event": "chat", "data": signed}));

    for event in ["cast:publish", "cast:broadcast"] {
        let bad = json!({"event": "chat", "data": {"text": "bad"}});
        let error = ada.request(json!({"event": event, "room": "open", "data": bad}));
        let data = json!({"code": "forbidden", "message": "mind your words"});
        assert_eq!((&error["data"], &error["room"]), (&data, &json!("open")));
    }
    bob.assert_nothing_pending();
    server.shutdown(PATIENCE);
}

#[test]
fn a_command_that_is_decided_about_holds_up_its_own_connection_only() {
    let server = start();
    let (mut ada, mut bob) = (connect(&server, "ada"), connect(&server, "bob"));
    ada.send(&json!({"event": "cast:join", "room": "open"}));
    ada.send(&json!({"event": "cast:leave", "room": "open", "id": 1}));
    for id in 0..20 {
        bob.send(&json!({"event": "cast:ping", "id": id}));
        bob.expect(json!({"event": "cast:pong", "id": id}));
    }
    assert_eq!(ada.recv()["event"], "cast:joined", "and its commands keep their order");
    let data = json!({"offset": 0});
    ada.expect(json!({"event": "cast:left", "room": "open", "id": 1, "data": data}));
    server.shutdown(PATIENCE);
}

/// Makes keys the client's own, and takes the one away that is asked for.
async fn own_keys(client: Client, publication: Publication) -> HandlerResult<Publication> {
    let own = match publication.key() {
        Some("none") | None => None,
        Some(key) => Some(format!("{}/{key}", client.claims().subject().unwrap_or_default())),
    };
    let event = publication.event().to_owned();
    let own = publication.with_key(own.as_deref())?;
    let key = own.key().map(str::to_owned);
    Ok(own.with(&event, key)?)
}

#[test]
fn a_program_makes_keys_its_clients_own() {
    let server = builder()
        .shards(2)
        .authorize(async |handshake: Handshake| {
            Ok(Claims::for_subject(handshake.query_parameter("name").unwrap_or_default()))
        })
        .authorize_publish(own_keys)
        .authorize_broadcast(async |_: Client, publication: Publication| {
            let keyed = publication.with_key(Some("k"))?;
            assert_eq!(keyed.key(), None, "a broadcast takes none");
            Ok(keyed)
        })
        .start()
        .unwrap();
    let [mut ada, mut bob, mut member] = ["ada", "bob", "eve"]
        .map(|name| Socket::connect_to(server.local_addr(), &format!("/ws?name={name}")));
    member.join("r");
    let publish = |socket: &mut Socket, key: &str| {
        let inner = json!({"event": "m", "key": key});
        socket.request(json!({"event": "cast:publish", "room": "r", "data": inner})).data()
    };
    assert_eq!(publish(&mut ada, "k"), json!({"offset": 1}));
    assert_eq!(publish(&mut bob, "k"), json!({"offset": 2}), "it is not ada's");
    assert_eq!(publish(&mut ada, "k"), json!({"offset": 1, "repeated": true}));
    assert_eq!(publish(&mut ada, "none"), json!({"offset": 3}));
    assert_eq!(publish(&mut ada, "none"), json!({"offset": 4}), "without a key nothing repeats");
    let refused = publish(&mut ada, &"k".repeat(64));
    assert_eq!(refused["code"], "handler_failed", "with its name it is too long");
    for key in [json!("ada/k"), json!("bob/k"), json!(null), json!(null)] {
        assert_eq!(member.recv_event("m").data(), key);
    }
    for _ in 0..2 {
        ada.broadcast("n", json!(1));
        assert_eq!(member.recv_event("n").data(), json!(1));
    }
    member.assert_nothing_pending();
    server.shutdown(PATIENCE);
}
