//! Members that read slowly or not at all, until everything is published.

use std::time::Duration;

use super::member::{End, MemberStage};
use super::reader::Reader;
use crate::client::poller::Interest;
use crate::client::socket::error_kind;
use crate::watch::clock::nanos;
use crate::watch::shared::Phase;

/// How often a slow member reads.
const EVERY: Duration = Duration::from_millis(100);

impl Reader {
    /// From now on this member is not read when it has something, but when it is its time.
    pub(crate) fn slow_down(&mut self, nth: usize) {
        if let Some(link) = &self.members[nth].link
            && let Err(error) = self.poller.remove(link)
        {
            self.leave(nth, End::Sudden, &error_kind(&error));
        }
    }

    /// Lets each slow member read its share.
    pub(crate) fn read_slowly(&mut self) {
        let rate = self.shared.plan.slow.read_rate;
        if rate == 0 || self.shared.phase() > Phase::Publish {
            return;
        }
        let now = self.shared.clock.now();
        if now < self.slow_read_next {
            return;
        }
        self.slow_read_next = now + nanos(EVERY);
        let share = (rate as f64 * EVERY.as_secs_f64()).ceil() as usize;
        for nth in 0..self.members.len() {
            if self.members[nth].is_slow && self.members[nth].stage == MemberStage::Ready {
                self.read(nth, share);
            }
        }
    }

    /// Nothing more is published: what is left is read like by everybody else.
    pub(crate) fn hurry_slow(&mut self) {
        for nth in 0..self.members.len() {
            let member = &self.members[nth];
            if let (true, Some(link)) = (member.is_slow, &member.link)
                && let Err(error) = self.poller.add(link, nth as u64, Interest::Read)
            {
                self.leave(nth, End::Sudden, &error_kind(&error));
            }
        }
    }
}
