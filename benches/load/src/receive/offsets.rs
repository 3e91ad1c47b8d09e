//! Which offset each message has in its room, as far as somebody was told. So it is known which
//! messages were due to a member from what it was told when it joined and when it left.

use crate::client::position::offset_behind;

/// What one thread, or all, know of the messages of each stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offsets {
    streams: Vec<Line>,
}

/// One stream: runs of messages between which nobody else published in the room.
#[derive(Clone, Debug, Default)]
struct Line {
    /// In order; they do not overlap.
    runs: Vec<Run>,
    /// The first number that was not looked at.
    next: u32,
    /// Offsets do not grow with the numbers: the room began anew, or is no room of corecast.
    is_broken: bool,
}

/// Messages of consecutive numbers and offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u32,
    end: u32,
    /// What their offsets are more than their numbers.
    base: i64,
}

impl Offsets {
    pub(crate) fn new(streams: u32) -> Self {
        Self { streams: vec![Line::default(); streams as usize] }
    }

    /// A message of this number came, and this stands behind its payload. The first member of a
    /// thread that gets it is the one that learns.
    #[inline]
    pub(crate) fn see(&mut self, stream: u32, number: u32, behind: &[u8]) {
        let line = &mut self.streams[stream as usize];
        if number >= line.next {
            line.next = number + 1;
            if let Some(offset) = offset_behind(behind) {
                line.add(Run::of(number, offset));
            }
        }
    }

    /// How many messages of a stream, of so many published, have this offset or a smaller one; none
    /// if that is not known.
    pub(crate) fn count_to(&self, stream: u32, offset: u64, published: u32) -> Option<u32> {
        self.streams[stream as usize].count_to(offset.cast_signed(), published)
    }

    /// Adds what another thread knows.
    pub(crate) fn merge(&mut self, other: Self) {
        if self.streams.is_empty() {
            self.streams = other.streams;
            return;
        }
        for (ours, theirs) in self.streams.iter_mut().zip(other.streams) {
            ours.merge(theirs);
        }
    }
}

impl Run {
    fn of(number: u32, offset: u64) -> Self {
        Self { first: number, end: number + 1, base: offset.cast_signed() - i64::from(number) }
    }

    fn first_offset(self) -> i64 {
        self.base.saturating_add(self.first.into())
    }

    fn last_offset(self) -> i64 {
        self.base.saturating_add(i64::from(self.end) - 1)
    }
}

impl Line {
    /// Adds a run that does not begin before the others.
    fn add(&mut self, run: Run) {
        let Some(last) = self.runs.last_mut() else { return self.runs.push(run) };
        // Between two messages of the same distance are only those between their numbers.
        if last.base == run.base {
            last.end = last.end.max(run.end);
            return;
        }
        self.is_broken |= run.first < last.end || run.first_offset() <= last.last_offset();
        self.runs.push(run);
    }

    fn merge(&mut self, other: Self) {
        self.is_broken |= other.is_broken;
        let mut all = std::mem::take(&mut self.runs);
        all.extend(other.runs);
        all.sort_by_key(|run| run.first);
        all.into_iter().for_each(|run| self.add(run));
    }

    fn count_to(&self, offset: i64, published: u32) -> Option<u32> {
        if self.is_broken {
            return None;
        }
        let behind = self.runs.partition_point(|run| run.first_offset() <= offset);
        let next = self.runs.get(behind).map_or(published, |run| run.first);
        let Some(last) = behind.checked_sub(1).map(|last| self.runs[last]) else {
            // None of those that are known; of others there is nothing to say.
            return (next == 0).then_some(0);
        };
        if offset <= last.last_offset() {
            return u32::try_from(offset - last.base + 1).ok();
        }
        // Those between two runs came to nobody, and may be on either side.
        (last.end >= next).then_some(last.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(offsets: &mut Offsets, messages: &[(u32, u32, u64)]) {
        for &(stream, number, offset) in messages {
            offsets.see(stream, number, format!(r#"","room":"r","offset":{offset}}}"#).as_bytes());
        }
    }

    fn check(offsets: &Offsets, stream: u32, published: u32, rows: &[(u64, Option<u32>)]) {
        for &(offset, count) in rows {
            assert_eq!(offsets.count_to(stream, offset, published), count, "to {offset}");
        }
    }

    #[test]
    fn one_publisher_makes_one_run() {
        let mut offsets = Offsets::new(1);
        learn(&mut offsets, &[(0, 0, 101), (0, 1, 102), (0, 5, 106), (0, 4, 9)]);
        assert_eq!(offsets.streams[0].runs.len(), 1);
        let rows = [(0, Some(0)), (100, Some(0)), (101, Some(1)), (104, Some(4)), (106, Some(6))];
        check(&offsets, 0, 6, &rows);
        // The last two came to nobody.
        check(&offsets, 0, 8, &[(105, Some(5)), (106, Some(6)), (200, None)]);
    }

    #[test]
    fn publishers_of_one_room_share_its_offsets() {
        let mut offsets = Offsets::new(2);
        learn(&mut offsets, &[(0, 0, 1), (1, 0, 2), (1, 1, 3), (0, 1, 4), (1, 2, 5), (0, 3, 8)]);
        check(
            &offsets,
            0,
            4,
            &[(0, Some(0)), (1, Some(1)), (3, Some(1)), (4, Some(2)), (8, Some(4))],
        );
        check(&offsets, 1, 3, &[(1, Some(0)), (2, Some(1)), (4, Some(2)), (5, Some(3))]);
        // Another thread got what is missing here.
        let mut other = Offsets::new(2);
        learn(&mut other, &[(0, 2, 6), (0, 3, 8)]);
        offsets.merge(other);
        check(&offsets, 0, 4, &[(4, Some(2)), (5, Some(2)), (6, Some(3)), (7, Some(3))]);
        let mut sum = Offsets::default();
        sum.merge(offsets);
        check(&sum, 0, 4, &[(7, Some(3))]);
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let mut offsets = Offsets::new(2);
        learn(&mut offsets, &[(0, 3, 10)]);
        check(&offsets, 0, 4, &[(9, None), (10, Some(4))]);
        check(&offsets, 1, 0, &[(9, Some(0))]);
        check(&offsets, 1, 2, &[(9, None)]);
        offsets.see(0, 4, b"no offset");
        // The room began anew.
        learn(&mut offsets, &[(0, 5, 1)]);
        check(&offsets, 0, 6, &[(10, None)]);
    }
}
