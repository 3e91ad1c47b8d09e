//! Connections before they are WebSockets: accepted, or refused because there is no place.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corecast_shards::{Pace, Paced, ShardId, Time};

use super::addresses::{AddressPlace, Claim};
use super::departures::Departures;
use super::kernel::Syscall;
use super::newcomer::{HandedOver, Newcomer};
use super::pending::{PendingHandshake, PendingHandshakes, Preface};
use super::poller::Epoll;
use super::registrations::Registrations;
use super::reserve::Reserve;
use super::server_state::{HttpPlace, ServerState};
use super::sys;
use super::tls::{self, Link};
use super::tokens::{LISTENER, PENDING};
use super::turn_time::QUANTUM_TIME_MAX;
use crate::http::{Grants, Prepaid, last_words};
use crate::program::{Caller, Handshake, Needs, SessionPolicy};
use crate::values::RefusalReason;

/// What accepts connections and reads what they say first, up to where it is known what they are.
pub(crate) struct Reception {
    pub(super) shard: ShardId,
    pub(super) state: Arc<ServerState>,
    pub(super) epoll: Rc<Epoll>,
    listener: TcpListener,
    /// Whether each connection begins with the header of the PROXY protocol.
    proxy_protocol: bool,
    /// When to accept again after the process had run out of descriptors, or enough were accepted.
    accepts_again: Option<Time>,
    /// How many are accepted per second, and what was taken of that.
    pace: Pace,
    paced: Paced,
    /// Up to when new connections may have waited in the backlog, because of that.
    queued_until: Time,
    reserve: Reserve,
    pub(super) pending: PendingHandshakes,
    /// Connections that were handed over to other shards.
    pub(super) departures: Departures<HandedOver>,
    /// The descriptors of plain HTTP connections, which their tasks wait for.
    pub(crate) registrations: Registrations,
    /// What one read takes in, of any of them.
    pub(super) buffer: Box<[u8]>,
    pub(super) session_policy: SessionPolicy,
    pub(super) grants: Grants,
    pub(super) arrivals: Vec<Arrival>,
    pub(super) counts: ReceptionCounts,
}

/// A connection that speaks plain HTTP, between the reception and its task.
#[derive(Debug)]
pub(crate) struct HttpConnection {
    pub(crate) link: Link,
    pub(crate) caller: Caller,
    pub(crate) place: HttpPlace,
    pub(crate) address_place: Option<AddressPlace>,
    pub(crate) prepaid: Prepaid,
}

/// A place among the connections of a client's address, or the answer instead; none
/// where the address does not count.
pub(super) fn claim_address(
    state: &ServerState,
    client: IpAddr,
) -> Result<Option<AddressPlace>, Vec<u8>> {
    match state.claim_address(client) {
        Claim::Free => Ok(None),
        Claim::Placed(place) => Ok(Some(place)),
        Claim::Refused => Err(last_words::too_many_connections(state.limits())),
    }
}

/// The same for where a connection itself comes from. A trusted proxy's counts with the address of
/// its client, once that is known.
pub(super) fn claim_peer(
    state: &ServerState,
    peer: IpAddr,
) -> Result<Option<AddressPlace>, Vec<u8>> {
    if state.rules().proxies.trust(peer) { Ok(None) } else { claim_address(state, peer) }
}

/// Lets a client begin a TLS handshake, which costs more than all that follows it, as it lets a
/// client begin a handshake. A trusted proxy's count with the addresses of its clients, once those
/// are known.
pub(super) fn admit_tls(state: &ServerState, peer: IpAddr) -> Option<Prepaid> {
    match state.rules().proxies.trust(peer) {
        true => Some(Prepaid::default()),
        false => state.admit_handshake(peer).ok().map(|()| Prepaid::by_tls()),
    }
}

/// What a connection turned out to be.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A connection that begins here: a WebSocket whose handshake was answered, or an event stream.
    Begins(Box<Newcomer>),
    /// A connection that speaks plain HTTP, and what it has said so far. The poller knows it by
    /// this registration.
    Http { connection: HttpConnection, registration: u64, head: Vec<u8> },
    /// A handshake that the program decides about: it stays, under this key.
    Undecided { key: u64, handshake: Handshake },
}

/// How many connections came, and how many had to go.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReceptionCounts {
    /// `accept4`, the one included that says that no connection is left.
    pub(super) accepts: u64,
    /// Connections without a request, or slow at one, that were closed because no descriptor or no
    /// place for plain HTTP connections was left.
    pub(super) evicted: u64,
    /// New ones that were refused, because no such one was left either.
    pub(super) refused: u64,
    /// TLS handshakes that were done, those of them that resumed a session, and connections that
    /// spoke no TLS or broke its rules.
    pub(super) handshakes: u64,
    pub(super) resumed: u64,
    pub(super) failed_handshakes: u64,
}

/// Connections accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Connections beyond the limit of a shard that are kept until they have read that they are.
const TURNED_AWAY_MAX: usize = 64;

/// How long to wait before accepting again when no connection can be closed for it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// After this part of its time a connection that has not finished its head makes way for a new one.
const SLOW_SHARE: u32 = 10;

/// How long the listener is left alone at least when enough were accepted for now, so that many are
/// due when it is looked at again.
const PACE_PAUSE_MIN: Duration = Duration::from_millis(10);

/// Bytes read from a connection at once before it is a WebSocket.
const READ_BYTES: usize = 64 << 10;

impl Reception {
    /// Begins to watch a listener.
    pub(super) fn new(
        shard: ShardId,
        state: Arc<ServerState>,
        epoll: Rc<Epoll>,
        listener: TcpListener,
        needs: &Needs,
    ) -> io::Result<Reception> {
        let proxy_protocol = state.proxy_protocol();
        let pace = Pace::per_second(state.limits().accepts);
        epoll.add_listener(&listener, LISTENER)?;
        let grants = Grants::new(needs.permissions.clone(), state.rules().anonymous);
        Ok(Reception {
            shard,
            state,
            epoll,
            listener,
            proxy_protocol,
            accepts_again: None,
            pace,
            paced: Paced::default(),
            queued_until: Time::default(),
            reserve: Reserve::Spare(sys::event_fd()?),
            pending: PendingHandshakes::default(),
            departures: Departures::default(),
            registrations: Registrations::default(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            session_policy: needs.sessions,
            grants,
            arrivals: Vec::new(),
            counts: ReceptionCounts::default(),
        })
    }

    /// Descriptors that the poller watches of these, at most.
    pub(super) fn descriptors(&self) -> usize {
        1 + self.pending.len() + self.registrations.len()
    }

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
            let now = self.state.now();
            if let Some(wait) = self.pace.wait(self.paced, now) {
                self.queued_until = now + self.state.limits().handshake_timeout;
                return self.pause_accepting(wait.max(PACE_PAUSE_MIN));
            }
            self.counts.accepts += 1;
            match sys::accept(&self.listener) {
                Ok((fd, remote_addr)) => self.receive(fd, remote_addr),
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
        self.pause_accepting(ACCEPT_PAUSE);
        false
    }

    /// Whether the limit of plain HTTP connections and handshakes is reached.
    fn is_crowded(&self) -> bool {
        self.state.http_connections() >= self.state.limits().http_connections
    }

    /// A place for a new connection, if need be that of one which is between two requests, has said
    /// nothing yet, or takes its time over a request.
    fn http_place(&mut self) -> Option<HttpPlace> {
        let place = ServerState::claim_http(&self.state);
        if place.is_some() {
            return place;
        }
        if !self.registrations.evict() {
            let key = self.pending.most_silent().or_else(|| self.slowest_head())?;
            self.send_away(key);
        }
        self.counts.evicted += 1;
        Some(ServerState::succeed_http(&self.state))
    }

    /// Takes a new connection in, to be read from now on, or to read why it is not.
    fn receive(&mut self, fd: OwnedFd, remote_addr: SocketAddr) {
        let mut newcomer = self.newcomer(fd, remote_addr);
        let refusal = self.place(&mut newcomer).err();
        self.add_pending(newcomer, refusal);
    }

    /// Gives a newcomer the places that it needs, or has the answer instead.
    fn place(&mut self, newcomer: &mut PendingHandshake) -> Result<(), Vec<u8>> {
        if self.has_waited_too_long(newcomer) {
            self.state.note_refusal(RefusalReason::Accepts);
            return Err(last_words::crowded());
        }
        self.pace.take(&mut self.paced, self.state.now());
        newcomer.address_place = claim_peer(&self.state, newcomer.caller.client_addr)?;
        newcomer.place = self.http_place();
        if newcomer.place.is_none() {
            self.counts.refused += 1;
            return Err(last_words::crowded());
        }
        Ok(())
    }

    /// Whether a connection has waited in the backlog for so long that others are to be served
    /// before it: half of what a handshake may take. Nothing waits while enough are accepted.
    fn has_waited_too_long(&self, newcomer: &PendingHandshake) -> bool {
        self.state.now() < self.queued_until
            && sys::silence(newcomer) > self.state.limits().handshake_timeout / 2
    }

    fn add_pending(&mut self, newcomer: PendingHandshake, refusal: Option<Vec<u8>>) {
        if let Some(answer) = &refusal
            && self.pending.answered() >= TURNED_AWAY_MAX
        {
            return self.turn_away(&newcomer, answer);
        }
        let fd = &newcomer.link;
        let token = PENDING | self.pending.next_key();
        let watched = self.epoll.add_socket(fd, token).or_else(|error| {
            self.note_failure(Syscall::EpollCtl, &error);
            // The place of an idle one may be what is missing.
            if self.evict() { self.epoll.add_socket(fd, token) } else { Err(error) }
        });
        if watched.is_err() {
            // Nothing would say when it is readable.
            self.counts.refused += 1;
            return self.turn_away(&newcomer, &last_words::crowded());
        }
        let deadline = self.state.now() + self.state.limits().handshake_timeout;
        let key = self.pending.insert(newcomer, deadline);
        match refusal {
            None => self.pending.queue(key),
            Some(answer) => self.answer(key, &answer),
        }
    }

    /// A connection that has said nothing yet. What a proxy sends first is not sealed, so that the
    /// session begins behind it.
    fn newcomer(&self, fd: OwnedFd, remote_addr: SocketAddr) -> PendingHandshake {
        let caller = Caller { remote_addr, client_addr: remote_addr.ip().to_canonical() };
        let session = if self.proxy_protocol { None } else { self.session() };
        let mut newcomer = PendingHandshake::new(Link::new(fd, session), caller);
        newcomer.preface = if self.proxy_protocol { Preface::Header } else { Preface::Done };
        newcomer
    }

    /// The session of a new connection, if this server speaks TLS.
    fn session(&self) -> Option<Box<tls::TlsSession>> {
        self.state.tls().map(|tls| tls.accept())
    }

    /// Tells a connection why it is refused, and ends it at once. What it has said is read before,
    /// so that its unread request does not make the kernel tear our answer away.
    fn turn_away(&mut self, newcomer: &PendingHandshake, answer: &[u8]) {
        let _ = sys::receive(newcomer, &mut self.buffer);
        // A TLS client could not read it.
        if newcomer.link.is_open() {
            let _ = sys::send(newcomer, answer);
        }
    }

    /// Closes the connection that is missed least, if there is one.
    pub(super) fn evict(&mut self) -> bool {
        let Some(key) = self.pending.most_idle().filter(|key| !self.reserve.is_lent_to(*key))
        else {
            return false;
        };
        self.counts.evicted += 1;
        self.send_away(key);
        true
    }

    /// One that has been at its head for longer than the others, and than it needs.
    fn slowest_head(&self) -> Option<u64> {
        let timeout = self.state.limits().handshake_timeout;
        self.pending.slowest_head(self.state.now() + (timeout - timeout / SLOW_SHARE))
    }

    /// Closes a connection for another's sake.
    fn send_away(&mut self, key: u64) {
        let handshake = self.pending.remove(key);
        if let Some(mut handshake) = handshake.filter(|handshake| !handshake.head.is_empty()) {
            // It has begun a request, and may read why it goes.
            let _ = handshake.link.send(&last_words::crowded());
        }
    }

    /// Accepts the next connection in place of the reserve, and tells it that there is no room.
    /// Returns whether that was possible.
    fn refuse_next(&mut self) -> bool {
        match std::mem::replace(&mut self.reserve, Reserve::Gone) {
            Reserve::Spare(fd) => drop(fd),
            Reserve::Lent(key) => drop(self.pending.remove(key)),
            Reserve::Gone => return false,
        }
        let Ok((fd, remote_addr)) = sys::accept(&self.listener) else { return false };
        let token = PENDING | self.pending.next_key();
        if let Err(error) = self.epoll.add_socket(&fd, token) {
            self.note_failure(Syscall::EpollCtl, &error);
            return false;
        }
        // It may have to make way for the next at once, and an unread request would make the kernel
        // tear our answer away.
        let _ = sys::receive(&fd, &mut self.buffer);
        let newcomer = self.newcomer(fd, remote_addr);
        let key = self.pending.insert(newcomer, self.state.now());
        self.answer(key, &last_words::crowded());
        self.reserve = Reserve::Lent(key);
        self.counts.refused += 1;
        true
    }

    /// Keeps a descriptor back again when the last one that was refused is gone.
    fn refill_reserve(&mut self) {
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
    fn pause_accepting(&mut self, pause: Duration) {
        self.accepts_again = Some(self.state.now() + pause);
        if let Err(error) = self.epoll.remove(&self.listener) {
            // Then each poll reports it, and nothing looks.
            self.note_failure(Syscall::EpollCtl, &error);
        }
    }

    /// Watches the listener again, now or after another pause.
    fn accept_again(&mut self) {
        self.accepts_again = None;
        match self.epoll.add_listener(&self.listener, LISTENER) {
            // It could not be taken out.
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            Err(error) => {
                self.note_failure(Syscall::EpollCtl, &error);
                self.accepts_again = Some(self.state.now() + ACCEPT_PAUSE);
            }
            Ok(()) => {}
        }
    }

    /// Answers what never becomes a request, and waits for its end. A client that is in the middle
    /// of its TLS handshake could not read it.
    pub(super) fn answer(&mut self, key: u64, answer: &[u8]) {
        let Some(waiting) = self.pending.get_mut(key) else { return };
        if !waiting.link.is_open() {
            return drop(self.pending.remove(key));
        }
        // A socket that has just connected takes a few hundred bytes, or nothing reads them.
        let _ = waiting.link.send_all(answer);
        waiting.link.shutdown_write();
        let deadline = self.state.now() + self.state.limits().close_timeout;
        self.pending.set_answered(key, deadline);
        // It may have hung up while the program was deciding, and nothing would say so again.
        self.pending.queue(key);
    }

    /// Bytes that are held for longer than a turn for connections that speak HTTP, or may yet: heads,
    /// bodies, answers.
    pub(super) fn held(&self) -> usize {
        self.pending.held() + self.registrations.held()
    }

    /// What has to be done next by the clock.
    pub(super) fn next_deadline(&mut self) -> Option<Time> {
        let deadlines = [self.pending.next_deadline(), self.departures.next_deadline()];
        deadlines.into_iter().flatten().chain(self.accepts_again).min()
    }

    /// Ends those that have taken too long. What they have said while it was not read counts: up to
    /// `events_until` everything was read.
    pub(super) fn on_deadlines(&mut self, now: Time, events_until: Time) {
        while let Some(key) = self.pending.next_late(events_until) {
            let Some(waiting) = self.pending.get_mut(key) else { continue };
            if waiting.awaiting.is_some() {
                self.answer(key, &last_words::undecided());
            } else if !waiting.head.is_empty() {
                self.state.note_refusal(RefusalReason::Head);
                self.answer(key, &last_words::head_late());
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

    /// Counts a failed system call that costs a connection at most.
    pub(super) fn note_failure(&self, call: Syscall, error: &io::Error) {
        self.state.note_failure(self.shard, call, error);
    }
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
