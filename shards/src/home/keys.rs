//! Which publishes with a key a home remembers, and for how long.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::memory::{Sum, block, map_bytes, shared_bytes, vec_bytes};
use crate::publish_key::PublishKey;
use crate::room_name::{RoomName, SecretHash};
use crate::shard_stats::PublishKeyCounters;
use crate::time::Time;

/// The offsets of publishes that had a key. They outlive their rooms: as long as a key is remembered,
/// nothing is delivered a second time, whatever became of the room.
///
/// Invariant: a key's time begins with its publish and is the same for all. So they end in the order
/// in which they came.
#[derive(Debug)]
pub(super) struct PublishKeys {
    published: HashMap<Arc<str>, Published, SecretHash>,
    /// The same keys in the order of their ends. One that is over may stand in it still, while the
    /// same key was published anew.
    ends: VecDeque<(Time, Arc<str>)>,
    /// How long a key is remembered, and how many of them are.
    time: Duration,
    most: usize,
    /// When more are forgotten, if that was too much for one turn.
    goes_on_at: Time,
    /// Bytes of the keys, each with its room.
    owned: Sum,
    counters: PublishKeyCounters,
    /// Where room and key are put together to look for them.
    entry: String,
}

#[derive(Clone, Copy, Debug)]
struct Published {
    offset: u64,
    until: Time,
}

/// Keys whose time is over are forgotten so many per turn, and two per publish, so that they never
/// become more than those that come.
const PER_TURN: usize = 256;
const PER_PUBLISH: usize = 2;

/// After so long the next turn goes on with what was too much for one.
const PAUSE: Duration = Duration::from_millis(1);

/// Memory for this many keys is kept.
const FEW_KEYS: usize = 64;

/// Between a room and a key: no room's name has it.
const SEPARATOR: char = '\n';

impl PublishKeys {
    pub(super) fn new(hash: SecretHash, time: Duration, most: usize) -> PublishKeys {
        PublishKeys {
            published: HashMap::with_hasher(hash),
            ends: VecDeque::new(),
            time,
            most,
            goes_on_at: Time::default(),
            owned: Sum::default(),
            counters: PublishKeyCounters::default(),
            entry: String::new(),
        }
    }

    /// The offset of the publish that had this key, if it is remembered: this one repeats it.
    pub(super) fn repeated(&mut self, room: &RoomName, key: &PublishKey, now: Time) -> Option<u64> {
        self.put_together(room, key);
        let published = self.published.get(self.entry.as_str())?;
        let holds = published.until > now;
        self.counters.repeated += u64::from(holds);
        holds.then_some(published.offset)
    }

    /// A publish that repeats none has this offset. Beyond the limit the oldest key is forgotten.
    pub(super) fn remember(&mut self, room: &RoomName, key: &PublishKey, offset: u64, now: Time) {
        self.forget_ended(now, PER_PUBLISH);
        self.put_together(room, key);
        let entry: Arc<str> = self.entry.as_str().into();
        let until = now + self.time;
        self.owned.add(shared_bytes(entry.len()));
        self.ends.push_back((until, Arc::clone(&entry)));
        // The name goes with what it named: `insert` alone would keep the former one.
        let before = self.published.remove(&entry);
        debug_assert!(
            before.is_none_or(|it| it.until <= now),
            "a remembered key is published once"
        );
        self.published.insert(entry, Published { offset, until });
        if self.ends.len() > self.most {
            self.counters.forgotten += u64::from(self.ends.front().is_some_and(|it| it.0 > now));
            self.forget_oldest();
        }
    }

    /// Forgets some of those whose time is over.
    pub(super) fn on_time(&mut self, now: Time) {
        if self.next_deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        self.forget_ended(now, PER_TURN);
        self.goes_on_at = now + PAUSE;
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.ends.front().map(|(end, _)| (*end).max(self.goes_on_at))
    }

    fn forget_ended(&mut self, now: Time, most: usize) {
        for _ in 0..most {
            if self.ends.front().is_none_or(|(end, _)| *end > now) {
                break;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((end, entry)) = self.ends.pop_front() else { return };
        self.owned.take_off(shared_bytes(entry.len()));
        if self.published.get(&entry).is_some_and(|it| it.until == end) {
            self.published.remove(&entry);
        }
        let (few, len) = (2 * self.ends.len() + FEW_KEYS, self.ends.len());
        if len < self.ends.capacity() / 8 && few < self.ends.capacity() {
            self.ends.shrink_to(few);
        }
        if len < self.published.capacity() / 8 && few < self.published.capacity() {
            self.published.shrink_to(few);
        }
    }

    fn put_together(&mut self, room: &RoomName, key: &PublishKey) {
        self.entry.clear();
        self.entry.push_str(room.as_str());
        self.entry.push(SEPARATOR);
        self.entry.push_str(key.as_str());
    }

    /// How many keys are remembered.
    pub(super) fn len(&self) -> usize {
        self.published.len()
    }

    pub(super) fn counters(&self) -> PublishKeyCounters {
        self.counters
    }

    pub(super) fn bytes(&self) -> usize {
        map_bytes::<Arc<str>, Published>(self.published.capacity())
            + vec_bytes::<(Time, Arc<str>)>(self.ends.capacity())
            + block(self.entry.capacity())
            + self.owned.get()
    }

    /// Asserts that both collections have the same keys, in order and within the limit.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) {
        let counted: usize = self.ends.iter().map(|(_, entry)| shared_bytes(entry.len())).sum();
        assert_eq!(self.owned.get(), counted, "bytes of keys");
        assert!(self.ends.iter().is_sorted_by_key(|(end, _)| end), "keys end in their order");
        assert!(self.ends.len() <= self.most, "no more keys are remembered than may");
        let is_named = |(end, entry): &&(Time, Arc<str>)| {
            self.published.get(entry).is_some_and(|it| it.until == *end)
        };
        let named = self.ends.iter().filter(is_named).count();
        assert_eq!(named, self.published.len(), "a key that is remembered ends once");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(120);

    fn keys(most: usize) -> PublishKeys {
        PublishKeys::new(SecretHash::new(7), TIME, most)
    }

    fn room(name: &str) -> RoomName {
        RoomName::new(name).expect("legal")
    }

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    /// Publishes, and returns the offset that is answered.
    fn publish(keys: &mut PublishKeys, room: &RoomName, key: &str, next: u64, now: Time) -> u64 {
        let key = PublishKey::new(key).expect("legal");
        keys.repeated(room, &key, now).unwrap_or_else(|| {
            keys.remember(room, &key, next, now);
            keys.check();
            next
        })
    }

    #[test]
    fn a_key_belongs_to_its_room_and_holds_until_its_time_is_over() {
        let mut keys = keys(100);
        // Put together without a separator, these would be the same.
        let rows = [("a", "bc"), ("ab", "c"), ("a", "b"), ("a", "b\nc"), ("a", "\nb")];
        for (nth, (name, key)) in rows.iter().enumerate() {
            assert_eq!(publish(&mut keys, &room(name), key, nth as u64, at(1)), nth as u64);
        }
        let just_before = Time::from_nanos(at(121).as_nanos() - 1);
        for (nth, (name, key)) in rows.iter().enumerate() {
            assert_eq!(publish(&mut keys, &room(name), key, 99, just_before), nth as u64);
        }
        for now in [at(121), at(240)] {
            for (name, key) in rows {
                assert_eq!(
                    publish(&mut keys, &room(name), key, now.as_nanos(), now),
                    at(121).as_nanos()
                );
            }
        }
    }

    #[test]
    fn the_oldest_key_is_forgotten_beyond_the_limit_and_counted() {
        let (mut keys, room) = (keys(3), room("r"));
        for n in 0..5 {
            assert_eq!(publish(&mut keys, &room, &n.to_string(), n, at(n)), n);
        }
        assert_eq!((keys.len(), keys.counters().forgotten), (3, 2));
        assert_eq!(publish(&mut keys, &room, "4", 9, at(5)), 4);
        assert_eq!(publish(&mut keys, &room, "0", 9, at(5)), 9, "it was the oldest");
        assert_eq!(keys.counters(), PublishKeyCounters { repeated: 1, forgotten: 3 });
        // Those whose time is over make place, and are not counted.
        for n in 10..13 {
            assert_eq!(publish(&mut keys, &room, &n.to_string(), n, at(500)), n);
        }
        assert_eq!((keys.len(), keys.counters().forgotten), (3, 3));
    }

    #[test]
    fn many_keys_that_end_at_once_are_forgotten_over_several_turns_and_leave_no_memory() {
        let (mut keys, room) = (keys(10_000), room("r"));
        let empty = keys.bytes();
        for n in 0..2_000 {
            publish(&mut keys, &room, &n.to_string(), n, at(1));
        }
        assert!(keys.bytes() > empty + 2_000 * 48, "{}", keys.bytes());
        keys.on_time(at(120));
        assert_eq!((keys.len(), keys.next_deadline()), (2_000, Some(at(121))));
        let mut now = at(121);
        for turn in 1.. {
            keys.on_time(now);
            keys.check();
            assert_eq!(keys.len(), 2_000_usize.saturating_sub(turn * PER_TURN), "turn {turn}");
            // What is over is over, forgotten or not.
            assert_eq!(keys.repeated(&room, &PublishKey::new("1999").expect("legal"), now), None);
            let Some(next) = keys.next_deadline() else { break };
            assert_eq!(next, now + PAUSE, "a turn leaves time to others");
            now = next;
        }
        assert!(keys.bytes() < empty + 64 * 200, "{}", keys.bytes());
    }

    #[test]
    fn a_key_that_is_published_anew_before_its_former_end_was_noticed_is_kept() {
        let (mut keys, room) = (keys(100), room("r"));
        for n in 0..10 {
            publish(&mut keys, &room, &n.to_string(), n, at(1));
        }
        assert_eq!(publish(&mut keys, &room, "9", 50, at(130)), 50);
        assert_eq!((keys.ends.len(), keys.len()), (9, 8), "two were forgotten, one is there twice");
        keys.on_time(at(130));
        keys.check();
        assert_eq!(publish(&mut keys, &room, "9", 60, at(249)), 50);
        assert_eq!(keys.len(), 1);
    }
}
