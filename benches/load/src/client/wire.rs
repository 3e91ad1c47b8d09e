//! What clients send.

use std::cell::Cell;

use corecast_shards::wire::{Opcode, push_client_frame};

/// Appends a message.
pub(crate) fn push_message(out: &mut Vec<u8>, is_binary: bool, message: &[u8]) {
    let opcode = if is_binary { Opcode::Binary } else { Opcode::Text };
    push_client_frame(out, opcode, true, mask(), message);
}

pub(crate) fn push_pong(out: &mut Vec<u8>, payload: &[u8]) {
    push_client_frame(out, Opcode::Pong, true, mask(), payload);
}

/// Appends a close frame with this payload: a code and a reason, or the peer's.
pub(crate) fn push_close(out: &mut Vec<u8>, payload: &[u8]) {
    push_client_frame(out, Opcode::Close, true, mask(), payload);
}

/// The close code of a client that is done, as it is sent.
pub(crate) const DONE: [u8; 2] = 1000_u16.to_be_bytes();

/// Masks differ between frames, as servers may expect; they need not be unpredictable here.
fn mask() -> [u8; 4] {
    thread_local!(static STATE: Cell<u32> = const { Cell::new(0x9e37_79b9) });
    STATE.with(|state| {
        let next = state.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.set(next);
        next.to_be_bytes()
    })
}
