//! One key that tokens may be signed by.

use std::fmt;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents,
};
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};

use super::secret;

/// A key that tokens may be signed by: a shared secret, or the public half of a pair. It belongs to
/// one family of algorithms, and verifies no signature of another.
#[derive(Clone)]
pub(crate) struct TokenKey {
    pub(super) id: Option<Box<str>>,
    /// The one algorithm that it is meant for, if its file says so.
    only: Option<Algorithm>,
    key: DecodingKey,
}

/// The sizes of RSA keys that are verified with (RFC 7518 section 3.3).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

impl TokenKey {
    /// The secret in a file: see [`secret::of_file`].
    pub(crate) fn of_secret_file(bytes: &[u8]) -> Result<TokenKey, String> {
        TokenKey::checked(DecodingKey::from_secret(secret::of_file(bytes)?))
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

    /// A key that is as strong as it must be, and that signatures can be verified with.
    pub(super) fn checked(key: DecodingKey) -> Result<TokenKey, String> {
        match key.family() {
            AlgorithmFamily::Hmac => secret::check(key.try_get_as_bytes().unwrap_or_default())?,
            AlgorithmFamily::Rsa => check_rsa_size(&key)?,
            AlgorithmFamily::Ec | AlgorithmFamily::Ed => {}
        }
        match verifies(&key) {
            true => Ok(TokenKey { id: None, only: None, key }),
            false => Err(match key.family() {
                AlgorithmFamily::Ec => "its EC key is none of the curve P-256, which ES256 needs",
                AlgorithmFamily::Ed => "its key is none of the curve Ed25519, which EdDSA needs",
                _ => {
                    "its RSA key is none: modulus and exponent must be odd, with no zero bytes \
                     before them, and the exponent from 3 on with 33 bits at most"
                }
            }
            .to_owned()),
        }
    }

    /// The same key with a name, and the one algorithm that it is meant for.
    pub(super) fn named(self, id: Option<Box<str>>, only: Option<Algorithm>) -> TokenKey {
        TokenKey { id, only, ..self }
    }

    /// Whether tokens can be signed by it, too.
    pub(crate) fn is_secret(&self) -> bool {
        self.key.family() == AlgorithmFamily::Hmac
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

/// Whether signatures can be verified with a key: a point that is not on the curve, for example, has
/// the form of a key, and would verify none.
fn verifies(key: &DecodingKey) -> bool {
    let rsa = &RSA_PKCS1_2048_8192_SHA256;
    let parsed = match (key.family(), key.kind()) {
        (AlgorithmFamily::Hmac, _) => return true,
        (AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            // The numbers are judged where they are read.
            let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(rsa);
            key.and_then(|key| ParsedPublicKey::new(rsa, key))
        }
        (AlgorithmFamily::Rsa, DecodingKeyKind::SecretOrDer(der)) => ParsedPublicKey::new(rsa, der),
        (AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(point)) => {
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
        }
        (AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(point)) => {
            ParsedPublicKey::new(&ED25519, point)
        }
        (_, DecodingKeyKind::RsaModulusExponent { .. }) => return false,
    };
    parsed.is_ok()
}

fn check_rsa_size(key: &DecodingKey) -> Result<(), String> {
    let bits = rsa_bits(key).ok_or("its RSA key cannot be read")?;
    match RSA_BITS.contains(&bits) {
        true => Ok(()),
        false => Err(format!(
            "its RSA key has {bits} bits; it must have {} to {}",
            RSA_BITS.start(),
            RSA_BITS.end()
        )),
    }
}

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
