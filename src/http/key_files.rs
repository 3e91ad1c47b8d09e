//! The keys of a server, which are in files, and are read again when a program asks for it.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::ApiKeys;
use super::tokens::{TokenKey, TokenKeys, read_key_set, secret_of_file};
use crate::values::Rights;

/// The keys of a server: those that it was given, and those of files.
#[derive(Debug, Default)]
pub(crate) struct KeyStore {
    files: Vec<KeyFile>,
    known: RwLock<Arc<Keys>>,
    /// Held while files are read again: what was read last is what holds.
    reloading: Mutex<()>,
}

/// The keys that are known at one moment. Nothing of them is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    /// Given one by one.
    given: ApiKeys,
    /// What each file held when it could be read last.
    of_files: Vec<FileKeys>,
    /// All of them.
    pub(crate) api: ApiKeys,
    pub(crate) tokens: TokenKeys,
}

#[derive(Clone, Debug)]
struct KeyFile {
    path: PathBuf,
    kind: KeyFileKind,
}

/// What a file of keys holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFileKind {
    /// API keys, one per line.
    ApiKeys,
    /// One secret that tokens are signed by.
    Secret,
    /// One public key in PEM.
    PublicKey,
    /// A JSON Web Key Set.
    KeySet,
}

#[derive(Clone, Debug)]
enum FileKeys {
    Api(ApiKeys),
    Tokens(Vec<TokenKey>),
}

/// Files of keys are small; what is larger is another file.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl KeyStore {
    /// Adds one API key.
    pub(crate) fn add_api_key(&mut self, key: &str, rights: Rights) -> Result<(), String> {
        let mut keys = Keys::clone(&self.known());
        keys.given.add(key, rights)?;
        if ApiKeys::can_be_guessed(key) {
            tracing::warn!("an API key {GUESSABLE}");
        }
        self.publish(keys);
        Ok(())
    }

    /// Reads a file, and remembers to read it again.
    pub(crate) fn add_file(&mut self, path: &Path, kind: KeyFileKind) -> Result<(), String> {
        let file = KeyFile { path: path.to_owned(), kind };
        let mut keys = Keys::clone(&self.known());
        keys.of_files.push(file.read()?);
        self.files.push(file);
        self.publish(keys);
        Ok(())
    }

    /// The keys that are known now.
    pub(crate) fn known(&self) -> Arc<Keys> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads all files again. The keys of a file that cannot be read stay as they are. Returns what
    /// is wrong with those.
    pub(crate) fn reload(&self) -> Vec<String> {
        let _reloading = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys = Keys::clone(&self.known());
        let mut failures = Vec::new();
        for (file, of_file) in self.files.iter().zip(&mut keys.of_files) {
            match file.read() {
                Ok(read) => *of_file = read,
                Err(reason) => failures.push(reason),
            }
        }
        self.publish(keys);
        failures
    }

    fn publish(&self, keys: Keys) {
        let keys = Arc::new(keys.gathered());
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

impl Clone for KeyStore {
    /// The clone's keys are its own: what is added to it is not added to this.
    fn clone(&self) -> KeyStore {
        let known = RwLock::new(self.known());
        KeyStore { files: self.files.clone(), known, reloading: Mutex::default() }
    }
}

impl Keys {
    fn gathered(mut self) -> Keys {
        (self.api, self.tokens) = (self.given.clone(), TokenKeys::default());
        for keys in &self.of_files {
            match keys {
                FileKeys::Api(keys) => self.api.extend(keys),
                FileKeys::Tokens(keys) => self.tokens.extend(keys),
            }
        }
        self
    }

    /// Whether there is none of any kind: the server asks for nothing.
    pub(crate) fn are_none(&self) -> bool {
        self.api.is_empty() && self.tokens.is_empty()
    }
}

impl KeyFile {
    /// The file's keys, or what is wrong with it, in words for the operator.
    fn read(&self) -> Result<FileKeys, String> {
        let KeyFile { path, kind } = self;
        let read = read_bytes(path).map_err(|error| error.to_string());
        let read = read.and_then(|(bytes, metadata)| Ok((kind.parse(&bytes)?, metadata)));
        let (keys, metadata) =
            read.map_err(|reason| format!("the {kind} {}: {reason}", path.display()))?;
        if keys.are_secret() {
            warn_of_readers(&kind.to_string(), path, &metadata);
        }
        if matches!(&keys, FileKeys::Api(keys) if keys.have_guessable()) {
            tracing::warn!("an API key in {} {GUESSABLE}", path.display());
        }
        Ok(keys)
    }
}

const GUESSABLE: &str =
    "has fewer than 16 characters and can be guessed; openssl rand -hex 32 makes a better one";

/// Warns of a file with a secret that every user of the machine can read.
pub(crate) fn warn_of_readers(what: &str, path: &Path, metadata: &Metadata) {
    const OTHERS_READ: u32 = 0o004;
    if metadata.mode() & OTHERS_READ != 0 {
        tracing::warn!(
            "the {what} {} can be read by every user of this machine; chmod o= it",
            path.display()
        );
    }
}

fn read_bytes(path: &Path) -> io::Result<(Vec<u8>, Metadata)> {
    let (file, mut bytes) = (File::open(path)?, Vec::new());
    let metadata = file.metadata()?;
    let len = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match len as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::other(format!(
            "it has more than {FILE_BYTES_MAX} bytes; is it the right file?"
        ))),
        false => Ok((bytes, metadata)),
    }
}

/// The secret in a file, as a server reads it; for `corecast token`.
///
/// # Errors
///
/// When a server would not take the file, in words for the operator.
#[doc(hidden)]
pub fn read_token_secret(path: &Path) -> Result<Vec<u8>, String> {
    let read = read_bytes(path).map_err(|error| format!("it cannot be read: {error}"));
    let secret = read.and_then(|(bytes, _)| secret_of_file(&bytes).map(<[u8]>::to_vec));
    secret.map_err(|reason| format!("the {} {}: {reason}", KeyFileKind::Secret, path.display()))
}

impl FileKeys {
    /// Whether the file is enough to do what its keys are for.
    fn are_secret(&self) -> bool {
        match self {
            FileKeys::Api(_) => true,
            FileKeys::Tokens(keys) => keys.iter().any(TokenKey::is_secret),
        }
    }
}

impl KeyFileKind {
    fn parse(self, bytes: &[u8]) -> Result<FileKeys, String> {
        let one = |key: TokenKey| FileKeys::Tokens(vec![key]);
        match self {
            KeyFileKind::ApiKeys => {
                let text = std::str::from_utf8(bytes).map_err(|_| "it is no text in UTF-8")?;
                ApiKeys::of_lines(text).map(FileKeys::Api)
            }
            KeyFileKind::Secret => TokenKey::of_secret_file(bytes).map(one),
            KeyFileKind::PublicKey => TokenKey::of_pem(bytes).map(one),
            KeyFileKind::KeySet => read_key_set(bytes).map(FileKeys::Tokens),
        }
    }
}

impl fmt::Display for KeyFileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyFileKind::ApiKeys => "API key file",
            KeyFileKind::Secret => "secret file of tokens",
            KeyFileKind::PublicKey => "key file of tokens",
            KeyFileKind::KeySet => "JWKS file",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of this test's own, which is removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, text: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("corecast-{}-{name}", std::process::id()));
            std::fs::write(&path, text).unwrap();
            Scratch(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn a_broken_file_keeps_its_keys_and_holds_up_no_other() {
        let (one, two) = (Scratch::new("one", "a"), Scratch::new("two", "b"));
        let secret = Scratch::new("secret", &"s".repeat(32));
        let mut store = KeyStore::default();
        assert!(store.known().are_none());
        store.add_api_key("typed", Rights::all()).unwrap();
        store.add_file(&one.0, KeyFileKind::ApiKeys).unwrap();
        store.add_file(&two.0, KeyFileKind::ApiKeys).unwrap();
        store.add_file(&secret.0, KeyFileKind::Secret).unwrap();
        let mut copy = store.clone();
        copy.add_api_key("of the copy", Rights::all()).unwrap_err();
        copy.add_api_key("of-the-copy", Rights::all()).unwrap();
        let opens = |key: &str| store.known().api.rights_of(key).is_some();
        assert!(["typed", "a", "b"].into_iter().all(opens) && !opens("of-the-copy"));
        assert!(!store.known().tokens.is_empty());

        std::fs::write(&one.0, "# none").unwrap();
        std::fs::write(&two.0, "c read").unwrap();
        std::fs::write(&secret.0, "short").unwrap();
        let failures = store.reload();
        assert_eq!(failures.len(), 2, "{failures:?}");
        assert!(
            failures[0].contains(one.0.to_str().unwrap()) && failures[0].contains("no API key")
        );
        assert!(failures[1].contains("5 bytes") && !failures[1].contains("short"), "{failures:?}");
        assert!(["typed", "a", "c"].into_iter().all(opens) && !opens("b"));
        assert!(!store.known().tokens.is_empty());
        let shown = format!("{store:?}");
        assert!(!shown.contains("typed") && !shown.contains("ssss"), "{shown}");
    }

    #[test]
    fn keys_that_may_be_shown_are_no_secrets() {
        let keys = |kind: KeyFileKind, text: &str| kind.parse(text.as_bytes()).unwrap();
        let set = |key: &str| format!(r#"{{"keys":[{key}]}}"#);
        let public =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
        let shared = format!(r#"{{"kty":"oct","k":"{}"}}"#, "A".repeat(43));
        for (keys, expected) in [
            (keys(KeyFileKind::ApiKeys, "k"), true),
            (keys(KeyFileKind::Secret, &"s".repeat(32)), true),
            (keys(KeyFileKind::KeySet, &set(public)), false),
            (keys(KeyFileKind::KeySet, &set(&format!("{public},{shared}"))), true),
        ] {
            assert_eq!(keys.are_secret(), expected, "{keys:?}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_is_named() {
        let big = Scratch::new("big", &"x\n".repeat(1 << 20));
        for (path, words) in [
            (Path::new("/nowhere/keys"), "No such file"),
            (Path::new("/"), "directory"),
            (&big.0, "more than 1048576 bytes"),
        ] {
            let refused = KeyStore::default().add_file(path, KeyFileKind::ApiKeys).unwrap_err();
            assert!(refused.contains(words) && refused.contains("API key file"), "{refused}");
        }
    }
}
