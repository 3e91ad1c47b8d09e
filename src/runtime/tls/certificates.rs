//! Which certificate a client is shown, and where it comes from.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::http::warn_of_readers;

/// Where a certificate and its key are: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    /// The certificate first, then those that it needs up to a root.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The certificates of a server, each with the names that it is for; replaced as a whole when files
/// have changed.
#[derive(Debug)]
pub(super) struct Certificates {
    files: Vec<CertificateFiles>,
    loaded: RwLock<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    /// The first pair's, for clients that name no server, or one that no certificate is for.
    default: Arc<CertifiedKey>,
    /// By name in lower case; a wildcard as it stands in the certificate (`*.example.com`).
    by_name: HashMap<String, Arc<CertifiedKey>>,
    /// What the files looked like when they were read.
    stamps: Vec<Option<Stamp>>,
}

/// What changes when a file is written or replaced, or may be read by others than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// Its mode and owner included.
    changed: (i64, i64),
}

impl Certificates {
    /// Reads all pairs. The error says which file is wrong, and what to do.
    pub(super) fn load(files: Vec<CertificateFiles>) -> Result<Certificates, String> {
        let loaded = RwLock::new(Loaded::read(&files)?);
        Ok(Certificates { files, loaded })
    }

    /// Reads all pairs again. When one of them is wrong all stay as they were; and until a file
    /// changes once more, they do not count as changed.
    pub(super) fn reload(&self) -> Result<(), String> {
        let stamps = stamps(&self.files);
        let read = Loaded::read(&self.files);
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(read) => *loaded = read,
            Err(reason) => {
                loaded.stamps = stamps;
                return Err(reason);
            }
        }
        Ok(())
    }

    /// Whether a file is not the one any more that was read last.
    pub(super) fn have_changed(&self) -> bool {
        stamps(&self.files) != self.loaded().stamps
    }

    fn loaded(&self) -> impl std::ops::Deref<Target = Loaded> + '_ {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        let loaded = self.loaded();
        let found = name.and_then(|name| loaded.find(name));
        Arc::clone(found.unwrap_or(&loaded.default))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.find(hello.server_name()))
    }
}

impl Loaded {
    fn read(files: &[CertificateFiles]) -> Result<Loaded, String> {
        // Before they are read: a file that changes meanwhile has changed afterwards, too.
        let stamps = stamps(files);
        let pairs = files.iter().map(read_pair).collect::<Result<Vec<_>, _>>()?;
        let mut by_name = HashMap::new();
        for (pair, names) in &pairs {
            for name in names {
                by_name.entry(name.clone()).or_insert_with(|| Arc::clone(pair));
            }
        }
        let first = pairs.into_iter().next();
        let (default, _) = first.ok_or("no certificate is given; name one with --tls-cert")?;
        Ok(Loaded { default, by_name, stamps })
    }

    /// The certificate for exactly this name, or else for all names beside it (RFC 9525 section
    /// 6.3).
    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let wildcard = || Some(format!("*.{}", name.split_once('.')?.1));
        self.by_name.get(&name).or_else(|| self.by_name.get(&wildcard()?))
    }
}

/// One certificate with its key, and the names that it is for.
fn read_pair(files: &CertificateFiles) -> Result<(Arc<CertifiedKey>, Vec<String>), String> {
    let CertificateFiles { certificate, key } = files;
    let chain = read_chain(certificate)?;
    let names = names(&chain[0]).map_err(|error| {
        format!("{}: its first certificate is none: {error}", show(certificate))
    })?;
    let signs = read_key(key)?;
    let provider = provider();
    let pair = CertifiedKey::from_der(chain, signs, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => format!(
            "{} is not the key of the certificate in {}; give the files of one pair, in the same \
             order",
            show(key),
            show(certificate)
        ),
        error => format!("{} with {}: {error}", show(certificate), show(key)),
    })?;
    Ok((Arc::new(pair), names))
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path)?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(format!(
            "{} has no certificate; give a PEM file with -----BEGIN CERTIFICATE-----",
            show(path)
        )),
        // The error quotes lines that it cannot read, and those may be a key's.
        Err(_) => Err(format!(
            "{} is no PEM file; write each of its lines on a line of its own",
            show(path)
        )),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = read(path)?;
    if let Ok(metadata) = fs::metadata(path) {
        warn_of_readers("private key", path, &metadata);
    }
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => format!(
            "{} has no private key; give a PEM file with -----BEGIN PRIVATE KEY----- that is not \
             encrypted",
            show(path)
        ),
        // The error quotes lines that it cannot read, and those may be the key.
        _ => format!("{} is no PEM file; write each of its lines on a line of its own", show(path)),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{} cannot be read: {error}", show(path)))
}

fn show(path: &Path) -> impl std::fmt::Display + '_ {
    path.display()
}

/// The names that a certificate is for, in lower case.
fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, webpki::Error> {
    let certificate = webpki::EndEntityCert::try_from(certificate)?;
    Ok(certificate.valid_dns_names().map(str::to_ascii_lowercase).collect())
}

/// The suites of rustls in our order, which holds whatever a client prefers: the cheapest first.
/// 128 bits are as far out of reach as 256.
pub(super) fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 0,
        _ => 1,
    });
    provider
}

fn stamps(files: &[CertificateFiles]) -> Vec<Option<Stamp>> {
    let paths = files.iter().flat_map(|files| [&files.certificate, &files.key]);
    // Links are followed: certbot and Kubernetes replace the link.
    paths.map(|path| fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata))).collect()
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_whose_mode_is_put_right_has_changed() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let folder = std::env::temp_dir().join(format!("corecast-modes-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (certificate, key) = (folder.join("pem"), folder.join("key"));
        fs::write(&certificate, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let mode = |bits| fs::set_permissions(&key, fs::Permissions::from_mode(bits)).unwrap();
        mode(0o600);
        let files = CertificateFiles { certificate, key: key.clone() };
        let certificates = Certificates::load(vec![files]).unwrap();
        assert!(!certificates.have_changed());
        let changed = |path: &Path| fs::metadata(path).map(|metadata| metadata.ctime_nsec());
        let before = changed(&key).unwrap();
        // The kernel's clock of files has steps.
        while changed(&key).unwrap() == before {
            mode(0o640);
            mode(0o600);
        }
        assert!(certificates.have_changed());
        certificates.reload().unwrap();
        assert!(!certificates.have_changed());
        fs::remove_dir_all(&folder).unwrap();
    }
}
