//! What waits for one ring.

use std::collections::VecDeque;

use crate::memory::vec_bytes;
use crate::mesh::Weigh;

/// A queue of up to this many messages keeps its memory.
const SPARE: usize = 64;

/// Messages that wait for one ring, and the capacity of that ring.
///
/// The runtime says what the capacity is and takes what fits. An outbox may hold more than that: its
/// messages keep their order, and the senders of new ones are to wait.
#[derive(Debug)]
pub(crate) struct Outbox<M> {
    queue: VecDeque<M>,
    queue_bytes: usize,
    capacity: Capacity,
}

/// How much one ring can take now, in items and in bytes. A message fits while any byte is left,
/// so that one larger than the whole ring still passes when the ring is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Free items.
    pub items: usize,
    /// Free bytes.
    pub bytes: usize,
}

impl<M: Weigh> Outbox<M> {
    pub(crate) fn new() -> Outbox<M> {
        Outbox { queue: VecDeque::new(), queue_bytes: 0, capacity: Capacity::default() }
    }

    /// This is what the ring can take now, what waits here not counted.
    pub(crate) fn set_capacity(&mut self, capacity: Capacity) {
        self.capacity = capacity;
    }

    /// Whether one more message would go onto the ring at once.
    pub(crate) fn has_capacity(&self) -> bool {
        self.queue.len() < self.capacity.items && self.queue_bytes < self.capacity.bytes
    }

    /// Whether more waits here than the ring can take.
    pub(crate) fn is_over_capacity(&self) -> bool {
        let Some(last) = self.queue.back() else { return false };
        let before_last = self.queue_bytes - last.weight();
        self.queue.len() > self.capacity.items || before_last >= self.capacity.bytes
    }

    /// How many messages wait here above the capacity of the ring.
    pub(crate) fn over_capacity(&self) -> usize {
        self.queue.len().saturating_sub(self.capacity.items)
    }

    /// Bytes of what waits here: the queue by capacity, and what its messages refer to.
    pub(crate) fn bytes(&self) -> usize {
        vec_bytes::<M>(self.queue.capacity()) + self.queue_bytes
    }

    /// Asserts that what waits is counted.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        let bytes: usize = self.queue.iter().map(Weigh::weight).sum();
        assert_eq!(self.queue_bytes, bytes, "bytes of what waits for a ring");
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn push(&mut self, message: M) {
        self.queue_bytes += message.weight();
        self.queue.push_back(message);
    }

    /// The next message for the ring, if the ring has capacity for it.
    pub(crate) fn pop_fitting(&mut self) -> Option<M> {
        if self.capacity.items == 0 || self.capacity.bytes == 0 {
            return None;
        }
        let message = self.pop()?;
        self.capacity.items -= 1;
        self.capacity.bytes = self.capacity.bytes.saturating_sub(message.weight());
        Some(message)
    }

    /// The next message whatever the capacity, for the loopback, which is its own ring.
    pub(crate) fn pop(&mut self) -> Option<M> {
        let message = self.queue.pop_front()?;
        self.queue_bytes -= message.weight();
        if self.queue.capacity() > SPARE && self.queue.len() < self.queue.capacity() / 8 {
            self.queue.shrink_to(2 * self.queue.len());
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Weight(usize);

    impl Weigh for Weight {
        fn weight(&self) -> usize {
            self.0
        }
    }

    fn outbox(items: usize, bytes: usize) -> Outbox<Weight> {
        let mut outbox = Outbox::new();
        outbox.set_capacity(Capacity { items, bytes });
        outbox
    }

    #[test]
    fn items_are_bounded() {
        let mut outbox = outbox(2, 1_000);
        outbox.push(Weight(1));
        assert!(outbox.has_capacity());
        outbox.push(Weight(1));
        assert!(!outbox.has_capacity() && !outbox.is_over_capacity());
        outbox.push(Weight(1));
        assert!(outbox.is_over_capacity());
        assert!(outbox.pop_fitting().is_some() && outbox.pop_fitting().is_some());
        assert!(outbox.pop_fitting().is_none());
        outbox.set_capacity(Capacity { items: 1, bytes: 1_000 });
        assert!(!outbox.is_over_capacity());
        assert!(outbox.pop_fitting().is_some() && outbox.is_empty());
    }

    #[test]
    fn one_message_may_be_larger_than_the_ring() {
        let mut outbox = outbox(10, 100);
        outbox.push(Weight(500));
        assert!(!outbox.has_capacity() && !outbox.is_over_capacity());
        outbox.push(Weight(1));
        assert!(outbox.is_over_capacity());
        assert_eq!(outbox.pop_fitting().map(|item| item.0), Some(500));
        assert!(outbox.pop_fitting().is_none());
    }
}
