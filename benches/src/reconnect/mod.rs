//! All clients of a server are cut off at once and come back, each with the place up to which it has
//! read, while messages are published.
//!
//! The same is done without a place first: what a recovery costs is beside what a plain join costs.

mod crowd;
mod member;
mod publisher;

use std::fs;
use std::io;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::process::{Server, pinned, sibling};
use crowd::Crowd;
use publisher::{Latency, Published, lock, publish};

/// What is done.
#[derive(Clone, Debug)]
pub struct ReconnectOptions {
    /// How many clients are cut off.
    pub clients: usize,
    /// Rooms that they are spread over.
    pub rooms: usize,
    /// Messages per second, of all rooms together.
    pub rate: f64,
    /// Bytes of each message's data.
    pub payload_bytes: usize,
    /// How long they stay away.
    pub away: Duration,
    /// In which time they come back.
    pub within: Duration,
    /// Shards of the server, each on a core of its own from the first on.
    pub shards: usize,
    /// Flags of the server besides.
    pub flags: Vec<String>,
}

/// What one wave was like.
#[derive(Debug)]
struct Wave {
    /// Until all were members.
    joined: Duration,
    /// CPU of the server from the first connection to when all were members, less what deliveries take in
    /// that time.
    cpu_per_join: Duration,
    latency: Option<Latency>,
    /// The most memory that was seen meanwhile, above what was there before.
    resident: u64,
}

const READY: Duration = Duration::from_secs(2);

/// Cuts all off twice and writes what came of it. Returns whether every message reached every client
/// that had asked for it.
///
/// # Errors
///
/// When the server cannot be started, dies or refuses a client.
pub fn run(options: &ReconnectOptions) -> io::Result<bool> {
    let server = start(options)?;
    let published = Mutex::new(Published::new(options.rooms));
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            publish(server.address(), options.rate, options.payload_bytes, &published, &ends)
        });
        let done = waves(options, &server, &published);
        ends.store(true, Ordering::Relaxed);
        let mut crowd = done?;
        publisher.join().map_err(|_| io::Error::other("the publisher panicked"))??;
        crowd.catch_up(&lock(&published).offsets)?;
        let heard = crowd.heard;
        println!("in all: {heard:?}");
        let clients = options.clients as u64;
        let is_whole = heard.recovered == clients && heard.refused == 0;
        Ok(is_whole && heard.missed == 0 && heard.repeated == 0 && heard.lost == 0)
    })
}

fn waves(
    options: &ReconnectOptions,
    server: &Server,
    published: &Mutex<Published>,
) -> io::Result<Crowd> {
    let mut crowd = Crowd::new(server.address(), options.clients, options.rooms)?;
    println!("memory without clients: {:.1} MB", server.resident_bytes()? as f64 / 1e6);
    crowd.connect(options.within, false)?;
    crowd.listen(READY)?;
    lock(published).take_latency();
    let (cpu, memory) = (cpu(server)?, server.resident_bytes()?);
    crowd.listen(options.within)?;
    let at_rest = cpu_since(server, cpu)?.div_f64(options.within.as_secs_f64());
    println!("memory with all clients: {:.1} MB", memory as f64 / 1e6);
    print_latency("between", lock(published).take_latency());
    let plain = wave(options, server, &mut crowd, published, at_rest, false)?;
    print("plain joins", &plain);
    crowd.listen(READY)?;
    let recovered = wave(options, server, &mut crowd, published, at_rest, true)?;
    print("recoveries", &recovered);
    crowd.listen(READY)?;
    println!("memory afterwards: {:.1} MB", server.resident_bytes()? as f64 / 1e6);
    let ratio = recovered.cpu_per_join.as_secs_f64() / plain.cpu_per_join.as_secs_f64();
    println!("CPU per recovery ÷ per plain join: {ratio:.2}");
    Ok(crowd)
}

/// Cuts all off, waits, and lets them come back.
fn wave(
    options: &ReconnectOptions,
    server: &Server,
    crowd: &mut Crowd,
    published: &Mutex<Published>,
    at_rest: Duration,
    since: bool,
) -> io::Result<Wave> {
    let before = server.resident_bytes()?;
    server.forget_peak()?;
    crowd.cut()?;
    thread::sleep(options.away);
    lock(published).take_latency();
    let from = cpu(server)?;
    let joined = crowd.connect(options.within, since)?;
    // What is delivered meanwhile, to half of the clients on average as long as they come.
    let usual = at_rest.mul_f64((joined - options.within / 2).as_secs_f64());
    let cpu = cpu_since(server, from)?.saturating_sub(usual);
    Ok(Wave {
        joined,
        cpu_per_join: cpu / options.clients as u32,
        latency: lock(published).take_latency(),
        resident: server.peak_bytes()?.saturating_sub(before),
    })
}

fn print(name: &str, wave: &Wave) {
    println!(
        "{name}: all back after {:.2} s, {:.1} µs of CPU each, memory at most {:.1} MB more",
        wave.joined.as_secs_f64(),
        wave.cpu_per_join.as_secs_f64() * 1e6,
        wave.resident as f64 / 1e6
    );
    print_latency(name, wave.latency);
}

fn print_latency(name: &str, latency: Option<Latency>) {
    let Some(Latency { p50, p99, max }) = latency else { return };
    println!("{name}: acks of publishes p50 {p50:.2?}, p99 {p99:.2?}, at most {max:.2?}");
}

fn start(options: &ReconnectOptions) -> io::Result<Server> {
    let cores: Vec<usize> = (0..options.shards).collect();
    let mut command: Command = pinned(&sibling("corecast")?, &cores);
    command.args(["serve", "--listen", "127.0.0.1:0", "--shards", &options.shards.to_string()]);
    command.args(&options.flags);
    command.env("CORECAST_LOG", "warn");
    Server::start(command)
}

/// What the server's threads have had of the CPUs (Linux, proc_pid_stat(5) in nanoseconds).
fn cpu(server: &Server) -> io::Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{}/task", server.pid()))? {
        let schedstat = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = schedstat.split_ascii_whitespace().next().and_then(|text| text.parse().ok());
        nanos += first.unwrap_or(0_u64);
    }
    Ok(Duration::from_nanos(nanos))
}

fn cpu_since(server: &Server, from: Duration) -> io::Result<Duration> {
    Ok(cpu(server)?.saturating_sub(from))
}
