//! What a JWT looks like: the parts of its compact form (RFC 7515 section 7.1), not yet believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::{BadToken, unique};

/// A token in its parts. Nothing in it is to be believed before a key has verified the signature.
pub(super) struct SignedToken<'a> {
    pub(super) algorithm: Algorithm,
    /// The key that it says it is signed by.
    pub(super) key_id: Option<String>,
    /// What is signed: header and claims in base64.
    pub(super) message: &'a str,
    /// The claims in base64.
    claims: &'a str,
    pub(super) signature: Vec<u8>,
}

/// A token has at most so many bytes: more do not fit into the head of a request either.
pub(super) const TOKEN_BYTES_MAX: usize = 16 << 10;

impl<'a> SignedToken<'a> {
    pub(super) fn read(token: &'a str) -> Result<SignedToken<'a>, BadToken> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(BadToken::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(BadToken::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(BadToken::Malformed)?;
        let header = unique::object(&decode(header)?).ok_or(BadToken::Malformed)?;
        // Whatever is critical is not understood here (RFC 7515 section 4.1.11).
        if header.contains_key("crit") {
            return Err(BadToken::Malformed);
        }
        let name = header.get("alg").and_then(Value::as_str).ok_or(BadToken::Malformed)?;
        let algorithm = algorithm(name).ok_or(BadToken::Algorithm)?;
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(BadToken::Malformed),
        };
        let signature = decode(signature)?;
        Ok(SignedToken { algorithm, key_id, message, claims, signature })
    }

    /// The bytes of the claims.
    pub(super) fn claims(&self) -> Result<Vec<u8>, BadToken> {
        decode(self.claims)
    }
}

/// The algorithms that are spoken here (RFC 7518 section 3.1, RFC 8037 section 3.1). Their names
/// have a case.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "HS256" => Algorithm::HS256,
        "HS384" => Algorithm::HS384,
        "HS512" => Algorithm::HS512,
        "RS256" => Algorithm::RS256,
        "ES256" => Algorithm::ES256,
        "EdDSA" => Algorithm::EdDSA,
        _ => return None,
    })
}

/// Base64 in the one spelling that a JWT may have: without padding and stray bits.
fn decode(part: &str) -> Result<Vec<u8>, BadToken> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| BadToken::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    fn judged(header: &str) -> Result<Option<String>, BadToken> {
        let token = format!("{}.e30.AA", encode(header));
        SignedToken::read(&token).map(|token| token.key_id)
    }

    #[test]
    fn a_token_has_three_parts() {
        let header = encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let token = format!("{header}.e30.AAEC");
        let read = SignedToken::read(&token).expect("it is one");
        assert_eq!((read.algorithm, read.key_id), (Algorithm::HS256, None));
        assert_eq!((read.message, &*read.signature), (&*format!("{header}.e30"), &[0, 1, 2][..]));
        let long = "A".repeat(TOKEN_BYTES_MAX);
        for token in [
            "",
            ".",
            "..",
            "e30",
            "e30.e30",
            &header,
            &format!("{header}.e30"),
            &format!("{header}.e30.AA.AA"),
            &format!("{header}.e30.AAEC="),
            &format!("{header}.e30.AAE="),
            &format!("{header}.e30.AB"),
            &format!("{header}=.e30.AAEC"),
            &format!("{header}.e30.AA+/"),
            &format!(" {header}.e30.AAEC"),
            &format!("{header}.e30.AAEC\n"),
            &format!("{header}.e30.{long}"),
        ] {
            let refused = SignedToken::read(token).map(|_| ());
            assert!(refused.is_err() || token.ends_with("AA.AA"), "{token}");
        }
        let nested = format!("{header}.e30.AA.AA");
        assert!(SignedToken::read(&nested).is_ok_and(|token| token.claims().is_err()));
        let bad = format!("{header}.e3=0.AAEC");
        assert!(SignedToken::read(&bad).is_ok_and(|token| token.claims().is_err()));
    }

    #[test]
    fn a_header_names_an_algorithm_that_is_spoken_here() {
        for name in ["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"] {
            assert_eq!(judged(&format!(r#"{{"alg":"{name}"}}"#)), Ok(None));
        }
        for name in ["none", "None", "NONE", "", "hs256", "HS256 ", "RS384", "PS256", "ES384"] {
            let refused = judged(&format!(r#"{{"alg":"{name}"}}"#));
            assert_eq!(refused, Err(BadToken::Algorithm), "{name}");
        }
    }

    #[test]
    fn what_a_header_must_not_say_is_refused() {
        assert_eq!(judged(r#"{"alg":"HS256","kid":"k"}"#), Ok(Some("k".to_owned())));
        for header in [
            r#"{}"#,
            r#"[]"#,
            r#"{"alg":null}"#,
            r#"{"alg":["HS256"]}"#,
            r#"{"alg":"HS256","alg":"none"}"#,
            r#"{"alg":"HS256","kid":7}"#,
            r#"{"alg":"HS256","kid":null}"#,
            r#"{"alg":"HS256","crit":["exp"]}"#,
            r#"{"alg":"HS256","crit":[]}"#,
            r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
            r#"{"alg":"HS256"} "#,
        ] {
            let accepted = header.ends_with(' ');
            assert_eq!(judged(header).is_ok(), accepted, "{header}");
        }
    }
}
