//! With which number each stream began the parts of the measured time. So what never came is found
//! in the part in which it was due.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of each stream, for each part up to the last one that it published in.
#[derive(Debug)]
pub(crate) struct Begins {
    streams: Mutex<Vec<Vec<u32>>>,
}

impl Begins {
    pub(crate) fn new(streams: u32) -> Self {
        Self { streams: Mutex::new(vec![Vec::new(); streams as usize]) }
    }

    /// A message of this number is the first of a stream that is due in this part.
    pub(crate) fn note(&self, stream: usize, part: usize, number: u32) {
        let begins = &mut self.lock()[stream];
        // In those in between nothing was due.
        while begins.len() <= part {
            begins.push(number);
        }
    }

    /// Adds messages of a stream to the parts in which they were due.
    pub(crate) fn add(&self, stream: u32, numbers: Range<u32>, sums: &mut Vec<u64>) {
        let streams = self.lock();
        let begins = &streams[stream as usize];
        let mut from = numbers.start;
        while from < numbers.end {
            let next = begins.partition_point(|&begin| begin <= from);
            let to = begins.get(next).map_or(numbers.end, |&begin| begin.min(numbers.end));
            add(sums, next.saturating_sub(1), u64::from(to - from));
            from = to;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u32>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds to the sum of one part.
pub(crate) fn add(sums: &mut Vec<u64>, part: usize, count: u64) {
    if sums.len() <= part {
        sums.resize(part + 1, 0);
    }
    sums[part] += count;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_belong_to_the_part_that_they_were_due_in() {
        let begins = Begins::new(2);
        for (part, number) in [(0, 0), (1, 10), (4, 25)] {
            begins.note(1, part, number);
        }
        for (numbers, expected) in [
            (0..30, vec![10, 15, 0, 0, 5]),
            (9..11, vec![1, 1]),
            (25..26, vec![0, 0, 0, 0, 1]),
            (7..7, vec![]),
        ] {
            let mut sums = Vec::new();
            begins.add(1, numbers.clone(), &mut sums);
            assert_eq!(sums, expected, "{numbers:?}");
        }
    }
}
