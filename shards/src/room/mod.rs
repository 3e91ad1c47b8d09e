//! One shard's part of a room: its members here and their log.

mod back_pressure;
#[cfg(any(test, debug_assertions))]
mod check;
pub(crate) mod gaps;
pub(crate) mod linger;
mod member;
mod passes;
mod sends;
pub(crate) mod table;

use std::num::NonZeroU64;

use crate::format::{Encoding, EncodingCounts, Frames};
use crate::id::ShardId;
use crate::log::{ChunkPool, Log, Pin};
use crate::place::{MembershipIndex, Slot};
use crate::policy::Policy;
use crate::room_name::RoomName;
use crate::time::Time;
pub(crate) use member::{Departure, Member, MemberIndex, MemberList};

/// The members of one room on this shard, and what they are still to be sent.
///
/// Invariant: a connection lists the room exactly when the room lists the connection, and each
/// knows the index of its own entry in the other's list.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: RoomName,
    pub(crate) home: ShardId,
    pub(crate) policy: Policy,
    pub(crate) members: MemberList,
    /// A message's position in the log minus its offset in the room. Set anew when a connection
    /// joins while no member here awaited a message: meanwhile the room may have counted on, or
    /// begun a new life. Members that still depart keep theirs, in their `Departure`.
    base: u64,
    /// Members that are to get the next message. The others depart.
    staying: EncodingCounts,
    /// Entries in connections' lists that name this room, in whatever state.
    pub(crate) references: u32,
    pub(crate) log: Log,
    /// Members with a send under way.
    sending: u32,
    /// Every send under way starts at this position or later: from here on the log may neither move
    /// nor free anything.
    sending_from: u64,
    pass: Option<Pass>,
    /// The end of the log when the previous pass began. No member that is not pinned has a cursor
    /// below it.
    low_water: u64,
    /// The log's `appended_bytes` at that moment.
    low_water_bytes: u64,
    /// Of the messages that came since the latest pass began (it may still run): when the oldest was
    /// accepted.
    accepted: Option<Time>,
    /// Until when the messages linger that came since the latest pass began, if they do.
    pub(crate) linger_until: Option<Time>,
    /// Whether the room is in the queue of rooms that need a pass.
    pub(crate) dirty: bool,
    pub(crate) back_pressure: BackPressure,
}

/// One pass over the members.
#[derive(Debug)]
struct Pass {
    /// How many members, from the first on, were visited.
    visited: u32,
    /// The end of the log when the pass began, and its `appended_bytes`. Positions count from 1 on, and a
    /// room without a pass takes no memory for that.
    end: NonZeroU64,
    end_bytes: u64,
    /// Of the messages that this pass is the first to carry: when the oldest was accepted.
    accepted: Option<Time>,
}

/// Whether publishers are faster than this shard's writable members.
#[derive(Debug)]
pub(crate) struct BackPressure {
    pub(crate) wanted: bool,
    /// What was last sent to the home; none when the home may have forgotten that.
    pub(crate) announced: Option<bool>,
    /// Whether the room is in the queue of deferred updates.
    pub(crate) queued: bool,
}

/// Up to this size a room's list grows by one member at a time, and not as vectors do, by four.
const SMALL_ROOM: usize = 4;

/// A position in a log, as what is never 0.
fn position(position: u64) -> NonZeroU64 {
    NonZeroU64::new(position).expect("positions count from 1 on")
}

impl Room {
    pub(crate) fn new(name: RoomName, home: ShardId, policy: Policy, log: Log) -> Room {
        Room {
            name,
            home,
            policy,
            members: MemberList::new(),
            base: 0,
            staying: EncodingCounts::default(),
            references: 0,
            log,
            sending: 0,
            sending_from: 0,
            pass: None,
            low_water: 1,
            low_water_bytes: 0,
            accepted: None,
            linger_until: None,
            dirty: false,
            back_pressure: BackPressure { wanted: false, announced: Some(false), queued: false },
        }
    }

    /// The offset of the next message to come.
    pub(crate) fn next_offset(&self) -> u64 {
        self.log.next().wrapping_sub(self.base)
    }

    /// The next message to come has offset `next`: those before it never came to this shard, which
    /// had no member to be interested in them, or belong to another life of the room.
    pub(crate) fn resume_at(&mut self, next: u64) {
        assert!(!self.is_awaited(), "a member that awaits a message does not miss it");
        self.base = self.log.next().wrapping_sub(next);
    }

    /// Appends the next message for the members that are to get it. Returns how many bytes were
    /// copied.
    pub(crate) fn append(&mut self, frames: &Frames, pool: &mut ChunkPool) -> usize {
        self.log.append(frames, self.staying.needed(), pool)
    }

    /// Adds a member whose next message has offset `next`; returns where it is listed.
    pub(crate) fn add(
        &mut self,
        slot: Slot,
        membership: MembershipIndex,
        encoding: Encoding,
        next: u64,
        pool: &mut ChunkPool,
    ) -> MemberIndex {
        if !self.is_awaited() {
            self.resume_at(next);
        }
        assert_eq!(next, self.next_offset(), "Joined and Deliver come in the order of the home");
        let cursor = self.log.next();
        if self.members.len() < SMALL_ROOM {
            // Most rooms are small, and there may be very many of them.
            self.members.reserve_exact(&mut pool.lists, 1);
        }
        self.staying.add(encoding);
        let index = u32::try_from(self.members.len()).expect("fewer than 2^32 members");
        let member = Member::new(slot, membership, encoding, cursor);
        self.members.push(&mut pool.lists, member);
        MemberIndex::new(index)
    }

    /// Removes a member, so that a pass that is under way still visits each of the others. Returns
    /// the indices whose member changed; each may be out of bounds.
    pub(crate) fn remove(&mut self, index: MemberIndex, pool: &mut ChunkPool) -> [MemberIndex; 2] {
        let member = &self.members[index];
        assert_eq!(member.in_flight, 0, "a connection with a begun send stays where it is");
        if member.departure().is_none() {
            self.staying.remove(member.encoding);
        }
        self.unpin(index);
        let Some(pass) = self.pass.as_mut().filter(|pass| index.get() < pass.visited as usize)
        else {
            self.take_out(index, pool);
            return [index, MemberIndex::NONE];
        };
        pass.visited -= 1;
        let last_visited = MemberIndex::new(pass.visited);
        self.members.swap(index.get(), last_visited.get());
        self.take_out(last_visited, pool);
        [index, last_visited]
    }

    /// Takes an entry out of the list; the last one takes its index.
    fn take_out(&mut self, index: MemberIndex, pool: &mut ChunkPool) {
        self.members.swap_remove(index.get()).drop_extra(&mut pool.lists);
        self.members.shrink(&mut pool.lists);
        if self.members.is_empty() {
            self.members.free(&mut pool.lists);
        }
    }

    /// Pins a member at its cursor, or changes why it is pinned.
    pub(crate) fn pin(&mut self, index: MemberIndex, pin: Pin) {
        self.unpin(index);
        let member = &mut self.members[index];
        member.pin = Some(pin);
        self.log.pin(member.cursor, pin);
    }

    pub(crate) fn unpin(&mut self, index: MemberIndex) {
        let member = &mut self.members[index];
        if let Some(pin) = member.pin.take() {
            self.log.unpin(member.cursor, pin);
        }
    }

    /// No message after the newest, which has offset `until`, is for this member.
    pub(crate) fn depart(
        &mut self,
        index: MemberIndex,
        until: u64,
        id: Option<Box<str>>,
        is_forbidden: bool,
        pool: &mut ChunkPool,
    ) {
        assert_eq!(until + 1, self.next_offset(), "Left and Deliver come in the order of the home");
        let end = self.log.next();
        self.staying.remove(self.members[index].encoding);
        let departure = Departure { until, id, is_forbidden, end };
        self.members[index].depart(departure, &mut pool.lists);
    }

    /// The members' indices.
    pub(crate) fn member_indices(&self) -> impl Iterator<Item = MemberIndex> + use<> {
        let count = u32::try_from(self.members.len()).expect("fewer than 2^32 members");
        (0..count).map(MemberIndex::new)
    }

    /// Whether a member here is to get the room's next message.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.staying.is_empty()
    }

    /// Moves a member's cursor, over the messages that it does not get.
    pub(crate) fn move_cursor(&mut self, index: MemberIndex, cursor: u64, pool: &mut ChunkPool) {
        let member = &mut self.members[index];
        let before = member.cursor;
        member.set_cursor(cursor, &mut pool.lists);
        if let Some(pin) = member.pin {
            let after = member.cursor;
            self.log.unpin(before, pin);
            self.log.pin(after, pin);
        }
    }

    /// The position after the last message for this member.
    pub(crate) fn end_for(&self, member: &Member) -> u64 {
        member.departure().map_or(self.log.next(), |departure| departure.end)
    }

    /// The offset of the message at a position of the log, as this member counts.
    fn offset_of(&self, member: &Member, position: u64) -> u64 {
        match member.departure() {
            Some(departure) => departure.until + 1 - (departure.end - position),
            None => position.wrapping_sub(self.base),
        }
    }

    /// The offset before the next message that this member gets after the begun send, or that its next
    /// gap begins with.
    pub(crate) fn offset_before(&self, member: &Member) -> u64 {
        let next = member.cursor + u64::from(member.in_flight);
        self.offset_of(member, member.gap_from().unwrap_or(next)) - 1
    }

    pub(crate) fn is_behind(&self, member: &Member) -> bool {
        member.cursor < self.end_for(member) || member.gap_from().is_some()
    }

    /// Frees the segments of the log that no member needs.
    pub(crate) fn free_log(&mut self, pool: &mut ChunkPool) {
        if self.members.is_empty() {
            (self.low_water, self.low_water_bytes) = (self.log.next(), self.log.appended_bytes());
            match &mut self.pass {
                // Or the low-water mark would fall again when the pass ends.
                Some(pass) => {
                    (pass.end, pass.end_bytes) = (position(self.low_water), self.low_water_bytes)
                }
                // The pass that it waits for would carry what comes later and is to linger.
                None => self.dirty &= self.policy.linger.is_none() || self.back_pressure.wanted,
            }
        }
        #[cfg(debug_assertions)]
        let first = self.log.first();
        self.log.free(self.kept_from(), pool);
        #[cfg(debug_assertions)]
        self.assert_no_member_lost(first);
    }

    /// Members that are not pinned, and sends under way, are at or above this.
    fn kept_from(&self) -> u64 {
        match self.sending {
            0 => self.low_water,
            _ => self.low_water.min(self.sending_from),
        }
    }

    /// Drops the oldest messages while the log is over its limit.
    pub(crate) fn trim(&mut self, pool: &mut ChunkPool) {
        #[cfg(debug_assertions)]
        let first = self.log.first();
        self.log.trim(self.policy.log_bytes, self.kept_from(), pool);
        #[cfg(debug_assertions)]
        self.assert_no_member_lost(first);
    }
}

#[cfg(test)]
mod tests {
    use super::gaps::Gap;
    use super::*;
    use crate::policy::SlowPolicy;
    use crate::tuning::Tuning;

    pub(super) fn room(members: u32) -> (Room, ChunkPool) {
        let (slow, log_bytes) = (SlowPolicy::Skip, 100);
        let policy = Policy { slow, log_bytes, deflate: true, linger: None };
        let name = RoomName::new("r").expect("legal");
        let mut room = Room::new(name, ShardId::new(0), policy, Log::new(1, 16 << 10));
        let mut pool = ChunkPool::new(1 << 20, Tuning::DEFAULT);
        for slot in 0..members {
            add(&mut room, slot, 1, &mut pool);
        }
        (room, pool)
    }

    fn add(room: &mut Room, slot: u32, next: u64, pool: &mut ChunkPool) {
        room.add(Slot::new(slot), MembershipIndex::default(), Encoding::WebSocket, next, pool);
    }

    pub(super) fn first() -> MemberIndex {
        MemberIndex::new(0)
    }

    pub(super) fn publish(room: &mut Room, pool: &mut ChunkPool) {
        room.append(&Frames::one(Encoding::WebSocket, &[0; 10]), pool);
    }

    #[test]
    fn excluded_ranges_merge_and_the_cursor_is_in_none() {
        let (mut room, mut pool) = room(1);
        for _ in 0..8 {
            publish(&mut room, &mut pool);
        }
        for position in [3, 4, 6] {
            room.members[0].add_excluded(position, 1, &mut pool.lists);
        }
        let runs: Vec<_> = room.members[0].runs(9).collect();
        assert_eq!(runs, [1..3, 5..6, 7..9]);
        room.move_cursor(first(), 3, &mut pool);
        assert_eq!(room.members[0].cursor, 5);
        room.move_cursor(first(), 6, &mut pool);
        assert_eq!(room.members[0].cursor, 7);
        assert_eq!(room.members[0].heap_bytes(), 0);
    }

    #[test]
    fn a_member_that_departs_keeps_the_offsets_of_an_earlier_life_of_the_room() {
        let (mut room, mut pool) = room(1);
        for _ in 0..8 {
            publish(&mut room, &mut pool);
        }
        room.pin(first(), Pin::Slow);
        room.depart(first(), 8, None, false, &mut pool);
        assert!(!room.is_awaited());
        add(&mut room, 1, 3, &mut pool);
        publish(&mut room, &mut pool);
        assert_eq!(room.next_offset(), 4);
        assert_eq!(room.offset_before(&room.members[1]), 2);
        let behind: Vec<u64> =
            room.members.iter().map(|member| room.end_for(member) - member.cursor).collect();
        assert_eq!(behind, [8, 1]);
        room.skip(first(), 9, &mut pool);
        assert_eq!(room.offset_before(&room.members[0]), 0, "the gap is still to be announced");
        assert_eq!(room.take_gap(first(), &mut pool), Some(Gap { from: 1, to: 8 }));
        assert!(!room.is_behind(&room.members[0]) && room.is_behind(&room.members[1]));
    }
}
