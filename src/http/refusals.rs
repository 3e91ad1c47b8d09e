//! How many requests were refused, and why.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a request is refused that would have been served otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
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

/// The number of requests that were refused, by reason, over all shards.
#[derive(Debug, Default)]
pub(crate) struct Refusals([AtomicU64; Refused::ALL.len()]);

impl Refused {
    const ALL: [(Refused, &'static str); 13] = [
        (Refused::Host, "host"),
        (Refused::Origin, "origin"),
        (Refused::ApiKey, "api_key"),
        (Refused::Right, "right"),
        (Refused::TokenMalformed, "token_malformed"),
        (Refused::TokenAlgorithm, "token_algorithm"),
        (Refused::TokenKey, "token_key"),
        (Refused::TokenSignature, "token_signature"),
        (Refused::TokenAudience, "token_audience"),
        (Refused::TokenIssuer, "token_issuer"),
        (Refused::TokenExpired, "token_expired"),
        (Refused::TokenNotYetValid, "token_not_yet_valid"),
        (Refused::TokenClaims, "token_claims"),
    ];

    /// The reason as counters and logs call it.
    pub(crate) fn name(self) -> &'static str {
        Refused::ALL[self as usize].1
    }
}

impl Refusals {
    pub(crate) fn count(&self, reason: Refused) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// All counts by the names of their reasons.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        Refused::ALL.iter().map(|(_, name)| *name).zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_count_of_its_own() {
        let refusals = Refusals::default();
        for (index, (reason, name)) in Refused::ALL.into_iter().enumerate() {
            assert_eq!((reason as usize, reason.name()), (index, name));
            (0..=index).for_each(|_| refusals.count(reason));
        }
        let counted: Vec<_> = refusals.counts().map(|(_, count)| count).collect();
        assert_eq!(counted, (1..=Refused::ALL.len() as u64).collect::<Vec<_>>());
    }
}
