//! Frames as a client sends them, decoded.

use corecast_shards::wire::{Decoder, Incoming, MessageRules, Opcode, push_client_frame};

const RULES: MessageRules =
    MessageRules { bytes_max: 1 << 20, frames_max: usize::MAX, deflate: false };

/// Bytes that a socket gave in one read: whole frames, one behind the other.
#[derive(Debug)]
pub struct Frames {
    bytes: Vec<u8>,
    decoder: Decoder,
}

impl Frames {
    /// So many text frames of so many bytes. Their masks are zero, so that unmasking in place
    /// leaves them fit for another time; the work is the same.
    pub fn new(count: usize, payload_bytes: usize) -> Frames {
        let payload = "x".repeat(payload_bytes);
        let mut bytes = Vec::new();
        for _ in 0..count {
            push_client_frame(&mut bytes, Opcode::Text, true, [0; 4], payload.as_bytes());
        }
        Frames { bytes, decoder: Decoder::new() }
    }

    /// Headers read, payloads unmasked and checked for UTF-8. Returns the bytes of the payloads.
    pub fn decode(&mut self) -> usize {
        let mut input = &mut self.bytes[..];
        let mut bytes = 0;
        while let Ok((consumed, Some(incoming))) = self.decoder.decode(input, RULES) {
            if let Incoming::Text(text) = incoming {
                bytes += text.len();
            }
            input = &mut input[consumed..];
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_decoded_again_and_again() {
        let mut frames = Frames::new(16, 4096);
        assert_eq!(frames.decode(), 16 * 4096);
        assert_eq!(frames.decode(), 16 * 4096);
    }
}
