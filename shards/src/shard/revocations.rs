//! Which users and tokens may not connect, and until when.

use std::collections::{BTreeMap, BTreeSet};

use crate::identity::{Identity, Revocable};
use crate::memory::{Sum, shared_bytes, tree_bytes};
use crate::time::Time;

/// The revocations that hold on this shard. Every shard has the same, each in memory of its own.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    until: BTreeMap<Revocable, Time>,
    /// The same by when they end.
    ends: BTreeSet<(Time, Revocable)>,
    /// Of the names, which the two share.
    name_bytes: Sum,
}

impl Revocations {
    /// Revokes something until this time, instead of until when it was revoked before; one that is
    /// over ends that. Returns whether there was a place for it among at most so many.
    pub(super) fn set(&mut self, revoked: Revocable, until: Time, now: Time, most: usize) -> bool {
        self.drop_ended(now);
        let before = self.until.get(&revoked).copied();
        if until > now && before.is_none() && self.until.len() >= most {
            return false;
        }
        if let Some(before) = before {
            self.ends.remove(&(before, revoked.clone()));
        }
        if until <= now {
            self.forget(&revoked);
            return true;
        }
        if before.is_none() {
            self.name_bytes.add(name_bytes(&revoked));
        }
        // A name that is there already stays the one that is kept: both hold the same.
        let kept = self.until.get_key_value(&revoked).map_or(revoked, |(kept, _)| kept.clone());
        self.ends.insert((until, kept.clone()));
        self.until.insert(kept, until);
        true
    }

    /// Forgets those that are over.
    pub(super) fn drop_ended(&mut self, now: Time) {
        while let Some((until, _)) = self.ends.first()
            && *until <= now
        {
            let (_, revoked) = self.ends.pop_first().expect("the first of them");
            self.forget(&revoked);
        }
        debug_assert_eq!(self.until.len(), self.ends.len(), "each revocation ends once");
    }

    /// Whether a client like this is revoked.
    pub(super) fn concern(&self, identity: &Identity, now: Time) -> bool {
        if self.until.is_empty() {
            return false;
        }
        let Identity { subject, token_id, .. } = identity;
        let names =
            [subject.clone().map(Revocable::Subject), token_id.clone().map(Revocable::Token)];
        let holds = |revoked: &Revocable| self.until.get(revoked).is_some_and(|until| *until > now);
        names.iter().flatten().any(holds)
    }

    fn forget(&mut self, revoked: &Revocable) {
        if let Some((kept, _)) = self.until.remove_entry(revoked) {
            self.name_bytes.take_off(name_bytes(&kept));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.until.len()
    }

    /// Bytes of the entries and of their names.
    pub(super) fn bytes(&self) -> usize {
        let entries = self.until.len();
        tree_bytes::<Revocable, Time>(entries)
            + tree_bytes::<(Time, Revocable), ()>(entries)
            + self.name_bytes.get()
    }

    /// Asserts that the names that are kept are counted, and nothing else.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check_bytes(&self) {
        let counted: usize = self.until.keys().map(name_bytes).sum();
        assert_eq!(self.name_bytes.get(), counted, "bytes of the names that are revoked");
        assert_eq!(self.until.len(), self.ends.len(), "each revocation ends once");
    }
}

fn name_bytes(revoked: &Revocable) -> usize {
    shared_bytes(revoked.name().as_str().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Name;

    fn user(name: &str) -> Revocable {
        Revocable::Subject(Name::new(name).unwrap())
    }

    fn client(subject: &str, token: &str) -> Identity {
        let name = |text: &str| Name::new(text).ok();
        Identity::new(name(subject), name(token), None)
    }

    fn at(nanos: u64) -> Time {
        Time::from_nanos(nanos)
    }

    #[test]
    fn a_revocation_concerns_its_name_alone_and_until_its_end() {
        let mut revocations = Revocations::default();
        assert!(revocations.set(user("ann"), at(9), at(1), 10));
        let token = Revocable::Token(Name::new("ann").unwrap());
        for (identity, holds) in [
            (client("ann", ""), true),
            (client("ann", "t"), true),
            (client("bob", "ann"), false),
            (client("", ""), false),
            (client("Ann", ""), false),
        ] {
            assert_eq!(revocations.concern(&identity, at(8)), holds, "{identity:?}");
            assert!(!revocations.concern(&identity, at(9)), "it is over");
        }
        assert!(revocations.set(token, at(9), at(1), 10));
        assert!(revocations.concern(&client("bob", "ann"), at(8)));
    }

    #[test]
    fn the_latest_word_on_a_name_holds() {
        let mut revocations = Revocations::default();
        for (until, holds) in [(9, true), (3, false), (7, true), (0, false), (0, false)] {
            assert!(revocations.set(user("ann"), at(until), at(1), 1));
            assert_eq!(revocations.concern(&client("ann", ""), at(5)), holds, "until {until}");
            assert!(revocations.len() <= 1);
        }
    }

    #[test]
    fn revocations_are_bounded_and_their_ends_make_place() {
        let mut revocations = Revocations::default();
        for n in 0..100 {
            let set = revocations.set(user(&n.to_string()), at(100 + n), at(1), 3);
            assert_eq!(set, n < 3, "{n}");
        }
        assert!(revocations.set(user("0"), at(900), at(1), 3), "it has its place already");
        assert!(revocations.set(user("over"), at(1), at(1), 3), "it needs none");
        assert!(revocations.set(user("new"), at(900), at(101), 3), "the second one has ended");
        assert!(!revocations.set(user("newer"), at(900), at(101), 3));
        assert_eq!((revocations.len(), revocations.ends.len()), (3, 3));
        revocations.check_bytes();
        assert!(revocations.bytes() > 3 * 32, "{}", revocations.bytes());
        revocations.drop_ended(at(900));
        assert_eq!((revocations.len(), revocations.ends.len()), (0, 0));
        assert_eq!(revocations.bytes(), 0);
    }
}
