//! Answers to connections that end with them, before a request of theirs was handed on: whole, as
//! bytes.

use corecast_shards::Limits;

use super::tokens::BadToken;
use super::{AccessRules, HttpError};
use crate::program::Refusal;

/// The process has no descriptor, or the kernel no memory, for one more connection.
pub(crate) fn crowded() -> Vec<u8> {
    HttpError::crowded().to_bytes()
}

/// The process is shutting down.
pub(crate) fn draining() -> Vec<u8> {
    HttpError::draining().to_bytes()
}

/// There are as many connections as there may be.
pub(crate) fn at_capacity(limit: usize) -> Vec<u8> {
    HttpError::capacity(limit).to_bytes()
}

/// Memory is short.
pub(crate) fn short_of_memory() -> Vec<u8> {
    HttpError::short_of_memory().to_bytes()
}

/// The client speaks no TLS, and the server nothing else. It is read as it is.
pub(crate) fn not_tls() -> Vec<u8> {
    HttpError::not_tls().to_bytes()
}

/// The program does not let this client connect.
pub(crate) fn refused(refusal: Refusal) -> Vec<u8> {
    HttpError::refusal(refusal).to_bytes()
}

/// The client, or its token, is revoked.
pub(crate) fn revoked() -> Vec<u8> {
    HttpError::revoked().to_bytes()
}

/// A claim of a valid token has not the form that it must have.
pub(crate) fn bad_claims(rules: &AccessRules, words: String) -> Vec<u8> {
    rules.refuse(&BadToken::Claim(words.into())).to_bytes()
}

/// The client's address has as many connections as it may.
pub(crate) fn too_many_connections(limits: &Limits) -> Vec<u8> {
    HttpError::too_many_connections(limits.address_connections).to_bytes()
}

/// The connection should have begun with the header of the PROXY protocol.
pub(crate) fn no_proxy_header() -> Vec<u8> {
    HttpError::bad_request(
        "connections to this address begin with a header of the PROXY protocol, version 1 or 2; let \
         the proxy in front send it, or start the server with --proxy-protocol off",
    )
    .to_bytes()
}

/// Only proxies may connect where the PROXY protocol is spoken, and this is none.
pub(crate) fn untrusted_proxy() -> Vec<u8> {
    HttpError::forbidden(
        "only the proxies of --trusted-proxy may connect here, and this address is none of them",
    )
    .to_bytes()
}

/// The head did not arrive in time.
pub(crate) fn head_late() -> Vec<u8> {
    HttpError::head_timeout().to_bytes()
}

/// The program did not decide in time.
pub(crate) fn undecided() -> Vec<u8> {
    HttpError::authorize_timeout().to_bytes()
}
