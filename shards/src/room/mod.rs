//! One shard's part of a room: its members here and their log.

#[cfg(any(test, debug_assertions))]
mod check;
mod member;
pub(crate) mod table;

use crate::format::{Encoding, EncodingCounts, Frames};
use crate::id::ShardId;
use crate::log::{ChunkPool, Log, Pin, Rest, Space};
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
    /// Whether the room is in the queue of rooms that need a pass.
    pub(crate) dirty: bool,
    pub(crate) back_pressure: BackPressure,
}

/// Messages that a member lost, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// What a send brought one member.
#[derive(Debug)]
pub(crate) struct Advance {
    /// Messages taken, the one that was cut included.
    pub(crate) messages: u64,
    pub(crate) complete: bool,
    /// The rest of the message that was cut.
    pub(crate) rest: Option<Rest>,
}

/// One pass over the members.
#[derive(Debug)]
struct Pass {
    /// How many members, from the first on, were visited.
    visited: u32,
    /// The end of the log when the pass began, and its `appended_bytes`.
    end: u64,
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

    /// The offset before the next message that this member gets, or that its next gap begins with.
    pub(crate) fn offset_before(&self, member: &Member) -> u64 {
        self.offset_of(member, member.gap_from().unwrap_or(member.cursor)) - 1
    }

    pub(crate) fn is_behind(&self, member: &Member) -> bool {
        member.cursor < self.end_for(member) || member.gap_from().is_some()
    }

    /// Whether the log dropped messages that this member still was to get.
    pub(crate) fn lost_its_place(&self, member: &Member) -> bool {
        member.cursor < self.log.first().min(self.end_for(member))
    }

    /// Jumps over what was dropped and returns what is to be announced before the next message.
    pub(crate) fn take_gap(&mut self, index: MemberIndex, pool: &mut ChunkPool) -> Option<Gap> {
        if self.lost_its_place(&self.members[index]) {
            let to = self.log.first().min(self.end_for(&self.members[index]));
            self.skip(index, to, pool);
        }
        let from = self.members[index].take_gap(&mut pool.lists)?;
        let member = &self.members[index];
        let offset = |position| self.offset_of(member, position);
        Some(Gap { from: offset(from), to: offset(member.cursor) - 1 })
    }

    /// Skips the messages before `to`, to be announced later.
    pub(crate) fn skip(&mut self, index: MemberIndex, to: u64, pool: &mut ChunkPool) {
        self.members[index].begin_gap(&mut pool.lists);
        self.move_cursor(index, to, pool);
    }

    /// Skips the messages before the newest one that is for this member.
    pub(crate) fn skip_to_newest(&mut self, index: MemberIndex, pool: &mut ChunkPool) {
        let member = &self.members[index];
        let newest = member.runs(self.end_for(member)).last().map(|run| run.end - 1);
        if let Some(newest) = newest.filter(|newest| *newest > member.cursor) {
            self.skip(index, newest, pool);
        }
    }

    /// The newest message is not for this member.
    pub(crate) fn exclude(&mut self, index: MemberIndex, pool: &mut ChunkPool) {
        let newest = self.log.next() - 1;
        let member = &mut self.members[index];
        if member.departure().is_some() {
            // No message is for it any more, and its cursor stays before the end of its own.
            return;
        }
        if member.cursor == newest && member.in_flight == 0 {
            self.move_cursor(index, newest + 1, pool);
        } else {
            member.add_excluded(newest, self.log.first(), &mut pool.lists);
        }
    }

    /// How far one send can carry this member: the end of its messages, or where the send is full.
    fn reach(&self, index: MemberIndex, space: &mut Space) -> u64 {
        let member = &self.members[index];
        let end = self.end_for(member);
        for run in member.runs(end) {
            let reached = self.log.reach(run.clone(), member.encoding, space);
            if reached < run.end {
                return reached;
            }
        }
        end.max(member.cursor)
    }

    /// Begins a send to a member of as many messages as there is space for. Returns whether it
    /// carries any. A member that is not carried to its end is held: the pass does not come back to
    /// it.
    pub(crate) fn begin_send(&mut self, index: MemberIndex, space: &mut Space) -> bool {
        let reach = self.reach(index, space);
        let member = &self.members[index];
        if reach < self.end_for(member) && member.pin.is_none() {
            self.pin(index, Pin::Held);
        }
        let member = &mut self.members[index];
        if reach <= member.cursor {
            return false;
        }
        let count = reach - member.cursor;
        member.in_flight = u32::try_from(count).expect("a log has fewer than 2^32 messages");
        self.sending_from = match self.sending {
            0 => member.cursor,
            _ => self.sending_from.min(member.cursor),
        };
        self.sending += 1;
        true
    }

    /// Ends a member's send: moves its cursor past what was taken, which it takes off `taken`.
    pub(crate) fn end_send(
        &mut self,
        index: MemberIndex,
        taken: &mut usize,
        pool: &mut ChunkPool,
    ) -> Advance {
        let in_flight = std::mem::take(&mut self.members[index].in_flight);
        let advance = self.advance(index, in_flight, taken, pool);
        self.sending -= 1;
        if self.sending == 0 && self.members[index].pin.is_none() && advance.complete {
            self.free_log(pool);
        }
        advance
    }

    fn advance(
        &mut self,
        index: MemberIndex,
        in_flight: u32,
        taken: &mut usize,
        pool: &mut ChunkPool,
    ) -> Advance {
        let member = &self.members[index];
        let to = member.cursor + u64::from(in_flight);
        let mut advance = Advance { messages: 0, complete: true, rest: None };
        let mut cursor = to;
        for run in member.runs(to) {
            let bytes = self.log.bytes_of(run.clone(), member.encoding);
            let end = if *taken >= bytes {
                *taken -= bytes;
                run.end
            } else {
                let cut = self.log.cut(run.clone(), member.encoding, std::mem::take(taken));
                (cursor, advance.rest, advance.complete) = (cut.cursor, cut.rest, false);
                cut.cursor
            };
            advance.messages += end - run.start;
            if !advance.complete {
                break;
            }
        }
        self.move_cursor(index, cursor, pool);
        advance
    }

    /// Begins a pass unless one is under way.
    pub(crate) fn begin_pass(&mut self) {
        let (end, end_bytes) = (self.log.next(), self.log.appended_bytes());
        if self.pass.is_none() {
            let accepted = self.accepted.take();
            self.pass = Some(Pass { visited: 0, end, end_bytes, accepted });
        }
    }

    /// The newest message was accepted at this time.
    pub(crate) fn keep_accepted(&mut self, accepted: Time) {
        let oldest = self.accepted.map_or(accepted, |oldest| oldest.min(accepted));
        self.accepted = Some(oldest);
    }

    /// Which member the pass visits next.
    pub(crate) fn next_member(&mut self) -> Option<MemberIndex> {
        let pass = self.pass.as_mut()?;
        let index = MemberIndex::new(pass.visited);
        if index.get() >= self.members.len() {
            return None;
        }
        pass.visited += 1;
        Some(index)
    }

    pub(crate) fn pass_is_under_way(&self) -> bool {
        self.pass.is_some()
    }

    /// Ends a pass that has visited every member. Returns when the oldest message was accepted that
    /// it was the first to carry, and whether newer messages need another pass.
    pub(crate) fn end_pass(&mut self, pool: &mut ChunkPool) -> (Option<Time>, bool) {
        let pass = self.pass.take().expect("only a pass that began ends");
        (self.low_water, self.low_water_bytes) = (pass.end, pass.end_bytes);
        self.free_log(pool);
        (pass.accepted, self.log.next() > pass.end)
    }

    /// Frees the segments of the log that no member needs.
    pub(crate) fn free_log(&mut self, pool: &mut ChunkPool) {
        if self.members.is_empty() {
            (self.low_water, self.low_water_bytes) = (self.log.next(), self.log.appended_bytes());
            if let Some(pass) = &mut self.pass {
                // Or the low-water mark would fall again when the pass ends.
                (pass.end, pass.end_bytes) = (self.low_water, self.low_water_bytes);
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

    /// Decides whether publishers are too fast; returns whether the home is to learn of it.
    ///
    /// Counted are the bytes from where the previous pass began: the backlog of slow members costs
    /// them their place in the log, and does not pause publishers.
    pub(crate) fn judge_back_pressure(&mut self) -> bool {
        let waiting = self.log.appended_bytes() - self.low_water_bytes;
        let bytes_max = self.policy.log_bytes as u64;
        self.back_pressure.wanted = match self.back_pressure.wanted {
            true => waiting >= bytes_max / 4,
            false => waiting > bytes_max / 2,
        };
        self.back_pressure.announced != Some(self.back_pressure.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::SlowPolicy;
    use crate::tuning::Tuning;

    fn room(members: u32) -> (Room, ChunkPool) {
        let policy = Policy { slow: SlowPolicy::Skip, log_bytes: 100 };
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

    fn first() -> MemberIndex {
        MemberIndex::new(0)
    }

    fn publish(room: &mut Room, pool: &mut ChunkPool) {
        room.append(&Frames::one(Encoding::WebSocket, &[0; 10]), pool);
    }

    #[test]
    fn a_pass_visits_every_member_that_stays() {
        for visited_before in 0..6 {
            for leaver in 0..6_u32 {
                let (mut room, mut pool) = room(6);
                room.begin_pass();
                let mut seen: Vec<u32> = (0..visited_before)
                    .map(|_| room.next_member().expect("six"))
                    .map(|index| index.get() as u32)
                    .collect();
                let index =
                    room.members.iter().position(|m| m.slot == Slot::new(leaver)).expect("there");
                room.remove(MemberIndex::new(index as u32), &mut pool);
                while let Some(index) = room.next_member() {
                    seen.push(room.members[index].slot.number());
                }
                seen.retain(|slot| *slot != leaver);
                seen.sort_unstable();
                let expected: Vec<u32> = (0..6).filter(|slot| *slot != leaver).collect();
                assert_eq!(seen, expected, "{visited_before} visited, {leaver} left");
            }
        }
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
    fn a_member_that_has_caught_up_steps_over_its_own_message() {
        let (mut room, mut pool) = room(2);
        room.pin(first(), Pin::Slow);
        publish(&mut room, &mut pool);
        room.exclude(first(), &mut pool);
        assert_eq!(room.members[0].cursor, 2);
        assert!(!room.is_behind(&room.members[0]) && room.is_behind(&room.members[1]));
    }

    #[test]
    fn the_newest_message_is_the_last_one_that_is_for_the_member() {
        // Messages that are not for the member, and where it jumps to among eight.
        let rows: [(&[u64], u64, Option<Gap>); 4] = [
            (&[], 8, Some(Gap { from: 1, to: 7 })),
            (&[8], 7, Some(Gap { from: 1, to: 6 })),
            (&[3, 6, 7, 8], 5, Some(Gap { from: 1, to: 4 })),
            (&[2, 3, 4, 5, 6, 7, 8], 1, None),
        ];
        for (excluded, cursor, gap) in rows {
            let (mut room, mut pool) = room(1);
            room.pin(first(), Pin::Slow);
            for position in 1..=8 {
                publish(&mut room, &mut pool);
                if excluded.contains(&position) {
                    room.exclude(first(), &mut pool);
                }
            }
            room.skip_to_newest(first(), &mut pool);
            assert_eq!(room.members[0].cursor, cursor, "without {excluded:?}");
            assert_eq!(room.take_gap(first(), &mut pool), gap, "without {excluded:?}");
            room.skip_to_newest(first(), &mut pool);
            assert_eq!(room.take_gap(first(), &mut pool), None, "it is there already");
        }
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

    #[test]
    fn pause_and_resume_have_a_distance() {
        let (mut room, mut pool) = room(1);
        for _ in 0..5 {
            publish(&mut room, &mut pool);
        }
        assert!(!room.judge_back_pressure(), "50 bytes are not more than half");
        publish(&mut room, &mut pool);
        assert!(room.judge_back_pressure());
        room.back_pressure.announced = Some(true);
        room.begin_pass();
        for _ in 0..3 {
            publish(&mut room, &mut pool);
        }
        room.move_cursor(first(), 7, &mut pool);
        room.end_pass(&mut pool);
        assert!(!room.judge_back_pressure(), "30 bytes are not below a quarter");
        room.begin_pass();
        room.move_cursor(first(), 10, &mut pool);
        room.end_pass(&mut pool);
        assert!(room.judge_back_pressure());
    }
}
