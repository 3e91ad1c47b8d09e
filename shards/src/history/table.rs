//! The histories of all rooms of one home, and which of them gives way when memory is needed.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use super::block::Frame;
use super::blocks::Sizes;
use super::elsewhere::Elsewhere;
use super::journaled::Journaled;
use super::order::{HistoryKey, Order};
use super::parts::Parts;
use super::room::{Deadline, History, NANOS};
use crate::memory::{HeapBytes, Sum, tree_bytes, vec_bytes};
use crate::policy::HistoryPolicy;
use crate::recovery::{Recovery, Unrecovered};
use crate::shard_stats::HistoryCounters;
use crate::time::Time;
use crate::tuning::Tuning;

/// The histories of the rooms of one home.
///
/// Invariant: their blocks have no more than a sixteenth above `kept_max`, and no more than that once
/// what is due is done.
#[derive(Debug)]
pub(crate) struct Histories {
    sizes: Sizes,
    /// Blocks that are kept no longer.
    elsewhere: Elsewhere,
    pub(super) histories: Vec<Option<Box<History>>>,
    /// Places without a history: the first are used first, so that the last can go. Some of these are
    /// gone already.
    free: BinaryHeap<Reverse<HistoryKey>>,
    count: usize,
    /// Bytes of their blocks and of the lists of these, and how many these may be.
    kept: Sum,
    kept_max: usize,
    /// Whether more of them has to go soon, because memory is needed elsewhere.
    gives_way: bool,
    /// How many blocks go at once, and how many rooms are looked at for what is too old.
    per_turn: usize,
    order: Order,
    /// Histories by the second in which something in them is too old.
    by_age: BTreeSet<(u32, HistoryKey)>,
    /// The ends of rooms that have ended and whose history is empty.
    spare: BTreeSet<Deadline>,
    /// Where all of it is written, too, if it is to outlive the process.
    pub(super) journal: Option<Box<Journaled>>,
    pub(crate) counters: HistoryCounters,
}

/// A table of up to this many unused places keeps them.
const SPARE: usize = 64;

/// What every key that is handed out is for.
const THERE: &str = "every key is that of a history";

impl Histories {
    /// None yet, and so many bytes for the blocks of all of them.
    pub(crate) fn new(tuning: &Tuning, kept_max: usize) -> Histories {
        Histories {
            sizes: Sizes::new(tuning),
            elsewhere: Elsewhere::default(),
            histories: Vec::new(),
            free: BinaryHeap::new(),
            count: 0,
            kept: Sum::default(),
            kept_max,
            gives_way: false,
            per_turn: tuning.ends_per_turn,
            order: Order::default(),
            by_age: BTreeSet::new(),
            spare: BTreeSet::new(),
            journal: None,
            counters: HistoryCounters::default(),
        }
    }

    /// The history of a room without messages.
    pub(crate) fn open(&mut self, policy: HistoryPolicy) -> HistoryKey {
        let len = self.histories.len();
        let places = std::iter::from_fn(|| self.free.pop());
        let free = places.map(|Reverse(key)| key).find(|key| key.index() < len);
        let key = free.unwrap_or_else(|| {
            self.histories.push(None);
            self.order.resize(len + 1);
            HistoryKey(u32::try_from(len).expect("fewer than 2^32 rooms"))
        });
        self.histories[key.index()] = Some(Box::new(History::new(policy, 1)));
        self.count += 1;
        key
    }

    /// How long messages of this room are kept.
    pub(crate) fn duration(&self, key: HistoryKey) -> Duration {
        self.histories[key.index()].as_ref().expect(THERE).duration()
    }

    /// The room has ended, and is forgotten at this time.
    pub(crate) fn end(&mut self, key: HistoryKey, deadline: Deadline) {
        let history = self.histories[key.index()].as_mut().expect(THERE);
        history.ended = Some(deadline);
        self.spare.extend(history.ended.filter(|_| history.is_empty()));
    }

    /// The room goes on.
    pub(crate) fn resume(&mut self, key: HistoryKey) {
        let ended = self.histories[key.index()].as_mut().expect(THERE).ended.take();
        ended.into_iter().for_each(|deadline| {
            self.spare.remove(&deadline);
        });
    }

    /// When the room is forgotten that ended first of those whose histories are empty.
    pub(crate) fn first_empty(&self) -> Option<Deadline> {
        self.spare.first().copied()
    }

    /// The room is forgotten.
    pub(crate) fn close(&mut self, key: HistoryKey) {
        self.change(key, |history| history.blocks.clear());
        self.resume(key);
        self.order.remove(key);
        let history = self.histories[key.index()].take().expect(THERE);
        self.kept.take_off(history.heap_bytes());
        let due = history.due;
        due.into_iter().for_each(|due| assert!(self.by_age.remove(&(due, key)), "it was there"));
        self.count -= 1;
        self.free.push(Reverse(key));
        self.drop_places();
        self.leave_journal(key);
    }

    /// Frees the places at the end that have no history.
    fn drop_places(&mut self) {
        while self.histories.last().is_some_and(Option::is_none) {
            self.histories.pop();
        }
        let len = self.histories.len();
        self.order.resize(len);
        if self.histories.capacity() > SPARE && len < self.histories.capacity() / 4 {
            self.histories.shrink_to(2 * len);
        }
        if self.free.len() > 2 * len + SPARE {
            self.free.retain(|Reverse(key)| key.index() < len);
            self.free.shrink_to(len + SPARE);
        }
    }

    /// Keeps a room's next message, as long as there is memory.
    pub(crate) fn append(&mut self, key: HistoryKey, frame: Frame<'_>, now: Time) {
        self.append_at(key, frame, second_of(now));
    }

    /// The same for a message that was numbered in this second.
    pub(super) fn append_at(&mut self, key: HistoryKey, frame: Frame<'_>, second: u32) {
        let sizes = self.sizes;
        self.use_now(key, |history| history.append(frame, second, sizes));
        self.schedule(key);
        self.journal_newest(key);
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
            history.expire(now.as_nanos(), usize::MAX);
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
            history.expire(now.as_nanos(), usize::MAX);
            history.newest(messages, sizes)
        })
    }

    fn use_now<R>(&mut self, key: HistoryKey, change: impl FnOnce(&mut History) -> R) -> R {
        let result = self.change(key, change);
        if !self.histories[key.index()].as_ref().expect(THERE).is_empty() {
            self.order.use_now(key);
        }
        self.evict(self.kept_max, EVICTED_PER_USE);
        // A large message takes as many small ones along as it must.
        self.evict(most(self.kept_max), usize::MAX);
        result
    }

    pub(super) fn change<R>(
        &mut self,
        key: HistoryKey,
        change: impl FnOnce(&mut History) -> R,
    ) -> R {
        let history = self.histories[key.index()].as_mut().expect(THERE);
        let before = history.heap_bytes();
        let result = change(history);
        self.kept.change(before, history.heap_bytes());
        if !history.blocks.dropped.is_empty() {
            let dropped = std::mem::take(&mut history.blocks.dropped);
            dropped.iter().for_each(|block| self.elsewhere.add(block));
        }
        if history.is_empty() {
            self.spare.extend(history.ended);
            self.order.remove(key);
        }
        result
    }

    /// Sees to it that what is too old is freed.
    fn schedule(&mut self, key: HistoryKey) {
        let history = self.histories[key.index()].as_mut().expect(THERE);
        if history.due.is_none() {
            history.due = history.next_due();
            self.by_age.extend(history.due.map(|due| (due, key)));
        }
    }

    /// The oldest messages of the rooms that were used least recently go while blocks have more than so
    /// many bytes; at most so many blocks.
    fn evict(&mut self, bytes: usize, most: usize) {
        for _ in 0..most {
            let oldest = self.order.oldest().filter(|_| self.kept.get() > bytes);
            let Some(key) = oldest else { return };
            self.counters.evicted += self.change(key, History::evict_oldest);
        }
    }

    /// So many bytes are needed elsewhere: frees some of them, or as much as one turn may. Returns how
    /// many those were.
    pub(crate) fn give_way(&mut self, bytes: usize) -> usize {
        let (kept, least) = (self.kept.get(), self.kept.get().saturating_sub(bytes));
        self.evict(least, self.per_turn);
        self.gives_way = bytes > 0 && self.kept.get() > least;
        kept - self.kept.get()
    }

    /// Frees what is too old, and what is too much, as far as one turn may.
    pub(crate) fn on_time(&mut self, now: Time) {
        self.elsewhere.on_time(now);
        let mut left = self.per_turn;
        while left > 0
            && let Some((due, key)) = self.by_age.first().copied()
            && u64::from(due) <= now.as_nanos() / NANOS
        {
            self.by_age.remove(&(due, key));
            let freed = self.change(key, |history| {
                history.due = None;
                history.expire(now.as_nanos(), left)
            });
            self.schedule(key);
            left -= freed.max(1);
        }
        self.evict(self.kept_max, self.per_turn);
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        if self.kept.get() > self.kept_max || self.gives_way {
            return Some(Time::default());
        }
        let due = self.by_age.first().map(|(due, _)| Time::from_nanos(u64::from(*due) * NANOS));
        due.into_iter().chain(self.elsewhere.next_deadline()).min()
    }

    /// Bytes of all histories, and of the tables, and of blocks that only others refer to.
    pub(crate) fn bytes(&self) -> usize {
        self.kept.get()
            + self.count * vec_bytes::<History>(1)
            + self.elsewhere.bytes()
            + vec_bytes::<Option<Box<History>>>(self.histories.capacity())
            + vec_bytes::<HistoryKey>(self.free.capacity())
            + self.order.bytes()
            + tree_bytes::<(u32, HistoryKey), ()>(self.by_age.len())
            + tree_bytes::<Deadline, ()>(self.spare.len())
            + self.journal.as_ref().map_or(0, |journal| journal.bytes())
    }

    /// How many rooms have a history.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Asserts what holds between any two messages.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        let histories = || self.histories.iter().flatten();
        histories().for_each(|history| history.check());
        self.journal.iter().for_each(|journal| journal.check());
        let kept = histories().map(|history| history.heap_bytes()).sum::<usize>();
        assert_eq!(self.kept.get(), kept, "bytes of histories");
        assert_eq!(self.count, histories().count(), "rooms with a history");
        assert!(self.count == 0 || self.histories.last().is_some_and(Option::is_some));
        let keys = || (0..).map(HistoryKey).zip(self.histories.iter());
        let due = keys().filter_map(|(key, history)| Some((history.as_ref()?.due?, key)));
        assert_eq!(self.by_age, due.collect(), "each is looked at when it is due");
        let holding = histories().filter(|history| !history.is_empty()).count();
        assert_eq!(self.order.check(), holding, "each that holds messages may give way");
        let empty = histories().filter(|history| history.is_empty());
        let spare: BTreeSet<_> = empty.filter_map(|history| history.ended).collect();
        assert_eq!(self.spare, spare, "rooms that have ended and of which nothing is kept");
        assert!(kept <= most(self.kept_max), "histories have little more than they may");
    }
}

/// Blocks that one message pushes out at most, unless it is so large that more must go.
const EVICTED_PER_USE: usize = 16;

/// What blocks may have until the rest of what is too much has gone.
fn most(kept_max: usize) -> usize {
    kept_max.saturating_add(kept_max / 16)
}

/// The second in which something happens, rounded up, so that no message goes before its time.
pub(super) fn second_of(now: Time) -> u32 {
    u32::try_from(now.as_nanos().div_ceil(NANOS)).unwrap_or(u32::MAX)
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
        let mut histories = Histories::new(&Tuning::DEFAULT, 30 << 10);
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
        let empty = histories.kept.get();
        let room = histories.open(POLICY);
        for second in 0..30 {
            publish(&mut histories, room, Time::default() + Duration::from_secs(second));
        }
        assert!(histories.kept.get() > 30 * 100);
        for _ in 0..60 {
            let Some(due) = histories.next_deadline() else { break };
            histories.on_time(due);
            histories.check();
            assert!(histories.next_deadline().is_none_or(|next| next > due), "it gets on");
        }
        assert_eq!(histories.next_deadline(), None);
        histories.close(room);
        histories.check();
        assert_eq!((histories.kept.get(), histories.count()), (empty, 0));
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

    /// Publishes a message of so many bytes to a room of its own.
    fn publish_large(histories: &mut Histories, bytes: usize) {
        let policy = HistoryPolicy { bytes, ..POLICY };
        let (room, frame) = (histories.open(policy), vec![0; bytes].into());
        histories.append(room, Frame::Shared(&frame), Time::default());
        histories.check();
    }

    #[test]
    fn a_large_message_pushes_many_small_ones_out_over_several_turns_unless_it_must_be_at_once() {
        const MOST: usize = 1 << 20;
        let mut histories = Histories::new(&Tuning::DEFAULT, MOST);
        while histories.counters.evicted == 0 {
            let room = histories.open(POLICY);
            publish(&mut histories, room, Time::default());
        }
        publish_large(&mut histories, 60_000);
        assert_eq!(histories.counters.evicted, 1 + EVICTED_PER_USE as u64);
        assert!(histories.kept.get() > MOST);
        assert_eq!(histories.next_deadline(), Some(Time::default()), "the rest is due");
        histories.on_time(Time::default());
        histories.check();
        assert!(histories.kept.get() <= MOST);
        let evicted = histories.counters.evicted;
        publish_large(&mut histories, 500_000);
        let after = histories.counters.evicted - evicted;
        assert!(after > 20 * EVICTED_PER_USE as u64, "{after} had to go at once");
    }

    #[test]
    fn tables_shrink_when_most_rooms_are_forgotten() {
        let mut histories = Histories::new(&Tuning::DEFAULT, 1 << 20);
        let empty = histories.bytes();
        let rooms: Vec<_> = (0..5_000).map(|_| histories.open(POLICY)).collect();
        let full = histories.bytes();
        let (stays, goes): (Vec<_>, Vec<_>) = rooms.iter().partition(|room| room.0 % 500 == 3);
        goes.iter().for_each(|room| histories.close(*room));
        histories.check();
        let again: Vec<_> = (0..3_000).map(|_| histories.open(POLICY)).collect();
        histories.check();
        let keys: BTreeSet<_> = again.iter().chain(&stays).collect();
        assert_eq!(keys.len(), again.len() + stays.len(), "each has a place of its own");
        again.iter().chain(&stays).for_each(|room| histories.close(*room));
        histories.check();
        assert!(full > 5_000 * 100 && histories.bytes() < empty + 64 * 40, "{}", histories.bytes());
    }
}
