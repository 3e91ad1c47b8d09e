//! The server's frames in what has been read, judged by their headers (RFC 6455 section 5).

use corecast_shards::wire::server_frame_len;

/// One whole frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// FIN, reserved bits and opcode.
    pub(crate) first: u8,
    pub(crate) payload: &'a [u8],
}

/// Yields whole frames; what is left in `rest` is part of one.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    pub(crate) rest: &'a [u8],
    /// The bit that says that a message is compressed, where that was agreed on; else none.
    compressed: u8,
    /// What is wrong with the frame that `rest` begins with, if anything is.
    pub(crate) fault: Option<&'static str>,
}

/// A frame longer than this is taken for garbage.
pub(crate) const FRAME_MAX: usize = 64 << 20;

/// A message in one frame.
pub(crate) const TEXT: u8 = 0x81;
/// The same, binary.
pub(crate) const BINARY: u8 = 0x82;
/// In the first frame of a message: it is compressed (RFC 7692 section 6).
pub(crate) const COMPRESSED: u8 = 0x40;

// Bits and values of a header (RFC 6455 section 5.2).
const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const CONTROL: u8 = 0x08;
const MASKED: u8 = 0x80;

impl<'a> Frames<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, compressed: 0, fault: None }
    }

    /// Messages may be compressed, if that was agreed on.
    pub(crate) fn compressed(self, is_agreed: bool) -> Self {
        Self { compressed: if is_agreed { COMPRESSED } else { 0 }, ..self }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    #[inline]
    fn next(&mut self) -> Option<Frame<'a>> {
        let len = server_frame_len(self.rest)?;
        self.fault = fault(self.rest[0], self.rest[1], len, self.compressed);
        if self.fault.is_some() {
            return None;
        }
        let (frame, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        let header = match frame[1] & 0x7f {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        Some(Frame { first: frame[0], payload: &frame[header..] })
    }
}

/// What is wrong with a frame of this header and length, header included, of a server that may set
/// this bit in the first frame of a message.
#[inline]
fn fault(first: u8, second: u8, len: usize, compressed: u8) -> Option<&'static str> {
    let is_shortest = match second & !MASKED {
        126 => len > 4 + 125,
        127 => len > 10 + usize::from(u16::MAX),
        _ => true,
    };
    let is_message = matches!(first & !compressed, TEXT | BINARY);
    match is_message && second & MASKED == 0 && is_shortest && len <= FRAME_MAX {
        true => None,
        false => match first & OPCODE {
            1 | 2 => name_fault(first & !compressed, second, len, is_shortest),
            _ => name_fault(first, second, len, is_shortest),
        },
    }
}

#[cold]
fn name_fault(first: u8, second: u8, len: usize, is_shortest: bool) -> Option<&'static str> {
    let opcode = first & OPCODE;
    let is_control = opcode & CONTROL != 0;
    let faults = [
        (first & RESERVED != 0, "reserved bits in a frame"),
        (matches!(opcode, 3..=7 | 11..), "a frame with an unknown opcode"),
        (second & MASKED != 0, "a masked frame"),
        (is_control && first & FIN == 0, "a control frame in pieces"),
        (is_control && second & !MASKED > 125, "a control frame of more than 125 bytes"),
        (!is_shortest, "a length that is not in its shortest form"),
        (len > FRAME_MAX, "a frame of more than 64 MiB"),
    ];
    faults.into_iter().find_map(|(is_so, name)| is_so.then_some(name))
}

/// What a close frame says, short enough to be counted by.
pub(crate) fn close_kind(payload: &[u8]) -> String {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return "closed without a code".to_owned();
    };
    let code = u16::from_be_bytes(*code);
    let reason = String::from_utf8_lossy(reason);
    let name = reason.split(" retry=").next().unwrap_or_default().trim();
    let short: String = name.chars().take(40).collect();
    format!("closed {code} {short}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_frame_of_a_message_may_be_compressed() {
        for first in [0xc1, 0xc2, 0x41, 0x42] {
            let frame = [first, 0];
            let mut frames = Frames::new(&frame).compressed(true);
            assert_eq!(frames.next().map(|frame| frame.first), Some(first), "{:?}", frames.fault);
        }
        for first in [0xc0, 0x40, 0xc8, 0xc9, 0xca, 0xc3, 0xe1, 0xd2, 0xa1] {
            let frame = [first, 0];
            let mut frames = Frames::new(&frame).compressed(true);
            assert!(frames.next().is_none(), "{first:x}");
            assert_eq!(frames.fault, Some("reserved bits in a frame"), "{first:x}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_frame_is_named() {
        let check = |bytes: &[u8], part: &str| {
            let mut frames = Frames::new(bytes);
            assert!(frames.next().is_none(), "{bytes:x?}");
            let fault = frames.fault.unwrap_or_else(|| panic!("{bytes:x?} is {part}"));
            assert!(fault.contains(part), "{bytes:x?}: {fault}");
        };
        check(&[0xc1, 0], "reserved");
        check(&[0x41, 0], "reserved");
        check(&[0x83, 0], "opcode");
        check(&[0x8b, 0], "opcode");
        check(&[0x81, 0x81, 1, 2, 3, 4, 5], "masked");
        check(&[0x09, 0], "in pieces");
        check(&[0x89, 126, 0, 126], "125 bytes");
        check(&[0x81, 126, 0, 125], "shortest");
        check(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], "shortest");
        check(&[0x81, 127, 0, 0, 0, 0, 0x10, 0, 0, 0], "64 MiB");
        check(&[0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "64 MiB");
    }

    #[test]
    fn right_frames_pass() {
        let long = [&[0x82, 126, 0, 126][..], &[7; 126]].concat();
        let all = [&[0x81, 2, b'h', b'i', 0x01, 0, 0x80, 0, 0x8a, 1, 9][..], &long].concat();
        let mut frames = Frames::new(&all);
        assert_eq!(frames.by_ref().count(), 5);
        assert_eq!((frames.rest, frames.fault), (&[][..], None));
    }
}
