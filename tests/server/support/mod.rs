//! What every test here stands on: a server process, clients that see each byte, and patience.

mod crowd;
mod events;
pub(crate) mod filter;
pub(crate) mod frames;
mod http;
mod issuer;
mod raw;
mod server;
pub(crate) mod tls;

pub(crate) use corecast_testkit::{Client, Close, Envelope, PATIENCE};
pub(crate) use crowd::{Crowd, Member, Outbox};
pub(crate) use events::{Event, Events, Said, assert_retry, events_head};
pub(crate) use http::{Response, http};
pub(crate) use issuer::{ALGORITHMS, Folder, Issuer, unix};
pub(crate) use raw::{Raw, parse_head, upgrade_head};
pub(crate) use server::{Outcome, Server, corecast, refused, serve, serve_limited};

use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// As [`PATIENCE`], for a whole load with thousands of connections.
pub(crate) const LOAD_PATIENCE: Duration = Duration::from_secs(180);

/// Keeps the tests with thousands of connections from running at the same time.
pub(crate) fn heavy() -> MutexGuard<'static, ()> {
    static HEAVY: Mutex<()> = Mutex::new(());
    raise_descriptor_limit();
    HEAVY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `condition` holds; a condition that never does is a failure that says `what`.
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "waited {PATIENCE:?} in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A small reproducible source of variety; the tests need no better one.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// This process holds as many sockets as the server, so its soft limit goes up to the hard one.
fn raise_descriptor_limit() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: both calls get a pointer to a live `rlimit` of this frame.
        let done = unsafe {
            libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && {
                limit.rlim_cur = limit.rlim_max;
                libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0
            }
        };
        assert!(done, "the descriptor limit of the tests can be raised");
    });
}
