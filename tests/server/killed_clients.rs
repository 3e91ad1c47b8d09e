//! Proves that clients which vanish at any moment leave nothing behind: all counts stay exact.
//!
//! `CORECAST_ROUNDS` chooses the number of rounds; the ordinary run takes 20.

use crate::support::{Client, Dice, Raw, Server, frames, heavy, upgrade_head, wait_until};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const CLIENTS: usize = 200;
const ROOMS: u64 = 5;

#[test]
fn after_every_round_the_counts_are_exact() {
    let _heavy = heavy();
    let rounds = std::env::var("CORECAST_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let server = Server::start_with_shards(3, &["--room-linger", "600s"]);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Passes are under way all the time, so that some clients die in the middle of one.
        scope.spawn(|| keep_publishing(&server, &over));
        let _ends_publishing = OnDrop(|| over.store(true, Ordering::SeqCst));
        for round in 0..rounds {
            play_round(&server, &mut Dice::new(round));
        }
    });
    assert_eq!(server.closed("slow"), 0);
}

/// One small message at a time, so few that nobody who reads a round later counts as slow.
fn keep_publishing(server: &Server, over: &AtomicBool) {
    let mut client = Client::connect(server);
    for n in 0_u64.. {
        if over.load(Ordering::SeqCst) {
            return;
        }
        client.publish(&format!("room-{}", n % ROOMS), "chat", json!(n));
        thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn play_round(server: &Server, dice: &mut Dice) {
    let mut survivors = Vec::new();
    let mut doomed = Vec::new();
    for n in 0..CLIENTS {
        let rooms: Vec<String> =
            (0..=dice.roll(3)).map(|skip| format!("room-{}", (n as u64 + skip) % ROOMS)).collect();
        let mut raw = Raw::dial(server.address());
        let script = script(&rooms);
        if n % 2 == 0 {
            raw.write(&script);
            survivors.push((raw, rooms));
        } else {
            // It dies anywhere: in its head, in a frame, right behind a join or a publish.
            raw.write(&script[..dice.roll(script.len() as u64 + 1) as usize]);
            doomed.push(raw);
        }
        if doomed.len() as u64 > dice.roll(20) {
            kill(doomed.swap_remove(dice.roll(doomed.len() as u64) as usize), dice);
        }
    }
    for (raw, rooms) in &mut survivors {
        wait_for_joins(raw, rooms.len());
    }
    doomed.into_iter().for_each(|raw| kill(raw, dice));
    check_counts(server, &survivors);
}

/// The upgrade, joins, and a few more commands, all that a client would send, in one piece.
fn script(rooms: &[String]) -> Vec<u8> {
    let mut bytes = upgrade_head("").into_bytes();
    for room in rooms {
        let join = json!({"event": "cast:join", "room": room});
        let publish = json!({"event": "cast:publish", "room": room, "data": {"event": "chat"}});
        bytes.extend(frames::text(&join.to_string()));
        bytes.extend(frames::text(&publish.to_string()));
    }
    bytes
}

fn kill(raw: Raw, dice: &mut Dice) {
    if dice.roll(2) == 0 { raw.reset() } else { drop(raw) }
}

fn wait_for_joins(raw: &mut Raw, count: usize) {
    raw.expect_upgraded();
    let mut joined = 0;
    while joined < count {
        joined += usize::from(raw.envelope().event() == "cast:joined");
    }
}

/// The counts must become exact soon, and the survivors are all that is left.
fn check_counts(server: &Server, survivors: &[(Raw, Vec<String>)]) {
    let mut members: BTreeMap<String, u64> =
        (0..ROOMS).map(|room| (format!("room-{room}"), 0)).collect();
    for room in survivors.iter().flat_map(|(_, rooms)| rooms) {
        *members.get_mut(room).unwrap() += 1;
    }
    let memberships: u64 = members.values().sum();
    // The publisher is one more connection, and in no room.
    let connections = survivors.len() as u64 + 1;
    wait_until("the stats are exact", || {
        server.total("connections") == connections
            && server.stats()["connections"] == json!(connections)
            && server.total("memberships") == memberships
    });
    wait_until("the rooms are exact", || listed(server) == members);
}

fn listed(server: &Server) -> BTreeMap<String, u64> {
    let list = server.get("/v1/rooms").json();
    let row = |room: &Value| {
        (room["room"].as_str().unwrap().to_owned(), room["members"].as_u64().unwrap())
    };
    list["rooms"].as_array().unwrap().iter().map(row).collect()
}

/// Runs its closure at the end of a scope, also when a panic ends it: else the publisher would go
/// on for ever and hide the panic.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
