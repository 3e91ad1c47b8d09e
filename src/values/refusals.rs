//! What a server refused or ended before it was a connection of the engine, and how much of it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection or a request was refused, or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalReason {
    /// Its client address had as many connections as it may.
    AddressConnections,
    /// Its client address began too many handshakes.
    AddressHandshakes,
    /// It waited too long to be accepted.
    Accepts,
    /// It did not begin with the header of the PROXY protocol, or came from no trusted proxy.
    ProxyProtocol,
    /// Its head did not arrive in time.
    Head,
    /// Its body did not arrive in time.
    Body,
    /// It was idle for too long between two requests.
    KeepAlive,
    /// Its body arrived, or a large answer was asked for, while memory was short.
    Memory,
    /// It names a host that is not this machine.
    Host,
    /// It is a foreign page's.
    Origin,
    /// What it brought is no API key.
    ApiKey,
    /// Its API key has not the right that it needs.
    Right,
    TokenMalformed,
    TokenAlgorithm,
    TokenKey,
    TokenSignature,
    TokenAudience,
    TokenIssuer,
    TokenExpired,
    TokenNotYetValid,
    TokenClaims,
}

impl RefusalReason {
    /// All of them with their names in `/v1/stats`: those of the limit, where there is one.
    const ALL: [(RefusalReason, &'static str); 21] = [
        (RefusalReason::AddressConnections, "max_connections_per_address"),
        (RefusalReason::AddressHandshakes, "handshakes_per_address"),
        (RefusalReason::Accepts, "accepts"),
        (RefusalReason::ProxyProtocol, "proxy_protocol"),
        (RefusalReason::Head, "handshake_timeout"),
        (RefusalReason::Body, "body_timeout"),
        (RefusalReason::KeepAlive, "keep_alive_timeout"),
        (RefusalReason::Memory, "memory_limit"),
        (RefusalReason::Host, "host"),
        (RefusalReason::Origin, "origin"),
        (RefusalReason::ApiKey, "api_key"),
        (RefusalReason::Right, "right"),
        (RefusalReason::TokenMalformed, "token_malformed"),
        (RefusalReason::TokenAlgorithm, "token_algorithm"),
        (RefusalReason::TokenKey, "token_key"),
        (RefusalReason::TokenSignature, "token_signature"),
        (RefusalReason::TokenAudience, "token_audience"),
        (RefusalReason::TokenIssuer, "token_issuer"),
        (RefusalReason::TokenExpired, "token_expired"),
        (RefusalReason::TokenNotYetValid, "token_not_yet_valid"),
        (RefusalReason::TokenClaims, "token_claims"),
    ];

    /// The reason as counters and logs call it.
    pub(crate) fn name(self) -> &'static str {
        RefusalReason::ALL[self as usize].1
    }
}

/// How much was refused, by reason, over all shards.
#[derive(Debug, Default)]
pub(crate) struct Refusals([AtomicU64; RefusalReason::ALL.len()]);

impl Refusals {
    pub(crate) fn count(&self, reason: RefusalReason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// All counts by the names of their reasons.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        RefusalReason::ALL.iter().map(|(_, name)| *name).zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_count_of_its_own() {
        let refusals = Refusals::default();
        for (index, (reason, name)) in RefusalReason::ALL.into_iter().enumerate() {
            assert_eq!((reason as usize, reason.name()), (index, name));
            (0..=index).for_each(|_| refusals.count(reason));
        }
        let counted: Vec<_> = refusals.counts().map(|(_, count)| count).collect();
        assert_eq!(counted, (1..=RefusalReason::ALL.len() as u64).collect::<Vec<_>>());
    }
}
