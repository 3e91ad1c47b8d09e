//! How connections are sent what they missed of their rooms, and how much of it in one turn.
//!
//! While a connection is sent a history, its sends carry direct frames and that, and no messages of
//! its rooms: those wait in the logs, as for any other connection that is behind. A turn offers
//! `replay_bytes` of histories to sockets; connections for which there is nothing left wait for the
//! next one, in order.

use super::directory::Directory;
use super::host::Host;
use super::send::Sending;
use crate::connection::WriteState;
use crate::connection::replays::Replays;
use crate::epoch::Epoch;
use crate::format::push_kept_event;
use crate::history::Parts;
use crate::log::{Rest, Space};
use crate::memory::SharedFrames;
use crate::place::Slot;
use crate::policy::SlowPolicy;
use crate::room::table::RoomKey;
use crate::tuning::DIRECT_IOVECS;

impl Directory {
    /// Changes what a connection is to be sent of histories.
    pub(super) fn change_replays<R>(
        &mut self,
        slot: Slot,
        change: impl FnOnce(&mut Replays, &mut SharedFrames) -> R,
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
        self.directory.change_replays(slot, |replays, blocks| {
            replays.push(room, epoch, messages, blocks);
        });
        self.make_ready(slot);
    }

    /// Puts a connection in the queue of those that are sent histories.
    pub(super) fn queue_replay(&mut self, slot: Slot) {
        let was_queued = self
            .directory
            .change_replays(slot, |replays, _| std::mem::replace(&mut replays.is_queued, true));
        if !was_queued {
            self.queues.to_replay.push_back(slot);
        }
    }

    /// Whether the slow policy of a room closes this connection, which does not take its history.
    pub(super) fn is_closed_for_history(&self, slot: Slot) -> bool {
        let replays = self.directory[slot].replays.as_ref();
        let closes = |room: RoomKey| self.directory[room].policy.slow == SlowPolicy::Disconnect;
        replays.is_some_and(|replays| replays.rooms().any(closes))
    }
}

impl Sending<'_> {
    /// Begins the next send of a connection that waits for its turn to be sent a history.
    pub(super) fn next_replay_send(&mut self) -> Option<Slot> {
        while self.0.queues.replay_bytes_left > 0 {
            let slot = self.0.queues.to_replay.pop_front()?;
            // Another connection may have the slot by now.
            let replays = self.0.directory[slot].replays.as_ref();
            if !replays.is_some_and(|replays| replays.is_queued) {
                continue;
            }
            self.0.directory.change_replays(slot, |replays, _| replays.is_queued = false);
            if self.0.directory[slot].write_state() == WriteState::Idle && self.begin_send(slot) {
                return Some(slot);
            }
        }
        None
    }

    /// Begins the part of a send that carries histories. Returns whether there is any.
    pub(super) fn begin_replays(&mut self, slot: Slot) -> bool {
        let tuning = &self.0.config.tuning;
        if self.0.queues.replay_bytes_left == 0 {
            return false;
        }
        let (iovecs, bytes) = (tuning.send_iovecs - DIRECT_IOVECS, tuning.send_bytes);
        let bytes = bytes.min(self.0.queues.replay_bytes_left);
        let mut space = Space { iovecs, bytes, used: 0 };
        let carries = self.0.directory.change_replays(slot, |replays, _| replays.begin(&mut space));
        self.count_replayed(space.used);
        self.0.counters.offered += space.used as u64;
        carries
    }

    fn count_replayed(&mut self, bytes: usize) {
        let left = &mut self.0.queues.replay_bytes_left;
        *left = left.saturating_sub(bytes);
        self.0.counters.history.replayed_bytes += bytes as u64;
    }

    /// Makes the next events of an event stream from its history. They count as the rest of a frame that
    /// was begun: they are the room's and not the connection's own, and go before its direct frames, so
    /// that none of these may wait.
    pub(super) fn make_events(&mut self, slot: Slot) {
        let has_place = !self.0.directory[slot].has_direct();
        if !has_place || self.0.queues.replay_bytes_left == 0 {
            return;
        }
        let ahead = self.0.config.tuning.events_ahead_bytes.min(self.0.queues.replay_bytes_left);
        let (mut events, mut messages) = (Vec::new(), 0);
        self.0.directory.change_replays(slot, |replays, blocks| {
            while events.len() < ahead
                && replays.take_one(blocks, |epoch, kept| push_kept_event(epoch, kept, &mut events))
            {
                messages += 1;
            }
        });
        self.0.counters.delivered += messages;
        self.0.counters.history.replayed += messages;
        self.count_replayed(events.len());
        self.0.directory.change_direct(slot, |direct| {
            direct.get_or_insert_default().push_rest(Rest::Copied(events));
        });
    }
}
