//! Which keys open `/v1`, and for what.

use std::fmt;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::values::Rights;

/// The keys of a server. Only their digests are kept, so that no log and no `Debug` output can
/// show a key.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct ApiKeys {
    digests: Vec<([u8; 32], Rights)>,
    /// One of them can be guessed.
    have_guessable: bool,
}

/// A key with fewer characters can be guessed, if it is not made of chance alone.
const CHARACTERS_MIN: usize = 16;

impl ApiKeys {
    /// Adds a key, which is visible ASCII without spaces: what `Authorization: Bearer` can carry.
    pub(crate) fn add(&mut self, key: &str, rights: Rights) -> Result<(), String> {
        if key.trim().is_empty() {
            return Err(
                "an empty API key would let nobody in; give it at least one character".into()
            );
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("an API key consists of visible ASCII characters without spaces".into());
        }
        self.digests.push((digest(key), rights));
        self.have_guessable |= ApiKeys::can_be_guessed(key);
        Ok(())
    }

    /// Whether a key is so short that it can be guessed. Such a key is accepted all the same.
    pub(crate) fn can_be_guessed(key: &str) -> bool {
        key.len() < CHARACTERS_MIN
    }

    pub(crate) fn have_guessable(&self) -> bool {
        self.have_guessable
    }

    /// Reads the keys of a file's text: one per line, without blank lines and those that begin with
    /// `#`. Behind a key and a space may stand what it is for; it is for everything otherwise. A
    /// file without any key is an error, because it would be taken for protection.
    pub(crate) fn of_lines(text: &str) -> Result<ApiKeys, String> {
        let mut keys = ApiKeys::default();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if !line.is_empty() && !line.starts_with('#') {
                keys.add_line(line).map_err(|reason| format!("line {}: {reason}", index + 1))?;
            }
        }
        match keys.is_empty() {
            true => Err("it holds no API key; write one per line".into()),
            false => Ok(keys),
        }
    }

    fn add_line(&mut self, line: &str) -> Result<(), String> {
        let (key, rights) = line.split_once(char::is_whitespace).unwrap_or((line, "all"));
        // The error of this quotes what it cannot read, and that may be a key.
        let rights = rights.parse().map_err(|_| NO_RIGHTS)?;
        self.add(key, rights)
    }

    pub(crate) fn extend(&mut self, others: &ApiKeys) {
        self.digests.extend_from_slice(&others.digests);
        self.have_guessable |= others.have_guessable;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// What this key may do, if it is one; of a key that stands twice, both together. Takes the
    /// same time however much of a key is right, and however long it is: digests are compared, and
    /// all of them.
    pub(crate) fn rights_of(&self, brought: &str) -> Option<Rights> {
        let brought = digest(brought);
        let mut found = None;
        for (known, rights) in &self.digests {
            if bool::from(known.ct_eq(&brought)) {
                found = Some(found.map_or(*rights, |before| rights.and(before)));
            }
        }
        found
    }
}

const NO_RIGHTS: &str = "what stands behind the first blank is no list of rights; write a key alone, \
                         or a key and behind it all, or a list of publish, read, admin";

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({})", self.digests.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Option<Rights> {
        Some(Rights::all())
    }

    #[test]
    fn only_a_whole_key_is_known() {
        let mut keys = ApiKeys::default();
        assert!(keys.is_empty() && keys.rights_of("").is_none());
        keys.add("one", Rights::all()).unwrap();
        keys.add("two,three", Rights::all()).unwrap();
        assert_eq!((keys.rights_of("one"), keys.rights_of("two,three")), (all(), all()));
        for wrong in ["", "on", "ones", "ONE", "two", "three", "one\0"] {
            assert_eq!(keys.rights_of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_has_one_key_per_line() {
        let text =
            "# of the publisher\n\n  one  \r\n#two\nthree publish,read\nfour\tread\nfour  admin";
        let keys = ApiKeys::of_lines(text).unwrap();
        let rights = |key| keys.rights_of(key).map(|rights| rights.to_string());
        assert_eq!(keys.rights_of("one"), all());
        assert_eq!(rights("three").as_deref(), Some("publish,read"));
        assert_eq!(rights("four").as_deref(), Some("read,admin"));
        assert!(rights("two").is_none() && rights("#two").is_none());
        for (text, words) in [
            ("", "no API key"),
            ("# only\n\n", "no API key"),
            ("a\nb s3cr3t", "line 2: what stands behind"),
            ("a publish s3cr3t", "line 1: what stands behind"),
            ("a ,", "no list of rights"),
            ("s3cr3t\u{e9}", "ASCII"),
        ] {
            let refused = ApiKeys::of_lines(text).unwrap_err();
            assert!(refused.contains(words) && !refused.contains("s3cr3t"), "{refused}");
        }
    }

    #[test]
    fn a_short_key_can_be_guessed() {
        let short = ApiKeys::of_lines("0123456789abcdef\n0123456789abcde\n").unwrap();
        let long = ApiKeys::of_lines("0123456789abcdef publish\n").unwrap();
        assert!(short.have_guessable() && !long.have_guessable());
        let mut both = long.clone();
        both.extend(&short);
        assert!(both.have_guessable());
    }

    #[test]
    fn what_no_header_carries_is_no_key() {
        for key in ["", " ", "a b", "\u{e9}", "a\n"] {
            assert!(ApiKeys::default().add(key, Rights::all()).is_err(), "{key:?}");
        }
    }
}
