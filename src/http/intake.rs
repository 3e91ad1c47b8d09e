//! Where one request of a connection ends and the next begins.

use super::Body;

/// What has arrived on a connection and was not handed to the HTTP library yet. It is handed one
/// request at a time, so that every head is judged here first, and nothing behind the present
/// request is lost when the connection changes hands.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    bytes: Vec<u8>,
    /// How many of them were taken already.
    taken: usize,
    /// How many of the others belong to the present request.
    open: usize,
    rest: Rest,
}

/// What is still to come of the present request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    #[default]
    Nothing,
    /// Bytes of a body whose length is known.
    Sized(u64),
    /// The line with the next chunk's size.
    ChunkSize,
    /// A chunk and the end of its line.
    Chunk(u64),
    /// Fields behind the last chunk, up to an empty line.
    Trailer,
    /// A body that is malformed, as the library will find, too. There is no next request.
    Endless,
}

/// A line that is longer is left to the library, which refuses it.
const LINE_MAX: usize = 1024;

impl Intake {
    pub(crate) fn new(bytes: Vec<u8>) -> Intake {
        Intake { bytes, ..Intake::default() }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
        self.advance();
    }

    /// What has arrived of the next head, between two requests.
    pub(crate) fn head(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// The next request begins, with a head of `len` bytes.
    pub(crate) fn begin(&mut self, len: usize, body: Body) {
        self.open = len;
        self.rest = match body {
            Body::Sized(length) => Rest::Sized(length),
            Body::Chunked => Rest::ChunkSize,
        };
        self.advance();
    }

    /// Takes at most `room` bytes of the present request.
    pub(crate) fn take(&mut self, room: usize) -> Vec<u8> {
        let len = room.min(self.open);
        let taken = self.bytes[self.taken..][..len].to_vec();
        (self.taken, self.open) = (self.taken + len, self.open - len);
        if self.taken == self.bytes.len() {
            // An idle connection keeps no memory.
            (self.bytes, self.taken) = (Vec::new(), 0);
        }
        taken
    }

    /// Bytes that it holds.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether more is to come of the present request.
    pub(crate) fn wants_more(&self) -> bool {
        self.rest != Rest::Nothing
    }

    /// Whether the present request was handed on to its end, so that what comes is another's.
    pub(crate) fn is_between_requests(&self) -> bool {
        self.open == 0 && !self.wants_more()
    }

    /// What has arrived and belongs to no request.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.drain(..self.taken);
        self.bytes
    }

    fn advance(&mut self) {
        loop {
            let ahead = &self.bytes[self.taken + self.open..];
            let (len, rest) = match self.rest {
                Rest::Nothing => return,
                Rest::Endless => (ahead.len(), Rest::Endless),
                Rest::Sized(left) => pass(ahead, left, Rest::Sized, Rest::Nothing),
                Rest::Chunk(left) => pass(ahead, left, Rest::Chunk, Rest::ChunkSize),
                Rest::ChunkSize => chunk_size(ahead),
                Rest::Trailer => trailer(ahead),
            };
            let before = std::mem::replace(&mut self.rest, rest);
            self.open += len;
            if len == 0 && rest == before {
                return;
            }
        }
    }
}

/// Passes over at most `left` bytes.
fn pass(ahead: &[u8], left: u64, more: fn(u64) -> Rest, done: Rest) -> (usize, Rest) {
    let len = usize::try_from(left).unwrap_or(usize::MAX).min(ahead.len());
    let left = left - len as u64;
    (len, if left == 0 { done } else { more(left) })
}

fn chunk_size(ahead: &[u8]) -> (usize, Rest) {
    /// The end of the chunk's own line.
    const CRLF: u64 = 2;
    match httparse::parse_chunk_size(ahead) {
        Ok(httparse::Status::Complete((len, 0))) => (len, Rest::Trailer),
        Ok(httparse::Status::Complete((len, size))) => {
            (len, Rest::Chunk(size.saturating_add(CRLF)))
        }
        Ok(httparse::Status::Partial) if ahead.len() < LINE_MAX => (0, Rest::ChunkSize),
        _ => (0, Rest::Endless),
    }
}

/// Lines end with CRLF and nothing else: the library takes a bare CR or LF for part of a field, and
/// both must find the same end (RFC 9112 section 7.1.2).
fn trailer(ahead: &[u8]) -> (usize, Rest) {
    match ahead.iter().position(|byte| *byte == b'\n') {
        Some(end) => match ahead[..end].strip_suffix(b"\r") {
            Some(b"") => (end + 1, Rest::Nothing),
            Some(field) if !field.contains(&b'\r') => (end + 1, Rest::Trailer),
            _ => (0, Rest::Endless),
        },
        None if ahead.len() < LINE_MAX => (0, Rest::Trailer),
        None => (0, Rest::Endless),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is handed on of the present request, and what stays, when these pieces arrive.
    fn cut(head: &str, body: Body, pieces: &[&str]) -> (String, String, bool) {
        let mut intake = Intake::new(head.as_bytes().to_vec());
        intake.begin(head.len(), body);
        let mut taken = Vec::new();
        for piece in pieces {
            intake.push(piece.as_bytes());
            loop {
                let some = intake.take(7);
                if some.is_empty() {
                    break;
                }
                taken.extend(some);
            }
        }
        let wants_more = intake.wants_more();
        let text = |bytes| String::from_utf8(bytes).expect("ASCII");
        (text(taken), text(intake.into_bytes()), wants_more)
    }

    #[test]
    fn a_request_ends_where_its_length_says() {
        for pieces in [&["abcNEXT"][..], &["a", "bcNE", "XT"], &["", "abc", "NEXT"]] {
            let expected = ("HEADabc".to_owned(), "NEXT".to_owned(), false);
            assert_eq!(cut("HEAD", Body::Sized(3), pieces), expected, "{pieces:?}");
        }
        assert_eq!(cut("HEAD", Body::Sized(0), &["NEXT"]).1, "NEXT");
        assert!(cut("HEAD", Body::Sized(3), &["ab"]).2, "one byte is missing");
    }

    #[test]
    fn a_request_ends_with_its_last_chunk() {
        let body = "5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nA: b\r\n\r\n";
        let whole = format!("{body}NEXT");
        let expected = (format!("HEAD{body}"), "NEXT".to_owned(), false);
        assert_eq!(cut("HEAD", Body::Chunked, &[&whole]), expected);
        for at in 1..whole.len() {
            let (begin, end) = whole.split_at(at);
            assert_eq!(cut("HEAD", Body::Chunked, &[begin, end]), expected, "cut at {at}");
        }
    }

    #[test]
    fn a_malformed_body_has_no_end() {
        let long = "0".repeat(2 * LINE_MAX);
        for body in
            ["zz\r\nhello", &long, "0\r\n", "0\r\n\n", "0\r\nA: b\n\r\n", "0\r\nA\r: b\r\n\r\n"]
        {
            let (_, _, wants_more) = cut("HEAD", Body::Chunked, &[body]);
            assert!(wants_more, "{body}");
        }
    }
}
