//! How long things took, in little memory.

use std::time::Duration;

/// A histogram of durations with four buckets per power of two of microseconds: it errs by at most
/// a quarter, and recording is a few instructions.
///
/// ```text
/// µs      0 1 2 3 | 4 5 6 7 | 8-9 10-11 12-13 14-15 | 16-19 20-23 …
/// bucket  0 1 2 3 | 4 5 6 7 |  8    9     10    11  |  12    13   …
/// ```
#[derive(Clone, Debug)]
pub struct Latencies {
    buckets: [u64; BUCKETS],
    count: u64,
    max: Duration,
}

/// Up to 2^32 µs, which are 71 minutes.
const BUCKETS: usize = 124;

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies { buckets: [0; BUCKETS], count: 0, max: Duration::ZERO }
    }
}

impl Latencies {
    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The longest one, exactly.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The duration that this share of all, between 0 and 1, did not exceed: the end of its bucket,
    /// but no more than the longest. Zero when there is none.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (share * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let ends = self.buckets().find(|(_, count)| {
            seen += count;
            seen >= rank
        });
        ends.map_or(Duration::ZERO, |(end, _)| end.min(self.max))
    }

    /// The buckets that are not empty: the end of each, which does not belong to it, and its count.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let counts = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(bucket, count)| (Duration::from_micros(start_of(bucket + 1)), *count))
    }

    pub(crate) fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(micros)] += 1;
        self.count += 1;
        self.max = self.max.max(duration);
    }
}

fn bucket_of(micros: u64) -> usize {
    let bucket = match micros.checked_ilog2() {
        Some(power @ 2..) => (power as usize - 1) * 4 + (micros >> (power - 2)) as usize % 4,
        _ => micros as usize,
    };
    bucket.min(BUCKETS - 1)
}

/// The first microsecond that belongs to a bucket.
fn start_of(bucket: usize) -> u64 {
    match bucket {
        0..4 => bucket as u64,
        _ => (4 + bucket as u64 % 4) << (bucket / 4 - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_the_bucket_that_says_so() {
        for micros in (0..100_000).chain([u64::from(u32::MAX) - 1]) {
            let bucket = bucket_of(micros);
            assert!((start_of(bucket)..start_of(bucket + 1)).contains(&micros), "{micros}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_err_by_a_quarter_and_never_beyond_the_longest() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.99), Duration::ZERO);
        (1..=1_000).for_each(|micros| latencies.record(Duration::from_micros(micros)));
        assert_eq!((latencies.count(), latencies.max()), (1_000, Duration::from_millis(1)));
        for share in [0.01, 0.5, 0.9, 0.99] {
            let (exact, shown) = (share * 1e3, latencies.quantile(share).as_micros() as f64);
            assert!((exact..=exact * 1.25 + 1.0).contains(&shown), "{share}: {shown}");
        }
        assert_eq!(latencies.quantile(1.0), latencies.max());
        assert_eq!(latencies.buckets().map(|(_, count)| count).sum::<u64>(), 1_000);
    }
}
