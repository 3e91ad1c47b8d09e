//! Which key verifies a token.

use super::BadToken;
use super::key::TokenKey;
use super::signed::SignedToken;

/// All keys that tokens may be signed by, in the order of the flags that name them.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenKeys(Vec<TokenKey>);

/// A token is tried with at most so many keys: a signature is a good deal of work, and the token
/// may be forged.
const TRIES_MAX: usize = 8;

impl TokenKeys {
    pub(crate) fn extend(&mut self, keys: &[TokenKey]) {
        self.0.extend_from_slice(keys);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses a token that none of these keys has signed.
    ///
    /// A key belongs to one family of algorithms, and only those are tried with it: a public key is
    /// never taken for a shared secret. A token that names its key (`kid`) is tried with the keys
    /// of that name, and where there is none, with those that have no name, as those of PEM files
    /// and secrets; one that does not, with all keys of its family.
    pub(super) fn verify(&self, token: &SignedToken<'_>) -> Result<(), BadToken> {
        let fits = |key: &&TokenKey| key.is_for(token.algorithm);
        let named = |key: &&TokenKey| key.id.as_deref() == token.key_id.as_deref();
        let unnamed = |key: &&TokenKey| key.id.is_none();
        let mut candidates: Vec<_> = match token.key_id {
            Some(_) => self.0.iter().filter(fits).filter(named).take(TRIES_MAX).collect(),
            None => self.0.iter().filter(fits).take(TRIES_MAX).collect(),
        };
        if candidates.is_empty() {
            candidates = self.0.iter().filter(fits).filter(unnamed).take(TRIES_MAX).collect();
        }
        if candidates.is_empty() {
            return Err(BadToken::UnknownKey);
        }
        let has_signed =
            |key: &&TokenKey| key.has_signed(token.algorithm, token.message, &token.signature);
        match candidates.iter().any(has_signed) {
            true => Ok(()),
            false => Err(BadToken::Signature),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tokens::read_key_set;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    use serde_json::json;

    const ONE: &[u8] = b"a secret that no test of others has";
    const TWO: &[u8] = b"another one that is as long as that";

    fn token(algorithm: Algorithm, kid: Option<&str>, secret: &[u8]) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        encode(&header, &json!({}), &EncodingKey::from_secret(secret)).unwrap()
    }

    fn verify(keys: &TokenKeys, token: &str) -> Result<(), BadToken> {
        keys.verify(&SignedToken::read(token).unwrap())
    }

    fn unnamed(secret: &[u8]) -> TokenKeys {
        TokenKeys(vec![TokenKey::of_secret_file(secret).unwrap()])
    }

    fn set(keys: &[(&str, Option<&str>, &[u8])]) -> Vec<TokenKey> {
        let key = |(kid, alg, secret): &(&str, Option<&str>, &[u8])| {
            let k = URL_SAFE_NO_PAD.encode(secret);
            let mut key = json!({"kty": "oct", "kid": kid, "k": k});
            alg.iter().for_each(|alg| key["alg"] = (*alg).into());
            key
        };
        let keys: Vec<_> = keys.iter().map(key).collect();
        read_key_set(json!({"keys": keys}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_secret_verifies_its_family_and_nothing_that_was_changed() {
        let keys = unnamed(ONE);
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let good = token(algorithm, None, ONE);
            assert_eq!(verify(&keys, &good), Ok(()));
            assert_eq!(verify(&unnamed(TWO), &good), Err(BadToken::Signature));
            let (message, signature) = good.rsplit_once('.').unwrap();
            for changed in [
                format!("{message}."),
                format!("{message}.AA"),
                format!("{}.{signature}", message.replacen("e30", "e31", 1)),
                format!("{message}.{}", &signature[..(signature.len() - 1) / 4 * 4]),
            ] {
                let refused = SignedToken::read(&changed).and_then(|token| keys.verify(&token));
                assert_eq!(refused, Err(BadToken::Signature), "{changed}");
            }
        }
    }

    #[test]
    fn a_token_names_its_key_or_is_tried_with_those_of_its_family() {
        let mut keys = TokenKeys::default();
        keys.extend(&set(&[("one", None, ONE), ("two", Some("HS512"), TWO)]));
        let (hs256, hs512) = (Algorithm::HS256, Algorithm::HS512);
        for (token, expected) in [
            (token(hs256, Some("one"), ONE), Ok(())),
            (token(hs512, Some("two"), TWO), Ok(())),
            (token(hs256, None, ONE), Ok(())),
            (token(hs512, None, TWO), Ok(())),
            // It is another key's name.
            (token(hs512, Some("two"), ONE), Err(BadToken::Signature)),
            // The key is for another algorithm.
            (token(hs256, Some("two"), TWO), Err(BadToken::UnknownKey)),
            (token(hs256, None, TWO), Err(BadToken::Signature)),
            (token(hs256, Some("three"), ONE), Err(BadToken::UnknownKey)),
            (token(hs256, Some(""), ONE), Err(BadToken::UnknownKey)),
            (token(hs256, Some(&"k".repeat(1 << 12)), ONE), Err(BadToken::UnknownKey)),
        ] {
            assert_eq!(verify(&keys, &token), expected, "{token}");
        }
        keys.extend(&unnamed(TWO).0);
        let named = token(hs256, Some("three"), TWO);
        assert_eq!(verify(&keys, &named), Ok(()), "a secret in a file has no name");
        let other = token(hs256, Some("one"), TWO);
        assert_eq!(verify(&keys, &other), Err(BadToken::Signature), "the name is a key's");
    }

    #[test]
    fn a_token_is_tried_with_few_keys() {
        let secrets: Vec<_> = (0..TRIES_MAX + 1).map(|n| format!("{n:0>40}")).collect();
        let mut keys = TokenKeys::default();
        secrets.iter().for_each(|secret| keys.extend(&unnamed(secret.as_bytes()).0));
        let tried = |n: usize| verify(&keys, &token(Algorithm::HS256, None, secrets[n].as_bytes()));
        assert_eq!(tried(TRIES_MAX - 1), Ok(()));
        assert_eq!(tried(TRIES_MAX), Err(BadToken::Signature));
    }

    #[test]
    fn a_secret_file_holds_a_secret() {
        let with_newline = [ONE, b"\n"].concat();
        assert_eq!(verify(&unnamed(&with_newline), &token(Algorithm::HS256, None, ONE)), Ok(()));
        let with_crlf = [ONE, b"\r\n"].concat();
        assert_eq!(verify(&unnamed(&with_crlf), &token(Algorithm::HS256, None, ONE)), Ok(()));
        let two_newlines = [ONE, b"\n\n"].concat();
        let refused = verify(&unnamed(&two_newlines), &token(Algorithm::HS256, None, ONE));
        assert_eq!(refused, Err(BadToken::Signature), "one end of a line is not the secret's");
        for (text, words) in [
            ("", "0 bytes"),
            ("short\n", "5 bytes"),
            ("-----BEGIN PUBLIC KEY-----\nAAAAAAAAAAAAAAAAAAAAAA", "--jwt-key-file"),
        ] {
            let refused = TokenKey::of_secret_file(text.as_bytes()).unwrap_err();
            assert!(refused.contains(words) && !refused.contains("short"), "{refused}");
        }
    }

    #[test]
    fn what_is_no_public_key_in_pem_is_refused_in_words() {
        for (text, words) in [
            ("", "no public key in PEM"),
            (
                "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
                "no public key in PEM",
            ),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "openssl pkey"),
            ("-----BEGIN RSA PRIVATE KEY-----\n", "openssl pkey"),
            ("-----BEGIN CERTIFICATE-----\n", "openssl x509"),
            ("-----BEGIN PUBLIC KEY-----\n-----BEGIN PUBLIC KEY-----\n", "more than one key"),
        ] {
            let refused = TokenKey::of_pem(text.as_bytes()).unwrap_err();
            assert!(refused.contains(words), "{words}: {refused}");
        }
        assert!(TokenKey::of_pem(b"\xff").is_err());
    }
}
