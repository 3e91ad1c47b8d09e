//! What two latencies say of each other when part of each may be the generator's.

/// A latency as it was measured, in seconds, and the least of it that was the system's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) measured: f64,
    pub(super) least: f64,
}

/// One figure divided by another, and between what it lies: the one as little as it may have been
/// by the other as it was measured, and the other way round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quotient {
    pub(super) measured: f64,
    pub(super) least: f64,
    /// Endless where all of the other one may be the generator's.
    pub(super) most: f64,
}

/// Of a latency, what may be the generator's without a word.
const OWN_MAX: f64 = 0.10;
/// How far from what was measured a ratio may be that is told as one.
const WIDE_FROM: f64 = 0.15;

impl Taken {
    /// Whether so little of it may be the generator's that it is the system's.
    pub(super) fn is_told(self) -> bool {
        self.least >= (1.0 - OWN_MAX) * self.measured
    }

    pub(super) fn by(self, other: Taken) -> Quotient {
        Quotient {
            measured: self.measured / other.measured,
            least: self.least / other.measured,
            most: self.measured / other.least,
        }
    }
}

impl Quotient {
    /// Whether it can be told as a ratio, whatever the generator did.
    pub(super) fn is_narrow(self) -> bool {
        let Quotient { measured, least, most } = self;
        least >= (1.0 - WIDE_FROM) * measured && most <= (1.0 + WIDE_FROM) * measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_lies_between_its_least_and_its_most() {
        let one = Taken { measured: 2.0, least: 1.5 };
        let other = Taken { measured: 4.0, least: 3.0 };
        let expected = Quotient { measured: 0.5, least: 0.375, most: 2.0 / 3.0 };
        assert_eq!(one.by(other), expected);
        assert_eq!(one.by(Taken { measured: 4.0, least: 0.0 }).most, f64::INFINITY);
    }

    #[test]
    fn a_tenth_of_a_latency_needs_no_word() {
        assert!(Taken { measured: 100.0, least: 90.0 }.is_told());
        assert!(!Taken { measured: 100.0, least: 89.9 }.is_told());
    }

    #[test]
    fn both_ends_of_a_ratio_have_to_be_near() {
        let is_narrow = |least, most| Quotient { measured: 2.0, least, most }.is_narrow();
        assert!(is_narrow(1.71, 2.29) && is_narrow(2.0, 2.0));
        assert!(!is_narrow(1.69, 2.0) && !is_narrow(2.0, 2.31) && !is_narrow(2.0, f64::INFINITY));
    }
}
