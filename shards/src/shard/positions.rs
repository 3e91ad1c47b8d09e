//! Where streams of several rooms are, as their clients are sent it.
//!
//! The messages of such a stream have no ids. Each send ends with an event whose id names the positions
//! in all rooms, unless its iovecs are used up; then it follows in a send of its own. A client that is
//! cut before it has read that id comes back with the one before, and is sent some messages again.

use super::directory::Directory;
use super::host::Host;
use super::streams::Positions;
use crate::log::Rest;
use crate::place::Slot;

impl Directory {
    /// Up to which offset the client of a stream has everything of each room, once the begun send is
    /// taken; in the order of its memberships.
    fn offsets(&self, slot: Slot) -> impl Iterator<Item = u64> {
        self[slot].memberships.iter().map(move |membership| {
            let room = &self.rooms[membership.room];
            let index = membership.listed().expect("a stream is in all of its rooms");
            let replayed = self.next_replayed(slot, membership.room).map(|next| next - 1);
            replayed.unwrap_or_else(|| room.offset_before(&room.members[index]))
        })
    }

    fn positions(&self, slot: Slot) -> Option<&Positions> {
        self[slot].format.has_positions().then(|| self.streams.positions(slot))?
    }

    /// Whether a client is still to be sent where it is.
    pub(super) fn owes_positions(&self, slot: Slot) -> bool {
        self.positions(slot).is_some_and(|positions| !positions.are_sent(self.offsets(slot)))
    }

    /// The event with which the begun send ends, if it does.
    pub(super) fn positions_event(&self, slot: Slot) -> Option<&[u8]> {
        let positions = self.positions(slot)?;
        (!positions.event.is_empty()).then_some(&positions.event[..])
    }

    /// Ends the part of a send that said where the client is. Returns whether everything was taken, and
    /// the rest of the event if it was cut.
    pub(super) fn end_positions(&mut self, slot: Slot, taken: &mut usize) -> (bool, Option<Rest>) {
        if self.positions_event(slot).is_none() {
            return (true, None);
        }
        let offsets: Vec<u64> = self.offsets(slot).collect();
        let ended = self.streams.change_positions(slot, |positions| {
            let mut event = std::mem::take(&mut positions.event);
            if *taken == 0 {
                return (false, None);
            }
            positions.note_sent(&offsets);
            let rest = event.split_off(std::mem::take(taken).min(event.len()));
            (rest.is_empty(), (!rest.is_empty()).then_some(Rest::Copied(rest)))
        });
        ended.expect("it has an event")
    }
}

impl Host {
    /// Has the begun send end with where its client is, if it was not sent that.
    pub(super) fn begin_positions(&mut self, slot: Slot) {
        if !self.directory.owes_positions(slot) {
            return;
        }
        let mut iovecs = 0;
        self.directory.for_each_iovec(slot, |_| iovecs += 1);
        if iovecs >= self.config.tuning.send_iovecs {
            return;
        }
        let offsets: Vec<u64> = self.directory.offsets(slot).collect();
        self.directory.streams.change_positions(slot, |positions| positions.begin(&offsets));
        let event = self.directory.positions_event(slot).map_or(0, <[u8]>::len);
        self.counters.offered += event as u64;
    }
}
