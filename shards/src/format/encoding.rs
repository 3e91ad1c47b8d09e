//! How the messages of rooms become bytes.

use super::message::{Placed, RoomMessage};
use super::native;
use super::sse::{self, Scope};
use crate::deflate::Window;
use crate::wire::server_frame_len;

/// How the messages of rooms are encoded. Formats that differ only in their replies share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Frames of RFC 6455.
    WebSocket,
    /// The same for clients with the full window, compressed where that is worth it (RFC 7692).
    Deflate15,
    /// The same for clients with less than the full window.
    Deflate9,
    /// Events of the WHATWG's HTML standard, each a chunk of HTTP/1.1 (RFC 9112 section 7.1).
    Sse,
    /// The same without ids, for streams of several rooms.
    SseOfRooms,
}

impl Encoding {
    pub(crate) const COUNT: usize = 5;

    pub(super) const ALL: [Encoding; Encoding::COUNT] = [
        Encoding::WebSocket,
        Encoding::Deflate15,
        Encoding::Deflate9,
        Encoding::Sse,
        Encoding::SseOfRooms,
    ];

    /// Those in which connections get broadcasts, which are not compressed.
    pub(crate) const OF_BROADCASTS: [Encoding; 1] = [Encoding::WebSocket];

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// The encoding of messages that are compressed for this window.
    pub(crate) const fn deflated(window: Window) -> Encoding {
        match window {
            Window::Full => Encoding::Deflate15,
            Window::Small => Encoding::Deflate9,
        }
    }

    /// The encoding of what a compressed one compresses; none of one that is not compressed.
    pub(super) const fn uncompressed(self) -> Option<Encoding> {
        match self {
            Encoding::WebSocket | Encoding::Sse | Encoding::SseOfRooms => None,
            Encoding::Deflate15 | Encoding::Deflate9 => Some(Encoding::WebSocket),
        }
    }

    /// Appends a room's message to `out`, which ends with the message, uncompressed. Returns where that
    /// begins.
    pub(super) fn push_message(
        self,
        message: &RoomMessage,
        placed: &Placed<'_>,
        out: &mut Vec<u8>,
    ) -> usize {
        match self {
            Encoding::WebSocket | Encoding::Deflate15 | Encoding::Deflate9 => {
                native::push_message(message, placed, out)
            }
            Encoding::Sse => sse::push_message(message, placed, Scope::Room, out),
            Encoding::SseOfRooms => sse::push_message(message, placed, Scope::Rooms, out),
        }
    }

    /// The length of the frame that these bytes begin with; none while its length is not known.
    pub(crate) fn frame_len(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Encoding::WebSocket | Encoding::Deflate15 | Encoding::Deflate9 => {
                server_frame_len(bytes)
            }
            Encoding::Sse | Encoding::SseOfRooms => sse::frame_len(bytes),
        }
    }

    /// The length of the head, without which no other frame means anything, if these bytes begin
    /// with one.
    pub(crate) fn head_len(self, bytes: &[u8]) -> usize {
        match self {
            Encoding::WebSocket | Encoding::Deflate15 | Encoding::Deflate9 => 0,
            Encoding::Sse | Encoding::SseOfRooms => sse::head_len(bytes),
        }
    }
}
