//! One member's view of one stream: what came, what is missing, what came twice or late.

use std::ops::Range;

/// Invariant: every hole ends at or before `next`; holes are sorted and do not touch.
#[derive(Debug, Default)]
pub(crate) struct Verifier {
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
        match self.fill(sequence) {
            true => Arrival::Late,
            false => Arrival::Repeated,
        }
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
