//! One limit per second for one connection: what passes, what is refused, and when it is enough.

use std::time::Duration;

/// A token bucket counts billionths: with a limit of `n` per second, each nanosecond brings `n`.
const BILLION: u64 = 1_000_000_000;

/// A bucket holds what may come in this many seconds without being read, so that a connection which
/// was not read for a while may catch up.
const CATCH_UP_SECONDS: u64 = 60;

/// A connection is closed once it has sent what would need this many seconds more.
const EXCESS_SECONDS: u64 = 4;

/// How much may come per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PerSecond {
    /// 0 means that there is no limit.
    pub(super) amount: u64,
    /// What may be refused before the connection is closed, if that is more than its seconds allow.
    pub(super) excess_least: u64,
}

/// What becomes of something that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passes,
    /// It is beyond the limit.
    Refused,
    /// So much was refused that the connection is to be closed.
    Closes,
}

/// What a limit per second still lets through: a second's worth at once, and from then on no more
/// than the limit. All numbers are exact, so that a connection may stay at its limit for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    /// What may come now, in billionths.
    tokens: u64,
    /// What was refused, in billionths; it is forgiven as fast as tokens come.
    excess: u64,
}

impl PerSecond {
    fn in_a_second(self) -> u64 {
        self.amount.saturating_mul(BILLION)
    }

    fn in_time(self, time: Duration) -> u64 {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.amount.saturating_mul(nanos)
    }

    fn excess_most(self) -> u64 {
        let seconds = self.amount.saturating_mul(EXCESS_SECONDS);
        seconds.max(self.excess_least).saturating_mul(BILLION)
    }
}

impl Bucket {
    pub(super) fn full(limit: PerSecond) -> Bucket {
        Bucket { tokens: limit.in_a_second(), excess: 0 }
    }

    /// Time has passed.
    pub(super) fn refill(&mut self, limit: PerSecond, time: Duration) {
        let come = limit.in_time(time);
        let most = limit.in_a_second();
        if self.tokens < most {
            self.tokens = self.tokens.saturating_add(come).min(most);
        }
        self.excess = self.excess.saturating_sub(come);
    }

    /// Time has passed in which the connection was not read: what it sent meanwhile comes at once.
    pub(super) fn catch_up(&mut self, limit: PerSecond, time: Duration) {
        let come = limit.in_time(time);
        let most = limit.in_a_second().saturating_mul(CATCH_UP_SECONDS);
        self.tokens = self.tokens.max(self.tokens.saturating_add(come).min(most));
        self.excess = self.excess.saturating_sub(come);
    }

    /// So much has come.
    pub(super) fn take(&mut self, limit: PerSecond, amount: u64) -> Outcome {
        let billionths = amount.saturating_mul(BILLION);
        if let Some(tokens) = self.tokens.checked_sub(billionths) {
            self.tokens = tokens;
            return Outcome::Passes;
        }
        self.excess = self.excess.saturating_add(billionths);
        match self.excess > limit.excess_most() {
            true => Outcome::Closes,
            false => Outcome::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn per_second(amount: u64) -> PerSecond {
        PerSecond { amount, excess_least: 0 }
    }

    /// When the `n`-th of so many per second is due, in nanoseconds.
    fn due(n: u64, amount: u64) -> u64 {
        (u128::from(n) * u128::from(BILLION)).div_ceil(u128::from(amount)) as u64
    }

    #[test]
    fn exactly_the_limit_passes_for_an_hour_and_one_more_does_not() {
        for amount in [1, 3, 7, 60, 999] {
            let limit = per_second(amount);
            let mut bucket = Bucket::full(limit);
            for _ in 0..amount {
                assert_eq!(bucket.take(limit, 1), Outcome::Passes, "a second's worth at once");
            }
            let mut now = 0;
            for n in 1..=3_600 * amount {
                let at = due(n, amount);
                bucket.refill(limit, Duration::from_nanos(at - now));
                now = at;
                assert_eq!(bucket.take(limit, 1), Outcome::Passes, "{n} of {amount} per second");
                if n % 97 == 0 {
                    assert_eq!(bucket.take(limit, 1), Outcome::Refused, "one more than {amount}");
                }
            }
        }
    }

    #[test]
    fn in_any_time_no_more_passes_than_the_limit_and_a_second_s_worth() {
        let limit = per_second(10);
        let mut bucket = Bucket::full(limit);
        let (mut passed, mut random, mut now) = (0_u64, 7_u64, 0_u64);
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let time = (random >> 33) % 150_000_000;
            now += time;
            bucket.refill(limit, Duration::from_nanos(time));
            passed += u64::from(bucket.take(limit, 1) == Outcome::Passes);
            assert!(passed <= 10 + now / 100_000_000, "{passed} in {now} ns");
        }
        assert!(passed > 10_000, "{passed} in {now} ns");
    }

    #[test]
    fn a_connection_at_twice_its_limit_is_refused_and_beyond_closed() {
        for (times, closes) in [(2, false), (3, true)] {
            let limit = per_second(10);
            let mut bucket = Bucket::full(limit);
            let mut outcomes = Vec::new();
            for _ in 0..1_000 {
                bucket.refill(limit, Duration::from_millis(100));
                outcomes.extend((0..times).map(|_| bucket.take(limit, 1)));
            }
            assert!(outcomes.contains(&Outcome::Refused), "{times} times the limit");
            assert_eq!(outcomes.contains(&Outcome::Closes), closes, "{times} times the limit");
        }
    }

    #[test]
    fn some_may_be_refused_whatever_the_limit_is() {
        let limit = PerSecond { amount: 1, excess_least: 16 };
        let mut bucket = Bucket::full(limit);
        assert_eq!(bucket.take(limit, 1), Outcome::Passes);
        for _ in 0..16 {
            assert_eq!(bucket.take(limit, 1), Outcome::Refused);
        }
        assert_eq!(bucket.take(limit, 1), Outcome::Closes);
    }

    #[test]
    fn what_was_sent_while_nothing_was_read_passes_when_it_is() {
        let limit = per_second(10);
        let mut bucket = Bucket::full(limit);
        (0..10).for_each(|_| assert_eq!(bucket.take(limit, 1), Outcome::Passes));
        bucket.catch_up(limit, Duration::from_secs(30));
        for _ in 0..300 {
            assert_eq!(bucket.take(limit, 1), Outcome::Passes);
        }
        assert_eq!(bucket.take(limit, 1), Outcome::Refused);
        bucket.catch_up(limit, Duration::from_secs(1 << 40));
        bucket.refill(limit, Duration::from_secs(1 << 40));
        for _ in 0..600 {
            assert_eq!(bucket.take(limit, 1), Outcome::Passes, "a minute's worth at most");
        }
        assert_eq!(bucket.take(limit, 1), Outcome::Refused);
    }

    #[test]
    fn the_largest_numbers_end_in_no_overflow() {
        for amount in [1, 1 << 30, u64::MAX] {
            let limit = PerSecond { amount, excess_least: u64::MAX };
            let mut bucket = Bucket::full(limit);
            bucket.catch_up(limit, Duration::MAX);
            bucket.refill(limit, Duration::MAX);
            assert_eq!(bucket.take(limit, 1), Outcome::Passes);
            assert_eq!(bucket.take(limit, u64::MAX), Outcome::Refused, "{amount} per second");
            bucket.refill(limit, Duration::ZERO);
        }
    }
}
