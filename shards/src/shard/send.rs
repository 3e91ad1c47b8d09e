//! One send, from begin to end, and how direct frames are queued for the next one.

use std::sync::Arc;

use super::directory::Directory;
use super::host::{Host, SendEnd};
use crate::connection::direct_outbox::DirectOutbox;
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
        if let Some(replays) = &*connection.replays {
            replays.iovecs().for_each(&mut each);
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
        if let Some(event) = self.positions_event(slot) {
            each(event);
        }
    }
}

/// A host that sends: what a connection's next send carries, and what its end changes.
///
/// The host itself only says that a connection is ready to be sent to, with [`Host::make_ready`].
pub(super) struct Sending<'a>(pub(super) &'a mut Host);

impl Sending<'_> {
    /// Begins a send of everything that waits for this connection: the rest of a cut frame, its direct
    /// frames, what it missed of its rooms if it is its turn to be sent that, and messages of the rooms of
    /// which it has missed nothing. Returns false when nothing waits.
    pub(super) fn begin_send(&mut self, slot: Slot, has_turn: bool) -> bool {
        debug_assert_eq!(self.0.directory[slot].write_state(), WriteState::Idle);
        // First, since the rooms of a connection that has its history now are sent with this send: their
        // gaps belong before their messages.
        if has_turn && self.0.directory[slot].format.has_head() {
            self.make_events(slot);
        }
        // A member that lost its place, or has a gap to announce, belongs to a slow connection.
        if self.0.directory[slot].slow && !self.0.announce_gaps(slot) {
            self.0.pin_behind(slot);
            return false;
        }
        self.0.finish_departures(slot);
        let connection = &self.0.directory[slot];
        if connection.close_reason().is_some() && connection.phase() != Phase::Closing {
            self.0.pin_behind(slot);
            return false;
        }
        let mut is_all = true;
        if self.0.directory[slot].direct.is_some() {
            self.0.directory.change_direct(slot, |direct| {
                is_all = direct.iter_mut().all(|direct| direct.begin());
            });
            let iovecs = self.0.directory[slot].direct.iter().flat_map(|direct| direct.iovecs());
            self.0.counters.offered += iovecs.map(|iovec| iovec.len() as u64).sum::<u64>();
        }
        let carries_more = match is_all {
            true => self.begin_shared(slot, has_turn),
            false => {
                // What else there is follows the last of these; the passes of its rooms do not come back.
                self.0.pin_behind(slot);
                false
            }
        };
        let carries_more = carries_more || self.0.directory.owes_positions(slot);
        if !carries_more && !self.0.directory[slot].has_direct() {
            self.on_accepted(slot);
            return false;
        }
        self.0.directory[slot].begin_send();
        self.0.begin_positions(slot);
        true
    }

    /// Begins the part of a send that carries histories and rooms' messages. Returns whether there are any.
    fn begin_shared(&mut self, slot: Slot, has_turn: bool) -> bool {
        let iovecs = self.0.config.tuning.send_iovecs - DIRECT_IOVECS;
        if self.0.directory[slot].replays.is_none() {
            return self.begin_rooms(slot, iovecs);
        }
        let left = match has_turn && !self.0.directory[slot].format.has_head() {
            true => self.begin_replays(slot, iovecs),
            false => iovecs,
        };
        let carries_rooms = self.begin_rooms(slot, left);
        // The passes of its rooms do not come back to it.
        self.0.pin_behind(slot);
        carries_rooms || left < iovecs
    }

    /// Begins the part of a send that carries rooms' messages, with so many iovecs. Returns whether there
    /// are any.
    fn begin_rooms(&mut self, slot: Slot, iovecs: usize) -> bool {
        let tuning = &self.0.config.tuning;
        let mut space = Space { iovecs, bytes: tuning.send_bytes, used: 0 };
        if self.0.fanout.has_dirty() {
            self.0.counters.looks += self.0.directory.take_along(slot, tuning.rooms_along) as u64;
        }
        let carries = self.0.directory.begin_rooms(slot, &mut space);
        self.0.counters.offered += space.used as u64;
        self.0.counters.looks += self.0.directory[slot].behind.len() as u64;
        carries
    }

    /// Ends a begun send. Returns whether anything but the cursors has changed.
    pub(super) fn end_send(&mut self, slot: Slot, end: SendEnd) -> bool {
        let taken = match end {
            SendEnd::Taken(bytes) | SendEnd::Held(bytes) => bytes,
            SendEnd::Blocked | SendEnd::Failed => 0,
        };
        self.0.counters.sends += u64::from(taken > 0);
        let account = self.0.directory.account(slot, taken);
        self.0.counters.delivered += account.delivered;
        self.0.counters.history.replayed += account.replayed;
        self.0.counters.rest_bytes_copied += account.copied;
        self.0.counters.history.replayed_bytes += account.taken_replay as u64;
        let state = match end {
            SendEnd::Failed => WriteState::Dead,
            SendEnd::Held(_) => WriteState::Held,
            _ if account.complete => WriteState::Idle,
            _ => WriteState::Blocked,
        };
        let complete = state == WriteState::Idle;
        self.0.directory[slot].end_send(state);
        if complete && account.caught_up && self.0.joins_after_send.is_empty() {
            // By far most sends end here: nothing waited for this one, and nothing is left to do.
            return false;
        }
        self.0.give_back_replay_bytes(account.untaken_replay);
        if taken > 0 && (account.replayed > 0 || self.0.directory[slot].replays.is_some()) {
            self.0.note_replay_progress(slot);
            if complete {
                // As much as one turn offers: that takes no client long that reads.
                self.0.directory[slot].slow_since = self.0.now;
            }
        }
        self.0.finish_departures(slot);
        match state {
            WriteState::Dead => self.on_failed(slot),
            WriteState::Blocked | WriteState::Held => self.0.on_blocked(slot, taken > 0),
            WriteState::Idle | WriteState::Begun | WriteState::Unbegun => self.on_accepted(slot),
        }
        self.after_send(slot);
        true
    }

    /// The socket took everything. A connection that is up to date pins nothing; one that is behind is
    /// in the queue for its next send. One that only waits for its turn to be sent a history is not slow.
    fn on_accepted(&mut self, slot: Slot) {
        self.0.directory.unpin_up_to_date(slot);
        let (behind, lost) = self.0.directory.what_it_is_behind_in(slot);
        self.0.directory[slot].slow &= behind || lost;
        self.0.pin_behind(slot);
        if self.0.directory[slot].replays.is_some() {
            self.0.queue_replay(slot);
        }
        let owes = self.0.directory[slot].has_direct() || self.0.directory.owes_positions(slot);
        if owes || behind {
            self.0.make_ready(slot);
        }
        self.0.directory.drop_empty_direct(slot);
    }

    /// The socket is dead. What arrived before is still read and handled; then comes the end.
    fn on_failed(&mut self, slot: Slot) {
        if !std::mem::replace(&mut self.0.directory[slot].slow, true) {
            self.0.directory[slot].slow_since = self.0.now;
        }
        self.0.directory.change_direct(slot, |direct| *direct = None);
        self.0.directory.drop_replays(slot);
        self.0.note_hang_up(slot);
        self.0.directory.pin_behind(slot);
        if self.0.directory[slot].phase() == Phase::Closing {
            self.0.close_socket(slot);
        } else if !self.0.reading {
            self.0.schedule_close(slot, Disconnect::Lost);
        }
    }

    /// What waited for the end of the send.
    fn after_send(&mut self, slot: Slot) {
        if !self.0.joins_after_send.is_empty() {
            let id = self.0.directory.id(slot);
            let joins = self.0.joins_after_send.remove(&id).unwrap_or_default();
            joins.into_iter().for_each(|joined| self.0.on_from_home(joined));
        }
        let connection = &self.0.directory[slot];
        if connection.close_reason().is_some() && connection.phase() != Phase::Closing {
            self.0.queues.to_close.push_back(slot);
        }
        self.0.advance_close(slot);
        let connection = &self.0.directory[slot];
        let resumes = match connection.wait() {
            Some(Wait::Replies) => !connection.has_unread_replies(&self.0.config.limits),
            Some(Wait::Begun) => true,
            _ => false,
        };
        if resumes {
            self.0.resume_later(slot);
        }
    }
}

impl Host {
    /// Says something to this connection alone, in its format.
    pub(super) fn say(&mut self, slot: Slot, fact: &Fact<'_>) {
        let format = self.directory[slot].format;
        self.queue_direct(slot, |direct| format.push_reply(fact, direct.queue()));
    }

    /// Queues one frame for this connection alone.
    pub(super) fn push_direct(&mut self, slot: Slot, frame: &[u8]) {
        self.queue_direct(slot, |direct| direct.queue().extend_from_slice(frame));
    }

    /// Queues one frame that others are sent, too: a large one is shared with them.
    pub(super) fn push_shared(&mut self, slot: Slot, frame: &Arc<[u8]>) {
        let is_large = frame.len() > self.config.tuning.copy_bytes;
        self.queue_direct(slot, |direct| match is_large {
            true => direct.push_shared(Arc::clone(frame)),
            false => direct.queue().extend_from_slice(frame),
        });
    }

    /// Queues what `push` appends, which may be nothing, unless the connection is out of its rooms: an
    /// answer that comes then must not follow the close frame.
    fn queue_direct(&mut self, slot: Slot, push: impl FnOnce(&mut DirectOutbox)) {
        let connection = &self.directory[slot];
        if !connection.is_in_rooms() || connection.write_state() == WriteState::Dead {
            return;
        }
        let before = connection.direct_bytes();
        self.directory.change_direct(slot, |direct| push(direct.get_or_insert_default()));
        if self.directory[slot].direct_bytes() == before {
            return self.directory.drop_empty_direct(slot);
        }
        self.limit_direct(slot);
        self.make_ready(slot);
    }
}
