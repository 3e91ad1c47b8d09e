//! What makes a publish that is repeated the same publish.

use std::fmt;

use crate::limits::KEY_BYTES_MAX;

/// Names one publish to a room, so that its publisher can repeat it: 1 to 64 bytes of any text.
///
/// For [`Limits::publish_key_time`](crate::Limits::publish_key_time) the same key to the same room is
/// answered with the first one's offset and delivers nothing, whatever the message is and whichever
/// connection or caller publishes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishKey(Box<str>);

impl PublishKey {
    /// A key: 1 to 64 bytes.
    ///
    /// # Errors
    ///
    /// When the text is longer, or empty.
    pub fn new(text: &str) -> Result<PublishKey, BadKey> {
        match text.is_empty() || text.len() > KEY_BYTES_MAX {
            true => Err(BadKey),
            false => Ok(PublishKey(text.into())),
        }
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text cannot be the key of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadKey;

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key of a publish has 1 to {KEY_BYTES_MAX} bytes")
    }
}

impl std::error::Error for BadKey {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_1_to_64_bytes_of_any_text() {
        for text in ["k", "\0", "\n", &"x".repeat(64), &"ü".repeat(32)] {
            assert_eq!(PublishKey::new(text).map(|key| key.as_str() == text), Ok(true));
        }
        for text in ["", &"x".repeat(65), &"ü".repeat(33), &"x".repeat(1 << 20)] {
            assert_eq!(PublishKey::new(text), Err(BadKey));
        }
    }
}
