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
    /// More may have been ready at the last look than it could show.
    is_partial: bool,
}

/// What one look showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) sockets: usize,
    /// As many as one look can show.
    pub(crate) is_partial: bool,
}

/// Nanoseconds that a look takes at most without sleep, and further ones for each socket that is
/// ready. A sleep that is shorter counts as none, which makes the thread look later than it was.
const LOOK: u64 = 10_000;
const LOOK_EACH: u64 = 200;

impl Glances {
    /// The thread looked from here to there, slept at most so long, and found this.
    pub(crate) fn note(&mut self, time: Range<u64>, timeout: Duration, found: Found) {
        self.note_sleep(time.clone(), timeout, found.sockets);
        // What the last look could not show came before it.
        if !self.is_partial {
            self.since = self.last;
        }
        (self.last, self.is_partial) = (time.end, found.is_partial);
    }

    /// The same of a look at something else, from which the thread would have been woken.
    pub(crate) fn note_sleep(&mut self, time: Range<u64>, timeout: Duration, found: usize) {
        let most = LOOK + LOOK_EACH * found as u64;
        if !timeout.is_zero() && time.end - time.start > most {
            // Whoever sleeps longer than was asked for got no CPU.
            self.last = time.end.min(time.start.saturating_add(nanos(timeout)));
        }
    }

    /// What is read now came later than this, unless it is of a socket that was not emptied.
    pub(crate) fn since(self) -> u64 {
        self.since
    }

    /// The most that what is read now has waited for the thread.
    pub(crate) fn late(self, now: u64) -> u64 {
        now.saturating_sub(self.since)
    }

    /// Whether the rest is to be looked for at once, so that it is known when all was seen.
    pub(crate) fn is_partial(self) -> bool {
        self.is_partial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000_000;
    const IDLE: Duration = Duration::from_millis(10);

    fn all(sockets: usize) -> Found {
        Found { sockets, is_partial: false }
    }

    #[test]
    fn a_thread_that_sleeps_until_something_comes_is_not_late() {
        let mut glances = Glances::default();
        glances.note(5 * MILLI..12 * MILLI, IDLE, all(1));
        assert_eq!(glances.late(12 * MILLI + 300), 300);
    }

    #[test]
    fn what_comes_while_a_thread_is_busy_waits_since_its_last_look() {
        let mut glances = Glances::default();
        glances.note(0..5 * MILLI, IDLE, all(3));
        // Three sockets later there is more at once.
        glances.note(7 * MILLI..7 * MILLI + 900, IDLE, all(2));
        assert_eq!(glances.late(8 * MILLI), 3 * MILLI);
        // Whoever may not sleep does not, however long it takes.
        glances.note(9 * MILLI..10 * MILLI, Duration::ZERO, all(2));
        assert_eq!(glances.late(10 * MILLI), 3 * MILLI - 900);
    }

    /// Stopped in its sleep, or while it reads.
    #[test]
    fn a_thread_that_is_stopped_is_late() {
        let mut glances = Glances::default();
        glances.note(0..500 * MILLI, IDLE, all(9));
        assert_eq!(glances.late(500 * MILLI), 490 * MILLI);
        assert_eq!(glances.late(900 * MILLI), 890 * MILLI);
    }

    /// More sockets are ready than one look shows.
    #[test]
    fn what_did_not_fit_into_a_look_waits_since_the_one_before() {
        let mut glances = Glances::default();
        glances.note(0..MILLI, IDLE, Found { sockets: 1_024, is_partial: true });
        assert!(glances.is_partial());
        assert_eq!(glances.late(2 * MILLI), MILLI);
        glances.note(3 * MILLI..3 * MILLI + 90, Duration::ZERO, all(500));
        assert!(!glances.is_partial());
        assert_eq!(glances.late(4 * MILLI), 3 * MILLI, "they may have been ready at the first");
        glances.note(5 * MILLI..5 * MILLI + 90, IDLE, all(500));
        assert_eq!(glances.late(6 * MILLI), 3 * MILLI - 90);
    }

    #[test]
    fn sleep_at_another_place_is_sleep() {
        let mut glances = Glances::default();
        glances.note(0..3 * MILLI, IDLE, all(1));
        glances.note_sleep(3 * MILLI..8 * MILLI, IDLE, 1);
        glances.note(8 * MILLI + 50..8 * MILLI + 99, Duration::ZERO, all(1));
        assert_eq!(glances.late(8 * MILLI + 100), 100);
    }
}
