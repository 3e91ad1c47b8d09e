//! WebSocket frames by hand, for what no well-behaved client library can be made to send.

use std::ops::Range;

pub(crate) const FIN: u8 = 0x80;
pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xA;

/// Any mask does; this one changes every byte, so a server that forgets to unmask is noticed.
const MASK: [u8; 4] = [0x5A, 0xC3, 0x99, 0x17];

/// A whole masked text message.
pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(FIN | TEXT, payload.as_bytes())
}

/// A masked close frame.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    frame(FIN | CLOSE, &payload)
}

/// A masked frame; `first` is its first byte: FIN, the reserved bits and the opcode.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, true, payload.len() as u64);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The same without a mask, which only a server may send.
pub(crate) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, false, payload.len() as u64);
    bytes.extend_from_slice(payload);
    bytes
}

/// A frame's header alone, its length in the shortest form, with the mask when there is one.
pub(crate) fn header(first: u8, masked: bool, length: u64) -> Vec<u8> {
    let flag = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(flag | length as u8),
        126..=0xFFFF => {
            bytes.push(flag | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(flag | 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    if masked {
        bytes.extend_from_slice(&MASK);
    }
    bytes
}

/// One whole frame of the server at the start of some bytes.
pub(crate) struct Decoded {
    pub(crate) opcode: u8,
    /// Where its payload lies; its end is where the next frame begins.
    pub(crate) payload: Range<usize>,
}

/// Finds the first frame, or `None` while it is incomplete. What no server may send is a failure.
pub(crate) fn decode(bytes: &[u8]) -> Option<Decoded> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert_eq!(first & 0xF0, FIN, "the server sends whole frames without reserved bits");
    assert_eq!(second & 0x80, 0, "the server never masks");
    let (length, start) = match second {
        126 => (u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()) as usize, 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize, 10),
        short => (short as usize, 2),
    };
    let payload = start..start + length;
    (payload.end <= bytes.len()).then_some(Decoded { opcode: first & 0x0F, payload })
}

/// The code and the reason in the payload of a close frame.
pub(crate) fn close_payload(payload: &[u8]) -> (u16, String) {
    match payload {
        // 1005 is what RFC 6455 calls a close frame without a code.
        [] => (1005, String::new()),
        [high, low, reason @ ..] => {
            (u16::from_be_bytes([*high, *low]), String::from_utf8(reason.to_vec()).unwrap())
        }
        [_] => panic!("the server sent a close frame of one byte"),
    }
}
