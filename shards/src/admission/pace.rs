//! How often something may happen.

use std::time::Duration;

use crate::time::Time;

/// So many times per second, and as many at once as are due in one second: a token bucket, kept as
/// the moment at which it is full again (the virtual scheduling of ITU-T I.371).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two that come evenly; zero where nothing is limited.
    interval: Duration,
    /// What may come at once, as the time in which it is due.
    burst: Duration,
}

/// What was taken of a [`Pace`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paced {
    full_at: Time,
}

impl Pace {
    /// So many per second; 0 means that there is no limit.
    pub fn per_second(count: usize) -> Pace {
        const SECOND: u128 = 1_000_000_000;
        let nanos = SECOND.checked_div(count as u128).unwrap_or(0);
        let interval = Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
        let burst = interval.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        assert!(burst >= interval, "at least one may come");
        Pace { interval, burst }
    }

    /// After how long the next one may come; none when it may now.
    pub fn wait(&self, paced: Paced, now: Time) -> Option<Duration> {
        let missing = paced.full_at.since(now) + self.interval;
        missing.checked_sub(self.burst).filter(|wait| !wait.is_zero())
    }

    /// One has come, whether it had to wait or not.
    pub fn take(&self, paced: &mut Paced, now: Time) {
        paced.full_at = paced.full_at.max(now) + self.interval;
    }
}

impl Paced {
    /// Whether as many may come as if none ever had.
    pub fn is_full(self, now: Time) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_nanos(millis * 1_000_000)
    }

    /// How many of those that ask at these moments may come.
    fn count(pace: Pace, moments: impl IntoIterator<Item = u64>) -> usize {
        let mut paced = Paced::default();
        let mut may = |now| {
            let may = pace.wait(paced, now).is_none();
            if may {
                pace.take(&mut paced, now);
            }
            may
        };
        moments.into_iter().filter(|millis| may(at(*millis))).count()
    }

    #[test]
    fn a_second_s_worth_comes_at_once_and_then_as_many_as_are_due() {
        for rate in [1, 2, 10, 100] {
            let pace = Pace::per_second(rate);
            assert_eq!(count(pace, vec![5_000; 3 * rate]), rate, "{rate} at once");
            assert_eq!(count(pace, (0..10_000).map(|tick| 5_000 + tick)), 10 * rate + rate - 1);
        }
    }

    #[test]
    fn who_comes_evenly_is_never_refused_and_who_comes_faster_is() {
        let pace = Pace::per_second(10);
        assert_eq!(count(pace, (0..1000).map(|n| 100 * n)), 1000);
        let faster = count(pace, (0..1000).map(|n| 50 * n));
        assert!((500..=510).contains(&faster), "{faster}");
    }

    #[test]
    fn the_wait_is_exact() {
        let pace = Pace::per_second(2);
        let mut paced = Paced::default();
        (0..2).for_each(|_| pace.take(&mut paced, at(0)));
        assert_eq!(pace.wait(paced, at(0)), Some(Duration::from_millis(500)));
        assert_eq!(pace.wait(paced, at(499)), Some(Duration::from_millis(1)));
        assert_eq!(pace.wait(paced, at(500)), None);
        assert!(!paced.is_full(at(999)) && paced.is_full(at(1000)));
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        for pace in [Pace::per_second(0), Pace::per_second(usize::MAX)] {
            assert_eq!(count(pace, vec![0; 10_000]), 10_000, "{pace:?}");
        }
    }
}
