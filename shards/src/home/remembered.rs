//! What a home remembers of rooms that have ended, so that their names go on where they stopped.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::epoch::Epoch;
use crate::history::{Deadline, Histories, HistoryKey};
use crate::memory::{Sum, map_bytes, shared_bytes, tree_bytes};
use crate::room_name::{RoomName, SecretHash};
use crate::time::Time;

/// Where a room stopped that had a message and keeps some.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopped {
    pub(super) epoch: Epoch,
    pub(super) offset: u64,
    pub(super) history: HistoryKey,
}

/// Rooms with a history that have ended. Beyond the limit those are forgotten first of which nothing is
/// kept any more.
#[derive(Debug)]
pub(super) struct Remembered {
    rooms: HashMap<RoomName, (Stopped, Deadline), SecretHash>,
    /// The same, those first that are forgotten next.
    ends: BTreeMap<Deadline, RoomName>,
    sequence: u64,
    /// How long they are remembered at least, and how many of them at most.
    duration: Duration,
    rooms_max: usize,
    /// Bytes of their names.
    names: Sum,
}

impl Remembered {
    pub(super) fn new(hash: SecretHash, duration: Duration, rooms_max: usize) -> Remembered {
        Remembered {
            rooms: HashMap::with_hasher(hash),
            ends: BTreeMap::new(),
            sequence: 0,
            duration,
            rooms_max,
            names: Sum::default(),
        }
    }

    /// A room has ended.
    pub(super) fn keep(
        &mut self,
        room: &RoomName,
        stopped: Stopped,
        now: Time,
        histories: &mut Histories,
    ) {
        self.sequence += 1;
        let duration = self.duration.max(histories.duration(stopped.history));
        let deadline = (now + duration, self.sequence);
        self.names.add(shared_bytes(room.as_str().len()));
        let before = self.rooms.insert(room.clone(), (stopped, deadline));
        assert!(before.is_none(), "a room ends once before it begins again");
        self.ends.insert(deadline, room.clone());
        histories.end(stopped.history, deadline);
        if self.ends.len() > self.rooms_max {
            self.forget(histories.first_empty(), histories);
        }
    }

    /// A room of this name begins: it goes on where it stopped, if that is remembered.
    pub(super) fn resume(&mut self, room: &RoomName, histories: &mut Histories) -> Option<Stopped> {
        let stopped = self.take(room)?;
        histories.resume(stopped.history);
        Some(stopped)
    }

    fn take(&mut self, room: &RoomName) -> Option<Stopped> {
        let (stopped, deadline) = self.rooms.remove(room)?;
        self.ends.remove(&deadline);
        self.names.take_off(shared_bytes(room.as_str().len()));
        if self.rooms.capacity() > SPARE && self.rooms.len() < self.rooms.capacity() / 8 {
            self.rooms.shrink_to(2 * self.rooms.len());
        }
        Some(stopped)
    }

    pub(super) fn get(&self, room: &RoomName) -> Option<Stopped> {
        self.rooms.get(room).map(|(stopped, _)| *stopped)
    }

    /// Forgets rooms whose time has come, at most so many.
    pub(super) fn on_time(&mut self, now: Time, most: usize, histories: &mut Histories) {
        for _ in 0..most {
            if self.next_deadline().is_none_or(|deadline| deadline > now) {
                return;
            }
            self.forget(None, histories);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.ends.first_key_value().map(|((time, _), _)| *time)
    }

    /// Forgets the room with this end, or the next one.
    fn forget(&mut self, deadline: Option<Deadline>, histories: &mut Histories) {
        let room = match deadline {
            Some(deadline) => self.ends.remove(&deadline),
            None => self.ends.pop_first().map(|(_, room)| room),
        };
        if let Some(room) = room {
            let stopped = self.take(&room).expect("both lists have the same rooms");
            histories.close(stopped.history);
        }
    }

    /// Bytes of the tables, without the histories.
    pub(super) fn bytes(&self) -> usize {
        map_bytes::<RoomName, (Stopped, Deadline)>(self.rooms.capacity())
            + tree_bytes::<Deadline, RoomName>(self.ends.len())
            + self.names.get()
    }

    /// How many there are.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Asserts that both lists have the same rooms, and no more than may be.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) {
        assert_eq!(self.rooms.len(), self.ends.len(), "rooms that are remembered");
        for (deadline, room) in &self.ends {
            let known = self.rooms.get(room).map(|(_, deadline)| deadline);
            assert_eq!(known, Some(deadline), "a room is forgotten when it is due");
        }
        assert!(self.rooms.len() <= self.rooms_max, "{} are remembered", self.rooms.len());
        let names = self.rooms.keys().map(|room| shared_bytes(room.as_str().len()));
        assert_eq!(self.names.get(), names.sum::<usize>(), "bytes of names");
    }
}

/// A table of up to this many unused entries keeps them.
const SPARE: usize = 64;
