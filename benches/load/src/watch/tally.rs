//! What one thread has counted.

use std::collections::BTreeMap;

use super::damage::Damaged;

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Measured messages, repeated ones too.
    pub(crate) received: u64,
    pub(crate) repeated: u64,
    /// Messages that came after one that was published later.
    pub(crate) disordered: u64,
    /// Messages that came and do not count.
    pub(crate) damaged: Damaged,
    /// Messages whose content was compared.
    pub(crate) compared: u64,
    /// Other messages: answers, and what somebody else published.
    pub(crate) other: u64,
    /// Of these, what came while messages were published, and is nothing that corecast says.
    pub(crate) unknown: u64,
    pub(crate) warm_up: u64,
    pub(crate) bytes: u64,
    /// Calls that read something.
    pub(crate) reads: u64,
    /// How far the members have come in their streams, together.
    pub(crate) progress: u64,
    pub(crate) gaps: u64,
    /// Messages that gaps announced as skipped.
    pub(crate) skipped: u64,
    pub(crate) pings: u64,
    pub(crate) acked: u64,
    pub(crate) compression: CompressionTally,
    pub(crate) errors: Errors,
}

/// Payloads of frames in which measured messages came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CompressionTally {
    /// Messages that came compressed.
    pub(crate) messages: u64,
    /// As they came.
    pub(crate) compressed_bytes: u64,
    /// The same inflated.
    pub(crate) inflated_bytes: u64,
    /// Of the other messages.
    pub(crate) plain_bytes: u64,
}

/// How often what went wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Errors {
    pub(crate) kinds: BTreeMap<String, u64>,
}

/// Kinds beyond this are counted together: a server may put anything into its reasons.
const KINDS_MAX: usize = 64;

impl Errors {
    pub(crate) fn add(&mut self, kind: &str) {
        self.add_many(kind, 1);
    }

    pub(crate) fn add_many(&mut self, kind: &str, count: u64) {
        let known = self.kinds.contains_key(kind) || self.kinds.len() < KINDS_MAX;
        let kind = if known { kind } else { "others" };
        *self.kinds.entry(kind.to_owned()).or_default() += count;
    }

    pub(crate) fn total(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// The most frequent one.
    pub(crate) fn first(&self) -> Option<&str> {
        let most = self.kinds.iter().max_by_key(|(_, count)| **count);
        most.map(|(kind, _)| kind.as_str())
    }
}

impl CompressionTally {
    fn merge(&mut self, other: Self) {
        self.messages += other.messages;
        self.compressed_bytes += other.compressed_bytes;
        self.inflated_bytes += other.inflated_bytes;
        self.plain_bytes += other.plain_bytes;
    }
}

impl Tally {
    /// The share of what arrived whose content was compared.
    pub(crate) fn compared_share(&self) -> Option<f64> {
        let arrived = self.received + self.damaged.total();
        (arrived > 0).then(|| self.compared as f64 / arrived as f64)
    }

    /// Adds what another thread counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.received += other.received;
        self.repeated += other.repeated;
        self.disordered += other.disordered;
        self.damaged.merge(other.damaged);
        self.compared += other.compared;
        self.other += other.other;
        self.unknown += other.unknown;
        self.warm_up += other.warm_up;
        self.bytes += other.bytes;
        self.reads += other.reads;
        self.progress += other.progress;
        self.gaps += other.gaps;
        self.skipped = self.skipped.saturating_add(other.skipped);
        self.pings += other.pings;
        self.acked += other.acked;
        self.compression.merge(other.compression);
        for (kind, count) in &other.errors.kinds {
            self.errors.add_many(kind, *count);
        }
    }
}
