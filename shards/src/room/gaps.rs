//! Which messages a member does not get: those that it lost, skips, or that leave it out.

use super::{Member, MemberIndex, Room};
use crate::log::ChunkPool;

/// Messages that a member lost, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Room {
    /// Whether the log dropped messages that this member still was to get.
    pub(crate) fn lost_its_place(&self, member: &Member) -> bool {
        member.cursor < self.log.first().min(self.end_for(member))
    }

    /// Whether it has lost messages, and that is still to be announced.
    pub(crate) fn has_lost(&self, member: &Member) -> bool {
        member.gap_from().is_some() || self.lost_its_place(member)
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

    /// Skips the messages before the newest one that is for this member and does not linger.
    pub(crate) fn skip_to_newest(&mut self, index: MemberIndex, pool: &mut ChunkPool) {
        let member = &self.members[index];
        let lingers = self.policy.linger.is_some() && member.departure().is_none();
        let due_to = if lingers { self.due_to().max(member.cursor) } else { u64::MAX };
        let end = self.end_for(member).min(due_to);
        let newest = member.runs(end).last().map(|run| run.end - 1);
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
}

#[cfg(test)]
mod tests {
    use super::super::tests::{first, publish, room};
    use super::*;
    use crate::log::Pin;

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
}
