//! Connections before they are WebSockets: accepted, read, answered.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Instant;

use corecast_shards::{ConnId, Permissions};

use super::driver::{PENDING, READ_BYTES, REGISTRATION, SessionPolicy, ShardDriver, SpawnRequest};
use super::flush::QUANTUM_TIME_MAX;
use super::kernel::Syscall;
use super::pending::AwaitingAuthorization;
use super::server_state::{HttpPlace, ServerState};
use super::sys;
use crate::claims::Claims;
use crate::handshake::{Handshake, Refusal};
use crate::http::{EventStream, Head, HttpError, SUBPROTOCOL, Upgrade};
use crate::session::Session;

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Connections beyond the limit of a shard that are kept until they have read that they are.
const TURNED_AWAY_MAX: usize = 64;

/// Reads from connections before their handshake in one turn, half of which find nothing; and bytes,
/// give or take one read's.
const PENDING_READS_PER_TURN: usize = 128;
const PENDING_BYTES_PER_TURN: usize = 64 << 10;

impl ShardDriver {
    /// Accepts as many as there are, but not longer than a quantum lasts. The listener is watched
    /// level-triggered, so that the next turn finds the others.
    pub(super) fn accept(&mut self) {
        if self.accepts_again.is_some() {
            return;
        }
        let begin = Instant::now();
        self.refill_reserve();
        for _ in 0..ACCEPTS_PER_TURN {
            if self.is_crowded() && self.pending.has_readable() {
                // Those that are still to be read may turn out to have nothing to say, and make way.
                return;
            }
            self.counts.accepts += 1;
            match sys::accept(&self.listener) {
                Ok(fd) => self.add_pending(fd),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_of_connection(&error) => {}
                Err(error) if self.makes_way(&error) => {}
                Err(_) => return,
            }
            if begin.elapsed() > QUANTUM_TIME_MAX {
                return;
            }
        }
    }

    /// Makes room for a connection that could not be accepted. Returns whether the next one may be
    /// tried now.
    fn makes_way(&mut self, error: &io::Error) -> bool {
        self.note_failure(Syscall::Accept, error);
        if is_full(error) {
            if self.evict() {
                return true;
            }
            if self.pending.has_readable() {
                // Those that are still to be read may turn out to be idle.
                return false;
            }
            if self.registrations.evict() {
                // Its descriptor is free when its task has run.
                return false;
            }
            if self.refuse_next() {
                return true;
            }
        }
        self.pause_accepting();
        false
    }

    /// Whether the limit of plain HTTP connections and handshakes is reached.
    fn is_crowded(&self) -> bool {
        self.state.http_connections() >= self.state.limits().http_connections
    }

    /// A place for a new connection, if need be that of one which is between two requests, or has
    /// said nothing yet.
    fn http_place(&mut self) -> Option<HttpPlace> {
        let place = ServerState::claim_http(&self.state);
        if place.is_some() {
            return place;
        }
        if !self.registrations.evict() {
            drop(self.pending.most_silent().and_then(|key| self.pending.remove(key))?);
        }
        self.counts.evicted += 1;
        Some(ServerState::succeed_http(&self.state))
    }

    /// Takes a new connection in, to be read from now on.
    fn add_pending(&mut self, fd: OwnedFd) {
        let place = self.http_place();
        if place.is_none() && self.pending.answered() >= TURNED_AWAY_MAX {
            return self.turn_away(&fd);
        }
        let token = PENDING | self.pending.next_key();
        let watched = self.poller.add_socket(&fd, token).or_else(|error| {
            self.note_failure(Syscall::EpollCtl, &error);
            // The place of an idle one may be what is missing.
            if self.evict() { self.poller.add_socket(&fd, token) } else { Err(error) }
        });
        if watched.is_err() {
            // Nobody would say when it is readable.
            return self.turn_away(&fd);
        }
        let is_welcome = place.is_some();
        let deadline = self.now() + self.state.limits().handshake_timeout;
        let key = self.pending.insert(fd, place, deadline);
        if is_welcome {
            return self.pending.queue(key);
        }
        self.counts.refused += 1;
        self.answer(key, &HttpError::crowded());
    }

    /// Tells a connection that there is no room, and ends it at once. What it has said is read
    /// before, so that its unread request does not make the kernel tear our answer away.
    fn turn_away(&mut self, fd: &OwnedFd) {
        let _ = sys::receive(fd, &mut self.buffer);
        let _ = sys::send(fd, &HttpError::crowded().to_bytes());
        self.counts.refused += 1;
    }

    /// Reads what connections say before they are WebSockets.
    pub(super) fn read_handshakes(&mut self) {
        let (begin, mut bytes) = (Instant::now(), 0);
        for _ in 0..PENDING_READS_PER_TURN {
            let Some(key) = self.pending.next_readable() else { return };
            bytes += self.read_pending(key);
            self.event_progress.on_handshake_read();
            if bytes > PENDING_BYTES_PER_TURN || begin.elapsed() > QUANTUM_TIME_MAX {
                return;
            }
        }
    }

    /// Reads one of them once, and puts it in line again if it may have more to say. Returns how
    /// many bytes there were.
    fn read_pending(&mut self, key: u64) -> usize {
        let Some(waiting) = self.pending.get_mut(key) else { return 0 };
        if waiting.awaiting.is_some() {
            return 0;
        }
        let (answered, received) =
            (waiting.answered, sys::receive(waiting, &mut self.buffer[..READ_BYTES]));
        match received {
            Ok(len @ 1..) => {
                self.pending.queue(key);
                if !answered {
                    self.on_head(key, len);
                }
                return len;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => drop(self.pending.remove(key)),
        }
        0
    }

    /// Looks at the first `len` bytes of the buffer, and what came before them.
    fn on_head(&mut self, key: u64, len: usize) {
        let head_max = self.state.limits().head_bytes;
        let Some(waiting) = self.pending.get_mut(key) else { return };
        if waiting.head.is_empty() {
            return self.on_whole(key, len);
        }
        let is_due = waiting.extend_head(&self.buffer[..len]);
        if !is_due && waiting.head.len() <= head_max {
            return;
        }
        let whole = std::mem::take(&mut waiting.head);
        // What came in pieces is put together in the buffer, where the rest of the way expects it.
        match whole.len() <= self.buffer.len() {
            true => {
                self.buffer[..whole.len()].copy_from_slice(&whole);
                self.on_whole(key, whole.len());
            }
            false => self.answer(key, &HttpError::head_too_large(head_max)),
        }
    }

    /// Judges what stands in the first `len` bytes of the buffer: all that a connection has said.
    fn on_whole(&mut self, key: u64, len: usize) {
        let (limit, rules) = (self.state.limits().head_bytes, self.state.rules());
        match Head::parse(&self.buffer[..len], limit, rules) {
            Head::Upgrade(upgrade) => self.on_handshake(key, upgrade, len),
            Head::Partial => {
                let Some(waiting) = self.pending.get_mut(key) else { return };
                waiting.keep_head(self.buffer[..len].to_vec());
            }
            Head::Request { .. } => self.hand_to_http(key, len),
            Head::Refused(error) => self.answer(key, &error),
        }
    }

    /// A whole handshake stands at the begin of the buffer. What follows it up to `len` is the first
    /// frame's.
    fn on_handshake(&mut self, key: u64, upgrade: Upgrade, len: usize) {
        let head = upgrade.len;
        if self.state.is_draining() {
            return self.answer(key, &HttpError::draining());
        }
        if self.session_policy == SessionPolicy::Nothing {
            return self.upgrade(key, &upgrade, head..len, None);
        }
        let Some(waiting) = self.pending.get_mut(key) else { return };
        let address = sys::peer_address(&waiting.fd).ok();
        let bytes = &self.buffer[..head];
        let Some(handshake) = address.and_then(|address| Handshake::read(bytes, address)) else {
            // The peer has gone already: only that leaves a socket without address.
            return drop(self.pending.remove(key));
        };
        if self.session_policy == SessionPolicy::Sessions {
            let session = Session::new(handshake, Claims::anonymous());
            return self.upgrade(key, &upgrade, head..len, Some(session));
        }
        let rest = self.buffer[head..len].to_vec();
        waiting.awaiting = Some(AwaitingAuthorization { upgrade, rest });
        self.spawn_requests.push(SpawnRequest::Authorize { key, handshake });
    }

    /// The program has decided about a handshake, if that is still there.
    pub(crate) fn end_authorize(
        &mut self,
        key: u64,
        handshake: Handshake,
        verdict: Result<Claims, Refusal>,
    ) {
        let waiting = self.pending.get_mut(key);
        let Some(awaiting) = waiting.and_then(|waiting| waiting.awaiting.take()) else {
            return;
        };
        match verdict {
            Ok(claims) => {
                let rest = awaiting.rest.len();
                self.buffer[..rest].copy_from_slice(&awaiting.rest);
                let session = Session::new(handshake, claims);
                self.upgrade(key, &awaiting.upgrade, 0..rest, Some(session));
            }
            Err(refusal) => self.answer(key, &HttpError::refusal(refusal)),
        }
    }

    /// Answers a handshake. What follows its head in the buffer is the first frame's.
    fn upgrade(
        &mut self,
        key: u64,
        upgrade: &Upgrade,
        rest: Range<usize>,
        session: Option<Session>,
    ) {
        if self.state.is_draining() {
            return self.answer(key, &HttpError::draining());
        }
        if !self.state.claim_connection() {
            return self.answer(key, &HttpError::capacity(self.state.limits().connections));
        }
        let permissions = self.permissions_of(upgrade, session.as_ref());
        let Some(waiting) = self.pending.remove(key) else { return };
        let response = switching_protocols(upgrade);
        // The socket's buffer is empty, so that it takes these bytes or is dead.
        if sys::send(&waiting.fd, &response).ok() != Some(response.len()) {
            return self.state.release_connection();
        }
        self.open(waiting.fd, rest, session, permissions);
    }

    /// What a connection may do: as much as any, if it is known.
    fn permissions_of(&self, upgrade: &Upgrade, session: Option<&Session>) -> Permissions {
        let has_claims = session.is_some_and(|session| !session.claims.is_anonymous());
        match upgrade.has_key || has_claims {
            true => self.permissions,
            false => self.state.rules().anonymous.restrict(self.permissions),
        }
    }

    fn open(
        &mut self,
        fd: OwnedFd,
        rest: Range<usize>,
        session: Option<Session>,
        permissions: Permissions,
    ) {
        // A slot may be vacant in the engine whose descriptor is not closed yet.
        self.take_outputs();
        let id = self.shard.open(permissions, self.format);
        if let Some(session) = session {
            self.sessions.insert(id, Rc::new(session));
        }
        if self.keep_socket(id, fd) && !rest.is_empty() {
            self.shard.receive(id, &mut self.buffer[rest]);
        }
    }

    /// Makes a connection on which the messages of a room are asked for a member of it.
    pub(super) fn open_events(&mut self, fd: OwnedFd, events: EventStream) {
        self.take_outputs();
        let EventStream { room, begin, .. } = events;
        let id = self.shard.open_event_stream(&room, &begin);
        self.keep_socket(id, fd);
    }

    /// Keeps the descriptor of a new connection, and has it watched from now on. False when that is
    /// not possible, and the connection ends.
    fn keep_socket(&mut self, id: ConnId, fd: OwnedFd) -> bool {
        let token = u64::from(id.slot) << 32 | u64::from(id.generation);
        // The poller tells a socket's state anew when it gets another token, so that nothing which
        // came while the handshake was undecided is missed (epoll_ctl(2), EPOLL_CTL_MOD).
        let renamed = self.poller.rename_socket(&fd, token);
        self.sockets.insert(id, fd);
        if let Err(error) = &renamed {
            self.note_failure(Syscall::EpollCtl, error);
            self.shard.on_end(id);
        }
        renamed.is_ok()
    }

    /// Takes a connection back from its task, because its next request is a handshake: the first of
    /// these bytes.
    pub(crate) fn take_back(&mut self, fd: OwnedFd, place: HttpPlace, bytes: &[u8]) {
        let token = PENDING | self.pending.next_key();
        if let Err(error) = self.poller.rename_socket(&fd, token) {
            return self.note_failure(Syscall::EpollCtl, &error);
        }
        let deadline = self.now() + self.state.limits().handshake_timeout;
        let key = self.pending.insert(fd, Some(place), deadline);
        self.buffer[..bytes.len()].copy_from_slice(bytes);
        self.on_whole(key, bytes.len());
    }

    /// Leaves a connection to a task of its own, which the poller wakes from here on.
    fn hand_to_http(&mut self, key: u64, len: usize) {
        let Some(waiting) = self.pending.remove(key) else { return };
        let Some(place) = waiting.place else { return };
        let registration = self.registrations.insert();
        let token = REGISTRATION | registration;
        match self.poller.rename_socket(&waiting.fd, token) {
            Ok(()) => {
                let head = self.buffer[..len].to_vec();
                self.spawn_requests.push(SpawnRequest::Http {
                    fd: waiting.fd,
                    registration,
                    place,
                    head,
                });
            }
            Err(error) => {
                self.note_failure(Syscall::EpollCtl, &error);
                self.registrations.remove(registration);
            }
        }
    }

    /// Answers what never becomes a request, and waits for its end.
    pub(super) fn answer(&mut self, key: u64, error: &HttpError) {
        let Some(waiting) = self.pending.get_mut(key) else { return };
        // A socket that has just connected takes a few hundred bytes, or nobody reads them.
        let _ = sys::send(waiting, &error.to_bytes());
        sys::shutdown_write(waiting);
        let deadline = self.now() + self.state.limits().close_timeout;
        self.pending.set_answered(key, deadline);
        // It may have hung up while the program was deciding, and nobody would say so again.
        self.pending.queue(key);
    }

    pub(super) fn on_deadlines(&mut self) {
        let now = self.now();
        self.timers.fire_due(now);
        // What they have said while we did not listen counts.
        let events_until = self.event_progress.events_until();
        while let Some(key) = self.pending.next_late(events_until) {
            let Some(waiting) = self.pending.get_mut(key) else { continue };
            if waiting.awaiting.is_some() {
                self.answer(key, &HttpError::authorize_timeout());
            } else if !waiting.head.is_empty() {
                self.answer(key, &HttpError::head_timeout());
            } else {
                self.pending.remove(key);
            }
        }
        while let Some(key) = self.pending.next_overdue(events_until) {
            self.pending.remove(key);
        }
        if self.accepts_again.is_some_and(|again| again <= now) {
            self.accept_again();
        }
    }
}

/// The answer to a handshake (RFC 6455 section 4.2.2).
fn switching_protocols(upgrade: &Upgrade) -> Vec<u8> {
    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: ";
    let mut response = [HEAD, &upgrade.accept, b"\r\n"].concat();
    if upgrade.selects_protocol {
        response.extend(format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n").into_bytes());
    }
    response.extend_from_slice(b"\r\n");
    response
}

/// The connection has ended before it was accepted, or the network has (accept(2)).
fn is_of_connection(error: &io::Error) -> bool {
    use libc::{ECONNABORTED, EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH, ENONET};
    use libc::{ENOPROTOOPT, EOPNOTSUPP, EPROTO};
    matches!(
        error.raw_os_error(),
        Some(
            ECONNABORTED
                | EPROTO
                | ENOPROTOOPT
                | EOPNOTSUPP
                | ENETDOWN
                | ENETUNREACH
                | ENONET
                | EHOSTDOWN
                | EHOSTUNREACH
        )
    )
}

/// The process, or the system, has no descriptor left.
fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
