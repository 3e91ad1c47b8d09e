//! How often system calls failed, and what the log says of it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use corecast_shards::Time;

use super::syscall::Syscall;

/// The failed system calls of one shard, by name. Any thread may note one; none is on the way of a
/// message.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    counts: [AtomicU64; Syscall::COUNTED.len()],
    reported: Mutex<[LastReport; Syscall::COUNTED.len()]>,
}

/// What the log knows of one call.
#[derive(Clone, Copy, Debug, Default)]
struct LastReport {
    /// When it was told last; none when it never was.
    at: Option<Time>,
    /// How many failures that was up to.
    count: u64,
}

/// A call that goes on failing is in the log this often.
const TELL_INTERVAL: Duration = Duration::from_secs(60);

impl Failures {
    /// Counts a failure, and logs it when that is due.
    pub(crate) fn note(&self, call: Syscall, error: &io::Error, now: Time) {
        let Some(place) = Syscall::COUNTED.iter().position(|counted| *counted == call) else {
            return;
        };
        let count = self.counts[place].fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(times) = self.times_to_tell(place, count, now) {
            let (call, remedy) = (call.name(), remedy(error));
            tracing::warn!(call, %error, times, "a system call failed; the server goes on{remedy}");
        }
    }

    /// Every counted call with the number of its failures.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Syscall::COUNTED.iter().map(|call| call.name()).zip(counts)
    }

    /// How many failures a line in the log would stand for; none when it is too early for one.
    fn times_to_tell(&self, place: usize, count: u64, now: Time) -> Option<u64> {
        // Nothing panics while the lock is held: it guards two numbers.
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let reported = &mut reported[place];
        if reported.at.is_some_and(|at| now < at + TELL_INTERVAL) {
            return None;
        }
        let times = count.saturating_sub(reported.count);
        *reported = LastReport { at: Some(now), count };
        Some(times)
    }
}

/// What an operator can do about it.
fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE) => "; raise the limit on descriptors (`ulimit -n`, LimitNOFILE)",
        Some(libc::ENFILE) => "; raise the system's limit on descriptors (sysctl fs.file-max)",
        Some(libc::ENOSPC) => "; raise the user's limit (sysctl fs.epoll.max_user_watches)",
        Some(libc::ENOMEM | libc::ENOBUFS) => "; it needs more memory, or fewer connections",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_told_and_then_a_sum_per_minute() {
        let failures = Failures::default();
        let second = |second: u64| Time::from_nanos(second * 1_000_000_000);
        let reported: Vec<_> = (1..=121).map(|n| failures.times_to_tell(0, n, second(n))).collect();
        let lines =
            reported.into_iter().enumerate().filter_map(|(n, reported)| Some((n, reported?)));
        assert_eq!(lines.collect::<Vec<_>>(), [(0, 1), (60, 60), (120, 60)]);
    }

    #[test]
    fn every_name_has_its_own_number() {
        let failures = Failures::default();
        let full = io::Error::from_raw_os_error(libc::EMFILE);
        for call in [Syscall::Accept, Syscall::Accept, Syscall::SetTimer, Syscall::Recv] {
            failures.note(call, &full, Time::from_nanos(1));
        }
        let counts: Vec<_> = failures.by_name().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [("accept4", 2), ("timerfd_settime", 1)]);
    }
}
