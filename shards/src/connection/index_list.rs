//! A short list of places in another list.

use std::fmt;

/// Places in a connection's list of rooms, in order. Most connections are in one room: the first
/// few places need no memory of their own, and what the others need once is kept.
#[derive(Default)]
pub(crate) struct IndexList {
    len: u16,
    few: [u16; FEW],
    // One word in each connection instead of three, since hardly any has it.
    #[allow(clippy::box_collection)]
    many: Option<Box<Vec<u16>>>,
}

const FEW: usize = 3;

impl IndexList {
    pub(crate) fn len(&self) -> usize {
        usize::from(self.len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The `index`-th of them.
    pub(crate) fn get(&self, index: usize) -> usize {
        assert!(index < self.len(), "{index} of {}", self.len);
        usize::from(*self.at(index))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).map(|index| self.get(index))
    }

    pub(crate) fn push(&mut self, place: usize) {
        let place = u16::try_from(place).expect("few rooms per connection");
        match self.few.get_mut(usize::from(self.len)) {
            Some(few) => *few = place,
            None => self.many.get_or_insert_default().push(place),
        }
        self.len += 1;
    }

    pub(crate) fn clear(&mut self) {
        self.truncate(0);
    }

    /// Moves the first `count` places behind the others.
    pub(crate) fn rotate(&mut self, count: usize) {
        self.reverse(0, count);
        self.reverse(count, self.len());
        self.reverse(0, self.len());
    }

    /// What was at `from` in the other list is at `to` now.
    pub(crate) fn rename(&mut self, from: usize, to: usize) {
        let index = self.iter().position(|place| place == from).expect("it is one of these");
        *self.at_mut(index) = u16::try_from(to).expect("few rooms per connection");
    }

    fn reverse(&mut self, mut from: usize, mut to: usize) {
        while from + 1 < to {
            to -= 1;
            let (first, last) = (*self.at(from), *self.at(to));
            (*self.at_mut(from), *self.at_mut(to)) = (last, first);
            from += 1;
        }
    }

    /// Keeps the places for which `keeps` says so, in their order.
    pub(crate) fn retain(&mut self, mut keeps: impl FnMut(usize) -> bool) {
        let mut kept = 0;
        for index in 0..self.len() {
            let place = *self.at(index);
            if keeps(usize::from(place)) {
                *self.at_mut(kept) = place;
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

    fn at(&self, index: usize) -> &u16 {
        self.few.get(index).unwrap_or_else(|| &self.many.as_ref().expect(MANY)[index - FEW])
    }

    fn at_mut(&mut self, index: usize) -> &mut u16 {
        match self.few.get_mut(index) {
            Some(few) => few,
            None => &mut self.many.as_mut().expect(MANY)[index - FEW],
        }
    }
}

const MANY: &str = "whatever is behind the few was pushed there";

impl fmt::Debug for IndexList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(count: usize) -> IndexList {
        let mut places = IndexList::default();
        (0..count).for_each(|place| places.push(place));
        places
    }

    fn all(places: &IndexList) -> Vec<usize> {
        places.iter().collect()
    }

    #[test]
    fn places_keep_their_order_however_many_there_are() {
        for count in 0..8 {
            assert_eq!(all(&places(count)), Vec::from_iter(0..count));
            for gone in 0..count {
                let mut rest = places(count);
                rest.retain(|place| place != gone);
                let expected: Vec<usize> = (0..count).filter(|place| *place != gone).collect();
                assert_eq!(all(&rest), expected, "{gone} of {count}");
                rest.push(99);
                assert_eq!(all(&rest), [expected, vec![99]].concat(), "{gone} of {count}");
            }
        }
    }

    #[test]
    fn the_first_move_behind_the_others() {
        for count in 0..8 {
            for first in 0..=count {
                let mut rotated = places(count);
                rotated.rotate(first);
                let expected: Vec<usize> = (first..count).chain(0..first).collect();
                assert_eq!(all(&rotated), expected, "{first} of {count}");
            }
        }
    }

    #[test]
    fn a_place_that_moved_keeps_its_turn() {
        let mut places = places(6);
        places.rename(1, 20);
        places.rename(5, 1);
        assert_eq!(all(&places), [0, 20, 2, 3, 4, 1]);
    }

    #[test]
    fn a_list_that_was_cleared_is_empty_and_takes_places_again() {
        let mut places = places(6);
        places.clear();
        assert!(places.is_empty());
        places.push(7);
        assert_eq!(all(&places), [7]);
    }
}
