//! The histories in their journal: what is written when, and what is written again.

use super::block::Frame;
use super::order::HistoryKey;
use super::room::History;
use super::table::{Histories, second_of};
use crate::epoch::Epoch;
use crate::journal::{Journal, JournalStore, JournalTag, KeptRoom, Place, Record};
use crate::memory::vec_bytes;
use crate::room_name::RoomName;
use crate::shard_stats::JournalCounters;
use crate::time::Time;

/// What is kept in the journal of the rooms that have a history.
#[derive(Debug)]
pub(super) struct Journaled {
    journal: Journal,
    /// By key.
    rooms: Vec<Entered>,
}

/// A room as the journal knows it.
#[derive(Debug, Default)]
struct Entered {
    /// Counts the rooms that had this key, so that their records are told apart.
    life: u32,
    room: Option<(RoomName, Epoch)>,
    /// The last offset that the journal knows.
    offset: u64,
    /// Where its newest record without a message is, if it has one.
    named_at: Option<u64>,
}

/// So much is looked at from the oldest records on, for each byte of new ones, once the ring is half
/// full: so a third of it at most is written between two times that a record is written again.
const PACE: usize = 3;

/// The part of a ring that a message may take; of a larger one only its offset is kept. What histories
/// keep in memory is always smaller.
const MESSAGE_SHARE: u64 = 2;

impl Histories {
    /// From here on what is kept is also written there, which has nothing of it yet.
    pub(crate) fn begin_journal(&mut self, tag: &JournalTag, store: Box<dyn JournalStore>) {
        let journal = Journal::new(tag, store);
        self.journal = Some(Box::new(Journaled { journal, rooms: Vec::new() }));
    }

    /// A history is this room's, in this life.
    pub(crate) fn enter_journal(&mut self, key: HistoryKey, room: &RoomName, epoch: Epoch) {
        let Some(journaled) = &mut self.journal else { return };
        let index = key.0 as usize;
        if index >= journaled.rooms.len() {
            journaled.rooms.resize_with(index + 1, Entered::default);
        }
        let entered = &mut journaled.rooms[index];
        entered.life = entered.life.wrapping_add(1);
        entered.room = Some((room.clone(), epoch));
        entered.offset = 0;
        entered.named_at = None;
    }

    /// The room is forgotten, and its records with it.
    pub(super) fn leave_journal(&mut self, key: HistoryKey) {
        let Some(journaled) = &mut self.journal else { return };
        if let Some(entered) = journaled.rooms.get_mut(key.0 as usize) {
            entered.room = None;
        }
    }

    /// A room has one more message: it is written, or if it is not kept, that its offset was given.
    pub(super) fn journal_newest(&mut self, key: HistoryKey) {
        if let Some(journaled) = &mut self.journal {
            journaled.push_newest(&self.histories, key.0, &mut self.counters.journal);
        }
    }

    /// A room goes on with what was kept of it, as far as its policy still keeps that.
    pub(crate) fn take_up(&mut self, key: HistoryKey, kept: &KeptRoom, now: Time) {
        self.change(key, |history| history.begin_at(kept.first()));
        if let Some(journaled) = &mut self.journal {
            // Its messages follow; without any it still has its offset.
            let before = kept.first() - 1;
            journaled.push_room(&self.histories, key.0, before, &mut self.counters.journal);
        }
        for (second, frame) in kept.frames() {
            self.append_at(key, Frame::Loose(frame), second.min(second_of(now)));
        }
        self.on_time(now);
        self.counters.journal.taken_up += 1;
    }

    /// All that happened is in the file when this returns: to be called before any of it leaves.
    pub(crate) fn write_out(&mut self) {
        let Some(journaled) = &mut self.journal else { return };
        journaled.journal.write_out();
        if journaled.journal.is_broken() {
            self.counters.journal.failed = 1;
            self.journal = None;
        }
    }
}

/// Histories by their keys.
trait ByKey {
    fn history(&self, key: u32) -> Option<&History>;
}

impl ByKey for [Option<Box<History>>] {
    fn history(&self, key: u32) -> Option<&History> {
        self.get(key as usize)?.as_deref()
    }
}

impl Journaled {
    fn push_newest(
        &mut self,
        histories: &[Option<Box<History>>],
        key: u32,
        counters: &mut JournalCounters,
    ) {
        let Some(history) = histories.history(key) else { return };
        let Some((_, epoch)) = self.room(key) else { return };
        let (epoch, offset) = (*epoch, history.last());
        let Some((second, frame)) = history.message(offset) else {
            return self.push_room(histories, key, offset, counters);
        };
        let record = Record::Message { epoch, offset, second, frame };
        if record.len() as u64 > self.journal.capacity() / MESSAGE_SHARE {
            counters.lost += 1;
            return self.push_room(histories, key, offset, counters);
        }
        self.make_space(histories, record.len(), counters);
        let entered = &self.rooms[key as usize];
        if entered.named_at.is_none() {
            self.push_room(histories, key, entered.offset, counters);
            self.make_space(histories, record.len(), counters);
        }
        self.push(key, &record, counters);
    }

    /// Writes what a room is, and that its last offset is this one or a later message's.
    fn push_room(
        &mut self,
        histories: &[Option<Box<History>>],
        key: u32,
        offset: u64,
        counters: &mut JournalCounters,
    ) {
        let Some((name, epoch)) = self.room(key).cloned() else { return };
        let record = Record::Room { epoch, offset, name: name.as_str() };
        self.make_space(histories, record.len(), counters);
        self.push(key, &record, counters);
    }

    fn room(&self, key: u32) -> Option<&(RoomName, Epoch)> {
        self.rooms.get(key as usize)?.room.as_ref()
    }

    fn push(&mut self, key: u32, record: &Record<'_>, counters: &mut JournalCounters) {
        if !self.journal.fits(record.len()) {
            // An offset that is not in the file could be given twice.
            return self.journal.give_up();
        }
        counters.bytes += record.len() as u64;
        self.append(key, record);
    }

    fn append(&mut self, key: u32, record: &Record<'_>) {
        let entered = &mut self.rooms[key as usize];
        let position = self.journal.push((key, entered.life), record);
        match record {
            Record::Room { offset, .. } => {
                entered.named_at = Some(position);
                entered.offset = *offset;
            }
            Record::Message { offset, .. } => entered.offset = entered.offset.max(*offset),
        }
    }

    /// Sees to it that so many bytes fit. The oldest records are written again as long as they are
    /// needed, some for each new one; where that is not enough they are given up.
    fn make_space(
        &mut self,
        histories: &[Option<Box<History>>],
        bytes: usize,
        counters: &mut JournalCounters,
    ) {
        let is_half_full = self.journal.used() > self.journal.capacity() / 2;
        let mut pace = if is_half_full { PACE * bytes } else { 0 };
        while (pace > 0 || !self.journal.fits(bytes))
            && let Some(place) = self.journal.oldest()
        {
            let may_copy = pace > 0 && self.journal.fits(place.len() + bytes);
            match self.write_again(histories, place, may_copy) {
                Oldest::Needless => {}
                Oldest::Written => counters.bytes_again += place.len() as u64,
                Oldest::Lost => counters.lost += 1,
            }
            self.journal.drop_oldest();
            pace = pace.saturating_sub(place.len());
        }
    }

    /// Writes the oldest record again if it is needed and may be written; that of a room then says
    /// how far its records have got by now.
    fn write_again(
        &mut self,
        histories: &[Option<Box<History>>],
        place: Place,
        may_copy: bool,
    ) -> Oldest {
        let key = place.key;
        let entered = &self.rooms[key as usize];
        let (Some((name, epoch)), Some(history)) = (entered.room.clone(), histories.history(key))
        else {
            return Oldest::Needless;
        };
        let is_newest = entered.named_at == Some(self.journal.tail());
        let record = match (entered.life == place.life, place.offset) {
            (false, _) => None,
            (true, 0) => {
                let (offset, name) = (entered.offset, name.as_str());
                is_newest.then_some(Record::Room { epoch, offset, name })
            }
            (true, offset) => history.message(offset).map(|(second, frame)| Record::Message {
                epoch,
                offset,
                second,
                frame,
            }),
        };
        let Some(record) = record else { return Oldest::Needless };
        if may_copy {
            self.append(key, &record);
            return Oldest::Written;
        }
        if place.offset == 0 {
            self.rooms[key as usize].named_at = None;
        }
        Oldest::Lost
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.journal.bytes() + vec_bytes::<Entered>(self.rooms.capacity())
    }

    /// Asserts what holds between any two messages.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) {
        self.journal.check();
    }
}

/// What became of the oldest record.
enum Oldest {
    Needless,
    Written,
    Lost,
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;
    use crate::history::Frame;
    use crate::history::text_frame as frame;
    use crate::journal::{JOURNAL_HEAD_BYTES, JournalFile, JournalRefusal};
    use crate::policy::HistoryPolicy;
    use crate::rng::Rng;
    use crate::tuning::Tuning;

    /// Where something was written, and what.
    type Write = (usize, Vec<u8>);

    /// A file, and the writes to it since it was last looked at.
    #[derive(Clone, Debug, Default)]
    struct Disk {
        bytes: Rc<RefCell<Vec<u8>>>,
        writes: Rc<RefCell<Vec<Write>>>,
        fails: Rc<RefCell<bool>>,
    }

    impl JournalStore for Disk {
        fn write(&mut self, at: u64, bytes: &[u8]) -> bool {
            let at = at as usize;
            self.bytes.borrow_mut()[at..at + bytes.len()].copy_from_slice(bytes);
            self.writes.borrow_mut().push((at, bytes.to_vec()));
            !*self.fails.borrow()
        }

        fn give_up(&mut self) {
            self.bytes.borrow_mut().clear();
        }
    }

    impl Disk {
        fn new(tag: &JournalTag) -> Disk {
            let disk = Disk::default();
            *disk.bytes.borrow_mut() = vec![0; (JOURNAL_HEAD_BYTES + tag.capacity) as usize];
            disk
        }
    }

    fn tag(capacity: u64) -> JournalTag {
        JournalTag { boot: [1; 16], set: 2, shard: 0, shards: 1, file: [3, 4, 5], capacity }
    }

    fn read(bytes: &[u8], tag: &JournalTag) -> Result<Vec<KeptRoom>, JournalRefusal> {
        let file = JournalFile::read(bytes, bytes.len() as u64, tag)?;
        let places = file.places().map(|(at, len)| &bytes[at as usize..at as usize + len]);
        file.rooms(&places.concat())
    }

    /// Rooms that are opened, published to and forgotten at random, and the frames of each.
    struct World {
        tag: JournalTag,
        disk: Disk,
        histories: Histories,
        rooms: BTreeMap<String, (HistoryKey, u64, Vec<Vec<u8>>)>,
        epochs: u64,
        now: Time,
        chance: Rng,
    }

    impl World {
        fn new(seed: u64, (memory, capacity): (usize, u64)) -> World {
            let tag = tag(capacity);
            let disk = Disk::new(&tag);
            let mut histories = Histories::new(&Tuning::DEFAULT, memory);
            histories.begin_journal(&tag, Box::new(disk.clone()));
            let (rooms, now) = (BTreeMap::new(), Time::default());
            let chance = Rng::new(seed.into(), 0);
            World { tag, disk, histories, rooms, epochs: 0, now, chance }
        }

        fn below(&mut self, most: u64) -> u64 {
            self.chance.next() % most
        }

        fn step(&mut self) {
            self.now = self.now + Duration::from_millis(self.below(400));
            self.histories.on_time(self.now);
            let name = format!("room-{}", self.below(6));
            match (self.below(20), self.rooms.contains_key(&name)) {
                (0, true) => {
                    let (key, ..) = self.rooms.remove(&name).unwrap();
                    self.histories.close(key);
                }
                (_, false) => self.open(&name),
                (_, true) => self.publish(&name),
            }
            self.histories.check();
        }

        fn open(&mut self, name: &str) {
            let policy = HistoryPolicy { messages: 12, bytes: 900, seconds: 20 };
            let key = self.histories.open(policy);
            self.epochs += 1;
            let epoch = Epoch::from_bits(self.epochs);
            self.histories.enter_journal(key, &RoomName::new(name).unwrap(), epoch);
            self.rooms.insert(name.to_owned(), (key, self.epochs, Vec::new()));
        }

        fn publish(&mut self, name: &str) {
            let letters = [3, 30, 300, 1_000][self.below(4) as usize];
            let (key, _, frames) = self.rooms.get_mut(name).unwrap();
            let frame = frame(&format!("{name} {} {}", frames.len(), "x".repeat(letters)));
            self.histories.append(*key, Frame::Loose(&frame), self.now);
            frames.push(frame);
        }

        /// What a process finds that comes after this one knows every room as this one does, with no
        /// fewer messages, unless something was given up for want of space.
        fn judge(&self, found: &[KeptRoom]) {
            let counters = &self.histories.counters.journal;
            for kept in found {
                let Some((_, epoch, frames)) = self.rooms.get(kept.name().as_str()) else {
                    continue;
                };
                if kept.epoch.bits() != *epoch {
                    assert!(frames.is_empty() || counters.lost > 0, "{kept:?} was another");
                    continue;
                }
                assert_eq!(kept.offset, frames.len() as u64, "{kept:?} has the last offset");
                let kept_frames: Vec<_> = kept.frames().map(|(_, frame)| frame.to_vec()).collect();
                assert_eq!(kept_frames, frames[kept.first() as usize - 1..], "{kept:?}");
            }
            for (name, (key, epoch, frames)) in &self.rooms {
                let history = self.histories.histories.history(key.0).unwrap();
                let kept = found.iter().find(|kept| kept.name().as_str() == name);
                let kept = kept.filter(|kept| kept.epoch.bits() == *epoch);
                let first = (1..)
                    .find(|first| history.message(*first).is_some() || *first > history.last());
                match (kept, first) {
                    (Some(kept), Some(first)) => {
                        assert!(kept.first() <= first || counters.lost > 0, "{kept:?}: {first}");
                    }
                    (None, _) => assert!(frames.is_empty() || counters.lost > 0, "{name} is lost"),
                    (Some(_), None) => unreachable!("every range ends"),
                }
            }
        }
    }

    fn runs(capacity: u64) -> (u64, u64) {
        let (mut again, mut lost) = (0, 0);
        for seed in 0..40 {
            let mut world = World::new(seed, (4 << 10, capacity));
            for _ in 0..400 {
                world.step();
                if world.below(3) == 0 {
                    world.histories.write_out();
                    let bytes = world.disk.bytes.borrow();
                    world.judge(&read(&bytes, &world.tag).expect("it is whole"));
                }
            }
            again += world.histories.counters.journal.bytes_again;
            lost += world.histories.counters.journal.lost;
        }
        (again, lost)
    }

    #[test]
    fn all_that_is_kept_is_in_the_journal_however_often_its_ring_goes_round() {
        let (again, lost) = runs(16 << 10);
        assert!(again > 0 && lost == 0, "{again} bytes again, {lost} lost");
    }

    #[test]
    fn what_does_not_fit_a_journal_is_refused_and_never_wrong() {
        for capacity in [1_500, 2_000, 2_500] {
            let (again, lost) = runs(capacity);
            assert!(again > 0 && lost > 0, "{again} bytes again, {lost} lost of {capacity}");
        }
    }

    #[test]
    fn what_is_torn_while_it_is_written_counts_not_at_all_or_refuses_all() {
        for seed in 0..20 {
            let mut world = World::new(seed, (4 << 10, 8 << 10));
            for _ in 0..120 {
                world.histories.write_out();
                let mut before = world.disk.bytes.borrow().clone();
                let expected = read(&before, &world.tag).expect("it is whole");
                world.disk.writes.borrow_mut().clear();
                (0..3).for_each(|_| world.step());
                world.histories.write_out();
                let after = read(&world.disk.bytes.borrow(), &world.tag).expect("it is whole");
                for (at, bytes) in world.disk.writes.borrow().iter() {
                    for (index, byte) in bytes.iter().enumerate() {
                        match read(&before, &world.tag) {
                            Ok(found) => {
                                assert!(found == expected || found == after, "{at} {index}")
                            }
                            Err(reason) => {
                                assert!(
                                    (512..532).contains(&(at + index)),
                                    "{at} {index}: {reason}"
                                );
                            }
                        }
                        before[at + index] = *byte;
                    }
                }
                assert_eq!(before, *world.disk.bytes.borrow(), "all writes were seen");
            }
        }
    }

    #[test]
    fn a_journal_that_cannot_be_written_is_given_up_and_histories_go_on() {
        let mut world = World::new(1, (4 << 10, 8 << 10));
        (0..50).for_each(|_| world.step());
        *world.disk.fails.borrow_mut() = true;
        (0..50).for_each(|_| world.step());
        world.histories.write_out();
        assert!(world.disk.bytes.borrow().is_empty(), "it can never be taken up");
        assert_eq!(world.histories.counters.journal.failed, 1);
        assert!(world.histories.journal.is_none());
        (0..50).for_each(|_| world.step());
    }

    #[test]
    fn rooms_go_on_from_a_journal_as_far_as_their_policy_keeps_them() {
        let mut world = World::new(3, (32 << 10, 96 << 10));
        (0..300).for_each(|_| world.step());
        world.histories.write_out();
        let found = read(&world.disk.bytes.borrow(), &world.tag).unwrap();
        assert!(found.iter().map(KeptRoom::messages).sum::<usize>() > 5, "{found:?}");
        let mut next = Histories::new(&Tuning::DEFAULT, 64 << 10);
        let disk = Disk::new(&world.tag);
        next.begin_journal(&world.tag, Box::new(disk.clone()));
        let few = HistoryPolicy { messages: 3, bytes: 900, seconds: 60 };
        for kept in &found {
            let key = next.open(few);
            next.enter_journal(key, kept.name(), kept.epoch);
            next.take_up(key, kept, world.now);
            next.check();
            let history = next.histories.history(key.0).unwrap();
            assert_eq!(history.last(), kept.offset, "{kept:?}");
            for (offset, (_, frame)) in (kept.first()..).zip(kept.frames()) {
                let there = history.message(offset).map(|(_, frame)| frame.to_vec());
                assert!(there.is_none_or(|there| there == frame), "{kept:?} at {offset}");
                let must = offset + 1 > kept.offset && frame.len() <= 900;
                assert!(history.message(offset).is_some() || !must, "{kept:?} at {offset}");
            }
        }
        next.write_out();
        let again = read(&disk.bytes.borrow(), &world.tag).unwrap();
        let ends = |rooms: &[KeptRoom]| -> Vec<_> {
            rooms.iter().map(|kept| (kept.name().clone(), kept.epoch, kept.offset)).collect()
        };
        assert_eq!(ends(&again), ends(&found), "the next journal has the same rooms");
    }
}
