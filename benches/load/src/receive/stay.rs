//! The time that a member is in its room, where members come and go: what was due to it, and what
//! of that did not come. It is judged when all is over: then it is known which messages are between
//! two offsets, whoever of the room was told that.

use std::collections::BTreeMap;
use std::ops::Range;

use super::member::End;
use super::verifier::Verifier;

/// One member's, until it left, was let go, or the run ended.
#[derive(Debug)]
pub(crate) struct Stay {
    pub(crate) room: u32,
    /// Of the room, when the member joined; none if that was not said.
    pub(crate) epoch: Option<u64>,
    /// One for each stream of the room.
    pub(crate) verifiers: Vec<Verifier>,
    pub(crate) from: From,
    pub(crate) to: To,
    /// How the server ended it, if it did.
    pub(crate) end: Option<End>,
    /// Messages that gaps announced as skipped.
    pub(crate) skipped: u64,
}

/// The first message that is due to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// The first of all: the member was there before.
    First,
    /// That behind this offset; where the server does not say, the first that is due for certain.
    Joined(Option<u64>),
}

/// The last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// That of this offset; where the server does not say, the last that came.
    Left(Option<u64>),
    /// So many of each stream were published by then.
    Published(Vec<u32>),
    /// The last of all.
    Last,
}

/// How many stays were judged, and how many of them by what the server said of both ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) all: u64,
    pub(crate) exactly: u64,
}

/// Which messages of one stream are due.
pub(crate) struct Due {
    pub(crate) numbers: Range<u32>,
    /// By what the server said.
    pub(crate) is_exact: bool,
}

impl Stay {
    /// Of its nth stream; `count_to` tells how many messages have this offset or a smaller one.
    pub(crate) fn due(
        &self,
        nth: usize,
        published: u32,
        count_to: impl Fn(u64) -> Option<u32>,
    ) -> Due {
        let verifier = &self.verifiers[nth];
        let (first, last) = match self.from {
            From::First => (Some(0), self.last(nth, published, &count_to)),
            From::Joined(offset) => {
                (offset.and_then(&count_to), self.last(nth, published, &count_to))
            }
        };
        let came_to = verifier.came_to();
        let start = first.unwrap_or(verifier.begin());
        let end = last.or(came_to).unwrap_or(start).min(published.max(came_to.unwrap_or(0)));
        Due { numbers: start.min(end)..end, is_exact: first.is_some() && last.is_some() }
    }

    fn last(
        &self,
        nth: usize,
        published: u32,
        count_to: impl Fn(u64) -> Option<u32>,
    ) -> Option<u32> {
        match &self.to {
            To::Left(offset) => offset.and_then(count_to),
            To::Published(all) => all.get(nth).copied(),
            To::Last => Some(published),
        }
    }
}

/// A room that ended in between began to count anew: offsets of different epochs are not compared.
pub(crate) struct Epochs(BTreeMap<u32, Option<u64>>);

impl Epochs {
    pub(crate) fn new(stays: &[Stay]) -> Self {
        let mut rooms = BTreeMap::new();
        for stay in stays {
            let epoch = rooms.entry(stay.room).or_insert(stay.epoch);
            *epoch = epoch.filter(|_| *epoch == stay.epoch);
        }
        Self(rooms)
    }

    pub(crate) fn is_one(&self, room: u32) -> bool {
        self.0.get(&room).is_some_and(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(from: From, to: To, came: &[u32], certain: u32) -> Stay {
        let mut verifier = Verifier::late();
        verifier.begin_at(certain);
        came.iter().for_each(|&number| {
            verifier.receive(number);
        });
        let verifiers = vec![verifier];
        Stay { room: 0, epoch: Some(1), verifiers, from, to, end: None, skipped: 0 }
    }

    /// Message n has the offset n + 1.
    fn check(stay: &Stay, is_known: bool, numbers: Range<u32>, is_exact: bool) {
        let due = stay.due(0, 10, |offset| is_known.then(|| u32::try_from(offset).unwrap()));
        assert_eq!((due.numbers, due.is_exact), (numbers, is_exact), "{stay:?}");
    }

    #[test]
    fn what_is_due_lies_between_two_offsets() {
        let (joined, left) = (From::Joined(Some(3)), To::Left(Some(7)));
        for came in [&[3, 4, 5, 6][..], &[4, 5], &[], &[2, 3, 8]] {
            check(&stay(joined, left.clone(), came, 5), true, 3..7, true);
        }
        check(&stay(joined, To::Last, &[], 5), true, 3..10, true);
        check(&stay(joined, To::Published(vec![8]), &[], 5), true, 3..8, true);
        check(&stay(From::First, left, &[0, 1], 0), true, 0..7, true);
        check(&stay(From::Joined(Some(9)), To::Left(Some(9)), &[], 10), true, 9..9, true);
    }

    #[test]
    fn what_the_server_does_not_say_is_taken_from_what_came() {
        let (joined, left) = (From::Joined(None), To::Left(None));
        check(&stay(joined, left.clone(), &[3, 4, 6], 5), true, 3..7, false);
        check(&stay(joined, left.clone(), &[6], 5), true, 5..7, false);
        check(&stay(joined, left.clone(), &[], 5), true, 5..5, false);
        check(&stay(From::Joined(Some(3)), left, &[4], 5), true, 3..5, false);
        check(&stay(joined, To::Last, &[], 5), true, 5..10, false);
        // Nobody of the room knows which offsets its messages have.
        check(&stay(From::Joined(Some(3)), To::Left(Some(7)), &[4], 5), false, 4..5, false);
        check(&stay(joined, To::Left(None), &[], u32::MAX), true, 10..10, false);
    }

    #[test]
    fn rooms_that_began_anew_are_told_apart() {
        let of = |room, epoch| Stay { room, epoch, ..stay(From::First, To::Last, &[], 0) };
        let epochs = Epochs::new(&[of(0, Some(1)), of(1, Some(1)), of(0, Some(1)), of(1, Some(2))]);
        assert_eq!([0, 1, 2].map(|room| epochs.is_one(room)), [true, false, false]);
        assert!(!Epochs::new(&[of(0, None)]).is_one(0));
        assert!(!Epochs::new(&[of(0, Some(1)), of(0, None), of(0, Some(1))]).is_one(0));
    }
}
