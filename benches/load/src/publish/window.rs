//! The closed loop: publish as long as no more than a window of messages is under way.

use std::io;
use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;

use super::publisher::{Leg, Publisher};
use crate::setup::args::WindowBy;

/// What was published and has not arrived, in deliveries.
#[derive(Debug, Default)]
struct Window {
    /// Messages per room that may be under way.
    messages: u32,
    /// The same in deliveries.
    limit: u64,
    owed: u64,
    arrived: u64,
    /// Of `arrived`, what had arrived when counting began.
    before: u64,
    /// What had arrived or was acknowledged when that last changed, and when it did.
    progress: u64,
    moved_at: u64,
    /// Publishers that the server had let go when that was last looked at.
    let_go: u64,
    /// One more has been: nothing is published until the others' messages have arrived.
    is_settling: bool,
}

/// Messages before sockets get a turn.
const BATCH: usize = 128;
/// While the window is full: long enough to cost little, short against what a window takes.
const PAUSE: Duration = Duration::from_micros(200);
/// What has not arrived after this time will not: the window goes on without it.
const STALL: u64 = 1_000_000_000;
/// The same of messages that the server may have refused with their publisher.
const SETTLED: u64 = 100_000_000;

impl Publisher {
    pub(crate) fn keep_window(&mut self, leg: Leg, messages: u32, by: WindowBy) -> io::Result<()> {
        let before = self.delivered(leg);
        let (moved_at, let_go) = (leg.from, self.sent.let_go);
        let mut window = Window { messages, before, moved_at, let_go, ..Window::default() };
        let mut next = 0;
        loop {
            let now = self.shared.clock.now();
            if now >= leg.to || self.shared.is_over() {
                return Ok(());
            }
            self.observe(&mut window, leg, now);
            let mut count = 0;
            while count < BATCH
                && let Some(nth) = self.next_feed(next)
                && self.has_room(&window, by, nth)
            {
                let due = self.shared.clock.now();
                self.publish(nth, due, leg.is_warm_up);
                window.owed += self.connected(self.feeds[nth].room);
                next = (nth + 1) % self.feeds.len();
                count += 1;
            }
            self.turn(if count == BATCH { Duration::ZERO } else { PAUSE }, u64::MAX)?;
        }
    }

    /// The first stream from here on that somebody still publishes in.
    fn next_feed(&self, from: usize) -> Option<usize> {
        let count = self.feeds.len();
        let mut all = (from..from + count).map(|nth| nth % count);
        all.find(|&nth| self.connections[self.feeds[nth].connection].link.is_some())
    }

    /// Looks at what has arrived; gives up on the rest when nothing has for long.
    fn observe(&self, window: &mut Window, leg: Leg, now: u64) {
        let members = (0..self.shared.plan.streams.rooms).map(|room| self.connected(room)).sum();
        window.limit = u64::from(window.messages) * u64::max(members, 1);
        window.arrived = self.delivered(leg) - window.before;
        let progress = window.arrived + self.sent.tally.acked;
        if self.sent.let_go != window.let_go {
            (window.let_go, window.is_settling, window.moved_at) = (self.sent.let_go, true, now);
        }
        let patience = if window.is_settling { SETTLED } else { STALL };
        if progress != window.progress {
            (window.progress, window.moved_at) = (progress, now);
        } else if now.saturating_sub(window.moved_at) > patience {
            // Lost, or refused: waiting on would measure nothing.
            (window.owed, window.moved_at, window.is_settling) = (window.arrived, now, false);
        }
    }

    /// Whether this stream may have one more message under way.
    fn has_room(&self, window: &Window, by: WindowBy, next: usize) -> bool {
        match by {
            WindowBy::Deliveries => {
                !window.is_settling && window.owed.saturating_sub(window.arrived) < window.limit
            }
            WindowBy::Acks => {
                let feeds = self.feeds.len().div_ceil(self.connections.len()) as u64;
                let unacked = self.connections[self.feeds[next].connection].unacked;
                unacked < u64::from(window.messages) * feeds
            }
        }
    }

    fn connected(&self, room: u32) -> u64 {
        u64::from(self.shared.connected[room as usize].load(Acquire))
    }

    fn delivered(&self, leg: Leg) -> u64 {
        match leg.is_warm_up {
            true => self.shared.sum(|gauges| &gauges.warm_up),
            false => self.shared.sum(|gauges| &gauges.progress),
        }
    }
}
