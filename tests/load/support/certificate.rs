//! Certificates for servers that are measured with TLS.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};

/// A certificate that signs itself, and its key, as files that are gone at the end of the test.
pub(crate) struct Certificate {
    directory: PathBuf,
}

/// What is wrong with a certificate for 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    /// It is for another name.
    Name,
    Expired,
    /// It is an authority's own.
    Authority,
}

impl Certificate {
    pub(crate) fn new(fault: Fault) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let nth = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("corecast-load-tls-{}-{nth}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let host = if fault == Fault::Name { "other.example" } else { "127.0.0.1" };
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        // None is taken for the authority of another.
        params.distinguished_name.push(DnType::CommonName, format!("{host} {nth}"));
        match fault {
            Fault::Expired => params.not_after = date_time_ymd(2001, 1, 1),
            Fault::Authority => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            Fault::Nothing | Fault::Name => {}
        }
        let key = KeyPair::generate().unwrap();
        let certificate = Self { directory };
        fs::write(certificate.file(), params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(certificate.key(), key.serialize_pem()).unwrap();
        certificate
    }

    pub(crate) fn file(&self) -> String {
        self.path("server.pem")
    }

    pub(crate) fn key(&self) -> String {
        self.path("server.key")
    }

    /// A file beside it.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
