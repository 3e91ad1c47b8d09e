//! A task that waits for a moment.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use corecast_shards::Time;

use super::driver_ref::DriverRef;
use super::timers::TimerKey;

/// A future that is ready when its time is over, or its shard has ended.
///
/// It is pending at least once, so that a task which sleeps for no time in a loop lets the shard have
/// a turn each time.
pub(crate) struct Sleep {
    driver: DriverRef,
    deadline: Time,
    timer: Option<TimerKey>,
    was_pending: bool,
}

impl Sleep {
    pub(super) fn new(driver: DriverRef, now: Time, duration: Duration) -> Sleep {
        Sleep { driver, deadline: now + duration, timer: None, was_pending: false }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (deadline, before) = (self.deadline, self.timer.take());
        let set = self.driver.with(|driver| {
            before.into_iter().for_each(|key| driver.timers.cancel(key));
            (driver.now() < deadline).then(|| driver.timers.set(deadline, cx.waker().clone()))
        });
        let has_ended = set.is_none();
        self.timer = set.flatten();
        let was_pending = std::mem::replace(&mut self.was_pending, true);
        if self.timer.is_some() {
            return Poll::Pending;
        }
        if was_pending || has_ended {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.timer.take() {
            self.driver.with(|driver| driver.timers.cancel(key));
        }
    }
}
