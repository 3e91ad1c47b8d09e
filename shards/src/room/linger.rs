//! Whether a room's messages wait for more of them before the pass that carries them begins.

use std::collections::BTreeSet;

use super::table::RoomKey;
use super::{Member, Room};
use crate::memory::tree_bytes;
use crate::time::Time;

/// The rooms whose messages linger, by the time when that ends.
#[derive(Debug, Default)]
pub(crate) struct Lingering(BTreeSet<(Time, RoomKey)>);

impl Lingering {
    pub(crate) fn add(&mut self, until: Time, key: RoomKey) {
        self.0.insert((until, key));
    }

    pub(crate) fn remove(&mut self, until: Time, key: RoomKey) {
        self.0.remove(&(until, key));
    }

    /// When the first of them is due.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.0.first().map(|(until, _)| *until)
    }

    /// One that is due now, or any if none may linger any more.
    pub(crate) fn take_due(&mut self, now: Time, is_any_due: bool) -> Option<RoomKey> {
        let (until, key) = *self.0.first()?;
        (is_any_due || until <= now).then(|| {
            self.0.pop_first();
            key
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        tree_bytes::<(Time, RoomKey), ()>(self.0.len())
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Time, RoomKey)> {
        self.0.iter().copied()
    }
}

impl Room {
    /// A message was appended at this time: the first one that the next pass is to carry sets the time
    /// until which they linger.
    pub(crate) fn note_arrival(&mut self, now: Time) {
        let Some(linger) = self.policy.linger else { return };
        let waits_for_pass = self.dirty && self.pass.is_none();
        if !waits_for_pass && self.log.next() == self.carried_to() + 1 {
            self.linger_until = Some(now + linger.duration());
        }
    }

    /// Whether the messages that no pass carries yet may wait for more.
    pub(crate) fn may_linger(&self, now: Time) -> bool {
        let Some((linger, until)) = self.policy.linger.zip(self.linger_until) else { return false };
        now < until && self.bytes_uncarried() < linger.bytes() && !self.back_pressure.wanted
    }

    /// Whether a member is to be sent what it is behind in. What lingers is for nobody yet but for
    /// members that leave: their answer follows the last message.
    pub(crate) fn is_due(&self, member: &Member) -> bool {
        self.is_behind(member)
            && (self.policy.linger.is_none()
                || member.cursor < self.due_to()
                || member.gap_from().is_some()
                || member.departure().is_some())
    }

    /// The position after the messages that do not linger.
    pub(super) fn due_to(&self) -> u64 {
        match self.dirty && self.pass.is_none() {
            true => self.log.next(),
            false => self.carried_to(),
        }
    }

    /// The position after the messages that the latest pass carries, or has carried.
    pub(crate) fn carried_to(&self) -> u64 {
        self.pass.as_ref().map_or(self.low_water, |pass| pass.end.get())
    }

    /// Bytes of the messages that no pass carries yet.
    pub(crate) fn bytes_uncarried(&self) -> u64 {
        let carried = self.pass.as_ref().map_or(self.low_water_bytes, |pass| pass.end_bytes);
        self.log.appended_bytes() - carried
    }
}
