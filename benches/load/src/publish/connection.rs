//! One connection that publishes.

use std::collections::VecDeque;
use std::io;

use crate::client::announcement::{Announcement, contains, violation};
use crate::client::frames::{BINARY, Frames, TEXT, close_kind};
use crate::client::handshake::{Answer, ClientHandshake};
use crate::client::link::ClientLink;
use crate::client::poller::Ready;
use crate::client::socket::error_kind;
use crate::client::wire;
use crate::setup::plan::{Plan, Traffic};
use crate::setup::template::{Fill, Hole};
use crate::watch::tally::Tally;

#[derive(Debug)]
pub(crate) struct PublisherConnection {
    /// `None` once it has ended.
    pub(crate) link: Option<ClientLink>,
    stage: PublisherStage,
    /// When it began to connect.
    pub(crate) began: u64,
    pub(crate) unsent: Vec<u8>,
    /// Bytes that have left `unsent`.
    written: u64,
    /// Measured messages that the kernel has not taken whole.
    pending: VecDeque<Pending>,
    /// The socket takes no more; it is watched for when it does.
    pub(crate) is_blocked: bool,
    /// Messages that were not answered yet, if answers were asked for.
    pub(crate) unacked: u64,
    pub(crate) id: u64,
    pub(crate) number: u32,
    partial: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PublisherStage {
    Connecting,
    /// The request to upgrade is sent.
    Upgrading,
    Open,
}

/// A message on its way to the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    /// Where it ends, of all bytes that this connection sends.
    pub(crate) end: u64,
    /// Its stream.
    pub(crate) feed: usize,
    pub(crate) due: u64,
    /// When it was appended.
    pub(crate) at: u64,
    /// Of the time since it was due, what was our own.
    pub(crate) own: u64,
}

const BUFFER: usize = 64 * 1024;

impl PublisherConnection {
    /// Begins to connect; what went wrong is a sentence.
    pub(crate) fn begin(plan: &Plan, number: u32, now: u64) -> Result<Self, String> {
        let link = ClientLink::connect(plan, plan.members + number);
        let link = Some(link.map_err(|error| error_kind(&error))?);
        Ok(Self { link, began: now, ..Self::absent(number) })
    }

    /// One that is not connected.
    pub(crate) fn absent(number: u32) -> Self {
        Self {
            link: None,
            stage: PublisherStage::Connecting,
            began: 0,
            unsent: Vec::new(),
            written: 0,
            pending: VecDeque::new(),
            // The socket says first that it is connected.
            is_blocked: true,
            unacked: 0,
            id: 0,
            number,
            partial: Vec::new(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.stage == PublisherStage::Open
    }

    /// Goes on with what its socket is ready for: connects, asks for an upgrade, says hello.
    pub(crate) fn advance(
        &mut self,
        ready: Ready,
        plan: &Plan,
        handshake: &ClientHandshake,
    ) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Ok(()) };
        match self.stage {
            PublisherStage::Connecting if ready.writable => {
                let failed = link.take_error().unwrap_or_else(Some);
                if let Some(error) = failed {
                    return Err(error_kind(&error));
                }
                let room = plan.room_name(plan.streams.first_room(self.number));
                let fill = plan.fill(plan.members + self.number, &room);
                self.unsent = match plan.common.place {
                    true => handshake.placed_request(&fill),
                    false => handshake.request(&fill),
                };
                self.stage = PublisherStage::Upgrading;
            }
            PublisherStage::Upgrading if ready.readable => {
                if !self.fill()? {
                    return Err("ended instead of answering the upgrade".to_owned());
                }
                match handshake.read(&self.partial) {
                    Answer::Partial => {}
                    Answer::Refused(why) => return Err(why),
                    Answer::Upgraded(used) => {
                        self.partial.drain(..used);
                        self.stage = PublisherStage::Open;
                        self.greet(plan);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn greet(&mut self, plan: &Plan) {
        if plan.common.place {
            // To be placed is to join; a publisher is none of the members.
            let room = plan.room_name(plan.streams.first_room(self.number));
            let leave = format!(r#"{{"event":"cast:leave","room":"{room}"}}"#);
            wire::push_message(&mut self.unsent, plan.common.binary, leave.as_bytes());
        }
        let Some(traffic) = &plan.traffic else { return };
        for text in hellos(plan, traffic, self.number, &mut self.id) {
            wire::push_message(&mut self.unsent, plan.common.binary, &text);
        }
    }

    /// How it is called that it has not opened in time.
    pub(crate) fn lateness(&self) -> &'static str {
        match self.stage {
            PublisherStage::Connecting => "connecting timed out",
            PublisherStage::Upgrading | PublisherStage::Open => {
                "the upgrade was not answered in time"
            }
        }
    }

    /// Reads what is there; false at the end.
    fn fill(&mut self) -> Result<bool, String> {
        let Some(link) = &mut self.link else { return Ok(true) };
        let kept = self.partial.len();
        self.partial.resize(kept + BUFFER, 0);
        let count = match link.read(&mut self.partial[kept..], BUFFER) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if is_passing(&error) => 0,
            Err(error) => return Err(error_kind(&error)),
        };
        self.partial.truncate(kept + count);
        Ok(true)
    }

    /// Reads answers; an error says how the connection ended.
    pub(crate) fn read(&mut self, ack: &[u8], tally: &mut Tally) -> Result<(), String> {
        if !self.fill()? {
            return Err("ended without a close frame".to_owned());
        }
        self.take(ack, tally)
    }

    fn take(&mut self, ack: &[u8], tally: &mut Tally) -> Result<(), String> {
        let bytes = std::mem::take(&mut self.partial);
        let mut frames = Frames::new(&bytes);
        for frame in frames.by_ref() {
            match frame.first {
                TEXT | BINARY => self.on_message(frame.payload, ack, tally),
                0x88 => return Err(close_kind(frame.payload)),
                0x89 => wire::push_pong(&mut self.unsent, frame.payload),
                _ => {}
            }
        }
        if let Some(fault) = frames.fault {
            return Err(violation(fault));
        }
        let rest = frames.rest.len();
        self.partial = bytes;
        self.partial.drain(..self.partial.len() - rest);
        Ok(())
    }

    fn on_message(&mut self, message: &[u8], ack: &[u8], tally: &mut Tally) {
        if self.unacked > 0 && contains(message, ack) {
            self.unacked -= 1;
            tally.acked += 1;
            return;
        }
        if let Some(Announcement::Error(kind)) = Announcement::read(message) {
            // A refusal is an answer too.
            self.unacked = self.unacked.saturating_sub(1);
            tally.errors.add(&kind);
        }
    }

    /// Sends what the socket takes; whether that is everything.
    pub(crate) fn flush(&mut self) -> Result<bool, String> {
        let Some(link) = &mut self.link else { return Ok(true) };
        let before = self.unsent.len();
        let written = link.write(&mut self.unsent);
        self.written += (before - self.unsent.len()) as u64;
        written.map_err(|error| error_kind(&error))
    }

    /// What was appended last is a message that counts as published once the kernel has it.
    pub(crate) fn watch_for(&mut self, message: Pending) {
        let end = self.written + self.unsent.len() as u64;
        self.pending.push_back(Pending { end, ..message });
    }

    /// The next message that the kernel has taken whole. What TLS has sealed and the kernel has not
    /// taken is still here.
    pub(crate) fn pop_taken(&mut self) -> Option<Pending> {
        let written = self.written;
        let is_here = self.link.as_ref().is_some_and(|link| link.has_to_write(&[]));
        self.pending.pop_front_if(|pending| !is_here && pending.end <= written)
    }

    /// Ends it. What the kernel has not taken will not be sent.
    pub(crate) fn end(&mut self) {
        self.link = None;
        self.unsent.clear();
        self.pending.clear();
        (self.unacked, self.is_blocked) = (0, false);
    }

    /// Whether everything is with the kernel, or the connection has ended.
    pub(crate) fn is_flushed(&self) -> bool {
        self.link.as_ref().is_none_or(|link| !link.has_to_write(&self.unsent))
    }
}

/// What a publisher says first: about each of its rooms, where a room is named.
fn hellos(plan: &Plan, traffic: &Traffic, number: u32, id: &mut u64) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    for hello in &traffic.hello {
        let rooms = plan.streams.rooms_of(number);
        for room in rooms.take(if hello.has(&Hole::Room) { usize::MAX } else { 1 }) {
            *id += 1;
            let (mut text, room) = (Vec::new(), plan.room_name(room));
            let fill = Fill { id: *id, ..plan.fill(plan.members + number, &room) };
            hello.render(&mut text, &fill);
            messages.push(text);
        }
    }
    messages
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
