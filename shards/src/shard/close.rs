//! The end of a connection: its steps, from the decision to the closed socket.

use super::deferred_to_home;
use super::host::Host;
use super::outputs::CloseStep;
use crate::close_code::CloseCode;
use crate::connection::{Connection, Phase, WriteState};
use crate::disconnect::{Close, Disconnect};
use crate::format::Fact;
use crate::place::Slot;
use crate::timers::Timer;

impl Host {
    /// Reads no more commands. What was received and not begun is not handled any more.
    pub(super) fn stop_reading(&mut self) {
        self.reading = false;
        self.end_lingers();
        for slot in self.directory.connections.slots() {
            let connection = &self.directory[slot];
            if connection.input_ended || connection.write_state() == WriteState::Dead {
                // It is only here because what its client sent before is still to be handled.
                self.schedule_close(slot, Disconnect::Lost);
            }
        }
    }

    /// Closes an open connection, for the program. Returns whether it was open.
    pub(super) fn close(&mut self, slot: Slot, close: Close) -> bool {
        let open = self.directory[slot].is_open();
        if open {
            let reason = self.close_texts.keep(slot, close);
            self.schedule_close(slot, reason);
        }
        open
    }

    /// Closes every connection, each as soon as everything that waits for it is sent. What lingers is
    /// sent at once; what comes later and is to linger is not waited for.
    pub(super) fn close_all_when_flushed(&mut self, close: &Close) {
        self.end_all_lingers();
        for slot in self.directory.connections.slots() {
            if !self.directory[slot].is_open() {
                continue;
            }
            let reason = self.close_texts.keep(slot, close.clone());
            if self.directory[slot].write_state() == WriteState::Unbegun {
                // Its client was promised nothing.
                self.schedule_close(slot, reason);
                continue;
            }
            self.directory[slot].finish(reason);
            self.advance_close(slot);
        }
    }

    /// Decides that a connection ends. It stays in its rooms until the event ends.
    pub(super) fn schedule_close(&mut self, slot: Slot, reason: Disconnect) {
        if self.directory[slot].schedule_close(reason) {
            self.queues.to_close.push_back(slot);
        }
    }

    /// Takes connections out of their rooms whose end is decided. One with a begun send stays until
    /// that has ended.
    pub(super) fn process_closes(&mut self) {
        while let Some(slot) = self.queues.to_close.pop_front() {
            let connection = &self.directory[slot];
            if let Some(reason) = connection.close_reason()
                && connection.is_in_rooms()
                && connection.write_state() != WriteState::Begun
            {
                self.begin_close(slot, reason);
            }
        }
    }

    fn begin_close(&mut self, slot: Slot, reason: Disconnect) {
        let id = self.directory.id(slot);
        self.open_connections -= 1;
        self.counters.closed[reason.index()] += 1;
        let hears = self.config.hooks.disconnect || self.config.hooks.members;
        if hears && self.directory[slot].format.is_known_to_program() {
            let rooms = self.directory.rooms_of(slot);
            self.outputs.ended.extend((!rooms.is_empty()).then_some((id, rooms)));
        }
        self.note_members_end(slot);
        self.outputs.close_steps.push_back(CloseStep::LeftRooms(id, reason));
        deferred_to_home::defer_leaves(&mut self.outboxes, &mut self.directory, slot);
        self.directory.connections.change_inbound(slot, |inbound| *inbound = None);
        self.directory.drop_replays(slot);
        self.forget_client(slot);
        self.directory[slot].let_begin();
        self.directory[slot].begin_close();
        if self.leave_queue(slot) || !self.reading {
            // From here on it is read again, so that its end is noticed.
            self.outputs.resumed.push_back(id);
        }
        self.push_close_frame(slot, reason);
        self.set_close_timer(slot);
        self.make_ready(slot);
        self.advance_close(slot);
    }

    /// Nothing is known of the connection's client any more, and nothing is due for it.
    pub(super) fn forget_client(&mut self, slot: Slot) {
        let conn = self.directory.id(slot);
        if let Some(identity) = self.directory[slot].identity.take() {
            self.clients.leave(&identity, conn);
        }
    }

    /// From here on the client has the whole `close_timeout` for its part of the end.
    fn set_close_timer(&mut self, slot: Slot) {
        let due = self.now + self.config.limits.close_timeout;
        if self.directory[slot].close_due < due {
            self.directory[slot].close_due = due;
            self.timers.set(due, Timer::Close, self.directory.id(slot));
        }
    }

    /// What was already to be said to the client goes before the close frame if its socket takes it.
    /// Once the socket has blocked, only the frame in progress and the head of an event stream do.
    fn push_close_frame(&mut self, slot: Slot, reason: Disconnect) {
        let random = self.rng.next();
        let words = self.close_texts.take(slot, reason);
        let head = self.directory.streams.close(slot);
        let format = self.directory[slot].format;
        let code = code_to_send(&self.directory[slot], reason);
        let is_blocked = self.directory[slot].is_blocked();
        self.directory.change_direct(slot, |direct| {
            let Some(code) = code else { return *direct = None };
            let direct = direct.get_or_insert_default();
            if is_blocked {
                direct.keep_frame_in_progress(format.encoding(None));
            }
            direct.queue().extend(head.into_iter().flatten());
            let words = words.unwrap_or_else(|| reason.reason(random).into());
            format.push_reply(&Fact::Close { code, reason: &words }, direct.queue());
        });
    }

    /// Takes the next step of an end, unless the connection is still to be sent something first.
    pub(super) fn advance_close(&mut self, slot: Slot) {
        let connection = &self.directory[slot];
        let sends = matches!(connection.write_state(), WriteState::Begun | WriteState::Held);
        let owes = || connection.replays.is_some() || self.directory.owes_positions(slot);
        if sends || connection.has_direct() || owes() {
            return;
        }
        match connection.phase() {
            Phase::Finishing(reason) if !self.is_owed_messages(slot) => {
                self.schedule_close(slot, reason);
            }
            Phase::Closing
                if connection.input_ended || connection.write_state() == WriteState::Dead =>
            {
                self.close_socket(slot);
            }
            Phase::Closing => {
                self.directory[slot].half_close();
                self.set_close_timer(slot);
                let id = self.directory.id(slot);
                self.outputs.close_steps.push_back(CloseStep::ShutdownWrite(id));
            }
            _ => {}
        }
    }

    /// The socket is to be closed; what remains is the leaves that are deferred.
    pub(super) fn close_socket(&mut self, slot: Slot) {
        self.directory.change_direct(slot, |direct| *direct = None);
        if self.directory[slot].end() {
            self.blocked -= 1;
        }
        self.outputs.close_steps.push_back(CloseStep::Close(self.directory.id(slot)));
        self.directory.vacate(slot);
    }
}

/// The code of the close frame; none when no close frame is sent.
///
/// A client that has ended its side of an event stream may still read: its response gets its head
/// and its end, in which a code has no place.
fn code_to_send(connection: &Connection, reason: Disconnect) -> Option<u16> {
    if connection.write_state() == WriteState::Dead {
        return None;
    }
    let of_response = connection.format.has_head().then_some(CloseCode::NORMAL.get());
    reason.close_code().or(of_response)
}
