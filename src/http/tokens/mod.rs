//! JSON Web Tokens (RFC 7519): which are accepted, and what they say.
//!
//! Keys and signatures are the library's (`jsonwebtoken`). What a header may say, which key is asked,
//! and what the claims mean is decided here, in that order: nothing of a token is believed before a
//! key has verified it. A key verifies the algorithms of its own family only, so that neither a
//! public key taken for a secret nor `none` can get in.

mod bad_token;
mod claims;
mod jwks;
mod key;
mod key_set;
mod secret;
mod signed;
mod unique;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use self::signed::{SignedToken, TOKEN_BYTES_MAX};

pub(crate) use bad_token::BadToken;
pub(crate) use claims::{ClaimRules, TokenClaims};
pub(crate) use jwks::read as read_key_set;
pub(crate) use key::TokenKey;
pub(crate) use key_set::TokenKeys;
pub(crate) use secret::of_file as secret_of_file;

/// Judges a token: its form, its key, its claims, in this order.
pub(crate) fn judge(
    token: &str,
    keys: &TokenKeys,
    rules: &ClaimRules,
) -> Result<TokenClaims, BadToken> {
    let signed = SignedToken::read(token)?;
    keys.verify(&signed)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TokenClaims::read(&signed.claims()?, rules, now)
}

/// What a token says, whatever its key is, to a server of this name: it is not to be believed.
///
/// # Errors
///
/// Why no server would accept it, in words.
pub(super) fn read_unverified(token: &str, audience: Option<&str>) -> Result<TokenClaims, String> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(format!(
            "the token has {} bytes; a server takes at most {TOKEN_BYTES_MAX}",
            token.len()
        ));
    }
    let audiences = audience.into_iter().map(str::to_owned).collect();
    let rules = ClaimRules { audiences, leeway: Duration::ZERO, ..ClaimRules::default() };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let read = SignedToken::read(token)
        .and_then(|signed| TokenClaims::read(&signed.claims()?, &rules, now));
    read.map_err(|bad| bad.message().into_owned())
}
