//! How often one connection may bring a fresh token.

use std::time::Duration;

use crate::time::Time;

/// A fresh token costs its verification, as a handshake does, and a forged one costs as much: a
/// connection may bring a few at once, and then one per second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Refreshes {
    /// When all that were brought are paid for, at one per second.
    paid_at: Time,
}

const AT_ONCE: u32 = 32;
const INTERVAL: Duration = Duration::from_secs(1);

/// What a client reads that goes beyond that.
pub(crate) const TOO_MANY: &str = "fresh tokens are limited to 32 at once, and then one per second; \
    send them more slowly";

impl Refreshes {
    /// Whether one more may come now.
    pub(crate) fn take(&mut self, now: Time) -> bool {
        let paid_at = self.paid_at.max(now) + INTERVAL;
        let may = paid_at.since(now) <= INTERVAL * AT_ONCE;
        if may {
            self.paid_at = paid_at;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_may_come_at_once_and_then_one_per_second() {
        assert!(TOO_MANY.contains(&format!(" {AT_ONCE} at once")));
        let mut refreshes = Refreshes::default();
        let at = |millis: u64| Time::from_nanos(millis * 1_000_000);
        let mut taken = |now: Time| (0..100).take_while(|_| refreshes.take(now)).count();
        assert_eq!(taken(at(5_000)), 32);
        assert_eq!(taken(at(5_999)), 0);
        assert_eq!(taken(at(6_000)), 1);
        assert_eq!(taken(at(9_500)), 3);
        assert_eq!(taken(at(10_000)), 1);
        assert_eq!(taken(at(1_000_000)), 32);
    }
}
