//! Proves that the process stays within `--memory-limit` whatever clients do, that members which read
//! lose nothing meanwhile, that the figures say what was shed, and that everything goes on afterwards.

use crate::support::frames::{self, FIN, PING, TEXT};
use crate::support::{Client, Raw, Server, heavy, http, wait_until};
use serde_json::json;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What the tests ask of a server with 256 MiB, the tenth that may come on top included.
const LIMIT: &str = "256MiB";
const RESIDENT_MAX: u64 = 300_000_000;

const HEALTHY: usize = 100;

/// An attack goes on no longer than this, whatever it has brought about.
const ATTACK_MAX: Duration = Duration::from_secs(20);

/// Runs an attack while healthy members in a room of their own get one message after the other.
/// Checks that none of them misses one, that memory stays within its limit, that these figures say
/// that something was shed, and that a newcomer is served when it is over.
fn survive(flags: &[&str], shed: &[&str], attack: impl FnOnce(&Server)) {
    let _heavy = heavy();
    let server = Server::start(&[&["--memory-limit", LIMIT], flags].concat());
    let members: Vec<Client> = (0..HEALTHY).map(|_| joined(&server)).collect();
    let mut publisher = joined(&server);
    let (over, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let _over = (Ends(&over), Ends(&ended));
        members.into_iter().for_each(|member| drop(scope.spawn(|| hear_everything(member))));
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                publisher.publish("healthy", "tick", json!(null));
                publisher.recv_event("tick");
                thread::sleep(Duration::from_millis(10));
            }
            publisher.publish("healthy", "end", json!(null));
        });
        let peak = scope.spawn(|| {
            let mut peak = 0;
            while !ended.load(Ordering::SeqCst) {
                peak = peak.max(server.resident_bytes());
                thread::sleep(Duration::from_millis(5));
            }
            peak
        });
        attack(&server);
        ended.store(true, Ordering::SeqCst);
        over.store(true, Ordering::SeqCst);
        let peak = peak.join().unwrap();
        let figures: Vec<u64> = shed.iter().map(|figure| shed_total(&server, figure)).collect();
        println!("{peak} bytes resident at most; {shed:?} {figures:?}");
        assert!(peak < RESIDENT_MAX, "{peak} bytes are resident; {}", server.stats()["memory"]);
        assert!(figures.iter().all(|figure| *figure > 0), "{shed:?}: {figures:?}");
    });
    wait_until("there is enough again, and stays so", || is_calm(&server));
    let mut newcomer = Client::connect(&server);
    newcomer.join("new");
    newcomer.publish("new", "hello", json!(1));
    newcomer.recv_event("hello");
}

/// Whether there is memory enough, also after what was freed has been given back.
fn is_calm(server: &Server) -> bool {
    (0..50).all(|_| {
        thread::sleep(Duration::from_millis(20));
        server.stats()["memory"]["stage"] == "plenty"
    })
}

/// Says that something is over, also when a test fails: what waits for that is not to wait for ever.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn joined(server: &Server) -> Client {
    let mut client = Client::connect(server);
    client.join("healthy");
    client
}

/// Every message of the room, in order, up to the last.
fn hear_everything(mut member: Client) {
    for offset in 1.. {
        let message = member.recv();
        assert_eq!(message.offset(), offset, "{message:?}");
        if message.event() == "end" {
            return;
        }
    }
}

/// A figure of what was shed, summed over the shards.
fn shed_total(server: &Server, figure: &str) -> u64 {
    let stats = server.stats();
    let shards = stats["shards"].as_array().unwrap();
    let of = |shard: &serde_json::Value| shard["memory"][figure].as_u64();
    shards.iter().map(|shard| of(shard).unwrap_or_else(|| panic!("no {figure}: {shard}"))).sum()
}

/// A connection that is written to without waiting for anything.
struct Writer {
    stream: TcpStream,
    unsent: Vec<u8>,
    sent: usize,
}

impl Writer {
    /// Keeps the connection's own socket, whose answers are never read.
    fn new(raw: &Raw) -> Writer {
        let stream = raw.writer();
        stream.set_nonblocking(true).unwrap();
        Writer { stream, unsent: Vec::new(), sent: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.unsent.drain(..self.sent);
        self.sent = 0;
        self.unsent.extend_from_slice(bytes);
    }

    /// Writes what the socket takes. Returns whether everything is written, or never will be.
    fn pour(&mut self) -> bool {
        while self.sent < self.unsent.len() {
            match self.stream.write(&self.unsent[self.sent..]) {
                Ok(written) => self.sent += written,
                Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

/// Pours all of them out in turn, until all are empty or the time is up.
fn pour_all(writers: &mut [Writer]) {
    let end = Instant::now() + ATTACK_MAX;
    let mut open: Vec<&mut Writer> = writers.iter_mut().collect();
    while !open.is_empty() && Instant::now() < end {
        let before = open.len();
        open.retain_mut(|writer| !writer.pour());
        if open.len() == before {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn publish_to(room: &str, bytes: usize) -> Vec<u8> {
    let data = "x".repeat(bytes);
    let publish =
        json!({"event": "cast:publish", "room": room, "data": {"event": "m", "data": data}});
    frames::text(&publish.to_string())
}

fn join(room: &str) -> Vec<u8> {
    frames::text(&json!({"event": "cast:join", "room": room}).to_string())
}

/// Connections that read a little now and then, so that no timeout counts, and keep the logs of 128
/// rooms full: 512 MiB for each of them.
#[test]
fn readers_of_a_trickle_in_many_rooms_are_struck() {
    survive(&["--send-buffer", "16KiB"], &["members_struck"], |server| {
        let mut readers: Vec<Raw> = (0..4).map(|_| Raw::open_narrow(server)).collect();
        for reader in &mut readers {
            (0..128).for_each(|room| reader.write(&join(&format!("room-{room}"))));
            (0..128).for_each(|_| assert_eq!(reader.envelope().event(), "cast:joined"));
        }
        let publishers: Vec<Raw> = (0..8).map(|_| Raw::open(server)).collect();
        let mut writers: Vec<Writer> = publishers.iter().map(Writer::new).collect();
        let end = Instant::now() + ATTACK_MAX;
        let mut next = 0;
        while Instant::now() < end && shed_total(server, "members_struck") < 4 {
            for _ in 0..64 {
                for writer in
                    writers.iter_mut().filter_map(|writer| writer.pour().then_some(writer))
                {
                    next += 1;
                    writer.push(&publish_to(&format!("room-{}", next % 128), 15_000));
                }
            }
            for reader in &mut readers {
                reader.read_a_little(2_000);
            }
        }
    });
}

/// Rooms of which each holds one message that is a little larger than a log's first chunk, for a
/// member that does not read.
#[test]
fn logs_that_are_hardly_used_count_as_what_they_take() {
    survive(&["--send-buffer", "16KiB"], &["members_struck"], |server| {
        let members: Vec<Raw> = (0..400).map(|_| Raw::open_narrow(server)).collect();
        let mut writers: Vec<Writer> = members.iter().map(Writer::new).collect();
        for (number, writer) in writers.iter_mut().enumerate() {
            (0..128).for_each(|room| writer.push(&join(&format!("{number}-{room}"))));
        }
        pour_all(&mut writers);
        for _ in 0..4 {
            for (number, writer) in writers.iter_mut().enumerate() {
                (0..128)
                    .for_each(|room| writer.push(&publish_to(&format!("{number}-{room}"), 4_100)));
            }
            pour_all(&mut writers);
        }
    });
}

/// A thousand publishers with large messages for one room, which pauses again and again: what they have
/// to say is more than its members can take.
#[test]
fn a_thousand_publishers_of_one_room_wait_in_little_memory() {
    survive(&["--slow-timeout", "600s"], &[], |server| {
        let mut members: Vec<Raw> = (0..40).map(|_| Raw::open(server)).collect();
        members.iter_mut().for_each(|member| member.write(&join("pressed")));
        let publishers: Vec<Raw> = (0..1_000).map(|_| Raw::open(server)).collect();
        let mut writers: Vec<Writer> = publishers.iter().map(Writer::new).collect();
        let message = publish_to("pressed", 250_000);
        writers.iter_mut().for_each(|writer| writer.push(&message.repeat(2)));
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _ended = Ends(&over);
            for part in members.chunks_mut(20) {
                scope.spawn(|| {
                    while !over.load(Ordering::SeqCst) {
                        let read = part.iter_mut().map(|member| member.read_a_little(256 << 10));
                        if read.sum::<usize>() == 0 {
                            thread::sleep(Duration::from_millis(1));
                        }
                    }
                });
            }
            pour_all(&mut writers);
        });
    });
}

/// Thousands of messages of 250 KB, of which 200 KB have arrived and the rest never will.
#[test]
fn messages_that_do_not_get_on_are_given_up() {
    survive(&[], &["reads_stopped", "connections_struck"], |server| {
        let senders: Vec<Raw> = (0..2_000).map(|_| Raw::open(server)).collect();
        let mut writers: Vec<Writer> = senders.iter().map(Writer::new).collect();
        let half = &frames::frame(FIN | TEXT, &[b'x'; 250_000])[..200_000];
        writers.iter_mut().for_each(|writer| writer.push(half));
        pour_all(&mut writers);
        wait_until("some are closed", || shed_total(server, "connections_struck") > 0);
        wait_until("each of them for this reason", || {
            server.closed("capacity") == shed_total(server, "connections_struck")
        });
    });
}

/// Connections that send pings and never read the pongs.
#[test]
fn pongs_that_are_not_read_are_bounded_together() {
    // However long it takes, none is closed before memory is short.
    let flags = ["--send-buffer", "16KiB", "--slow-timeout", "600s"];
    survive(&flags, &["reads_stopped"], |server| {
        let senders: Vec<Raw> = (0..2_500).map(|_| Raw::open_narrow(server)).collect();
        let mut writers: Vec<Writer> = senders.iter().map(Writer::new).collect();
        let pings = frames::frame(FIN | PING, &[7; 125]).repeat(2_000);
        writers.iter_mut().for_each(|writer| writer.push(&pings));
        wait_until("some are not read", || {
            for writer in &mut writers {
                let _is_done = writer.pour();
            }
            shed_total(server, "reads_stopped") > 0
        });
        pour_all(&mut writers);
    });
}

/// Idle connections alone: those that are there stay, new ones are told to come back, and so are
/// publishers over HTTP and joins of new rooms when nearly nothing is left.
#[test]
fn newcomers_are_refused_while_memory_is_short() {
    let _heavy = heavy();
    let server = Server::start(&["--memory-limit", "64MiB", "--send-buffer", "16KiB"]);
    let mut early = Client::connect(&server);
    early.join("old");
    let holders: Vec<Raw> = (0..400).map(|_| Raw::open_narrow(&server)).collect();
    let mut writers: Vec<Writer> = holders.iter().map(Writer::new).collect();
    let pings = frames::frame(FIN | PING, &[7; 125]).repeat(2_000);
    writers.iter_mut().for_each(|writer| writer.push(&pings));
    pour_all(&mut writers);
    wait_until("memory is short", || server.stats()["memory"]["stage"] != "plenty");
    // It may be plenty again for a moment, when free memory is given back.
    let upgrades = (0..20).map(|_| http(server.address(), "GET", "/ws", &upgrade_fields(), ""));
    let refused = upgrades.reduce(|last, next| if last.status == 503 { last } else { next });
    let refused = refused.expect("there were some");
    if server.stats()["memory"]["stage"] != "plenty" {
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
        assert_eq!(refused.json()["error"]["code"], "capacity");
        assert!(server.stats()["memory"]["connections_refused"].as_u64() >= Some(1));
        let page = server.get("/v1/rooms/old/history");
        if server.stats()["memory"]["stage"] != "plenty" {
            page.assert_error(503);
            assert_eq!(
                (page.error_code().as_str(), page.header("retry-after")),
                ("overloaded", Some("5"))
            );
            assert!(server.stats()["refused"]["memory_limit"].as_u64() >= Some(1));
        }
    }
    assert_eq!(early.publish("old", "m", json!(1)), 1, "who is there is served");
    early.recv_event("m");
    drop((writers, holders));
    wait_until("there is enough again, and stays so", || is_calm(&server));
    Client::connect(&server).join("new");
}

fn upgrade_fields() -> [(&'static str, &'static str); 4] {
    [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
}

#[test]
fn the_figures_say_what_is_held_and_of_how_much() {
    let server = Server::start(&["--memory-limit", "96MiB"]);
    let mut client = Client::connect(&server);
    client.join("r");
    let stats = server.stats();
    assert_eq!(stats["limits"]["memory_limit"], 96 << 20);
    let memory = &stats["memory"];
    assert_eq!((&memory["limit"], &memory["stage"]), (&json!(96 << 20), &json!("plenty")));
    assert!(memory["resident"].as_u64() > Some(1 << 20), "{memory}");
    assert!(shed_total(&server, "connections") > 0 && shed_total(&server, "rooms") > 0);
    let kinds = ["connections", "inbound", "direct", "rooms", "logs", "mesh", "outside"];
    for shard in stats["shards"].as_array().unwrap() {
        let of = |kind: &str| shard["memory"][kind].as_u64().unwrap();
        assert_eq!(kinds.map(of).iter().sum::<u64>(), of("used"), "{}", shard["memory"]);
    }
    let default = Server::start(&[]).stats()["limits"]["memory_limit"].as_u64();
    assert!(default > Some(64 << 20), "half of what there is: {default:?}");
}
