//! One engine under mixed load with churn, for as long as one likes.
//!
//! Cycle after cycle, three loads run at once: rooms that must lose nothing, waves of connections
//! that come and go, and a room in which every tenth member does not read. Between two cycles
//! everybody has gone, and the server's memory and descriptors are noted. The soak fails when a
//! message was lost, repeated, reordered or damaged, when the server at rest holds more
//! descriptors than it did after the first cycles, when its memory at rest grows, or when messages
//! become late. Small growth is taken for the allocator's, so that a slow leak takes a long soak.

use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::load::{Broadcast, Load, Pace, Storm, fault, fault_among_slow};
use crate::process::{Server, sibling, stats};

/// What the soak is told.
#[derive(Clone, Debug)]
pub struct SoakOptions {
    /// How long; the cycle that runs then is the last.
    pub duration: Duration,
    /// How long each load of a cycle lasts.
    pub cycle: Duration,
    /// Where the load generator leaves its reports.
    pub folder: PathBuf,
}

/// The server while nobody is connected, behind a cycle.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rest {
    memory: u64,
    descriptors: usize,
    /// Of deliveries in rooms that must lose nothing.
    p99_micros: f64,
}

/// The loads of a cycle.
#[derive(Debug)]
struct Loads {
    cycle: Duration,
    rooms: Load,
    waves: Load,
    slow: Load,
}

/// Cycles after which buffers have the size that they keep.
const WARM_UP_CYCLES: usize = 2;

/// Rooms end so long after their last member.
const LINGER: Duration = Duration::from_secs(1);

/// How long the last connections may take to go.
const REST_TIMEOUT: Duration = Duration::from_secs(30);

/// Growth that is no leak: the allocator's own, as seen on servers that leak nothing.
const GROWTH_SHARE: f64 = 0.10;
const GROWTH_BYTES: f64 = (4 << 20) as f64;

/// The same of latency, which depends on what else the machine does.
const DRIFT_FACTOR: f64 = 2.0;
const DRIFT_MICROS: f64 = 5_000.0;

/// Cycles behind the warm-up with fewer of which nothing can be said of growth.
const JUDGED_MIN: usize = 3;

/// Soaks. Returns whether all went well.
///
/// # Errors
///
/// When a program is missing or dies.
pub fn run(options: &SoakOptions) -> io::Result<bool> {
    std::fs::create_dir_all(&options.folder)?;
    let mut server = start()?;
    let loads = Loads::new(options)?;
    let begin = Instant::now();
    let (mut rests, mut faults) = (Vec::new(), Vec::new());
    for cycle in 1.. {
        let (p99_micros, faults_of_cycle) = loads.run(&server, cycle)?;
        faults.extend(faults_of_cycle);
        if !server.is_alive() {
            return Err(io::Error::other("the server has died"));
        }
        let rest = Rest { p99_micros, ..rest(&server)? };
        println!(
            "cycle {cycle}, {:.1} minutes: at rest {:.1} MB, {} descriptors, p99 {:.1} ms, {} faults",
            begin.elapsed().as_secs_f64() / 60.0,
            rest.memory as f64 / 1e6,
            rest.descriptors,
            rest.p99_micros / 1e3,
            faults.len()
        );
        rests.push(rest);
        if begin.elapsed() >= options.duration && cycle > WARM_UP_CYCLES {
            break;
        }
    }
    let judged = &rests[WARM_UP_CYCLES..];
    faults.extend(judge(judged));
    faults.iter().for_each(|fault| println!("FAILED: {fault}"));
    println!("{}", verdict(faults.len(), rests.len()));
    println!("{}", growth(judged));
    Ok(faults.is_empty())
}

/// The last line.
fn verdict(faults: usize, cycles: usize) -> String {
    match faults {
        0 => format!("passed: {cycles} cycles, nothing lost"),
        _ => format!("failed: {faults} faults in {cycles} cycles"),
    }
}

/// What of growth and delay was seen, and what of it would not have been.
fn growth(rests: &[Rest]) -> String {
    if rests.len() < JUDGED_MIN {
        return "too few cycles to see a leak".to_owned();
    }
    let (first, last) = thirds(rests);
    let [before, after] = [first, last].map(|rests| (median(rests, memory), median(rests, p99)));
    format!(
        "memory at rest {:.1} MB, then {:.1} MB (more than {:.1} MB is a fault); p99 {:.1} ms, then \
         {:.1} ms (more than {:.1} ms is)",
        before.0 / 1e6,
        after.0 / 1e6,
        allowed_memory(before.0) / 1e6,
        before.1 / 1e3,
        after.1 / 1e3,
        allowed_p99(before.1) / 1e3
    )
}

fn start() -> io::Result<Server> {
    let mut command = std::process::Command::new(sibling("corecast")?);
    command.args(["serve", "--listen", "127.0.0.1:0", "--slow-timeout", "2s"]);
    command.args(["--room-linger", &format!("{}s", LINGER.as_secs())]);
    command.env("CORECAST_LOG", "warn");
    Server::start(command)
}

impl Loads {
    fn new(options: &SoakOptions) -> io::Result<Loads> {
        let load = |name| Load::new(name, Vec::new(), &options.folder);
        let (rooms, waves, slow) = (load("rooms")?, load("waves")?, load("slow")?);
        Ok(Loads { cycle: options.cycle, rooms, waves, slow })
    }

    /// Runs all three at once and returns the p99 of latency in rooms, and what went wrong.
    fn run(&self, server: &Server, cycle: usize) -> io::Result<(f64, Vec<String>)> {
        let [rooms, waves, slow] = thread::scope(|scope| {
            let rooms = scope.spawn(|| self.rooms.broadcast(server, &rooms(self.cycle)));
            let waves = scope.spawn(|| self.waves.storm(server, &storm(self.cycle, cycle)));
            let slow = scope.spawn(|| self.slow.slow(server, &slow(self.cycle)));
            [rooms, waves, slow].map(|load| load.join().map_err(|_| io::Error::other("panic"))?)
        });
        let rooms = rooms?;
        let faults = [
            ("rooms", fault(&rooms)),
            ("waves", fault(&waves?)),
            ("slow", fault_among_slow(&slow?)),
        ];
        let named = faults.into_iter().filter_map(|(load, fault)| Some((load, fault?)));
        let named = named.map(|(load, fault)| format!("cycle {cycle}, {load}: {fault}"));
        Ok((rooms.latency_us.latency.p99.unwrap_or_default(), named.collect()))
    }
}

const WARM_UP: Duration = Duration::from_millis(500);

fn rooms(duration: Duration) -> Broadcast {
    let pace = Pace::Rate(50.0);
    Broadcast {
        members: 300,
        rooms: 10,
        event_streams: 0.25,
        publishers: 10,
        place: false,
        payload_bytes: 256,
        is_json: false,
        pace,
        warm_up: WARM_UP,
        duration,
    }
}

/// Enough bytes that who does not read fills its socket and is closed.
fn slow(duration: Duration) -> Broadcast {
    let pace = Pace::Rate(300.0);
    Broadcast {
        members: 50,
        rooms: 1,
        event_streams: 0.25,
        publishers: 1,
        place: false,
        payload_bytes: 4096,
        is_json: false,
        pace,
        warm_up: WARM_UP,
        duration,
    }
}

/// About one wave per second and a half, which go politely in every other cycle.
fn storm(duration: Duration, cycle: usize) -> Storm {
    let waves = (duration.as_secs_f64() / 1.5).ceil() as usize;
    Storm { connections: 500, rooms: 20, waves, says_goodbye: cycle.is_multiple_of(2) }
}

/// Waits until everybody has gone and rooms have ended, and looks.
fn rest(server: &Server) -> io::Result<Rest> {
    let begin = Instant::now();
    while stats(server.address())?["connections"] != 0 {
        if begin.elapsed() > REST_TIMEOUT {
            return Err(io::Error::other("connections stay open although their clients have gone"));
        }
        thread::sleep(Duration::from_millis(100));
    }
    thread::sleep(LINGER + Duration::from_millis(500));
    let (memory, descriptors) = (server.resident_bytes()?, server.descriptors()?);
    Ok(Rest { memory, descriptors, p99_micros: 0.0 })
}

/// Compares the last third of the cycles with the first.
fn judge(rests: &[Rest]) -> Vec<String> {
    let mut faults = Vec::new();
    let (first, last) = thirds(rests);
    let descriptors = |rests: &[Rest]| rests.iter().map(|rest| rest.descriptors).min();
    if descriptors(last) > descriptors(first) {
        faults.push(format!(
            "descriptors leak: {:?} at rest, then {:?}",
            descriptors(first),
            descriptors(last)
        ));
    }
    let [before, after] = [first, last].map(|rests| median(rests, memory));
    if after > allowed_memory(before) {
        faults.push(format!("memory grows: {before} bytes at rest, then {after}"));
    }
    let [before, after] = [first, last].map(|rests| median(rests, p99));
    if after > allowed_p99(before) {
        faults.push(format!("messages become late: p99 {before:.0} µs, then {after:.0} µs"));
    }
    faults
}

/// The first third of the cycles and the last.
fn thirds(rests: &[Rest]) -> (&[Rest], &[Rest]) {
    let third = rests.len().div_ceil(3);
    (&rests[..third], &rests[rests.len() - third..])
}

fn allowed_memory(before: f64) -> f64 {
    before * (1.0 + GROWTH_SHARE) + GROWTH_BYTES
}

fn allowed_p99(before: f64) -> f64 {
    before * DRIFT_FACTOR + DRIFT_MICROS
}

fn memory(rest: &Rest) -> f64 {
    rest.memory as f64
}

fn p99(rest: &Rest) -> f64 {
    rest.p99_micros
}

fn median(rests: &[Rest], of: fn(&Rest) -> f64) -> f64 {
    let mut values: Vec<f64> = rests.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rests(figures: &[(u64, usize)]) -> Vec<Rest> {
        let rest = |&(megabytes, descriptors)| Rest {
            memory: megabytes << 20,
            descriptors,
            p99_micros: 1_000.0,
        };
        figures.iter().map(rest).collect()
    }

    #[test]
    fn the_last_line_is_the_verdict() {
        assert!(verdict(0, 3).starts_with("passed: 3 cycles"));
        assert!(verdict(2, 3).starts_with("failed: 2 faults"));
    }

    #[test]
    fn growth_that_is_allowed_is_told() {
        assert_eq!(growth(&rests(&[(20, 30), (21, 30)])), "too few cycles to see a leak");
        let seen = growth(&rests(&[(20, 30), (20, 30), (21, 30)]));
        let begin =
            "memory at rest 21.0 MB, then 22.0 MB (more than 27.3 MB is a fault); p99 1.0 ms";
        assert!(seen.starts_with(begin), "{seen}");
    }

    #[test]
    fn growth_and_leaks_are_faults() {
        assert!(judge(&rests(&[(20, 30)])).is_empty());
        assert!(judge(&rests(&[(20, 30), (25, 31), (21, 30)])).is_empty());
        let grown = judge(&rests(&[(20, 30), (25, 30), (27, 30)]));
        assert!(grown.len() == 1 && grown[0].starts_with("memory grows"), "{grown:?}");
        let mut late = rests(&[(20, 30), (20, 30), (20, 30)]);
        late[2].p99_micros = 7_001.0;
        let late = judge(&late);
        assert!(late.len() == 1 && late[0].starts_with("messages become late"), "{late:?}");
        let leaked = judge(&rests(&[(20, 30), (20, 31), (20, 32)]));
        assert!(leaked.len() == 1 && leaked[0].starts_with("descriptors leak"), "{leaked:?}");
    }
}
