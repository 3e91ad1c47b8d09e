//! One engine under mixed load with churn, for as long as one likes.
//!
//! Cycle after cycle, three loads run at once: rooms that must lose nothing, waves of connections
//! that come and go, and a room in which every tenth member does not read. Between two cycles
//! everybody has gone, and the server's memory and descriptors are noted. The soak fails when a
//! message was lost, repeated, reordered or damaged, when the server at rest holds more
//! descriptors than it did after the first cycles, or when its memory at rest grows.

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

/// The server while nobody is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    memory: u64,
    descriptors: usize,
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
const GROWTH_BYTES: u64 = 4 << 20;

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
        faults.extend(loads.run(&server, cycle)?);
        if !server.is_alive() {
            return Err(io::Error::other("the server has died"));
        }
        let rest = rest(&server)?;
        println!(
            "cycle {cycle}, {:.1} minutes: at rest {:.1} MB, {} descriptors, {} faults",
            begin.elapsed().as_secs_f64() / 60.0,
            rest.memory as f64 / 1e6,
            rest.descriptors,
            faults.len()
        );
        rests.push(rest);
        if begin.elapsed() >= options.duration && cycle > WARM_UP_CYCLES {
            break;
        }
    }
    faults.extend(judge(&rests[WARM_UP_CYCLES..]));
    faults.iter().for_each(|fault| println!("FAILED: {fault}"));
    println!("{}", verdict(faults.len(), rests.len()));
    Ok(faults.is_empty())
}

/// The last line.
fn verdict(faults: usize, cycles: usize) -> String {
    match faults {
        0 => format!("passed: {cycles} cycles, nothing lost, nothing leaked"),
        _ => format!("failed: {faults} faults in {cycles} cycles"),
    }
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

    /// Runs all three at once and returns what went wrong.
    fn run(&self, server: &Server, cycle: usize) -> io::Result<Vec<String>> {
        let [rooms, waves, slow] = thread::scope(|scope| {
            let rooms = scope.spawn(|| self.rooms.broadcast(server, &rooms(self.cycle)));
            let waves = scope.spawn(|| self.waves.storm(server, &storm(self.cycle, cycle)));
            let slow = scope.spawn(|| self.slow.slow(server, &slow(self.cycle)));
            [rooms, waves, slow].map(|load| load.join().map_err(|_| io::Error::other("panic"))?)
        });
        let faults = [
            ("rooms", fault(&rooms?)),
            ("waves", fault(&waves?)),
            ("slow", fault_among_slow(&slow?)),
        ];
        let named = faults.into_iter().filter_map(|(load, fault)| Some((load, fault?)));
        Ok(named.map(|(load, fault)| format!("cycle {cycle}, {load}: {fault}")).collect())
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
    Ok(Rest { memory: server.resident_bytes()?, descriptors: server.descriptors()? })
}

/// Compares the last third of the cycles with the first.
fn judge(rests: &[Rest]) -> Vec<String> {
    let mut faults = Vec::new();
    let third = rests.len().div_ceil(3);
    let (first, last) = (&rests[..third], &rests[rests.len() - third..]);
    let descriptors = |rests: &[Rest]| rests.iter().map(|rest| rest.descriptors).min();
    if descriptors(last) > descriptors(first) {
        faults.push(format!(
            "descriptors leak: {:?} at rest, then {:?}",
            descriptors(first),
            descriptors(last)
        ));
    }
    let (before, after) = (median_memory(first), median_memory(last));
    let allowed = before + (before as f64 * GROWTH_SHARE) as u64 + GROWTH_BYTES;
    if after > allowed {
        faults.push(format!("memory grows: {before} bytes at rest, then {after}"));
    }
    faults
}

fn median_memory(rests: &[Rest]) -> u64 {
    let mut memory: Vec<u64> = rests.iter().map(|rest| rest.memory).collect();
    memory.sort_unstable();
    memory[memory.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rests(figures: &[(u64, usize)]) -> Vec<Rest> {
        let rest = |&(megabytes, descriptors)| Rest { memory: megabytes << 20, descriptors };
        figures.iter().map(rest).collect()
    }

    #[test]
    fn the_last_line_is_the_verdict() {
        assert!(verdict(0, 3).starts_with("passed: 3 cycles"));
        assert!(verdict(2, 3).starts_with("failed: 2 faults"));
    }

    #[test]
    fn growth_and_leaks_are_faults() {
        assert!(judge(&rests(&[(20, 30)])).is_empty());
        assert!(judge(&rests(&[(20, 30), (25, 31), (21, 30)])).is_empty());
        let grown = judge(&rests(&[(20, 30), (25, 30), (27, 30)]));
        assert!(grown.len() == 1 && grown[0].starts_with("memory grows"), "{grown:?}");
        let leaked = judge(&rests(&[(20, 30), (20, 31), (20, 32)]));
        assert!(leaked.len() == 1 && leaked[0].starts_with("descriptors leak"), "{leaked:?}");
    }
}
