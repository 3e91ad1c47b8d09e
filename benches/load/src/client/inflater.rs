//! What a message was before it was compressed (RFC 7692 section 7.2.2).
//!
//! No context is kept between messages, so that equal payloads are equal messages, whichever
//! connection they came on. What a server compressed once for many members is inflated once; then all
//! of its bytes are compared, which takes a hundredth of the time.

use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use super::frames::FRAME_MAX;

/// One for all connections of a thread.
pub(crate) struct Inflater {
    inflate: Inflate,
    /// Messages that were inflated lately, each in the slot of its payload's hash.
    recent: Vec<Inflated>,
    /// The last message that was too large to keep.
    large: Vec<u8>,
}

/// A payload, and the message that it is.
#[derive(Clone, Default)]
struct Inflated {
    payload: Vec<u8>,
    message: Vec<u8>,
}

/// A power of two; enough for what members read of one batch after the other.
const RECENT: usize = 256;
/// Larger payloads are not kept.
const KEPT_MAX: usize = 16 * 1024;
/// Room for a message, at least.
const ROOM_MIN: usize = 4 * 1024;

/// What a compressor leaves off (section 7.2.1), and an empty block that is the last one: a payload
/// that ends within a block does not end there.
const END: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

const WINDOW_BITS: u8 = 15;

const CORRUPT: &str = "a compressed message that cannot be inflated";
const TOO_LARGE: &str = "a message of more than 64 MiB";

impl Default for Inflater {
    fn default() -> Self {
        Self {
            inflate: Inflate::new(false, WINDOW_BITS),
            recent: vec![Inflated::default(); RECENT],
            large: Vec::new(),
        }
    }
}

impl Inflater {
    /// The message of a payload; an error says what the server sent instead.
    pub(crate) fn message(&mut self, payload: &[u8]) -> Result<&[u8], &'static str> {
        if payload.len() > KEPT_MAX {
            inflate(&mut self.inflate, payload, &mut self.large)?;
            return Ok(&self.large);
        }
        let slot = &mut self.recent[slot(payload)];
        if slot.payload != payload || payload.is_empty() {
            slot.payload.clear();
            inflate(&mut self.inflate, payload, &mut slot.message)?;
            slot.payload.extend_from_slice(payload);
        }
        Ok(&slot.message)
    }
}

/// Compressed as a server does it.
#[cfg(test)]
pub(crate) fn deflated(message: &[u8]) -> Vec<u8> {
    let mut deflate = zlib_rs::Deflate::new(6, false, WINDOW_BITS);
    let mut out = vec![0; message.len() + message.len() / 8 + 64];
    deflate.compress(message, &mut out, zlib_rs::DeflateFlush::SyncFlush).unwrap();
    out.truncate(deflate.total_out() as usize - 4);
    out
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").finish_non_exhaustive()
    }
}

/// Two cycles for eight bytes; a payload that takes the slot of another one costs an inflation.
fn slot(payload: &[u8]) -> usize {
    let (words, _) = payload.as_chunks::<8>();
    let mix = |hash: u64, word: &[u8; 8]| hash.rotate_left(5) ^ u64::from_le_bytes(*word);
    let hash = words.iter().fold(payload.len() as u64, mix);
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & (RECENT - 1)
}

fn inflate(
    inflate: &mut Inflate,
    payload: &[u8],
    message: &mut Vec<u8>,
) -> Result<(), &'static str> {
    message.clear();
    inflate.reset(false);
    feed(inflate, payload, message)?;
    match feed(inflate, &END, message)? {
        Status::StreamEnd => Ok(()),
        Status::Ok | Status::BufError => Err(CORRUPT),
    }
}

/// Inflates all of this; whether it ended with a last block. Others may follow one, as some
/// compressors have it (section 7.2.3.5).
fn feed(
    inflate: &mut Inflate,
    mut input: &[u8],
    message: &mut Vec<u8>,
) -> Result<Status, &'static str> {
    loop {
        let from = message.len();
        if from > FRAME_MAX {
            return Err(TOO_LARGE);
        }
        let room = from.max(4 * input.len()).max(ROOM_MIN);
        message.resize(from + room, 0);
        let (read, written) = (inflate.total_in(), inflate.total_out());
        let status = inflate.decompress(input, &mut message[from..], InflateFlush::SyncFlush);
        let written = (inflate.total_out() - written) as usize;
        input = &input[(inflate.total_in() - read) as usize..];
        message.truncate(from + written);
        let status = status.map_err(|_| CORRUPT)?;
        if status == Status::StreamEnd {
            inflate.reset(false);
        }
        match status {
            _ if input.is_empty() && written < room => return Ok(status),
            Status::StreamEnd => {}
            _ if written == room => {}
            _ => return Err(CORRUPT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(inflater: &mut Inflater, payload: &[u8], expected: Result<&[u8], &'static str>) {
        let message = inflater.message(payload);
        assert!(message == expected, "{payload:x?} is {message:x?}");
    }

    #[test]
    fn every_message_is_what_it_was() {
        let mut inflater = Inflater::default();
        let sizes = [0, 1, 5, 300, 4096, 5000, 200_000, 300, 1];
        for (nth, len) in sizes.into_iter().enumerate() {
            let noise = |at: usize| (at.wrapping_mul(at + nth) >> 3) as u8;
            let message: Vec<u8> = (0..len).map(noise).collect();
            let payload = deflated(&message);
            // The second time it is known.
            check(&mut inflater, &payload, Ok(&message));
            check(&mut inflater, &payload, Ok(&message));
        }
    }

    #[test]
    fn payloads_in_one_slot_are_not_mistaken() {
        let mut inflater = Inflater::default();
        let messages: Vec<String> = (0..4 * RECENT).map(|nth| format!("message {nth}")).collect();
        for message in messages.iter().chain(messages.iter().rev()) {
            check(&mut inflater, &deflated(message.as_bytes()), Ok(message.as_bytes()));
        }
    }

    /// The examples of RFC 7692 section 7.2.3.
    #[test]
    fn the_examples_of_the_standard_say_hello() {
        let hello: [&[u8]; 5] = [
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
            &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
            &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
            &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
            &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        ];
        let mut inflater = Inflater::default();
        for payload in hello {
            check(&mut inflater, payload, Ok(b"Hello"));
        }
        check(&mut inflater, &[0x00], Ok(b""));
    }

    #[test]
    fn what_is_no_message_is_named() {
        let mut inflater = Inflater::default();
        let whole = deflated(&[b'x'; 400]);
        for payload in [&b"\xff\xff\xff"[..], b"", &whole[..whole.len() - 2], &[0x03, 0x01]] {
            check(&mut inflater, payload, Err(CORRUPT));
            check(&mut inflater, payload, Err(CORRUPT));
        }
        // 64 MiB of zeros, and then some.
        check(&mut inflater, &deflated(&vec![0; FRAME_MAX + 1]), Err(TOO_LARGE));
        check(&mut inflater, &whole, Ok(&[b'x'; 400]));
    }
}
