//! How long what a thread reads may have waited for the thread.
//!
//! A socket does not say when its bytes came. But what was not there when the thread looked at all
//! its sockets has come since; and a thread that sleeps until something comes looks at once. So the
//! time since then is the most that was the thread's own.

use std::ops::Range;
use std::time::Duration;

use super::clock::nanos;

/// When one thread looked for what is ready.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Glances {
    last: u64,
    /// What is read now came later.
    since: u64,
}

/// Nanoseconds that a look takes at most without sleep, and further ones for each socket that is
/// ready. A sleep that is shorter counts as none, which makes the thread look later than it was.
const LOOK: u64 = 10_000;
const LOOK_EACH: u64 = 200;

impl Glances {
    /// The thread looked from here to there, slept at most so long, and found so many sockets.
    pub(crate) fn note(&mut self, time: Range<u64>, timeout: Duration, found: usize) {
        self.note_sleep(time.clone(), timeout, found);
        self.since = self.last;
        self.last = time.end;
    }

    /// The same of a look at something else, from which the thread would have been woken.
    pub(crate) fn note_sleep(&mut self, time: Range<u64>, timeout: Duration, found: usize) {
        let most = LOOK + LOOK_EACH * found as u64;
        if !timeout.is_zero() && time.end - time.start > most {
            // Whoever sleeps longer than was asked for got no CPU.
            self.last = time.end.min(time.start.saturating_add(nanos(timeout)));
        }
    }

    /// The most that what is read now has waited for the thread.
    pub(crate) fn late(self, now: u64) -> u64 {
        now.saturating_sub(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;
    const IDLE: Duration = Duration::from_millis(10);

    #[test]
    fn a_thread_that_sleeps_until_something_comes_is_not_late() {
        let mut glances = Glances::default();
        glances.note(5 * MILLI..12 * MILLI, IDLE, 1);
        assert_eq!(glances.late(12 * MILLI + 300), 300);
    }

    #[test]
    fn what_comes_while_a_thread_is_busy_waits_since_its_last_look() {
        let mut glances = Glances::default();
        glances.note(0..5 * MILLI, IDLE, 3);
        // Three sockets later there is more at once.
        glances.note(7 * MILLI..7 * MILLI + 900, IDLE, 2);
        assert_eq!(glances.late(8 * MILLI), 3 * MILLI);
        // Whoever may not sleep does not, however long it takes.
        glances.note(9 * MILLI..10 * MILLI, Duration::ZERO, 2);
        assert_eq!(glances.late(10 * MILLI), 3 * MILLI - 900);
    }

    /// Stopped in its sleep, or while it reads.
    #[test]
    fn a_thread_that_is_stopped_is_late() {
        let mut glances = Glances::default();
        glances.note(0..500 * MILLI, IDLE, 9);
        assert_eq!(glances.late(500 * MILLI), 490 * MILLI);
        assert_eq!(glances.late(900 * MILLI), 890 * MILLI);
    }

    #[test]
    fn sleep_at_another_place_is_sleep() {
        let mut glances = Glances::default();
        glances.note(0..3 * MILLI, IDLE, 1);
        glances.note_sleep(3 * MILLI..8 * MILLI, IDLE, 1);
        glances.note(8 * MILLI + 50..8 * MILLI + 99, Duration::ZERO, 1);
        assert_eq!(glances.late(8 * MILLI + 100), 100);
    }
}
