//! How handshakes go: one configuration for all shards.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, crypto};

use super::certificates::{CertificateFiles, Certificates, provider};
use super::session::TlsSession;

/// TLS of one server.
#[derive(Debug)]
pub(crate) struct Tls {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    reloads: AtomicU64,
    reload_failures: AtomicU64,
}

impl Tls {
    /// Reads the certificates. The error says what is wrong, and what to do.
    pub(crate) fn new(files: &[CertificateFiles]) -> Result<Tls, String> {
        let certificates = Arc::new(Certificates::load(files.to_vec())?);
        let config = config(&certificates).map_err(|error| error.to_string())?;
        let (reloads, reload_failures) = Default::default();
        Ok(Tls { config: Arc::new(config), certificates, reloads, reload_failures })
    }

    /// The session of a connection that has just been accepted.
    pub(crate) fn accept(&self) -> Box<TlsSession> {
        let connection = UnbufferedServerConnection::new(Arc::clone(&self.config));
        Box::new(TlsSession::new(connection.expect("the configuration is legal for a server")))
    }

    /// Reads the certificates again. What is wrong with one keeps all of the old ones, and is
    /// logged.
    pub(crate) fn reload(&self) {
        match self.certificates.reload() {
            Ok(()) => {
                self.reloads.fetch_add(1, Ordering::Relaxed);
                tracing::info!("TLS certificates were read again");
            }
            Err(reason) => {
                self.reload_failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!("TLS certificates stay as they were: {reason}");
            }
        }
    }

    /// The same if a file has changed since it was read.
    pub(crate) fn reload_if_changed(&self) {
        if self.certificates.have_changed() {
            self.reload();
        }
    }

    /// How often certificates were read again, and how often that failed.
    pub(crate) fn reloads(&self) -> (u64, u64) {
        (self.reloads.load(Ordering::Relaxed), self.reload_failures.load(Ordering::Relaxed))
    }
}

/// TLS 1.3 and 1.2 for HTTP/1.1. One ticket is enough for a client that comes back, and early data
/// could be replayed, so that there is none. Sessions are resumed by tickets alone: their key is
/// shared by all shards, and a server that remembers sessions would need memory for each. The order
/// of suites is ours.
fn config(certificates: &Arc<Certificates>) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()));
    let mut config = builder
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(certificates) as Arc<_>);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = crypto::aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    config.ignore_client_order = true;
    Ok(config)
}
