//! Tasks that wait for a moment.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use corecast_shards::Time;

use super::hub::Hub;

/// The wakers of tasks that wait, by the moment that they wait for.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    wakers: BTreeMap<AlarmKey, Waker>,
    sequence: u64,
}

/// When an alarm goes off, and a number that makes alarms differ.
pub(crate) type AlarmKey = (Time, u64);

impl Alarms {
    fn set(&mut self, time: Time, waker: Waker) -> AlarmKey {
        self.sequence += 1;
        self.wakers.insert((time, self.sequence), waker);
        (time, self.sequence)
    }

    fn cancel(&mut self, key: AlarmKey) {
        self.wakers.remove(&key);
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.wakers.first_key_value().map(|((time, _), _)| *time)
    }

    /// Wakes everybody whose moment has come.
    pub(crate) fn go_off(&mut self, now: Time) {
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
    alarm: Option<AlarmKey>,
}

impl Sleep {
    pub(crate) fn new(hub: &Hub, duration: Duration) -> Sleep {
        let deadline = hub.now() + duration;
        Sleep { hub: hub.clone(), deadline, alarm: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let (deadline, before) = (self.deadline, self.alarm.take());
        let set = self.hub.with_core(|core| {
            before.into_iter().for_each(|key| core.alarms.cancel(key));
            (core.now() < deadline).then(|| core.alarms.set(deadline, cx.waker().clone()))
        });
        self.alarm = set.flatten();
        if self.alarm.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.alarm.take() {
            self.hub.with_core(|core| core.alarms.cancel(key));
        }
    }
}
