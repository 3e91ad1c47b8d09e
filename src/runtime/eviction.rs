//! Who has to go when the process has no descriptor left.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::driver::{LISTENER, PENDING, ShardDriver};
use super::kernel::Syscall;
use super::sys;
use crate::http::HttpError;

/// A descriptor that is kept for one purpose: to accept a connection when there is no other, and
/// tell it so. Without it clients would wait in the listener's queue for as long as the others stay.
#[derive(Debug)]
pub(super) enum Reserve {
    /// Kept back.
    Spare(OwnedFd),
    /// Lent to this connection, which was refused and is about to end.
    Lent(u64),
    /// Could not be kept back again yet.
    Gone,
}

/// How long to wait before accepting again when nobody can be told to go.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl ShardDriver {
    /// Closes the connection that is missed least, if there is one.
    pub(super) fn evict(&mut self) -> bool {
        let Some(key) = self.pending.most_idle().filter(|key| !self.reserve.is_lent_to(*key))
        else {
            return false;
        };
        self.counts.evicted += 1;
        let handshake = self.pending.remove(key);
        if let Some(handshake) = handshake.filter(|handshake| !handshake.head.is_empty()) {
            // It has begun a request, and may read why it goes.
            let _ = sys::send(&handshake, &HttpError::crowded().to_bytes());
        }
        true
    }

    /// Accepts the next connection in place of the reserve, and tells it that there is no room.
    /// Returns whether that was possible.
    pub(super) fn refuse_next(&mut self) -> bool {
        match std::mem::replace(&mut self.reserve, Reserve::Gone) {
            Reserve::Spare(fd) => drop(fd),
            Reserve::Lent(key) => drop(self.pending.remove(key)),
            Reserve::Gone => return false,
        }
        let Ok(fd) = sys::accept(&self.listener) else { return false };
        let token = PENDING | self.pending.next_key();
        if let Err(error) = self.poller.add_socket(&fd, token) {
            self.note_failure(Syscall::EpollCtl, &error);
            return false;
        }
        // It may have to make way for the next at once, and an unread request would make the kernel
        // tear our answer away.
        let _ = sys::receive(&fd, &mut self.buffer);
        let now = self.now();
        let key = self.pending.insert(fd, None, now);
        self.answer(key, &HttpError::crowded());
        self.reserve = Reserve::Lent(key);
        self.counts.refused += 1;
        true
    }

    /// Keeps a descriptor back again when the last one that was refused is gone.
    pub(super) fn refill_reserve(&mut self) {
        let is_out = match &self.reserve {
            Reserve::Spare(_) => false,
            Reserve::Lent(key) => self.pending.get_mut(*key).is_none(),
            Reserve::Gone => true,
        };
        if is_out {
            self.reserve = match sys::event_fd() {
                Ok(fd) => Reserve::Spare(fd),
                Err(error) => {
                    self.note_failure(Syscall::EventFd, &error);
                    Reserve::Gone
                }
            };
        }
    }

    /// Leaves the listener's queue alone for a moment.
    pub(super) fn pause_accepting(&mut self) {
        self.accepts_again = Some(self.now() + ACCEPT_PAUSE);
        if let Err(error) = self.poller.remove(&self.listener) {
            // Then each poll reports it, and nobody looks.
            self.note_failure(Syscall::EpollCtl, &error);
        }
    }

    /// Watches the listener again, now or after another pause.
    pub(super) fn accept_again(&mut self) {
        self.accepts_again = None;
        match self.poller.add_listener(&self.listener, LISTENER) {
            // It could not be taken out.
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) => {
                self.note_failure(Syscall::EpollCtl, &error);
                self.accepts_again = Some(self.now() + ACCEPT_PAUSE);
            }
            Ok(()) => {}
        }
    }
}

impl Reserve {
    fn is_lent_to(&self, key: u64) -> bool {
        matches!(self, Reserve::Lent(lent) if *lent == key)
    }
}
