//! Which clients are sent what compressed. Compression is that of `runs`, so that what is judged is who
//! gets which frame in which order, and no compressor.

use corecast_shards::{Disconnect, Window};

use crate::chance::Chance;
use crate::count::Happened;
use crate::history::offset_of_message;
use crate::runs::deflated;
use crate::view::{Court, View};
use crate::wire::{ServerFrame, member};

/// In the first byte of a frame: its message is compressed.
pub(crate) const COMPRESSED: u8 = 0x40;

/// The payload of a compressed text for which a client is closed, and why.
pub(crate) fn sin(kind: usize) -> (Vec<u8>, Disconnect) {
    let full = Window::Full.bits();
    match kind {
        // A run without a byte, a window that there is not, and nothing at all.
        6 => (vec![full, 1], Disconnect::BadDeflate),
        7 => (vec![8, 1, b'x'], Disconnect::BadDeflate),
        8 => (Vec::new(), Disconnect::BadDeflate),
        // Little that becomes more than a message may be.
        9 => (deflated(Window::Full, &[b' '; (64 << 10) + 1]), Disconnect::TooBig),
        _ => (vec![full, 2, 0xff], Disconnect::BadUtf8),
    }
}

/// The window of a new client that agrees to compression.
pub(crate) fn some_window(chance: &mut Chance) -> Window {
    chance.pick(&[Window::Full, Window::Small])
}

impl View {
    /// A client is sent compressed what is worth it, for its own window, and nothing else.
    pub(crate) fn judge_compression(&self, frame: &ServerFrame<'_>, court: &mut Court<'_>) {
        let Some(window) = self.deflate else {
            return assert_eq!(frame.compressed_for, None, "it has not agreed to compression");
        };
        let text = str::from_utf8(&frame.payload).unwrap_or_default();
        let room = if text.starts_with(r#"{"event":"m""#) {
            let room = member(text, "room").expect("a room's message has a room");
            court.rooms.iter().position(|name| name == room)
        } else {
            text.starts_with(r#"{"c":"#).then(|| court.model.room_of(text))
        };
        // Neither broadcasts nor what is for one connection alone is a room's.
        let room = room.filter(|room| *room < court.deflate.len());
        let next = || Some(self.rooms.get(&room?)?.next);
        let offset = offset_of_message(text).or_else(next);
        if room.zip(offset).is_some_and(|(room, offset)| self.is_replayed(room, offset)) {
            return assert_eq!(frame.compressed_for, None, "what is kept is not compressed");
        }
        let len = frame.payload.len();
        let is_sized = court.deflate_min <= len && len <= 64 << 10;
        let saves = || deflated(window, &frame.payload).len() <= len - len.div_ceil(10);
        let is_worth = room.is_some_and(|room| court.deflate[room]) && is_sized && saves();
        // Where much is compressed in a turn, the rest goes as it is.
        let is_due = is_worth && (frame.compressed_for.is_some() || court.deflates_all);
        assert_eq!(frame.compressed_for.is_some(), is_due, "what is worth it: {text:.200}");
        if let Some(bits) = frame.compressed_for {
            // Within a message that is no longer, nothing refers to what is outside of the window.
            let fits = bits == window.bits() || (bits > window.bits() && len <= window.bytes());
            assert!(fits, "{len} bytes for a window of {bits} bits go to one of {window:?}");
        }
        let sent = if is_due { Happened::Deflated } else { Happened::NotDeflated };
        court.count.add_if(room.is_some(), sent);
        court.count.add_if(is_worth && !is_due, Happened::NotDeflatedInThisTurn);
    }
}
