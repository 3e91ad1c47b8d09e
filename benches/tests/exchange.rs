//! Every server that is compared delivers every message exactly once and in order, to a client
//! that we did not write. A server that cannot do that has no speed.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use corecast_benches::process::Server;
use corecast_testkit::Client;
use serde_json::json;

const MEMBERS: usize = 3;
const MESSAGES: u64 = 500;

/// In the order of members that the floor can read.
fn join(member: &mut Client, room: &str) {
    member.send_text(&format!(r#"{{"event":"cast:join","room":"{room}","id":1}}"#));
    let joined = member.recv_event("cast:joined");
    assert_eq!(
        (joined.value("id"), joined.room(), joined.data_number("offset")),
        (json!(1), room.to_owned(), 0)
    );
}

/// Publishes into two rooms alternately and looks at all that their members get.
fn check(address: SocketAddr, padding: usize) {
    let padding = "x".repeat(padding);
    let rooms = [format!("a{}", padding.len()), format!("b{}", padding.len())];
    let mut members: Vec<Client> = (0..MEMBERS * 2).map(|_| Client::connect(address)).collect();
    for (member, room) in members.iter_mut().zip(rooms.iter().cycle()) {
        join(member, room);
    }
    let mut publisher = Client::connect(address);
    for number in 1..=MESSAGES {
        for room in &rooms {
            publisher.send_text(&format!(
                r#"{{"event":"cast:publish","room":"{room}","id":"{room}","data":{{"event":"m","data":"{number} {padding}"}}}}"#
            ));
        }
    }
    check_acks(&mut publisher, &rooms);
    for (member, room) in members.iter_mut().zip(rooms.iter().cycle()) {
        for number in 1..=MESSAGES {
            let data = format!("{number} {padding}");
            let expected = json!({"event": "m", "data": data, "room": room, "offset": number});
            assert_eq!(member.recv(), expected);
        }
    }
    assert_silent(&mut members);
}

/// The acks of one room come in order; those of another room may come between them.
fn check_acks(publisher: &mut Client, rooms: &[String]) {
    let mut acked = vec![0; rooms.len()];
    for _ in 0..MESSAGES * rooms.len() as u64 {
        let ack = publisher.recv();
        let room = rooms.iter().position(|room| ack["id"] == json!(room)).unwrap();
        acked[room] += 1;
        let offset = acked[room];
        let expected = json!({"event": "cast:ack", "id": rooms[room], "data": {"offset": offset}});
        assert_eq!(ack, expected);
    }
}

/// A message that came twice would be here by now.
fn assert_silent(members: &mut [Client]) {
    for member in members {
        member.stream().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let more = member.read();
        assert!(more.is_err(), "one message too many: {more:?}");
    }
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
    check_program(baseline, &["--queue", "unbounded", "--writer", "plain"]);
}

#[test]
fn floor_delivers_everything_in_order() {
    let floor = env!("CARGO_BIN_EXE_floor");
    check_program(floor, &["--means", "send"]);
    check_program(floor, &["--means", "uring"]);
    check_program(floor, &["--means", "send", "--coalesce", "1"]);
    check_program(floor, &["--means", "send", "--sends-after", "turn"]);
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
    join(&mut one, "r");
    one.send_text(r#"{"event":"cast:leave","room":"r","id":2}"#);
    assert_eq!(one.recv()["event"], "cast:left");
    one.send_text(r#"{"event":"cast:broadcast","id":3,"data":{"event":"n","data":[1]}}"#);
    assert_eq!(one.recv(), json!({"event": "n", "data": [1]}));
    assert_eq!(one.recv(), json!({"event": "cast:ack", "id": 3}));
    assert_eq!(other.recv(), json!({"event": "n", "data": [1]}));
    one.send_text(r#"{"event":"cast:publish","room":"r","id":4}"#);
    assert_eq!(one.recv()["data"]["code"], "bad_envelope");
}
