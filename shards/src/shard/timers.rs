//! What time does.

use std::time::Duration;

use super::Shard;
use crate::connection::{Membership, MembershipState, Phase, Sending, Wait};
use crate::disconnect::Disconnect;
use crate::id::ConnId;
use crate::log::Pin;
use crate::time::Time;
use crate::timers::Timer;
use crate::wire::{Opcode, push_frame};

/// When to look again at a connection that cannot be cut now.
const RETRY: Duration = Duration::from_millis(100);

/// How often the end of a connection is put off because the frame in progress gets on. So a client
/// that takes a byte now and then is cut after twelve times the `close_timeout`, a minute by default.
const CLOSE_DELAYS_MAX: u8 = 11;

impl Shard {
    /// Event: this is the time now. Everything else happens at the time that was told last.
    pub fn on_time(&mut self, now: Time) {
        self.on_time_heard(now, now);
    }

    /// Event: this is the time now, and what connections did up to `heard` has been told.
    ///
    /// A caller that stood still, with its machine or by itself, has what came meanwhile still to
    /// tell. So nobody is closed for what it has not done after `heard`: no reply to a ping, no
    /// bytes taken, no end of its side.
    pub fn on_time_heard(&mut self, now: Time, heard: Time) {
        debug_assert!(self.now <= now, "the clock is monotonic");
        debug_assert!(heard <= now, "nobody hears the future");
        (self.now, self.heard) = (now, heard);
        while let Some(due) = self.timers.take_due(heard) {
            due.into_iter().for_each(|(timer, id)| self.on_timer(timer, id));
        }
        self.end_lingering_rooms();
        self.reap();
    }

    /// When [`on_time`](Shard::on_time) has something to do, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Time> {
        [self.timers.next_deadline(), self.homes.next_deadline()].into_iter().flatten().min()
    }

    fn on_timer(&mut self, timer: Timer, id: ConnId) {
        let Some(slot) = self.connections.find(id) else { return };
        match timer {
            Timer::Ping | Timer::Pong if self.connections[slot].is_open() => {
                self.on_ping_timer(slot, id, timer);
            }
            Timer::Slow => self.on_slow_timer(slot, id),
            Timer::Message => self.on_message_timer(slot, id),
            Timer::Close => self.on_close_timer(slot, id),
            Timer::Ping | Timer::Pong => {}
        }
    }

    fn on_ping_timer(&mut self, slot: u32, id: ConnId, timer: Timer) {
        let (interval, timeout) =
            (self.config.limits.ping_interval, self.config.limits.ping_timeout);
        self.excuse(slot);
        let connection = &self.connections[slot];
        let allowed = if connection.pinged { interval + timeout } else { interval };
        let (silent_until, pinged) = (connection.heard + allowed, connection.pinged);
        let due = if pinged { silent_until } else { self.in_phase(slot, silent_until) };
        if pinged && timer == Timer::Ping && interval < timeout {
            // Its next ping would be due by now. It has not answered the last one, and has the rest
            // of the timeout for it.
            return self.timers.set(self.now + (timeout - interval), Timer::Pong, id);
        }
        if self.heard < due {
            return self.timers.set(due, timer, id);
        }
        if pinged {
            return self.mark(slot, Disconnect::Idle);
        }
        self.connections[slot].pinged = true;
        // The client has the whole timeout from here on, even if this timer was late.
        self.timers.set(self.now + timeout.min(interval), Timer::Ping, id);
        let mut ping = Vec::new();
        push_frame(&mut ping, Opcode::Ping, b"");
        self.push_own(slot, &ping);
    }

    /// When to ping a connection whose silence is long enough at `due`.
    ///
    /// Connections that came together would be pinged together for ever. So each slot has a phase
    /// of its own within the interval, spread evenly (multiples of the golden ratio), and a ping
    /// waits for it, at most a quarter of the interval: after four pings everybody is in phase.
    /// Whoever is hardly behind its phase, by the timers' tick and the way of its last pong, stays
    /// in it.
    fn in_phase(&self, slot: u32, due: Time) -> Time {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let interval = self.config.limits.ping_interval.as_nanos();
        let place = u128::from(u64::from(slot).wrapping_mul(GOLDEN));
        let phase = (place * interval) >> 64;
        let due = u128::from(due.as_nanos());
        let behind = (due + interval - phase) % interval;
        let in_phase = match behind <= interval / 64 {
            true => due - behind.min(due),
            false => due + (interval - behind).min(interval / 4),
        };
        Time::from_nanos(u64::try_from(in_phase).unwrap_or(u64::MAX))
    }

    /// A connection that is not read cannot be heard: its idle clock stands still. But who keeps
    /// itself from being read, because its socket does not take what it waits for, is silent since
    /// that refused bytes; or it could stay for ever.
    fn excuse(&mut self, slot: u32) {
        let connection = &mut self.connections[slot];
        let departs = |room| {
            move |membership: &Membership| {
                membership.room == room && membership.state == MembershipState::Departing
            }
        };
        let by_itself = match connection.wait {
            Some(Wait::Own) => true,
            Some(Wait::Answer(room)) => connection.memberships.iter().any(departs(room)),
            _ => false,
        };
        if by_itself && connection.sending == Sending::Blocked {
            connection.heard = connection.heard.max(connection.blocked_at);
        } else if connection.wait.is_some() || !self.reading {
            connection.heard = self.now;
        }
    }

    /// A client that is not read cannot end its message: the time stands still meanwhile.
    fn on_message_timer(&mut self, slot: u32, id: ConnId) {
        let timeout = self.config.limits.message_timeout;
        let connection = &mut self.connections[slot];
        connection.message_timer = false;
        let is_read = connection.wait.is_none() && self.reading;
        let begun = connection.inbound.as_mut().and_then(|inbound| inbound.begun.as_mut());
        let Some(begun) = begun else { return };
        if !is_read {
            *begun = self.now;
        }
        let due = *begun + timeout;
        if self.now >= due {
            return self.mark(slot, Disconnect::Idle);
        }
        connection.message_timer = true;
        self.timers.set(due, Timer::Message, id);
    }

    fn on_slow_timer(&mut self, slot: u32, id: ConnId) {
        let timeout = self.config.limits.slow_timeout;
        let connection = &mut self.connections[slot];
        let refuses = matches!(connection.sending, Sending::Blocked | Sending::Dead);
        if !refuses || !matches!(connection.phase, Phase::Open | Phase::Finishing(_)) {
            connection.slow_timer = false;
            return;
        }
        let due = connection.refused_since + timeout;
        if self.heard < due {
            return self.timers.set(due, Timer::Slow, id);
        }
        if connection.ended {
            // It is only here because what it sent before it went waits for what it does not read.
            connection.slow_timer = false;
            return self.mark(slot, Disconnect::Lost);
        }
        connection.refused_since = self.now;
        self.timers.set(self.now + timeout, Timer::Slow, id);
        self.apply_slow_policy(slot);
        if let Phase::Finishing(reason) = self.connections[slot].phase {
            // It was to end when everything was sent, and has had the time for that. Its rooms'
            // messages are given up by the policy; its own frames cannot be skipped.
            let owes = self.connections[slot].own_bytes() > 0;
            self.mark(slot, if owes { Disconnect::Slow } else { reason });
        }
    }

    /// The client has not ended its side in time. But as long as the frame in progress gets on, our
    /// close frame has not had its turn.
    fn on_close_timer(&mut self, slot: u32, id: ConnId) {
        let timeout = self.config.limits.close_timeout;
        let connection = &mut self.connections[slot];
        if self.now < connection.close_due {
            // It was put off, and has another entry.
            return;
        }
        if connection.sending == Sending::Begun {
            // Its send ends at once; then it is cut.
            return self.timers.set(self.now + RETRY, Timer::Close, id);
        }
        let due = connection.refused_since + timeout;
        let gets_on = connection.phase == Phase::Closing && self.now < due;
        if gets_on && connection.close_delays < CLOSE_DELAYS_MAX {
            connection.close_delays += 1;
            connection.close_due = due;
            return self.timers.set(due, Timer::Close, id);
        }
        self.part(slot);
    }

    /// The socket has refused bytes for too long.
    fn apply_slow_policy(&mut self, slot: u32) {
        for place in 0..self.connections[slot].memberships.len() {
            let membership = self.connections[slot].memberships[place];
            let Some(index) = membership.listed() else { continue };
            let fatal = self.is_fatal_to_lose(membership.room);
            let (room, pool) = self.rooms.with_pool(membership.room);
            let end = room.end_for(&room.members[index]);
            if room.members[index].cursor >= end {
                continue;
            }
            if fatal {
                return self.mark(slot, Disconnect::Slow);
            }
            room.skip(index, end);
            room.pin(index, Pin::Slow);
            room.release(pool);
            self.connections[slot].note(place);
        }
    }
}
