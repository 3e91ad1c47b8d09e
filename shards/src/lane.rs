//! The sender's side of a ring.

use std::collections::VecDeque;

use crate::message::Weigh;

/// What waits to be taken onto one ring, and how much room that ring has.
///
/// The runtime says how much room there is and takes what fits. A lane that holds more than that
/// is *spilled*: its messages keep their order, and whoever would add to it waits.
#[derive(Debug)]
pub(crate) struct Lane<M> {
    queue: VecDeque<M>,
    queue_bytes: usize,
    room: Room,
}

/// How much one ring can take now, in items and in bytes. A message fits while any byte is left,
/// so that one larger than the whole ring still passes when the ring is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Free places.
    pub items: usize,
    /// Free bytes.
    pub bytes: usize,
}

impl<M: Weigh> Lane<M> {
    pub(crate) fn new() -> Lane<M> {
        Lane { queue: VecDeque::new(), queue_bytes: 0, room: Room::default() }
    }

    /// The ring has so much room, what waits here not counted.
    pub(crate) fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    /// Whether one more message would go onto the ring at once.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.len() < self.room.items && self.queue_bytes < self.room.bytes
    }

    /// Whether more waits here than the ring can take.
    pub(crate) fn is_spilled(&self) -> bool {
        let Some(last) = self.queue.back() else { return false };
        let before_last = self.queue_bytes - last.weight();
        self.queue.len() > self.room.items || before_last >= self.room.bytes
    }

    /// How many messages wait here for which the ring has no place.
    pub(crate) fn excess(&self) -> usize {
        self.queue.len().saturating_sub(self.room.items)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(crate) fn push(&mut self, message: M) {
        self.queue_bytes += message.weight();
        self.queue.push_back(message);
    }

    /// The next message for the ring, if the ring has room for it.
    pub(crate) fn pop_fitting(&mut self) -> Option<M> {
        if self.room.items == 0 || self.room.bytes == 0 {
            return None;
        }
        let message = self.pop()?;
        self.room.items -= 1;
        self.room.bytes = self.room.bytes.saturating_sub(message.weight());
        Some(message)
    }

    /// The next message, for a shard's lane to itself, which is its own ring.
    pub(crate) fn pop(&mut self) -> Option<M> {
        let message = self.queue.pop_front()?;
        self.queue_bytes -= message.weight();
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Item(usize);

    impl Weigh for Item {
        fn weight(&self) -> usize {
            self.0
        }
    }

    fn lane(items: usize, bytes: usize) -> Lane<Item> {
        let mut lane = Lane::new();
        lane.set_room(Room { items, bytes });
        lane
    }

    #[test]
    fn items_are_bounded() {
        let mut lane = lane(2, 1_000);
        lane.push(Item(1));
        assert!(lane.has_room());
        lane.push(Item(1));
        assert!(!lane.has_room() && !lane.is_spilled());
        lane.push(Item(1));
        assert!(lane.is_spilled());
        assert!(lane.pop_fitting().is_some() && lane.pop_fitting().is_some());
        assert!(lane.pop_fitting().is_none());
        lane.set_room(Room { items: 1, bytes: 1_000 });
        assert!(!lane.is_spilled());
        assert!(lane.pop_fitting().is_some() && lane.is_empty());
    }

    #[test]
    fn one_message_may_be_larger_than_the_ring() {
        let mut lane = lane(10, 100);
        lane.push(Item(500));
        assert!(!lane.has_room() && !lane.is_spilled());
        lane.push(Item(1));
        assert!(lane.is_spilled());
        assert_eq!(lane.pop_fitting().map(|item| item.0), Some(500));
        assert!(lane.pop_fitting().is_none());
    }
}
