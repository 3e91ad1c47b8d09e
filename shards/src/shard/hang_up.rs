//! A client that has hung up, and whether a connection is read.

use super::host::Host;
use crate::connection::Phase;
use crate::disconnect::Disconnect;
use crate::place::Slot;

impl Host {
    /// The client has ended its side, or the socket is dead, which a handler may wait for. A connection
    /// that is not read ends: its client has sent nothing that is to be handled first.
    pub(super) fn note_hang_up(&mut self, slot: Slot) {
        let connection = &mut self.directory[slot];
        if !connection.format.is_read() {
            return self.schedule_close(slot, Disconnect::Lost);
        }
        if connection.is_open() && !connection.hung_up {
            connection.hung_up = true;
            self.outputs.hung_up.push_back(self.directory.id(slot));
        }
    }

    /// The client's end of the stream was read, or reading failed.
    pub(super) fn on_end(&mut self, slot: Slot) {
        self.note_hang_up(slot);
        self.directory[slot].input_ended = true;
        match self.directory[slot].phase() {
            Phase::HalfClosed => self.close_socket(slot),
            // What arrived before the end is handled first.
            Phase::Open | Phase::Finishing(_)
                if self.directory[slot].wait().is_some() && self.reading => {}
            Phase::Open | Phase::Finishing(_) => self.schedule_close(slot, Disconnect::Lost),
            Phase::Closing | Phase::Closed | Phase::Vacant => {}
        }
    }

    /// Whether bytes of this connection are wanted now.
    pub(super) fn wants_read(&self, slot: Slot) -> bool {
        let connection = &self.directory[slot];
        match connection.is_open() && connection.format.is_read() {
            true => connection.wait().is_none() && self.reading && !self.is_held_back(slot),
            false => !connection.input_ended && connection.phase() != Phase::Closed,
        }
    }
}
