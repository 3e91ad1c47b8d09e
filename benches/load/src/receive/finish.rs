//! What a thread found out, once everything has been published and waited for.

use std::sync::atomic::Ordering::AcqRel;

use super::member::{End, Member, MemberStage};
use super::reader::Reader;
use super::result::{Account, Balance, ReaderResult};
use crate::client::wire;
use crate::setup::args::Goodbye;
use crate::setup::plan::Scenario;

impl Reader {
    /// Counts what is missing, says goodbye, and hands over.
    pub(crate) fn finish(mut self) -> ReaderResult {
        let (mut balance, mut missing_at) = (Balance::default(), Vec::new());
        let mut fan_out = self.receive_path.fan_out.take();
        let churn = self.end_churn();
        for member in self.members.iter().filter(|member| member.is_checked) {
            self.settle(member, &mut balance);
            balance.slow.count(member);
            self.file_missing(member, &mut missing_at);
            if let Some(fan_out) = fan_out.as_mut().filter(|_| !member.is_slow) {
                fan_out.count_reader(member.room);
            }
        }
        self.drop_all();
        ReaderResult {
            tally: self.receive_path.tally,
            recorder: self.receive_path.recorder,
            fan_out,
            handshakes: self.handshakes,
            handshakes_own: self.handshakes_own,
            joins: self.joins,
            lateness: self.lateness,
            counts: self.counts,
            balance,
            missing_at,
            churn,
        }
    }

    /// Of what is missing, in which part of the measured time it was due.
    fn file_missing(&self, member: &Member, missing_at: &mut Vec<u64>) {
        if member.is_slow {
            return;
        }
        let verifiers = &self.receive_path.verifiers[member.verifiers..];
        for (stream, verifier) in self.shared.plan.streams.of(member.room).zip(verifiers) {
            for numbers in verifier.missing(self.shared.taken_in(stream)) {
                self.shared.begins.add(stream, numbers, missing_at);
            }
        }
    }

    fn settle(&self, member: &Member, balance: &mut Balance) {
        let (holes, tail) = self.missing(member);
        let streams = self.shared.plan.streams.of(member.room);
        let owed = streams.map(|stream| u64::from(self.shared.taken_in(stream))).sum::<u64>();
        // Whoever does not read is let go one way or another, which is no loss.
        let is_cut_off = match member.end {
            None => false,
            Some(End::Announced) => true,
            Some(End::Sudden | End::Broken) => member.is_slow,
        };
        let (skipped, is_slow) = (member.skipped, member.is_slow);
        let is_replacement = false;
        balance.add(Account { owed, holes, tail, skipped, is_cut_off, is_slow, is_replacement });
    }

    /// What a member did not get: before and after the last that it got.
    fn missing(&self, member: &Member) -> (u64, u64) {
        self.missing_of(member, |stream| self.shared.taken_in(stream))
    }

    /// What a member has not got of all that a server may know by now.
    pub(crate) fn missing_so_far(&self, member: &Member) -> u64 {
        let (holes, tail) = self.missing_of(member, |stream| self.shared.published_in(stream));
        holes + tail
    }

    fn missing_of(&self, member: &Member, published: impl Fn(u32) -> u32) -> (u64, u64) {
        let streams = self.shared.plan.streams.of(member.room);
        let verifiers = &self.receive_path.verifiers[member.verifiers..];
        streams.zip(verifiers).fold((0, 0), |(holes, tail), (stream, verifier)| {
            (holes + verifier.holes(), tail + verifier.tail(published(stream)))
        })
    }

    /// What has not arrived where it still can.
    pub(crate) fn outstanding(&self) -> u64 {
        let is_owed = |member: &&Member| member.is_checked || member.is_replacement;
        let present = self.members.iter().filter(|member| member.stage == MemberStage::Ready);
        let missing = present.filter(is_owed).map(|member| {
            let (holes, tail) = self.missing(member);
            (holes + tail).saturating_sub(member.skipped)
        });
        let on_the_way = (0..self.members.len()).filter(|&seat| self.is_on_the_way(seat));
        missing.sum::<u64>() + on_the_way.count() as u64
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
            let Some(link) = member.link.take() else { continue };
            if member.stage == MemberStage::Ready && !member.is_slow {
                self.shared.connected[member.room as usize].fetch_sub(1, AcqRel);
            }
            match goodbye {
                Goodbye::Reset => link.reset(),
                Goodbye::Close => {
                    wire::push_close(&mut member.unsent, &wire::DONE);
                    link.end(&mut member.unsent);
                }
            }
            member.reset();
        }
    }
}
