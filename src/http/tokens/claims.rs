//! What a token says, once it is believed (RFC 7519 section 4).

use std::time::Duration;

use serde_json::{Map, Value};

use super::{BadToken, unique};
use crate::values::Claims;

/// What every token must say to be accepted, beside its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimRules {
    /// A token must be for one of them; one that names an audience is refused where there are none.
    pub(crate) audiences: Vec<String>,
    /// A token must come from one of them, if there are any.
    pub(crate) issuers: Vec<String>,
    /// How far the clocks of issuer and server may be apart.
    pub(crate) leeway: Duration,
}

/// Default of [`ClaimRules::leeway`].
const LEEWAY: Duration = Duration::from_secs(60);

impl Default for ClaimRules {
    fn default() -> ClaimRules {
        ClaimRules { audiences: Vec::new(), issuers: Vec::new(), leeway: LEEWAY }
    }
}

/// What a token says that was accepted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TokenClaims {
    /// All claims as they stand.
    pub(crate) all: Claims,
    /// Until when a connection may stay that brought it, in seconds since 1970; none is for ever.
    pub(crate) until: Option<f64>,
}

/// Patterns of the claim `cast`.
const PATTERNS_MAX: usize = 1024;

/// Bytes of a `sub` and of a `jti`, of which each connection keeps a copy.
const NAME_BYTES_MAX: usize = 256;

impl TokenClaims {
    /// Reads the claims of a token whose signature was verified, and judges them at this time, which
    /// is counted from 1970.
    pub(super) fn read(
        text: &[u8],
        rules: &ClaimRules,
        now: Duration,
    ) -> Result<TokenClaims, BadToken> {
        let all = unique::object(text).ok_or(BadToken::Claim(
            "the token's claims are no JSON object in which each member stands once".into(),
        ))?;
        let (now, leeway) = (now.as_secs_f64(), rules.leeway.as_secs_f64());
        let expires = time(&all, "exp")?;
        if expires.is_some_and(|expires| now >= expires + leeway) {
            return Err(BadToken::Expired);
        }
        if time(&all, "nbf")?.is_some_and(|begin| now + leeway < begin) {
            return Err(BadToken::NotYetValid);
        }
        judge_audience(all.get("aud"), &rules.audiences)?;
        judge_issuer(all.get("iss"), &rules.issuers)?;
        for name in ["sub", "jti"] {
            judge_name(all.get(name), name)?;
        }
        judge_size(all.get("cast"))?;
        // The leeway is for tokens that are expired already by this clock. For others the end is
        // what they say.
        let until = |end: f64| if now < end { end } else { end + leeway };
        Ok(TokenClaims { all: Claims::of_members(all), until: expires.map(until) })
    }
}

fn claim_error(what: impl Into<String>) -> BadToken {
    BadToken::Claim(what.into().into())
}

/// A time in seconds since 1970, which may have a fraction (section 2, NumericDate).
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, BadToken> {
    let error = || claim_error(format!("the token's claim {name} must be a number of seconds"));
    claims.get(name).map(|value| value.as_f64().ok_or_else(error)).transpose()
}

/// One string or several.
fn strings(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(one) => Some(vec![one]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// A token for others must not be accepted, nor one that is for anybody in particular where the
/// server has no name (section 4.1.3).
fn judge_audience(claim: Option<&Value>, known: &[String]) -> Result<(), BadToken> {
    let Some(claim) = claim else {
        return if known.is_empty() { Ok(()) } else { Err(BadToken::Audience) };
    };
    let named = strings(claim)
        .ok_or_else(|| claim_error("the token's claim aud must be a string or an array of them"))?;
    let is_known = named.iter().any(|name| known.iter().any(|known| known == name));
    match is_known {
        true => Ok(()),
        false if known.is_empty() => Err(BadToken::AudienceUnexpected),
        false => Err(BadToken::Audience),
    }
}

fn judge_issuer(claim: Option<&Value>, known: &[String]) -> Result<(), BadToken> {
    if known.is_empty() {
        return Ok(());
    }
    let issuer = claim.and_then(Value::as_str).ok_or(BadToken::Issuer)?;
    if known.iter().any(|known| known == issuer) { Ok(()) } else { Err(BadToken::Issuer) }
}

fn judge_name(claim: Option<&Value>, name: &str) -> Result<(), BadToken> {
    match claim {
        None => Ok(()),
        Some(Value::String(text)) if (1..=NAME_BYTES_MAX).contains(&text.len()) => Ok(()),
        Some(_) => Err(claim_error(format!(
            "the token's claim {name} must be a string of 1 to {NAME_BYTES_MAX} bytes"
        ))),
    }
}

/// Patterns are kept for as long as a connection lives, and each costs a look per command.
fn judge_size(cast: Option<&Value>) -> Result<(), BadToken> {
    let lists = cast.and_then(Value::as_object).into_iter().flatten();
    let lists = lists.filter(|(name, _)| *name != "info").filter_map(|(_, list)| list.as_array());
    let patterns: usize = lists.map(Vec::len).sum();
    match patterns <= PATTERNS_MAX {
        true => Ok(()),
        false => Err(claim_error(format!(
            "the token's claim cast has {patterns} patterns; at most {PATTERNS_MAX} are allowed"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: f64 = 1_000_000.0;

    fn judge(claims: &Value, rules: &ClaimRules) -> Result<TokenClaims, BadToken> {
        let now = Duration::from_secs_f64(NOW);
        TokenClaims::read(claims.to_string().as_bytes(), rules, now)
    }

    fn rules(audiences: &[&str], issuers: &[&str]) -> ClaimRules {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ClaimRules { audiences: owned(audiences), issuers: owned(issuers), ..ClaimRules::default() }
    }

    #[test]
    fn a_token_is_valid_up_to_its_end_and_the_leeway() {
        for (claims, expected) in [
            (json!({}), Ok(None)),
            (json!({"exp": NOW + 1.0}), Ok(Some(NOW + 1.0))),
            (json!({"exp": NOW + 0.25}), Ok(Some(NOW + 0.25))),
            // What is left of the leeway.
            (json!({"exp": NOW - 59.5}), Ok(Some(NOW + 0.5))),
            (json!({"exp": NOW - 60.0}), Err(BadToken::Expired)),
            (json!({"exp": 0}), Err(BadToken::Expired)),
            (json!({"exp": -1.0e300}), Err(BadToken::Expired)),
            (json!({"exp": 1.0e300}), Ok(Some(1.0e300))),
            (json!({"exp": u64::MAX}), Ok(Some(u64::MAX as f64))),
            (json!({"nbf": NOW + 60.0}), Ok(None)),
            (json!({"nbf": NOW + 60.5}), Err(BadToken::NotYetValid)),
            (json!({"nbf": NOW + 60.5, "exp": 0}), Err(BadToken::Expired)),
        ] {
            let judged = judge(&claims, &ClaimRules::default()).map(|claims| claims.until);
            assert_eq!(judged, expected, "{claims}");
        }
        let strict = ClaimRules { leeway: Duration::ZERO, ..ClaimRules::default() };
        assert_eq!(judge(&json!({"exp": NOW}), &strict), Err(BadToken::Expired));
        let lax = ClaimRules { leeway: Duration::MAX, ..ClaimRules::default() };
        assert!(judge(&json!({"exp": -5, "nbf": 1.0e10}), &lax).is_ok());
    }

    #[test]
    fn a_claim_of_the_wrong_type_is_not_taken_for_an_absent_one() {
        for claims in [
            json!({"exp": "1000001"}),
            json!({"exp": null}),
            json!({"exp": [NOW]}),
            json!({"nbf": "0"}),
            json!({"nbf": true}),
            json!({"aud": 7}),
            json!({"aud": ["a", 7]}),
            json!({"aud": null}),
            json!({"sub": 7}),
            json!({"sub": ""}),
            json!({"sub": "s".repeat(257)}),
            json!({"jti": {}}),
        ] {
            let refused = judge(&claims, &rules(&[], &[])).expect_err("it is refused");
            let name = claims.as_object().and_then(|all| all.keys().next()).expect("one claim");
            assert!(matches!(&refused, BadToken::Claim(_)), "{claims}: {refused:?}");
            assert!(refused.message().contains(name), "{claims}: {}", refused.message());
        }
        for text in ["[]", "\"jwt\"", r#"{"sub":"a","sub":"b"}"#, "eyJhbGciOiJIUzI1NiJ9.e30.AA"] {
            let refused = TokenClaims::read(text.as_bytes(), &rules(&[], &[]), Duration::ZERO);
            assert!(matches!(refused, Err(BadToken::Claim(_))), "{text}");
        }
    }

    #[test]
    fn a_token_names_an_audience_and_an_issuer_that_are_known() {
        let (none, two) = (rules(&[], &[]), rules(&["chat", "news"], &[]));
        for (claims, for_none, for_two) in [
            (json!({}), true, false),
            (json!({"aud": "chat"}), false, true),
            (json!({"aud": ["other", "news"]}), false, true),
            (json!({"aud": "other"}), false, false),
            (json!({"aud": "Chat"}), false, false),
            (json!({"aud": []}), false, false),
        ] {
            for (rules, expected, refused) in [
                (&none, for_none, BadToken::AudienceUnexpected),
                (&two, for_two, BadToken::Audience),
            ] {
                let judged = judge(&claims, rules).map(drop);
                assert_eq!(judged, if expected { Ok(()) } else { Err(refused) }, "{claims}");
            }
        }
        let issued = rules(&[], &["https://a.example", "https://b.example"]);
        for (claims, expected) in [
            (json!({"iss": "https://b.example"}), true),
            (json!({"iss": "https://b.example/"}), false),
            (json!({"iss": ["https://b.example"]}), false),
            (json!({"iss": null}), false),
            (json!({}), false),
        ] {
            assert_eq!(judge(&claims, &issued).is_ok(), expected, "{claims}");
        }
        assert!(judge(&json!({"iss": 7}), &none).is_ok(), "nothing is asked of it");
    }

    #[test]
    fn a_token_has_a_bounded_number_of_patterns() {
        let cast = |join: usize, publish: usize| json!({"cast": {"join": vec!["a"; join], "publish": vec!["b"; publish]}});
        let claims = judge(&cast(512, 512), &rules(&[], &[])).expect("it has as many as it may");
        assert_eq!(claims.all.get("cast"), cast(512, 512).get("cast"));
        let refused = judge(&cast(512, 513), &rules(&[], &[])).expect_err("one too many");
        assert!(refused.message().contains("1025 patterns"), "{}", refused.message());
    }
}
