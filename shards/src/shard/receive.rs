//! Bytes that came in.

use super::Shard;
use crate::close_code::CloseCode;
use crate::connection::{Phase, Wait};
use crate::disconnect::Disconnect;
use crate::id::{ConnId, ShardId};
use crate::inbound::{Inbound, Pending};
use crate::timers::Timer;
use crate::wire::{Incoming, Opcode, push_frame};

/// Whether something may be done now, or why it waits.
pub(super) type Flow = Result<(), Wait>;

/// Whether a message was handled, or why it waits, and what is left of it to be handled.
pub(super) type Handled = Result<(), (Wait, Pending)>;

impl Shard {
    /// Event: these bytes arrived on a connection's socket. They are unmasked in place.
    ///
    /// What cannot be handled yet is kept, and nothing more is to be read until the connection
    /// comes out of [`next_resumed`](Shard::next_resumed); [`wants_read`](Shard::wants_read) tells.
    pub fn receive(&mut self, id: ConnId, bytes: &mut [u8]) {
        let Some(slot) = self.connections.find(id) else { return };
        self.connections[slot].heard = self.now;
        self.connections[slot].pinged = false;
        if !self.connections[slot].is_open() {
            return;
        }
        let inbound = self.connections[slot].inbound.take();
        // Most messages come whole: then the spare one serves every connection in turn.
        let mut inbound = inbound.or_else(|| self.spare_inbound.take()).unwrap_or_default();
        let waits = self.connections[slot].wait.is_some() || !self.reading;
        let used = if waits { 0 } else { self.decode(slot, &mut inbound, bytes) };
        if used < bytes.len() && self.connections[slot].is_open() {
            self.counters.inbound_bytes_copied += (bytes.len() - used) as u64;
            inbound.keep(&bytes[used..]);
        }
        self.put_back(slot, inbound);
        self.reap();
    }

    /// Event: the client has ended its side, or the socket is dead; what it sent before may still
    /// be unread. [`on_end`](Shard::on_end) follows when that is read.
    ///
    /// A client that has ended its side could still read, but it can neither answer a ping nor a
    /// close any more, and RFC 6455 section 7.1.1 has it wait for the server's end instead. So it
    /// counts as gone: what it said is handled, and nothing more is begun for it.
    pub fn on_hang_up(&mut self, id: ConnId) {
        if let Some(slot) = self.connections.find(id) {
            self.note_gone(slot);
        }
    }

    /// Tells the program that a client has gone, which it may wait for.
    pub(super) fn note_gone(&mut self, slot: u32) {
        let connection = &mut self.connections[slot];
        if connection.is_open() && !connection.gone {
            connection.gone = true;
            self.outputs.gone.push_back(self.connections.id(slot));
        }
    }

    /// Event: the client's end of the stream was read, or reading failed.
    pub fn on_end(&mut self, id: ConnId) {
        let Some(slot) = self.connections.find(id) else { return };
        self.note_gone(slot);
        self.connections[slot].ended = true;
        match self.connections[slot].phase {
            Phase::HalfClosed => self.part(slot),
            // What arrived before the end is handled first.
            Phase::Open | Phase::Finishing(_)
                if self.connections[slot].wait.is_some() && self.reading => {}
            Phase::Open | Phase::Finishing(_) => self.mark(slot, Disconnect::Lost),
            Phase::Closing | Phase::Gone | Phase::Vacant => {}
        }
        self.reap();
    }

    /// Whether bytes of this connection are wanted now.
    pub fn wants_read(&self, id: ConnId) -> bool {
        let Some(slot) = self.connections.find(id) else { return false };
        let connection = &self.connections[slot];
        match connection.is_open() {
            true => connection.wait.is_none() && self.reading,
            false => !connection.ended && connection.phase != Phase::Gone,
        }
    }

    /// Takes up a connection whose reason to wait may be over.
    pub(super) fn resume(&mut self, slot: u32) {
        if !self.connections[slot].is_open() || !self.reading {
            return;
        }
        // The client could not be heard while nothing was read: its clocks stood still.
        self.connections[slot].heard = self.now;
        self.set_wait(slot, None);
        if let Some(mut inbound) = self.connections[slot].inbound.take() {
            inbound.begun = inbound.begun.map(|_| self.now);
            self.work_off(slot, &mut inbound);
            self.put_back(slot, inbound);
        }
        let connection = &self.connections[slot];
        if !connection.is_open() || connection.wait.is_some() {
            return;
        }
        match connection.ended {
            true => self.mark(slot, Disconnect::Lost),
            false => self.outputs.resumed.push_back(self.connections.id(slot)),
        }
    }

    fn work_off(&mut self, slot: u32, inbound: &mut Inbound) {
        if let Some(pending) = inbound.pending.take()
            && let Err((wait, pending)) = self.handle_pending(slot, pending)
        {
            inbound.pending = Some(pending);
            return self.begin_wait(slot, wait);
        }
        let (mut bytes, used) = inbound.lend();
        let used = used + self.decode(slot, inbound, &mut bytes[used..]);
        inbound.give_back(bytes, used);
    }

    fn handle_pending(&mut self, slot: u32, pending: Pending) -> Handled {
        if let Err(wait) = self.may_reply(slot) {
            return Err((wait, pending));
        }
        match pending {
            Pending::Text(text) => self.handle_text(slot, &text),
            Pending::Binary(bytes) => self.handle_binary(slot, &bytes),
            Pending::Ping(payload) => self.handle_ping(slot, &payload),
            Pending::Errand(errand) => self.run(slot, *errand),
        }
    }

    /// Handles message after message until the bytes are used up, one must wait, or the connection
    /// is to end. Returns how many of the bytes were used.
    fn decode(&mut self, slot: u32, inbound: &mut Inbound, mut bytes: &mut [u8]) -> usize {
        let (len, message_max) = (bytes.len(), self.config.limits.message_bytes);
        while self.connections[slot].is_open() && self.connections[slot].wait.is_none() {
            let (used, incoming) = match inbound.decoder.decode(bytes, message_max) {
                Ok(decoded) => decoded,
                Err(violation) => {
                    self.mark(slot, violation.into());
                    return len;
                }
            };
            let Some(incoming) = incoming else {
                self.watch_message(slot, inbound);
                return len;
            };
            let waits = self.handle(slot, incoming).err();
            bytes = &mut bytes[used..];
            if inbound.decoder.is_idle() {
                inbound.begun = None;
            }
            if let Some((wait, pending)) = waits {
                inbound.pending = Some(pending);
                self.begin_wait(slot, wait);
            }
        }
        len - bytes.len()
    }

    fn handle(&mut self, slot: u32, incoming: Incoming<'_>) -> Handled {
        match incoming {
            Incoming::Text(text) => self.handle_text(slot, text),
            Incoming::Binary(bytes) => self.handle_binary(slot, bytes),
            Incoming::Ping(payload) => self.handle_ping(slot, payload),
            Incoming::Pong(_) => Ok(()),
            // RFC 6455 section 5.5.1: a close is answered with a close of the same code.
            Incoming::Close(close) => {
                let code = close.code.and_then(|code| CloseCode::new(code).ok());
                self.mark(slot, Disconnect::Normal(code.unwrap_or(CloseCode::NORMAL)));
                Ok(())
            }
        }
    }

    /// Every ping gets its pong (RFC 6455 section 5.5.2). So a client that does not read them is
    /// not read either, as with commands.
    fn handle_ping(&mut self, slot: u32, payload: &[u8]) -> Handled {
        if self.connections[slot].owes_reading(&self.config.limits) {
            self.counters.inbound_bytes_copied += payload.len() as u64;
            return Err((Wait::Own, Pending::Ping(payload.to_vec())));
        }
        let mut pong = Vec::new();
        push_frame(&mut pong, Opcode::Pong, payload);
        self.push_own(slot, &pong);
        Ok(())
    }

    /// A message whose end has not arrived has a time in which it must.
    fn watch_message(&mut self, slot: u32, inbound: &mut Inbound) {
        let timeout = self.config.limits.message_timeout;
        if inbound.decoder.is_idle() || inbound.begun.is_some() || timeout.is_zero() {
            return;
        }
        inbound.begun = Some(self.now);
        if !self.connections[slot].message_timer {
            self.connections[slot].message_timer = true;
            self.timers.set(self.now + timeout, Timer::Message, self.connections.id(slot));
        }
    }

    fn begin_wait(&mut self, slot: u32, wait: Wait) {
        let id = self.connections.id(slot);
        match &wait {
            Wait::Lane(home) => self.lanes[home.index()].waiting.push(id),
            Wait::Pressed(room) => {
                self.pressed.get_mut(&**room).expect("it waits for a pressed room").push(id);
            }
            Wait::Answer(_) | Wait::Own | Wait::Handler | Wait::Begun => {}
        }
        self.set_wait(slot, Some(wait));
    }

    /// Says why the connection's next message waits, if it does; returns why it did.
    pub(super) fn set_wait(&mut self, slot: u32, wait: Option<Wait>) -> Option<Wait> {
        self.paused += u64::from(wait.is_some());
        let before = std::mem::replace(&mut self.connections[slot].wait, wait);
        self.paused -= u64::from(before.is_some());
        before
    }

    /// A connection that ends waits no longer. Returns whether it did.
    pub(super) fn leave_line(&mut self, slot: u32) -> bool {
        let Some(wait) = self.set_wait(slot, None) else { return false };
        let connections = &self.connections;
        let waits = |id: &ConnId| {
            let slot = connections.find(*id);
            slot.is_some_and(|slot| connections[slot].wait.as_ref() == Some(&wait))
        };
        match &wait {
            Wait::Lane(home) => self.lanes[home.index()].waiting.leave(waits),
            Wait::Pressed(room) => {
                self.pressed.get_mut(&**room).into_iter().for_each(|line| line.leave(waits));
            }
            Wait::Answer(_) | Wait::Own | Wait::Handler | Wait::Begun => {}
        }
        true
    }

    fn put_back(&mut self, slot: u32, inbound: Box<Inbound>) {
        if inbound.is_idle() {
            self.spare_inbound = Some(inbound);
        } else if self.connections[slot].is_open() {
            self.connections[slot].inbound = Some(inbound);
        }
    }

    /// Takes up those who wait for room among the requests to `home`: first come, first served, one
    /// command each. Whoever has another one goes to the end of the line.
    pub(super) fn resume_waiting(&mut self, home: ShardId) {
        while self.lanes[home.index()].requests.has_room() {
            let Some(id) = self.lanes[home.index()].waiting.pop() else { break };
            if let Some(slot) = self.connections.find(id)
                && self.connections[slot].wait == Some(Wait::Lane(home))
            {
                self.serving = Some(home);
                self.resume(slot);
                self.serving = None;
            }
        }
        self.reap();
    }
}
