//! The wire as a client sees it: frames and JSON, read by code of its own.

use std::borrow::Cow;

use crate::deflate::COMPRESSED;
use crate::runs;

/// One frame of a server.
pub(crate) struct ServerFrame<'a> {
    pub(crate) opcode: u8,
    /// The bits of the window for which its message was compressed.
    pub(crate) compressed_for: Option<u8>,
    /// The message, inflated.
    pub(crate) payload: Cow<'a, [u8]>,
}

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The frame that begins with `bytes` and its length; none while it is incomplete.
pub(crate) fn read_frame(bytes: &[u8]) -> Option<(ServerFrame<'_>, usize)> {
    let [first, second, ..] = *bytes else { return None };
    let (opcode, is_compressed) = (first & 0x0f, first & COMPRESSED != 0);
    let bits = first & 0xf0 & !COMPRESSED;
    assert_eq!(bits, 0x80, "a server frame is whole and has no reserved bits: {first:#x}");
    assert!(!is_compressed || matches!(opcode, TEXT | BINARY), "only messages are: {first:#x}");
    assert!(matches!(opcode, TEXT | BINARY | CLOSE | PING | PONG), "opcode {opcode}");
    assert_eq!(second & 0x80, 0, "a server frame is not masked");
    let (header, len) = match second {
        126 => {
            let len = u16::from_be_bytes(bytes.get(2..4)?.try_into().expect("two bytes"));
            assert!(len >= 126, "the shortest length");
            (4, usize::from(len))
        }
        127 => {
            let len = u64::from_be_bytes(bytes.get(2..10)?.try_into().expect("eight bytes"));
            assert!(len > 0xffff, "the shortest length");
            (10, usize::try_from(len).expect("a length for this machine"))
        }
        len => (2, usize::from(len)),
    };
    assert!(opcode < 8 || len <= 125, "a control frame is short");
    let payload = bytes.get(header..header + len)?;
    let (compressed_for, payload) = match is_compressed {
        false => (None, payload.into()),
        true => {
            let (bits, message) = runs::inflated(payload).expect("it was compressed");
            (Some(bits), message.into())
        }
    };
    Some((ServerFrame { opcode, compressed_for, payload }, header + len))
}

/// Where the whole frames lie that the bytes begin with.
pub(crate) fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut frames, mut at) = (Vec::new(), 0);
    while let Some((_, len)) = read_frame(&bytes[at..]) {
        frames.push(at..at + len);
        at += len;
    }
    frames
}

/// The begin of a frame that these bytes end with.
pub(crate) fn last_part(bytes: &[u8]) -> &[u8] {
    &bytes[frames(bytes).last().map_or(0, |frame| frame.end)..]
}

/// Whether there is a whole room message or broadcast in bytes that were not taken, behind the frame
/// that begins with `partial`.
pub(crate) fn holds_messages(partial: &[u8], untaken: &[u8]) -> bool {
    let all = [partial, untaken].concat();
    let (mut at, mut first) = (0, !partial.is_empty());
    while let Some((frame, len)) = read_frame(&all[at..]) {
        let starts = |prefix: &str| frame.payload.starts_with(prefix.as_bytes());
        let is_message =
            starts(r#"{"c":"#) || starts(r#"{"event":"m""#) || starts(r#"{"event":"b""#);
        if is_message && !first {
            return true;
        }
        (at, first) = (at + len, false);
    }
    false
}

/// The members of a JSON object, values as written.
pub(crate) fn members(json: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = json.strip_prefix('{').expect("an object");
    while !rest.starts_with('}') {
        let (key, after) = rest.split_at(value_len(rest));
        let after = after.strip_prefix(':').expect("a value behind its key");
        let (value, after) = after.split_at(value_len(after));
        found.push((&key[1..key.len() - 1], value));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    assert_eq!(rest, "}", "one object and nothing behind it");
    found
}

/// The value of a member, as written.
pub(crate) fn member<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    members(json).into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
}

/// How long the value is that `json` begins with.
fn value_len(json: &str) -> usize {
    let bytes = json.as_bytes();
    let (mut at, mut depth) = (0, 0);
    loop {
        match bytes[at] {
            b'"' => at = string_end(bytes, at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => depth -= 1,
            b',' | b':' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
        if at == bytes.len() {
            return at;
        }
    }
}

/// Where the string ends that begins at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    loop {
        at += 1;
        match bytes[at] {
            b'"' => return at,
            b'\\' => at += 1,
            _ => {}
        }
    }
}
