//! A message or control frame that arrives in more than one piece.

use super::frame::Opcode;
use super::incoming::Incoming;
use super::utf8::Utf8;
use super::violation::Violation;

/// A message, or a control frame, that arrives in more than one piece.
///
/// It is never told how much is to come, so it can only grow with what has arrived: a header that
/// declares a megabyte costs its sender a megabyte before it costs the server one.
#[derive(Debug)]
pub(super) struct Assembly {
    opcode: Opcode,
    payload: Payload,
}

#[derive(Debug)]
enum Payload {
    Text(Utf8),
    Bytes(Vec<u8>),
    /// Of a compressed message, whose text can only be judged when it is inflated.
    Deflated(Vec<u8>),
}

impl Assembly {
    /// An empty one, for a payload whose first frame has this opcode; allocates nothing.
    pub(super) fn new(opcode: Opcode, compressed: bool) -> Assembly {
        debug_assert!(opcode != Opcode::Continuation, "a continuation starts nothing");
        let payload = match opcode {
            _ if compressed => Payload::Deflated(Vec::new()),
            Opcode::Text => Payload::Text(Utf8::default()),
            _ => Payload::Bytes(Vec::new()),
        };
        Assembly { opcode, payload }
    }

    /// Appends unmasked bytes. Text is judged at once, not only when the message is whole.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        match &mut self.payload {
            Payload::Text(text) => text.push(bytes)?,
            Payload::Bytes(payload) | Payload::Deflated(payload) => {
                payload.extend_from_slice(bytes)
            }
        }
        Ok(())
    }

    /// How many bytes were pushed.
    pub(super) fn len(&self) -> usize {
        match &self.payload {
            Payload::Text(text) => text.len(),
            Payload::Bytes(bytes) | Payload::Deflated(bytes) => bytes.len(),
        }
    }

    /// Bytes of memory that it holds.
    pub(super) fn capacity(&self) -> usize {
        match &self.payload {
            Payload::Text(text) => text.capacity(),
            Payload::Bytes(bytes) | Payload::Deflated(bytes) => bytes.capacity(),
        }
    }

    /// Whether its message is compressed.
    pub(super) fn is_compressed(&self) -> bool {
        matches!(self.payload, Payload::Deflated(_))
    }

    /// What was pushed, as the whole it has become, of so many frames.
    pub(super) fn incoming(&self, frames: usize) -> Result<Incoming<'_>, Violation> {
        match &self.payload {
            Payload::Text(text) => Ok(Incoming::Text(text.finish()?)),
            Payload::Bytes(bytes) => Incoming::whole(self.opcode, bytes),
            Payload::Deflated(bytes) => Ok(Incoming::deflated(self.opcode, bytes, frames)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_what_they_were_begun_as() {
        let check = |opcode, pieces: &[&[u8]], expected| {
            let mut assembly = Assembly::new(opcode, false);
            for piece in pieces {
                assert_eq!(assembly.push(piece), Ok(()), "{opcode:?} {pieces:x?}");
            }
            assert_eq!(assembly.len(), pieces.concat().len(), "{opcode:?} {pieces:x?}");
            assert_eq!(assembly.incoming(1), expected, "{opcode:?} {pieces:x?}");
        };
        check(Opcode::Text, &[], Ok(Incoming::Text("")));
        check(Opcode::Text, &[b"caf\xc3", b"", b"\xa9"], Ok(Incoming::Text("café")));
        check(Opcode::Text, &[b"caf", b"\xc3"], Err(Violation::BadUtf8));
        check(Opcode::Binary, &[b"caf", b"\xc3"], Ok(Incoming::Binary(b"caf\xc3")));
        check(Opcode::Ping, &[b"\xff", b"\xfe"], Ok(Incoming::Ping(b"\xff\xfe")));
        let one_byte = Violation::Protocol("close code of one byte");
        check(Opcode::Close, &[b"\x03"], Err(one_byte));
    }

    #[test]
    fn compressed_text_is_not_judged_before_it_is_inflated() {
        let mut assembly = Assembly::new(Opcode::Text, true);
        assert_eq!(assembly.push(b"\xff"), Ok(()));
        assert_eq!(assembly.push(b"\xfe"), Ok(()));
        assert_eq!((assembly.len(), assembly.is_compressed()), (2, true));
        let expected = Incoming::Deflated { is_text: true, payload: b"\xff\xfe", frames: 2 };
        assert_eq!(assembly.incoming(2), Ok(expected));
    }

    #[test]
    fn text_is_refused_before_it_is_whole() {
        let mut assembly = Assembly::new(Opcode::Text, false);
        assert_eq!(assembly.push(b"fine so far \xe2"), Ok(()));
        assert_eq!(assembly.push(b"("), Err(Violation::BadUtf8));
    }

    #[test]
    fn storage_follows_what_has_arrived() {
        let capacity = |assembly: &Assembly| match &assembly.payload {
            Payload::Bytes(bytes) => bytes.capacity(),
            Payload::Text(_) | Payload::Deflated(_) => panic!("binary was asked for"),
        };
        let mut assembly = Assembly::new(Opcode::Binary, false);
        assert_eq!(capacity(&assembly), 0);
        for _ in 0..100 {
            assembly.push(&[0; 100]).expect("binary");
            assert!(capacity(&assembly) <= 2 * assembly.len());
        }
    }
}
