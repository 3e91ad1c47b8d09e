//! How a member leaves, and how another takes its place: both begin when they are due, and neither
//! waits for the other.

use std::mem;
use std::sync::atomic::Ordering::AcqRel;

use super::churn::ChurnResult;
use super::member::{End, Member, MemberStage};
use super::reader::{BUFFER, Reader};
use super::stay::{From, Stay, To};
use super::verifier::Verifier;
use crate::client::position::Position;
use crate::client::wire;
use crate::setup::plan::Transport;
use crate::watch::clock::nanos;

/// Members that are replaced before sockets get a turn.
const PER_TURN: usize = 64;

impl Reader {
    /// Replaces the members that are due.
    pub(crate) fn replace_due(&mut self) {
        for _ in 0..PER_TURN {
            let Some(churning) = &mut self.churning else { return };
            let Some((place, due)) = churning.take_due(self.shared.clock.now()) else { return };
            self.replace(place, due);
        }
    }

    fn replace(&mut self, place: usize, due: u64) {
        if let Some(seat) = self.churning.as_ref().and_then(|churning| churning.at(place)) {
            let member = &self.members[seat];
            if member.transport == Transport::Events && member.stage == MemberStage::Ready {
                // What has come by now is what it got.
                self.read(seat, BUFFER);
            }
            match self.members[seat].stage {
                MemberStage::Ready => self.begin_to_leave(seat),
                // It was let go, or never came.
                MemberStage::Absent => self.vacate(seat, To::Published(self.published(seat))),
                // It is about to come, and cannot leave yet.
                _ => return self.count(|result| result.missed += 1),
            }
        }
        let seat = self.take_seat(place);
        self.open(seat, due);
    }

    /// A seat for whoever comes to this place.
    fn take_seat(&mut self, place: usize) -> usize {
        let plan = &self.shared.plan;
        let number = (self.index + place * plan.threads) as u32;
        let room = number % plan.streams.rooms;
        let streams = plan.streams.of(room);
        let free = self.churning.as_mut().and_then(|churning| churning.take_seat());
        let seat = free.unwrap_or(self.members.len());
        let all = &mut self.receive_path.verifiers;
        let verifiers = self.members.get(seat).map_or(all.len(), |member| member.verifiers);
        all.resize_with(all.len().max(verifiers + plan.streams.most()), Verifier::default);
        all[verifiers..verifiers + streams.len()].fill_with(Verifier::late);
        let mut member = Member::new(number, room, verifiers, streams);
        (member.transport, member.is_replacement) = (plan.transport(number), true);
        match self.members.get_mut(seat) {
            Some(free) => *free = member,
            None => self.members.push(member),
        }
        if let Some(churning) = &mut self.churning {
            churning.set(place, Some(seat));
        }
        seat
    }

    fn begin_to_leave(&mut self, seat: usize) {
        self.count(|result| result.left += 1);
        let plan = &self.shared.plan;
        let member = &mut self.members[seat];
        self.shared.connected[member.room as usize].fetch_sub(1, AcqRel);
        if member.transport == Transport::Events {
            return self.vacate(seat, To::Left(None));
        }
        member.greeted = self.shared.clock.now();
        member.deadline = member.greeted.saturating_add(nanos(plan.common.connect_timeout));
        self.deadlines.push_back((seat, member.deadline));
        if !plan.churn.is_some_and(|churn| churn.says_leave) {
            return self.say_close(seat);
        }
        member.stage = MemberStage::Leaving;
        let room = plan.room_name(member.room);
        let text = format!(r#"{{"event":"cast:leave","room":"{room}","id":2}}"#);
        let mut frame = Vec::new();
        wire::push_message(&mut frame, plan.common.binary, text.as_bytes());
        self.send(seat, &frame);
    }

    fn say_close(&mut self, seat: usize) {
        self.members[seat].stage = MemberStage::Closing;
        let mut frame = Vec::new();
        wire::push_close(&mut frame, &wire::DONE);
        self.send(seat, &frame);
    }

    /// A member that leaves was told up to where messages were due to it.
    pub(crate) fn on_left(&mut self, seat: usize, text: &[u8]) {
        self.members[seat].left = Position::of_answer(text);
        self.note_left(seat);
        self.say_close(seat);
    }

    fn note_left(&mut self, seat: usize) {
        let took = self.shared.clock.now().saturating_sub(self.members[seat].greeted);
        self.count(|result| result.to_left.saturating_record(took));
    }

    /// The connection of a member that leaves has ended.
    pub(crate) fn on_gone(&mut self, seat: usize, end: End, kind: &str) {
        let member = &self.members[seat];
        let is_closed = member.stage == MemberStage::Closing && end == End::Announced;
        match (is_closed, member.left) {
            (false, _) => return self.on_unanswered(seat, kind),
            (true, None) => self.note_left(seat),
            (true, Some(_)) => {}
        }
        self.vacate(seat, self.to_left(seat));
    }

    /// What a member said to leave was not answered.
    pub(crate) fn on_unanswered(&mut self, seat: usize, kind: &str) {
        self.receive_path.tally.errors.add(kind);
        self.count(|result| result.unanswered += 1);
        self.vacate(seat, self.to_left(seat));
    }

    fn to_left(&self, seat: usize) -> To {
        To::Left(self.members[seat].left.map(|position| position.offset))
    }

    /// A member has joined in the place of another.
    pub(crate) fn on_came(&mut self, seat: usize) {
        let now = self.shared.clock.now();
        let late = self.glances.late(now);
        let member = &mut self.members[seat];
        member.note_late(now, late);
        let (took, own) = (now.saturating_sub(member.began), member.own);
        let verifiers = &mut self.receive_path.verifiers[member.verifiers..];
        for (stream, verifier) in self.shared.plan.streams.of(member.room).zip(verifiers) {
            // What is published from now on comes after the answer.
            verifier.begin_at(self.shared.published_in(stream));
        }
        self.count(|result| {
            result.came += 1;
            result.to_joined.saturating_record(took);
            result.to_joined_own.saturating_record(own);
        });
    }

    /// A member could not take the place of another.
    pub(crate) fn on_not_come(&mut self, seat: usize) {
        self.count(|result| result.failed += 1);
        let place = self.members[seat].number as usize / self.shared.plan.threads;
        if let Some(churning) = &mut self.churning {
            churning.set(place, None);
        }
        self.free_seat(seat);
    }

    /// Nobody is at this seat any more; whoever was there is judged later.
    fn vacate(&mut self, seat: usize, to: To) {
        let member = &self.members[seat];
        if member.is_checked || member.is_replacement {
            let streams = self.shared.plan.streams.of(member.room).len();
            let verifiers = &mut self.receive_path.verifiers[member.verifiers..][..streams];
            let joined = member.joined;
            let stay = Stay {
                room: member.room,
                epoch: joined.and_then(|position| position.epoch),
                verifiers: verifiers.iter_mut().map(mem::take).collect(),
                from: match member.is_replacement {
                    true => From::Joined(joined.map(|position| position.offset)),
                    false => From::First,
                },
                to,
                end: member.end,
                skipped: member.skipped,
            };
            self.count(|result| result.stays.push(stay));
        }
        if let Some(link) = self.members[seat].link.take() {
            link.end(&mut Vec::new());
        }
        self.free_seat(seat);
    }

    fn free_seat(&mut self, seat: usize) {
        let member = &mut self.members[seat];
        member.reset();
        (member.is_checked, member.is_replacement) = (false, false);
        if let Some(churning) = &mut self.churning {
            churning.free_seat(seat);
        }
    }

    fn count(&mut self, what: impl FnOnce(&mut ChurnResult)) {
        if let Some(churning) = &mut self.churning {
            what(&mut churning.result);
        }
    }

    /// How many messages of each stream of its room were published by now.
    fn published(&self, seat: usize) -> Vec<u32> {
        let streams = self.shared.plan.streams.of(self.members[seat].room);
        streams.map(|stream| self.shared.published_in(stream)).collect()
    }

    /// Whether a member is at this seat that is about to come or to go.
    pub(crate) fn is_on_the_way(&self, seat: usize) -> bool {
        let member = &self.members[seat];
        match member.stage {
            MemberStage::Leaving | MemberStage::Closing => true,
            MemberStage::Absent | MemberStage::Ready => false,
            _ => member.is_replacement,
        }
    }

    /// The run is over: who is still about to come or to go was waited for long enough, and members
    /// that came in the place of others were there to the end.
    pub(crate) fn end_churn(&mut self) -> Option<ChurnResult> {
        self.churning.as_ref()?;
        for seat in 0..self.members.len() {
            match self.members[seat].stage {
                MemberStage::Leaving | MemberStage::Closing => {
                    self.on_unanswered(seat, "leaving was not answered before the run ended");
                }
                MemberStage::Ready | MemberStage::Absent if self.members[seat].is_replacement => {
                    self.vacate_last(seat);
                }
                MemberStage::Ready | MemberStage::Absent => {}
                _ if self.members[seat].is_replacement => {
                    self.fail(seat, "joining was not answered before the run ended");
                }
                _ => {}
            }
        }
        let mut result = self.churning.take()?.result;
        result.offsets = self.receive_path.offsets.take().unwrap_or_default();
        Some(result)
    }

    fn vacate_last(&mut self, seat: usize) {
        let member = &mut self.members[seat];
        if let Some(link) = member.link.take() {
            wire::push_close(&mut member.unsent, &wire::DONE);
            link.end(&mut member.unsent);
        }
        self.vacate(seat, To::Last);
    }
}
