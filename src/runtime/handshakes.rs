//! What connections say first, and what they become by it.

use std::io;
use std::time::Instant;

use corecast_shards::{MemoryStage, Opening, Shard};

use super::kernel::Syscall;
use super::newcomer::{Accepted, Begins};
use super::pending::{AwaitingAuthorization, PendingHandshake, Preface};
use super::reception::{Arrival, HttpConnection, Reception, admit_tls, claim_address, claim_peer};
use super::tls::Received;
use super::tokens::{PENDING, REGISTRATION};
use super::turn_time::QUANTUM_TIME_MAX;
use crate::http::{Credential, Door, Head, ProxyHeader, Upgrade, last_words};
use crate::program::{Caller, Handshake, Refusal, SessionPolicy, SessionSeed};
use crate::values::{Claims, RefusalReason};

/// Reads from connections before their handshake in one turn, half of which find nothing; and bytes,
/// give or take one read's.
const PENDING_READS_PER_TURN: usize = 128;
const PENDING_BYTES_PER_TURN: usize = 64 << 10;

/// One of so many connections is kept for clients that bring a key or a token.
const KEPT_SHARE: usize = 8;

impl Reception {
    /// Reads what connections say before they are WebSockets. Returns how many were read.
    pub(super) fn read_handshakes(&mut self, shard: &mut Shard) -> usize {
        let (begin, mut bytes) = (Instant::now(), 0);
        for read in 0..PENDING_READS_PER_TURN {
            let Some(key) = self.pending.next_readable() else { return read };
            bytes += self.read_pending(key, shard);
            if bytes > PENDING_BYTES_PER_TURN || begin.elapsed() > QUANTUM_TIME_MAX {
                return read + 1;
            }
        }
        PENDING_READS_PER_TURN
    }

    /// Reads one of them once, and puts it in line again if it may have more to say. Returns what
    /// that cost, in bytes.
    fn read_pending(&mut self, key: u64, shard: &mut Shard) -> usize {
        let Some(waiting) = self.pending.get_mut(key) else { return 0 };
        if waiting.awaiting.is_some() {
            return 0;
        }
        // What TLS has to say first: the client may wait for the rest of it before it goes on.
        if waiting.link.flush().is_err() {
            drop(self.pending.remove(key));
            return 0;
        }
        let (answered, was_open) = (waiting.answered, waiting.link.is_open());
        let mut buffer = std::mem::take(&mut self.buffer);
        let PendingHandshake { link, prepaid, caller, .. } = waiting;
        let received = link.receive(&mut buffer, self.state.now(), || {
            let admitted = admit_tls(&self.state, caller.client_addr);
            admitted.map(|counted| *prepaid = counted).is_some()
        });
        if !was_open {
            self.note_session(key);
        }
        let cost = self.on_received(key, received, &buffer, answered, shard);
        self.pending.count_held(key);
        self.buffer = buffer;
        cost
    }

    /// Something has come, at the begin of the buffer, or the end. Returns what that cost, in bytes.
    fn on_received(
        &mut self,
        key: u64,
        received: io::Result<Received>,
        buffer: &[u8],
        answered: bool,
        shard: &mut Shard,
    ) -> usize {
        match received {
            Ok(Received::Plain { len, cost, .. }) => {
                self.pending.queue(key);
                if !answered && len > 0 {
                    self.on_bytes(key, &buffer[..len], shard);
                }
                cost
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.end_in_clear(key, &[]);
                0
            }
            Ok(Received::NotTls(len)) => {
                self.end_in_clear(key, &last_words::not_tls());
                len
            }
            Ok(Received::End) | Err(_) => {
                drop(self.pending.remove(key));
                0
            }
        }
    }

    /// Counts a TLS handshake that is done.
    fn note_session(&mut self, key: u64) {
        let waiting = self.pending.get_mut(key);
        let session = waiting.and_then(|waiting| waiting.link.session());
        if let Some(session) = session.filter(|session| session.is_open()) {
            self.counts.resumed += u64::from(session.is_resumed());
            self.counts.handshakes += 1;
        }
    }

    /// A client does not speak TLS, or not as it must: what is left to say to it is not sealed.
    fn end_in_clear(&mut self, key: u64, answer: &[u8]) {
        self.counts.failed_handshakes += 1;
        if let Some(waiting) = self.pending.get_mut(key) {
            waiting.link.drop_session();
        }
        self.answer(key, answer);
    }

    /// More of a head has come, or all of it.
    fn on_bytes(&mut self, key: u64, bytes: &[u8], shard: &mut Shard) {
        let head_max = self.state.limits().head_bytes;
        let Some(waiting) = self.pending.get_mut(key) else { return };
        if waiting.preface != Preface::Done {
            return self.on_preface(key, bytes, shard);
        }
        if waiting.head.is_empty() {
            return self.on_head(key, bytes, shard);
        }
        let is_due = waiting.extend_head(bytes);
        if is_due || waiting.head.len() > head_max {
            let head = std::mem::take(&mut waiting.head);
            self.on_head(key, &head, shard);
        }
    }

    /// More of what a proxy sends first has come, or all of it.
    fn on_preface(&mut self, key: u64, bytes: &[u8], shard: &mut Shard) {
        let Some(waiting) = self.pending.get_mut(key) else { return };
        if let Preface::Skip(left) = waiting.preface {
            return self.end_preface(key, left, bytes, shard);
        }
        if !self.state.rules().proxies.trust(waiting.caller.client_addr) {
            self.state.note_refusal(RefusalReason::ProxyProtocol);
            return self.answer(key, &last_words::untrusted_proxy());
        }
        waiting.head.extend_from_slice(bytes);
        match ProxyHeader::read(&waiting.head) {
            ProxyHeader::Partial => {}
            ProxyHeader::Malformed => {
                self.state.note_refusal(RefusalReason::ProxyProtocol);
                self.answer(key, &last_words::no_proxy_header());
            }
            ProxyHeader::Read { len, source } => {
                let bytes = std::mem::take(&mut waiting.head);
                if let Some(source) = source.map(|source| source.to_canonical()) {
                    match claim_peer(&self.state, source) {
                        Ok(place) => waiting.address_place = place,
                        Err(answer) => return self.answer(key, &answer),
                    }
                    waiting.caller.client_addr = source;
                }
                self.end_preface(key, len, &bytes, shard);
            }
        }
    }

    /// Passes over the last bytes of what a proxy sends first.
    fn end_preface(&mut self, key: u64, left: usize, bytes: &[u8], shard: &mut Shard) {
        let Some(waiting) = self.pending.get_mut(key) else { return };
        let (passed, rest) = bytes.split_at(left.min(bytes.len()));
        waiting.preface = match left - passed.len() {
            0 => Preface::Done,
            left => Preface::Skip(left),
        };
        if waiting.preface == Preface::Done
            && let Some(session) = self.state.tls().map(|tls| tls.accept())
        {
            let mut buffer = Vec::new();
            let now = self.state.now();
            let PendingHandshake { link, prepaid, caller, .. } = waiting;
            let received = link.begin_session(session, rest, &mut buffer, now, || {
                let admitted = admit_tls(&self.state, caller.client_addr);
                admitted.map(|counted| *prepaid = counted).is_some()
            });
            self.on_received(key, received, &buffer, false, shard);
            return;
        }
        if !rest.is_empty() {
            self.on_head(key, rest, shard);
        }
    }

    /// Judges all that a connection has said.
    fn on_head(&mut self, key: u64, bytes: &[u8], shard: &mut Shard) {
        let Some(waiting) = self.pending.get_mut(key) else { return };
        let (limit, rules) = (self.state.limits().head_bytes, self.state.rules());
        let prepaid = &waiting.prepaid;
        let door = Door {
            from: waiting.caller.client_addr,
            admit: &|client| match prepaid.spend() {
                true => Ok(()),
                false => self.state.admit_handshake(client),
            },
            verifies: true,
        };
        match Head::parse(bytes, limit, rules, door) {
            Head::Upgrade(upgrade) => self.on_handshake(key, upgrade, bytes, shard),
            Head::Partial => waiting.keep_head(bytes.to_vec()),
            Head::Request { .. } => self.hand_to_http(key, bytes),
            Head::Refused(error) => self.answer(key, &error.to_bytes()),
        }
    }

    /// A whole handshake stands at the begin of the bytes. What follows it is the first frame's.
    fn on_handshake(&mut self, key: u64, upgrade: Upgrade, bytes: &[u8], shard: &mut Shard) {
        let (head, rest) = bytes.split_at(upgrade.len);
        if self.state.is_draining() {
            return self.answer(key, &last_words::draining());
        }
        let opening = match self.grants.of_credential(&upgrade.credential, self.state.now()) {
            Ok(opening) => opening,
            Err(words) => {
                return self.answer(key, &last_words::bad_claims(self.state.rules(), words));
            }
        };
        if opening.identity.as_ref().is_some_and(|identity| shard.refuses(identity)) {
            return self.answer(key, &last_words::revoked());
        }
        if self.session_policy == SessionPolicy::Nothing {
            let accepted = Accepted::new(&upgrade, rest.to_vec(), None, opening);
            return self.upgrade(key, &upgrade, accepted, shard);
        }
        let Some(waiting) = self.pending.get_mut(key) else { return };
        let caller = Caller { client_addr: upgrade.client_addr, ..waiting.caller };
        let handshake = Handshake::read(head, caller).expect("this head was read as a handshake");
        let claims = upgrade.credential.claims();
        if self.session_policy == SessionPolicy::Sessions {
            let session = SessionSeed::of_token(handshake, claims.unwrap_or_default());
            let accepted = Accepted::new(&upgrade, rest.to_vec(), Some(session), opening);
            return self.upgrade(key, &upgrade, accepted, shard);
        }
        let handshake = handshake.with_token_claims(claims);
        waiting.awaiting = Some(AwaitingAuthorization { upgrade, rest: rest.to_vec(), opening });
        self.arrivals.push(Arrival::Undecided { key, handshake });
    }

    /// The program has decided about a handshake, if that is still there.
    pub(super) fn end_authorize(
        &mut self,
        key: u64,
        handshake: Handshake,
        verdict: Result<Claims, Refusal>,
        shard: &mut Shard,
    ) {
        let waiting = self.pending.get_mut(key);
        let Some(awaiting) = waiting.and_then(|waiting| waiting.awaiting.take()) else {
            return;
        };
        let AwaitingAuthorization { upgrade, rest, opening } = awaiting;
        let claims = match verdict {
            Ok(claims) => claims,
            Err(refusal) => return self.answer(key, &last_words::refused(refusal)),
        };
        let room = claims.room().cloned();
        // What the program says takes the place of what the handshake brought.
        let (opening, session) = match claims.is_anonymous() {
            true => {
                let claims = upgrade.credential.claims().unwrap_or_default();
                (Ok(opening), SessionSeed::of_token(handshake, claims))
            }
            false => {
                let opening = self.grants.of_program(&claims, self.state.now());
                (opening, SessionSeed::of_program(handshake, claims))
            }
        };
        match opening {
            Ok(Opening { identity: Some(identity), .. }) if shard.refuses(&identity) => {
                self.answer(key, &last_words::revoked());
            }
            Ok(opening) => {
                let accepted = Accepted::new(&upgrade, rest, Some(session), opening);
                self.upgrade(key, &upgrade, accepted.placed_with(room), shard);
            }
            Err(words) => {
                tracing::error!("authorize returned claims that mean nothing: {words}");
                self.answer(key, &last_words::refused(Refusal::unknown_client()));
            }
        }
    }

    /// Lets a handshake in, if there is a place for it, to be answered where it is to live.
    fn upgrade(&mut self, key: u64, upgrade: &Upgrade, accepted: Accepted, shard: &mut Shard) {
        if self.state.is_draining() {
            return self.answer(key, &last_words::draining());
        }
        if self.state.memory().is_short(MemoryStage::Refusing) {
            self.state.memory().count_refused();
            return self.answer(key, &last_words::short_of_memory());
        }
        let Some(waiting) = self.pending.get_mut(key) else { return };
        if self.state.rules().proxies.trust(waiting.caller.client_addr) {
            match claim_address(&self.state, upgrade.client_addr) {
                Ok(place) => waiting.address_place = place,
                Err(answer) => return self.answer(key, &answer),
            }
        }
        if !self.state.claim_connection(self.kept_from(upgrade)) {
            let limit = self.state.limits().connections;
            return self.answer(key, &last_words::at_capacity(limit));
        }
        let Some(waiting) = self.pending.remove(key) else { return };
        tracing::debug!(client_addr = %upgrade.client_addr, "a handshake is accepted");
        let PendingHandshake { link, caller, address_place, .. } = waiting;
        let begins = Begins::WebSocket(Box::new(accepted));
        self.place_connection((link, caller, address_place), begins, shard);
    }

    /// How many of all connections this client leaves to others.
    fn kept_from(&self, upgrade: &Upgrade) -> usize {
        let brings_nothing = upgrade.credential == Credential::None;
        match brings_nothing && self.state.rules().is_closed_to_unknown() {
            true => self.state.limits().connections / KEPT_SHARE,
            false => 0,
        }
    }

    /// Takes a connection back from its task, because its next request is a handshake: the first of
    /// these bytes.
    pub(super) fn take_back(
        &mut self,
        connection: HttpConnection,
        bytes: &[u8],
        shard: &mut Shard,
    ) {
        let HttpConnection { link, caller, place, address_place, prepaid } = connection;
        let token = PENDING | self.pending.next_key();
        if let Err(error) = self.epoll.rename_socket(&link, token) {
            return self.note_failure(Syscall::EpollCtl, &error);
        }
        let deadline = self.state.now() + self.state.limits().handshake_timeout;
        let mut waiting = PendingHandshake::new(link, caller);
        (waiting.place, waiting.address_place) = (Some(place), address_place);
        waiting.prepaid = prepaid;
        let key = self.pending.insert(waiting, deadline);
        self.on_head(key, bytes, shard);
        self.pending.count_held(key);
    }

    /// Leaves a connection to a task of its own, which the poller wakes from here on.
    fn hand_to_http(&mut self, key: u64, bytes: &[u8]) {
        let Some(waiting) = self.pending.remove(key) else { return };
        let PendingHandshake { link, caller, place, address_place, prepaid, .. } = waiting;
        let Some(place) = place else { return };
        let registration = self.registrations.insert();
        match self.epoll.rename_socket(&link, REGISTRATION | registration) {
            Ok(()) => {
                let connection = HttpConnection { link, caller, place, address_place, prepaid };
                let head = bytes.to_vec();
                self.arrivals.push(Arrival::Http { connection, registration, head });
            }
            Err(error) => {
                self.note_failure(Syscall::EpollCtl, &error);
                self.registrations.remove(registration);
            }
        }
    }
}
