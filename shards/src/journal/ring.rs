//! A journal as its shard writes it: a ring of records of which the oldest give way.

use std::collections::VecDeque;
use std::fmt;

use super::header::{ENDS_AT, Ends, JOURNAL_HEAD_BYTES, JournalTag};
use super::record::Record;
use crate::limits::Limits;
use crate::memory::vec_bytes;

/// A file that a shard's journal is written to.
pub trait JournalStore: fmt::Debug {
    /// Writes all of these bytes at this place, so that they are there if this process dies at any
    /// moment after it. Returns whether that worked.
    fn write(&mut self, at: u64, bytes: &[u8]) -> bool;

    /// A write has failed: the file must never be taken up. It is not written to any more.
    fn give_up(&mut self);
}

/// Bytes of the ring of one shard's journal. Records take some more than messages in memory, and a
/// third of the ring is free or waits to be overwritten, so that not much is written again.
pub fn journal_bytes(limits: &Limits, shards: u16) -> u64 {
    let histories = limits.history_bytes() / usize::from(shards.max(1));
    (histories as u64).saturating_mul(3).saturating_add(LEAST)
}

/// For rooms with few messages and long names.
const LEAST: u64 = 1 << 20;

/// Bytes that are written at once, give or take a record, where much is to be written.
const BATCH: usize = 1 << 20;

/// A table of this many records keeps its memory.
const FEW_PLACES: usize = 1 << 10;

/// One record of the ring: what it is of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Which room, and which of the lives that had its key.
    pub(crate) key: u32,
    pub(crate) life: u32,
    /// Which message; 0 for the record of the room itself.
    pub(crate) offset: u64,
    len: u32,
}

impl Place {
    /// Bytes of the record.
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }
}

/// The ring of one shard's journal. Positions count the bytes that were ever written.
#[derive(Debug)]
pub(crate) struct Journal {
    store: Box<dyn JournalStore>,
    seal: u32,
    capacity: u64,
    ends: Ends,
    /// The tail that the file says: what is behind it must not be overwritten.
    settled: u64,
    /// The newest records, which are not written yet.
    pending: Vec<u8>,
    /// What the records are of, from tail to head.
    places: VecDeque<Place>,
    is_broken: bool,
}

impl Journal {
    /// An empty one, in a file that holds nothing of it.
    pub(crate) fn new(tag: &JournalTag, store: Box<dyn JournalStore>) -> Journal {
        let mut journal = Journal {
            store,
            seal: tag.seal(),
            capacity: tag.capacity,
            ends: Ends { tail: 0, head: 0 },
            settled: 0,
            pending: Vec::new(),
            places: VecDeque::new(),
            is_broken: false,
        };
        journal.write(0, &tag.encoded());
        journal.settle();
        journal
    }

    /// Bytes of all records.
    pub(crate) fn used(&self) -> u64 {
        self.ends.head - self.ends.tail
    }

    /// Bytes of records that fit.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// Whether so many more bytes fit.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.used() + bytes as u64 <= self.capacity
    }

    /// The position of the oldest record.
    pub(crate) fn tail(&self) -> u64 {
        self.ends.tail
    }

    /// The oldest record.
    pub(crate) fn oldest(&self) -> Option<Place> {
        self.places.front().copied()
    }

    /// The oldest record is needed no longer, there.
    pub(crate) fn drop_oldest(&mut self) {
        if let Some(place) = self.places.pop_front() {
            self.ends.tail += u64::from(place.len);
            if self.places.capacity() > FEW_PLACES && self.places.len() < self.places.capacity() / 4
            {
                self.places.shrink_to(2 * self.places.len());
            }
        }
    }

    /// Appends a record, which fits, and returns its position. It is in the file after the next
    /// [`Journal::write_out`].
    pub(crate) fn push(&mut self, (key, life): (u32, u32), record: &Record<'_>) -> u64 {
        let len = record.len();
        assert!(self.fits(len), "a record has a place in the ring");
        if self.pending.len() > BATCH {
            self.write_out();
        }
        if self.ends.head + len as u64 - self.settled > self.capacity {
            self.write_out();
            self.settle();
        }
        let position = self.ends.head;
        record.push(self.seal, position, &mut self.pending);
        let offset = match *record {
            Record::Room { .. } => 0,
            Record::Message { offset, .. } => offset,
        };
        let len = u32::try_from(len).expect("a record is far below 4 GiB");
        self.places.push_back(Place { key, life, offset, len });
        self.ends.head += u64::from(len);
        position
    }

    /// Writes what is not in the file yet; then what says where it ends, which makes it count.
    pub(crate) fn write_out(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        let at = (self.ends.head - pending.len() as u64) % self.capacity;
        let first = pending.len().min((self.capacity - at) as usize);
        let (before, after) = pending.split_at(first);
        self.write(JOURNAL_HEAD_BYTES + at, before);
        if !after.is_empty() {
            self.write(JOURNAL_HEAD_BYTES, after);
        }
        self.settle();
        self.pending = pending;
        self.pending.clear();
        self.pending.shrink_to(BATCH);
    }

    fn settle(&mut self) {
        self.write(ENDS_AT, &self.ends.encoded(self.seal));
        self.settled = self.ends.tail;
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        if !self.is_broken && !self.store.write(at, bytes) {
            self.give_up();
        }
    }

    /// The file must never be taken up: it lacks something.
    pub(crate) fn give_up(&mut self) {
        if !std::mem::replace(&mut self.is_broken, true) {
            self.store.give_up();
        }
    }

    /// Whether a write has failed, so that nothing is kept.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        vec_bytes::<u8>(self.pending.capacity()) + vec_bytes::<Place>(self.places.capacity())
    }

    /// Asserts what holds between any two messages.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        let bytes: u64 = self.places.iter().map(|place| u64::from(place.len)).sum();
        assert_eq!(bytes, self.used(), "the records of a journal are all that it has");
        assert!(self.used() <= self.capacity, "a journal stays within its file");
        let unsettled = self.ends.head - self.settled;
        assert!(unsettled <= self.capacity, "what counts in a journal is not overwritten");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::Epoch;

    #[derive(Debug)]
    struct Nowhere;

    impl JournalStore for Nowhere {
        fn write(&mut self, _: u64, _: &[u8]) -> bool {
            true
        }

        fn give_up(&mut self) {}
    }

    #[test]
    fn the_table_shrinks_with_the_records() {
        assert_eq!(size_of::<Place>(), 24, "as README.md says");
        let tag = JournalTag {
            boot: [1; 16],
            set: 2,
            shard: 0,
            shards: 1,
            file: [3; 3],
            capacity: 1 << 20,
        };
        let mut journal = Journal::new(&tag, Box::new(Nowhere));
        let record = Record::Room { epoch: Epoch::from_bits(1), offset: 0, name: "r" };
        for _ in 0..20_000 {
            journal.push((0, 1), &record);
        }
        let most = journal.places.capacity();
        assert!((20_000..=40_000).contains(&most), "{most} places");
        for left in (0..20_000).rev() {
            journal.drop_oldest();
            let most = (4 * left + 4).max(FEW_PLACES);
            let capacity = journal.places.capacity();
            assert!(capacity <= most, "{capacity} places for {left}");
        }
        journal.check();
        assert_eq!(journal.used(), 0);
    }
}
