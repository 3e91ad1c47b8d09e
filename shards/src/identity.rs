//! What is known of the client behind a connection.

use std::fmt;
use std::sync::Arc;

use crate::time::Time;

/// What is known of the client behind a connection. A connection without is anonymous.
///
/// It is shared and never changed: a refresh gives a connection another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// Who the client is: the claim `sub` of a token.
    pub subject: Option<Name>,
    /// Which token it brought: the claim `jti`.
    pub token_id: Option<Name>,
    /// Until when it may stay.
    pub expires: Option<Expiry>,
    /// What the presence of its rooms shows of it: any JSON value, as it was written. That of the
    /// token with which its connection began; a fresh one does not change it.
    pub info: Option<Arc<str>>,
}

/// Until when a client may stay: its connection is closed when that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// On the clock of all shards.
    pub at: Time,
    /// The same in milliseconds since 1970, as the client reads it.
    pub unix_millis: u64,
}

impl Identity {
    /// What is known of a client.
    pub fn new(subject: Option<Name>, token_id: Option<Name>, expires: Option<Expiry>) -> Identity {
        Identity { subject, token_id, expires, info: None }
    }

    /// The same, of which presence shows this JSON value.
    pub fn with_info(self, info: Option<Arc<str>>) -> Identity {
        Identity { info, ..self }
    }
}

/// What may be revoked: all that a user may connect by, or one token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Revocable {
    /// Every token of this subject.
    Subject(Name),
    /// The token with this id.
    Token(Name),
}

impl Revocable {
    /// The name that it goes by.
    pub fn name(&self) -> &Name {
        match self {
            Revocable::Subject(name) | Revocable::Token(name) => name,
        }
    }
}

/// Bytes of a [`Name`].
const BYTES_MAX: usize = 256;

/// The name of a client or of a token: 1 to 256 bytes of any text, shared rather than copied.
///
/// Names are compared byte for byte: those that only look alike are different.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// A name: 1 to 256 bytes.
    ///
    /// # Errors
    ///
    /// When the text is longer, or empty.
    pub fn new(text: &str) -> Result<Name, BadName> {
        match text.is_empty() || text.len() > BYTES_MAX {
            true => Err(BadName),
            false => Ok(Name(Arc::from(text))),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text cannot name a client or a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadName;

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name of a user or of a token is 1 to {BYTES_MAX} bytes")
    }
}

impl std::error::Error for BadName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_1_to_256_bytes_of_any_text() {
        for text in ["a", "\0", "\u{202e}\u{feff}", &"ü".repeat(128)] {
            assert_eq!(Name::new(text).unwrap().as_str(), text);
        }
        for text in ["", &"x".repeat(257), &"ü".repeat(129), &"x".repeat(1 << 20)] {
            assert_eq!(Name::new(text), Err(BadName));
        }
        assert_ne!(Name::new("\u{e9}"), Name::new("e\u{301}"), "they only look alike");
    }
}
