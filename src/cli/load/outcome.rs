//! What a thread found out, once everything has been published and waited for.

use hdrhistogram::Histogram;

use super::args::Goodbye;
use super::member::{End, Member, MemberStage};
use super::plan::Scenario;
use super::reader::{Reader, ReaderCounts};
use super::recorder::{Recorder, add, histogram};
use super::socket::{reset, write};
use super::tally::Tally;
use super::wire;

#[derive(Debug)]
pub(super) struct ReaderResult {
    pub(super) tally: Tally,
    pub(super) recorder: Recorder,
    pub(super) handshakes: Histogram<u64>,
    pub(super) counts: ReaderCounts,
    pub(super) verdict: Tallied,
}

/// Invariant: `expected` is what was delivered for the first time, plus `lost`, `skipped` and
/// `cut_off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tallied {
    /// What was published, times the members it was for.
    pub(super) expected: u64,
    pub(super) lost: u64,
    /// Missing, and announced as skipped.
    pub(super) skipped: u64,
    /// Of these, what was skipped for members that read as fast as they can.
    pub(super) skipped_readers: u64,
    /// Published after the server had ended the connection with a close frame.
    pub(super) cut_off: u64,
    pub(super) slow: SlowMembers,
}

/// What became of the members that read slowly or not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SlowMembers {
    pub(super) members: u64,
    /// Whose connection the server ended.
    pub(super) closed: u64,
    /// Who were told that messages were skipped.
    pub(super) skipped: u64,
}

impl SlowMembers {
    fn count(&mut self, member: &Member) {
        if member.is_slow {
            self.members += 1;
            self.closed += u64::from(member.end.is_some());
            self.skipped += u64::from(member.skipped > 0);
        }
    }

    /// Whether none of them was treated as slow.
    pub(super) fn were_not_slow(self) -> bool {
        self.members > 0 && self.closed == 0 && self.skipped == 0
    }

    fn merge(&mut self, other: Self) {
        self.members += other.members;
        self.closed += other.closed;
        self.skipped += other.skipped;
    }
}

impl ReaderResult {
    pub(super) fn new() -> Self {
        Self {
            tally: Tally::default(),
            recorder: Recorder::new(),
            handshakes: histogram(3),
            counts: ReaderCounts::default(),
            verdict: Tallied::default(),
        }
    }

    /// Adds what another thread found out.
    pub(super) fn merge(&mut self, other: &Self) {
        self.tally.merge(&other.tally);
        self.recorder.merge(&other.recorder);
        add(&mut self.handshakes, &other.handshakes);
        self.counts.ready += other.counts.ready;
        self.counts.failed += other.counts.failed;
        self.counts.closed += other.counts.closed;
        self.verdict.expected += other.verdict.expected;
        self.verdict.lost += other.verdict.lost;
        self.verdict.skipped += other.verdict.skipped;
        self.verdict.skipped_readers += other.verdict.skipped_readers;
        self.verdict.cut_off += other.verdict.cut_off;
        self.verdict.slow.merge(other.verdict.slow);
    }
}

impl Reader {
    /// Judges, says goodbye, and hands over.
    pub(super) fn finish(mut self) -> ReaderResult {
        let mut verdict = Tallied::default();
        for member in self.members.iter().filter(|member| member.is_judged) {
            self.judge(member, &mut verdict);
            verdict.slow.count(member);
        }
        self.drop_all();
        ReaderResult {
            tally: self.intake.tally,
            recorder: self.intake.recorder,
            handshakes: self.handshakes,
            counts: self.counts,
            verdict,
        }
    }

    fn judge(&self, member: &Member, verdict: &mut Tallied) {
        let (holes, tail) = self.missing(member);
        let streams = self.shared.plan.streams.of(member.room);
        let published = streams.map(|stream| u64::from(self.shared.published_in(stream)));
        verdict.expected += published.sum::<u64>();
        // Whoever does not read is let go one way or another, which is no loss.
        let is_cut_off = match member.end {
            None => false,
            Some(End::Announced) => true,
            Some(End::Sudden) => member.is_slow,
        };
        let (missing, cut_off) = if is_cut_off { (holes, tail) } else { (holes + tail, 0) };
        let skipped = missing.min(member.skipped);
        verdict.lost += missing - skipped;
        verdict.skipped += skipped;
        verdict.skipped_readers += if member.is_slow { 0 } else { skipped };
        verdict.cut_off += cut_off;
    }

    /// What a member did not get: before and after the last that it got.
    fn missing(&self, member: &Member) -> (u64, u64) {
        let streams = self.shared.plan.streams.of(member.room);
        let judges = &self.intake.judges[member.judges..];
        streams.zip(judges).fold((0, 0), |(holes, tail), (stream, judge)| {
            let published = self.shared.published_in(stream);
            (holes + judge.holes(), tail + judge.tail(published))
        })
    }

    /// What has not arrived where it still can.
    pub(super) fn outstanding(&self) -> u64 {
        let present = self.members.iter().filter(|m| m.is_judged && m.stage == MemberStage::Ready);
        present
            .map(|member| {
                let (holes, tail) = self.missing(member);
                (holes + tail).saturating_sub(member.skipped)
            })
            .sum()
    }

    /// Ends every connection.
    pub(super) fn drop_all(&mut self) {
        let goodbye = match self.shared.plan.scenario {
            Scenario::Storm { goodbye, .. } => goodbye,
            _ => Goodbye::Close,
        };
        self.waiting.clear();
        self.deadlines.clear();
        self.opening = 0;
        for member in &mut self.members {
            let Some(mut stream) = member.stream.take() else { continue };
            match goodbye {
                Goodbye::Reset => reset(stream),
                Goodbye::Close => {
                    wire::push_close(&mut member.unsent, &wire::DONE);
                    // It goes either way; whether the server hears why is up to its buffers.
                    let _ = write(&mut stream, &mut member.unsent);
                }
            }
            member.reset();
        }
    }
}
