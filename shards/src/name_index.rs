//! Which entry of a table a room's name stands for.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::id::ShardId;
use crate::memory::map_bytes;
use crate::room_name::{RoomName, SecretHash};

/// Where each name stands in a list, whose entries have the names: here is only the number of the
/// entry. So a name is in memory once for each table, and what doubles when it is full is five bytes
/// for each room.
#[derive(Debug)]
pub(crate) struct NameIndex {
    hash: SecretHash,
    numbers: HashTable<u32>,
}

/// Memory for up to this many names is kept.
const SPARE: usize = 64;

/// So many entries are added to a list that is full. Doubling would leave up to half of them unused.
const fn more(entries: usize) -> usize {
    16 + entries / 8
}

/// Adds an entry to a list that grows by an eighth.
pub(crate) fn push<T>(entries: &mut Vec<T>, entry: T) -> u32 {
    if entries.len() == entries.capacity() {
        entries.reserve_exact(more(entries.len()));
    }
    entries.push(entry);
    u32::try_from(entries.len() - 1).expect("fewer than 2^32 rooms")
}

/// The capacity of a list to which so many entries were added.
pub(crate) const fn capacity(entries: usize) -> usize {
    let mut capacity = 0;
    while capacity < entries {
        capacity += more(capacity);
    }
    capacity
}

/// Bytes of an index with so many names.
pub(crate) fn bytes(names: usize) -> usize {
    map_bytes::<u32, ()>(names)
}

impl NameIndex {
    pub(crate) fn new(hash: SecretHash) -> NameIndex {
        NameIndex { hash, numbers: HashTable::new() }
    }

    pub(crate) fn home(&self, room: &str, shards: u16) -> ShardId {
        self.hash.home(room, shards)
    }

    /// The entry with this name; `name_of` says what an entry is called.
    pub(crate) fn find<'a>(
        &self,
        name: &str,
        name_of: impl Fn(u32) -> &'a RoomName,
    ) -> Option<u32> {
        let is_it = |number: &u32| name_of(*number).as_str() == name;
        self.numbers.find(self.hash.hash_one(name), is_it).copied()
    }

    /// Adds an entry whose name is not there; `name_of` says what all are called, this one, too.
    pub(crate) fn insert<'a>(&mut self, number: u32, name_of: impl Fn(u32) -> &'a RoomName) {
        let hash = |number: &u32| self.hash.hash_one(name_of(*number).as_str());
        self.numbers.insert_unique(hash(&number), number, hash);
    }

    /// Takes an entry out; `name_of` says what all are called, this one, too. Memory is freed when most
    /// of it is unused.
    pub(crate) fn remove<'a>(&mut self, number: u32, name_of: impl Fn(u32) -> &'a RoomName) {
        let hash = |number: &u32| self.hash.hash_one(name_of(*number).as_str());
        let found = self.numbers.find_entry(hash(&number), |other| *other == number);
        found.expect("an entry that is there was inserted").remove();
        if self.numbers.capacity() > SPARE && self.numbers.len() < self.numbers.capacity() / 8 {
            self.numbers.shrink_to(2 * self.numbers.len(), hash);
        }
    }

    /// An entry is now the one with number `to`.
    pub(crate) fn renumber(&mut self, name: &str, from: u32, to: u32) {
        let hash = self.hash.hash_one(name);
        let found = self.numbers.find_mut(hash, |other| *other == from);
        *found.expect("an entry that is there was inserted") = to;
    }

    /// Bytes of the index.
    pub(crate) fn bytes(&self) -> usize {
        bytes(self.numbers.capacity())
    }

    /// How many names it has.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn name(number: u64) -> RoomName {
        RoomName::new(&format!("room-{number}")).expect("legal")
    }

    #[test]
    fn names_are_found_while_entries_come_move_and_go() {
        let mut index = NameIndex::new(SecretHash::new(7));
        let mut entries: Vec<RoomName> = Vec::new();
        let mut rng = Rng::new(1, 0);
        let mut most = 0;
        for round in 0..40_000_u64 {
            let (grows, wanted) = (round / 5_000 % 2 == 0, name(rng.next() % 4_000));
            let found = index.find(wanted.as_str(), |number| &entries[number as usize]);
            let expected = entries.iter().position(|other| *other == wanted);
            assert_eq!(found.map(|number| number as usize), expected);
            match found {
                None if grows => {
                    let number = push(&mut entries, wanted);
                    index.insert(number, |number| &entries[number as usize]);
                }
                Some(number) if !grows => {
                    index.remove(number, |number| &entries[number as usize]);
                    entries.swap_remove(number as usize);
                    if let Some(moved) = entries.get(number as usize) {
                        index.renumber(moved.as_str(), entries.len() as u32, number);
                    }
                }
                _ => {}
            }
            assert_eq!(index.len(), entries.len());
            most = most.max(entries.len());
        }
        assert!(most > 2_000, "{most} names at most");
    }

    #[test]
    fn an_index_of_few_is_small_again() {
        let mut index = NameIndex::new(SecretHash::new(7));
        let entries: Vec<RoomName> = (0..10_000).map(name).collect();
        let name_of = |number: u32| &entries[number as usize];
        (0..10_000).for_each(|number| index.insert(number, name_of));
        assert_eq!(index.bytes(), bytes(10_000));
        (100..10_000).for_each(|number| index.remove(number, name_of));
        assert!(index.bytes() <= 8 * bytes(100), "{} bytes", index.bytes());
        assert_eq!(index.find("room-99", name_of), Some(99));
        assert_eq!(index.find("room-100", name_of), None);
    }

    #[test]
    fn a_list_has_the_capacity_that_is_computed() {
        let mut entries = Vec::new();
        for count in 1..5_000 {
            push(&mut entries, count);
            assert_eq!(entries.capacity(), capacity(count));
        }
        assert_eq!(capacity(0), 0);
    }
}
