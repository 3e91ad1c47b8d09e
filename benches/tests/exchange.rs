//! Every server that is compared delivers every message exactly once and in order, to a client
//! that we did not write. A server that cannot do that has no speed.

#![allow(clippy::unwrap_used)]

mod client;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use client::Client;
use corecast_benches::process::Server;
use serde_json::json;

const MEMBERS: usize = 3;
const MESSAGES: u64 = 500;

/// Publishes into two rooms alternately and looks at all that their members get.
fn check(address: SocketAddr, padding: usize) {
    let padding = "x".repeat(padding);
    let rooms = [format!("a{}", padding.len()), format!("b{}", padding.len())];
    let mut members: Vec<Client> = (0..MEMBERS * 2).map(|_| Client::connect(address)).collect();
    for (member, room) in members.iter_mut().zip(rooms.iter().cycle()) {
        member.join(room);
    }
    let mut publisher = Client::connect(address);
    for number in 1..=MESSAGES {
        for room in &rooms {
            publisher.say(format!(
                r#"{{"event":"cast:publish","room":"{room}","id":"{room}","data":{{"event":"m","data":"{number} {padding}"}}}}"#
            ));
        }
    }
    check_acks(&mut publisher, &rooms);
    for (member, room) in members.iter_mut().zip(rooms.iter().cycle()) {
        for number in 1..=MESSAGES {
            let data = format!("{number} {padding}");
            let expected = json!({"event": "m", "data": data, "room": room, "offset": number});
            assert_eq!(member.next(), expected);
        }
    }
    assert_silent(&mut members);
}

/// The acks of one room come in order; those of another room may come between them.
fn check_acks(publisher: &mut Client, rooms: &[String]) {
    let mut acked = vec![0; rooms.len()];
    for _ in 0..MESSAGES * rooms.len() as u64 {
        let ack = publisher.next();
        let room = rooms.iter().position(|room| ack["id"] == json!(room)).unwrap();
        acked[room] += 1;
        let offset = acked[room];
        let expected = json!({"event": "cast:ack", "id": rooms[room], "data": {"offset": offset}});
        assert_eq!(ack, expected);
    }
}

/// A message that came twice would be here by now.
fn assert_silent(members: &mut [Client]) {
    members.iter_mut().for_each(|member| member.assert_silent(Duration::from_millis(20)));
}

fn check_program(program: &str, args: &[&str]) {
    let mut command = Command::new(program);
    command.args(["--listen", "127.0.0.1:0"]).args(args);
    let server = Server::start(command).unwrap();
    check(server.address(), 0);
    check(server.address(), 4096);
}

#[test]
fn baseline_delivers_everything_in_order() {
    let baseline = env!("CARGO_BIN_EXE_baseline");
    check_program(baseline, &["--queue", "bounded"]);
    check_program(baseline, &["--queue", "unbounded"]);
    check_program(baseline, &["--queue", "bounded", "--threads", "2"]);
}

#[test]
fn floor_delivers_everything_in_order() {
    let floor = env!("CARGO_BIN_EXE_floor");
    check_program(floor, &["--means", "send"]);
    check_program(floor, &["--means", "uring"]);
    check_program(floor, &["--means", "send", "--coalesce", "1"]);
}

#[test]
fn engine_delivers_everything_in_order() {
    let server = corecast::Server::builder()
        .listen("127.0.0.1:0".parse::<SocketAddr>().unwrap())
        .shards(2)
        .start()
        .unwrap();
    check(server.local_addr(), 0);
    check(server.local_addr(), 4096);
    server.shutdown(Duration::from_secs(5));
}

#[test]
fn baseline_broadcasts_and_parts() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baseline"));
    command.args(["--listen", "127.0.0.1:0"]);
    let server = Server::start(command).unwrap();
    let mut one = Client::connect(server.address());
    let mut other = Client::connect(server.address());
    one.join("r");
    one.say(r#"{"event":"cast:leave","room":"r","id":2}"#.to_owned());
    assert_eq!(one.next()["event"], "cast:left");
    one.say(r#"{"event":"cast:broadcast","id":3,"data":{"event":"n","data":[1]}}"#.to_owned());
    assert_eq!(one.next(), json!({"event": "n", "data": [1]}));
    assert_eq!(one.next(), json!({"event": "cast:ack", "id": 3}));
    assert_eq!(other.next(), json!({"event": "n", "data": [1]}));
    one.say(r#"{"event":"cast:publish","room":"r","id":4}"#.to_owned());
    assert_eq!(one.next()["data"]["code"], "bad_envelope");
}
