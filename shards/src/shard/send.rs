//! One send, from begin to end, and how direct frames are queued for the next one.

use super::directory::Directory;
use super::host::{Host, SendEnd};
use crate::connection::{Phase, Wait, WriteState};
use crate::disconnect::Disconnect;
use crate::format::Fact;
use crate::log::Space;
use crate::place::Slot;
use crate::tuning::DIRECT_IOVECS;

impl Directory {
    /// Calls `each` with the memory of a begun send, in order.
    pub(super) fn for_each_iovec<'a>(&'a self, slot: Slot, mut each: impl FnMut(&'a [u8])) {
        let connection = &self[slot];
        debug_assert_eq!(connection.write_state(), WriteState::Begun);
        if let Some(direct) = &*connection.direct {
            direct.iovecs().into_iter().filter(|iovec| !iovec.is_empty()).for_each(&mut each);
        }
        for membership in connection.behind.iter().map(|at| &connection.memberships[at]) {
            let index = membership.listed().expect("only members are behind");
            let room = &self[membership.room];
            let member = &room.members[index];
            if member.in_flight > 0 {
                let to = member.cursor + u64::from(member.in_flight);
                let runs = member.runs(to);
                runs.for_each(|run| room.log.for_each_iovec(run, member.encoding, &mut each));
            }
        }
    }
}

impl Host {
    /// Begins a send of everything that waits for this connection: the rest of a cut frame, its
    /// direct frames, then its rooms' messages. Returns false when nothing waits.
    pub(super) fn begin_send(&mut self, slot: Slot) -> bool {
        debug_assert_eq!(self.directory[slot].write_state(), WriteState::Idle);
        // A member that lost its place, or has a gap to announce, belongs to a slow connection.
        if self.directory[slot].slow && !self.announce_gaps(slot) {
            self.directory.pin_behind(slot);
            return false;
        }
        self.finish_departures(slot);
        let connection = &self.directory[slot];
        if connection.close_reason().is_some() && connection.phase() != Phase::Closing {
            self.directory.pin_behind(slot);
            return false;
        }
        if self.directory[slot].direct.is_some() {
            self.directory.change_direct(slot, |direct| {
                direct.iter_mut().for_each(|direct| direct.begin());
            });
            let iovecs = self.directory[slot].direct.iter().flat_map(|direct| direct.iovecs());
            self.counters.offered += iovecs.map(|iovec| iovec.len() as u64).sum::<u64>();
        }
        let carries_rooms = self.begin_rooms(slot);
        if !carries_rooms && !self.directory[slot].has_direct() {
            self.on_accepted(slot);
            return false;
        }
        self.directory[slot].begin_send();
        true
    }

    /// Begins the part of a send that carries rooms' messages. Returns whether there are any.
    fn begin_rooms(&mut self, slot: Slot) -> bool {
        let tuning = &self.config.tuning;
        let (iovecs, bytes) = (tuning.send_iovecs - DIRECT_IOVECS, tuning.send_bytes);
        let mut space = Space { iovecs, bytes, used: 0 };
        if self.fanout.has_dirty() {
            self.counters.looks += self.directory.take_along(slot, tuning.rooms_along) as u64;
        }
        let carries = self.directory.begin_rooms(slot, &mut space);
        self.counters.offered += space.used as u64;
        self.counters.looks += self.directory[slot].behind.len() as u64;
        carries
    }

    /// Ends a begun send. Returns whether anything but the cursors has changed.
    pub(super) fn end_send(&mut self, slot: Slot, end: SendEnd) -> bool {
        let taken = match end {
            SendEnd::Taken(bytes) | SendEnd::Held(bytes) => bytes,
            SendEnd::Blocked | SendEnd::Failed => 0,
        };
        self.counters.sends += u64::from(taken > 0);
        let account = self.directory.account(slot, taken);
        self.counters.delivered += account.delivered;
        self.counters.rest_bytes_copied += account.copied;
        let state = match end {
            SendEnd::Failed => WriteState::Dead,
            SendEnd::Held(_) => WriteState::Held,
            _ if account.complete => WriteState::Idle,
            _ => WriteState::Blocked,
        };
        let complete = state == WriteState::Idle;
        self.directory[slot].end_send(state);
        if complete && account.caught_up && self.joins_after_send.is_empty() {
            // By far most sends end here: nothing waited for this one, and nothing is left to do.
            return false;
        }
        self.finish_departures(slot);
        match state {
            WriteState::Dead => self.on_failed(slot),
            WriteState::Blocked | WriteState::Held => self.on_blocked(slot, taken > 0),
            WriteState::Idle | WriteState::Begun => self.on_accepted(slot),
        }
        self.after_send(slot);
        true
    }

    /// The socket took everything. A connection that is up to date pins nothing; one that is behind is
    /// in the queue for its next send.
    fn on_accepted(&mut self, slot: Slot) {
        self.directory.unpin_up_to_date(slot);
        let behind = !self.directory[slot].behind.is_empty();
        self.directory[slot].slow &= behind;
        self.directory.pin_behind(slot);
        if behind || self.directory[slot].has_direct() {
            self.make_ready(slot);
        }
        self.directory.drop_empty_direct(slot);
    }

    /// The socket is dead. What arrived before is still read and handled; then comes the end.
    fn on_failed(&mut self, slot: Slot) {
        if !std::mem::replace(&mut self.directory[slot].slow, true) {
            self.directory[slot].slow_since = self.now;
        }
        self.directory.change_direct(slot, |direct| *direct = None);
        self.note_hang_up(slot);
        self.directory.pin_behind(slot);
        if self.directory[slot].phase() == Phase::Closing {
            self.close_socket(slot);
        } else if !self.reading {
            self.schedule_close(slot, Disconnect::Lost);
        }
    }

    /// What waited for the end of the send.
    fn after_send(&mut self, slot: Slot) {
        if !self.joins_after_send.is_empty() {
            let id = self.directory.id(slot);
            let joins = self.joins_after_send.remove(&id).unwrap_or_default();
            joins.into_iter().for_each(|joined| self.on_from_home(joined));
        }
        let connection = &self.directory[slot];
        if connection.close_reason().is_some() && connection.phase() != Phase::Closing {
            self.queues.to_close.push_back(slot);
        }
        self.advance_close(slot);
        let connection = &self.directory[slot];
        let resumes = match connection.wait() {
            Some(Wait::Replies) => !connection.has_unread_replies(&self.config.limits),
            Some(Wait::Begun) => true,
            _ => false,
        };
        if resumes {
            self.resume_later(slot);
        }
    }

    /// Says something to this connection alone, in its format.
    pub(super) fn say(&mut self, slot: Slot, fact: &Fact<'_>) {
        let format = self.directory[slot].format;
        self.queue_direct(slot, |direct| format.push_reply(fact, direct));
    }

    /// Queues one frame for this connection alone.
    pub(super) fn push_direct(&mut self, slot: Slot, frame: &[u8]) {
        self.queue_direct(slot, |direct| direct.extend_from_slice(frame));
    }

    /// Queues what `push` appends, which may be nothing, unless the connection is out of its rooms: an
    /// answer that comes then must not follow the close frame.
    fn queue_direct(&mut self, slot: Slot, push: impl FnOnce(&mut Vec<u8>)) {
        let connection = &self.directory[slot];
        if !connection.is_in_rooms() || connection.write_state() == WriteState::Dead {
            return;
        }
        let before = connection.direct_bytes();
        self.directory.change_direct(slot, |direct| push(direct.get_or_insert_default().queue()));
        if self.directory[slot].direct_bytes() == before {
            return self.directory.drop_empty_direct(slot);
        }
        self.limit_direct(slot);
        self.make_ready(slot);
    }
}
