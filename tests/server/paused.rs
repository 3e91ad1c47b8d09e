//! Proves that a server which stood still longer than any timeout first hears what was said
//! meanwhile, and judges nobody before.

use crate::support::frames::{self, FIN, PING, PONG};
use crate::support::{Raw, Server, upgrade_head};
use serde_json::json;
use std::thread;
use std::time::Duration;

const CLIENTS: usize = 400;

/// Longer than every timeout that the server is given here.
const PAUSE: Duration = Duration::from_secs(3);

/// Many more clients than a turn reads, all of whom answered their ping while nobody listened; and
/// handshakes of which the second half came then, for rooms of any shard.
#[test]
fn who_answered_meanwhile_stays() {
    let mut server = Server::start(&[
        "--ping-interval",
        "500ms",
        "--ping-timeout",
        "1s",
        "--handshake-timeout",
        "1s",
    ]);
    let mut clients: Vec<Raw> = (0..CLIENTS).map(|_| Raw::open(&server)).collect();
    // Each has its ping and has not answered when the server stops.
    for client in &mut clients {
        let (opcode, _) = client.frame().expect("a ping");
        assert_eq!(opcode, PING);
        client.write(&frames::frame(FIN | PONG, b""));
    }
    let head = upgrade_head("");
    let (begin, rest) = head.split_at(20);
    let begin = |room| begin.replacen("/ws", &format!("/ws?room=room-{room}"), 1);
    let mut greetings: Vec<Raw> = (0..20).map(|_| Raw::dial(server.address())).collect();
    let rooms = greetings.iter_mut().enumerate();
    rooms.for_each(|(room, greeting)| greeting.write(begin(room).as_bytes()));
    thread::sleep(Duration::from_millis(100));
    server.signal(libc::SIGSTOP);
    // In case that it was asked again, it answers.
    clients.iter_mut().for_each(|client| client.write(&frames::frame(FIN | PONG, b"")));
    greetings.iter_mut().for_each(|greeting| greeting.write(rest.as_bytes()));
    thread::sleep(PAUSE);
    server.signal(libc::SIGCONT);
    for (id, client) in clients.iter_mut().enumerate() {
        client.send(&json!({"event": "cast:ping", "id": id}));
    }
    for greeting in &mut greetings {
        greeting.expect_upgraded();
    }
    for client in &mut clients {
        let pong = client.envelope_or_close().expect("it has answered every ping");
        assert_eq!(pong.event(), "cast:pong");
    }
}

#[test]
fn a_terminal_that_is_closed_ends_nothing() {
    let mut server = Server::start(&[]);
    let mut client = Raw::open(&server);
    server.signal(libc::SIGHUP);
    client.send(&json!({"event": "cast:ping", "id": 1}));
    assert_eq!(client.envelope().event(), "cast:pong");
    crate::support::wait_until("it says so", || server.log().contains("SIGHUP"));
    assert_eq!(server.terminate().code(), Some(0));
}
