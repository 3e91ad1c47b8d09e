//! A certificate for servers that are measured with TLS.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A certificate for 127.0.0.1 that signs itself, and its key (ECDSA, P-256), as PEM files.
#[derive(Debug)]
pub(crate) struct OwnCertificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl OwnCertificate {
    /// Makes them in this folder, in the place of those of an earlier run.
    pub(crate) fn make(folder: &Path) -> io::Result<OwnCertificate> {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]);
        let made = made.map_err(io::Error::other)?;
        let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
        fs::write(&certificate, made.cert.pem())?;
        let mut closed = OpenOptions::new();
        closed.write(true).create(true).truncate(true).mode(0o600);
        closed.open(&key)?.write_all(made.signing_key.serialize_pem().as_bytes())?;
        Ok(OwnCertificate { certificate, key })
    }
}
