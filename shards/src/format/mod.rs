//! How facts become bytes on a connection's wire.
//!
//! A *format* is what a client reads. An *encoding* is how the messages of rooms become bytes; native
//! and verbatim share one, and where their clients agree to compression, one for each size of window.
//!
//! To a home travels a [`RoomMessage`], in no format; the home encodes it, once for each
//! [`Encoding`] that a member needs. What one connection is sent is a [`Fact`] until its own shard
//! encodes it. What the engine sends depends on the format in here alone, one file for each format:
//! `native`, `verbatim` and `sse`. What a program emits comes as a frame, which is native.
//!
//! A new format over WebSocket is one more file here and its lines in this one. A new kind of
//! connection has its begin in `shard/open.rs` besides.

mod compression;
mod encoder;
mod encoding;
mod event_id;
mod fact;
mod frames;
mod json;
mod message;
mod native;
mod presence;
mod sse;
mod verbatim;

pub(crate) use compression::Compression;
pub(crate) use encoder::Encoder;
pub use encoding::Encoding;
pub(crate) use event_id::{Place, starts, tag_of};
pub(crate) use fact::{Fact, GapReason, Numbered, Refusal, Welcome};
pub use fact::{Joined, Reply};
pub use frames::Frames;
pub(crate) use frames::{EncodingCounts, Encodings};
pub(crate) use message::Placed;
pub use message::RoomMessage;
pub(crate) use native::push_join;
pub use native::{event_frame, reply_frame};
pub(crate) use presence::{presence_change, user_list};

use self::sse::Scope;
use crate::deflate::Window;
use crate::epoch::Epoch;
use crate::history::Kept;

/// What a connection's client reads, from its begin to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// WebSocket text messages with our envelope; other messages of rooms as they are.
    Native,
    /// The same for the client of a program that has a text format of its own: its text messages go
    /// to the program, and there is no welcome.
    Verbatim,
    /// Server-Sent Events of one room as an HTTP response: nothing is read from its client.
    Sse,
    /// The same of several rooms.
    SseOfRooms,
}

impl Format {
    /// How this format's connections get the messages of rooms, and without a window their own bytes,
    /// which are never compressed.
    pub(crate) const fn encoding(self, deflate: Option<Window>) -> Encoding {
        match (self, deflate) {
            (Format::Native | Format::Verbatim, None) => Encoding::WebSocket,
            (Format::Native | Format::Verbatim, Some(window)) => Encoding::deflated(window),
            (Format::Sse, _) => Encoding::Sse,
            (Format::SseOfRooms, _) => Encoding::SseOfRooms,
        }
    }

    /// Whether messages of its clients are read. Otherwise nothing that a client sent is to be
    /// handled before its end, and that closes the connection at once.
    pub(crate) const fn is_read(self) -> bool {
        match self {
            Format::Native | Format::Verbatim => true,
            Format::Sse | Format::SseOfRooms => false,
        }
    }

    /// Whether a client's text messages are envelopes. Otherwise they go to the program as they are.
    pub(crate) const fn has_envelopes(self) -> bool {
        match self {
            Format::Native => true,
            Format::Verbatim | Format::Sse | Format::SseOfRooms => false,
        }
    }

    /// Whether the program knows its connections: it handles their begin and end, may emit to them
    /// and may take them into and out of rooms.
    pub(crate) const fn is_known_to_program(self) -> bool {
        match self {
            Format::Native | Format::Verbatim => true,
            Format::Sse | Format::SseOfRooms => false,
        }
    }

    /// Whether its clients answer a [`Fact::Ping`]. Otherwise a client counts as there for as long
    /// as its socket takes bytes.
    pub(crate) const fn answers_pings(self) -> bool {
        match self {
            Format::Native | Format::Verbatim => true,
            Format::Sse | Format::SseOfRooms => false,
        }
    }

    /// Whether its connections begin with the head of an HTTP response, which is sent when their joins
    /// are answered, and not with a welcome and the room of everybody.
    pub(crate) const fn has_head(self) -> bool {
        match self {
            Format::Native | Format::Verbatim => false,
            Format::Sse | Format::SseOfRooms => true,
        }
    }

    /// Whether the messages of its rooms have no ids, so that its connections are sent where they are in
    /// all of them.
    pub(crate) const fn has_positions(self) -> bool {
        match self {
            Format::SseOfRooms => true,
            Format::Native | Format::Verbatim | Format::Sse => false,
        }
    }

    /// That of an event stream of so many rooms.
    pub(crate) const fn of_stream(rooms: usize) -> Format {
        match rooms {
            1 => Format::Sse,
            _ => Format::SseOfRooms,
        }
    }

    /// Appends a message that a room's history keeps, for a format with a head: the same as its members
    /// got.
    pub(crate) fn push_kept(self, epoch: Epoch, kept: Kept<'_>, out: &mut Vec<u8>) {
        let scope = if self.has_positions() { Scope::Rooms } else { Scope::Room };
        sse::push_kept_event(epoch, kept, scope, out);
    }

    /// Appends where a connection is that [has positions](Format::has_positions).
    pub(crate) fn push_positions(places: impl Iterator<Item = Place>, out: &mut Vec<u8>) {
        sse::push_positions(places, out);
    }

    /// Appends what a connection of this format is sent for a fact, which may be nothing.
    pub(crate) fn push_reply(self, fact: &Fact<'_>, out: &mut Vec<u8>) {
        match self {
            Format::Native => native::push_reply(fact, out),
            Format::Verbatim => verbatim::push_reply(fact, out),
            Format::Sse => sse::push_reply(fact, Scope::Room, out),
            Format::SseOfRooms => sse::push_reply(fact, Scope::Rooms, out),
        }
    }

    /// One chunk of an HTTP/1.1 response (RFC 9112 section 7.1), as in the head of an event stream.
    pub fn chunk(payload: &[u8]) -> Vec<u8> {
        let mut chunk = Vec::with_capacity(payload.len() + 16);
        sse::push_chunk(&mut chunk, payload);
        chunk
    }
}
