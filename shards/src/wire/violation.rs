//! How a peer breaks the protocol.

use super::utf8::Invalid;

/// How a peer broke the protocol. Each kind ends the connection with a close code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// The framing is wrong, for the reason given: close code 1002 (RFC 6455 section 7.4.1).
    Protocol(&'static str),
    /// A text message or a close reason is not UTF-8: close code 1007 (RFC 6455 section 8.1).
    BadUtf8,
    /// A compressed message cannot be inflated: close code 1007 (RFC 6455 section 7.4.1).
    BadDeflate,
    /// A message declares more bytes than it may have, or is inflated to
    /// more: close code 1009 (RFC 6455 section 7.4.1).
    TooBig,
}

impl From<Invalid> for Violation {
    fn from(_: Invalid) -> Violation {
        Violation::BadUtf8
    }
}
