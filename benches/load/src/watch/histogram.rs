//! Latencies in nanoseconds, exact to so many digits.

use hdrhistogram::Histogram;

/// Nanoseconds below this are one value: reading the clock takes about as long.
const LOWEST: u64 = 100;
/// An hour; more counts as an hour.
const HIGHEST: u64 = 3_600_000_000_000;

/// An empty one, which grows to what it holds.
pub(crate) fn histogram(digits: u8) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(LOWEST, 2 * HIGHEST, digits)
        .expect("the bounds are in order and the digits at most five");
    histogram.auto(true);
    histogram
}

/// Adds one histogram to another of the same bounds.
pub(crate) fn add(sum: &mut Histogram<u64>, other: &Histogram<u64>) {
    sum.add(other).expect("a histogram that grows takes every value of its like");
}
