//! The chunks of an event stream in what has been read (RFC 9112 section 7.1). The server puts each
//! event into one, as it is.

use super::frames::FRAME_MAX;

/// Yields the content of whole chunks, of the last one nothing; what is left in `rest` is part of
/// one.
#[derive(Debug)]
pub(crate) struct Chunks<'a> {
    pub(crate) rest: &'a [u8],
    /// What is wrong with the chunk that `rest` begins with, if anything is.
    pub(crate) fault: Option<&'static str>,
}

/// The digits of a size, and the end of their line.
const SIZE_MAX: usize = 10;
const CRLF: &[u8] = b"\r\n";

/// How the line with the message begins.
const DATA: &[u8] = b"data: ";

impl<'a> Chunks<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, fault: None }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        match size(self.rest) {
            Size::Partial => None,
            Size::Wrong(fault) => {
                self.fault = Some(fault);
                None
            }
            Size::Known { line, size } => {
                let (chunk, rest) = self.rest.split_at_checked(line + size + CRLF.len())?;
                let content = chunk[line..].strip_suffix(CRLF);
                if content.is_none() {
                    self.fault = Some("a chunk that is longer than its size");
                }
                self.rest = rest;
                content
            }
        }
    }
}

/// How long the chunk is that these bytes begin with, its size and ends included, if that is known.
pub(crate) fn chunk_len(bytes: &[u8]) -> Option<usize> {
    match size(bytes) {
        Size::Known { line, size } => Some(line + size + CRLF.len()),
        Size::Partial | Size::Wrong(_) => None,
    }
}

enum Size {
    Partial,
    /// Bytes of the line that says it, and of the content.
    Known {
        line: usize,
        size: usize,
    },
    Wrong(&'static str),
}

#[inline]
fn size(bytes: &[u8]) -> Size {
    let mut size = 0;
    for (at, byte) in bytes.iter().take(SIZE_MAX).enumerate() {
        match (*byte as char).to_digit(16) {
            Some(digit) => size = size << 4 | digit as usize,
            None if at > 0 && size <= FRAME_MAX && CRLF.starts_with(&bytes[at..]) => {
                return Size::Partial;
            }
            None if at > 0 && size <= FRAME_MAX && bytes[at..].starts_with(CRLF) => {
                return Size::Known { line: at + CRLF.len(), size };
            }
            None => return Size::Wrong("a chunk without a size below 64 MiB"),
        }
    }
    match bytes.len() < SIZE_MAX {
        true => Size::Partial,
        false => Size::Wrong("a chunk without a size below 64 MiB"),
    }
}

/// The message of an event that has one, in its first line of data.
pub(crate) fn data(event: &[u8]) -> Option<&[u8]> {
    event.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(DATA))
}

/// What a comment says.
pub(crate) fn comment(event: &[u8]) -> Option<String> {
    let text = event.strip_prefix(b": ")?;
    Some(String::from_utf8_lossy(text.trim_ascii_end()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_cut_where_their_size_says() {
        let all = b"3\r\nabc\r\n0B\r\nhello\r\nhell\r\n0\r\n\r\n5\r\nabc";
        let mut chunks = Chunks::new(all);
        let whole: Vec<&[u8]> = chunks.by_ref().collect();
        assert_eq!(whole, [&b"abc"[..], b"hello\r\nhell", b""]);
        assert_eq!((chunks.rest, chunks.fault), (&b"5\r\nabc"[..], None));
        assert_eq!(chunk_len(chunks.rest), Some(10));
        for cut in 0..8 {
            let mut chunks = Chunks::new(&all[..cut]);
            assert_eq!((chunks.next(), chunks.fault), (None, None), "{cut}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_named() {
        for bytes in ["\r\n", "x\r\n", "3;a=b\r\n", "3\n", "3\rx", "0123456789", "fffffff\r\n"] {
            let mut chunks = Chunks::new(bytes.as_bytes());
            assert!(chunks.next().is_none() && chunks.fault.is_some(), "{bytes:?}");
        }
        let mut chunks = Chunks::new(b"3\r\nabcd\r\n");
        assert!(chunks.next().is_none());
        assert!(chunks.fault.is_some_and(|fault| fault.contains("longer")));
    }

    #[test]
    fn data_and_comments_are_told_apart() {
        assert_eq!(data(b"id: a-1\ndata: {}\n\n"), Some(&b"{}"[..]));
        assert_eq!(data(b": data: x\n\n"), None);
        assert_eq!(comment(b": slow retry=5\n\n").as_deref(), Some("slow retry=5"));
        assert_eq!(comment(b"retry: 5\n\n"), None);
    }
}
