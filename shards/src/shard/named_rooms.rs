//! The rooms that a handshake names, and how its connection joins them.

use super::intake::Intake;
use crate::format::push_join;
use crate::place::Slot;
use crate::room_name::RoomName;
use crate::wire::{Opcode, push_client_frame};

/// What a client chooses at random, to hide what it says from whoever is in between. Nobody is.
const NO_MASK: [u8; 4] = [0; 4];

impl Intake<'_> {
    /// Has a new connection join these rooms, in this order.
    ///
    /// It is handed what its client would have sent for that, so that whatever holds for commands holds
    /// for these without being decided again: permissions, limits, rates, waits, what a drain ends.
    pub(super) fn join_named(&mut self, slot: Slot, rooms: &[RoomName]) {
        let (mut text, mut frames) = (Vec::new(), Vec::new());
        for room in rooms {
            text.clear();
            push_join(&mut text, room);
            push_client_frame(&mut frames, Opcode::Text, true, NO_MASK, &text);
        }
        if !frames.is_empty() {
            self.receive(slot, &mut frames);
        }
    }
}
