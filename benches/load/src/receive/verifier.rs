//! One member's view of one stream: what came, what is missing, what came twice or late.

use std::ops::Range;

/// Invariant: every hole lies between `begin` and `next`; holes are sorted and do not touch.
#[derive(Debug, Default)]
pub(crate) struct Verifier {
    /// The first sequence number that came or, before one has, that is due for certain.
    begin: u32,
    /// The sequence number after the largest that came.
    next: u32,
    /// Numbers below `next` that did not come; rare, so behind a pointer.
    holes: Option<Box<Holes>>,
}

#[derive(Debug, Default)]
struct Holes {
    ranges: Vec<Range<u32>>,
}

/// What is to be said of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The next one.
    InOrder,
    /// So many before it did not come, or not yet.
    Ahead(u32),
    /// It fills a hole: it should have come before others.
    Late,
    /// It came already.
    Repeated,
}

impl Verifier {
    /// Of a member that joins while messages are published: whatever comes first is the first.
    pub(crate) fn late() -> Self {
        Self { begin: u32::MAX, next: u32::MAX, holes: None }
    }

    /// Unless something came already, all from this one on is due. What is before it may be.
    pub(crate) fn begin_at(&mut self, sequence: u32) {
        if self.is_untouched() {
            (self.begin, self.next) = (sequence, sequence);
        }
    }

    fn is_untouched(&self) -> bool {
        self.begin == self.next
    }

    #[inline]
    pub(crate) fn receive(&mut self, sequence: u32) -> Arrival {
        if sequence == self.next {
            self.next += 1;
            return Arrival::InOrder;
        }
        self.receive_other(sequence)
    }

    #[cold]
    fn receive_other(&mut self, sequence: u32) -> Arrival {
        if sequence > self.next {
            let hole = self.next..sequence;
            self.next = sequence.saturating_add(1);
            let missing = hole.end - hole.start;
            self.holes.get_or_insert_default().ranges.push(hole);
            return Arrival::Ahead(missing);
        }
        if sequence < self.begin {
            return self.receive_earlier(sequence);
        }
        match self.fill(sequence) {
            true => Arrival::Late,
            false => Arrival::Repeated,
        }
    }

    /// It is before the first one that was due for certain.
    fn receive_earlier(&mut self, sequence: u32) -> Arrival {
        let begin = std::mem::replace(&mut self.begin, sequence);
        if begin == self.next {
            self.next = sequence + 1;
            return Arrival::InOrder;
        }
        if sequence + 1 < begin {
            self.holes.get_or_insert_default().ranges.insert(0, sequence + 1..begin);
        }
        Arrival::Late
    }

    /// Takes a number out of its hole, if it is in one.
    fn fill(&mut self, sequence: u32) -> bool {
        let Some(Holes { ranges: holes }) = self.holes.as_deref_mut() else { return false };
        let at = holes.partition_point(|hole| hole.end <= sequence);
        let Some(hole) = holes.get_mut(at).filter(|hole| hole.contains(&sequence)) else {
            return false;
        };
        let after = sequence + 1..hole.end;
        hole.end = sequence;
        let (before_empty, after_empty) = (hole.start == hole.end, after.start == after.end);
        match (before_empty, after_empty) {
            (true, true) => drop(holes.remove(at)),
            (true, false) => holes[at] = after,
            (false, true) => {}
            (false, false) => holes.insert(at + 1, after),
        }
        true
    }

    /// Numbers that later ones overtook and that have not come.
    pub(crate) fn holes(&self) -> u64 {
        let holes = self.holes.iter().flat_map(|holes| &holes.ranges);
        holes.map(|hole| u64::from(hole.end - hole.start)).sum()
    }

    /// Which numbers have not come, of so many published.
    pub(crate) fn missing(&self, published: u32) -> impl Iterator<Item = Range<u32>> {
        let holes = self.holes.iter().flat_map(|holes| &holes.ranges).cloned();
        holes.chain((self.next < published).then_some(self.next..published))
    }

    /// The first that came, or that was due for certain.
    pub(crate) fn begin(&self) -> u32 {
        self.begin
    }

    /// The one after the last that came.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// The same, if one came.
    pub(crate) fn came_to(&self) -> Option<u32> {
        (!self.is_untouched()).then_some(self.next)
    }

    /// How many of these came.
    pub(crate) fn came(&self, due: &Range<u32>) -> u64 {
        let all = u64::from(due.end.saturating_sub(due.start));
        all - self.missing_of(due).map(|range| u64::from(range.end - range.start)).sum::<u64>()
    }

    /// Which of these have not come.
    pub(crate) fn missing_of(&self, due: &Range<u32>) -> impl Iterator<Item = Range<u32>> {
        let Range { start, end } = *due;
        let holes = self.holes.iter().flat_map(|holes| &holes.ranges).cloned();
        let beside = [0..self.begin, self.next..u32::MAX];
        let [before, behind] = beside;
        let all = std::iter::once(before).chain(holes).chain(std::iter::once(behind));
        all.map(move |range| range.start.max(start)..range.end.min(end)).filter(|it| !it.is_empty())
    }

    /// Numbers after the last that came, of so many published.
    pub(crate) fn tail(&self, published: u32) -> u64 {
        u64::from(published.saturating_sub(self.next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds numbers and compares lost, late and repeated.
    fn check(sequences: &[u32], published: u32, expected: (u64, u64, u64)) {
        let mut judge = Verifier::default();
        let (mut late, mut repeated) = (0, 0);
        for &sequence in sequences {
            match judge.receive(sequence) {
                Arrival::Late => late += 1,
                Arrival::Repeated => repeated += 1,
                Arrival::InOrder | Arrival::Ahead(_) => {}
            }
        }
        let lost = judge.holes() + judge.tail(published);
        let missing = judge.missing(published).map(|range| u64::from(range.end - range.start));
        assert_eq!(missing.sum::<u64>(), lost, "{sequences:?} of {published}");
        assert_eq!((lost, late, repeated), expected, "{sequences:?} of {published}");
    }

    #[test]
    fn each_fault_is_counted_once() {
        check(&[0, 1, 2, 3], 4, (0, 0, 0));
        check(&[0, 1, 3], 4, (1, 0, 0));
        check(&[0, 2, 1, 3], 4, (0, 1, 0));
        check(&[0, 1, 1, 2], 3, (0, 0, 1));
        check(&[0, 1], 5, (3, 0, 0));
        check(&[], 5, (5, 0, 0));
        check(&[3, 2, 1, 0], 4, (0, 3, 0));
        check(&[9, 4, 4, 0, 9, 8, 5, 6, 7], 10, (3, 6, 2));
        check(&[2, 2, 0, 0, 1, 1], 3, (0, 2, 3));
    }

    /// What came before and what is due for certain, and what then is missing of which numbers.
    fn check_late(certain: u32, sequences: &[u32], due: Range<u32>, missing: &[Range<u32>]) {
        let mut judge = Verifier::late();
        judge.begin_at(certain);
        sequences.iter().for_each(|&sequence| {
            judge.receive(sequence);
        });
        let found: Vec<_> = judge.missing_of(&due).collect();
        assert_eq!(found, missing, "{sequences:?} of {due:?}, from {certain}");
        let set: std::collections::BTreeSet<_> = sequences.iter().collect();
        assert_eq!(judge.came(&due), set.iter().filter(|it| due.contains(**it)).count() as u64);
    }

    #[test]
    fn whoever_joins_late_is_owed_a_part() {
        check_late(7, &[7, 8, 9], 7..10, &[]);
        check_late(7, &[5, 6, 7, 8], 5..9, &[]);
        check_late(7, &[5, 6, 7, 8], 3..11, &[3..5, 9..11]);
        check_late(7, &[8, 10], 7..11, &[7..8, 9..10]);
        check_late(7, &[8, 10, 12], 8..12, &[9..10, 11..12]);
        check_late(7, &[], 5..9, &[5..7, 7..9]);
        check_late(u32::MAX, &[4, 5], 3..7, &[3..4, 6..7]);
        check_late(7, &[6, 3, 8], 2..9, &[2..3, 4..6, 7..8]);
        check_late(7, &[5, 9], 4..7, &[4..5, 6..7]);
        check_late(7, &[], 9..9, &[]);
        let mut judge = Verifier::late();
        let arrivals = [5, 6, 4, 4, 6, 7].map(|sequence| judge.receive(sequence));
        let [first, last] = [Arrival::InOrder, Arrival::Repeated];
        assert_eq!(arrivals, [first, first, Arrival::Late, last, last, first]);
        judge.begin_at(9);
        assert_eq!((judge.begin(), judge.next(), judge.tail(9)), (4, 8, 1));
    }

    #[test]
    fn filling_holes_agrees_with_a_set() {
        let mut chance = 12_345_u32;
        let mut judge = Verifier::default();
        let mut came = std::collections::BTreeSet::new();
        for _ in 0..5_000 {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let sequence = chance >> 23;
            let fresh = came.insert(sequence);
            assert_eq!(judge.receive(sequence) != Arrival::Repeated, fresh, "{sequence}");
            let top = came.last().map_or(0, |last| last + 1);
            assert_eq!(judge.next, top);
            assert_eq!(judge.holes(), u64::from(top) - came.len() as u64);
        }
    }
}
