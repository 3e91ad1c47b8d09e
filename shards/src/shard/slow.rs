//! When a slow reader is closed, and what it loses if it is not.
//!
//! A connection is slow from the moment its socket blocks or fails until it is up to date. In a room
//! under [`SlowPolicy::Latest`] it skips all messages but the newest. Elsewhere it is closed, or under
//! [`SlowPolicy::Skip`] made to skip messages:
//!
//! - when its socket has taken nothing for `slow_timeout` and a room has messages for it
//!   ([`Host::on_slow_timer`]): without any there is nothing to skip, and `own_bytes` and
//!   `ping_timeout` bound what its own frames cost;
//! - when a room's log drops the messages that it is to be sent next, which a pass
//!   ([`Host::pass_by`]) or its next send ([`Host::announce_gaps`]) notices.
//!
//! A connection that is sent a history is slow like any other, and what it does not take of it cannot be
//! skipped: it is closed whatever the policies of its rooms are. While it only waits for its turn to be
//! sent more it is not slow.
//!
//! And whatever the policy, when too many direct bytes wait for it ([`Host::limit_direct`],
//! [`Host::admit_direct`]): those cannot be skipped.

use std::time::Duration;

use super::host::Host;
use super::not_taken::Unsent;
use crate::connection::{Phase, WriteState};
use crate::disconnect::Disconnect;
use crate::format::{Fact, GapReason};
use crate::id::ConnId;
use crate::log::Pin;
use crate::memory::MemoryStage;
use crate::place::{MembershipIndex, Slot};
use crate::policy::SlowPolicy;
use crate::room::MemberIndex;
use crate::room::gaps::Gap;
use crate::room::table::RoomKey;
use crate::timers::Timer;

/// How long a socket may take nothing while more direct bytes wait for it than `own_bytes`. Callers
/// over HTTP wait for five seconds, so that they learn of the end.
const BLOCKED_PATIENCE: Duration = Duration::from_secs(4);

/// Replies on top of what the program sent may have as much again.
pub(super) const DIRECT_EXCESS_MAX: usize = 2;

impl Host {
    /// A pass looks at a member that cannot be sent to. Closes it if the log dropped its messages; if
    /// only the newest one matters, the log need not keep the others.
    pub(super) fn pass_by(&mut self, key: RoomKey, index: MemberIndex, slot: Slot) {
        let (room, pool) = self.directory.rooms.with_pool(key);
        match room.policy.slow {
            SlowPolicy::Latest => room.skip_to_newest(index, pool),
            SlowPolicy::Disconnect if room.lost_its_place(&room.members[index]) => {
                self.schedule_close(slot, Disconnect::Slow);
            }
            SlowPolicy::Disconnect | SlowPolicy::Skip => {}
        }
    }

    /// Announces what the connection lost. Returns false when it ends because of it.
    pub(super) fn announce_gaps(&mut self, slot: Slot) -> bool {
        for nth in 0..self.directory[slot].behind.len() {
            let (membership, index) = self.directory.nth_behind(slot, nth);
            let (room, pool) = self.directory.rooms.with_pool(membership.room);
            let reason = match room.policy.slow {
                SlowPolicy::Disconnect if room.lost_its_place(&room.members[index]) => {
                    self.schedule_close(slot, Disconnect::Slow);
                    return false;
                }
                SlowPolicy::Disconnect | SlowPolicy::Skip => GapReason::Slow,
                SlowPolicy::Latest => {
                    room.skip_to_newest(index, pool);
                    GapReason::Latest
                }
            };
            if self.directory.is_replayed(slot, membership.room) {
                // A gap is about what comes after its history.
                continue;
            }
            let (room, pool) = self.directory.rooms.with_pool(membership.room);
            if let Some(Gap { from, to }) = room.take_gap(index, pool) {
                let name = room.name.clone();
                self.counters.gaps += 1;
                let epoch = self.directory.streams.epoch(slot);
                self.say(slot, &Fact::Gap { room: &name, epoch, from, to, reason });
            }
        }
        true
    }

    /// Closes a connection for which too many direct frames wait. Replies cannot be refused, and
    /// their number is bounded by what was read before.
    pub(super) fn limit_direct(&mut self, slot: Slot) {
        let (bytes, most) = (self.directory[slot].direct_bytes(), self.config.limits.own_bytes);
        if bytes > most && (self.is_stuck(slot) || bytes > DIRECT_EXCESS_MAX * most) {
            self.schedule_close(slot, Disconnect::Slow);
        }
    }

    /// Whether a frame of this many bytes from the program may be queued for this connection. One whose
    /// socket has taken nothing for a while is closed instead.
    pub(super) fn admit_direct(&mut self, slot: Slot, bytes: usize) -> Result<(), Unsent> {
        let most = self.config.limits.own_bytes;
        if bytes > most {
            return Err(Unsent::TooLarge(most));
        }
        if self.pressure.is_short(MemoryStage::Pausing) {
            self.counters.memory.publishes_paused += 1;
            return Err(Unsent::Full);
        }
        if self.directory[slot].direct_bytes() + bytes <= most {
            return Ok(());
        }
        if !self.is_stuck(slot) {
            return Err(Unsent::Full);
        }
        self.schedule_close(slot, Disconnect::Slow);
        Err(Unsent::Gone)
    }

    fn is_stuck(&self, slot: Slot) -> bool {
        let patience = BLOCKED_PATIENCE.min(self.config.limits.slow_timeout);
        self.directory[slot].is_stuck(self.events_until, patience)
    }

    /// The socket took some of the bytes that are held for it, and blocked again: a client that
    /// takes a large record piece by piece is not stuck.
    pub(super) fn on_held_progress(&mut self, slot: Slot) {
        let connection = &mut self.directory[slot];
        if connection.is_blocked() {
            (connection.blocked_since, connection.last_blocked) = (self.now, self.now);
            if connection.replays.is_some() {
                self.note_replay_progress(slot);
            }
        }
    }

    /// The socket blocked: it is not touched until it is writable.
    pub(super) fn on_blocked(&mut self, slot: Slot, took_some: bool) {
        let connection = &mut self.directory[slot];
        if took_some || !connection.slow {
            connection.blocked_since = self.now;
        }
        connection.last_blocked = self.now;
        self.blocked += 1;
        if !std::mem::replace(&mut connection.slow, true) {
            connection.slow_since = self.now;
        }
        if !connection.slow_timer {
            connection.slow_timer = true;
            // The time that it was blocked before counts, if it took nothing since.
            let due = connection.blocked_since + self.config.limits.slow_timeout;
            self.timers.set(due, Timer::Slow, self.directory.id(slot));
        }
        self.directory.unpin_up_to_date(slot);
        self.directory.pin_behind(slot);
    }

    pub(super) fn on_slow_timer(&mut self, slot: Slot, id: ConnId) {
        let timeout = self.config.limits.slow_timeout;
        let connection = &mut self.directory[slot];
        let takes_bytes = matches!(connection.write_state(), WriteState::Idle | WriteState::Begun);
        if takes_bytes || !connection.is_in_rooms() {
            connection.slow_timer = false;
            return;
        }
        // While memory is short, a byte now and then gains no time: the member has to catch up.
        let since = match self.pressure.is_short(MemoryStage::Refusing) {
            true => connection.slow_since,
            false => connection.blocked_since,
        };
        let due = since + timeout;
        if self.events_until < due {
            return self.timers.set(due, Timer::Slow, id);
        }
        if connection.input_ended {
            // It is only here because what its client sent before is still to be handled.
            connection.slow_timer = false;
            return self.schedule_close(slot, Disconnect::Lost);
        }
        connection.blocked_since = self.now;
        self.timers.set(self.now + timeout, Timer::Slow, id);
        self.apply_slow_policy(slot);
        if let Phase::Finishing(reason) = self.directory[slot].phase() {
            // It was to end when everything was sent, and has had the time for that. Its rooms'
            // messages are given up by the policy; its direct frames cannot be skipped.
            let connection = &self.directory[slot];
            let owes = connection.direct_bytes() > 0 || connection.owes_history();
            self.schedule_close(slot, if owes { Disconnect::Slow } else { reason });
        }
    }

    /// The socket was blocked for too long: each room that has messages for the member applies its
    /// policy.
    fn apply_slow_policy(&mut self, slot: Slot) {
        if self.directory[slot].owes_history() {
            // It was promised everything that it missed.
            return self.schedule_close(slot, Disconnect::Slow);
        }
        for at in (0..self.directory[slot].memberships.len()).map(MembershipIndex::new) {
            let membership = self.directory[slot].memberships[at];
            let Some(index) = membership.listed() else { continue };
            let room = &self.directory[membership.room];
            let member = &room.members[index];
            if member.cursor < room.end_for(member) && !self.give_up(membership.room, index) {
                return;
            }
        }
    }

    /// A slow member loses what waits for it in one room, as the policy says. Returns whether it stays.
    pub(super) fn give_up(&mut self, key: RoomKey, index: MemberIndex) -> bool {
        let (room, pool) = self.directory.rooms.with_pool(key);
        let (slot, at) = (room.members[index].slot, room.members[index].membership);
        let end = room.end_for(&room.members[index]);
        match room.policy.slow {
            SlowPolicy::Disconnect => {
                self.schedule_close(slot, Disconnect::Slow);
                return false;
            }
            SlowPolicy::Skip => room.skip(index, end, pool),
            SlowPolicy::Latest => room.skip_to_newest(index, pool),
        }
        room.pin(index, Pin::Slow);
        room.free_log(pool);
        self.directory[slot].mark_behind(at);
        true
    }
}
