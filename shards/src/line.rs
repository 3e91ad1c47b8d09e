//! Who waits for the same thing, first come first served.

use std::collections::VecDeque;

use crate::id::ConnId;

/// Connections in the order they came.
///
/// Who goes away stays in line until its turn, or until most of the line is gone: so a line is at
/// most twice as long as those who wait in it, and going away costs a constant on average.
#[derive(Debug, Default)]
pub(crate) struct Line {
    ids: VecDeque<ConnId>,
    gone: usize,
}

impl Line {
    pub(crate) fn push(&mut self, id: ConnId) {
        self.ids.push_back(id);
    }

    /// The first in line, who may be gone.
    pub(crate) fn pop(&mut self) -> Option<ConnId> {
        self.ids.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// One of those in line waits no longer; `waits` says of each whether it still does.
    pub(crate) fn leave(&mut self, waits: impl FnMut(&ConnId) -> bool) {
        self.gone += 1;
        if 2 * self.gone > self.ids.len() {
            self.ids.retain(waits);
            self.gone = 0;
        }
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn ids(&self) -> impl Iterator<Item = &ConnId> {
        self.ids.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardId;

    fn id(slot: u32) -> ConnId {
        ConnId { shard: ShardId::new(0), slot, generation: 0 }
    }

    #[test]
    fn a_line_is_at_most_twice_as_long_as_those_who_wait() {
        let (mut line, mut waiting) = (Line::default(), VecDeque::new());
        let mut looks = 0;
        for slot in 0..10_000 {
            line.push(id(slot));
            waiting.push_back(id(slot));
            if slot % 100 != 0 {
                let gone = waiting.pop_back();
                line.leave(|id| {
                    looks += 1;
                    Some(*id) != gone && waiting.contains(id)
                });
            }
            assert!(line.ids().count() <= 2 * waiting.len() + 1, "after {slot}");
        }
        assert!(looks < 4 * 10_000, "{looks} looks at those in line");
        let left: Vec<ConnId> = std::iter::from_fn(|| line.pop()).collect();
        let left: VecDeque<ConnId> = left.into_iter().filter(|id| waiting.contains(id)).collect();
        assert_eq!(left, waiting, "nobody has lost its place");
    }
}
