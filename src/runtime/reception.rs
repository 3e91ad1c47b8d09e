//! Connections before they are WebSockets: accepted, read, answered.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use super::greeting::Undecided;
use super::sys;
use super::turn::{Birth, Core, GREETING, Keeping, LISTENER, READ_BYTES, WATCH};
use crate::claims::Claims;
use crate::handshake::{Handshake, Refusal};
use crate::http::{Accept, Head, HttpError};
use crate::session::Session;

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// How long to wait for descriptors to become free before accepting again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Core {
    pub(super) fn accept(&mut self) -> io::Result<()> {
        for _ in 0..ACCEPTS_PER_TURN {
            self.counts.accepts += 1;
            let fd = match sys::accept(&self.listener) {
                Ok(fd) => fd,
                Err(error) => return self.on_accept_error(&error),
            };
            let deadline = self.now() + self.process.limits().handshake_timeout;
            let key = self.greetings.next_key();
            self.poller.add_socket(&fd, GREETING | key)?;
            self.greetings.insert(fd, deadline);
            self.greet(key);
        }
        Ok(())
    }

    fn on_accept_error(&mut self, error: &io::Error) -> io::Result<()> {
        match error.raw_os_error() {
            // Nobody is left, or somebody has hung up already (accept(2)).
            Some(libc::EAGAIN | libc::ECONNABORTED | libc::EINTR | libc::EPROTO) => Ok(()),
            _ => {
                tracing::warn!(%error, "cannot accept connections; trying again in 100 ms");
                self.accepts_again = Some(self.now() + ACCEPT_PAUSE);
                self.poller.remove(&self.listener)
            }
        }
    }

    /// Reads what a connection says before it is a WebSocket.
    pub(super) fn greet(&mut self, key: u64) {
        loop {
            let Some(greeting) = self.greetings.get_mut(key) else { return };
            if greeting.undecided.is_some() {
                return;
            }
            let len = match sys::receive(greeting, &mut self.buffer[..READ_BYTES]) {
                Ok(len @ 1..) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => return drop(self.greetings.remove(key)),
            };
            if !greeting.answered {
                self.on_head(key, len);
            }
        }
    }

    /// Looks at the first `len` bytes of the buffer, and what came before them.
    fn on_head(&mut self, key: u64, len: usize) {
        let Some(greeting) = self.greetings.get_mut(key) else { return };
        if greeting.head.is_empty() {
            let head = Head::parse(&self.buffer[..len]);
            return self.on_parsed(key, head, len);
        }
        greeting.head.extend_from_slice(&self.buffer[..len]);
        let head = Head::parse(&greeting.head);
        let whole = std::mem::take(&mut greeting.head);
        // What came in pieces is put together in the buffer, where the rest of the way expects it.
        let fits = whole.len() <= self.buffer.len();
        match fits {
            true => {
                self.buffer[..whole.len()].copy_from_slice(&whole);
                self.on_parsed(key, head, whole.len());
            }
            false => self.answer(key, &HttpError::head_too_large(self.process.limits().head_bytes)),
        }
    }

    fn on_parsed(&mut self, key: u64, head: Head, len: usize) {
        let head_max = self.process.limits().head_bytes;
        match head {
            Head::Upgrade { len: head, .. } if head > head_max => {
                self.answer(key, &HttpError::head_too_large(head_max));
            }
            Head::Upgrade { len: head, accept } => self.on_handshake(key, accept, head, len),
            Head::Partial | Head::Request if self.head_len(len) > head_max => {
                self.answer(key, &HttpError::head_too_large(head_max));
            }
            Head::Partial => {
                let Some(greeting) = self.greetings.get_mut(key) else { return };
                greeting.head.extend_from_slice(&self.buffer[..len]);
            }
            Head::Request => self.hand_to_http(key, len),
            Head::Garbage => self.answer(key, &HttpError::garbage()),
            Head::TooLarge => self.answer(key, &HttpError::head_too_large(head_max)),
        }
    }

    /// Bytes of the head among the first `len` bytes of the buffer.
    fn head_len(&self, len: usize) -> usize {
        let bytes = &self.buffer[..len];
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        end.map_or(len, |end| end + 4)
    }

    /// A whole handshake stands in the buffer's first `head` bytes. What follows up to `len` is the
    /// first frame's.
    fn on_handshake(&mut self, key: u64, accept: Accept, head: usize, len: usize) {
        if self.process.is_draining() {
            return self.answer(key, &HttpError::draining());
        }
        if self.keeping == Keeping::Nothing {
            return self.upgrade(key, &accept, head..len, None);
        }
        let Some(greeting) = self.greetings.get_mut(key) else { return };
        let address = sys::peer_address(&greeting.fd).ok();
        let bytes = &self.buffer[..head];
        let Some(handshake) = address.and_then(|address| Handshake::read(bytes, address)) else {
            // The peer has gone already: only that leaves a socket without address.
            return drop(self.greetings.remove(key));
        };
        if self.keeping == Keeping::Sessions {
            let session = Session::new(handshake, Claims::anonymous());
            return self.upgrade(key, &accept, head..len, Some(session));
        }
        let rest = self.buffer[head..len].to_vec();
        greeting.undecided = Some(Undecided { accept, rest });
        self.births.push(Birth::Authorize { key, handshake });
    }

    /// The program has decided about a handshake, if that is still there.
    pub(crate) fn end_authorize(
        &mut self,
        key: u64,
        handshake: Handshake,
        verdict: Result<Claims, Refusal>,
    ) {
        let greeting = self.greetings.get_mut(key);
        let Some(undecided) = greeting.and_then(|greeting| greeting.undecided.take()) else {
            return;
        };
        match verdict {
            Ok(claims) => {
                let rest = undecided.rest.len();
                self.buffer[..rest].copy_from_slice(&undecided.rest);
                let session = Session::new(handshake, claims);
                self.upgrade(key, &undecided.accept, 0..rest, Some(session));
            }
            Err(refusal) => self.answer(key, &HttpError::refusal(refusal)),
        }
    }

    /// Answers a handshake. What follows its head in the buffer is the first frame's.
    fn upgrade(&mut self, key: u64, accept: &Accept, rest: Range<usize>, session: Option<Session>) {
        if self.process.is_draining() {
            return self.answer(key, &HttpError::draining());
        }
        if !self.process.claim_connection() {
            return self.answer(key, &HttpError::capacity(self.process.limits().connections));
        }
        let Some(greeting) = self.greetings.remove(key) else { return };
        const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Accept: ";
        let mut response = [0; HEAD.len() + 28 + 4];
        response[..HEAD.len()].copy_from_slice(HEAD);
        response[HEAD.len()..HEAD.len() + 28].copy_from_slice(accept);
        response[HEAD.len() + 28..].copy_from_slice(b"\r\n\r\n");
        // A new socket's buffer is empty, so that it takes these bytes or is dead.
        if sys::send(&greeting.fd, &response).ok() != Some(response.len()) {
            return self.process.release_connection();
        }
        self.open(greeting.fd, rest, session);
    }

    fn open(&mut self, fd: OwnedFd, rest: Range<usize>, session: Option<Session>) {
        // A slot may be vacant in the engine whose descriptor is not closed yet.
        self.take_outputs();
        let id = self.shard.open(self.permissions);
        if let Some(session) = session {
            self.sessions.insert(id, Rc::new(session));
        }
        let token = u64::from(id.slot) << 32 | u64::from(id.generation);
        // The poller tells a socket's state anew when it gets another token, so that nothing which
        // came while the handshake was undecided is missed (epoll_ctl(2), EPOLL_CTL_MOD).
        let renamed = self.poller.rename_socket(&fd, token);
        self.sockets.insert(id, fd);
        if renamed.is_err() {
            return self.shard.on_end(id);
        }
        if !rest.is_empty() {
            self.shard.receive(id, &mut self.buffer[rest]);
        }
    }

    /// Leaves a connection to a task of its own, which the poller wakes from here on.
    fn hand_to_http(&mut self, key: u64, len: usize) {
        let Some(greeting) = self.greetings.remove(key) else { return };
        let watch = self.watches.insert();
        let token = WATCH | watch;
        match self.poller.rename_socket(&greeting, token) {
            Ok(()) => {
                let head = self.buffer[..len].to_vec();
                self.births.push(Birth::Http { fd: greeting.fd, watch, head });
            }
            Err(_) => self.watches.remove(watch),
        }
    }

    /// Answers what never becomes a request, and waits for its end.
    fn answer(&mut self, key: u64, error: &HttpError) {
        let Some(greeting) = self.greetings.get_mut(key) else { return };
        // A socket that has just connected takes a few hundred bytes, or nobody reads them.
        let _ = sys::send(greeting, &error.to_bytes());
        sys::shutdown_write(greeting);
        let deadline = self.now() + self.process.limits().close_timeout;
        self.greetings.set_answered(key, deadline);
    }

    pub(super) fn on_deadlines(&mut self) {
        let now = self.now();
        self.alarms.go_off(now);
        while let Some(key) = self.greetings.next_late(now) {
            let Some(greeting) = self.greetings.get_mut(key) else { continue };
            if greeting.undecided.is_some() {
                self.answer(key, &HttpError::authorize_timeout());
            } else if !greeting.head.is_empty() {
                self.answer(key, &HttpError::head_timeout());
            } else {
                self.greetings.remove(key);
            }
        }
        while let Some(key) = self.greetings.next_overdue(now) {
            self.greetings.remove(key);
        }
        if self.accepts_again.is_some_and(|again| again <= now) {
            self.accepts_again = None;
            let again = self.poller.add_listener(&self.listener, LISTENER);
            if again.is_err() {
                self.accepts_again = Some(now + ACCEPT_PAUSE);
            }
        }
    }
}
