//! The memberships where a connection may be behind: a short list of entries of its list of rooms.

use std::fmt;

use crate::place::MembershipIndex;

/// Entries of a connection's list of rooms, in order. Most connections are in one room: three
/// entries are stored inline, and memory for more is kept once it was needed.
#[derive(Default)]
pub(crate) struct BehindList {
    len: u16,
    few: [MembershipIndex; FEW],
    // One word in each connection instead of three, since hardly any has it.
    #[allow(clippy::box_collection)]
    many: Option<Box<Vec<MembershipIndex>>>,
}

const FEW: usize = 3;

impl BehindList {
    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// The `index`-th of them.
    pub(crate) fn get(&self, index: usize) -> MembershipIndex {
        assert!(index < self.len(), "{index} of {}", self.len);
        *self.at(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = MembershipIndex> {
        (0..self.len()).map(|index| self.get(index))
    }

    pub(crate) fn push(&mut self, entry: MembershipIndex) {
        match self.few.get_mut(usize::from(self.len)) {
            Some(few) => *few = entry,
            None => self.many.get_or_insert_default().push(entry),
        }
        self.len += 1;
    }

    pub(crate) fn clear(&mut self) {
        self.truncate(0);
    }

    /// Moves the first `count` entries after the others.
    pub(crate) fn rotate(&mut self, count: usize) {
        self.reverse(0, count);
        self.reverse(count, self.len());
        self.reverse(0, self.len());
    }

    /// What was at `from` in the other list is at `to` now.
    pub(crate) fn rename(&mut self, from: MembershipIndex, to: MembershipIndex) {
        let index = self.iter().position(|entry| entry == from).expect("it is one of these");
        *self.at_mut(index) = to;
    }

    fn reverse(&mut self, mut from: usize, mut to: usize) {
        while from + 1 < to {
            to -= 1;
            let (first, last) = (*self.at(from), *self.at(to));
            (*self.at_mut(from), *self.at_mut(to)) = (last, first);
            from += 1;
        }
    }

    /// Keeps the entries for which `keeps` says so, in their order.
    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(MembershipIndex) -> bool) {
        let mut kept = 0;
        for index in 0..self.len() {
            let entry = *self.at(index);
            if keeps(entry) {
                *self.at_mut(kept) = entry;
                kept += 1;
            }
        }
        self.truncate(kept);
    }

    fn truncate(&mut self, len: usize) {
        self.len = u16::try_from(len).expect("no longer than it was");
        if let Some(many) = &mut self.many {
            many.truncate(len.saturating_sub(FEW));
        }
    }

    fn at(&self, index: usize) -> &MembershipIndex {
        self.few.get(index).unwrap_or_else(|| &self.many.as_ref().expect(MANY)[index - FEW])
    }

    fn at_mut(&mut self, index: usize) -> &mut MembershipIndex {
        match self.few.get_mut(index) {
            Some(few) => few,
            None => &mut self.many.as_mut().expect(MANY)[index - FEW],
        }
    }
}

const MANY: &str = "an entry after the few was pushed there";

impl fmt::Debug for BehindList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(count: usize) -> BehindList {
        let mut list = BehindList::default();
        (0..count).for_each(|entry| list.push(MembershipIndex::new(entry)));
        list
    }

    fn all(list: &BehindList) -> Vec<usize> {
        list.iter().map(MembershipIndex::get).collect()
    }

    #[test]
    fn entries_keep_their_order_however_many_there_are() {
        for count in 0..8 {
            assert_eq!(all(&list(count)), Vec::from_iter(0..count));
            for removed in 0..count {
                let mut rest = list(count);
                rest.retain(|entry| entry.get() != removed);
                let expected: Vec<usize> = (0..count).filter(|entry| *entry != removed).collect();
                assert_eq!(all(&rest), expected, "{removed} of {count}");
                rest.push(MembershipIndex::new(99));
                assert_eq!(all(&rest), [expected, vec![99]].concat(), "{removed} of {count}");
            }
        }
    }

    #[test]
    fn the_first_move_after_the_others() {
        for count in 0..8 {
            for first in 0..=count {
                let mut rotated = list(count);
                rotated.rotate(first);
                let expected: Vec<usize> = (first..count).chain(0..first).collect();
                assert_eq!(all(&rotated), expected, "{first} of {count}");
            }
        }
    }

    #[test]
    fn an_entry_that_moved_in_the_other_list_keeps_its_turn() {
        let mut entries = list(6);
        entries.rename(MembershipIndex::new(1), MembershipIndex::new(20));
        entries.rename(MembershipIndex::new(5), MembershipIndex::new(1));
        assert_eq!(all(&entries), [0, 20, 2, 3, 4, 1]);
    }

    #[test]
    fn a_list_that_was_cleared_is_empty_and_takes_entries_again() {
        let mut entries = list(6);
        entries.clear();
        assert_eq!(entries.len(), 0);
        entries.push(MembershipIndex::new(7));
        assert_eq!(all(&entries), [7]);
    }
}
