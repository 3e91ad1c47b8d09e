//! Why a token is refused.

use std::borrow::Cow;

use crate::values::RefusalReason;

/// Why a token is refused. What its sender reads of it is [`BadToken::message`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadToken {
    /// It is not what a JWT looks like, longer than one may be, or its header asks for something
    /// that is not understood here.
    Malformed,
    /// It is signed by an algorithm that is not spoken here.
    Algorithm,
    /// There is no key by this `kid` and algorithm.
    UnknownKey,
    /// None of the keys that it may be signed by has signed it.
    Signature,
    /// It names its audience, and that is not this server; or it names none, and has to.
    Audience,
    /// It names its audience, and the server has no name.
    AudienceUnexpected,
    /// It comes from an issuer who is not trusted here, or from none that it names.
    Issuer,
    Expired,
    NotYetValid,
    /// A claim is not of the form that it must have.
    Claim(Cow<'static, str>),
}

impl BadToken {
    /// What it is counted as.
    pub(crate) const fn kind(&self) -> RefusalReason {
        match self {
            BadToken::Malformed => RefusalReason::TokenMalformed,
            BadToken::Algorithm => RefusalReason::TokenAlgorithm,
            BadToken::UnknownKey => RefusalReason::TokenKey,
            BadToken::Signature => RefusalReason::TokenSignature,
            BadToken::Audience | BadToken::AudienceUnexpected => RefusalReason::TokenAudience,
            BadToken::Issuer => RefusalReason::TokenIssuer,
            BadToken::Expired => RefusalReason::TokenExpired,
            BadToken::NotYetValid => RefusalReason::TokenNotYetValid,
            BadToken::Claim(_) => RefusalReason::TokenClaims,
        }
    }

    /// What the sender is answered. What is wrong with a token that is signed by a key of this
    /// server is said in words for its owner. To all others the answer is the same, whatever is
    /// wrong: it says nothing about the keys that there are.
    pub(crate) fn message(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            BadToken::Malformed
            | BadToken::Algorithm
            | BadToken::UnknownKey
            | BadToken::Signature => {
                "this is no valid token: it must be a JWT that a key of this server has signed"
            }
            BadToken::Audience => {
                "the token is for another audience: its claim aud must name what the server is \
                 started with (--jwt-audience)"
            }
            BadToken::AudienceUnexpected => {
                "the token names its audience (its claim aud), and the server takes no such token, \
                 because it is started without --jwt-audience; start it with that name"
            }
            BadToken::Issuer => {
                "the token's claim iss names no issuer that the server trusts (--jwt-issuer)"
            }
            BadToken::Expired => "the token has expired (its claim exp); get a fresh one",
            BadToken::NotYetValid => {
                "the token is not valid yet (its claim nbf); check the clocks of issuer and server"
            }
            BadToken::Claim(what) => return what.clone(),
        })
    }
}
