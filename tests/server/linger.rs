//! Proves that messages of rooms whose policy says so wait for others and go together, and that
//! nothing else waits for them.

use crate::support::{Client, Raw, Server};
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any of these tests: whatever comes has not waited for its end.
const LONG: &[&str] = &["--room", "slow.*:linger=10s"];

/// A message that is more than lingers.
fn large() -> Value {
    json!("x".repeat(17 << 10))
}

fn member(server: &Server, room: &str) -> Raw {
    let mut member = Raw::open(server);
    member.send(&json!({"event": "cast:join", "room": room}));
    assert_eq!(member.envelope().event(), "cast:joined");
    member
}

#[test]
fn messages_wait_until_there_are_bytes_enough_and_go_in_one_send() {
    for shards in [1, 2] {
        let server = Server::start_with_shards(shards, LONG);
        let mut members: Vec<Raw> = (0..6).map(|_| member(&server, "slow.r")).collect();
        let mut publisher = Client::connect(&server);
        let before = server.total("sends");
        for n in 1..=9 {
            assert_eq!(publisher.publish("slow.r", "m", json!(n)), n, "acks come at once");
        }
        // Nobody but the publisher is sent anything.
        server.wait_for_total("sends", before + 9);
        assert!(members.iter().all(|member| !member.has_answer()));
        assert_eq!(publisher.publish("slow.r", "m", large()), 10);
        for member in &mut members {
            (1..=10).for_each(|n| assert_eq!(member.envelope().offset(), n));
        }
        // One send to each member.
        server.wait_for_total("sends", before + 10 + 6);
    }
}

#[test]
fn a_message_comes_when_it_has_lingered_and_not_before() {
    let server = Server::start(&["--room", "a:linger=300ms", "--room", "b:linger=1ms"]);
    for (room, linger) in [("a", 300), ("b", 1)] {
        let (mut client, mut publisher) = (Client::connect(&server), Client::connect(&server));
        client.join(room);
        for n in 1..=3 {
            let begin = Instant::now();
            publisher.publish(room, "m", json!(n));
            assert_eq!(client.recv_event("m").offset(), n);
            let took = begin.elapsed();
            assert!(took >= Duration::from_millis(linger), "{took:?} in {room}");
        }
    }
}

#[test]
fn what_comes_within_the_linger_is_one_read() {
    const MESSAGES: u64 = 20;
    let server = Server::start(&["--room", "r:linger=5s"]);
    let mut member = member(&server, "r");
    let mut publisher = Client::connect(&server);
    let begin = Instant::now();
    (1..=MESSAGES).for_each(|n| assert_eq!(publisher.publish("r", "m", json!(n)), n));
    let published = begin.elapsed();
    let mut first = vec![member.envelope()];
    // What was sent with it is there by now.
    while member.has_frame() {
        first.push(member.envelope());
    }
    let offsets: Vec<u64> = first.iter().map(|envelope| envelope.offset()).collect();
    let together = published < Duration::from_secs(4);
    assert!(!together || offsets == (1..=MESSAGES).collect::<Vec<_>>(), "{offsets:?}");
}

#[test]
fn what_is_for_one_connection_waits_for_nothing_and_brings_nothing_along() {
    let server = Server::start(LONG);
    let mut client = Client::connect(&server);
    client.join("slow.r");
    assert_eq!(client.publish("slow.r", "m", json!(1)), 1);
    client.send(&json!({"event": "cast:ping", "id": 1}));
    assert_eq!(client.recv().event(), "cast:pong");
    let emit = format!("/v1/connections/{}/emit", client.connection());
    assert_eq!(server.post(&emit, r#"{"event":"e","data":1}"#).status, 202);
    assert_eq!(client.recv().event(), "e");
    client.broadcast("b", json!(2));
    assert_eq!(client.recv_event("b").data(), json!(2));
    client.join("other");
    assert_eq!(client.publish("other", "m", json!(3)), 1);
    assert_eq!(client.recv_event("m").room(), "other", "another room's messages neither");
    let joined = client.join("slow.r");
    assert_eq!(joined.offset, 0, "its next message is the first");
    client.publish("slow.r", "m", large());
    assert_eq!([client.recv_event("m").offset(), client.recv_event("m").offset()], [1, 2]);
}

#[test]
fn left_comes_at_once_behind_what_lingers() {
    let server = Server::start(LONG);
    let (mut leaver, mut stays) = (Client::connect(&server), member(&server, "slow.r"));
    leaver.join("slow.r");
    (1..=3).for_each(|n| assert_eq!(leaver.publish("slow.r", "m", json!(n)), n));
    leaver.send(&json!({"event": "cast:leave", "room": "slow.r", "id": 1}));
    (1..=3).for_each(|n| assert_eq!(leaver.recv().offset(), n));
    assert_eq!(leaver.recv().data_number("offset"), 3);
    assert!(!stays.has_answer(), "the others wait");
    leaver.publish("slow.r", "m", large());
    (1..=4).for_each(|n| assert_eq!(stays.envelope().offset(), n));
}

#[test]
fn a_drain_sends_what_lingers() {
    let mut server = Server::start(LONG);
    let mut client = Client::connect(&server);
    client.join("slow.r");
    assert_eq!(client.publish("slow.r", "m", json!(1)), 1);
    thread::scope(|scope| {
        let reader = scope.spawn(move || (client.recv(), client.expect_close()));
        let begin = Instant::now();
        assert_eq!(server.terminate().code(), Some(0));
        assert!(begin.elapsed() < Duration::from_secs(9), "it does not wait for the linger");
        let (message, close) = reader.join().unwrap();
        assert_eq!(message.offset(), 1);
        close.assert_retry(1001, "shutdown");
    });
}

#[test]
fn a_client_that_comes_back_is_sent_at_once_what_others_wait_for() {
    let server = Server::start(&["--room", "slow.*:linger=10s,history=100"]);
    let (mut client, stays) = (Client::connect(&server), member(&server, "slow.r"));
    let epoch = client.join("slow.r").epoch;
    assert_eq!(client.leave("slow.r"), 0);
    (1..=3).for_each(|n| assert_eq!(client.publish("slow.r", "m", json!(n)), n));
    client.join_since("slow.r", &epoch, 0);
    (1..=3).for_each(|n| assert_eq!(client.recv_event("m").offset(), n));
    assert!(!stays.has_answer());
    assert_eq!(client.publish("slow.r", "m", large()), 4);
    assert_eq!(client.recv_event("m").offset(), 4, "once");
}
