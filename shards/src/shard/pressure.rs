//! What a shard does while memory is short, in the written order.
//!
//! ```text
//! refuse new rooms and connections ─▶ do not read those who owe most ─▶ strike the slow ─▶ pause publishers
//! ```
//!
//! Each step can end the shortage: what is held back goes on, or is closed after a while, and then
//! everything goes on again.

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

/// How long a member is slow, or a message on its way, before it may be struck: a client that reads,
/// or sends, gets on within that time once publishers pause. `slow_timeout` if that is shorter.
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

/// What is held for one connection up to here is no reason not to read it.
const FAIR_BYTES_MIN: usize = 4 << 10;

impl Host {
    /// This shard holds so many bytes now.
    pub(super) fn judge_memory(&mut self, own: usize) {
        let before = self.budget.stage();
        if self.budget.judge(own) {
            if before >= MemoryStage::Unread {
                // Every connection that was not read is looked at once more.
                self.pressure.slots_left = self.directory.connections.slots().count();
            }
            if self.is_short(MemoryStage::Refusing) {
                self.directory.rooms.pool.free_unused();
            }
        }
        if !self.is_short(MemoryStage::Unread) && !self.has_held_back() {
            self.pressure.due = None;
        } else if self.pressure.due.is_none_or(|due| due <= self.now) {
            self.relieve(own);
            let goes_on = self.is_short(MemoryStage::Unread) || self.has_held_back();
            self.pressure.due = goes_on.then(|| self.now + INTERVAL);
        }
    }

    /// Whether memory is at least so short.
    pub(super) fn is_short(&self, stage: MemoryStage) -> bool {
        self.budget.stage() >= stage
    }

    fn has_held_back(&self) -> bool {
        self.pressure.slots_left > 0 || !self.pressure.publishers.is_empty()
    }

    /// Whether a connection is not read because more is held for it than for most. Where little is held
    /// for all of them together, that would gain nothing; and a few of them have their turn at any time,
    /// so that each gets on. A client that has hung up ends when it is read.
    pub(super) fn is_held_back(&self, slot: Slot) -> bool {
        let connection = &self.directory[slot];
        if !self.is_short(MemoryStage::Unread) || !connection.is_open() || connection.hung_up {
            return false;
        }
        let connections = &self.directory.connections;
        let all = connections.inbound_bytes() + connections.direct_bytes();
        let part = self.budget.small_part() / usize::from(self.config.shards.max(1));
        if all < part || self.pressure.readers.contains(&slot) {
            return false;
        }
        let fair = part / connections.holders().max(1);
        connections.held_for(slot) > fair.max(FAIR_BYTES_MIN)
    }

    /// How many bytes of a connection may be read at once: while memory is short few, because all of
    /// them may have to be kept, unless it is its turn.
    pub(super) fn read_max(&self, slot: Slot) -> usize {
        let has_turn = self.pressure.readers.contains(&slot) || !self.directory[slot].is_open();
        match self.is_short(MemoryStage::Unread) && !has_turn {
            true => FAIR_BYTES_MIN,
            false => usize::MAX,
        }
    }

    /// Whether publishers pause: until what they published is delivered. If that is little, what they
    /// still have to say is better sent than kept.
    pub(super) fn pauses_publishers(&self) -> bool {
        let own = self.directory.rooms.pool.totals.total() as usize;
        let logs = own.saturating_add(self.budget.others.logs);
        self.is_short(MemoryStage::Pausing) && logs >= self.budget.small_part()
    }

    fn relieve(&mut self, own: usize) {
        self.directory.rooms.pool.free_unused();
        let excess = self.budget.excess(MemoryStage::Striking, own);
        if self.is_short(MemoryStage::Striking) {
            self.strike_logs(excess);
        }
        let struck = self.look_at_slots(excess);
        if !self.is_short(MemoryStage::Striking) || struck {
            self.pressure.strike_from = STRIKE_BYTES_MAX;
        } else {
            self.pressure.strike_from = (self.pressure.strike_from / 2).max(STRIKE_BYTES_MIN);
        }
        self.resume_publishers();
    }

    /// The slowest members of the largest logs fall under the slow policy.
    fn strike_logs(&mut self, excess: usize) {
        let totals = &self.directory.rooms.pool.totals;
        let (before, least) = (totals.total(), totals.largest() / 2);
        let mut keys =
            self.directory.rooms.with_logs_of(least.min(self.pressure.strike_from), LOGS);
        keys.sort_by_key(|key| std::cmp::Reverse(self.directory[*key].log.bytes()));
        let mut members_left = MEMBERS;
        for key in keys {
            let freed = before.saturating_sub(self.directory.rooms.pool.totals.total()) as usize;
            if freed >= excess || members_left == 0 {
                return;
            }
            members_left = members_left.saturating_sub(self.directory[key].members.len());
            self.strike_slowest(key);
        }
    }

    /// The members that keep the oldest segment of a log fall under the slow policy, if they have been
    /// slow for long enough.
    fn strike_slowest(&mut self, key: RoomKey) {
        let room = &self.directory[key];
        let oldest = room.log.end_of_oldest();
        let is_struck = |index: &MemberIndex| {
            let member = &room.members[*index];
            let is_slow = member.pin == Some(Pin::Slow) && member.cursor < oldest;
            is_slow && member.cursor < room.end_for(member) && self.is_late(member.slot)
        };
        let struck: Vec<MemberIndex> = room.member_indices().filter(is_struck).collect();
        for index in struck {
            self.counters.memory.members_struck += 1;
            self.give_up(key, index);
        }
    }

    /// Whether a connection is slow for so long that a client that reads would have got on.
    fn is_late(&self, slot: Slot) -> bool {
        let connection = &self.directory[slot];
        let is_stuck = matches!(connection.write_state(), WriteState::Blocked | WriteState::Dead);
        is_stuck && connection.slow && connection.is_open() && self.is_over(connection.slow_since)
    }

    fn is_over(&self, since: Time) -> bool {
        self.events_until.since(since) >= PATIENCE.min(self.config.limits.slow_timeout)
    }

    /// Looks at some connections: strikes those for which much is held and that do not get on, and has
    /// the others read again that are held back no longer. Returns whether one was struck.
    fn look_at_slots(&mut self, excess: usize) -> bool {
        let (slots, next) = self.directory.connections.slots_from(self.pressure.next_slot, SLOTS);
        self.pressure.next_slot = next;
        self.pressure.slots_left = self.pressure.slots_left.saturating_sub(SLOTS);
        let before = std::mem::take(&mut self.pressure.readers).pop();
        let is_next = |slot: Slot| before.is_none_or(|before| before.number() < slot.number());
        let (mut freed, readers_max) = (0, self.readers_max());
        for slot in slots {
            if !self.directory[slot].is_open() {
                continue;
            }
            let held = self.directory.connections.held_for(slot);
            let strikes = self.is_short(MemoryStage::Striking) && freed < excess;
            if strikes && held >= self.pressure.strike_from && self.strike(slot) {
                freed += held;
                continue;
            }
            let has_place = self.pressure.readers.len() < readers_max;
            if has_place && is_next(slot) && self.is_held_back(slot) {
                self.pressure.readers.push(slot);
            }
            if self.wants_read(slot) {
                // It may have been held back, by whatever there was for it then.
                self.outputs.resumed.push_back(self.directory.id(slot));
            }
        }
        freed > 0
    }

    /// How many connections have their turn at a time: as many as can end a message of the largest size
    /// within a small part of the budget, but some in any case.
    fn readers_max(&self) -> usize {
        let part = self.budget.small_part() / usize::from(self.config.shards.max(1));
        (part / self.config.limits.message_bytes.max(1)).clamp(1, READERS_MAX)
    }

    /// Closes a connection that does not read its replies, or does not go on with its message. Returns
    /// whether it does so.
    fn strike(&mut self, slot: Slot) -> bool {
        let connection = &self.directory[slot];
        let begun = connection.inbound.as_ref().and_then(|inbound| inbound.begun);
        let is_half_sent = connection.wait().is_none() && begun.is_some_and(|at| self.is_over(at));
        let reason = match self.is_late(slot) {
            true => Disconnect::Slow,
            false if is_half_sent && connection.is_open() => Disconnect::Capacity,
            false => return false,
        };
        self.counters.memory.connections_struck += 1;
        self.schedule_close(slot, reason);
        true
    }

    /// Publishers that wait go on, first come, first served.
    fn resume_publishers(&mut self) {
        let mut left = PUBLISHERS;
        while left > 0 && !self.pauses_publishers() {
            let Some(id) = self.pressure.publishers.pop() else { return };
            if let Some(slot) = self.directory.find(id)
                && self.directory[slot].wait() == Some(&Wait::Memory)
            {
                left -= 1;
                self.resume_later(slot);
            }
        }
    }
}
