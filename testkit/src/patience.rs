//! How long a test waits.

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. No pass ever depends on it: it only turns a
/// hang into a failure, so it is far longer than the slowest machine needs.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One wait over several reads. A server's pings let each read succeed for as long as the server
/// lives, so that the timeout of reads alone does not end a wait for what never comes.
#[derive(Debug)]
pub struct Wait {
    begun: Instant,
}

impl Wait {
    /// A wait that begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self { begun: Instant::now() }
    }

    /// Something arrived, and not what the wait is for.
    pub fn goes_on(&self, arrived: &dyn std::fmt::Debug) {
        assert!(
            self.begun.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain; the last that arrived is {arrived:?}"
        );
    }
}
