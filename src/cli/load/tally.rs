//! What one thread has counted.

use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Measured messages, repeated ones too.
    pub(super) received: u64,
    pub(super) repeated: u64,
    /// Messages that came after one that was published later.
    pub(super) disordered: u64,
    /// Messages without their end, or of a stream that the member is not in.
    pub(super) damaged: u64,
    /// Messages whose content was compared.
    pub(super) compared: u64,
    /// Other messages: answers, and what somebody else published.
    pub(super) other: u64,
    pub(super) warm_up: u64,
    pub(super) bytes: u64,
    /// Calls that read something.
    pub(super) reads: u64,
    /// How far the members have come in their streams, together.
    pub(super) progress: u64,
    pub(super) gaps: u64,
    /// Messages that gaps announced as skipped.
    pub(super) skipped: u64,
    pub(super) pings: u64,
    pub(super) acked: u64,
    pub(super) errors: Errors,
}

/// How often what went wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Errors {
    pub(super) kinds: BTreeMap<String, u64>,
}

/// Kinds beyond this are counted together: a server may put anything into its reasons.
const KINDS_MAX: usize = 64;

impl Errors {
    pub(super) fn add(&mut self, kind: &str) {
        self.add_many(kind, 1);
    }

    pub(super) fn add_many(&mut self, kind: &str, count: u64) {
        let known = self.kinds.contains_key(kind) || self.kinds.len() < KINDS_MAX;
        let kind = if known { kind } else { "others" };
        *self.kinds.entry(kind.to_owned()).or_default() += count;
    }

    pub(super) fn total(&self) -> u64 {
        self.kinds.values().sum()
    }

    /// The most frequent one.
    pub(super) fn first(&self) -> Option<&str> {
        let most = self.kinds.iter().max_by_key(|(_, count)| **count);
        most.map(|(kind, _)| kind.as_str())
    }
}

impl Tally {
    /// Adds what another thread counted.
    pub(super) fn merge(&mut self, other: &Self) {
        self.received += other.received;
        self.repeated += other.repeated;
        self.disordered += other.disordered;
        self.damaged += other.damaged;
        self.compared += other.compared;
        self.other += other.other;
        self.warm_up += other.warm_up;
        self.bytes += other.bytes;
        self.reads += other.reads;
        self.progress += other.progress;
        self.gaps += other.gaps;
        self.skipped += other.skipped;
        self.pings += other.pings;
        self.acked += other.acked;
        for (kind, count) in &other.errors.kinds {
            self.errors.add_many(kind, *count);
        }
    }
}
