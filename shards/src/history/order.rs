//! In which order histories were used.

use crate::memory::vec_bytes;

/// Which history is a room's, for as long as the room, or what is remembered of it, is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HistoryKey(pub(super) u32);

impl HistoryKey {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The histories that hold messages, in the order of their last use: a list through a table, so that
/// whatever changes in it takes the same time however many there are.
#[derive(Debug)]
pub(super) struct Order {
    links: Vec<Link>,
    oldest: u32,
    newest: u32,
}

/// The neighbours of a history; of one that is not in the list, itself twice.
#[derive(Clone, Copy, Debug)]
struct Link {
    older: u32,
    newer: u32,
}

/// No history: the end of the list.
const END: u32 = u32::MAX;

impl Default for Order {
    fn default() -> Order {
        Order { links: Vec::new(), oldest: END, newest: END }
    }
}

impl Order {
    /// There are places for so many histories; what goes is not in the list.
    pub(super) fn resize(&mut self, places: usize) {
        let from = self.links.len();
        self.links.truncate(places);
        let absent = |at| u32::try_from(at).expect("fewer than 2^32 rooms");
        let absent = |at| Link { older: absent(at), newer: absent(at) };
        self.links.extend((from..places).map(absent));
        if self.links.capacity() > SPARE && places < self.links.capacity() / 4 {
            self.links.shrink_to(2 * places);
        }
    }

    /// The one that was used least recently.
    pub(super) fn oldest(&self) -> Option<HistoryKey> {
        (self.oldest != END).then_some(HistoryKey(self.oldest))
    }

    /// It has been used last.
    pub(super) fn use_now(&mut self, key: HistoryKey) {
        if self.newest == key.0 {
            return;
        }
        self.remove(key);
        let before = std::mem::replace(&mut self.newest, key.0);
        self.links[key.index()] = Link { older: before, newer: END };
        match self.links.get_mut(before as usize) {
            Some(link) => link.newer = key.0,
            None => self.oldest = key.0,
        }
    }

    /// It holds nothing.
    pub(super) fn remove(&mut self, key: HistoryKey) {
        let absent = Link { older: key.0, newer: key.0 };
        let Link { older, newer } = std::mem::replace(&mut self.links[key.index()], absent);
        if older == key.0 {
            return;
        }
        match self.links.get_mut(older as usize) {
            Some(link) => link.newer = newer,
            None => self.oldest = newer,
        }
        match self.links.get_mut(newer as usize) {
            Some(link) => link.older = older,
            None => self.newest = older,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        vec_bytes::<Link>(self.links.capacity())
    }

    /// From the one that was used least recently on.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn iter(&self) -> impl Iterator<Item = HistoryKey> {
        let newer = |key: &HistoryKey| {
            let newer = self.links[key.index()].newer;
            (newer != END).then_some(HistoryKey(newer))
        };
        std::iter::successors(self.oldest(), newer)
    }

    /// Asserts that it is the same list from both ends, and returns how long it is.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) -> usize {
        let mut before = END;
        let mut len = 0;
        for key in self.iter() {
            assert_eq!(self.links[key.index()].older, before, "neighbours know each other");
            (before, len) = (key.0, len + 1);
            assert!(len <= self.links.len(), "the list ends");
        }
        assert_eq!(self.newest, before, "the list ends with the newest");
        len
    }
}

/// A table of up to this many unused places keeps them.
const SPARE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_goes_to_the_end_and_what_is_removed_is_absent() {
        let (mut order, mut model) = (Order::default(), Vec::new());
        order.resize(10);
        let mut state = 7_u32;
        for _ in 0..2_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = HistoryKey(state >> 16 & 0xffff).0 % 10;
            model.retain(|other| *other != key);
            match state >> 8 & 3 {
                0 => order.remove(HistoryKey(key)),
                _ => {
                    order.use_now(HistoryKey(key));
                    model.push(key);
                }
            }
            assert_eq!(order.check(), model.len());
            let listed: Vec<u32> = order.iter().map(|key| key.0).collect();
            assert_eq!(listed, model);
            assert_eq!(order.oldest().map(|key| key.0), model.first().copied());
        }
    }
}
