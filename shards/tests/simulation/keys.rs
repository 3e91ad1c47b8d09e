//! Publishes with a key: which of them are delivered, and what is answered to those that are not.
//!
//! The judge does not know when a home handled a publish, but between which times it did. What it
//! accuses the home of is wrong whenever it was.

use std::time::Duration;

use corecast_shards::{Limits, PublishKey, Time};

use crate::chance::Chance;
use crate::count::{Count, Happened};
use crate::faults::Setup;
use crate::model::Model;
use crate::world::World;

/// Few keys, so that they come again. One needs escaping, one is not ASCII.
const KEYS: [&str; 3] = ["k", "quote\"d", "schlüssel"];

/// What is known of a publish with a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed {
    key: usize,
    /// Its home handled it no earlier, by the home's clock.
    since: Time,
    /// And no later: it was seen or answered then.
    until: Option<Time>,
}

impl Keyed {
    /// Which of the keys it is.
    pub(crate) fn key(self) -> usize {
        self.key
    }
}

/// In most of the worlds some publishes have a key, for so long and so many of them.
pub(crate) fn drawn(limits: &mut Limits, others: &mut Chance) -> f64 {
    limits.publish_key_time = Duration::from_millis(others.pick(&[300, 2_000, 15_000, 120_000]));
    limits.publish_keys = others.pick(&[1, 4, 16, 100_000]);
    others.pick(&[0.0, 0.2, 0.7])
}

/// A world in which no key is ever forgotten.
pub(crate) fn keep(setup: &mut Setup) {
    setup.config.limits.publish_key_time = Duration::from_secs(1 << 30);
    setup.config.limits.publish_keys = 100_000;
}

/// A message with a key is seen or answered.
pub(crate) fn note_handled(keyed: &mut Option<Keyed>, now: Time) {
    if let Some(keyed) = keyed {
        keyed.until.get_or_insert(now);
    }
}

impl World {
    /// A key for a message that is about to be said, if it gets one.
    pub(crate) fn some_key(&mut self, said: usize, room: usize) -> Option<PublishKey> {
        if self.setup.keys == 0.0 || !self.key_chance.happens(self.setup.keys) {
            return None;
        }
        let key = self.key_chance.below(KEYS.len());
        let since = self.time_at[self.homes[room]];
        self.model.sayings[said].keyed = Some(Keyed { key, since, until: None });
        Some(PublishKey::new(KEYS[key]).expect("legal"))
    }

    /// Whether this repeats a message of the first room that a client has seen.
    pub(crate) fn repeats_what_was_seen(&self, key: &PublishKey) -> bool {
        let mut sayings = self.model.sayings.iter();
        sayings.any(|saying| {
            let is_same = saying.keyed.is_some_and(|keyed| KEYS[keyed.key] == key.as_str());
            is_same && saying.room == 0 && saying.seen.is_some()
        })
    }

    /// Each key was delivered once in its time, and what repeated it has its offset.
    pub(crate) fn check_keys(&mut self) {
        let limits = &self.setup.config.limits;
        let judge = Judge {
            model: &self.model,
            homes: &self.homes,
            time: limits.publish_key_time,
            // The least share that a home may have.
            most: (limits.publish_keys / self.shards.len()).max(1),
            one_life: self.is_first_life(),
        };
        judge.check(&mut self.count);
        for shard in &self.shards {
            let keys = shard.counters().publish_keys;
            self.count.add_many(keys.forgotten, Happened::KeyForgotten);
        }
    }
}

struct Judge<'a> {
    model: &'a Model,
    homes: &'a [usize],
    time: Duration,
    most: usize,
    /// No room has ended.
    one_life: bool,
}

impl Judge<'_> {
    fn check(&self, count: &mut Count) {
        let keyed: Vec<usize> = (0..self.model.sayings.len())
            .filter(|said| {
                let saying = &self.model.sayings[*said];
                saying.keyed.is_some() && saying.room < self.homes.len()
            })
            .collect();
        for said in &keyed {
            let saying = &self.model.sayings[*said];
            assert!(!saying.repeated || saying.seen.is_none(), "message {said} is no repeat");
            match (saying.seen, saying.known) {
                (Some(_), _) => self.check_delivered(*said, &keyed, count),
                (None, Some(offset)) => self.check_answered(*said, offset, count),
                (None, None) => {}
            }
        }
    }

    fn keyed(&self, said: usize) -> Keyed {
        self.model.sayings[said].keyed.expect("it has a key")
    }

    fn is_same(&self, one: usize, other: usize) -> bool {
        let (a, b) = (&self.model.sayings[one], &self.model.sayings[other]);
        let same_key = b.keyed.is_some_and(|keyed| keyed.key == self.keyed(one).key);
        same_key && a.room == b.room
    }

    /// No other with this key was delivered in its time, unless there were too many keys.
    fn check_delivered(&self, said: usize, keyed: &[usize], count: &mut Count) {
        let is_earlier = |other: &&usize| {
            **other < said
                && self.is_same(said, **other)
                && self.model.sayings[**other].seen.is_some()
        };
        for other in keyed.iter().filter(is_earlier) {
            let (a, b) = (self.keyed(said), self.keyed(*other));
            let from = a.since.min(b.since);
            let to = a.until.max(b.until).expect("both were seen");
            let too_near = to.since(from) < self.time;
            let wrong = too_near && !self.may_be_forgotten(said, *other, (from, to), keyed);
            assert!(!wrong, "messages {other} and {said} have one key, and both were delivered");
            count.add(Happened::KeyAnew);
        }
    }

    /// Whether so many others may have come between these two that the earlier key was forgotten.
    fn may_be_forgotten(
        &self,
        one: usize,
        other: usize,
        (from, to): (Time, Time),
        keyed: &[usize],
    ) -> bool {
        let home = |said: usize| self.homes[self.model.sayings[said].room];
        let between = |said: &&usize| {
            let it = self.keyed(**said);
            ![one, other].contains(*said)
                && home(**said) == home(one)
                && it.since <= to
                && it.until.is_none_or(|until| until >= from)
        };
        keyed.iter().filter(between).take(self.most).count() == self.most
    }

    /// One that was answered with this offset, and that no client saw there: if any message was seen
    /// there, it may be that this one repeats it.
    fn check_answered(&self, said: usize, offset: u64, count: &mut Count) {
        let room = self.model.sayings[said].room;
        let there = self.model.in_all_lives(room, offset);
        let Some(first) = there.iter().find(|other| self.is_same(said, **other)) else {
            assert!(
                !self.one_life || there.is_empty(),
                "message {said} is answered with another's"
            );
            return;
        };
        assert!(
            !self.one_life || there.len() > 1 || self.model.sayings[said].repeated,
            "message {said} repeats {first}, and its speaker was not sent that"
        );
        let (repeat, first) = (self.keyed(said), self.keyed(*first));
        let first_until = first.until.expect("it was seen");
        let is_late = there.len() == 1 && repeat.since >= first_until + self.time;
        assert!(!is_late || !self.one_life, "message {said} repeats one whose time is over");
        count.add(Happened::KeyRepeated);
    }
}
