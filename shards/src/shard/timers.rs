//! What the timers of a connection do: pings, unfinished messages and closes. Slow ones are in
//! `slow.rs`.

use std::time::Duration;

use super::host::Host;
use crate::connection::{Phase, WriteState};
use crate::disconnect::Disconnect;
use crate::format::Fact;
use crate::id::ConnId;
use crate::place::Slot;
use crate::time::Time;
use crate::timers::{TICK, Timer};

/// When to look again at a connection that cannot be cut now.
const RETRY: Duration = Duration::from_millis(100);

/// How often the end of a connection is put off because the frame in progress gets on. So a client
/// that takes a byte now and then is cut after twelve times the `close_timeout`, a minute by default.
const CLOSE_DELAYS_MAX: u8 = 11;

impl Host {
    /// This is the time now, and what connections did up to `events_until` was handled.
    pub(super) fn on_time(&mut self, now: Time, events_until: Time) {
        debug_assert!(self.now <= now, "the clock is monotonic");
        debug_assert!(events_until <= now, "events come from the past");
        (self.now, self.events_until) = (now, events_until);
        while let Some(due) = self.timers.take_due(events_until) {
            due.into_iter().for_each(|(timer, id)| self.on_timer(timer, id));
        }
        self.end_lingers();
        self.clients.revocations.drop_ended(now);
        while let Some(id) = self.clients.expiries.take_due(events_until) {
            let slot = self.directory.find(id).expect("an expiry ends with its connection");
            self.schedule_close(slot, Disconnect::Expired);
        }
    }

    fn on_timer(&mut self, timer: Timer, id: ConnId) {
        let Some(slot) = self.directory.find(id) else { return };
        match timer {
            Timer::Ping | Timer::Pong if self.directory[slot].is_open() => {
                match self.directory[slot].format.answers_pings() {
                    true => self.on_ping_timer(slot, id, timer),
                    false => self.on_comment_timer(slot, id),
                }
            }
            Timer::Slow => self.on_slow_timer(slot, id),
            Timer::Message => self.on_message_timer(slot, id),
            Timer::Close => self.on_close_timer(slot, id),
            Timer::Ping | Timer::Pong => {}
        }
    }

    fn on_ping_timer(&mut self, slot: Slot, id: ConnId, timer: Timer) {
        let (interval, timeout) =
            (self.config.limits.ping_interval, self.config.limits.ping_timeout);
        let is_held_back = self.is_held_back(slot);
        self.directory[slot].refresh_idle_clock(self.now, self.reading, is_held_back);
        let connection = &self.directory[slot];
        let allowed = match connection.pinged {
            true => interval.saturating_add(timeout),
            false => interval,
        };
        let (silent_until, pinged) = (connection.last_received + allowed, connection.pinged);
        let due = if pinged { silent_until } else { in_phase(slot, silent_until, interval) };
        let next_ping = connection.last_received + interval;
        if pinged && self.now < next_ping {
            // It was pinged and not read since: it may be heard at any time, and its next ping is due an
            // interval later.
            self.directory[slot].read_again = false;
            return self.timers.set(next_ping, Timer::Ping, id);
        }
        if pinged && timer == Timer::Ping && interval < timeout {
            // Its next ping would be due by now. It has not answered the last one, and has the rest
            // of the timeout for it.
            return self.timers.set(self.now + (timeout - interval), Timer::Pong, id);
        }
        if self.events_until < due {
            return self.timers.set(due, timer, id);
        }
        if pinged && self.has_read_again(slot, id) {
            return self.schedule_close(slot, Disconnect::Idle);
        } else if pinged {
            return self.timers.set(self.now + RETRY, timer, id);
        }
        self.directory[slot].pinged = true;
        // The client has the whole timeout from here on, even if this timer was late.
        self.timers.set(self.now + timeout.min(interval), Timer::Ping, id);
        self.say(slot, &Fact::Ping);
    }

    /// While memory is short some are not read, and what a silent client has said may lie in its socket:
    /// it is read once more before it ends. Returns whether it was, or need not be.
    fn has_read_again(&mut self, slot: Slot, id: ConnId) -> bool {
        let connection = &mut self.directory[slot];
        if !self.pressure.was_unread || connection.read_again {
            return true;
        }
        connection.read_again = true;
        self.outputs.resumed.push_back(id);
        false
    }

    /// An event stream is sent a comment per interval, so that no proxy on the way takes it for dead.
    /// Nothing answers it: a client counts as there while its socket takes bytes.
    fn on_comment_timer(&mut self, slot: Slot, id: ConnId) {
        let (interval, timeout) =
            (self.config.limits.ping_interval, self.config.limits.ping_timeout);
        let connection = &self.directory[slot];
        let is_blocked = connection.is_blocked();
        if is_blocked && self.events_until >= connection.last_blocked + interval + timeout {
            return self.schedule_close(slot, Disconnect::Idle);
        }
        if !is_blocked && !self.directory.streams.is_joining(slot) {
            self.say(slot, &Fact::Ping);
        }
        self.timers.set(self.now + interval, Timer::Ping, id);
    }

    /// A client that is not read cannot end its message: its time does not run meanwhile, and no more
    /// in a drain.
    fn on_message_timer(&mut self, slot: Slot, id: ConnId) {
        let timeout = self.config.limits.message_timeout;
        let connection = &mut self.directory[slot];
        connection.message_timer = false;
        if !self.reading {
            return;
        }
        let waits = connection.wait().is_some();
        let begun = connection.inbound.as_ref().and_then(|inbound| inbound.begun(self.now));
        let Some(begun) = begun else { return };
        let due = begun + timeout;
        if self.events_until >= due && !waits {
            return self.schedule_close(slot, Disconnect::Idle);
        }
        self.directory[slot].message_timer = true;
        let next = if self.now < due { due } else { self.now + RETRY };
        self.timers.set(next, Timer::Message, id);
    }

    /// The client has not ended its side in time. But as long as the frame in progress gets on, our
    /// close frame has not had its turn.
    fn on_close_timer(&mut self, slot: Slot, id: ConnId) {
        let timeout = self.config.limits.close_timeout;
        let connection = &mut self.directory[slot];
        if connection.phase() == Phase::Closed || self.events_until < connection.close_due {
            // The socket is closed already; or it was put off, and has another entry.
            return;
        }
        if connection.write_state() == WriteState::Begun {
            // Its send ends at once; then it is cut.
            return self.timers.set(self.now + RETRY, Timer::Close, id);
        }
        let due = connection.blocked_since + timeout;
        let gets_on = connection.phase() == Phase::Closing && self.events_until < due;
        if gets_on && connection.close_delays < CLOSE_DELAYS_MAX {
            connection.close_delays += 1;
            connection.close_due = due;
            return self.timers.set(due, Timer::Close, id);
        }
        self.close_socket(slot);
    }
}

/// When to ping a connection whose silence is long enough at `due`.
///
/// Connections that came together would be pinged together for ever. So each slot has a phase of its
/// own within the interval, spread evenly (multiples of the golden ratio), and a ping waits for it, at
/// most a quarter of the interval: after four pings every connection is in phase. A ping that is no
/// later than 1/64 of the interval (for its pong was under way), or than its timer may be, counts
/// as in phase.
fn in_phase(slot: Slot, due: Time, interval: Duration) -> Time {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    let (interval, tick) = (interval.as_nanos(), TICK.as_nanos());
    let fraction = u128::from(u64::from(slot.number()).wrapping_mul(GOLDEN));
    let phase = (fraction * interval) >> 64;
    let due = u128::from(due.as_nanos());
    let late = (due + interval - phase) % interval;
    let in_phase = match late <= tick.max(interval / 64) {
        true => due - late.min(due),
        false => due + (interval - late).min(interval / 4),
    };
    Time::from_nanos(u64::try_from(in_phase).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_four_pings_every_connection_is_pinged_once_per_interval() {
        let tick = Duration::from_millis(50);
        for interval in
            [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(25)]
        {
            for number in 0..200 {
                let slot = Slot::new(number);
                let mut now = Time::from_nanos(1_000_000_000 + u64::from(number) * 7_654_321);
                for nth in 0..20 {
                    let due = in_phase(slot, now + interval, interval);
                    // Each timer is as late as it can be, and the pong comes at once.
                    let next = due + tick;
                    let early = interval - (interval / 64).max(tick);
                    let gap = due.since(now);
                    assert!(gap >= early, "{slot} of {interval:?}: {gap:?}");
                    assert!(nth < 4 || gap <= interval, "{slot} of {interval:?}: {gap:?}");
                    now = next;
                }
            }
        }
    }
}
