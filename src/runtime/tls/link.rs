//! A connected socket, with or without TLS.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use corecast_shards::Time;

use super::session::{Flushed, Received, TlsSession};
use crate::runtime::sys;

/// A socket, and its session if it has one. Where there is none each method is one system call.
#[derive(Debug)]
pub(crate) struct Link {
    fd: OwnedFd,
    session: Option<Box<TlsSession>>,
}

impl Link {
    pub(crate) fn new(fd: OwnedFd, session: Option<Box<TlsSession>>) -> Link {
        Link { fd, session }
    }

    pub(crate) fn into_parts(self) -> (OwnedFd, Option<Box<TlsSession>>) {
        (self.fd, self.session)
    }

    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub(crate) fn session(&self) -> Option<&TlsSession> {
        self.session.as_deref()
    }

    /// Seals from here on, where the client has said this much already. Its handshake begins if it is
    /// admitted, as in [`Link::receive`].
    pub(crate) fn begin_session(
        &mut self,
        mut session: Box<TlsSession>,
        bytes: &[u8],
        buffer: &mut Vec<u8>,
        now: Time,
        admit: impl FnOnce() -> bool,
    ) -> io::Result<Received> {
        let received = match bytes.is_empty() {
            true => Ok(Received::Plain { len: 0, cost: 0, is_drained: false }),
            false => session.begin(&self.fd, bytes, buffer, now, admit),
        };
        self.session = Some(session);
        received
    }

    /// Goes on in clear text: the client does not speak TLS.
    pub(crate) fn drop_session(&mut self) {
        self.session = None;
    }

    /// Whether what is sent reaches a client that can read it.
    pub(crate) fn is_open(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.is_open())
    }

    /// Reads once. A TLS client is admitted or not when its first record is there, and before that is
    /// looked at.
    pub(crate) fn receive(
        &mut self,
        buffer: &mut [u8],
        now: Time,
        admit: impl FnOnce() -> bool,
    ) -> io::Result<Received> {
        if let Some(session) = &mut self.session {
            return session.receive(&self.fd, buffer, usize::MAX, now, admit);
        }
        let room = buffer.len();
        Ok(match sys::receive(&self.fd, buffer)? {
            0 => Received::End,
            len => Received::Plain { len, cost: len, is_drained: len < room },
        })
    }

    /// Hands bytes over; may take fewer. What is sealed of them and not sent is kept.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.session {
            Some(session) => session.send(&self.fd, bytes),
            None => sys::send(&self.fd, bytes),
        }
    }

    /// Hands a short answer to a socket that has room, or is dead. Returns whether it was taken.
    pub(crate) fn send_all(&mut self, bytes: &[u8]) -> bool {
        self.send(bytes).ok() == Some(bytes.len()) && self.flush().ok() == Some(Flushed::All)
    }

    /// Hands over what is kept.
    pub(crate) fn flush(&mut self) -> io::Result<Flushed> {
        let Some(session) = &mut self.session else { return Ok(Flushed::All) };
        session.flush(&self.fd)
    }

    /// Bytes that the client's machine has not acknowledged.
    pub(crate) fn unsent(&self) -> usize {
        let held = self.session.as_ref().map_or(0, |session| session.held());
        held + sys::unsent(&self.fd)
    }

    /// Ends our side.
    pub(crate) fn shutdown_write(&mut self) {
        if let Some(session) = &mut self.session {
            session.say_end();
            // A socket that takes no alert any more is dead, or as good as that.
            let _ = session.flush(&self.fd);
        }
        sys::shutdown_write(&self.fd);
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
