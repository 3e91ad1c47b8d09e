//! What a delivery costs a running server, in exact counts: one send for each member when messages
//! come one at a time, and hardly a system call besides.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::time::Duration;

use corecast_benches::process::stats;
use corecast_testkit::Client;
use serde_json::{Value, json};

const MEMBERS: u64 = 50;
const MESSAGES: u64 = 20;

/// System calls of one shard for one message besides its single sends: sending a batch, waiting,
/// reading the publisher, ringing the other shard and hearing it, with the turns that find nothing
/// more. Measured: 4.5 on one shard, 5.4 on each of two.
const BESIDE_SENDS: u64 = 8;

/// Fewer sends than these go one by one: a shard that got few of the members makes no batch.
const SENDS_OF_A_BATCH: u64 = 16;

#[derive(Debug)]
struct Counts {
    delivered: u64,
    sends: u64,
    /// None when the server does not count them.
    costs: Option<Costs>,
}

#[derive(Clone, Copy, Debug)]
struct Costs {
    /// Besides those that send one frame to one member.
    system_calls: u64,
    /// Each its own system call.
    single_sends: u64,
    batched_sends: u64,
    /// Whether one system call may carry several sends.
    batches: bool,
    /// Put on lanes between shards, a shard's own included.
    lane_items: u64,
    /// Copied into logs, and because a send was cut.
    bytes_copied: u64,
}

impl Counts {
    fn read(address: SocketAddr) -> Counts {
        let stats = stats(address).unwrap();
        let shards = stats["shards"].as_array().unwrap();
        let sum = |of: &dyn Fn(&Value) -> Option<u64>| shards.iter().map(of).sum::<Option<u64>>();
        Counts {
            delivered: sum(&|shard| shard["delivered"].as_u64()).unwrap(),
            sends: sum(&|shard| shard["sends"].as_u64()).unwrap(),
            costs: shards.iter().map(Costs::of_shard).reduce(Costs::add).flatten(),
        }
    }
}

impl Costs {
    fn of_shard(shard: &Value) -> Option<Costs> {
        let calls = ["send_batches", "reads", "polls", "timer_sets", "accepts", "doorbell_writes"];
        let sum = |names: &[&str], of: &Value| names.iter().map(|name| of[name].as_u64()).sum();
        let system_calls: Option<u64> = sum(&calls, &shard["runtime"]);
        let bytes_copied: Option<u64> = sum(&["log_bytes_copied", "rest_bytes_copied"], shard);
        Some(Costs {
            system_calls: system_calls?,
            single_sends: shard["runtime"]["sends"].as_u64()?,
            batched_sends: shard["runtime"]["sends_batched"].as_u64()?,
            batches: shard["runtime"]["sends_by"] == "ring",
            lane_items: shard["mesh_sent"].as_u64()?,
            bytes_copied: bytes_copied?,
        })
    }

    fn add(one: Option<Costs>, other: Option<Costs>) -> Option<Costs> {
        let (one, other) = (one?, other?);
        Some(Costs {
            system_calls: one.system_calls + other.system_calls,
            single_sends: one.single_sends + other.single_sends,
            batched_sends: one.batched_sends + other.batched_sends,
            batches: one.batches && other.batches,
            lane_items: one.lane_items + other.lane_items,
            bytes_copied: one.bytes_copied + other.bytes_copied,
        })
    }
}

/// Publishes one message at a time: the next one when everybody has the last.
fn exchange(address: SocketAddr) -> (Counts, Counts) {
    let mut members: Vec<Client> = (0..MEMBERS).map(|_| Client::connect(address)).collect();
    for member in &mut members {
        assert_eq!(member.join("r").offset, 0);
    }
    let mut publisher = Client::connect(address);
    let before = Counts::read(address);
    for number in 1..=MESSAGES {
        let data = json!({"event": "m", "data": number});
        publisher.send(&json!({"event": "cast:publish", "room": "r", "data": data}));
        for member in &mut members {
            assert_eq!(member.recv(), message(number));
        }
    }
    (before, Counts::read(address))
}

/// What a member gets; on the wire two bytes of head stand before it.
fn message(number: u64) -> Value {
    json!({"event": "m", "data": number, "room": "r", "offset": number})
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
    if let (Some(before), Some(after)) = (before.costs, after.costs) {
        check_costs(shards as u64, before, after);
    }
}

fn check_costs(shards: u64, before: Costs, after: Costs) {
    let calls = after.system_calls - before.system_calls;
    let most = MESSAGES * BESIDE_SENDS * shards;
    assert!(calls <= most, "{calls} system calls besides single sends, more than {most}");
    let single = after.single_sends - before.single_sends;
    let batched = after.batched_sends - before.batched_sends;
    assert_eq!(single + batched, MESSAGES * MEMBERS, "sends that the kernel was asked for");
    // The kernel places connections: one shard may have any number of the members.
    let most = match after.batches {
        true => MESSAGES * (SENDS_OF_A_BATCH - 1) * (shards - 1),
        false => MESSAGES * MEMBERS,
    };
    assert!(single <= most, "{single} sends went one by one, more than {most}");
    // Reading the figures, before and after, asks each shard and is answered over the same lanes.
    let asked = 4 * shards;
    let items = after.lane_items - before.lane_items;
    let each = 1 + shards;
    assert!(
        (MESSAGES * each..=MESSAGES * each + asked).contains(&items),
        "{items} items on lanes: of each message one to its home and one to each shard"
    );
    let frame = |number| 2 + message(number).to_string().len() as u64;
    let frames: u64 = (1..=MESSAGES).map(frame).sum();
    let bytes = after.bytes_copied - before.bytes_copied;
    assert_eq!(bytes, shards * frames, "into each shard's log, once");
}

#[test]
fn one_message_is_one_send_to_each_member_of_one_shard() {
    check(1);
}

#[test]
fn one_message_is_one_send_to_each_member_of_two_shards() {
    check(2);
}
