//! Bytes that came in.

use super::Shard;
use crate::close_code::CloseCode;
use crate::connection::{Inbound, Pending, Phase, Wait};
use crate::disconnect::Disconnect;
use crate::id::ConnId;
use crate::wire::{Incoming, Opcode, push_frame};

/// Whether a message was handled, or why it waits.
pub(super) type Flow = Result<(), Wait>;

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
        if self.connections[slot].wait.is_some() || !self.reading {
            inbound.bytes.extend_from_slice(bytes);
        } else {
            self.decode(slot, &mut inbound, bytes);
        }
        self.put_back(slot, inbound);
        self.reap();
    }

    /// Event: the client's end of the stream was read, or reading failed.
    pub fn on_end(&mut self, id: ConnId) {
        let Some(slot) = self.connections.find(id) else { return };
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
        // The client could not be heard while nothing was read: its idle clock stood still.
        self.connections[slot].heard = self.now;
        self.connections[slot].wait = None;
        if let Some(mut inbound) = self.connections[slot].inbound.take() {
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
            && let Err(wait) = self.handle_pending(slot, &pending)
        {
            inbound.pending = Some(pending);
            self.begin_wait(slot, wait);
            return;
        }
        let mut bytes = std::mem::take(&mut inbound.bytes);
        self.decode(slot, inbound, &mut bytes);
    }

    fn handle_pending(&mut self, slot: u32, pending: &Pending) -> Flow {
        match pending {
            Pending::Text(text) => self.handle_text(slot, text),
            Pending::Binary(bytes) => self.handle_binary(slot, bytes),
        }
    }

    /// Handles message after message until the bytes are used up, one must wait, or the connection
    /// is to end.
    fn decode(&mut self, slot: u32, inbound: &mut Inbound, mut bytes: &mut [u8]) {
        let message_max = self.config.limits.message_bytes;
        while self.connections[slot].is_open() && self.connections[slot].wait.is_none() {
            let (used, incoming) = match inbound.decoder.decode(bytes, message_max) {
                Ok(decoded) => decoded,
                Err(violation) => return self.mark(slot, violation.into()),
            };
            let Some(incoming) = incoming else { return };
            let waits = self.handle(slot, incoming).err();
            bytes = &mut bytes[used..];
            if let Some((wait, pending)) = waits {
                inbound.pending = Some(pending);
                self.begin_wait(slot, wait);
            }
        }
        inbound.bytes.extend_from_slice(bytes);
    }

    fn handle(&mut self, slot: u32, incoming: Incoming<'_>) -> Result<(), (Wait, Pending)> {
        match incoming {
            Incoming::Text(text) => {
                let flow = self.handle_text(slot, text);
                return flow.map_err(|wait| (wait, Pending::Text(text.to_owned())));
            }
            Incoming::Binary(bytes) => {
                let flow = self.handle_binary(slot, bytes);
                return flow.map_err(|wait| (wait, Pending::Binary(bytes.to_vec())));
            }
            Incoming::Ping(payload) => {
                let mut pong = Vec::new();
                push_frame(&mut pong, Opcode::Pong, payload);
                self.push_own(slot, &pong);
            }
            Incoming::Pong(_) => {}
            // RFC 6455 section 5.5.1: a close is answered with a close of the same code.
            Incoming::Close(close) => {
                let code = close.code.and_then(|code| CloseCode::new(code).ok());
                self.mark(slot, Disconnect::Normal(code.unwrap_or(CloseCode::NORMAL)));
            }
        }
        Ok(())
    }

    fn begin_wait(&mut self, slot: u32, wait: Wait) {
        let id = self.connections.id(slot);
        match &wait {
            Wait::Lane(home) => self.lanes[home.index()].waiting.push_back(id),
            Wait::Pressed(room) => {
                self.pressed.get_mut(room).expect("it waits for a pressed room").push_back(id);
            }
            Wait::Answer | Wait::Own | Wait::Handler | Wait::Begun => {}
        }
        self.connections[slot].wait = Some(wait);
    }

    fn put_back(&mut self, slot: u32, inbound: Box<Inbound>) {
        if inbound.is_idle() {
            self.spare_inbound = Some(inbound);
        } else if self.connections[slot].is_open() {
            self.connections[slot].inbound = Some(inbound);
        }
    }

    /// Takes up those who wait for room among the requests to `home`, first come first served.
    pub(super) fn resume_waiting(&mut self, home: crate::id::ShardId) {
        let waiting = self.lanes[home.index()].waiting.len();
        self.serving = Some(home);
        for _ in 0..waiting {
            if !self.lanes[home.index()].requests.has_room() {
                break;
            }
            let Some(id) = self.lanes[home.index()].waiting.pop_front() else { break };
            if let Some(slot) = self.connections.find(id)
                && self.connections[slot].wait == Some(Wait::Lane(home))
            {
                self.resume(slot);
            }
        }
        self.serving = None;
        self.reap();
    }
}
