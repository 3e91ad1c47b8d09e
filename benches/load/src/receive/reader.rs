//! A thread that receives: it opens its share of the members, reads what is there, and repeats.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use corecast_shards::wire::server_frame_len;
use hdrhistogram::Histogram;

use super::churn::Churning;
use super::fan_out::FanOut;
use super::member::{End, Member, MemberStage};
use super::numbers::Numbers;
use super::offsets::Offsets;
use super::receive_path::{Notice, ReceivePath};
use super::result::{ReaderCounts, ReaderResult};
use crate::client::chunks::chunk_len;
use crate::client::handshake::ClientHandshake;
use crate::client::link::ROOM;
use crate::client::poller::{Interest, Poller, Ready};
use crate::client::socket::error_kind;
use crate::setup::payload::{PAYLOAD_MIN, PayloadContent, PayloadForm};
use crate::setup::plan::Transport;
use crate::watch::clock::nanos;
use crate::watch::glances::{Found, Glances};
use crate::watch::histogram::histogram;
use crate::watch::process::thread_id;
use crate::watch::shared::{Phase, Shared};
use crate::watch::turns::Turns;

pub(crate) struct Reader {
    pub(crate) shared: Arc<Shared>,
    pub(crate) handshake: Arc<ClientHandshake>,
    /// Which of the receiving threads this is.
    pub(crate) index: usize,
    pub(crate) poller: Poller,
    buffer: Vec<u8>,
    pub(crate) members: Vec<Member>,
    pub(crate) receive_path: ReceivePath,
    notices: Vec<Notice>,
    /// Members that are to be connected.
    pub(crate) waiting: VecDeque<usize>,
    /// Members that began, and by when they must be ready; those that are stay until then.
    pub(crate) deadlines: VecDeque<(usize, u64)>,
    /// Members between connecting and ready.
    pub(crate) opening: usize,
    pub(crate) counts: ReaderCounts,
    pub(crate) handshakes: Histogram<u64>,
    /// Of each, the most that was our own.
    pub(crate) handshakes_own: Histogram<u64>,
    pub(crate) joins: Histogram<u64>,
    /// The most that each delivery has waited for this thread.
    pub(crate) lateness: Histogram<u64>,
    pub(crate) glances: Glances,
    pub(crate) wave: u32,
    /// When its first member was to connect.
    pub(crate) wave_began: u64,
    pub(crate) slow_read_next: u64,
    /// Where members come and go.
    pub(crate) churning: Option<Box<Churning>>,
    /// See [`ReaderGauges`](crate::watch::shared::ReaderGauges).
    reading: u64,
    phase: Phase,
    /// When what is outstanding is to be counted again, which takes a look at every member.
    count_next: u64,
    /// Sockets that are ready, and not looked at yet.
    ready: Range<usize>,
    turns: Turns,
}

/// What a socket holds after a batch of messages fits one read, and a second-level cache.
pub(crate) const BUFFER: usize = 256 * 1024;
/// Sockets that are read in a turn in any case, so that reading goes on while publishing is late.
const READS_MIN: usize = 8;
/// How soon a thread without work notices that the phase has changed.
pub(crate) const IDLE: Duration = Duration::from_millis(10);

impl Reader {
    pub(crate) fn new(
        shared: Arc<Shared>,
        handshake: Arc<ClientHandshake>,
        index: usize,
    ) -> io::Result<Self> {
        let traffic = shared.plan.traffic.as_ref();
        let nothing = (PayloadForm::text(PAYLOAD_MIN), 1);
        let (form, one_in) = traffic.map_or(nothing, |it| (it.form, it.sampled_one_in));
        let content = PayloadContent::new(form, shared.plan.common.strict);
        let numbers = Numbers::new(shared.published.clone());
        let mut receive_path = ReceivePath::new(shared.marker, content, one_in, numbers);
        receive_path.inflater = shared.plan.common.deflate.then(Box::default);
        let followed_one_in = traffic.and_then(|traffic| traffic.followed_one_in);
        receive_path.fan_out =
            followed_one_in.map(|one_in| FanOut::new(shared.plan.streams, one_in));
        let churning = Churning::new(&shared.plan, index).map(Box::new);
        receive_path.offsets =
            churning.is_some().then(|| Offsets::new(shared.plan.streams.count()));
        let mut reader = Self {
            receive_path,
            poller: Poller::new()?,
            buffer: vec![0; BUFFER],
            members: Vec::new(),
            notices: Vec::new(),
            waiting: VecDeque::new(),
            deadlines: VecDeque::new(),
            opening: 0,
            counts: ReaderCounts::default(),
            handshakes: histogram(3),
            handshakes_own: histogram(3),
            joins: histogram(3),
            lateness: histogram(3),
            glances: Glances::default(),
            wave: 0,
            wave_began: 0,
            slow_read_next: 0,
            churning,
            reading: 0,
            phase: Phase::Open,
            count_next: 0,
            ready: 0..0,
            turns: Turns::default(),
            shared,
            handshake,
            index,
        };
        reader.enlist();
        Ok(reader)
    }

    /// Members are dealt out to threads one by one.
    fn enlist(&mut self) {
        let plan = &self.shared.plan;
        for number in (self.index as u32..plan.members).step_by(plan.threads) {
            let room = number % plan.streams.rooms;
            let streams = plan.streams.of(room);
            let verifiers = self.receive_path.verifiers.len();
            // Whoever comes later may come to any room.
            let seat = if plan.churn.is_some() { plan.streams.most() } else { streams.len() };
            self.receive_path.verifiers.resize_with(verifiers + seat, Default::default);
            let mut member = Member::new(number, room, verifiers, streams);
            member.is_slow = plan.slow.has(number);
            member.transport = plan.transport(number);
            self.members.push(member);
        }
    }

    /// Runs until the phase says so; what it found out.
    pub(crate) fn run(mut self) -> io::Result<ReaderResult> {
        self.begin();
        while self.phase < Phase::End {
            self.turn(IDLE, u64::MAX)?;
        }
        Ok(self.finish())
    }

    /// Says which thread this is.
    pub(crate) fn begin(&self) {
        self.shared.readers[self.index].thread.store(thread_id(), Release);
    }

    /// Does what there is to do, after waiting for it at most so long. Whoever has something else
    /// to do at a certain time gets the thread back then, and calls again.
    pub(crate) fn turn(&mut self, timeout: Duration, until: u64) -> io::Result<()> {
        self.follow_phase();
        if self.phase == Phase::End {
            return Ok(());
        }
        self.follow_wave();
        self.open_more();
        self.replace_due();
        self.expire();
        if self.ready.is_empty() {
            self.look(timeout.min(self.patience()))?;
        }
        if !self.ready.is_empty() {
            self.read_ready(until);
        }
        self.read_slowly();
        self.publish_gauges();
        Ok(())
    }

    fn read_ready(&mut self, until: u64) {
        let began = self.shared.clock.now();
        let mut reads = 0;
        while (reads < READS_MIN || self.shared.clock.now() < until)
            && let Some(nth) = self.ready.next()
        {
            let ready = self.poller.ready(nth);
            self.on_ready_socket(ready);
            reads += 1;
        }
        self.reading += self.shared.clock.now() - began;
    }

    fn look(&mut self, timeout: Duration) -> io::Result<()> {
        if let Some(churning) = &mut self.churning {
            churning.reuse_seats();
        }
        let began = self.shared.clock.now();
        let sockets = self.poller.wait(timeout)?;
        let found = Found { sockets, is_partial: self.poller.is_full() };
        self.glances.note(began..self.shared.clock.now(), timeout, found);
        self.ready = 0..sockets;
        Ok(())
    }

    /// Answers to what connections said first have come before that.
    pub(crate) fn is_measuring(&self) -> bool {
        self.phase > Phase::Open
    }

    fn follow_phase(&mut self) {
        let phase = self.shared.phase();
        if phase == self.phase {
            return;
        }
        if self.phase == Phase::Open {
            self.receive_path.recorder.start(self.shared.parts());
            if let Some(churning) = &mut self.churning {
                let times = &self.shared.milestones;
                churning.start(times.mark.load(Acquire), times.end.load(Acquire));
            }
        } else if let Some(churning) = &mut self.churning {
            churning.stop(self.shared.clock.now());
        }
        self.phase = phase;
        if phase == Phase::Drain {
            self.hurry_slow();
        }
    }

    /// A storm's wave comes or goes; in the other scenarios the first one comes and stays.
    fn follow_wave(&mut self) {
        let wave = self.shared.wave.load(Acquire);
        if wave == self.wave {
            return;
        }
        (self.wave, self.wave_began) = (wave, self.shared.clock.now());
        // Also when a wave comes so soon that the end of the one before was not noticed.
        self.drop_all();
        if wave % 2 == 1 {
            self.waiting.extend(0..self.members.len());
        }
    }

    fn on_ready_socket(&mut self, ready: Ready) {
        let nth = ready.token as usize;
        match self.members[nth].stage {
            MemberStage::Absent => {}
            MemberStage::Connecting if ready.writable => self.on_connected(nth),
            MemberStage::Connecting => {}
            _ => {
                if ready.writable {
                    self.send_rest(nth);
                }
                if ready.readable {
                    self.read(nth, BUFFER);
                }
            }
        }
    }

    /// Reads once, at most so much.
    pub(crate) fn read(&mut self, nth: usize, limit: usize) {
        let is_step = self.begin_step(nth);
        let member = &mut self.members[nth];
        let Some(link) = &mut member.link else { return };
        let kept = member.partial.len();
        if self.buffer.len() < kept + ROOM {
            self.buffer.resize(kept + ROOM, 0);
        }
        self.buffer[..kept].copy_from_slice(&member.partial);
        let read = link.read(&mut self.buffer[kept..], limit);
        let is_emptied = link.is_emptied();
        let since = member.note_read(self.glances.since(), is_emptied);
        if is_step {
            self.end_step(nth);
        }
        match read {
            Ok(0) => self.leave(nth, End::Sudden, "ended without a close frame"),
            Ok(count) => {
                self.receive_path.tally.bytes += count as u64;
                self.receive_path.tally.reads += 1;
                self.take(nth, kept + count, since);
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => self.leave(nth, End::Sudden, &error_kind(&error)),
        }
        self.send_rest(nth);
    }

    /// Takes what stands in the buffer, and has come since then.
    fn take(&mut self, nth: usize, filled: usize, since: u64) {
        let mut from = 0;
        if self.members[nth].stage == MemberStage::Upgrading {
            match self.on_answer(nth, filled) {
                Some(used) => from = used,
                None => return,
            }
        }
        if self.members[nth].stage == MemberStage::Absent {
            return;
        }
        let (now, member) = (self.shared.clock.now(), &mut self.members[nth]);
        let bytes = &self.buffer[from..filled];
        let received = self.receive_path.tally.received;
        let rest = self.receive_path.receive(member, bytes, now, &mut self.notices);
        let received = self.receive_path.tally.received - received;
        if received > 0 && !member.is_slow {
            let late = now.saturating_sub(since);
            self.lateness.saturating_record_n(late, received);
            self.receive_path.recorder.note_read_late(late, received);
        }
        member.partial.clear();
        member.partial.extend_from_slice(rest);
        // What is beyond any sense has been refused by its header.
        let needed = match member.transport {
            Transport::WebSocket => server_frame_len(rest),
            Transport::Events => chunk_len(rest),
        };
        // A read that ends with it shall not fill the buffer, as if there were more.
        let needed = needed.map(|len| len.saturating_add(ROOM));
        if let Some(needed) = needed.filter(|&len| len > self.buffer.len()) {
            self.buffer.resize(needed, 0);
        }
        for notice in std::mem::take(&mut self.notices) {
            self.on_notice(nth, notice);
        }
    }

    /// The answer to the request, as far as it has come, at the beginning of the buffer.
    pub(crate) fn answer(&self, filled: usize) -> &[u8] {
        &self.buffer[..filled]
    }

    /// Sends, or keeps what the socket does not take.
    pub(crate) fn send(&mut self, nth: usize, bytes: &[u8]) {
        self.members[nth].unsent.extend_from_slice(bytes);
        self.send_unsent(nth);
    }

    /// Sends what was kept, if something was.
    fn send_rest(&mut self, nth: usize) {
        let member = &self.members[nth];
        if member.link.as_ref().is_some_and(|link| link.has_to_write(&member.unsent)) {
            self.send_unsent(nth);
        }
    }

    pub(crate) fn send_unsent(&mut self, nth: usize) {
        let is_step = self.begin_step(nth);
        let member = &mut self.members[nth];
        let Some(link) = &mut member.link else { return };
        let written = link.write(&mut member.unsent);
        if is_step {
            self.end_step(nth);
        }
        match written {
            Ok(is_free) => self.watch(nth, if is_free { Interest::Read } else { Interest::Write }),
            Err(error) => self.leave(nth, End::Sudden, &error_kind(&error)),
        }
    }

    pub(crate) fn watch(&mut self, nth: usize, interest: Interest) {
        let Some(link) = &self.members[nth].link else { return };
        // A slow member that is ready is not watched at all, and stays so.
        if let Err(error) = self.poller.modify(link, nth as u64, interest)
            && error.kind() != io::ErrorKind::NotFound
        {
            self.leave(nth, End::Sudden, &error_kind(&error));
        }
    }

    fn publish_gauges(&mut self) {
        let (gauges, tally) = (&self.shared.readers[self.index], &self.receive_path.tally);
        let rows = [
            (&gauges.ready, self.counts.ready),
            (&gauges.failed, self.counts.failed),
            (&gauges.closed, self.counts.closed),
            (&gauges.let_go, self.counts.let_go),
            (&gauges.came, self.churning.as_ref().map_or(0, |it| it.result.came)),
            (&gauges.left, self.churning.as_ref().map_or(0, |it| it.result.left)),
            (&gauges.received, tally.received),
            (&gauges.bytes, tally.bytes),
            (&gauges.reads, tally.reads),
            (&gauges.reading, self.reading),
            (&gauges.warm_up, tally.warm_up),
            (&gauges.progress, tally.progress),
        ];
        for (gauge, value) in rows {
            gauge.store(value, Release);
        }
        let now = self.shared.clock.now();
        self.turns.note(now, &self.shared, &gauges.longest_gap);
        if self.phase == Phase::Drain && now >= self.count_next {
            gauges.outstanding.store(self.outstanding(), Release);
            self.count_next = now + nanos(IDLE);
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
