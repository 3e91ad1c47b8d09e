//! One connection that publishes.

use std::collections::VecDeque;
use std::io;

use crate::client::announcement::{Announcement, contains, violation};
use crate::client::frames::{BINARY, Frames, TEXT, close_kind};
use crate::client::handshake::{Answer, ClientHandshake};
use crate::client::link::ClientLink;
use crate::client::socket::error_kind;
use crate::client::wire;
use crate::setup::plan::{Plan, Traffic};
use crate::setup::template::Fill;
use crate::watch::tally::Tally;

#[derive(Debug)]
pub(crate) struct PublisherConnection {
    /// `None` once it has ended.
    pub(crate) link: Option<ClientLink>,
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
    /// Connects, upgrades, and says hello; what went wrong is a sentence.
    pub(crate) fn open(
        plan: &Plan,
        traffic: &Traffic,
        handshake: &ClientHandshake,
        number: u32,
    ) -> Result<Self, String> {
        let link = ClientLink::connect_now(plan, plan.members + number);
        let mut link = link.map_err(|error| error_kind(&error))?;
        let mut unsent = Vec::new();
        let request = match plan.common.place {
            false => handshake.request.clone(),
            true => {
                let room = plan.room_name(plan.streams.first_room(number));
                // To be placed is to join; a publisher is none of the members.
                let leave = format!(r#"{{"event":"cast:leave","room":"{room}"}}"#);
                wire::push_message(&mut unsent, plan.common.binary, leave.as_bytes());
                handshake.placed_request(&room)
            }
        };
        let partial = upgrade(&mut link, handshake, request)?;
        for (id, hello) in (1..).zip(&traffic.hello) {
            let mut text = Vec::new();
            hello.render(&mut text, &Fill { room: "", payload: &[], id, number });
            wire::push_message(&mut unsent, plan.common.binary, &text);
        }
        let id = traffic.hello.len() as u64;
        Ok(Self {
            link: Some(link),
            unsent,
            written: 0,
            pending: VecDeque::new(),
            is_blocked: false,
            unacked: 0,
            id,
            number,
            partial,
        })
    }

    /// Reads answers; an error says how the connection ended.
    pub(crate) fn read(&mut self, ack: &[u8], tally: &mut Tally) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let kept = self.partial.len();
        self.partial.resize(kept + BUFFER, 0);
        let count = match link.read(&mut self.partial[kept..], BUFFER) {
            Ok(0) => return Err("ended without a close frame".to_owned()),
            Ok(count) => count,
            Err(error) if is_passing(&error) => 0,
            Err(error) => return Err(error_kind(&error)),
        };
        self.partial.truncate(kept + count);
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

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Asks, and waits for the answer; what came behind it is the beginning of the first frames.
fn upgrade(
    link: &mut ClientLink,
    handshake: &ClientHandshake,
    mut request: Vec<u8>,
) -> Result<Vec<u8>, String> {
    let io = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock => "the upgrade was not answered in time".to_owned(),
        _ => error_kind(&error),
    };
    let mut bytes = Vec::new();
    loop {
        link.write(&mut request).map_err(io)?;
        let kept = bytes.len();
        bytes.resize(kept + BUFFER, 0);
        let count = match link.read(&mut bytes[kept..], BUFFER) {
            Ok(0) => return Err("ended instead of answering the upgrade".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            read => read.map_err(io)?,
        };
        bytes.truncate(kept + count);
        match handshake.read(&bytes) {
            Answer::Partial => {}
            Answer::Refused(why) => return Err(why),
            Answer::Upgraded(used) => {
                link.unblock().map_err(io)?;
                return Ok(bytes.split_off(used));
            }
        }
    }
}
