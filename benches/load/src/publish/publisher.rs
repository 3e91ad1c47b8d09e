//! The thread that publishes, for all publishers: it keeps their timetable whatever the server
//! does, or keeps a window full.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::connection::{Pending, PublisherConnection};
use super::timetable::Owed;
use crate::client::handshake::ClientHandshake;
use crate::client::poller::{Interest, Poller, Ready};
use crate::client::wire;
use crate::receive::reader::Reader;
use crate::receive::result::ReaderResult;
use crate::setup::payload::{Stamp, TestPayload, stream_code};
use crate::setup::plan::{Pace, Traffic};
use crate::setup::template::Fill;
use crate::watch::histogram::histogram;
use crate::watch::parts::Parts;
use crate::watch::process::thread_id;
use crate::watch::shared::{Gone, Phase, Shared};
use crate::watch::tally::Tally;
use crate::watch::turns::Turns;

pub(crate) struct Publisher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) poller: Poller,
    pub(crate) connections: Vec<PublisherConnection>,
    pub(crate) feeds: Vec<Feed>,
    payload: TestPayload,
    text: Vec<u8>,
    /// Connections that have something to send.
    dirty: Vec<usize>,
    pub(crate) sent: Sent,
    /// Of the measured leg.
    pub(crate) owed: Option<Owed>,
    /// None before publishing begins.
    pub(crate) parts: Option<Parts>,
    /// Who receives in the same thread, if anybody does.
    reader: Option<Reader>,
    turns: Turns,
}

/// What the poller calls the reader's.
const READER: u64 = u64::MAX;

/// One stream: a publisher in a room.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) room: u32,
    room_name: String,
    /// Among the publishers of the room.
    nth: u32,
    pub(crate) connection: usize,
    /// Of the next message.
    pub(crate) sequence: u32,
    /// Measured messages that the kernel has taken.
    pub(crate) taken: u32,
    /// Since when its connection takes messages again, if it did not.
    pub(crate) free_since: u64,
    /// When messages of the current part of the measured time are due.
    part: Range<u64>,
    /// Streams that share the rate of this room.
    pub(crate) sharers: u32,
}

/// What became of publishing.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) tally: Tally,
    /// Publishers whose connection ended while there was something to publish.
    pub(crate) let_go: u64,
    /// Measured messages that the kernel has taken.
    pub(crate) published: u64,
    /// Due, but never taken: of the whole time that was to be measured, unless
    /// somebody interrupted it.
    pub(crate) unsent: u64,
    /// The same by the part of the measured time in which it was due.
    pub(crate) unsent_at: Vec<u64>,
    /// What was due in the open loop, until the run was over.
    pub(crate) due: u64,
    /// Of these, what was published while it was measured, and before its stage had ended.
    pub(crate) in_time: u64,
    /// Nanoseconds in which that was due: all of the measured time, or until the run was over.
    pub(crate) measured: u64,
    /// The same of each stage, if the rate has some.
    pub(crate) stages: Vec<StageSent>,
    /// In the open loop, from when a message was due until the kernel had taken it.
    pub(crate) delays: Histogram<u64>,
    /// Of each delay, the part in which we had something else to do, or no CPU.
    pub(crate) own: Histogram<u64>,
    /// The rest: the socket was full.
    pub(crate) full: Histogram<u64>,
}

/// What became of what was due in one stage.
#[derive(Clone, Debug)]
pub(crate) struct StageSent {
    /// Until the run was over.
    pub(crate) due: u64,
    /// Of these, what was published before the stage had ended.
    pub(crate) in_time: u64,
    /// See [`Sent::own`].
    pub(crate) own: Histogram<u64>,
}

/// One of the two parts of the timetable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) is_warm_up: bool,
}

/// How soon this thread notices that something else than its sockets has changed.
pub(crate) const IDLE: Duration = Duration::from_millis(10);

impl Publisher {
    /// Connects all publishers.
    pub(crate) fn open(shared: Arc<Shared>, handshake: &ClientHandshake) -> Result<Self, String> {
        let traffic = traffic(&shared);
        let mut publisher = Self {
            poller: Poller::new().map_err(|error| error.to_string())?,
            dirty: Vec::new(),
            connections: Vec::new(),
            feeds: feeds(&shared),
            payload: TestPayload::new(traffic.form, shared.marker),
            text: Vec::new(),
            sent: Sent::new(),
            owed: None,
            parts: None,
            reader: None,
            turns: Turns::default(),
            shared,
        };
        publisher.connect(handshake)?;
        Ok(publisher)
    }

    /// Receives, too, whenever there is nothing to publish.
    pub(crate) fn with_reader(mut self, reader: Reader) -> io::Result<Self> {
        self.poller.add(&reader.poller, READER, Interest::Read)?;
        self.reader = Some(reader);
        Ok(self)
    }

    /// Publishes when the phase says so, until everything due is published or it is interrupted;
    /// what came of it, and what the reader in the same thread found out.
    pub(crate) fn run(mut self) -> io::Result<(Sent, Option<ReaderResult>)> {
        // Without this the kernel rounds waits by 50 µs, which would count as latency.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZero::new(1));
        match &self.reader {
            Some(reader) => reader.begin(),
            None => self.shared.publisher.thread.store(thread_id(), Release),
        }
        self.shared.publisher.ready.store(true, Release);
        while self.shared.phase() == Phase::Open {
            self.turn(IDLE, u64::MAX)?;
        }
        let times = &self.shared.milestones;
        let (start, mark, end) =
            (times.start.load(Acquire), times.mark.load(Acquire), times.end.load(Acquire));
        self.parts = Some(self.shared.parts());
        let legs = [
            Leg { from: start, to: mark, is_warm_up: true },
            Leg { from: mark, to: end, is_warm_up: false },
        ];
        for leg in legs {
            self.publish_leg(leg)?;
        }
        while let phase = self.shared.phase()
            && phase < Phase::End
        {
            self.cut_owed();
            if phase == Phase::Drain {
                self.give_up();
            }
            self.shared.publisher.done.store(self.is_flushed(), Release);
            self.turn(IDLE, u64::MAX)?;
        }
        self.cut_owed();
        self.count_unsent();
        self.say_goodbye();
        Ok((self.sent, self.reader.map(Reader::finish)))
    }

    /// What the kernel has not taken by now would arrive after nobody waits for it any more.
    fn give_up(&mut self) {
        for connection in self.connections.iter_mut().filter(|it| !it.is_flushed()) {
            connection.end();
        }
    }

    fn publish_leg(&mut self, leg: Leg) -> io::Result<()> {
        for feed in &mut self.feeds {
            feed.sequence = 0;
        }
        match traffic(&self.shared).pace {
            Pace::Rate(rate) => self.keep_rate(leg, rate),
            Pace::Window(window, by) => self.keep_window(leg, window, by),
        }
    }

    /// Appends one message to its connection.
    pub(crate) fn publish(&mut self, nth: usize, due: u64, is_warm_up: bool) {
        let traffic = traffic(&self.shared);
        let feed = &mut self.feeds[nth];
        let connection = &mut self.connections[feed.connection];
        if connection.link.is_none() {
            return;
        }
        let stream = stream_code(feed.room, feed.nth, is_warm_up);
        let payload = self.payload.stamp(Stamp { stream, sequence: feed.sequence }, due);
        connection.id += 1;
        let plan = &self.shared.plan;
        let fill = plan.fill(plan.members + connection.number, &feed.room_name);
        self.text.clear();
        traffic.publish.render(&mut self.text, &Fill { payload, id: connection.id, ..fill });
        wire::push_message(&mut connection.unsent, self.shared.plan.common.binary, &self.text);
        connection.unacked += u64::from(matches!(traffic.pace, Pace::Window(..)));
        feed.sequence += 1;
        if !is_warm_up {
            if !feed.part.contains(&due)
                && let Some(parts) = &self.parts
            {
                let (part, times) = parts.part_of(due);
                feed.part = times;
                self.shared.begins.note(nth, part, feed.sequence - 1);
            }
            let at = self.shared.clock.now();
            let own = at.saturating_sub(due.max(feed.free_since));
            connection.watch_for(Pending { end: 0, feed: nth, due, at, own });
            self.shared.published[nth].store(feed.sequence, Release);
        }
        if self.dirty.last() != Some(&feed.connection) {
            self.dirty.push(feed.connection);
        }
    }

    /// Sends, waits for sockets at most so long, and reads answers. What a reader in the same
    /// thread has to do it does until the next message is due.
    pub(crate) fn turn(&mut self, timeout: Duration, next_due: u64) -> io::Result<()> {
        for nth in std::mem::take(&mut self.dirty) {
            self.flush(nth)?;
        }
        self.shared.publisher.published.store(self.sent.published, Release);
        for event in 0..self.look(timeout)? {
            let ready = self.poller.ready(event);
            if ready.token != READER {
                self.on_ready(ready)?;
            }
        }
        if let Some(reader) = &mut self.reader {
            reader.turn(Duration::ZERO, next_due)?;
        }
        let gauges = &self.shared.publisher;
        self.turns.note(self.shared.clock.now(), &self.shared, &gauges.longest_gap);
        Ok(())
    }

    /// What is ready, of the reader's sockets, too: it sleeps while this does.
    fn look(&mut self, timeout: Duration) -> io::Result<usize> {
        let Some(reader) = &mut self.reader else { return self.poller.wait(timeout) };
        let (timeout, began) = (timeout.min(reader.patience()), self.shared.clock.now());
        let found = self.poller.wait(timeout)?;
        reader.glances.note_sleep(began..self.shared.clock.now(), timeout, found);
        Ok(found)
    }

    pub(crate) fn on_ready(&mut self, ready: Ready) -> io::Result<()> {
        let nth = ready.token as usize;
        let shared = self.shared.clone();
        match self.connections[nth].read(&traffic(&shared).ack, &mut self.sent.tally) {
            Ok(()) => self.flush(nth)?,
            Err(why) => self.end(nth, &why),
        }
        Ok(())
    }

    fn flush(&mut self, nth: usize) -> io::Result<()> {
        let connection = &mut self.connections[nth];
        let flushed = connection.flush();
        self.count_taken(nth);
        match flushed {
            Ok(is_gone) => self.watch(nth, !is_gone)?,
            Err(why) => self.end(nth, &why),
        }
        Ok(())
    }

    /// A socket that is full says when it takes more.
    pub(crate) fn watch(&mut self, nth: usize, is_blocked: bool) -> io::Result<()> {
        let connection = &mut self.connections[nth];
        if let Some(link) = connection.link.as_ref().filter(|_| is_blocked != connection.is_blocked)
        {
            let interest = if is_blocked { Interest::Write } else { Interest::Read };
            self.poller.modify(link, nth as u64, interest)?;
            connection.is_blocked = is_blocked;
        }
        Ok(())
    }

    fn end(&mut self, nth: usize, why: &str) {
        self.sent.tally.errors.add(&format!("publisher: {why}"));
        self.connections[nth].end();
        if self.is_needed(nth) {
            self.sent.let_go += 1;
            if let Some(room) = self.silent_room(nth) {
                self.shared.end_early(Gone::Publisher(room));
            }
        }
    }

    /// Whether there is something to publish by a connection, now or later.
    fn is_needed(&self, nth: usize) -> bool {
        match self.shared.phase() {
            Phase::Open => true,
            Phase::Publish => {
                let now = self.shared.clock.now();
                now < self.shared.milestones.end.load(Acquire) && !self.is_done(nth, now)
            }
            Phase::Drain | Phase::End => false,
        }
    }

    /// Whether the stages that are left have no messages, and what was before has been taken.
    fn is_done(&self, nth: usize, now: u64) -> bool {
        let Some(owed) = self.owed.as_ref().filter(|owed| owed.is_over(now)) else { return false };
        let mut feeds = self.feeds.iter().enumerate().filter(|(_, feed)| feed.connection == nth);
        feeds.all(|(stream, feed)| !owed.owes(stream, feed.sharers, feed.taken))
    }

    /// A room that this connection published in and nobody does any more.
    fn silent_room(&self, ended: usize) -> Option<u32> {
        let is_silent = |room: u32| {
            let feeds = self.feeds.iter().filter(|feed| feed.room == room);
            let connections = feeds.map(|feed| self.connections.get(feed.connection));
            // Those that have not begun to connect will be there.
            connections.into_iter().all(|it| it.is_some_and(|it| it.link.is_none()))
        };
        let rooms = self.feeds.iter().filter(|feed| feed.connection == ended);
        rooms.map(|feed| feed.room).find(|&room| is_silent(room))
    }

    /// Counts what the kernel has taken of a connection.
    fn count_taken(&mut self, nth: usize) {
        let connection = &mut self.connections[nth];
        let Some(mut taken) = connection.pop_taken() else { return };
        let (now, was_full) = (self.shared.clock.now(), connection.is_blocked);
        loop {
            let feed = &mut self.feeds[taken.feed];
            feed.taken += 1;
            self.shared.taken[taken.feed].store(feed.taken, Release);
            self.sent.published += 1;
            self.note_delay(taken, now, was_full);
            match self.connections[nth].pop_taken() {
                Some(next) => taken = next,
                None => return,
            }
        }
    }

    fn is_flushed(&self) -> bool {
        self.connections.iter().all(PublisherConnection::is_flushed)
    }

    fn say_goodbye(&mut self) {
        for connection in &mut self.connections {
            wire::push_close(&mut connection.unsent, &wire::DONE);
            if let Some(link) = connection.link.take() {
                link.end(&mut connection.unsent);
            }
        }
    }
}

impl Sent {
    pub(crate) fn new() -> Self {
        Self {
            tally: Tally::default(),
            let_go: 0,
            published: 0,
            unsent: 0,
            unsent_at: Vec::new(),
            due: 0,
            in_time: 0,
            measured: 0,
            stages: Vec::new(),
            delays: histogram(3),
            own: histogram(3),
            full: histogram(3),
        }
    }
}

impl StageSent {
    pub(crate) fn new() -> Self {
        Self { due: 0, in_time: 0, own: histogram(3) }
    }

    /// None where nothing was due.
    pub(crate) fn share_in_time(&self) -> Option<f64> {
        (self.due > 0).then(|| self.in_time as f64 / self.due as f64)
    }
}

pub(crate) fn traffic(shared: &Shared) -> &Traffic {
    shared.plan.traffic.as_ref().expect("without traffic nobody publishes")
}

fn feeds(shared: &Shared) -> Vec<Feed> {
    let streams = shared.plan.streams;
    let of_room = |room: u32| {
        let sharers = streams.of(room).len() as u32;
        (0..sharers).map(move |nth| Feed {
            room,
            room_name: shared.plan.room_name(room),
            nth,
            connection: streams.publisher(room, nth) as usize,
            sequence: 0,
            taken: 0,
            free_since: 0,
            part: 0..0,
            sharers,
        })
    };
    (0..streams.rooms).flat_map(of_room).collect()
}
