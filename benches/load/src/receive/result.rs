//! What a receiving thread found out.

use hdrhistogram::Histogram;

use super::churn::ChurnResult;
use super::fan_out::FanOut;
use super::member::Member;
use super::recorder::Recorder;
use crate::watch::begins;
use crate::watch::histogram::{add, histogram};
use crate::watch::tally::Tally;

#[derive(Debug)]
pub(crate) struct ReaderResult {
    pub(crate) tally: Tally,
    pub(crate) recorder: Recorder,
    /// Where messages are followed to the last of their members.
    pub(crate) fan_out: Option<FanOut>,
    pub(crate) handshakes: Histogram<u64>,
    /// Of each, the most that was the generator's own.
    pub(crate) handshakes_own: Histogram<u64>,
    /// From saying hello until it was understood.
    pub(crate) joins: Histogram<u64>,
    /// The most that each delivery has waited for the thread that reads it.
    pub(crate) lateness: Histogram<u64>,
    pub(crate) counts: ReaderCounts,
    pub(crate) balance: Balance,
    /// Of the balance's `readers_missing`, what was due in each part of the measured time.
    pub(crate) missing_at: Vec<u64>,
    /// Where members come and go.
    pub(crate) churn: Option<ChurnResult>,
}

/// See [`ReaderGauges`](crate::watch::shared::ReaderGauges).
#[derive(Debug, Default)]
pub(crate) struct ReaderCounts {
    pub(crate) ready: u64,
    pub(crate) failed: u64,
    pub(crate) closed: u64,
    /// Of these, those that we ended, because of what the server had sent.
    pub(crate) broken: u64,
    /// Of `closed`, those of members that read as fast as they can.
    pub(crate) let_go: u64,
}

/// Invariant: `expected` is what was delivered for the first time, plus `lost`, `skipped` and
/// `cut_off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balance {
    /// What was published, times the members it was for.
    pub(crate) expected: u64,
    /// Members that read as fast as they can, whose latencies are recorded.
    pub(crate) readers: u64,
    /// Of `expected`, what was for them.
    pub(crate) readers_expected: u64,
    /// Of that, what did not arrive, for whatever reason.
    pub(crate) readers_missing: u64,
    pub(crate) lost: u64,
    /// Missing, and announced as skipped.
    pub(crate) skipped: u64,
    /// Of these, what was skipped for members that read as fast as they can.
    pub(crate) skipped_readers: u64,
    /// Published after the server had ended the connection with a close frame.
    pub(crate) cut_off: u64,
    pub(crate) slow: SlowMembers,
}

/// What was due to one member, and what of it did not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) owed: u64,
    /// What did not come, though later messages did.
    pub(crate) holes: u64,
    /// What did not come behind the last one that did.
    pub(crate) tail: u64,
    /// Announced as skipped.
    pub(crate) skipped: u64,
    /// What did not come at the end was published after a close frame.
    pub(crate) is_cut_off: bool,
    pub(crate) is_slow: bool,
    /// It has the place of one that left, which was counted.
    pub(crate) is_replacement: bool,
}

impl Balance {
    pub(crate) fn add(&mut self, account: Account) {
        let Account { owed, holes, tail, .. } = account;
        self.expected += owed;
        if !account.is_slow {
            self.readers += u64::from(!account.is_replacement);
            self.readers_expected += owed;
            self.readers_missing += holes + tail;
        }
        let is_cut_off = account.is_cut_off;
        let (missing, cut_off) = if is_cut_off { (holes, tail) } else { (holes + tail, 0) };
        let skipped = missing.min(account.skipped);
        self.lost += missing - skipped;
        self.skipped += skipped;
        self.skipped_readers += if account.is_slow { 0 } else { skipped };
        self.cut_off += cut_off;
    }
}

/// What became of the members that read slowly or not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlowMembers {
    pub(crate) members: u64,
    /// Whose connection the server ended.
    pub(crate) closed: u64,
    /// Who were told that messages were skipped.
    pub(crate) skipped: u64,
}

impl SlowMembers {
    pub(crate) fn count(&mut self, member: &Member) {
        if member.is_slow {
            self.members += 1;
            self.closed += u64::from(member.end.is_some());
            self.skipped += u64::from(member.skipped > 0);
        }
    }

    /// Whether none of them was treated as slow.
    pub(crate) fn were_not_slow(self) -> bool {
        self.members > 0 && self.closed == 0 && self.skipped == 0
    }

    fn merge(&mut self, other: Self) {
        self.members += other.members;
        self.closed += other.closed;
        self.skipped += other.skipped;
    }
}

impl ReaderResult {
    pub(crate) fn new() -> Self {
        Self {
            tally: Tally::default(),
            recorder: Recorder::new(),
            fan_out: None,
            handshakes: histogram(3),
            handshakes_own: histogram(3),
            joins: histogram(3),
            lateness: histogram(3),
            counts: ReaderCounts::default(),
            balance: Balance::default(),
            missing_at: Vec::new(),
            churn: None,
        }
    }

    /// Adds what another thread found out.
    pub(crate) fn merge(&mut self, mut other: Self) {
        match (&mut self.churn, other.churn.take()) {
            (Some(ours), Some(theirs)) => ours.merge(theirs),
            (ours, theirs) => *ours = ours.take().or(theirs),
        }
        match (&mut self.fan_out, &other.fan_out) {
            (Some(ours), Some(theirs)) => ours.merge(theirs.clone()),
            (ours, theirs) => *ours = ours.take().or_else(|| theirs.clone()),
        }
        self.tally.merge(&other.tally);
        self.recorder.merge(&other.recorder);
        add(&mut self.handshakes, &other.handshakes);
        add(&mut self.handshakes_own, &other.handshakes_own);
        add(&mut self.joins, &other.joins);
        add(&mut self.lateness, &other.lateness);
        self.counts.ready += other.counts.ready;
        self.counts.failed += other.counts.failed;
        self.counts.closed += other.counts.closed;
        self.counts.broken += other.counts.broken;
        self.counts.let_go += other.counts.let_go;
        self.balance.expected += other.balance.expected;
        self.balance.readers += other.balance.readers;
        self.balance.readers_expected += other.balance.readers_expected;
        self.balance.readers_missing += other.balance.readers_missing;
        self.balance.lost += other.balance.lost;
        self.balance.skipped += other.balance.skipped;
        self.balance.skipped_readers += other.balance.skipped_readers;
        self.balance.cut_off += other.balance.cut_off;
        self.balance.slow.merge(other.balance.slow);
        for (part, &missing) in other.missing_at.iter().enumerate() {
            begins::add(&mut self.missing_at, part, missing);
        }
    }
}
