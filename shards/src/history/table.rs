//! The histories of all rooms of one home, and which of them gives way when memory is needed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use super::block::{Frame, Parts};
use super::room::{History, NANOS, Sizes};
use crate::memory::{HeapBytes, Sum, tree_bytes, vec_bytes};
use crate::policy::HistoryPolicy;
use crate::recovery::{Recovery, Unrecovered};
use crate::shard_stats::HistoryCounters;
use crate::time::Time;
use crate::tuning::Tuning;

/// Which history is a room's, for as long as the room, or what is remembered of it, is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HistoryKey(u32);

/// The histories of the rooms of one home.
#[derive(Debug)]
pub(crate) struct Histories {
    sizes: Sizes,
    entries: Vec<Entry>,
    free: Vec<HistoryKey>,
    /// Bytes of all histories.
    held: Sum,
    held_max: usize,
    /// How often any of them was used.
    uses: u64,
    /// Histories by their last use, as far as that is known here: it may have been used since. Each is
    /// there once at most, and those that hold messages are.
    by_use: BinaryHeap<Reverse<(u64, HistoryKey)>>,
    /// Histories by the second in which something in them is too old.
    by_age: BTreeSet<(u32, HistoryKey)>,
    pub(crate) counters: HistoryCounters,
}

#[derive(Debug, Default)]
struct Entry {
    history: Option<Box<History>>,
    /// Whether it is in the queue of those that give way.
    is_queued: bool,
}

impl Histories {
    /// None yet, and so many bytes for all of them.
    pub(crate) fn new(tuning: &Tuning, held_max: usize) -> Histories {
        Histories {
            sizes: Sizes::new(tuning),
            entries: Vec::new(),
            free: Vec::new(),
            held: Sum::default(),
            held_max,
            uses: 0,
            by_use: BinaryHeap::new(),
            by_age: BTreeSet::new(),
            counters: HistoryCounters::default(),
        }
    }

    /// The history of a room without messages.
    pub(crate) fn open(&mut self, policy: HistoryPolicy) -> HistoryKey {
        let key = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            HistoryKey(u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 rooms"))
        });
        self.change_entry(key, |history| *history = Some(Box::new(History::new(policy, 1))));
        self.evict();
        key
    }

    /// How long messages of this room are kept.
    pub(crate) fn duration(&self, key: HistoryKey) -> Duration {
        let history = self.entries[key.0 as usize].history.as_ref().expect("every key is an entry");
        history.duration()
    }

    /// The room is forgotten.
    pub(crate) fn close(&mut self, key: HistoryKey) {
        let history = self.change_entry(key, Option::take);
        let due = history.expect("every key is an entry").due;
        due.into_iter().for_each(|due| assert!(self.by_age.remove(&(due, key)), "it was there"));
        self.free.push(key);
    }

    /// Keeps a room's next message, as long as there is memory.
    pub(crate) fn append(&mut self, key: HistoryKey, frame: Frame<'_>, now: Time) {
        let second = u32::try_from(now.as_nanos().div_ceil(NANOS)).unwrap_or(u32::MAX);
        let sizes = self.sizes;
        self.use_now(key, |history| history.append(frame, second, sizes));
        self.schedule(key);
    }

    /// The messages after this offset, or that some of them are not kept.
    pub(crate) fn after(
        &mut self,
        key: HistoryKey,
        offset: u64,
        limit: usize,
        now: Time,
    ) -> (Recovery, Parts) {
        let sizes = self.sizes;
        let parts = self.use_now(key, |history| {
            history.expire(now.as_nanos());
            history.from(offset + 1, limit, sizes)
        });
        match parts {
            Some(parts) => (Recovery::Complete, parts),
            None => (Recovery::Refused(Unrecovered::TooOld), Parts::default()),
        }
    }

    /// The newest messages, at most so many.
    pub(crate) fn newest(&mut self, key: HistoryKey, messages: usize, now: Time) -> Parts {
        let sizes = self.sizes;
        self.use_now(key, |history| {
            history.expire(now.as_nanos());
            history.newest(messages, sizes)
        })
    }

    fn use_now<R>(&mut self, key: HistoryKey, change: impl FnOnce(&mut History) -> R) -> R {
        self.uses += 1;
        let uses = self.uses;
        let result = self.change(key, |history| {
            history.used = uses;
            change(history)
        });
        if !std::mem::replace(&mut self.entries[key.0 as usize].is_queued, true) {
            self.by_use.push(Reverse((uses, key)));
        }
        self.evict();
        result
    }

    fn change<R>(&mut self, key: HistoryKey, change: impl FnOnce(&mut History) -> R) -> R {
        self.change_entry(key, |history| change(history.as_mut().expect("every key is an entry")))
    }

    fn change_entry<R>(
        &mut self,
        key: HistoryKey,
        change: impl FnOnce(&mut Option<Box<History>>) -> R,
    ) -> R {
        let history = &mut self.entries[key.0 as usize].history;
        let before = history.heap_bytes();
        let result = change(history);
        self.held.change(before, history.heap_bytes());
        result
    }

    /// Sees to it that what is too old is freed.
    fn schedule(&mut self, key: HistoryKey) {
        let history = self.entries[key.0 as usize].history.as_mut().expect("every key is an entry");
        if history.due.is_none() {
            history.due = history.next_due();
            self.by_age.extend(history.due.map(|due| (due, key)));
        }
    }

    /// The oldest messages of the rooms that were used least recently go while all histories together
    /// have too much.
    fn evict(&mut self) {
        while self.held.get() > self.held_max
            && let Some(Reverse((known, key))) = self.by_use.pop()
        {
            let entry = &mut self.entries[key.0 as usize];
            let holder = entry.history.as_ref().filter(|history| !history.is_empty());
            let Some(used) = holder.map(|history| history.used) else {
                entry.is_queued = false;
                continue;
            };
            if used == known {
                self.counters.evicted += self.change(key, History::evict_oldest);
            }
            self.by_use.push(Reverse((used, key)));
        }
    }

    /// Frees what is too old.
    pub(crate) fn on_time(&mut self, now: Time) {
        while let Some((due, key)) = self.by_age.first().copied()
            && u64::from(due) <= now.as_nanos() / NANOS
        {
            self.by_age.remove(&(due, key));
            self.change(key, |history| {
                history.due = None;
                history.expire(now.as_nanos());
            });
            self.schedule(key);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let (due, _) = self.by_age.first()?;
        Some(Time::from_nanos(u64::from(*due) * NANOS))
    }

    /// Bytes of all histories, and of the tables.
    pub(crate) fn bytes(&self) -> usize {
        self.held.get()
            + vec_bytes::<Entry>(self.entries.capacity())
            + vec_bytes::<HistoryKey>(self.free.capacity())
            + vec_bytes::<Reverse<(u64, HistoryKey)>>(self.by_use.capacity())
            + tree_bytes::<(u32, HistoryKey), ()>(self.by_age.len())
    }

    /// How many rooms have a history.
    pub(crate) fn count(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Asserts what holds between any two messages.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        let histories = || self.entries.iter().filter_map(|entry| entry.history.as_deref());
        histories().for_each(History::check);
        let held: usize = self.entries.iter().map(|entry| entry.history.heap_bytes()).sum();
        assert_eq!(self.held.get(), held, "bytes of histories");
        assert_eq!(self.count(), histories().count(), "rooms with a history");
        let due: BTreeSet<_> = (0..)
            .map(HistoryKey)
            .zip(&self.entries)
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|(key, entry)| Some((entry.history.as_ref()?.due?, key)))
            .collect();
        assert_eq!(self.by_age, due, "each is looked at when it is due");
        let queued = self.entries.iter().filter(|entry| entry.is_queued).count();
        assert_eq!(self.by_use.len(), queued, "each is queued once");
        let holds = |entry: &&Entry| entry.history.as_ref().is_some_and(|one| !one.is_empty());
        let unseen = self.entries.iter().filter(holds).filter(|entry| !entry.is_queued).count();
        assert_eq!(unseen, 0, "each that holds messages may give way");
        let spare = self.entries.iter().all(|entry| !holds(&entry));
        assert!(spare || self.held.get() <= self.held_max, "histories have no more than they may");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Opcode, push_frame};

    const POLICY: HistoryPolicy = HistoryPolicy { messages: 100, bytes: 1 << 20, seconds: 60 };

    fn publish(histories: &mut Histories, key: HistoryKey, now: Time) {
        let mut frame = Vec::new();
        push_frame(&mut frame, Opcode::Text, &[b'x'; 100]);
        histories.append(key, Frame::Loose(&frame), now);
        histories.check();
    }

    #[test]
    fn the_room_that_was_used_least_recently_gives_way_first() {
        let now = Time::default();
        let mut histories = Histories::new(&Tuning::DEFAULT, 40 << 10);
        let rooms: Vec<_> = (0..4).map(|_| histories.open(POLICY)).collect();
        rooms.iter().for_each(|room| (0..50).for_each(|_| publish(&mut histories, *room, now)));
        assert_eq!(histories.counters.evicted, 0);
        let kept = |histories: &mut Histories, room| histories.newest(room, 100, now).messages();
        // The second was published to last, then the first recovered from.
        publish(&mut histories, rooms[1], now);
        assert_eq!(kept(&mut histories, rooms[0]), 50);
        let busy = histories.open(POLICY);
        (0..70).for_each(|_| publish(&mut histories, busy, now));
        let evicted = histories.counters.evicted as usize;
        assert!(evicted > 0);
        let left: Vec<_> = rooms.iter().map(|room| kept(&mut histories, *room)).collect();
        assert_eq!(left[0] + left[1], 101, "{left:?}");
        assert_eq!(left[2], 50_usize.saturating_sub(evicted), "{left:?}");
        assert_eq!(left[3] + left[2], 100 - evicted, "{left:?}");
    }

    #[test]
    fn what_is_too_old_is_freed_without_a_publish() {
        let mut histories = Histories::new(&Tuning::DEFAULT, 1 << 20);
        let empty = histories.held.get();
        let room = histories.open(POLICY);
        for second in 0..30 {
            publish(&mut histories, room, Time::default() + Duration::from_secs(second));
        }
        assert!(histories.held.get() > 30 * 100);
        for _ in 0..60 {
            let Some(due) = histories.next_deadline() else { break };
            histories.on_time(due);
            histories.check();
            assert!(histories.next_deadline().is_none_or(|next| next > due), "it gets on");
        }
        assert_eq!(histories.next_deadline(), None);
        histories.close(room);
        histories.check();
        assert_eq!((histories.held.get(), histories.count()), (empty, 0));
        assert_eq!(histories.open(POLICY), room, "places are used again");
        histories.check();
    }

    #[test]
    fn a_history_that_never_fits_is_empty() {
        let mut histories = Histories::new(&Tuning::DEFAULT, 0);
        let room = histories.open(POLICY);
        for sent in 1..=20 {
            publish(&mut histories, room, Time::default());
            let missed = histories.after(room, sent - 1, 10, Time::default());
            assert_eq!(missed.0, Recovery::Refused(Unrecovered::TooOld));
            assert_eq!(histories.after(room, sent, 10, Time::default()).0, Recovery::Complete);
        }
        assert_eq!(histories.counters.evicted, 20);
    }
}
