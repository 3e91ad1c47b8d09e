//! How messages are compressed (RFC 7692), as far as a shard knows it: by functions that it is given.
//!
//! Every message is compressed by itself. Both sides agree to that with `server_no_context_takeover`
//! and `client_no_context_takeover` (sections 7.1.1.1 and 7.1.1.2), so that no connection has a
//! compressor or an inflater.

use std::fmt;

/// How far back in a message its compressed bytes may refer (RFC 7692 section 7.1.2).
///
/// What is compressed for a small window suits every larger one. So there are two, and not one for
/// each size that clients may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// 32 KiB: what a client has that asks for nothing else.
    Full,
    /// 512 bytes, for clients with less than the full one.
    Small,
}

impl Window {
    /// The window for a client whose own has two to the power of `bits` bytes; none below 9, which no
    /// compressor here can do.
    pub const fn of_bits(bits: u8) -> Option<Window> {
        match bits {
            15.. => Some(Window::Full),
            9..15 => Some(Window::Small),
            _ => None,
        }
    }

    /// The base-2 logarithm of its size in bytes.
    pub const fn bits(self) -> u8 {
        match self {
            Window::Full => 15,
            Window::Small => 9,
        }
    }

    /// Its size in bytes.
    pub const fn bytes(self) -> usize {
        1 << self.bits()
    }
}

/// Compresses messages.
pub trait Deflater: fmt::Debug {
    /// Compresses a message by itself into the begin of `out`, as the payload of a frame (RFC 7692
    /// section 7.2.1). Returns how many bytes that are; none when `out` is too small for them.
    fn deflate(&mut self, window: Window, message: &[u8], out: &mut [u8]) -> Option<usize>;

    /// Bytes of memory that it holds.
    fn heap_bytes(&self) -> usize;
}

/// Inflates messages.
pub trait Inflater: fmt::Debug {
    /// Puts the message into `out` that was compressed, by itself, to this payload (RFC 7692 section
    /// 7.2.2), whatever the window; it came in so many frames. No more than one byte beyond `most` is
    /// ever written. Nothing of earlier messages has any effect.
    ///
    /// # Errors
    ///
    /// When the payload is no such message, when the message has more than `most` bytes, or when it is
    /// compressed in more blocks than [`blocks_max`] allows.
    fn inflate(
        &mut self,
        payload: &[u8],
        frames: usize,
        most: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), NotInflated>;

    /// Bytes of memory that it holds.
    fn heap_bytes(&self) -> usize;
}

/// Why a payload is not inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotInflated {
    /// It is not compressed as it must be.
    Corrupt,
    /// The message is larger than it may be, or has too many blocks for its size.
    TooLarge,
}

/// How many blocks (RFC 1951 section 3.2.3) so many bytes in so many frames may be compressed in.
///
/// A block costs microseconds, for its tables of codes, and need not have any bytes. No compressor makes
/// so many of them: those of zlib with its smallest buffers are of 127 symbols, and one that flushes
/// after every 256 bytes has two for each. Some flush at the end of each frame of a message, however
/// small: those have two for each frame, and frames have a limit of their own.
pub const fn blocks_max(bytes: usize, frames: usize) -> usize {
    256 + bytes / 128 + 2 * frames
}

/// Makes what compresses and inflates on one shard. They may take memory when they are used first.
#[derive(Clone, Copy, Debug)]
pub struct Codecs {
    /// Makes what compresses.
    pub deflater: fn() -> Box<dyn Deflater>,
    /// Makes what inflates.
    pub inflater: fn() -> Box<dyn Inflater>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_for_a_client_fits_its_window() {
        for bits in 0..=20 {
            match Window::of_bits(bits) {
                Some(window) => assert!(window.bits() <= bits && bits >= 9, "{bits}"),
                None => assert!(bits < 9, "{bits}"),
            }
        }
        assert_eq!(Window::of_bits(15), Some(Window::Full));
        assert_eq!((Window::Full.bytes(), Window::Small.bytes()), (32 << 10, 512));
    }
}
