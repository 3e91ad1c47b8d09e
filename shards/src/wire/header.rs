//! The header of a client's frame, and which ones are legal.

use super::frame::{
    CONTROL_PAYLOAD_MAX, FIN, FRAME_HEADER_MAX, LEN_7_MAX, LEN_16, LEN_16_MAX, LEN_64, MASKED,
    Opcode, RESERVED, RSV1,
};
use super::incoming::Incoming;
use super::violation::Violation;

/// The header of a client's frame (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    /// It begins a compressed message (RFC 7692 section 6).
    pub(super) compressed: bool,
    pub(super) mask: [u8; 4],
    pub(super) payload_len: usize,
    /// The length of the header itself.
    pub(super) header_len: usize,
}

/// The longest header of a masked frame.
pub(super) const CLIENT_HEADER_MAX: usize = FRAME_HEADER_MAX + size_of::<[u8; 4]>();

impl Header {
    /// Reads the header that starts with `bytes`; `None` if it is not complete.
    ///
    /// Every byte is judged as soon as it is there, so a peer that is wrong in its first byte
    /// need not send a second one. `in_message` says whether the message before lacks its end,
    /// `deflate` whether messages may be compressed.
    pub(super) fn parse(
        bytes: &[u8],
        in_message: bool,
        deflate: bool,
    ) -> Result<Option<Header>, Violation> {
        let Some((&first, after)) = bytes.split_first() else { return Ok(None) };
        let (opcode, compressed) = parse_first(first, in_message, deflate)?;
        let Some((&second, after)) = after.split_first() else { return Ok(None) };
        check_second(second, opcode)?;
        let Some((payload_len, after)) = parse_len(second & !MASKED, after)? else {
            return Ok(None);
        };
        let Some((&mask, after)) = after.split_first_chunk() else { return Ok(None) };
        let header_len = bytes.len() - after.len();
        debug_assert!(header_len <= CLIENT_HEADER_MAX);
        let fin = first & FIN != 0;
        Ok(Some(Header { opcode, fin, compressed, mask, payload_len, header_len }))
    }
}

impl Header {
    /// What the whole payload of an unfragmented message or control frame means.
    pub(super) fn incoming(self, payload: &[u8]) -> Result<Incoming<'_>, Violation> {
        match self.compressed {
            true => Ok(Incoming::deflated(self.opcode, payload, 1)),
            false => Incoming::whole(self.opcode, payload),
        }
    }
}

/// Whether a frame that begins with this byte is one of a compressed message, where `goes_on` says it of
/// the message whose end has not arrived. What is wrong with it shows later.
pub(super) fn is_compressed(first: u8, goes_on: bool) -> bool {
    let continues = Opcode::from_bits(first & OPCODE) == Some(Opcode::Continuation);
    first & RSV1 != 0 || (goes_on && continues)
}

/// The opcode, and whether the message is compressed.
fn parse_first(first: u8, in_message: bool, deflate: bool) -> Result<(Opcode, bool), Violation> {
    let opcode = parse_opcode(first & !RESERVED, in_message);
    match first & RESERVED {
        0 => Ok((opcode?, false)),
        // Only the first frame of a message says it, and no control frame (RFC 7692 section 6.1).
        RSV1 if deflate && matches!(opcode, Ok(Opcode::Text | Opcode::Binary)) => {
            Ok((opcode?, true))
        }
        RSV1 if deflate => Err(Violation::Protocol("compressed where no message begins")),
        _ => Err(Violation::Protocol("reserved bit without an extension")),
    }
}

fn parse_opcode(first: u8, in_message: bool) -> Result<Opcode, Violation> {
    let Some(opcode) = Opcode::from_bits(first & OPCODE) else {
        return Err(Violation::Protocol("reserved opcode"));
    };
    match opcode {
        Opcode::Close | Opcode::Ping | Opcode::Pong if first & FIN == 0 => {
            Err(Violation::Protocol("fragmented control frame"))
        }
        Opcode::Continuation if !in_message => {
            Err(Violation::Protocol("continuation without a start"))
        }
        Opcode::Text | Opcode::Binary if in_message => {
            Err(Violation::Protocol("new message inside a fragmented one"))
        }
        _ => Ok(opcode),
    }
}

const OPCODE: u8 = 0x0f;

fn check_second(second: u8, opcode: Opcode) -> Result<(), Violation> {
    if second & MASKED == 0 {
        // RFC 6455 section 5.1: the server must close the connection.
        return Err(Violation::Protocol("unmasked client frame"));
    }
    if opcode.is_control() && usize::from(second & !MASKED) > CONTROL_PAYLOAD_MAX {
        return Err(Violation::Protocol("control frame too long"));
    }
    Ok(())
}

/// The length that the seven bits announce and the bytes after it, if there are enough of them.
fn parse_len(bits: u8, after: &[u8]) -> Result<Option<(usize, &[u8])>, Violation> {
    let (payload_len, shorter_max, after) = match bits {
        LEN_16 => {
            let Some((len, after)) = after.split_first_chunk() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*len)), LEN_7_MAX, after)
        }
        LEN_64 => {
            if after.first().is_some_and(|byte| byte & 0x80 != 0) {
                return Err(Violation::Protocol("length with its top bit set"));
            }
            let Some((len, after)) = after.split_first_chunk() else { return Ok(None) };
            (u64::from_be_bytes(*len), LEN_16_MAX, after)
        }
        bits => return Ok(Some((usize::from(bits), after))),
    };
    // What the address space cannot hold is beyond any limit, too.
    let payload_len = usize::try_from(payload_len).map_err(|_| Violation::TooBig)?;
    match payload_len > shorter_max {
        true => Ok(Some((payload_len, after))),
        false => Err(Violation::Protocol("length not in its shortest form")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [1, 2, 3, 4];

    #[test]
    fn headers_are_read_once_complete() {
        let check = |head: &[u8], opcode, fin, payload_len| {
            let in_message = opcode == Opcode::Continuation;
            let bytes = [head, &KEY].concat();
            let header_len = bytes.len();
            let compressed = false;
            let expected = Header { opcode, fin, compressed, mask: KEY, payload_len, header_len };
            assert_eq!(Header::parse(&bytes, in_message, false), Ok(Some(expected)), "{head:x?}");
            let followed = [&bytes[..], &[0xff; 20]].concat();
            assert_eq!(
                Header::parse(&followed, in_message, false),
                Ok(Some(expected)),
                "{head:x?}"
            );
            for cut in 0..header_len {
                let parsed = Header::parse(&bytes[..cut], in_message, false);
                assert_eq!(parsed, Ok(None), "{head:x?} cut at {cut}");
            }
        };
        check(&[0x81, 0x80], Opcode::Text, true, 0);
        check(&[0x01, 0x81], Opcode::Text, false, 1);
        check(&[0x82, 0xfd], Opcode::Binary, true, 125);
        check(&[0x02, 0xfe, 0, 126], Opcode::Binary, false, 126);
        check(&[0x00, 0xfe, 0xff, 0xff], Opcode::Continuation, false, 65_535);
        check(&[0x80, 0xff, 0, 0, 0, 0, 0, 1, 0, 0], Opcode::Continuation, true, 65_536);
        check(&[0x88, 0x80], Opcode::Close, true, 0);
        check(&[0x89, 0xfd], Opcode::Ping, true, 125);
        check(&[0x8a, 0x82], Opcode::Pong, true, 2);
    }

    /// Each row ends with the byte that is wrong: until then there is nothing to complain about.
    #[test]
    fn wrong_headers_are_refused_at_their_first_wrong_byte() {
        let check = |bytes: &[u8], in_message, reason| {
            for cut in 0..bytes.len() {
                let parsed = Header::parse(&bytes[..cut], in_message, false);
                assert_eq!(parsed, Ok(None), "{bytes:x?} cut at {cut}");
            }
            let expected = Err(Violation::Protocol(reason));
            assert_eq!(Header::parse(bytes, in_message, false), expected, "{bytes:x?}");
            let followed = [bytes, &[0xff; 20]].concat();
            assert_eq!(
                Header::parse(&followed, in_message, false),
                expected,
                "{bytes:x?} and more"
            );
        };
        check(&[0xc1], false, "reserved bit without an extension");
        check(&[0xa1], false, "reserved bit without an extension");
        check(&[0x91], false, "reserved bit without an extension");
        check(&[0x99], true, "reserved bit without an extension");
        for reserved in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            check(&[0x80 | reserved], false, "reserved opcode");
            check(&[reserved], true, "reserved opcode");
        }
        for control in [0x08, 0x09, 0x0a] {
            check(&[control], false, "fragmented control frame");
            check(&[0x80 | control, 0xfe], true, "control frame too long");
            check(&[0x80 | control, 0xff], true, "control frame too long");
        }
        check(&[0x80], false, "continuation without a start");
        check(&[0x00], false, "continuation without a start");
        check(&[0x81], true, "new message inside a fragmented one");
        check(&[0x02], true, "new message inside a fragmented one");
        check(&[0x81, 0x05], false, "unmasked client frame");
        check(&[0x89, 0x7e], false, "unmasked client frame");
        check(&[0x81, 0xfe, 0, 0], false, "length not in its shortest form");
        check(&[0x81, 0xfe, 0, 125], false, "length not in its shortest form");
        check(
            &[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
            false,
            "length not in its shortest form",
        );
        check(&[0x81, 0xff, 0x80], false, "length with its top bit set");
    }

    /// RFC 7692 sections 6 and 6.1.
    #[test]
    fn the_first_frame_of_a_message_says_that_it_is_compressed_and_no_other() {
        let parse = |first, in_message, deflate| {
            let header = Header::parse(&[first, 0x80, 1, 2, 3, 4], in_message, deflate)?;
            Ok(header.map(|header| (header.opcode, header.fin, header.compressed)))
        };
        assert_eq!(parse(0xc1, false, true), Ok(Some((Opcode::Text, true, true))));
        assert_eq!(parse(0x42, false, true), Ok(Some((Opcode::Binary, false, true))));
        assert_eq!(parse(0x81, false, true), Ok(Some((Opcode::Text, true, false))));
        let misplaced = Err(Violation::Protocol("compressed where no message begins"));
        for (first, in_message) in [(0xc0, true), (0x40, true), (0xc8, false), (0xc9, true)] {
            assert_eq!(parse(first, in_message, true), misplaced, "{first:#x}");
        }
        let unknown = Err(Violation::Protocol("reserved bit without an extension"));
        for (first, deflate) in [(0xc1, false), (0xa1, true), (0x91, true), (0xf1, true)] {
            assert_eq!(parse(first, false, deflate), unknown, "{first:#x}");
        }
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_longest_legal_length_is_read() {
        let bytes = [&[0x82, 0xff, 0x7f][..], &[0xff; 7], &KEY].concat();
        let header = Header::parse(&bytes, false, false).expect("legal").expect("complete");
        assert_eq!(header.payload_len, usize::MAX / 2);
    }
}
