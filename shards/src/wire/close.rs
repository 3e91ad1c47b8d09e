//! What a close frame says, and which codes it may carry.

use super::utf8::Invalid;
use super::violation::Violation;

/// What a peer's close frame said (RFC 6455 section 5.5.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CloseFrame {
    /// The status code; `None` if the frame was empty.
    pub code: Option<u16>,
    /// Why, in the peer's words; often empty.
    pub reason: Box<str>,
}

impl CloseFrame {
    pub(super) fn parse(payload: &[u8]) -> Result<CloseFrame, Violation> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            return match payload.is_empty() {
                true => Ok(CloseFrame::default()),
                false => Err(Violation::Protocol("close code of one byte")),
            };
        };
        let code = u16::from_be_bytes(*code);
        if !may_be_sent(code) {
            return Err(Violation::Protocol("close code that must not be sent"));
        }
        let reason = str::from_utf8(reason).map_err(Invalid::from)?;
        Ok(CloseFrame { code: Some(code), reason: reason.into() })
    }
}

/// Whether a close frame may carry this code (RFC 6455 section 7.4 and its IANA registry).
///
/// 1004 has no meaning; 1005, 1006 and 1015 are for local use; 1016 to 2999 await a revision of
/// the protocol, and everything outside 1000 to 4999 is not a code at all.
pub(crate) const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_every_code_range() {
        let check = |code: u16, legal: bool| {
            let parsed = CloseFrame::parse(&code.to_be_bytes());
            let expected = match legal {
                true => Ok(CloseFrame { code: Some(code), reason: "".into() }),
                false => Err(Violation::Protocol("close code that must not be sent")),
            };
            assert_eq!(parsed, expected, "{code}");
        };
        for code in [1000, 1003, 1007, 1014, 3000, 3999, 4000, 4999] {
            check(code, true);
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, u16::MAX] {
            check(code, false);
        }
    }

    #[test]
    fn payloads() {
        let check = |payload: &[u8], expected: Result<(Option<u16>, &str), Violation>| {
            let expected =
                expected.map(|(code, reason)| CloseFrame { code, reason: reason.into() });
            assert_eq!(CloseFrame::parse(payload), expected, "{payload:?}");
        };
        check(b"", Ok((None, "")));
        check(b"\x03", Err(Violation::Protocol("close code of one byte")));
        check(b"\x03\xe8bye", Ok((Some(1000), "bye")));
        check(b"\x03\xec", Err(Violation::Protocol("close code that must not be sent")));
        check(b"\x03\xe9\xc3\xa9", Ok((Some(1001), "é")));
        check(b"\x03\xe9\xc3", Err(Violation::BadUtf8));
        check(b"\x03\xe9\xff", Err(Violation::BadUtf8));
    }
}
