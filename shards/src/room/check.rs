//! What must hold of a room between any two calls.

use super::{Member, Room};
use crate::format::EncodingCounts;
use crate::memory::HeapBytes;

impl Room {
    /// Bytes of its log's chunks, and of its lists, counted.
    pub(crate) fn heap_bytes(&self) -> (usize, usize) {
        let (chunks, lists) = self.log.heap_bytes();
        let owned: usize = self.members.iter().map(Member::heap_bytes).sum();
        (chunks, lists + self.members.heap_bytes() + owned)
    }

    /// Asserts the room's invariants, as far as it knows them alone.
    pub(crate) fn check(&self) {
        let name = self.name.as_str();
        let pinned = self.members.iter().filter_map(|m| m.pin.map(|pin| (m.cursor, pin)));
        self.log.check(pinned);
        let mut staying = EncodingCounts::default();
        let stays = self.members.iter().filter(|m| m.departure().is_none());
        stays.for_each(|member| staying.add(member.encoding));
        assert_eq!(self.staying, staying, "{name:?}: members that are to get the next message");
        let sending = self.members.iter().filter(|m| m.in_flight > 0);
        assert_eq!(self.sending as usize, sending.count(), "{name:?}: members that are sent to");
        assert!(self.members.len() <= self.references as usize, "{name:?}: members refer to it");
        assert!(
            self.low_water <= self.log.next(),
            "{name:?}: the low-water mark is no higher than the end"
        );
        assert!(
            self.low_water_bytes <= self.log.appended_bytes(),
            "{name:?}: the low-water mark's bytes"
        );
        assert!(!self.members.is_empty() || self.log.is_empty(), "{name:?}: a log has members");
        let behind_replays = self.log.bytes_behind_replays();
        let is_little = behind_replays <= self.policy.log_bytes / 2;
        let is_paused = self.back_pressure.wanted;
        assert!(is_little || is_paused, "{name:?}: {behind_replays} bytes wait behind histories");
        self.check_pass();
        self.check_places();
        self.members.iter().for_each(|member| self.check_member(member));
    }

    fn check_pass(&self) {
        let Some(pass) = &self.pass else { return };
        assert!(self.dirty, "a pass is under way in rooms that need one");
        assert!(pass.visited as usize <= self.members.len(), "only members were visited");
        assert!(
            self.low_water <= pass.end.get() && pass.end.get() <= self.log.next(),
            "a pass raises the low-water mark"
        );
    }

    /// The log began at `first` before something was freed or dropped: that held no cursor of a
    /// member that is not pinned.
    #[cfg(debug_assertions)]
    pub(super) fn assert_no_member_lost(&self, first: u64) {
        if self.log.first() > first {
            self.check_places();
        }
    }

    /// Asserts that no member that is not pinned waits for a message that the log dropped, or may
    /// drop next.
    fn check_places(&self) {
        let unpinned = self.members.iter().filter(|m| m.pin.is_none());
        for member in unpinned.filter(|member| member.cursor < self.end_for(member)) {
            let kept_from = if member.in_flight > 0 { self.kept_from() } else { self.low_water };
            assert!(
                member.cursor >= kept_from,
                "the low-water mark passed a member that is not pinned: {member:?}, {self:?}"
            );
            let is_kept = member.cursor >= self.log.first();
            assert!(is_kept, "a member lost its place: {member:?}");
        }
        // The same for the low-water mark that the pass under way will leave.
        let Some(pass) = &self.pass else { return };
        for member in &self.members[..pass.visited as usize] {
            let keeps = member.pin.is_some() || member.in_flight > 0;
            let done = member.cursor >= pass.end.get().min(self.end_for(member));
            assert!(keeps || done, "the pass left a member without a pin: {member:?}, {self:?}");
        }
    }

    fn check_member(&self, member: &Member) {
        let end = self.end_for(member);
        assert!(member.cursor <= end && end <= self.log.next(), "cursors are in the log");
        if member.in_flight > 0 {
            let reach = member.cursor + u64::from(member.in_flight);
            assert!(reach <= end, "a send carries what is there: {member:?}");
            assert!(member.cursor >= self.log.first(), "what is being sent stays: {member:?}");
            let carries_all = reach == end;
            assert!(carries_all || member.pin.is_some() || reach >= self.low_water, "{member:?}");
        }
        let mut free_from = member.cursor + 1;
        for range in member.excluded() {
            assert!(
                range.start >= free_from && range.start < range.end,
                "excluded ranges are apart: {member:?}"
            );
            free_from = range.end + 1;
        }
        assert!(free_from <= self.log.next() + 1, "excluded ranges are in the log: {member:?}");
        let gap_from = member.gap_from().unwrap_or(0);
        assert!(gap_from <= member.cursor, "a gap begins no later than the cursor: {member:?}");
    }
}
