//! Connections that wait for the same thing, first come first served.

use std::collections::VecDeque;

use crate::id::ConnId;

/// Connections in the order they came.
///
/// A connection that leaves keeps its entry until its turn, or until most entries are such. So a
/// queue is at most twice as long as the connections that wait in it, and leaving costs a constant on
/// average.
#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    ids: VecDeque<ConnId>,
    /// How many have left since the entries were last looked through.
    left: usize,
}

impl WaitQueue {
    pub(crate) fn push(&mut self, id: ConnId) {
        self.ids.push_back(id);
    }

    /// The first connection, which may have left.
    pub(crate) fn pop(&mut self) -> Option<ConnId> {
        self.ids.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// One of the connections waits no longer; `waits` says of each whether it still does.
    pub(crate) fn leave(&mut self, waits: impl FnMut(&ConnId) -> bool) {
        self.left += 1;
        if 2 * self.left > self.ids.len() {
            self.ids.retain(waits);
            self.left = 0;
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
    fn a_queue_is_at_most_twice_as_long_as_its_waiting_connections() {
        let (mut queue, mut waiting) = (WaitQueue::default(), VecDeque::new());
        let mut looks = 0;
        for slot in 0..10_000 {
            queue.push(id(slot));
            waiting.push_back(id(slot));
            if slot % 100 != 0 {
                let gone = waiting.pop_back();
                queue.leave(|id| {
                    looks += 1;
                    Some(*id) != gone && waiting.contains(id)
                });
            }
            assert!(queue.ids().count() <= 2 * waiting.len() + 1, "after {slot}");
        }
        assert!(looks < 4 * 10_000, "{looks} looks at entries");
        let left: Vec<ConnId> = std::iter::from_fn(|| queue.pop()).collect();
        let left: VecDeque<ConnId> = left.into_iter().filter(|id| waiting.contains(id)).collect();
        assert_eq!(left, waiting, "every connection keeps its turn");
    }
}
