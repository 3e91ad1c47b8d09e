//! Which keys open `/v1`.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The keys of a server. Only their digests are kept, so that no log and no `Debug` output can
/// show a key.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct ApiKeys(Vec<[u8; 32]>);

impl ApiKeys {
    /// Adds a key, which is visible ASCII without spaces: what `Authorization: Bearer` can carry.
    pub(crate) fn add(&mut self, key: &str) -> Result<(), String> {
        if key.trim().is_empty() {
            return Err(
                "an empty API key would let nobody in; give it at least one character".into()
            );
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("an API key consists of visible ASCII characters without spaces".into());
        }
        self.0.push(digest(key));
        Ok(())
    }

    /// Adds the keys of a file's text: one per line, without blank lines and those that begin with
    /// `#`. A file without any key is an error, because it would be taken for protection.
    pub(crate) fn add_lines(&mut self, text: &str) -> Result<(), String> {
        let lines = text.lines().map(str::trim).enumerate();
        let mut keys =
            lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).peekable();
        if keys.peek().is_none() {
            return Err("it holds no API key; write one per line".into());
        }
        for (index, key) in keys {
            self.add(key).map_err(|reason| format!("line {}: {reason}", index + 1))?;
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is one of the keys. Takes the same time however much of a key is right, and
    /// however long it is: digests are compared, and all of them.
    pub(crate) fn contain(&self, brought: &str) -> bool {
        let brought = digest(brought);
        let found = self.0.iter().map(|known| known.ct_eq(&brought));
        found.fold(subtle::Choice::from(0), |any, one| any | one).into()
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_key_is_known() {
        let mut keys = ApiKeys::default();
        assert!(keys.is_empty() && !keys.contain("") && !keys.contain("one"));
        keys.add("one").unwrap();
        keys.add("two,three").unwrap();
        assert!(keys.contain("one") && keys.contain("two,three"));
        for wrong in ["", "on", "ones", "ONE", "two", "three", "one\0"] {
            assert!(!keys.contain(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_file_has_one_key_per_line() {
        let mut keys = ApiKeys::default();
        keys.add_lines("# of the publisher\n\n  one  \r\n#two\nthree").unwrap();
        assert!(keys.contain("one") && keys.contain("three"));
        assert!(!keys.contain("two") && !keys.contain("#two"));
        for (text, words) in
            [("", "no API key"), ("# only\n\n", "no API key"), ("a\nb c", "line 2")]
        {
            let refused = ApiKeys::default().add_lines(text).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn what_no_header_carries_is_no_key() {
        for key in ["", " ", "a b", "é", "a\n"] {
            assert!(ApiKeys::default().add(key).is_err(), "{key:?}");
        }
    }
}
