//! Messages of external threads for rooms that take none at the moment.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corecast_shards::RoomName;

/// Messages that a shard keeps for all rooms together. Beyond it takes none from its
/// inbox, whatever the room.
const ITEMS_MAX: usize = 4096;

/// What waits for rooms that are pressed, each in its order, so that no other room waits for them.
#[derive(Debug)]
pub(super) struct HeldBack<T> {
    waiting: HashMap<RoomName, VecDeque<T>>,
    items: usize,
    /// Whose turn it is to be tried again.
    turn: VecDeque<RoomName>,
    rooms: Arc<HeldBackRooms>,
}

impl<T> HeldBack<T> {
    /// Nothing waits yet; `rooms` tells the senders when something does.
    pub(super) fn new(rooms: Arc<HeldBackRooms>) -> HeldBack<T> {
        HeldBack { waiting: HashMap::new(), items: 0, turn: VecDeque::new(), rooms }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.items >= ITEMS_MAX
    }

    /// Hands a message to `publish`, which gives it back while the room takes none, or keeps it
    /// behind those that wait already.
    pub(super) fn pass(
        &mut self,
        room: RoomName,
        item: T,
        publish: impl FnOnce(&RoomName, T) -> Result<(), T>,
    ) {
        let item = match self.waiting.get_mut(&room) {
            Some(queue) => {
                queue.push_back(item);
                self.items += 1;
                return;
            }
            None => match publish(&room, item) {
                Ok(()) => return,
                Err(item) => item,
            },
        };
        self.rooms.add(room.clone());
        self.turn.push_back(room.clone());
        self.waiting.insert(room, VecDeque::from([item]));
        self.items += 1;
    }

    /// Tries again what waits: up to `budget` messages, and each room until it takes no more.
    pub(super) fn retry(
        &mut self,
        budget: usize,
        mut publish: impl FnMut(&RoomName, T) -> Result<(), T>,
    ) -> Retried {
        let (mut left, mut freed) = (budget, false);
        for _ in 0..self.turn.len() {
            let Some(room) = self.turn.pop_front() else { break };
            match self.retry_room(&room, &mut left, &mut publish) {
                true => {
                    self.waiting.remove(&room);
                    self.rooms.remove(&room);
                    freed = true;
                }
                false => self.turn.push_back(room),
            }
            if left == 0 {
                break;
            }
        }
        Retried { tried: budget - left, freed }
    }

    /// Returns whether nothing waits for this room any more.
    fn retry_room(
        &mut self,
        room: &RoomName,
        left: &mut usize,
        publish: &mut impl FnMut(&RoomName, T) -> Result<(), T>,
    ) -> bool {
        let Some(queue) = self.waiting.get_mut(room) else { return true };
        while *left > 0 {
            let Some(item) = queue.pop_front() else { return true };
            *left -= 1;
            if let Err(item) = publish(room, item) {
                queue.push_front(item);
                return false;
            }
            self.items -= 1;
        }
        queue.is_empty()
    }
}

/// What another try came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retried {
    /// Messages that were tried.
    pub(super) tried: usize,
    /// Whether a room waits no longer.
    pub(super) freed: bool,
}

/// The names of stalled rooms, for senders: they are told `Full` for these rooms, and for no other.
#[derive(Debug, Default)]
pub(super) struct HeldBackRooms {
    /// Looked at first, because most of the time there is none.
    any: AtomicBool,
    rooms: Mutex<HashSet<RoomName>>,
}

impl HeldBackRooms {
    pub(super) fn contains(&self, room: &RoomName) -> bool {
        self.any.load(Ordering::Acquire) && self.lock().contains(room)
    }

    fn add(&self, room: RoomName) {
        let mut rooms = self.lock();
        rooms.insert(room);
        self.any.store(true, Ordering::Release);
    }

    fn remove(&self, room: &RoomName) {
        let mut rooms = self.lock();
        rooms.remove(room);
        self.any.store(!rooms.is_empty(), Ordering::Release);
    }

    /// Nothing panics while the lock is held: it guards one operation on the set.
    fn lock(&self) -> MutexGuard<'_, HashSet<RoomName>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> RoomName {
        RoomName::new(name).unwrap()
    }

    #[test]
    fn a_stalled_room_keeps_its_order_and_holds_up_no_other() {
        let rooms = Arc::new(HeldBackRooms::default());
        let mut held_back = HeldBack::new(Arc::clone(&rooms));
        let mut published = Vec::new();
        for n in 0..6 {
            let room = name(if n % 2 == 0 { "pressed" } else { "free" });
            held_back.pass(room, n, |room, n| match room.as_str() {
                "pressed" => Err(n),
                _ => {
                    published.push(n);
                    Ok(())
                }
            });
        }
        assert_eq!(published, [1, 3, 5]);
        assert!(rooms.contains(&name("pressed")) && !rooms.contains(&name("free")));
        let retried = held_back.retry(10, |_, n| Err(n));
        assert_eq!(retried, Retried { tried: 1, freed: false }, "it is still pressed");
        let retried = held_back.retry(2, |_, n| {
            published.push(n);
            Ok(())
        });
        assert_eq!(retried, Retried { tried: 2, freed: false }, "one is left");
        // What comes now stands behind it, although the room takes messages again.
        held_back.pass(name("pressed"), 6, |_, _| unreachable!("an older one waits"));
        let retried = held_back.retry(10, |_, n| {
            published.push(n);
            Ok(())
        });
        assert_eq!(retried, Retried { tried: 2, freed: true });
        assert_eq!(published, [1, 3, 5, 0, 2, 4, 6]);
        assert!(held_back.is_empty() && !rooms.contains(&name("pressed")));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut held_back = HeldBack::new(Arc::default());
        for n in 0..ITEMS_MAX {
            assert!(!held_back.is_full());
            held_back.pass(name(&format!("r{}", n % 7)), n, |_, n| Err(n));
        }
        assert!(held_back.is_full());
    }
}
