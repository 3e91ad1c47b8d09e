//! Which certificates of a server are believed.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::args::CommonArgs;
use super::target::Target;

/// What all connections to a `wss://` address have in common.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) config: Arc<ClientConfig>,
    /// The name that the certificate must be for.
    pub(crate) name: ServerName<'static>,
    /// Any certificate is believed.
    pub(crate) is_blind: bool,
}

impl Trust {
    /// `None` for `ws://`. The error says which file or flag is wrong.
    pub(crate) fn new(target: &Target, args: &CommonArgs) -> Result<Option<Self>, String> {
        if !target.is_tls {
            return match args.ca.is_some() || args.insecure {
                true => Err("--ca and --insecure are for wss:// addresses".to_owned()),
                false => Ok(None),
            };
        }
        let host = target.host();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("{host} is no name that a certificate can be for"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match args.insecure {
            true => {
                let verifier = Arc::new(AnyCertificate(provider));
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
            false => builder.with_root_certificates(authorities(args.ca.as_deref())?),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Each connection stands for another client: none comes back with the ticket of one before.
        config.resumption = Resumption::disabled();
        Ok(Some(Self { config: Arc::new(config), name, is_blind: args.insecure }))
    }
}

/// The authorities in a file, or else those of this machine.
fn authorities(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let Some(path) = file else {
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        return match store.is_empty() {
            true => Err("this machine has no list of authorities; give one with --ca FILE, or \
                         --insecure"
                .to_owned()),
            false => Ok(store),
        };
    };
    let show = path.display();
    let pem =
        std::fs::read(path).map_err(|error| format!("--ca {show} cannot be read: {error}"))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate =
            certificate.map_err(|error| format!("--ca {show} is no PEM file: {error}"))?;
        store.add(certificate).map_err(|error| format!("--ca {show}: {error}"))?;
    }
    match store.is_empty() {
        true => Err(format!(
            "--ca {show} has no certificate; give a PEM file with -----BEGIN CERTIFICATE-----"
        )),
        false => Ok(store),
    }
}

/// Believes every certificate. That the server has its key is still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
