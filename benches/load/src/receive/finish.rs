//! What a thread found out, once everything has been published and waited for.

use super::member::{End, Member, MemberStage};
use super::reader::Reader;
use super::result::{ReaderResult, Tallied};
use crate::client::socket::{reset, write};
use crate::client::wire;
use crate::setup::args::Goodbye;
use crate::setup::plan::Scenario;

impl Reader {
    /// Judges, says goodbye, and hands over.
    pub(crate) fn finish(mut self) -> ReaderResult {
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
    pub(crate) fn outstanding(&self) -> u64 {
        let present = self.members.iter().filter(|m| m.is_judged && m.stage == MemberStage::Ready);
        present
            .map(|member| {
                let (holes, tail) = self.missing(member);
                (holes + tail).saturating_sub(member.skipped)
            })
            .sum()
    }

    /// Ends every connection.
    pub(crate) fn drop_all(&mut self) {
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
