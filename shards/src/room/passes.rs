//! Which member a pass visits next, and which messages it was the first to carry.

use super::{MemberIndex, Pass, Room, position};
use crate::log::ChunkPool;
use crate::time::Time;

impl Room {
    /// Begins a pass unless one is under way.
    pub(crate) fn begin_pass(&mut self) {
        let (end, end_bytes) = (position(self.log.next()), self.log.appended_bytes());
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
        (self.low_water, self.low_water_bytes) = (pass.end.get(), pass.end_bytes);
        self.free_log(pool);
        (pass.accepted, self.log.next() > pass.end.get())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::room;
    use super::*;
    use crate::place::Slot;

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
}
