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
mod signed;
mod unique;

use std::time::{SystemTime, UNIX_EPOCH};

use self::signed::SignedToken;

pub(crate) use bad_token::BadToken;
pub(crate) use claims::{ClaimRules, TokenClaims};
pub(crate) use jwks::read as read_key_set;
pub(crate) use key::TokenKey;
pub(crate) use key_set::TokenKeys;

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
