//! How connections are sent what they missed of their rooms, and how much of it in one turn.
//!
//! A connection that is to be sent a history waits in a queue for its turn, in which one send carries
//! `replay_send_bytes` of it; then it goes to the end of the queue. All other sends to it carry its direct
//! frames and the messages of other rooms. Those of the same room wait in the room's log until its
//! history is sent, and too many of them pause the room's publishers.
//!
//! A turn offers `replay_bytes` of histories to sockets. However many connections have direct frames, one
//! send in [`SENDS_PER_REPLAY`] is for the queue.

use std::time::Duration;

use super::directory::Directory;
use super::host::Host;
use super::send::Sending;
use crate::connection::WriteState;
use crate::connection::replays::Replays;
use crate::epoch::Epoch;
use crate::history::Parts;
use crate::log::Space;
use crate::place::Slot;
use crate::room::table::RoomKey;
use crate::time::Time;

/// Of so many sends that need no pass, one is for the queue of those that are sent histories.
const SENDS_PER_REPLAY: u8 = 4;

impl Directory {
    /// Changes what a connection is to be sent of histories.
    pub(super) fn change_replays<R>(
        &mut self,
        slot: Slot,
        change: impl FnOnce(&mut Replays) -> R,
    ) -> R {
        self.connections.change_replays(slot, change)
    }

    /// Nothing more of histories is sent to this connection.
    pub(super) fn drop_replays(&mut self, slot: Slot) {
        if self[slot].replays.is_some() {
            self.change_replays(slot, Replays::drop_all);
        }
    }

    /// The offset of the next message of a room that this connection is sent of its history.
    pub(super) fn next_replayed(&self, slot: Slot, room: RoomKey) -> Option<u64> {
        self[slot].replays.as_ref()?.next_of(room)
    }

    /// Since when a connection waits for its turn, if it does.
    fn queued_at(&self, slot: Slot) -> Option<Time> {
        self[slot].replays.as_ref()?.queued_at
    }
}

impl Host {
    /// These messages of a room go to a connection before any other of the room.
    pub(super) fn begin_replay(
        &mut self,
        slot: Slot,
        room: RoomKey,
        epoch: Epoch,
        messages: Parts,
    ) {
        if messages.is_empty() || self.directory[slot].write_state() == WriteState::Dead {
            return;
        }
        self.directory.change_replays(slot, |replays| {
            replays.push(room, epoch, messages);
        });
        self.queue_replay(slot);
    }

    /// Puts a connection in the queue of those that are sent histories.
    pub(super) fn queue_replay(&mut self, slot: Slot) {
        let now = self.now;
        let before = self.directory.change_replays(slot, |replays| {
            let before = replays.queued_at;
            replays.queued_at = before.or(Some(now));
            before
        });
        if before.is_none() {
            self.queues.to_replay.push_back(slot);
        }
    }

    /// Pins the members that may be behind ([`Directory::pin_behind`]). What waits behind a history may be so
    /// much that publishers have to pause.
    pub(super) fn pin_behind(&mut self, slot: Slot) {
        self.directory.pin_behind(slot);
        for nth in 0..self.directory[slot].replays.as_ref().map_or(0, |replays| replays.count()) {
            let replays = self.directory[slot].replays.as_ref();
            let key = replays.and_then(|replays| replays.rooms().nth(nth)).expect("so many");
            self.judge_back_pressure(key);
            if self.directory[key].is_paused_for_replays() {
                // A pass finds out when they may go on.
                self.need_pass(key);
            }
        }
    }

    /// How long the connection has waited whose turn is next.
    pub(super) fn longest_replay_wait(&self) -> Duration {
        let mut queued = self.queues.to_replay.iter();
        let since = queued.find_map(|slot| self.directory.queued_at(*slot));
        since.map_or(Duration::ZERO, |since| self.now.since(since))
    }

    /// The socket took bytes of a connection that is sent a history. Its client need not say anything
    /// meanwhile, and a ping would be behind what it takes.
    pub(super) fn note_replay_progress(&mut self, slot: Slot) {
        let now = self.now;
        let connection = &mut self.directory[slot];
        (connection.last_received, connection.pinged, connection.read_again) = (now, false, false);
    }

    /// A socket did not take so many bytes of histories: others may be offered as many.
    pub(super) fn give_back_replay_bytes(&mut self, bytes: usize) {
        let most = self.config.tuning.replay_bytes;
        let left = &mut self.queues.replay_bytes_left;
        *left = most.min(*left + bytes);
    }
}

impl Sending<'_> {
    /// Begins the next send of a connection that waits for its turn to be sent a history.
    pub(super) fn next_replay_send(&mut self) -> Option<Slot> {
        let mut at = 0;
        while self.0.queues.replay_bytes_left > 0 {
            let slot = *self.0.queues.to_replay.get(at)?;
            let waits = self.0.directory.queued_at(slot).is_some();
            if waits && self.0.directory[slot].write_state() == WriteState::Begun {
                // It keeps its place.
                at += 1;
                continue;
            }
            self.0.queues.to_replay.remove(at);
            // Another connection may have the slot by now.
            if !waits {
                continue;
            }
            self.0.directory.change_replays(slot, |replays| replays.queued_at = None);
            // One that cannot be sent to comes back when it can ([`Host::take_up_sends`]).
            if self.0.directory[slot].write_state() == WriteState::Idle
                && self.begin_send(slot, true)
            {
                self.0.queues.sends_before_replay = SENDS_PER_REPLAY - 1;
                return Some(slot);
            }
        }
        None
    }

    /// Whether it is this connection's turn, so that a send that it gets anyway carries its history, too.
    /// It is taken out of the queue. An event stream that is to be sent frames of its own keeps its place:
    /// no event goes with those ([`Sending::make_events`]).
    pub(super) fn is_first_to_replay(&mut self, slot: Slot) -> bool {
        let connection = &self.0.directory[slot];
        let is_first = self.0.queues.to_replay.front() == Some(&slot)
            && self.0.directory.queued_at(slot).is_some()
            && !(connection.format.has_head() && connection.has_direct())
            && self.0.queues.replay_bytes_left > 0;
        if is_first {
            self.0.queues.to_replay.pop_front();
            self.0.directory.change_replays(slot, |replays| replays.queued_at = None);
        }
        is_first
    }

    /// Begins the part of a send that carries histories, with so many iovecs. Returns how many are left.
    pub(super) fn begin_replays(&mut self, slot: Slot, iovecs: usize) -> usize {
        let bytes = self.0.config.tuning.replay_send_bytes.min(self.0.queues.replay_bytes_left);
        let mut space = Space { iovecs, bytes, used: 0 };
        self.0.directory.change_replays(slot, |replays| replays.begin(&mut space));
        self.use_up_replay_bytes(space.used);
        self.0.counters.offered += space.used as u64;
        self.0.queues.replay_bytes_offered += space.used as u64;
        space.iovecs
    }

    fn use_up_replay_bytes(&mut self, bytes: usize) {
        let left = &mut self.0.queues.replay_bytes_left;
        *left = left.saturating_sub(bytes);
    }

    /// Makes the next events of an event stream from its history. They count as the rest of a frame that
    /// was begun: they are the room's and not the connection's own, and go before its direct frames, so
    /// that none of these may wait.
    pub(super) fn make_events(&mut self, slot: Slot) {
        if self.0.directory[slot].has_direct() {
            return;
        }
        let ahead = self.0.config.tuning.events_ahead_bytes.min(self.0.queues.replay_bytes_left);
        let (mut events, mut messages) = (Vec::new(), 0);
        let format = self.0.directory[slot].format;
        self.0.directory.change_replays(slot, |replays| {
            while events.len() < ahead
                && replays.take_one(|epoch, kept| format.push_kept(epoch, kept, &mut events))
            {
                messages += 1;
            }
        });
        self.0.counters.delivered += messages;
        self.0.counters.history.replayed += messages;
        self.0.counters.history.replayed_bytes += events.len() as u64;
        self.use_up_replay_bytes(events.len());
        self.0.directory.change_direct(slot, |direct| {
            direct.get_or_insert_default().push_events(events);
        });
    }
}
