//! A certificate for servers that are measured with TLS.

use std::fs;
use std::io;
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
        fs::write(&key, made.signing_key.serialize_pem())?;
        Ok(OwnCertificate { certificate, key })
    }
}
