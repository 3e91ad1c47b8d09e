//! A server whose system calls fail at random, with real sockets on the other side.
//!
//! Seed after seed a server is started that was built with the feature `fault-injection`. Members,
//! publishers, callers over HTTP and clients that say nothing come and go; they keep a ledger
//! of what they were promised and what they got. A fault may cost the connection that it concerns
//! and nothing else: the server does not end, connections that live get every message once and in
//! order, an acknowledged message stands where the acknowledgement said, no descriptor stays open
//! when everybody has gone, and a drain ends with exit code 0 after everything was delivered.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

mod drain;
mod ledger;
mod member;
mod publisher;
mod round;
mod socket;

use round::Round;

/// What the trial is told.
#[derive(Clone, Debug)]
pub struct FaultsOptions {
    /// How many faults are to happen.
    pub faults: u64,
    /// The first seed; the others follow it.
    pub seed: u64,
    /// How long clients are at work under each seed.
    pub load: Duration,
    /// After this long no other seed begins.
    pub longest: Duration,
    /// Where the logs of servers are left.
    pub folder: PathBuf,
}

/// Runs seeds until enough faults have happened. Returns whether everything held, and enough
/// happened.
///
/// # Errors
///
/// When the server cannot be started, or was built without faults.
pub fn run(options: &FaultsOptions) -> io::Result<bool> {
    std::fs::create_dir_all(&options.folder)?;
    let (begin, mut all) = (Instant::now(), Round::default());
    for seed in options.seed.. {
        let round = round::run(seed, options)?;
        println!("seed {seed}: {}", round.summary());
        round.faults.iter().for_each(|fault| println!("  FAILED (seed {seed}): {fault}"));
        all.add(round);
        if all.injected() >= options.faults || begin.elapsed() > options.longest {
            break;
        }
    }
    println!("\n{}", table(&all.by_kind));
    println!("all: {}, {:.0} s", all.summary(), begin.elapsed().as_secs_f64());
    let enough = all.injected() >= options.faults;
    if !enough {
        println!("FAILED: time was over before {} faults had happened", options.faults);
    }
    Ok(all.faults.is_empty() && enough)
}

fn table(by_kind: &BTreeMap<String, u64>) -> String {
    let row = |(kind, count): (&String, &u64)| format!("{kind:<28} {count:>8}");
    by_kind.iter().map(row).collect::<Vec<_>>().join("\n")
}
