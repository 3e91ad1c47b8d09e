//! Very many rooms that keep messages are filled, and published to for much longer: what they take
//! of memory is beside what the server counts.

mod publisher;

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Server, pinned, sibling, stats};
pub use publisher::Order;
use publisher::{Publisher, room_name};

/// What is done.
#[derive(Clone, Debug)]
pub struct HistoriesOptions {
    /// How many rooms there are.
    pub rooms: usize,
    /// Messages that each of them keeps; none if it keeps nothing.
    pub kept: usize,
    /// Bytes of each message's data.
    pub payload_bytes: usize,
    /// Messages that each of them is sent at first, and once more afterwards.
    pub rounds: usize,
    /// In which order.
    pub order: Order,
    /// Shards of the server, each on a core of its own from the first on.
    pub shards: usize,
    /// Flags of the server besides.
    pub flags: Vec<String>,
}

/// What a server holds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Held {
    resident: f64,
    counted: f64,
    history: f64,
    evicted: f64,
}

/// How far memory may be from what is counted.
const NEAR: f64 = 0.05;

const PUBLISHERS: usize = 2;

/// How long a server rests before it is looked at.
const REST: Duration = Duration::from_secs(2);

/// Fills rooms, goes on, and writes what is held each time. Returns whether it is what is counted.
///
/// # Errors
///
/// When the server cannot be started, dies, or refuses a message.
pub fn run(options: &HistoriesOptions) -> io::Result<bool> {
    let server = start(options)?;
    let mut publishers = (0..PUBLISHERS)
        .map(|seed| Publisher::connect(server.address(), seed as u64 + 1))
        .collect::<io::Result<Vec<_>>>()?;
    let before = held(&server)?;
    println!("before: {:.1} MB resident", before.resident / 1e6);
    let mut is_near = true;
    for name in ["filled", "and again"] {
        let begin = Instant::now();
        publish(options, &mut publishers)?;
        println!("{name}: {} rounds in {:.1?}", options.rounds, begin.elapsed());
        thread::sleep(REST);
        is_near &= print(options, before, held(&server)?);
    }
    let kept = (0..options.rooms).step_by(options.rooms.div_ceil(LOOKS));
    let kept = kept.map(|room| kept_messages(&server, room)).collect::<io::Result<Vec<_>>>()?;
    let mean = kept.iter().sum::<usize>() as f64 / kept.len() as f64;
    println!("kept: {mean:.1} messages per room, of {} rooms", kept.len());
    Ok(is_near)
}

/// Rooms that are looked at for how many messages they keep.
const LOOKS: usize = 200;

fn start(options: &HistoriesOptions) -> io::Result<Server> {
    let cores: Vec<usize> = (0..options.shards).collect();
    let mut command: Command = pinned(&sibling("corecast")?, &cores);
    command.args(["serve", "--listen", "127.0.0.1:0", "--shards", &options.shards.to_string()]);
    command.args(["--room-linger", "3600s", "--max-lingering-rooms", "10000000"]);
    if options.kept > 0 {
        let bytes = "history-bytes=16MiB,history-for=10h";
        command.args(["--room", &format!("room-*:history={},{bytes}", options.kept)]);
    }
    command.args(&options.flags);
    command.env("CORECAST_LOG", "warn");
    Server::start(command)
}

fn publish(options: &HistoriesOptions, publishers: &mut [Publisher]) -> io::Result<()> {
    let data = "x".repeat(options.payload_bytes);
    thread::scope(|scope| {
        let publish = |(number, publisher): (usize, _)| {
            let mut rooms: Vec<_> = (number..options.rooms).step_by(PUBLISHERS).collect();
            let (data, publisher): (_, &mut Publisher) = (&data, publisher);
            scope.spawn(move || {
                (0..options.rounds)
                    .try_for_each(|_| publisher.round(&mut rooms, options.order, data))
            })
        };
        let publishing: Vec<_> = publishers.iter_mut().enumerate().map(publish).collect();
        publishing.into_iter().try_for_each(|publishing| {
            publishing.join().map_err(|_| io::Error::other("a publisher panicked"))?
        })
    })
}

fn held(server: &Server) -> io::Result<Held> {
    let stats = stats(server.address())?;
    let sum = |figure: fn(&Value) -> &Value| -> f64 {
        let shards = stats["shards"].as_array().into_iter().flatten();
        shards.filter_map(|shard| figure(shard).as_f64()).sum()
    };
    Ok(Held {
        resident: server.resident_bytes()? as f64,
        counted: sum(|shard| &shard["memory"]["used"]),
        history: sum(|shard| &shard["memory"]["history"]),
        evicted: sum(|shard| &shard["history"]["evicted"]),
    })
}

/// Writes what a server holds. Returns whether that is near what it counts.
fn print(options: &HistoriesOptions, before: Held, now: Held) -> bool {
    let (resident, counted) = (now.resident - before.resident, now.counted - before.counted);
    let ratio = resident / counted;
    println!(
        "  {:.1} MB resident, {:.1} MB counted, of it {:.1} MB history; {} evicted",
        resident / 1e6,
        counted / 1e6,
        now.history / 1e6,
        now.evicted
    );
    println!(
        "  per room {:.0} B resident, {:.0} B counted; resident ÷ counted: {ratio:.3}",
        resident / options.rooms as f64,
        counted / options.rooms as f64
    );
    (ratio - 1.0).abs() <= NEAR
}

/// How many messages a room keeps.
fn kept_messages(server: &Server, room: usize) -> io::Result<usize> {
    let mut stream = TcpStream::connect(server.address())?;
    let path = format!("/v1/rooms/{}/history?limit=1000", room_name(room));
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let body = response.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let page: Value = serde_json::from_str(body)?;
    Ok(page["messages"].as_array().map_or(0, Vec::len))
}
