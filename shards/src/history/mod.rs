//! What homes keep of their rooms' messages, so that clients that were away get what they missed.
//!
//! A room whose policy says so keeps its newest messages as WebSocket frames, in [`Block`]s that never
//! change once they are shared. A client that recovers gets [`Parts`] of them: nothing is copied,
//! however many come back at once.
//!
//! Messages go when there are too many, or too many bytes, or when they are too old; and when all
//! histories together need too much memory, those of the room that was used least recently go first.
//! Offsets and epochs stay, so that what is gone is refused and never left out.

mod block;
mod blocks;
mod elsewhere;
mod journaled;
mod order;
mod parts;
mod room;
mod table;

pub(crate) use block::Frame;
pub use block::{Block, Kept};
pub(crate) use order::HistoryKey;
pub(crate) use parts::Part;
pub use parts::Parts;
pub(crate) use room::Deadline;
pub(crate) use table::Histories;

/// A text message as rooms keep it.
#[cfg(test)]
fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    crate::wire::push_frame(&mut frame, crate::wire::Opcode::Text, text.as_bytes());
    frame
}
