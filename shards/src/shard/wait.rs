//! The bookkeeping of connections whose next command waits. Whether it has to wait is decided in
//! `command.rs` and `intake.rs`.

use super::directory::Directory;
use super::host::Host;
use crate::connection::Wait;
use crate::id::ConnId;
use crate::place::Slot;

impl Directory {
    /// Says why the connection's next message waits, if it does; returns why it did.
    pub(super) fn set_wait(&mut self, slot: Slot, wait: Option<Wait>) -> Option<Wait> {
        self.waiting += u64::from(wait.is_some());
        let before = self.connections[slot].set_wait(wait);
        self.waiting -= u64::from(before.is_some());
        before
    }
}

impl Host {
    /// The connection waits no longer, because it ends. Returns whether it did.
    pub(super) fn leave_queue(&mut self, slot: Slot) -> bool {
        let Some(wait) = self.directory.set_wait(slot, None) else { return false };
        self.decided.remove(&slot);
        let directory = &self.directory;
        let waits = |id: &ConnId| {
            let slot = directory.find(*id);
            slot.is_some_and(|slot| directory[slot].wait() == Some(&wait))
        };
        match &wait {
            Wait::Capacity(home) => self.outboxes.leave_queue(*home, waits),
            Wait::Paused(room) => {
                self.paused_rooms.get_mut(&**room).into_iter().for_each(|queue| queue.leave(waits));
            }
            Wait::Memory => self.pressure.publishers.leave(waits),
            Wait::Turn => self.queues.to_inflate.leave(waits),
            Wait::Change(_) | Wait::Replies | Wait::Handler | Wait::Begun | Wait::Over => {}
        }
        true
    }

    /// Whether the connection's next command is carried out when its wait is over: a drain ends only
    /// the wait of commands that are not begun.
    pub(super) fn goes_on(&self, slot: Slot) -> bool {
        self.reading || self.decided.contains(&slot)
    }

    /// The reason for which a connection waits is over: its next message is handled when the event
    /// ends.
    pub(super) fn resume_later(&mut self, slot: Slot) {
        if self.directory[slot].is_open() && self.goes_on(slot) {
            self.directory.set_wait(slot, Some(Wait::Over));
            self.queues.to_resume.push_back(self.directory.id(slot));
        }
    }
}
