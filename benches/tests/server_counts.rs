//! What a delivery costs a running server, in exact counts: one send for each member when messages
//! come one at a time, and hardly a system call besides.

#![allow(clippy::unwrap_used)]

mod client;

use std::net::SocketAddr;
use std::time::Duration;

use client::Client;
use corecast_benches::process::stats;
use serde_json::{Value, json};

const MEMBERS: u64 = 50;
const MESSAGES: u64 = 20;

/// System calls for one message besides its sends: waiting, reading the publisher, and on each
/// shard ringing the other one and hearing it, with the turns that find nothing more.
const BESIDE_SENDS: u64 = 10;

#[derive(Debug)]
struct Counts {
    delivered: u64,
    sends: u64,
    /// All of them; none when the server does not count them.
    system_calls: Option<u64>,
}

impl Counts {
    fn read(address: SocketAddr) -> Counts {
        let stats = stats(address).unwrap();
        let shards = stats["shards"].as_array().unwrap();
        let sum = |of: &dyn Fn(&Value) -> Option<u64>| shards.iter().map(of).sum::<Option<u64>>();
        Counts {
            delivered: sum(&|shard| shard["delivered"].as_u64()).unwrap(),
            sends: sum(&|shard| shard["sends"].as_u64()).unwrap(),
            system_calls: sum(&|shard| system_calls(&shard["runtime"])),
        }
    }
}

fn system_calls(runtime: &Value) -> Option<u64> {
    let kinds =
        ["sends", "send_batches", "reads", "polls", "timer_sets", "accepts", "doorbell_writes"];
    kinds.iter().map(|kind| runtime[kind].as_u64()).sum()
}

/// Publishes one message at a time: the next one when everybody has the last.
fn exchange(address: SocketAddr) -> (Counts, Counts) {
    let mut members: Vec<Client> = (0..MEMBERS).map(|_| Client::connect(address)).collect();
    members.iter_mut().for_each(|member| member.join("r"));
    let mut publisher = Client::connect(address);
    let before = Counts::read(address);
    for number in 1..=MESSAGES {
        publisher.say(format!(
            r#"{{"event":"cast:publish","room":"r","data":{{"event":"m","data":{number}}}}}"#
        ));
        for member in &mut members {
            let expected = json!({"event": "m", "data": number, "room": "r", "offset": number});
            assert_eq!(member.next(), expected);
        }
    }
    (before, Counts::read(address))
}

fn check(shards: usize) {
    let server = corecast::Server::builder()
        .listen("127.0.0.1:0".parse::<SocketAddr>().unwrap())
        .shards(shards)
        .start()
        .unwrap();
    let (before, after) = exchange(server.local_addr());
    server.shutdown(Duration::from_secs(5));
    assert_eq!(after.delivered - before.delivered, MESSAGES * MEMBERS);
    assert_eq!(after.sends - before.sends, MESSAGES * MEMBERS, "sends of a message: its members");
    if let (Some(before), Some(after)) = (before.system_calls, after.system_calls) {
        let most = MESSAGES * (MEMBERS + BESIDE_SENDS * shards as u64);
        assert!(after - before <= most, "{} system calls, more than {most}", after - before);
    }
}

#[test]
fn one_message_is_one_send_to_each_member_of_one_shard() {
    check(1);
}

#[test]
fn one_message_is_one_send_to_each_member_of_two_shards() {
    check(2);
}
