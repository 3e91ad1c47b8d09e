//! Tasks that wait for a moment.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use corecast_shards::Time;

use super::hub::Hub;

/// The wakers of tasks that wait, by the moment that they wait for.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    wakers: BTreeMap<TimerKey, Waker>,
    sequence: u64,
}

/// When a timer fires, and a number that makes timers differ.
pub(crate) type TimerKey = (Time, u64);

impl Timers {
    fn set(&mut self, time: Time, waker: Waker) -> TimerKey {
        self.sequence += 1;
        self.wakers.insert((time, self.sequence), waker);
        (time, self.sequence)
    }

    fn cancel(&mut self, key: TimerKey) {
        self.wakers.remove(&key);
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.wakers.first_key_value().map(|((time, _), _)| *time)
    }

    /// Wakes everybody whose moment has come.
    pub(crate) fn fire_due(&mut self, now: Time) {
        while self.next_deadline().is_some_and(|deadline| deadline <= now) {
            if let Some((_, waker)) = self.wakers.pop_first() {
                waker.wake();
            }
        }
    }
}

/// A future that is ready when its time is over.
pub(crate) struct Sleep {
    hub: Hub,
    deadline: Time,
    timer: Option<TimerKey>,
}

impl Sleep {
    pub(crate) fn new(hub: &Hub, duration: Duration) -> Sleep {
        let deadline = hub.now() + duration;
        Sleep { hub: hub.clone(), deadline, timer: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (deadline, before) = (self.deadline, self.timer.take());
        let set = self.hub.with_driver(|driver| {
            before.into_iter().for_each(|key| driver.timers.cancel(key));
            (driver.now() < deadline).then(|| driver.timers.set(deadline, cx.waker().clone()))
        });
        self.timer = set.flatten();
        if self.timer.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.timer.take() {
            self.hub.with_driver(|driver| driver.timers.cancel(key));
        }
    }
}
