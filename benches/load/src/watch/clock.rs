//! One time for all threads of a run.

use std::time::{Duration, Instant};

/// Nanoseconds since the run began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now() }
    }

    #[inline]
    pub(crate) fn now(self) -> u64 {
        nanos(self.began.elapsed())
    }

    /// Sleeps until then, or not at all.
    pub(crate) fn sleep_until(self, then: u64) {
        std::thread::sleep(Duration::from_nanos(then.saturating_sub(self.now())));
    }
}

/// A duration as the clock counts.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A number of nanoseconds in seconds.
pub(crate) fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
