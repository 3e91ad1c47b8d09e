//! How members connect: so many at once or so many per second, each until it is ready, refused or
//! too late.

use std::sync::atomic::Ordering::AcqRel;
use std::time::Duration;

use super::member::{End, MemberStage};
use super::reader::{IDLE, Reader};
use crate::client::handshake::Answer;
use crate::client::link::ClientLink;
use crate::client::poller::Interest;
use crate::client::socket::error_kind;
use crate::client::wire;
use crate::setup::plan::{Connecting, Transport};
use crate::setup::template::Fill;
use crate::watch::clock::nanos;
use crate::watch::shared::Phase;

/// Connections that begin before sockets get a turn.
const DUE_PER_TURN: usize = 64;

impl Reader {
    /// Begins to connect as many as may be opening at once, or as are due.
    pub(crate) fn open_more(&mut self) {
        let plan = &self.shared.plan;
        match plan.connecting {
            Connecting::AtOnce(all) => {
                let most = all.div_ceil(plan.threads);
                while self.opening < most
                    && let Some(nth) = self.waiting.pop_front()
                {
                    self.open(nth, self.shared.clock.now());
                }
            }
            Connecting::Rate(_) => self.open_due(),
        }
    }

    fn open_due(&mut self) {
        // Sockets get a turn in between, however many are due.
        for _ in 0..DUE_PER_TURN {
            let Some(due) = self.next_due().filter(|&due| due <= self.shared.clock.now()) else {
                return;
            };
            if let Some(nth) = self.waiting.pop_front() {
                self.open(nth, due);
            }
        }
    }

    /// When the next member is to connect, if there is a time for it.
    fn next_due(&self) -> Option<u64> {
        let Connecting::Rate(rate) = self.shared.plan.connecting else { return None };
        let number = self.members[*self.waiting.front()?].number;
        Some(self.wave_began.saturating_add((f64::from(number) * 1e9 / rate) as u64))
    }

    /// How long sockets may be waited for.
    pub(crate) fn patience(&self) -> Duration {
        if self.glances.is_partial() {
            return Duration::ZERO;
        }
        let churn = self.churning.as_ref().and_then(|churning| churning.next_due());
        self.next_due().into_iter().chain(churn).min().map_or(IDLE, |due| {
            let pause = due.saturating_sub(self.shared.clock.now());
            IDLE.min(Duration::from_nanos(pause))
        })
    }

    pub(crate) fn open(&mut self, nth: usize, due: u64) {
        let now = self.shared.clock.now();
        let timeout = nanos(self.shared.plan.common.connect_timeout);
        let link = ClientLink::connect(&self.shared.plan, self.members[nth].number);
        let watched = link.and_then(|link| {
            self.poller.add(&link, nth as u64, Interest::Write)?;
            Ok(link)
        });
        self.opening += 1;
        match watched {
            Ok(link) => {
                let member = &mut self.members[nth];
                (member.link, member.began, member.end) = (Some(link), due, None);
                (member.moved, member.own) = (now, now.saturating_sub(due));
                member.stage = MemberStage::Connecting;
                // The first keys are made.
                self.end_step(nth);
                let deadline = now.saturating_add(timeout);
                self.members[nth].deadline = deadline;
                self.deadlines.push_back((nth, deadline));
            }
            Err(error) => self.fail(nth, &error_kind(&error)),
        }
    }

    /// The server may have answered as early as the thread has looked, and we come now.
    fn note_own(&mut self, nth: usize, now: u64) {
        self.members[nth].note_late(now, self.glances.late(now));
    }

    /// Something of a handshake is read or written next, if this is one; whether it is.
    pub(crate) fn begin_step(&mut self, nth: usize) -> bool {
        let is_step = self.members[nth].stage == MemberStage::Upgrading;
        if is_step {
            self.note_own(nth, self.shared.clock.now());
        }
        is_step
    }

    /// It was: with TLS that was work, such as checking a certificate.
    pub(crate) fn end_step(&mut self, nth: usize) {
        let member = &mut self.members[nth];
        if member.link.as_ref().is_some_and(ClientLink::has_tls) {
            member.note_work(self.shared.clock.now());
        }
    }

    /// The socket became writable: connected, or not.
    pub(crate) fn on_connected(&mut self, nth: usize) {
        self.note_own(nth, self.shared.clock.now());
        let member = &mut self.members[nth];
        let Some(link) = &member.link else { return };
        match link.take_error() {
            Ok(None) => {
                member.stage = MemberStage::Upgrading;
                let (plan, handshake) = (&self.shared.plan, &self.handshake);
                let room = plan.room_name(member.room);
                let fill = plan.fill(member.number, &room);
                let request = match member.transport {
                    Transport::WebSocket if plan.common.place => handshake.placed_request(&fill),
                    Transport::WebSocket => handshake.request(&fill),
                    Transport::Events => handshake.events_request(&fill),
                };
                self.send(nth, &request);
            }
            Ok(Some(error)) | Err(error) => self.fail(nth, &error_kind(&error)),
        }
    }

    /// Parses the answer as far as it has come. Returns where frames or chunks begin once it was
    /// accepted.
    pub(crate) fn on_answer(&mut self, nth: usize, filled: usize) -> Option<usize> {
        let answer = match self.members[nth].transport {
            Transport::WebSocket => self.handshake.read(self.answer(filled)),
            Transport::Events => self.handshake.read_events(self.answer(filled)),
        };
        match answer {
            Answer::Partial => {
                let answer = self.answer(filled).to_vec();
                self.members[nth].partial = answer;
                None
            }
            Answer::Refused(why) => {
                self.fail(nth, &why);
                None
            }
            Answer::Upgraded(used) => {
                let now = self.shared.clock.now();
                self.note_own(nth, now);
                let member = &self.members[nth];
                if !member.is_replacement {
                    self.handshakes.saturating_record(now.saturating_sub(member.began));
                    self.handshakes_own.saturating_record(member.own);
                }
                if let Some(link) = &self.members[nth].link {
                    self.shared.note_agreed(link);
                }
                self.greet(nth);
                Some(used)
            }
        }
    }

    fn greet(&mut self, nth: usize) {
        let now = self.shared.clock.now();
        let member = &mut self.members[nth];
        (member.stage, member.greeted) = (MemberStage::Greeting, now);
        if member.transport == Transport::Events {
            // A stream says where it begins, and in the place of another one counts from then.
            if !member.is_replacement {
                self.on_joined(nth);
            }
            return;
        }
        let plan = &self.shared.plan;
        let room = plan.room_name(member.room);
        let mut out = Vec::new();
        for (id, hello) in (1..).zip(&plan.hello) {
            let mut text = Vec::new();
            hello.render(&mut text, &Fill { id, ..plan.fill(member.number, &room) });
            wire::push_message(&mut out, plan.common.binary, &text);
        }
        let is_ready = plan.ready.is_none();
        self.send(nth, &out);
        // Unless sending has just failed.
        if is_ready && self.members[nth].stage == MemberStage::Greeting {
            self.on_joined(nth);
        }
    }

    /// The member is where it should be.
    pub(crate) fn on_joined(&mut self, nth: usize) {
        self.opening -= 1;
        let member = &self.members[nth];
        if member.is_replacement {
            self.on_came(nth);
        } else {
            self.counts.ready += 1;
            if self.shared.plan.ready.is_some() && member.transport == Transport::WebSocket {
                self.joins.saturating_record(self.shared.clock.now() - member.greeted);
            }
        }
        let member = &mut self.members[nth];
        member.stage = MemberStage::Ready;
        member.is_checked = self.shared.phase() == Phase::Open;
        if member.is_slow {
            self.slow_down(nth);
        } else {
            self.shared.connected[member.room as usize].fetch_add(1, AcqRel);
        }
    }

    /// A connection did not come to be.
    pub(crate) fn fail(&mut self, nth: usize, kind: &str) {
        self.opening -= 1;
        self.receive_path.tally.errors.add(kind);
        if self.members[nth].is_replacement {
            return self.on_not_come(nth);
        }
        self.counts.failed += 1;
        self.members[nth].reset();
    }

    /// A connection ended before it was to end.
    pub(crate) fn leave(&mut self, nth: usize, end: End, kind: &str) {
        match self.members[nth].stage {
            MemberStage::Absent => return,
            MemberStage::Ready => {}
            MemberStage::Leaving | MemberStage::Closing => return self.on_gone(nth, end, kind),
            _ => return self.fail(nth, kind),
        }
        self.counts.closed += 1;
        self.counts.broken += u64::from(end == End::Broken);
        self.counts.let_go += u64::from(!self.members[nth].is_slow);
        self.receive_path.tally.errors.add(kind);
        self.write_off(nth);
        let member = &mut self.members[nth];
        member.end = Some(end);
        member.reset();
    }

    /// Who waits for deliveries shall not wait for a member that has gone.
    fn write_off(&mut self, nth: usize) {
        let member = &self.members[nth];
        if member.is_slow {
            return;
        }
        self.shared.connected[member.room as usize].fetch_sub(1, AcqRel);
        let streams = self.shared.plan.streams.of(member.room);
        for (stream, verifier) in streams.zip(&self.receive_path.verifiers[member.verifiers..]) {
            self.receive_path.tally.progress += verifier.tail(self.shared.published_in(stream));
        }
    }

    /// Gives up on those that take too long.
    pub(crate) fn expire(&mut self) {
        let Some(&(_, first)) = self.deadlines.front() else { return };
        let now = self.shared.clock.now();
        if now < first {
            return;
        }
        while let Some((nth, by)) = self.deadlines.pop_front_if(|&mut (_, by)| by <= now) {
            if self.members[nth].deadline != by {
                // Somebody else is there now, or wants to leave.
                continue;
            }
            match self.members[nth].stage {
                MemberStage::Connecting => self.fail(nth, "connecting timed out"),
                MemberStage::Upgrading => self.fail(nth, "the upgrade was not answered in time"),
                MemberStage::Greeting => {
                    self.fail(nth, "hello was not answered in time (see --ready)")
                }
                MemberStage::Leaving => self.on_unanswered(nth, "leaving was not answered in time"),
                MemberStage::Closing => self.on_unanswered(nth, "a close was not answered in time"),
                MemberStage::Absent | MemberStage::Ready => {}
            }
        }
    }
}
