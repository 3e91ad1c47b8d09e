//! The frames that are written, and the parts of a frame.

use super::close::may_be_sent;
use super::mask::unmask;

/// What a frame is for (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A later fragment of the message begun before.
    Continuation = 0x0,
    /// A text message, or its first fragment.
    Text = 0x1,
    /// A binary message, or its first fragment.
    Binary = 0x2,
    /// The last frame that its sender sends.
    Close = 0x8,
    /// A question whether the peer is there.
    Ping = 0x9,
    /// The answer to a ping.
    Pong = 0xa,
}

impl Opcode {
    /// The opcode with these four bits; `None` if they are reserved.
    pub fn from_bits(bits: u8) -> Option<Opcode> {
        match bits {
            0x0 => Some(Opcode::Continuation),
            0x1 => Some(Opcode::Text),
            0x2 => Some(Opcode::Binary),
            0x8 => Some(Opcode::Close),
            0x9 => Some(Opcode::Ping),
            0xa => Some(Opcode::Pong),
            _ => None,
        }
    }

    /// The four bits that stand for this opcode in a header.
    pub fn bits(self) -> u8 {
        self as u8
    }

    /// Whether frames of this kind may stand between fragments (RFC 6455 section 5.5).
    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// Appends one unfragmented, unmasked server frame (RFC 6455 section 5.2).
pub fn push_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let (header, used) = frame_header(opcode, payload.len());
    out.reserve(used + payload.len());
    out.extend_from_slice(&header[..used]);
    out.extend_from_slice(payload);
}

/// Appends a server's close frame with a code and a reason (RFC 6455 section 5.5.1).
///
/// The reason is cut, between two characters, to what a control frame has room for.
pub fn push_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    debug_assert!(may_be_sent(code), "{code} is not a close code that may be sent");
    let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_MAX)];
    let (header, used) = frame_header(Opcode::Close, size_of_val(&code) + reason.len());
    out.extend_from_slice(&header[..used]);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Bytes of the reason in a close frame, after its code.
pub(crate) const CLOSE_REASON_MAX: usize = CONTROL_PAYLOAD_MAX - size_of::<u16>();

/// The header of one unfragmented, unmasked server frame, and how many of its bytes are used
/// (RFC 6455 section 5.2).
pub fn frame_header(opcode: Opcode, payload_len: usize) -> ([u8; FRAME_HEADER_MAX], usize) {
    debug_assert!(opcode != Opcode::Continuation, "a whole message continues nothing");
    debug_assert!(!opcode.is_control() || payload_len <= CONTROL_PAYLOAD_MAX);
    header_bytes(FIN | opcode.bits(), payload_len)
}

/// The longest header of an unmasked frame: two bytes and a 64-bit length (RFC 6455 section 5.2).
pub const FRAME_HEADER_MAX: usize = 10;

/// Appends one masked client frame, legal or not: for tests, load generators, and what is done as if
/// a client had asked for it (RFC 6455 section 5.3).
pub fn push_client_frame(
    out: &mut Vec<u8>,
    opcode: Opcode,
    fin: bool,
    mask: [u8; 4],
    payload: &[u8],
) {
    let fin = if fin { FIN } else { 0 };
    let (mut header, used) = header_bytes(fin | opcode.bits(), payload.len());
    header[1] |= MASKED;
    out.reserve(used + mask.len() + payload.len());
    out.extend_from_slice(&header[..used]);
    out.extend_from_slice(&mask);
    let payload_start = out.len();
    out.extend_from_slice(payload);
    unmask(&mut out[payload_start..], mask, 0);
}

/// The shortest encoding of a length is the only legal one (RFC 6455 section 5.2).
fn header_bytes(first: u8, payload_len: usize) -> ([u8; FRAME_HEADER_MAX], usize) {
    let mut header = [0; FRAME_HEADER_MAX];
    header[0] = first;
    let used = if payload_len <= LEN_7_MAX {
        header[1] = payload_len as u8;
        2
    } else if payload_len <= LEN_16_MAX {
        header[1] = LEN_16;
        header[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
        4
    } else {
        header[1] = LEN_64;
        header[2..].copy_from_slice(&(payload_len as u64).to_be_bytes());
        10
    };
    (header, used)
}

/// The length in bytes, header and payload, of the unmasked server frame that starts with these
/// bytes; `None` if its header is not complete (RFC 6455 section 5.2).
///
/// A length that no address space holds saturates, so that such a frame never seems complete.
pub fn server_frame_len(bytes: &[u8]) -> Option<usize> {
    let (&[_, second], after) = bytes.split_first_chunk()?;
    match second & !MASKED {
        LEN_16 => Some(4 + usize::from(u16::from_be_bytes(*after.first_chunk()?))),
        LEN_64 => {
            let payload_len = u64::from_be_bytes(*after.first_chunk()?);
            Some(usize::try_from(payload_len).unwrap_or(usize::MAX).saturating_add(10))
        }
        payload_len => Some(2 + usize::from(payload_len)),
    }
}

/// The payload of a whole server frame (RFC 6455 section 5.2).
pub(crate) fn server_payload(frame: &[u8]) -> &[u8] {
    debug_assert_eq!(server_frame_len(frame), Some(frame.len()), "one whole frame");
    let header = match frame[1] & !MASKED {
        LEN_16 => 4,
        LEN_64 => 10,
        _ => 2,
    };
    &frame[header..]
}

/// The header of a frame that carries the same message as this whole one, compressed to so many bytes,
/// and how many of its bytes are used (RFC 7692 section 6).
pub(crate) fn compressed_header(
    plain: &[u8],
    payload_len: usize,
) -> ([u8; FRAME_HEADER_MAX], usize) {
    debug_assert!(plain[0] & RESERVED == 0 && plain[0] & FIN != 0, "one that is not compressed");
    header_bytes(plain[0] | RSV1, payload_len)
}

/// In a header's first byte: bits that extensions give a meaning.
pub(super) const RESERVED: u8 = 0x70;
/// The one of them that says that a message is compressed (RFC 7692 section 6).
pub(super) const RSV1: u8 = 0x40;
/// In a header's first byte: the last fragment of its message.
pub(super) const FIN: u8 = 0x80;
/// In a header's second byte: a masking key follows the length.
pub(super) const MASKED: u8 = 0x80;
/// In place of a length: the length is in the next two bytes.
pub(super) const LEN_16: u8 = 126;
/// In place of a length: the length is in the next eight bytes.
pub(super) const LEN_64: u8 = 127;
/// The longest payload whose length fits the second byte.
pub(super) const LEN_7_MAX: usize = 125;
/// The longest payload whose length fits two bytes.
pub(super) const LEN_16_MAX: usize = u16::MAX as usize;
/// The longest payload of a control frame (RFC 6455 section 5.5).
pub(super) const CONTROL_PAYLOAD_MAX: usize = LEN_7_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcodes_survive_their_bits_and_the_rest_is_reserved() {
        for bits in 0..=u8::MAX {
            let opcode = Opcode::from_bits(bits);
            assert_eq!(opcode.is_some(), matches!(bits, 0..=2 | 8..=10), "{bits:#x}");
            if let Some(opcode) = opcode {
                assert_eq!(opcode.bits(), bits);
                assert_eq!(opcode.is_control(), bits >= 8, "{opcode:?}");
            }
        }
    }

    #[test]
    fn headers_take_the_shortest_length() {
        let check = |opcode, payload_len: usize, expected: &[u8]| {
            let (header, used) = frame_header(opcode, payload_len);
            assert_eq!(&header[..used], expected, "{opcode:?} {payload_len}");
            assert_eq!(server_frame_len(expected), Some(used + payload_len), "{payload_len}");
            for cut in 0..used {
                assert_eq!(server_frame_len(&expected[..cut]), None, "{payload_len} cut at {cut}");
            }
        };
        check(Opcode::Text, 0, &[0x81, 0]);
        check(Opcode::Pong, 125, &[0x8a, 125]);
        check(Opcode::Binary, 126, &[0x82, 126, 0, 126]);
        check(Opcode::Text, 65_535, &[0x81, 126, 0xff, 0xff]);
        check(Opcode::Text, 65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_frame_too_long_for_any_memory_is_never_complete() {
        let mut header = [0xff; FRAME_HEADER_MAX];
        header[1] = LEN_64;
        assert_eq!(server_frame_len(&header), Some(usize::MAX));
    }

    #[test]
    fn frames_are_appended() {
        let mut out = vec![7];
        push_frame(&mut out, Opcode::Text, b"Hello");
        push_frame(&mut out, Opcode::Ping, b"");
        // The examples of RFC 6455 section 5.7.
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        push_client_frame(&mut out, Opcode::Text, true, mask, b"Hello");
        push_client_frame(&mut out, Opcode::Text, false, mask, b"");
        let expected = [
            &[7][..],
            &[0x81, 5, b'H', b'e', b'l', b'l', b'o'],
            &[0x89, 0],
            &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58],
            &[0x01, 0x80, 0x37, 0xfa, 0x21, 0x3d],
        ];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn a_compressed_frame_differs_in_one_bit_and_its_length() {
        for (opcode, len) in [(Opcode::Text, 5), (Opcode::Binary, 126), (Opcode::Text, 70_000)] {
            let mut plain = Vec::new();
            push_frame(&mut plain, opcode, &vec![7; len]);
            assert_eq!(server_payload(&plain), vec![7; len], "{len}");
            let (header, used) = compressed_header(&plain, 3);
            assert_eq!(&header[..used], [0xc0 | opcode.bits(), 3], "{len}");
        }
    }

    #[test]
    fn close_reasons_are_cut_between_characters() {
        let check = |reason: &str, kept: usize| {
            let mut out = Vec::new();
            push_close(&mut out, 1013, reason);
            let payload = [&1013u16.to_be_bytes(), &reason.as_bytes()[..kept]].concat();
            assert_eq!(out[..2], [0x88, payload.len() as u8], "{reason}");
            assert_eq!(out[2..], payload, "{reason}");
        };
        check("", 0);
        check("slow consumer", 13);
        check(&"x".repeat(123), 123);
        check(&"x".repeat(124), 123);
        check(&"é".repeat(62), 122);
        check(&"€".repeat(50), 123);
        check(&"𝄞".repeat(31), 120);
    }
}
