//! Which entry of a table a room's name stands for.

use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::id::ShardId;
use crate::memory::{block, map_bytes};
use crate::room_name::{RoomName, SecretHash};

/// Where each name stands in a list, whose entries have the names: here is only the number of the
/// entry. So what doubles when it is full is five bytes for each place.
#[derive(Debug)]
pub(crate) struct NameIndex {
    secret: SecretHash,
    numbers: HashTable<u32>,
}

/// An index of up to so many places keeps them.
const SPARE: usize = 128;

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

/// All rooms of one home have the lowest bits of the hash in common, which chose the home, and in
/// which a search would begin: here other bits are the lowest.
fn hash_of(secret: &SecretHash, name: &str) -> u64 {
    secret.hash_one(name).rotate_left(32)
}

impl NameIndex {
    pub(crate) fn new(secret: SecretHash) -> NameIndex {
        NameIndex { secret, numbers: HashTable::new() }
    }

    pub(crate) fn home(&self, room: &str, shards: u16) -> ShardId {
        self.secret.home(room, shards)
    }

    /// The entry with this name; `name_of` says what an entry is called.
    pub(crate) fn find<'a>(
        &self,
        name: &str,
        name_of: impl Fn(u32) -> &'a RoomName,
    ) -> Option<u32> {
        let is_it = |number: &u32| name_of(*number).as_str() == name;
        self.numbers.find(hash_of(&self.secret, name), is_it).copied()
    }

    /// Adds an entry whose name is not there; `name_of` says what all are called, this one, too.
    pub(crate) fn insert<'a>(&mut self, number: u32, name_of: impl Fn(u32) -> &'a RoomName) {
        let hash = |number: &u32| hash_of(&self.secret, name_of(*number).as_str());
        self.numbers.insert_unique(hash(&number), number, hash);
    }

    /// Takes an entry out; `name_of` says what all are called, this one, too. Memory is freed when most
    /// of it is unused.
    pub(crate) fn remove<'a>(&mut self, number: u32, name_of: impl Fn(u32) -> &'a RoomName) {
        let hash = |number: &u32| hash_of(&self.secret, name_of(*number).as_str());
        let found = self.numbers.find_entry(hash(&number), |other| *other == number);
        found.expect("an entry that is there was inserted").remove();
        let places = self.numbers.num_buckets();
        if places > SPARE && self.numbers.len() < places / 8 {
            self.numbers.shrink_to(2 * self.numbers.len(), hash);
        }
    }

    /// An entry is now the one with number `to`.
    pub(crate) fn renumber(&mut self, name: &str, from: u32, to: u32) {
        let found = self.numbers.find_mut(hash_of(&self.secret, name), |other| *other == from);
        *found.expect("an entry that is there was inserted") = to;
    }

    /// Bytes of the index.
    pub(crate) fn bytes(&self) -> usize {
        block(self.numbers.allocation_size())
    }

    /// How many names it has.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::rng::Rng;

    fn name(number: u64) -> RoomName {
        RoomName::new(&format!("room-{number}")).expect("legal")
    }

    #[test]
    fn names_are_found_while_entries_come_move_and_go() {
        let mut index = NameIndex::new(SecretHash::new(7));
        let (mut entries, mut numbers) = (Vec::new(), BTreeMap::new());
        let mut rng = Rng::new(1, 0);
        let mut sizes = Vec::new();
        for round in 0..60_000_u64 {
            let grows = round / 10_000 % 2 == 0;
            let wanted = name(rng.next() % 3_000);
            let found = index.find(wanted.as_str(), |number| &entries[number as usize]);
            assert_eq!(found, numbers.get(&wanted).copied());
            match found {
                None if grows => {
                    let number = push(&mut entries, wanted.clone());
                    index.insert(number, |number| &entries[number as usize]);
                    numbers.insert(wanted, number);
                }
                Some(number) if !grows => {
                    index.remove(number, |number| &entries[number as usize]);
                    entries.swap_remove(number as usize);
                    numbers.remove(&wanted);
                    if let Some(moved) = entries.get(number as usize) {
                        index.renumber(moved.as_str(), entries.len() as u32, number);
                        numbers.insert(moved.clone(), number);
                    }
                }
                _ => {}
            }
            assert_eq!(index.len(), entries.len());
            if round % 10_000 == 9_999 {
                sizes.push((entries.len(), index.bytes()));
            }
        }
        let full = bytes(2_900);
        assert!(sizes.iter().step_by(2).all(|(names, bytes)| *names > 2_800 && *bytes == full));
        let is_small = |(names, bytes): &(usize, usize)| *names < 200 && *bytes < full / 2;
        assert!(sizes.iter().skip(1).step_by(2).all(is_small), "{sizes:?}");
    }

    #[test]
    fn an_index_of_few_is_small_again() {
        let mut index = NameIndex::new(SecretHash::new(7));
        let entries: Vec<RoomName> = (0..10_000).map(name).collect();
        let name_of = |number: u32| &entries[number as usize];
        assert_eq!(index.bytes(), 0);
        (0..10_000).for_each(|number| index.insert(number, name_of));
        assert_eq!(index.bytes(), bytes(10_000));
        (20..10_000).for_each(|number| index.remove(number, name_of));
        assert_eq!(index.bytes(), bytes(SPARE * 7 / 8), "{} bytes", index.bytes());
        assert_eq!(index.find("room-19", name_of), Some(19));
        assert_eq!(index.find("room-20", name_of), None);
    }

    /// Searches that begin at one of few places are long when the names of one home are searched for.
    #[test]
    fn names_of_one_home_begin_anywhere() {
        let secret = SecretHash::new(7);
        let of_home = |name: &RoomName| secret.home(name.as_str(), 64).index() == 0;
        let names: Vec<RoomName> = (0..).map(name).filter(of_home).take(1_000).collect();
        let begin = |name: &RoomName| hash_of(&secret, name.as_str()) % 4_096;
        let places: BTreeSet<u64> = names.iter().map(begin).collect();
        assert!(places.len() > 800, "{} places for {} names", places.len(), names.len());
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
