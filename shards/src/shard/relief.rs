//! What a shard does while memory is short, in the written order.
//!
//! ```text
//! refuse new rooms and connections ─▶ do not read those who owe most ─▶ strike the slow ─▶ pause publishers
//! ```
//!
//! Before the first step histories give way: see `memory.rs`.
//!
//! From the second step on joins of rooms that exist are refused as well, where they are judged.
//!
//! Each step can end the shortage: what is held back goes on, or is closed after a while, and then
//! everything goes on again. A shortage that stays below the third step ends, too: after `slow_timeout`
//! those are struck that have not got on since it began, so that newcomers are let in again.

use std::time::Duration;

use super::host::Host;
use super::pressure_state::{STRIKE_BYTES_MAX, STRIKE_BYTES_MIN};
use crate::connection::{Wait, WriteState};
use crate::disconnect::Disconnect;
use crate::log::Pin;
use crate::memory::MemoryStage;
use crate::place::Slot;
use crate::room::MemberIndex;
use crate::room::table::RoomKey;
use crate::time::Time;

/// How long a member is slow, or a message on its way, before it may be struck in the third step: a
/// client that reads, or sends, gets on within that time once publishers pause. `slow_timeout` if that
/// is shorter, and before that step.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a shard looks again while memory is short.
const INTERVAL: Duration = Duration::from_millis(50);

/// Slots, logs and members looked at each time.
const SLOTS: usize = 8_192;
const LOGS: usize = 64;
const MEMBERS: usize = 32_768;

/// Publishers that go on each time.
const PUBLISHERS: usize = 64;

/// Connections that are read in turn, at most so many at a time.
const READERS_MAX: usize = 32;

/// The share of the budget, in percent, up to which they are: what they end in their turn does not
/// bring the next step about. Beyond it one at a time has its turn: again and again while no more is
/// held after one than before it, and otherwise now and then, since a client that has gone is noticed
/// no other way.
const TURNS_END_AT: usize = 78;
const LONE_TURN_EVERY: Duration = Duration::from_secs(1);

/// A host that sheds what it holds while memory is short.
///
/// The host itself only asks how short it is. Whether anything is shed is judged here, once each time
/// the shard learns the time.
pub(super) struct Relief<'a>(pub(super) &'a mut Host);

impl Relief<'_> {
    /// This shard holds so many bytes now.
    pub(super) fn judge(&mut self, own: usize) {
        let before = self.0.pressure.budget.stage();
        let is_resuming = self.0.pressure.slots_left > 0;
        if self.0.pressure.budget.judge(own) {
            if before >= MemoryStage::Unread {
                // Every connection that was not read is looked at once more.
                self.0.pressure.slots_left = self.0.directory.connections.slots().count();
            }
            if self.0.pressure.is_short(MemoryStage::Refusing) {
                self.0.directory.rooms.pool.free_unused();
            }
        }
        let is_unread = self.0.pressure.is_short(MemoryStage::Unread);
        let was_unread = before >= MemoryStage::Unread || is_resuming;
        self.0.pressure.was_unread = is_unread || was_unread;
        if is_unread {
            self.0.rates.note_unread(self.0.now);
        }
        let Host { pressure, now, .. } = &mut *self.0;
        pressure.short_since =
            pressure.is_short(MemoryStage::Refusing).then(|| pressure.short_since.unwrap_or(*now));
        if !pressure.has_to_look() {
            pressure.due = None;
        } else if pressure.due.is_none_or(|due| due <= *now) {
            self.relieve(own);
            let goes_on = self.0.pressure.has_to_look();
            self.0.pressure.due = goes_on.then(|| self.0.now + INTERVAL);
        }
    }

    fn relieve(&mut self, own: usize) {
        self.0.directory.rooms.pool.free_unused();
        let excess = match self.0.pressure.is_short(MemoryStage::Striking) {
            true => self.0.pressure.budget.excess(MemoryStage::Striking, own),
            false if self.stays_short() => {
                self.0.pressure.budget.excess(MemoryStage::Refusing, own)
            }
            false => 0,
        };
        if self.0.pressure.is_short(MemoryStage::Striking) {
            self.strike_logs(excess);
        }
        let struck = self.look_at_slots(excess, own);
        if excess == 0 || struck {
            self.0.pressure.strike_from = STRIKE_BYTES_MAX;
        } else {
            self.0.pressure.strike_from = (self.0.pressure.strike_from / 2).max(STRIKE_BYTES_MIN);
        }
        self.resume_publishers();
    }

    /// The slowest members of the largest logs fall under the slow policy.
    fn strike_logs(&mut self, excess: usize) {
        let totals = &self.0.directory.rooms.pool.totals;
        let (before, least) = (totals.total(), totals.largest() / 2);
        let mut keys =
            self.0.directory.rooms.with_logs_of(least.min(self.0.pressure.strike_from), LOGS);
        keys.sort_by_key(|key| std::cmp::Reverse(self.0.directory[*key].log.bytes()));
        let mut members_left = MEMBERS;
        for key in keys {
            let freed = before.saturating_sub(self.0.directory.rooms.pool.totals.total()) as usize;
            if freed >= excess || members_left == 0 {
                return;
            }
            members_left = members_left.saturating_sub(self.0.directory[key].members.len());
            self.strike_slowest(key);
        }
    }

    /// The members that keep the oldest segment of a log fall under the slow policy, if they have been
    /// slow for long enough.
    fn strike_slowest(&mut self, key: RoomKey) {
        let room = &self.0.directory[key];
        let oldest = room.log.end_of_oldest();
        let is_struck = |index: &MemberIndex| {
            let member = &room.members[*index];
            let is_slow = member.pin == Some(Pin::Slow) && member.cursor < oldest;
            is_slow && member.cursor < room.end_for(member) && self.is_late(member.slot)
        };
        let struck: Vec<MemberIndex> = room.member_indices().filter(is_struck).collect();
        for index in struck {
            let cursor = self.0.directory[key].members[index].cursor;
            let stays = self.0.give_up(key, index);
            // Under `latest` one that is at the newest message already has nothing to give up.
            let has_moved = !stays || self.0.directory[key].members[index].cursor != cursor;
            self.0.counters.memory.members_struck += u64::from(has_moved);
        }
    }

    /// Whether a connection is slow for so long that a client that reads would have got on.
    fn is_late(&self, slot: Slot) -> bool {
        let connection = &self.0.directory[slot];
        let is_stuck = connection.is_blocked() || connection.write_state() == WriteState::Dead;
        is_stuck && connection.slow && connection.is_open() && self.is_over(connection.slow_since)
    }

    fn is_over(&self, since: Time) -> bool {
        let slow_timeout = self.0.config.limits.slow_timeout;
        let patience = match self.0.pressure.is_short(MemoryStage::Striking) {
            true => PATIENCE.min(slow_timeout),
            false => slow_timeout,
        };
        self.0.events_until.since(since) >= patience
    }

    /// Whether memory is short for so long that the first two steps do not end it.
    fn stays_short(&self) -> bool {
        let slow_timeout = self.0.config.limits.slow_timeout;
        let since = self.0.pressure.short_since;
        since.is_some_and(|since| self.0.now.since(since) >= slow_timeout)
    }

    /// Looks at some connections: strikes those for which much is held and that do not get on, and has
    /// the others read again that are held back no longer. Returns whether one was struck.
    fn look_at_slots(&mut self, excess: usize, own: usize) -> bool {
        let (slots, next) =
            self.0.directory.connections.slots_from(self.0.pressure.next_slot, SLOTS);
        let resumes =
            self.0.pressure.is_short(MemoryStage::Unread) || self.0.pressure.slots_left > 0;
        self.0.pressure.next_slot = next;
        self.0.pressure.slots_left = self.0.pressure.slots_left.saturating_sub(SLOTS);
        self.0.pressure.readers.clear();
        let (mut freed, mut struck, readers_max) = (0, false, self.readers_max(own));
        let before = self.0.pressure.last_reader.take_if(|_| readers_max > 0);
        let is_next = |slot: Slot| before.is_none_or(|before| before.number() < slot.number());
        for slot in slots {
            if !self.0.directory[slot].is_open() {
                continue;
            }
            let replays = self.0.directory[slot].replays.as_ref();
            let (owed, alone) = replays.map_or((0, 0), |all| (all.bytes(), all.own_bytes()));
            let held = self.0.directory.connections.held_for(slot);
            if freed < excess && held + owed >= self.0.pressure.strike_from && self.strike(slot) {
                // What others refer to as well stays.
                freed += held + alone;
                struck = true;
                continue;
            }
            let has_place = self.0.pressure.readers.len() < readers_max;
            if has_place && is_next(slot) && self.0.is_held_back(slot) {
                self.0.pressure.readers.push(slot);
                self.0.pressure.last_reader = Some(slot);
            }
            if resumes && self.0.wants_read(slot) {
                // It may have been held back, by whatever there was for it then.
                self.0.outputs.resumed.push_back(self.0.directory.id(slot));
            }
        }
        struck
    }

    /// How many connections have their turn at a time: as many as can end a message of the largest size
    /// without bringing the next step about, since a message that has ended may have to wait for its
    /// room, and one that grows takes twice as much. When that is near, one or none.
    fn readers_max(&mut self, own: usize) -> usize {
        let Host { pressure, now, .. } = &mut *self.0;
        if pressure.budget.excess_over(TURNS_END_AT, own) > 0 {
            let is_due = own <= pressure.held_at_turn || pressure.lone_turn <= *now;
            if is_due {
                pressure.lone_turn = *now + LONE_TURN_EVERY;
                pressure.held_at_turn = own;
            }
            return usize::from(is_due);
        }
        let part = pressure.budget.small_part() / 4 / usize::from(self.0.config.shards.max(1));
        (part / self.0.config.limits.message_bytes.max(1)).clamp(1, READERS_MAX)
    }

    /// Closes a connection that does not read its replies, or does not go on with its message. Returns
    /// whether it does so.
    fn strike(&mut self, slot: Slot) -> bool {
        let connection = &self.0.directory[slot];
        let begun = connection.inbound.as_ref().and_then(|inbound| inbound.begun(self.0.now));
        // Before the third step there is time to see whether anything more comes in its turn.
        let gets_on = !self.0.pressure.is_short(MemoryStage::Striking)
            && !self.is_over(connection.last_received);
        let is_half_sent =
            connection.wait().is_none() && begun.is_some_and(|at| self.is_over(at)) && !gets_on;
        let reason = match self.is_late(slot) {
            true => Disconnect::Slow,
            false if is_half_sent && connection.is_open() => Disconnect::Capacity,
            false => return false,
        };
        self.0.counters.memory.connections_struck += 1;
        self.0.schedule_close(slot, reason);
        true
    }

    /// Publishers that wait go on, first come, first served.
    fn resume_publishers(&mut self) {
        let mut left = PUBLISHERS;
        while left > 0 && !self.0.pauses_publishers() {
            let Some(id) = self.0.pressure.publishers.pop() else { return };
            if let Some(slot) = self.0.directory.find(id)
                && self.0.directory[slot].wait() == Some(&Wait::Memory)
            {
                left -= 1;
                self.0.resume_later(slot);
            }
        }
    }
}
