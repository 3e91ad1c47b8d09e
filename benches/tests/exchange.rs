//! Every server that is compared delivers every message exactly once and in order, to a client
//! that we did not write. A server that cannot do that has no speed.

#![allow(clippy::unwrap_used)]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use corecast_benches::process::Server;
use serde_json::{Value, json};
use tungstenite::{Error, Message, WebSocket};

const MEMBERS: usize = 3;
const MESSAGES: u64 = 500;

struct Client(WebSocket<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://{address}/ws"), stream).unwrap();
        let mut client = Client(socket);
        let welcome = client.next();
        assert_eq!(welcome["event"], "cast:welcome");
        assert_eq!(welcome["data"]["protocol"], 1);
        client
    }

    fn next(&mut self) -> Value {
        // A read with a timeout is not taken up again by itself (signal(7)).
        let message = loop {
            match self.0.read() {
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                message => break message.expect("a message within the timeout"),
            }
        };
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    fn say(&mut self, text: String) {
        self.0.send(Message::text(text)).unwrap();
    }

    fn join(&mut self, room: &str) {
        self.say(format!(r#"{{"event":"cast:join","room":"{room}","id":1}}"#));
        let joined = self.next();
        assert_eq!((&joined["event"], &joined["id"]), (&json!("cast:joined"), &json!(1)));
        assert_eq!((&joined["room"], &joined["data"]["offset"]), (&json!(room), &json!(0)));
    }
}

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
    for member in members {
        member.0.get_ref().set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let more = member.0.read();
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
