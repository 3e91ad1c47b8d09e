//! One seed: a server, its clients, and what became of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::FaultsOptions;
use super::ledger::Ledger;
use crate::process::{Server, sibling};

/// The rooms of a round. The first has enough members for sends in batches.
pub(super) const ROOMS: [&str; 4] = ["large", "a", "b", "c"];

const MEMBERS_LARGE: usize = 44;
const MEMBERS_SMALL: usize = 4;

/// How many messages a member stays for; the others stay to the end.
const VISITS: [u64; 4] = [u64::MAX / 2, u64::MAX / 2, 150, 61];

/// How long the descriptors of those who have gone may stay open. Close timeouts are a second.
const CLOSE_PATIENCE: Duration = Duration::from_secs(20);

/// How long a drain may take. Its own timeout is longer, so that one which waits in vain shows.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// What happened under one seed, or under several.
#[derive(Debug, Default)]
pub(super) struct Round {
    pub(super) by_kind: BTreeMap<String, u64>,
    pub(super) faults: Vec<String>,
    lived: u64,
    died: u64,
    received: u64,
}

/// What the clients of a round share.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) address: SocketAddr,
    pub(super) ledger: &'a Ledger,
    /// Nothing new is published.
    closing: AtomicBool,
    /// Nobody publishes any more.
    over: AtomicBool,
    /// Members' connections that were judged up to their end.
    pub(super) lived: AtomicU64,
    /// Connections that a fault has ended.
    pub(super) died: AtomicU64,
}

impl World<'_> {
    pub(super) fn new(address: SocketAddr, ledger: &Ledger) -> World<'_> {
        World {
            address,
            ledger,
            closing: AtomicBool::new(false),
            over: AtomicBool::new(false),
            lived: AtomicU64::new(0),
            died: AtomicU64::new(0),
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Lets everybody work for so long, and returns when all have gone.
    fn live(&self, load: Duration) {
        thread::scope(|scope| {
            for n in 0..MEMBERS_LARGE {
                scope.spawn(move || self.stay(ROOMS[0], VISITS[n % VISITS.len()]));
            }
            for room in &ROOMS[1..] {
                for n in 0..MEMBERS_SMALL {
                    scope.spawn(move || self.stay(room, VISITS[n % VISITS.len()]));
                }
            }
            scope.spawn(|| self.loiter());
            let pause = Duration::from_millis;
            let publishers = [1, 2, 3]
                .map(|by| scope.spawn(move || self.publish(by, pause(by))))
                .into_iter()
                .chain([scope.spawn(move || self.post(4, pause(10)))]);
            thread::sleep(load);
            self.closing.store(true, Ordering::Relaxed);
            // A panic of one comes up at the end of the scope.
            publishers.for_each(|publisher| drop(publisher.join()));
            self.over.store(true, Ordering::Relaxed);
        });
    }
}

/// Lives through one seed.
pub(super) fn run(seed: u64, options: &FaultsOptions) -> io::Result<Round> {
    let ledger = Ledger::default();
    let mut server = start(seed, options)?;
    let descriptors = server.descriptors()?;
    let world = World::new(server.address(), &ledger);
    world.live(options.load);
    if server.is_alive() {
        await_descriptors(&server, descriptors, &ledger)?;
        world.drain(&server);
    }
    let (status, said) = server.end(END_PATIENCE)?;
    if !status.success() {
        ledger.fail(format!("the server ended with {status}"));
    }
    let by_kind = match injected(&said) {
        None if status.success() => {
            return Err(io::Error::other("a server without fault-injection"));
        }
        by_kind => by_kind.unwrap_or_default(),
    };
    Ok(Round {
        by_kind,
        lived: world.lived.into_inner(),
        died: world.died.into_inner(),
        received: ledger.received(),
        faults: ledger.judge(),
    })
}

fn start(seed: u64, options: &FaultsOptions) -> io::Result<Server> {
    let mut command = Command::new(sibling("corecast")?);
    command.args(["serve", "--listen", "127.0.0.1:0", "--shards", "2", "--close-timeout", "1s"]);
    // What is forgotten shows as a client that waits in vain, not as one that is closed in time.
    command.args(["--handshake-timeout", "60s", "--slow-timeout", "60s", "--ping-interval", "1s"]);
    command.args(["--ping-timeout", "60s", "--drain-timeout", "30s"]);
    command.args(["--sends", if seed.is_multiple_of(4) { "plain" } else { "auto" }]);
    command.env("CORECAST_FAULT_SEED", seed.to_string()).env("CORECAST_LOG", "warn");
    command.stderr(File::create(options.folder.join(format!("seed-{seed}.log")))?);
    Server::start(command)
}

/// Everybody has gone: the server holds no more descriptors than before they came.
fn await_descriptors(server: &Server, before: usize, ledger: &Ledger) -> io::Result<()> {
    let begin = Instant::now();
    while server.descriptors()? > before {
        if begin.elapsed() > CLOSE_PATIENCE {
            let now = server.descriptors()?;
            ledger.fail(format!("{now} descriptors are open, and there were {before} at first"));
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// What a server built for it says at its end of the faults it has met.
fn injected(said: &str) -> Option<BTreeMap<String, u64>> {
    let line = said.lines().find_map(|line| line.strip_prefix("injected "))?;
    serde_json::from_str(line).ok()
}

impl Round {
    pub(super) fn injected(&self) -> u64 {
        self.by_kind.values().sum()
    }

    pub(super) fn add(&mut self, other: Round) {
        for (kind, count) in other.by_kind {
            *self.by_kind.entry(kind).or_default() += count;
        }
        self.faults.extend(other.faults);
        self.lived += other.lived;
        self.died += other.died;
        self.received += other.received;
    }

    pub(super) fn summary(&self) -> String {
        format!(
            "{} faults injected, {} messages received, connections: {} lived, {} died of faults, \
             {} failures",
            self.injected(),
            self.received,
            self.lived,
            self.died,
            self.faults.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_injected_faults_are_read_from_the_last_words() {
        let said = "shard 0 on core 0\ninjected {\"accept4 EMFILE\":3,\"recv SHORT\":4}\n";
        let by_kind = injected(said).unwrap();
        let round = Round { by_kind, ..Round::default() };
        assert_eq!(round.injected(), 7);
        assert_eq!(injected("shard 0 on core 0\n"), None);
    }
}
