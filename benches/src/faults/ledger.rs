//! What was promised, and what was got.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Which message: the number of its publisher, and that one's own count. No publisher gives a
/// number twice.
pub(super) type Name = (u64, u64);

/// The messages of all rooms, as their publishers and their members know them.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    /// By room and offset, from whoever knew first.
    messages: HashMap<String, BTreeMap<u64, Name>>,
    /// The last offset of each room that was acknowledged.
    acknowledged: HashMap<String, u64>,
    received: u64,
    faults: Vec<String>,
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A publisher was told that its message stands there.
    pub(super) fn acknowledge(&self, room: &str, offset: u64, name: Name) {
        let mut books = self.books();
        books.stand(room, offset, name);
        let last = books.acknowledged.entry(room.to_owned()).or_default();
        *last = offset.max(*last);
    }

    /// A member got this message.
    pub(super) fn receive(&self, room: &str, offset: u64, name: Name) {
        let mut books = self.books();
        books.received += 1;
        books.stand(room, offset, name);
    }

    /// Something went wrong.
    pub(super) fn fail(&self, fault: String) {
        self.books().faults.push(fault);
    }

    /// Up to where every member of a room has to get.
    pub(super) fn goal(&self, room: &str) -> u64 {
        self.books().acknowledged.get(room).copied().unwrap_or(0)
    }

    /// How much members got in all.
    pub(super) fn received(&self) -> u64 {
        self.books().received
    }

    /// Everything that went wrong, each publisher's order included.
    pub(super) fn judge(&self) -> Vec<String> {
        let mut books = self.books();
        let disorder: Vec<String> = books.messages.iter().filter_map(disorder).collect();
        books.faults.extend(disorder);
        std::mem::take(&mut books.faults)
    }
}

impl Books {
    /// Everybody must agree on what stands at an offset.
    fn stand(&mut self, room: &str, offset: u64, name: Name) {
        let known = self.messages.entry(room.to_owned()).or_default().entry(offset).or_insert(name);
        if *known != name {
            let fault = format!("{room} at {offset}: {known:?} for one and {name:?} for another");
            self.faults.push(fault);
        }
    }
}

/// A message that stands behind a later one of its publisher, or twice.
fn disorder((room, messages): (&String, &BTreeMap<u64, Name>)) -> Option<String> {
    let mut last = HashMap::new();
    messages.iter().find_map(|(offset, (publisher, number))| {
        let before = last.insert(*publisher, *number)?;
        let wrong = before >= *number;
        wrong.then(|| format!("{room} at {offset}: {publisher}'s {number} behind its {before}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_members_and_publishers_know_must_agree() {
        let ledger = Ledger::default();
        ledger.receive("r", 1, (7, 1));
        ledger.acknowledge("r", 1, (7, 1));
        assert_eq!((ledger.goal("r"), ledger.received()), (1, 1));
        assert_eq!(ledger.judge(), Vec::<String>::new());
        ledger.acknowledge("r", 1, (7, 2));
        assert_eq!(ledger.judge().len(), 1);
    }

    #[test]
    fn a_message_that_stands_twice_or_too_late_is_found() {
        for (second, is_wrong) in [(1, true), (2, true), (3, false)] {
            let ledger = Ledger::default();
            ledger.receive("r", 1, (7, 2));
            ledger.receive("r", 2, (8, 1));
            ledger.receive("r", 3, (7, second));
            assert_eq!(!ledger.judge().is_empty(), is_wrong, "{second}");
        }
    }
}
