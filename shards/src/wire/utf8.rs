//! Text that is checked while it arrives.

use std::str::Utf8Error;

/// Text that arrives in pieces, checked as they arrive (RFC 6455 section 8.1).
///
/// What was found valid is kept as a `String`, so nothing is walked a second time at the end.
///
/// Invariant: `text` and then `cut` is what was pushed, and `cut` is the beginning of one
/// character that more bytes can still complete.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    text: String,
    /// The first `cut_len` bytes are a character whose end has not arrived: at most three.
    cut: [u8; 4],
    cut_len: usize,
}

/// The bytes pushed are not UTF-8, and no later byte can change that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Invalid;

impl From<Utf8Error> for Invalid {
    fn from(_: Utf8Error) -> Invalid {
        Invalid
    }
}

impl Utf8 {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        let rest = self.complete_cut(bytes)?;
        match str::from_utf8(rest) {
            Ok(text) => self.text.push_str(text),
            Err(error) if error.error_len().is_some() => return Err(Invalid),
            Err(error) => {
                let (valid, cut) = rest.split_at(error.valid_up_to());
                self.text.push_str(str::from_utf8(valid)?);
                self.cut[..cut.len()].copy_from_slice(cut);
                self.cut_len = cut.len();
            }
        }
        debug_assert!(self.cut_len < self.cut.len());
        Ok(())
    }

    /// Bytes of memory that it holds.
    pub(super) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// Gives the cut character the bytes it lacks and returns those it does not need.
    fn complete_cut<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Invalid> {
        let mut rest = bytes;
        while self.cut_len > 0 {
            let Some((&byte, after)) = rest.split_first() else { break };
            rest = after;
            self.cut[self.cut_len] = byte;
            match str::from_utf8(&self.cut[..=self.cut_len]) {
                Ok(character) => {
                    self.text.push_str(character);
                    self.cut_len = 0;
                }
                Err(error) if error.error_len().is_some() => return Err(Invalid),
                Err(_) => self.cut_len += 1,
            }
        }
        Ok(rest)
    }

    /// All the text, if it does not end within a character.
    pub(super) fn finish(&self) -> Result<&str, Invalid> {
        if self.cut_len > 0 { Err(Invalid) } else { Ok(&self.text) }
    }

    /// How many bytes were pushed.
    pub(super) fn len(&self) -> usize {
        self.text.len() + self.cut_len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_text_survives_every_way_to_cut_it() {
        let check = |text: &str| {
            let bytes = text.as_bytes();
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let mut utf8 = Utf8::default();
                    for piece in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                        assert_eq!(utf8.push(piece), Ok(()), "{text} cut at {first}, {second}");
                    }
                    assert_eq!(utf8.len(), text.len());
                    assert_eq!(utf8.finish(), Ok(text), "cut at {first}, {second}");
                }
            }
        };
        check("");
        check("plain");
        check("κόσμε");
        check("a€b");
        check("𝄞\u{10ffff}\u{0}");
        check("\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}");
    }

    /// Each row ends with the byte that no later byte can mend.
    #[test]
    fn wrong_text_is_refused_at_its_first_wrong_byte() {
        let check = |bytes: &[u8]| {
            let mut utf8 = Utf8::default();
            let (last, before) = bytes.split_last().expect("a row has bytes");
            for byte in before {
                assert_eq!(utf8.push(&[*byte]), Ok(()), "{bytes:x?} up to {byte:x}");
            }
            assert_eq!(utf8.push(&[*last]), Err(Invalid), "{bytes:x?}");
            assert_eq!(Utf8::default().push(bytes), Err(Invalid), "{bytes:x?} whole");
            let _ = utf8.push(bytes); // What it says after an error is open, but it must not panic.
        };
        check(b"\x80");
        check(b"a\xbf");
        check(b"\xc0");
        check(b"\xc1");
        check(b"\xc3a");
        check(b"\xc3\xc3");
        check(b"\xe0\x9f");
        check(b"\xe2\x82a");
        check(b"\xed\xa0");
        check(b"\xf0\x8f");
        check(b"\xf0\x9d\x84a");
        check(b"\xf4\x90");
        check(b"\xf5");
        check(b"\xff");
        check(b"\xce\xba\xcf\x8c\xfe");
    }

    #[test]
    fn an_end_within_a_character_is_refused() {
        let check = |bytes: &[u8]| {
            let mut utf8 = Utf8::default();
            assert_eq!(utf8.push(bytes), Ok(()), "{bytes:x?}");
            assert_eq!(utf8.len(), bytes.len());
            assert_eq!(utf8.finish(), Err(Invalid), "{bytes:x?}");
        };
        check(b"\xc3");
        check(b"text\xe2");
        check(b"text\xe2\x82");
        check(b"\xf0\x9d\x84");
    }
}
