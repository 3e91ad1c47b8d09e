//! Keys in a JSON Web Key Set (RFC 7517 section 5).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::Value;

use super::key::TokenKey;
use super::{signed, unique};

/// Keys of one set. An issuer publishes a few.
const KEYS_MAX: usize = 256;

/// Bytes of a key's `kid`.
const KEY_ID_BYTES_MAX: usize = 256;

/// Members that only a private key has (RFC 7518 section 6).
const PRIVATE_MEMBERS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// The keys of a set that can verify tokens here. Keys for other purposes and of other kinds are
/// passed over, as section 5 asks; one that is weak, malformed or private is an error.
pub(crate) fn read(text: &[u8]) -> Result<Vec<TokenKey>, String> {
    let set =
        unique::object(text).ok_or("it is no JSON object in which each member stands once")?;
    let Some(Value::Array(items)) = set.get("keys") else {
        return Err("it is no JWK set: an object with an array named keys".to_owned());
    };
    if items.len() > KEYS_MAX {
        return Err(format!("it holds {} keys; at most {KEYS_MAX} are taken", items.len()));
    }
    let mut keys = Vec::new();
    for (index, item) in items.iter().enumerate() {
        keys.extend(key(item).map_err(|reason| format!("key {}: {reason}", index + 1))?);
    }
    match keys.is_empty() {
        true => {
            Err("it holds no key that verifies HS256, HS384, HS512, RS256, ES256 or EdDSA"
                .to_owned())
        }
        false => Ok(keys),
    }
}

/// One key of a set; none when it is for something else.
fn key(item: &Value) -> Result<Option<TokenKey>, String> {
    if PRIVATE_MEMBERS.iter().any(|member| item.get(member).is_some()) {
        return Err("it is private; a server needs the public members alone".to_owned());
    }
    // The library's errors may quote what they cannot read, and that may be a secret.
    let jwk: Jwk = serde_json::from_value(item.clone()).map_err(|_| NO_KEY)?;
    let Some(only) = purpose(&jwk) else { return Ok(None) };
    if !is_of_known_kind(&jwk.algorithm, item)? {
        return Ok(None);
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| NO_KEY)?;
    if only.is_some_and(|only: Algorithm| only.family() != key.family()) {
        return Err("its alg and its kty do not fit each other".to_owned());
    }
    let id = jwk.common.key_id.map(String::into_boxed_str);
    if id.as_ref().is_some_and(|id| id.len() > KEY_ID_BYTES_MAX) {
        return Err(format!("its kid is longer than {KEY_ID_BYTES_MAX} bytes"));
    }
    let is_ec = key.family() == AlgorithmFamily::Ec;
    let key = TokenKey::checked(key).map_err(|reason| match is_ec {
        true => "its coordinates are none of the curve P-256".to_owned(),
        false => reason,
    })?;
    Ok(Some(key.named(id, only)))
}

const NO_KEY: &str = "it is no JSON Web Key with all the members that its kind needs";

/// The one algorithm that a key is for, if it says so; none when it is not for verifying tokens
/// here.
fn purpose(jwk: &Jwk) -> Option<Option<Algorithm>> {
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature);
    let operations = common.key_operations.as_ref();
    let verifies = operations.is_none_or(|some| some.contains(&KeyOperations::Verify));
    if !signs || !verifies {
        return None;
    }
    match common.key_algorithm {
        None => Some(None),
        Some(named) => signed::algorithm(&named.to_string()).map(Some),
    }
}

/// Whether a key is of a kind that is verified with here. One that says so and lacks members is
/// an error.
fn is_of_known_kind(parameters: &AlgorithmParameters, item: &Value) -> Result<bool, String> {
    Ok(match parameters {
        AlgorithmParameters::RSA(_) | AlgorithmParameters::OctetKey(_) => true,
        AlgorithmParameters::EllipticCurve(ec) => ec.curve == EllipticCurve::P256,
        AlgorithmParameters::OctetKeyPair(pair) => pair.curve == EllipticCurve::Ed25519,
        _ => {
            let member = |name| item.get(name).and_then(Value::as_str);
            let known = match member("kty") {
                Some("RSA" | "oct") => true,
                Some("EC") => member("crv") == Some("P-256"),
                Some("OKP") => member("crv") == Some("Ed25519"),
                Some(_) => false,
                None => true,
            };
            if known {
                return Err(NO_KEY.to_owned());
            }
            false
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The samples of RFC 7517 appendix A.1, RFC 8037 appendix A.2 and RFC 7515 appendix A.1.1.
    fn samples() -> [Value; 4] {
        [
            json!({"kty": "EC", "crv": "P-256", "kid": "ec",
                "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
                "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}),
            json!({"kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "rsa",
                "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR\
                      1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0\
                      h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91\
                      CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44\
                      -csFCur-kEgU8awapJzKnqDKgw"}),
            json!({"kty": "OKP", "crv": "Ed25519",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
            json!({"kty": "oct", "kid": "secret", "alg": "HS256",
                "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1\
                      Z9CAow"}),
        ]
    }

    fn with(mut key: Value, member: &str, value: Value) -> Value {
        key[member] = value;
        key
    }

    fn read_keys(keys: &[Value]) -> Result<Vec<TokenKey>, String> {
        read(json!({"keys": keys}).to_string().as_bytes())
    }

    #[test]
    fn each_key_keeps_its_id_and_its_algorithm() {
        let keys = read_keys(&samples()).expect("all of them are good");
        let ids: Vec<_> = keys.iter().map(|key| key.id.as_deref()).collect();
        assert_eq!(ids, [Some("ec"), Some("rsa"), None, Some("secret")]);
        let algorithms = [
            Algorithm::ES256,
            Algorithm::RS256,
            Algorithm::EdDSA,
            Algorithm::HS256,
            Algorithm::HS384,
        ];
        for (key, expected) in keys.iter().zip(algorithms) {
            let fits = algorithms.into_iter().filter(|algorithm| key.is_for(*algorithm));
            assert_eq!(fits.collect::<Vec<_>>(), [expected], "{key:?}");
        }
    }

    #[test]
    fn keys_for_something_else_are_passed_over() {
        let [ec, rsa, ed, secret] = samples();
        let others = [
            with(rsa.clone(), "use", json!("enc")),
            with(rsa.clone(), "alg", json!("RSA-OAEP")),
            with(rsa.clone(), "alg", json!("PS256")),
            with(rsa.clone(), "alg", json!("XX")),
            with(ed.clone(), "crv", json!("X25519")),
            with(ec.clone(), "crv", json!("P-521")),
            with(ec, "key_ops", json!(["deriveKey"])),
            json!({"kty": "AKP", "pub": "x"}),
        ];
        for other in others {
            let refused = read_keys(std::slice::from_ref(&other)).expect_err("it is the only one");
            assert!(refused.contains("holds no key"), "{refused}");
            let keys = read_keys(&[other.clone(), secret.clone()]).expect("one is good");
            assert_eq!(keys.len(), 1, "{other}");
        }
        let stated = with(with(rsa, "use", json!("sig")), "key_ops", json!(["verify"]));
        assert_eq!(read_keys(&[stated]).map(|keys| keys.len()), Ok(1));
    }

    #[test]
    fn what_is_weak_malformed_or_private_is_an_error() {
        let [ec, rsa, ed, secret] = samples();
        for (key, words) in [
            (with(rsa.clone(), "n", json!("0vx7agoebGcQSuuPiLJXZptN9nndrQmb")), "bits"),
            (with(rsa.clone(), "n", json!("a b")), "no JSON Web Key"),
            (with(rsa.clone(), "d", json!("AQAB")), "private"),
            (with(rsa.clone(), "alg", json!("HS256")), "do not fit"),
            (with(rsa, "kid", json!("k".repeat(257))), "longer than 256"),
            (with(secret.clone(), "k", json!("c2hvcnQ")), "5 bytes"),
            (with(ed, "x", json!("AQAB")), "Ed25519"),
            (with(ec, "x", json!("AQAB")), "P-256"),
            (json!({"kty": "RSA", "e": "AQAB"}), "all the members"),
            (json!({"kty": "oct"}), "all the members"),
            (json!({"k": "AQAB"}), "all the members"),
            (json!(7), "no JSON Web Key"),
        ] {
            let refused = read_keys(&[secret.clone(), key]).expect_err(words);
            assert!(refused.contains("key 2") && refused.contains(words), "{words}: {refused}");
            assert!(!refused.contains("c2hvcnQ"), "no part of a secret is shown: {refused}");
        }
        let many = vec![secret; KEYS_MAX + 1];
        assert!(read_keys(&many).expect_err("too many").contains("257 keys"));
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#, r#"{"keys":[]}"#]
        {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
