//! One key that tokens may be signed by.

use std::fmt;

use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};

/// A key that tokens may be signed by: a shared secret, or the public half of a pair. It belongs to
/// one family of algorithms, and verifies no signature of another.
#[derive(Clone)]
pub(crate) struct TokenKey {
    pub(super) id: Option<Box<str>>,
    /// The one algorithm that it is meant for, if its file says so.
    only: Option<Algorithm>,
    key: DecodingKey,
}

/// A secret that is shorter can be guessed (RFC 7518 section 3.2).
pub(super) const SECRET_BYTES_MIN: usize = 32;

/// The sizes of RSA keys that are verified with (RFC 7518 section 3.3).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// An uncompressed point of P-256, and an Ed25519 public key (RFC 8032 section 5.1.5).
const P256_BYTES: usize = 65;
const ED25519_BYTES: usize = 32;

impl TokenKey {
    /// The secret in a file: all of its bytes, but for one end of a line behind them.
    pub(crate) fn of_secret_file(bytes: &[u8]) -> Result<TokenKey, String> {
        if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Err("it holds a PEM key and no secret; give it with --jwt-key-file".to_owned());
        }
        let secret = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        TokenKey::checked(DecodingKey::from_secret(secret))
    }

    /// The public key in a PEM file.
    pub(crate) fn of_pem(bytes: &[u8]) -> Result<TokenKey, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| NO_PEM.to_owned())?;
        match text.matches("-----BEGIN ").count() {
            1 => {}
            0 => return Err(NO_PEM.to_owned()),
            _ => {
                return Err("it holds more than one key; give each its own file, with a flag each"
                    .to_owned());
            }
        }
        if text.contains("PRIVATE KEY-----") {
            return Err("it holds a private key, which a server has no need of; write the public \
                        one: openssl pkey -in FILE -pubout"
                .to_owned());
        }
        if text.contains("BEGIN CERTIFICATE-----") {
            return Err("it holds a certificate; write its key: openssl x509 -in FILE -pubkey \
                        -noout"
                .to_owned());
        }
        let families =
            [DecodingKey::from_rsa_pem, DecodingKey::from_ec_pem, DecodingKey::from_ed_pem];
        let key = families.into_iter().find_map(|read| read(bytes).ok());
        TokenKey::checked(key.ok_or_else(|| NO_PEM.to_owned())?)
    }

    /// A key that is as strong as it must be.
    pub(super) fn checked(key: DecodingKey) -> Result<TokenKey, String> {
        let bytes = key.try_get_as_bytes().map_or(0, <[u8]>::len);
        match key.family() {
            AlgorithmFamily::Hmac if bytes < SECRET_BYTES_MIN => {
                return Err(format!(
                    "the secret has {bytes} bytes; it must have at least {SECRET_BYTES_MIN}, or it \
                     can be guessed: openssl rand -hex 32"
                ));
            }
            AlgorithmFamily::Rsa => {
                let bits = rsa_bits(&key).ok_or("its RSA key cannot be read")?;
                if !RSA_BITS.contains(&bits) {
                    return Err(format!(
                        "its RSA key has {bits} bits; it must have {} to {}",
                        RSA_BITS.start(),
                        RSA_BITS.end()
                    ));
                }
            }
            AlgorithmFamily::Ec if bytes != P256_BYTES => {
                return Err("its EC key is none of the curve P-256, which ES256 needs".to_owned());
            }
            AlgorithmFamily::Ed if bytes != ED25519_BYTES => {
                return Err("its key is none of the curve Ed25519, which EdDSA needs".to_owned());
            }
            _ => {}
        }
        Ok(TokenKey { id: None, only: None, key })
    }

    /// The same key with a name, and the one algorithm that it is meant for.
    pub(super) fn named(self, id: Option<Box<str>>, only: Option<Algorithm>) -> TokenKey {
        TokenKey { id, only, ..self }
    }

    /// Whether it may have signed what is signed by this algorithm.
    pub(super) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.key.family() == algorithm.family() && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether it has signed this message by this algorithm. A shared secret takes the same time
    /// whatever the signature is.
    pub(super) fn has_signed(
        &self,
        algorithm: Algorithm,
        message: &str,
        signature: &Vec<u8>,
    ) -> bool {
        // Not the default of the library, which depends on what the whole program is built with.
        let verifier = (DEFAULT_PROVIDER.verifier_factory)(&algorithm, &self.key);
        self.is_for(algorithm)
            && verifier.is_ok_and(|verifier| verifier.verify(message.as_bytes(), signature).is_ok())
    }
}

const NO_PEM: &str = "it holds no public key in PEM that is RSA, EC of P-256, or Ed25519; it begins \
                      with -----BEGIN PUBLIC KEY-----";

fn rsa_bits(key: &DecodingKey) -> Option<usize> {
    let components = DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key;
    let modulus = match key.kind() {
        DecodingKeyKind::SecretOrDer(der) => components(der).ok()?.0,
        DecodingKeyKind::RsaModulusExponent { n, .. } => n.clone(),
    };
    let first = modulus.iter().position(|byte| *byte != 0)?;
    let significant = &modulus[first..];
    Some(significant.len() * 8 - significant[0].leading_zeros() as usize)
}

/// Says nothing of the key itself.
impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey")
            .field("id", &self.id)
            .field("family", &self.key.family())
            .finish_non_exhaustive()
    }
}
