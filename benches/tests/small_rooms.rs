//! What a message of a room of three costs, wherever its publisher and its members are: in exact
//! counts of shards that are driven by hand, and of a running server.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use corecast_benches::micro::take_send;
use corecast_benches::process::stats;
use corecast_shards::wire::{Opcode, push_client_frame};
use corecast_shards::{
    Capacity, Config, ConnId, FromHome, Opening, RoomName, Shard, ShardId, ToHome,
};
use corecast_testkit::Client;
use serde_json::{Value, json};

const SHARDS: usize = 3;

/// Where the publisher and the members of a room are, and what one of its messages costs. The
/// room's home is shard 0.
struct Row {
    what: &'static str,
    publisher: usize,
    /// The publisher is the first of them, or none.
    members: [usize; 3],
    is_member: bool,
    /// Without an ack and with one.
    costs: [Costs; 2],
}

/// What one message costs, up to the last member and the ack.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Costs {
    /// What is put onto rings.
    items: u64,
    /// What the home tells itself, as the shard of the publisher or of members: in the same turn.
    loopback: u64,
    /// Those of them one after another.
    hops: u64,
    /// Shards that slept and are woken by another.
    wake_ups: u64,
    /// Turns of all shards.
    turns: u64,
    sends: u64,
}

const fn costs([items, loopback]: [u64; 2], hops: u64, turns: u64, sends: u64) -> Costs {
    // Each shard has one turn whenever it is woken, and the publisher's the first one.
    Costs { items, loopback, hops, wake_ups: turns - 1, turns, sends }
}

const ROWS: &[Row] = &[
    Row {
        what: "all on the home",
        publisher: 0,
        members: [0, 0, 0],
        is_member: true,
        costs: [costs([0, 2], 0, 1, 3), costs([0, 3], 0, 1, 3)],
    },
    Row {
        what: "publisher on the home, members there and on one other shard",
        publisher: 0,
        members: [0, 0, 1],
        is_member: true,
        costs: [costs([1, 2], 1, 2, 3), costs([1, 3], 1, 2, 3)],
    },
    Row {
        what: "publisher on the home, members on two others",
        publisher: 0,
        members: [0, 1, 2],
        is_member: true,
        costs: [costs([2, 2], 1, 3, 3), costs([2, 3], 1, 3, 3)],
    },
    Row {
        what: "publisher on another shard, the others on the home",
        publisher: 1,
        members: [1, 0, 0],
        is_member: true,
        costs: [costs([2, 1], 2, 3, 3), costs([3, 1], 2, 3, 3)],
    },
    Row {
        what: "all on one shard that is not the home",
        publisher: 1,
        members: [1, 1, 1],
        is_member: true,
        costs: [costs([2, 0], 2, 3, 3), costs([3, 0], 2, 3, 3)],
    },
    Row {
        what: "publisher on another shard, members on the home and on a third",
        publisher: 1,
        members: [1, 0, 2],
        is_member: true,
        costs: [costs([3, 1], 2, 4, 3), costs([4, 1], 2, 4, 3)],
    },
    Row {
        what: "members on two shards, none on the home",
        publisher: 1,
        members: [1, 2, 2],
        is_member: true,
        costs: [costs([3, 0], 2, 4, 3), costs([4, 0], 2, 4, 3)],
    },
    Row {
        what: "all on the home, somebody elsewhere publishes",
        publisher: 1,
        members: [0, 0, 0],
        is_member: false,
        costs: [costs([1, 1], 1, 2, 3), costs([2, 1], 2, 3, 4)],
    },
    Row {
        what: "all on one other shard, somebody on a third publishes",
        publisher: 1,
        members: [2, 2, 2],
        is_member: false,
        costs: [costs([2, 0], 2, 3, 3), costs([3, 0], 2, 4, 4)],
    },
];

fn join() -> Value {
    json!({"event": "cast:join", "room": "r"})
}

fn publish(ack: bool) -> Value {
    let mut publish = json!({"event": "cast:publish", "room": "r", "data": {"event": "m"}});
    if ack {
        publish["id"] = json!("p");
    }
    publish
}

/// Shards with rings between them. Each sleeps when it has nothing to do, and has a turn like that
/// of the runtime when it is woken.
struct Mesh {
    shards: Vec<Shard>,
    /// By writer, then by reader.
    to_home: Vec<Vec<VecDeque<ToHome>>>,
    from_home: Vec<Vec<VecDeque<FromHome>>>,
    /// The home of the room. The others are counted from there.
    home: usize,
}

const PLENTY: Capacity = Capacity { items: 1 << 10, bytes: 1 << 20 };

impl Mesh {
    fn new() -> Mesh {
        let config = Config { shards: SHARDS as u16, ..Config::default() };
        let shards: Vec<Shard> =
            (0..SHARDS).map(|shard| Shard::new(id(shard), config.clone())).collect();
        let home = shards[0].home(&RoomName::new("r").unwrap()).index();
        let (to_home, from_home) = (rings(), rings());
        Mesh { shards, to_home, from_home, home }
    }

    fn place(&self, shard: usize) -> usize {
        (self.home + shard) % SHARDS
    }

    fn open(&mut self, shard: usize) -> (usize, ConnId) {
        let place = self.place(shard);
        let conn = self.shards[place].open(Opening::default());
        self.run(place);
        (place, conn)
    }

    /// Everything that follows a command of a client.
    fn say(&mut self, (place, conn): (usize, ConnId), command: &Value) -> Costs {
        let mut frame = Vec::new();
        let text = command.to_string();
        push_client_frame(&mut frame, Opcode::Text, true, [0; 4], text.as_bytes());
        let (sends, sent) = (self.sends(), self.sent());
        self.shards[place].receive(conn, &mut frame);
        let costs = self.run(place);
        let loopback = self.sent() - sent - costs.items;
        Costs { sends: self.sends() - sends, loopback, ..costs }
    }

    /// Put on rings and loopbacks.
    fn sent(&self) -> u64 {
        self.shards.iter().map(|shard| shard.mesh_counts().0).sum()
    }

    fn sends(&self) -> u64 {
        self.shards.iter().map(|shard| shard.counters().sends).sum()
    }

    /// Turns from where this shard is woken until all sleep.
    fn run(&mut self, first: usize) -> Costs {
        let mut costs = Costs::default();
        let mut awake = vec![first];
        loop {
            costs.turns += awake.len() as u64;
            costs.items += awake.iter().map(|place| self.turn(*place)).sum::<u64>();
            awake = (0..SHARDS).filter(|place| self.has_news(*place)).collect();
            if awake.is_empty() {
                return costs;
            }
            costs.hops += 1;
            costs.wake_ups += awake.len() as u64;
        }
    }

    fn has_news(&self, place: usize) -> bool {
        let to = |from: usize| {
            !self.to_home[from][place].is_empty() || !self.from_home[from][place].is_empty()
        };
        (0..SHARDS).any(to)
    }

    /// One turn, as `ShardDriver::turn` does it. What it put onto rings.
    fn turn(&mut self, place: usize) -> u64 {
        let shard = &mut self.shards[place];
        for other in (0..SHARDS).filter(|other| *other != place) {
            shard.on_to_home_capacity(id(other), PLENTY);
            shard.on_from_home_capacity(id(other), PLENTY);
            let outcomes = self.from_home[other][place].drain(..);
            outcomes.for_each(|outcome| shard.on_from_home(outcome));
            let requests = self.to_home[other][place].drain(..);
            requests.for_each(|request| shard.on_to_home(id(other), request));
        }
        shard.take_loopback(1 << 8);
        flush(shard);
        let mut items = 0;
        for other in (0..SHARDS).filter(|other| *other != place) {
            let outcomes = std::iter::from_fn(|| shard.next_from_home(id(other)));
            self.from_home[place][other].extend(outcomes);
            let requests = std::iter::from_fn(|| shard.next_to_home(id(other)));
            self.to_home[place][other].extend(requests);
            items += self.from_home[place][other].len() + self.to_home[place][other].len();
        }
        assert!(!shard.has_loopback() && !shard.has_sends(), "nothing is left for another turn");
        items as u64
    }
}

fn id(shard: usize) -> ShardId {
    ShardId::new(shard as u16)
}

fn rings<T>() -> Vec<Vec<VecDeque<T>>> {
    let ring = |_| VecDeque::new();
    (0..SHARDS).map(|_| (0..SHARDS).map(ring).collect()).collect()
}

/// Direct sends, then one quantum, as in a turn.
fn flush(shard: &mut Shard) {
    while let Some(id) = shard.next_direct_send() {
        take_send(shard, id);
    }
    shard.begin_quantum();
    while let Some(id) = shard.next_room_send() {
        take_send(shard, id);
    }
}

#[test]
fn what_a_message_of_a_room_of_three_costs_wherever_they_are() {
    for row in ROWS {
        let mut mesh = Mesh::new();
        let members = row.members.map(|shard| mesh.open(shard));
        for member in members {
            mesh.say(member, &join());
        }
        let publisher = match row.is_member {
            true => members[0],
            false => mesh.open(row.publisher),
        };
        for (ack, costs) in [false, true].into_iter().zip(row.costs) {
            for _ in 0..3 {
                assert_eq!(mesh.say(publisher, &publish(ack)), costs, "{}, ack: {ack}", row.what);
            }
        }
    }
}

/// What a running server counts.
#[derive(Clone, Copy, Debug)]
struct Counted {
    turns: u64,
    /// `epoll_wait`, `recv`, `timerfd_settime`.
    polls: u64,
    reads: u64,
    timer_sets: u64,
    wake_ups: u64,
    /// On rings and on loopbacks.
    items: u64,
    sends: u64,
}

impl Counted {
    fn of(stats: &Value) -> Counted {
        let sum = |field: &str| -> u64 {
            let shards = stats["shards"].as_array().unwrap().iter();
            shards.map(|shard| shard.pointer(field).unwrap().as_u64().unwrap()).sum()
        };
        Counted {
            turns: sum("/runtime/turns"),
            polls: sum("/runtime/polls"),
            reads: sum("/runtime/reads"),
            timer_sets: sum("/runtime/timer_sets"),
            wake_ups: sum("/runtime/doorbell_writes"),
            items: sum("/mesh_sent"),
            sends: sum("/sends"),
        }
    }

    /// Counts when there are so many connections, and those that were closed have left.
    fn when_there_are(connections: usize, address: SocketAddr) -> Counted {
        for _ in 0..500 {
            let before = stats(address).unwrap();
            thread::sleep(Duration::from_millis(10));
            if before["connections"] == json!(connections) {
                return Counted::of(&stats(address).unwrap());
            }
        }
        panic!("there are not {connections} connections");
    }
}

/// Messages that are counted, one at a time.
const MESSAGES: u64 = 50;

/// Reading the figures takes turns, too.
const MARGIN: u64 = MESSAGES / 2;

/// Reading the figures asks each shard, which answers: on a ring or a loopback.
const ITEMS_OF_READING: u64 = 4 * SHARDS as u64;

/// The clients of a row.
struct Clients {
    members: Vec<Client>,
    other_publisher: Option<Client>,
}

impl Clients {
    fn new(address: SocketAddr, row: &Row, home: u64) -> Clients {
        let shards = SHARDS as u64;
        let connect = |shard| Client::connect_on(address, (home + shard as u64) % shards);
        let mut members: Vec<Client> = row.members.into_iter().map(connect).collect();
        members.iter_mut().for_each(|member| drop(member.join("r")));
        let other_publisher = (!row.is_member).then(|| connect(row.publisher));
        Clients { members, other_publisher }
    }

    fn count(&self) -> usize {
        self.members.len() + usize::from(self.other_publisher.is_some())
    }

    /// One message, until all have it and the shards sleep again, as a rule.
    fn exchange(&mut self, ack: bool) {
        let publisher = self.other_publisher.as_mut().unwrap_or(&mut self.members[0]);
        publisher.send(&publish(ack));
        if ack {
            publisher.recv_event("cast:ack");
        }
        for member in &mut self.members {
            member.recv_event("m");
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_running_server_pays_no_more() {
    let server = corecast::Server::builder()
        .listen("127.0.0.1:0".parse::<SocketAddr>().unwrap())
        .shards(SHARDS)
        .start()
        .unwrap();
    let address = server.local_addr();
    let home = Client::connect_to(address, "/ws?room=r").shard();
    for row in ROWS {
        let mut clients = Clients::new(address, row, home);
        for (ack, costs) in [false, true].into_iter().zip(row.costs) {
            let before = Counted::when_there_are(clients.count(), address);
            (0..MESSAGES).for_each(|_| clients.exchange(ack));
            let after = Counted::of(&stats(address).unwrap());
            check(before, after, costs, &format!("{}, ack: {ack}", row.what));
        }
    }
    server.shutdown(Duration::from_secs(5));
}

/// Fewer turns and wake-ups are welcome: a shard may be awake still when the next message comes.
fn check(before: Counted, after: Counted, costs: Costs, what: &str) {
    let at_most = |counted: u64, each: u64, of: &str| {
        let most = MESSAGES * each + MARGIN;
        assert!(counted <= most, "{what}: {counted} {of}, more than {most}");
    };
    // A shard that sees what there is just before it is woken has a turn more, which finds nothing.
    let turns = costs.turns + costs.wake_ups;
    at_most(after.turns - before.turns, turns, "turns");
    at_most(after.polls - before.polls, turns, "polls, one for each turn");
    at_most(after.wake_ups - before.wake_ups, costs.wake_ups, "wake-ups");
    at_most(after.timer_sets - before.timer_sets, 0, "timers set");
    let items = after.items - before.items;
    let least = MESSAGES * (costs.items + costs.loopback);
    let expected = least..=least + ITEMS_OF_READING;
    assert!(expected.contains(&items), "{what}: {items} items, not {expected:?}");
    assert_eq!(after.reads - before.reads, MESSAGES, "{what}: reads of the publisher's socket");
    // An ack is seen alone by a shard that is awake just then.
    let (sends, least) = (after.sends - before.sends, MESSAGES * costs.sends);
    let expected = least..=least + MARGIN;
    assert!(expected.contains(&sends), "{what}: {sends} sends, not {expected:?}");
}
