//! Proves that all members see one order of a room, and that an ack precedes every later message.

use crate::support::{Client, Server};
use serde_json::{Value, json};
use std::thread;

const SENDERS: u64 = 6;
const EACH: u64 = 100;

/// Publishes into a room that it is in, and returns what it saw, in the order in which it came.
fn publish_and_watch(server: &Server, sender: u64) -> Vec<Value> {
    let mut client = Client::connect_on(server, sender % 3);
    client.join("r");
    server.wait_for_total("memberships", SENDERS);
    for n in 0..EACH {
        let inner = json!({"event": "chat", "data": [sender, n]});
        client.send(&json!({"event": "cast:publish", "room": "r", "id": n, "data": inner}));
    }
    let (mut seen, mut acked, mut acks) = (Vec::new(), 0, 0);
    while (seen.len() as u64) < SENDERS * EACH || acks < EACH {
        let envelope = client.recv();
        if envelope.event() == "cast:ack" {
            assert_eq!(envelope.value("id"), json!(acks), "acks come in the order of the commands");
            acks += 1;
            acked = envelope.data_number("offset");
            assert!(acked >= seen.len() as u64, "the ack of {acked} comes after {}", seen.len());
        } else {
            assert_eq!(envelope.offset(), seen.len() as u64 + 1, "no hole, no repeat");
            seen.push(envelope.data());
        }
    }
    assert!(acked > 0, "something was acknowledged");
    seen
}

#[test]
fn members_on_all_shards_see_one_order() {
    let server = Server::start_with_shards(3, &[]);
    let orders: Vec<Vec<Value>> = thread::scope(|scope| {
        let server = &server;
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| scope.spawn(move || publish_and_watch(server, sender)))
            .collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    for order in &orders[1..] {
        assert_eq!(order, &orders[0]);
    }
    for sender in 0..SENDERS {
        let own = orders[0].iter().filter(|data| data[0] == json!(sender));
        let numbers: Vec<u64> = own.map(|data| data[1].as_u64().unwrap()).collect();
        assert_eq!(numbers, (0..EACH).collect::<Vec<_>>(), "one sender's own order is kept");
    }
}

#[test]
fn an_ack_stands_for_an_unechoed_message_in_the_senders_order() {
    let server = Server::start(&[]);
    let (mut sender, mut other) = (Client::connect_on(&server, 0), Client::connect_on(&server, 1));
    sender.join("r");
    other.join("r");
    for n in 0..200 {
        let inner = json!({"event": "mine", "data": n, "echo": false});
        sender.send(&json!({"event": "cast:publish", "room": "r", "id": n, "data": inner}));
        let inner = json!({"event": "theirs", "data": n});
        other.send(&json!({"event": "cast:publish", "room": "r", "data": inner}));
    }
    // Every offset is either in an ack or in a message; an ack comes before all later messages.
    let (mut told, mut last_message) = (Vec::new(), 0);
    for _ in 0..400 {
        let envelope = sender.recv();
        if envelope.event() == "cast:ack" {
            let offset = envelope.data_number("offset");
            assert!(offset > last_message, "the ack of {offset} comes after {last_message}");
            told.push(offset);
        } else {
            assert_eq!(envelope.event(), "theirs", "in {envelope:?}");
            assert!(envelope.offset() > last_message, "in {envelope:?}");
            last_message = envelope.offset();
            told.push(last_message);
        }
    }
    told.sort_unstable();
    assert_eq!(told, (1..=400).collect::<Vec<_>>());
    sender.assert_nothing_pending();
    for offset in 1..=400 {
        assert_eq!(other.recv().offset(), offset, "the other one gets them all");
    }
}
