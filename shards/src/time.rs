//! The only notion of time in the engine.

use std::num::NonZeroU64;
use std::ops::Add;
use std::time::Duration;

/// A moment on the caller's monotonic clock, in nanoseconds since a start that the caller chose.
///
/// The engine never asks what time it is: its caller says so, and a simulation can turn the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(
    /// One more than the nanoseconds, so that one that may be missing takes no more memory: very many
    /// rooms have some of these.
    NonZeroU64,
);

impl Time {
    /// The moment `nanos` nanoseconds after the clock's start, which has an end after 584 years.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// How long ago `earlier` was; zero when it lies in the future.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Time {
    fn default() -> Time {
        Time::from_nanos(0)
    }
}

impl Add<Duration> for Time {
    type Output = Time;

    /// Saturates, so that a limit of "practically for ever" is simply never reached.
    fn add(self, duration: Duration) -> Time {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_as_many_nanoseconds_after_the_start_up_to_the_end() {
        for nanos in [0, 1, 1_000, u64::MAX - 1] {
            assert_eq!(Time::from_nanos(nanos).as_nanos(), nanos);
        }
        let (start, end) = (Time::default(), Time::from_nanos(u64::MAX));
        assert_eq!((start.as_nanos(), end + Duration::MAX), (0, end));
        let second = Duration::from_secs(1);
        assert_eq!((start + second).since(start), second);
        assert_eq!(start.since(start + second), Duration::ZERO);
        assert_eq!(size_of::<Option<Time>>(), size_of::<Time>());
    }
}
