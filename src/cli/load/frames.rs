//! The server's frames in what has been read.

use corecast_shards::wire::server_frame_len;

/// One whole frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    /// FIN, reserved bits and opcode.
    pub(super) first: u8,
    pub(super) payload: &'a [u8],
}

/// Yields whole frames; what is left in `rest` is part of one.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    pub(super) rest: &'a [u8],
}

/// A message in one frame.
pub(super) const TEXT: u8 = 0x81;
/// The same, binary.
pub(super) const BINARY: u8 = 0x82;

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    #[inline]
    fn next(&mut self) -> Option<Frame<'a>> {
        let len = server_frame_len(self.rest)?;
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

/// What a close frame says, short enough to be counted by.
pub(super) fn close_kind(payload: &[u8]) -> String {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return "closed without a code".to_owned();
    };
    let code = u16::from_be_bytes(*code);
    let reason = String::from_utf8_lossy(reason);
    let name = reason.split(" retry=").next().unwrap_or_default().trim();
    let short: String = name.chars().take(40).collect();
    format!("closed {code} {short}").trim_end().to_owned()
}
