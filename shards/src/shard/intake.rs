//! What clients send: bytes become messages, and each is handled now or later, in order.

use super::host::Host;
use super::inflate::Weighed;
use crate::close_code::CloseCode;
use crate::connection::Wait;
use crate::connection::inbound::{Deflated, Errand, Inbound, Pending, What};
use crate::disconnect::Disconnect;
use crate::format::Fact;
use crate::id::ShardId;
use crate::place::Slot;
use crate::timers::Timer;
use crate::wire::{Incoming, MessageRules};

/// Whether a message was handled, or why it waits, and what is left of it to be handled.
pub(super) type Processed = Result<(), (Wait, Pending)>;

/// A host that handles what clients send.
///
/// The host itself never does: where a message may be handled again, it says so with
/// [`Host::resume_later`], and it is when the event ends.
pub(super) struct Intake<'a>(pub(super) &'a mut Host);

impl Intake<'_> {
    /// Takes up every connection whose reason to wait is over. Returns whether there was one.
    pub(super) fn resume_all(&mut self) -> bool {
        let mut resumed = false;
        while let Some(id) = self.0.queues.to_resume.pop_front() {
            resumed = true;
            if let Some(slot) = self.0.directory.find(id)
                && self.0.directory[slot].wait() == Some(&Wait::Over)
            {
                self.resume(slot);
            }
        }
        while let Some(home) = self.0.queues.homes_to_resume.pop_front() {
            resumed = true;
            self.resume_waiting(home);
        }
        resumed
    }

    /// These bytes arrived on a connection's socket.
    pub(super) fn receive(&mut self, slot: Slot, bytes: &mut [u8]) {
        self.0.directory[slot].last_received = self.0.now;
        (self.0.directory[slot].pinged, self.0.directory[slot].read_again) = (false, false);
        let connection = &self.0.directory[slot];
        if !connection.is_open() {
            return;
        }
        if !connection.format.is_read() {
            return self.discard(slot, bytes.len());
        }
        let inbound = self.take_inbound(slot);
        // Most messages come whole: then the spare one serves every connection in turn.
        let mut inbound = inbound.or_else(|| self.0.spare_inbound.take()).unwrap_or_default();
        let waits = self.0.directory[slot].wait().is_some() || !self.0.reading;
        let used = if waits { 0 } else { self.decode(slot, &mut inbound, bytes) };
        if used < bytes.len() && self.0.directory[slot].is_open() {
            self.0.counters.inbound_bytes_copied += (bytes.len() - used) as u64;
            inbound.keep(&bytes[used..]);
        }
        self.put_back(slot, inbound);
        self.0.counters.memory.reads_stopped += u64::from(self.0.is_held_back(slot));
    }

    /// Takes up a connection whose reason to wait may be over.
    pub(super) fn resume(&mut self, slot: Slot) {
        if !self.0.directory[slot].is_open() || !self.0.goes_on(slot) {
            return;
        }
        // The client could not be heard while nothing was read: its clocks stood still.
        self.0.directory[slot].last_received = self.0.now;
        if self.0.directory[slot].format.is_read() {
            self.0.rates.catch_up(slot.number(), self.0.now);
        }
        self.0.directory.set_wait(slot, None);
        if let Some(mut inbound) = self.take_inbound(slot) {
            inbound.go_on(self.0.now);
            self.work_off(slot, &mut inbound);
            self.put_back(slot, inbound);
        }
        if self.0.directory[slot].format.has_head() {
            self.join_rooms(slot);
        }
        let connection = &self.0.directory[slot];
        if !connection.is_open() || connection.wait().is_some() || !self.0.reading {
            return;
        }
        match connection.input_ended {
            true => self.0.schedule_close(slot, Disconnect::Lost),
            false => self.0.outputs.resumed.push_back(self.0.directory.id(slot)),
        }
    }

    /// Has an event stream join its rooms, each by a command.
    pub(super) fn join_rooms(&mut self, slot: Slot) {
        while self.0.directory[slot].is_open()
            && self.0.directory[slot].wait().is_none()
            && let Some((room, start)) = self.0.directory.streams.next_join(slot)
        {
            let errand = Errand { room: Some(room), id: None, what: What::Join(start.into()) };
            if let Err((wait, pending)) = self.run(slot, errand) {
                self.0.directory.connections.change_inbound(slot, |inbound| {
                    inbound.get_or_insert_default().pending = Some(pending);
                });
                self.begin_wait(slot, wait);
            }
        }
    }

    fn work_off(&mut self, slot: Slot, inbound: &mut Inbound) {
        if let Some(pending) = inbound.pending.take()
            && let Err((wait, pending)) = self.handle_pending(slot, pending)
        {
            inbound.pending = Some(pending);
            return self.stop(slot, inbound, wait);
        }
        self.0.decided.remove(&slot);
        if !self.0.reading {
            return;
        }
        let (mut bytes, used) = inbound.lend();
        let used = used + self.decode(slot, inbound, &mut bytes[used..]);
        inbound.give_back(bytes, used);
    }

    fn handle_pending(&mut self, slot: Slot, pending: Pending) -> Processed {
        // In a drain this is its last command, and a client that does not read must not hold it up.
        if self.0.reading
            && let Err(wait) = self.0.directory[slot].may_reply(&self.0.config.limits)
        {
            return Err((wait, pending));
        }
        match pending {
            Pending::Text(text) => self.handle_text(slot, &text),
            Pending::Binary(bytes) => self.handle_binary(slot, &bytes),
            Pending::Ping(payload) => self.handle_ping(slot, &payload),
            Pending::Errand(errand) => self.run(slot, *errand),
            Pending::Deflated(deflated) => self.handle_deflated(slot, deflated),
        }
    }

    /// Takes up a message that was kept compressed. It is inflated again; if it must wait again, so is
    /// what it came as.
    fn handle_deflated(&mut self, slot: Slot, deflated: Deflated) -> Processed {
        if !self.may_inflate_again() {
            return Err((Wait::Turn, Pending::Deflated(deflated)));
        }
        let most = self.0.config.limits.message_bytes;
        let mut buffer = self.0.inflation.lend();
        let processed = match self.0.inflation.inflate_again(&deflated, most, &mut buffer) {
            Ok(Incoming::Text(text)) if deflated.is_read => self.run_again(slot, text),
            Ok(incoming) => self.handle(slot, incoming),
            Err(violation) => {
                self.0.schedule_close(slot, violation.into());
                Ok(())
            }
        };
        self.0.inflation.keep(buffer);
        processed.map_err(|(wait, pending)| {
            (wait, pending.or_deflated((&deflated.payload, deflated.frames)))
        })
    }

    /// Handles message after message until the bytes are used up, one must wait, or the connection
    /// is to end. Returns how many of the bytes were used.
    fn decode(&mut self, slot: Slot, inbound: &mut Inbound, mut bytes: &mut [u8]) -> usize {
        let (len, rules) = (bytes.len(), self.rules(slot));
        while self.0.directory[slot].is_open() && self.0.directory[slot].wait().is_none() {
            let is_compressed = rules.deflate && inbound.decoder.is_at_compressed(bytes);
            if is_compressed && !bytes.is_empty() && !self.may_inflate() {
                // Only the time from now on is one in which it is not heard.
                self.0.rates.count_input(slot.number(), 0, 0, self.0.now);
                self.stop(slot, inbound, Wait::Turn);
                break;
            }
            let inflation = &mut self.0.inflation;
            let mut buffer = inflation.lend();
            let decoded = inbound.decoder.decode(bytes, rules).and_then(|(used, incoming)| {
                Ok((used, inflation.inflate(used, incoming, rules.bytes_max, &mut buffer)?))
            });
            let (used, Weighed { incoming, weight, payload }) = match decoded {
                Ok(decoded) => decoded,
                Err(violation) => {
                    self.0.schedule_close(slot, violation.into());
                    return len;
                }
            };
            let handled = self.handle_paced(slot, incoming, weight);
            let handled = handled.map(|processed| {
                processed.map_err(|(wait, pending)| match payload {
                    Some(payload) => (wait, pending.or_deflated(payload)),
                    None => (wait, pending),
                })
            });
            self.0.inflation.keep(buffer);
            let Some(processed) = handled else {
                if self.0.directory[slot].is_open() {
                    self.watch_message(slot, inbound);
                }
                return len;
            };
            bytes = &mut bytes[used..];
            if inbound.decoder.is_idle() {
                inbound.set_begun(None);
            }
            if let Err((wait, pending)) = processed {
                inbound.pending = Some(pending);
                self.stop(slot, inbound, wait);
            }
        }
        len - bytes.len()
    }

    /// Whether the turn's share is left; of those that have waited for it, each has one message at a time.
    fn may_inflate(&self) -> bool {
        let inflation = &self.0.inflation;
        inflation.is_left(self.0.config.tuning.inflated_bytes) && !inflation.has_had_its_message()
    }

    /// What has waited for something else has a share of its own, so that it does not always find the
    /// turn's used up when that is there.
    fn may_inflate_again(&self) -> bool {
        self.0.inflation.is_left(2 * self.0.config.tuning.inflated_bytes)
    }

    /// A turn begins: takes up the connections that wait for that, as far as it goes.
    pub(super) fn resume_inflating(&mut self) {
        self.0.inflation.begin_turn();
        while self.may_inflate()
            && let Some(id) = self.0.queues.to_inflate.pop()
        {
            if let Some(slot) = self.0.directory.find(id)
                && self.0.directory[slot].wait() == Some(&Wait::Turn)
            {
                self.0.inflation.begin_one();
                self.resume(slot);
                self.0.inflation.end_one();
            }
        }
    }

    /// Handles what came, if it comes no faster than it may; none when nothing more can be done, because
    /// no message is whole or the connection is to end.
    fn handle_paced(
        &mut self,
        slot: Slot,
        incoming: Option<Incoming<'_>>,
        weight: usize,
    ) -> Option<Processed> {
        let messages = u32::from(incoming.is_some());
        let excess = self.0.rates.count_input(slot.number(), weight, messages, self.0.now);
        if excess.is_some_and(|excess| excess.closes) {
            self.0.schedule_close(slot, Disconnect::Rate);
            return None;
        }
        let incoming = incoming?;
        Some(match excess {
            None => self.handle(slot, incoming),
            Some(excess) => self.handle_excess(slot, incoming, excess),
        })
    }

    /// What the messages of a connection may be.
    fn rules(&self, slot: Slot) -> MessageRules {
        let limits = &self.0.config.limits;
        MessageRules {
            bytes_max: limits.message_bytes,
            frames_max: limits.frames_per_message,
            deflate: self.0.directory[slot].deflate.is_some(),
        }
    }

    pub(super) fn handle(&mut self, slot: Slot, incoming: Incoming<'_>) -> Processed {
        match incoming {
            Incoming::Deflated { .. } => unreachable!("a message is inflated before it is handled"),
            Incoming::Text(text) => self.handle_text(slot, text),
            Incoming::Binary(bytes) => self.handle_binary(slot, bytes),
            Incoming::Ping(payload) => self.handle_ping(slot, payload),
            Incoming::Pong(_) => Ok(()),
            // RFC 6455 section 5.5.1: a close is answered with a close of the same code.
            Incoming::Close(close) => {
                let code = close.code.and_then(|code| CloseCode::new(code).ok());
                self.0.schedule_close(slot, Disconnect::Normal(code.unwrap_or(CloseCode::NORMAL)));
                Ok(())
            }
        }
    }

    /// Every ping gets its pong (RFC 6455 section 5.5.2). So a client that does not read them is
    /// not read either, as with commands.
    fn handle_ping(&mut self, slot: Slot, payload: &[u8]) -> Processed {
        if self.0.directory[slot].has_unread_replies(&self.0.config.limits) {
            self.0.counters.inbound_bytes_copied += payload.len() as u64;
            return Err((Wait::Replies, Pending::Ping(payload.to_vec())));
        }
        self.0.say(slot, &Fact::Echo(payload));
        Ok(())
    }

    /// A message whose end has not arrived has a time in which it must.
    fn watch_message(&mut self, slot: Slot, inbound: &mut Inbound) {
        let timeout = self.0.config.limits.message_timeout;
        if inbound.decoder.is_idle() || inbound.begun(self.0.now).is_some() {
            return;
        }
        inbound.set_begun(Some(self.0.now));
        if !self.0.directory[slot].message_timer && !timeout.is_zero() {
            self.0.directory[slot].message_timer = true;
            self.0.timers.set(self.0.now + timeout, Timer::Message, self.0.directory.id(slot));
        }
    }

    fn take_inbound(&mut self, slot: Slot) -> Option<Box<Inbound>> {
        match &*self.0.directory[slot].inbound {
            Some(_) => self.0.directory.connections.change_inbound(slot, Option::take),
            None => None,
        }
    }

    fn put_back(&mut self, slot: Slot, mut inbound: Box<Inbound>) {
        if inbound.is_idle() {
            inbound.set_begun(None);
            self.0.spare_inbound = Some(inbound);
        } else if self.0.directory[slot].is_open() {
            self.0.directory.connections.change_inbound(slot, |kept| *kept = Some(inbound));
        }
    }

    /// The connection is not read until this wait is over.
    fn stop(&mut self, slot: Slot, inbound: &mut Inbound, wait: Wait) {
        inbound.stop_clock(self.0.now);
        self.begin_wait(slot, wait);
    }

    /// The next message of a connection without one that has begun waits.
    pub(super) fn begin_wait(&mut self, slot: Slot, wait: Wait) {
        let id = self.0.directory.id(slot);
        match &wait {
            Wait::Capacity(home) => self.0.outboxes.wait(*home, id),
            Wait::Paused(room) => {
                self.0.paused_rooms.get_mut(&**room).expect("it waits for a paused room").push(id);
            }
            Wait::Memory => {
                self.0.counters.memory.publishes_paused += 1;
                self.0.pressure.publishers.push(id);
            }
            Wait::Turn => self.0.queues.to_inflate.push(id),
            Wait::Change(_) | Wait::Replies | Wait::Handler | Wait::Begun | Wait::Over => {}
        }
        self.0.directory.set_wait(slot, Some(wait));
    }

    /// Takes up the connections that wait for capacity towards `home`: first come, first served, one
    /// command each. A connection that has another one goes to the end of the queue.
    pub(super) fn resume_waiting(&mut self, home: ShardId) {
        while let Some(id) = self.0.outboxes.next_waiting(home) {
            if let Some(slot) = self.0.directory.find(id)
                && self.0.directory[slot].wait() == Some(&Wait::Capacity(home))
            {
                self.0.outboxes.serve(Some(home));
                self.resume(slot);
                self.0.outboxes.serve(None);
            }
        }
    }
}
