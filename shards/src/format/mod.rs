//! How facts become bytes on a connection's wire.
//!
//! A *format* is what a client reads. An *encoding* is how the messages of rooms become bytes; native
//! and verbatim share one.
//!
//! To a home travels a [`RoomMessage`], in no format; the home encodes it, once for each
//! [`Encoding`] that a member needs. What one connection is sent is a [`Fact`] until its own shard
//! encodes it. What the engine sends depends on the format in here alone, one file for each format:
//! `native`, `verbatim` and `sse`. What a program emits comes as a frame, which is native.
//!
//! A new format over WebSocket is one more file here and its lines in this one. A new kind of
//! connection has its begin in `shard/open.rs` besides.

mod fact;
mod frames;
mod json;
mod message;
mod native;
mod sse;
mod verbatim;

pub(crate) use fact::{Fact, GapReason, Refusal, Welcome};
pub use fact::{Joined, Reply};
pub use frames::Frames;
pub(crate) use frames::{Encoder, EncodingCounts, Encodings};
pub(crate) use message::Placed;
pub use message::RoomMessage;
pub use native::{event_frame, reply_frame};

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
}

/// How the messages of rooms are encoded. Formats that differ only in their replies share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Frames of RFC 6455.
    WebSocket,
    /// Events of the WHATWG's HTML standard, each a chunk of HTTP/1.1 (RFC 9112 section 7.1).
    Sse,
}

impl Format {
    /// How this format's connections get the messages of rooms.
    pub(crate) const fn encoding(self) -> Encoding {
        match self {
            Format::Native | Format::Verbatim => Encoding::WebSocket,
            Format::Sse => Encoding::Sse,
        }
    }

    /// Whether messages of its clients are read. Otherwise nothing that a client sent is to be
    /// handled before its end, and that closes the connection at once.
    pub(crate) const fn is_read(self) -> bool {
        match self {
            Format::Native | Format::Verbatim => true,
            Format::Sse => false,
        }
    }

    /// Whether a client's text messages are envelopes. Otherwise they go to the program as they are.
    pub(crate) const fn has_envelopes(self) -> bool {
        match self {
            Format::Native => true,
            Format::Verbatim | Format::Sse => false,
        }
    }

    /// Whether the program knows its connections: it handles their begin and end, may emit to them
    /// and may take them into and out of rooms.
    pub(crate) const fn is_known_to_program(self) -> bool {
        match self {
            Format::Native | Format::Verbatim => true,
            Format::Sse => false,
        }
    }

    /// Whether its clients answer a [`Fact::Ping`]. Otherwise a client counts as there for as long
    /// as its socket takes bytes.
    pub(crate) const fn answers_pings(self) -> bool {
        match self {
            Format::Native | Format::Verbatim => true,
            Format::Sse => false,
        }
    }

    /// Whether its connections begin with the head of an HTTP response, which is sent when their one
    /// join is answered, and not with a welcome and the room of everybody.
    pub(crate) const fn has_head(self) -> bool {
        match self {
            Format::Native | Format::Verbatim => false,
            Format::Sse => true,
        }
    }

    /// Appends what a connection of this format is sent for a fact, which may be nothing.
    pub(crate) fn push_reply(self, fact: &Fact<'_>, out: &mut Vec<u8>) {
        match self {
            Format::Native => native::push_reply(fact, out),
            Format::Verbatim => verbatim::push_reply(fact, out),
            Format::Sse => sse::push_reply(fact, out),
        }
    }

    /// One chunk of an HTTP/1.1 response (RFC 9112 section 7.1), as in the head of an event stream.
    pub fn chunk(payload: &[u8]) -> Vec<u8> {
        let mut chunk = Vec::with_capacity(payload.len() + 16);
        sse::push_chunk(&mut chunk, payload);
        chunk
    }
}

impl Encoding {
    pub(crate) const COUNT: usize = 2;

    const ALL: [Encoding; Encoding::COUNT] = [Encoding::WebSocket, Encoding::Sse];

    /// Those in which connections get broadcasts.
    pub(crate) const OF_BROADCASTS: [Encoding; 1] = [Encoding::WebSocket];

    const fn index(self) -> usize {
        self as usize
    }

    /// Appends a room's message to `out`, which ends with the message. Returns where that begins.
    fn push_message(self, message: &RoomMessage, placed: &Placed<'_>, out: &mut Vec<u8>) -> usize {
        match self {
            Encoding::WebSocket => native::push_message(message, placed, out),
            Encoding::Sse => sse::push_message(message, placed, out),
        }
    }

    /// The length of the frame that these bytes begin with; none while its length is not known.
    pub(crate) fn frame_len(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Encoding::WebSocket => crate::wire::server_frame_len(bytes),
            Encoding::Sse => sse::frame_len(bytes),
        }
    }

    /// The length of the head, without which no other frame means anything, if these bytes begin
    /// with one.
    pub(crate) fn head_len(self, bytes: &[u8]) -> usize {
        match self {
            Encoding::WebSocket => 0,
            Encoding::Sse => sse::head_len(bytes),
        }
    }
}
