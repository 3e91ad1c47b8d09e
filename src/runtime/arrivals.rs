//! How a socket becomes a connection of the engine.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use corecast_shards::{ConnId, Credentials, Opening, Refresh};

use super::addresses::AddressPlace;
use super::driver::{ShardDriver, SpawnRequest};
use super::kernel::Syscall;
use super::newcomer::{Accepted, Begins, Newcomer};
use super::reception::{Arrival, HttpConnection};
use super::tls::Link;
use super::tokens;
use super::turn_time::QUANTUM_TIME_MAX;
use crate::http::EventStream;
use crate::program::{Handshake, Refusal, Session};
use crate::values::Claims;

/// A socket, and the place of its client's address, if that counts.
pub(super) type PlacedSocket = (Link, Option<AddressPlace>);

/// How a fresh token is refused that only the program could judge, which has no hook for it.
const DECIDED_BY_PROGRAM: &str = "this server decides what a client may do when it connects, and \
    takes no fresh token later: connect again with the token";

impl ShardDriver {
    /// Takes over what the reception has found out about connections.
    pub(super) fn admit_arrivals(&mut self) {
        for arrival in std::mem::take(&mut self.reception.arrivals) {
            match arrival {
                Arrival::Begins(newcomer) => self.open(*newcomer),
                Arrival::Http { connection, registration, head } => {
                    let request = SpawnRequest::Http { connection, registration, head };
                    self.spawn_requests.push(request);
                }
                Arrival::Undecided { key, handshake } => {
                    self.spawn_requests.push(SpawnRequest::Authorize { key, handshake });
                }
            }
        }
    }

    /// Opens a connection.
    fn open(&mut self, newcomer: Newcomer) {
        // A slot may be vacant in the engine whose descriptor is not closed yet.
        self.take_outputs();
        let Newcomer { link, address_place, place, begins, .. } = newcomer;
        place.keep();
        match begins {
            Begins::WebSocket(accepted) => self.open_websocket((link, address_place), *accepted),
            Begins::Events(events) => {
                let EventStream { listening, identity, begin, .. } = *events;
                let id = self.shard.open_event_stream(listening, &begin, identity);
                self.keep_socket(id, (link, address_place));
            }
        }
    }

    fn open_websocket(&mut self, socket: PlacedSocket, accepted: Accepted) {
        let Accepted { mut rest, session, opening, .. } = accepted;
        let id = self.shard.open(Opening { format: self.format, ..opening });
        if let Some(session) = session {
            self.sessions.insert(id, Rc::new(Session::new(session)));
        }
        if self.keep_socket(id, socket) && !rest.is_empty() {
            self.shard.receive(id, &mut rest);
        }
    }

    /// Keeps the descriptor of a new connection, and has it watched from now on. False when that is
    /// not possible, and the connection ends.
    fn keep_socket(&mut self, id: ConnId, (link, address_place): PlacedSocket) -> bool {
        let (fd, session) = link.into_parts();
        // The poller tells a socket's state anew when it gets another token, so that nothing which
        // came while the handshake was undecided is missed (epoll_ctl(2), EPOLL_CTL_MOD).
        let renamed = self.poller.epoll().rename_socket(&fd, tokens::of_connection(id));
        self.sockets.insert(id, fd, address_place);
        let has_ended = session.as_ref().is_some_and(|session| session.has_ended());
        if let (Some(sealed), Some(session)) = (&mut self.sealed, session) {
            sealed.insert(id, session);
        }
        if has_ended {
            // Its end came with what was read already, so that the socket brings nothing new.
            self.set_readable(id, true);
            self.queue_read(id);
        }
        if let Err(error) = &renamed {
            self.note_failure(Syscall::EpollCtl, error);
            self.shard.on_end(id);
        }
        renamed.is_ok()
    }

    /// Takes a connection back from its task, because its next request is a handshake: the first of
    /// these bytes.
    pub(super) fn take_back(&mut self, connection: HttpConnection, bytes: &[u8]) {
        self.reception.take_back(connection, bytes, &mut self.shard);
        self.admit_arrivals();
    }

    /// A fresh token of a client says this, or is refused with these words.
    pub(super) fn end_refresh(
        &mut self,
        id: ConnId,
        refresh: Refresh,
        claims: Result<Claims, String>,
    ) {
        let now = self.now();
        let verdict = claims.and_then(|claims| {
            let credentials = self.reception.grants.refreshed(&claims, now)?;
            Ok((credentials, claims))
        });
        self.renew(id, refresh, verdict);
    }

    /// Verifies fresh tokens of clients: one, and more while they take no longer than a quantum. A
    /// token costs tens of microseconds for each key that it may be signed by.
    pub(super) fn verify_refreshes(&mut self) {
        let begin = Instant::now();
        while let Some((id, refresh)) = self.refreshes.pop_front() {
            self.verify_refresh(id, refresh);
            self.handlers -= 1;
            if begin.elapsed() > QUANTUM_TIME_MAX {
                return;
            }
        }
        // A crowd has gone, and so has its memory.
        self.refreshes = VecDeque::new();
    }

    /// Verifies a fresh token of a client by the server's own keys. They know nothing of what the
    /// program would say of it, so that they do not replace claims of the program.
    fn verify_refresh(&mut self, id: ConnId, refresh: Refresh) {
        let is_by_program = self.sessions.get(&id).is_some_and(|session| session.is_by_program());
        let verdict = match is_by_program {
            true => Err(DECIDED_BY_PROGRAM.to_owned()),
            false => self.judge_refresh(&refresh),
        };
        self.renew(id, refresh, verdict);
    }

    fn judge_refresh(&mut self, refresh: &Refresh) -> Result<(Credentials, Claims), String> {
        let (now, rules) = (self.now(), self.reception.state.rules());
        let token = rules.judge_refresh(refresh.token.as_str())?;
        let Opening { permissions, identity, .. } = self.reception.grants.of_token(&token, now)?;
        let identity = identity.unwrap_or_default();
        Ok((Credentials { permissions, identity }, token.all))
    }

    fn renew(
        &mut self,
        id: ConnId,
        refresh: Refresh,
        verdict: Result<(Credentials, Claims), String>,
    ) {
        let verdict = verdict.map(|(credentials, claims)| {
            if self.sessions.contains_key(&id) {
                self.renewals.insert(id, claims);
            }
            credentials
        });
        self.shard.end_refresh(id, refresh, verdict);
    }

    /// A connection has the claims of its fresh token from now on.
    pub(super) fn renew_session(&mut self, id: ConnId) {
        if let Some(claims) = self.renewals.remove(&id)
            && let Some(session) = self.sessions.get_mut(&id)
        {
            *session = Rc::new(session.renewed(claims));
        }
    }

    /// The program has decided about a handshake.
    pub(super) fn end_authorize(
        &mut self,
        key: u64,
        handshake: Handshake,
        verdict: Result<Claims, Refusal>,
    ) {
        self.reception.end_authorize(key, handshake, verdict, &mut self.shard);
        self.admit_arrivals();
    }
}
