//! On which shard a connection begins, and how it comes there.

use std::time::Instant;

use corecast_shards::{Parcel, Shard};

use super::addresses::AddressPlace;
use super::departures::Traveller;
use super::driver::ShardDriver;
use super::kernel::Syscall;
use super::newcomer::{Begins, HandedOver, Newcomer};
use super::pending::PendingHandshake;
use super::reception::{Arrival, HttpConnection, Reception};
use super::server_state::{ConnectionPlace, ServerState};
use super::tls::Link;
use super::tokens::PENDING;
use super::turn_time::QUANTUM_TIME_MAX;
use crate::http::{EventStream, last_words};
use crate::program::Caller;

/// Connections that come back in one turn.
const LATE_PER_TURN: usize = 64;

impl Reception {
    /// Has a connection begin that was claimed, here or on the shard that its first room says.
    pub(super) fn place_connection(
        &mut self,
        (link, caller, address_place): (Link, Caller, Option<AddressPlace>),
        begins: Begins,
        shard: &mut Shard,
    ) {
        let mut place = self.choose_place(&begins, shard);
        if place.shard() != self.shard && !self.lets_go(&link) {
            place.move_to(self.shard);
        }
        let newcomer = Newcomer { link, caller, address_place, place, begins };
        if newcomer.place.shard() == self.shard {
            self.begin(newcomer);
        } else {
            self.hand_over(newcomer, shard);
        }
    }

    /// The place of a connection on the shard where it is to begin.
    fn choose_place(&self, begins: &Begins, shard: &mut Shard) -> ConnectionPlace {
        let mut at_home = None;
        if let Some(room) = begins.room() {
            let held = |shard| self.state.held(shard);
            shard.placement(room, held, |home, most| {
                at_home = ServerState::claim_place(&self.state, home, most);
                at_home.is_some()
            });
        }
        at_home.unwrap_or_else(|| ServerState::place_connection(&self.state, self.shard))
    }

    /// Looks after a socket no longer. False when that is not possible.
    fn lets_go(&self, link: &Link) -> bool {
        let removed = self.epoll.remove(link);
        removed.inspect_err(|error| self.note_failure(Syscall::EpollCtl, error)).is_ok()
    }

    /// Hands a connection to the shard where it has its place, which has as long as a handshake for
    /// taking it.
    fn hand_over(&mut self, newcomer: Newcomer, shard: &mut Shard) {
        let (to, bytes) = (newcomer.place.shard(), newcomer.bytes());
        let deadline = self.state.now() + self.state.limits().handshake_timeout;
        let _answering = ServerState::answering(&self.state);
        let traveller = self.departures.send(HandedOver { newcomer, _answering }, deadline);
        shard.hand_over(to, Parcel::new(traveller, bytes));
    }

    /// Has a connection begin here that was on its way, unless it may not any more. Returns whether
    /// it does.
    fn take_over(&mut self, mut newcomer: Newcomer, shard: &mut Shard) -> bool {
        if !self.watches(&mut newcomer.link) {
            return false;
        }
        if self.state.is_draining() || !shard.takes_connections() {
            let answer = newcomer.begins.draining();
            self.refuse(newcomer, &answer);
            false
        } else if newcomer.begins.is_refused_by(shard) {
            self.refuse(newcomer, &last_words::revoked());
            false
        } else {
            self.begin(newcomer)
        }
    }

    /// Looks after the socket of a connection that was on its way. False where that is not
    /// possible, of which its client is told.
    fn watches(&mut self, link: &mut Link) -> bool {
        let token = PENDING | self.pending.next_key();
        let watched = self.epoll.add_socket(&*link, token).or_else(|error| {
            self.note_failure(Syscall::EpollCtl, &error);
            // The place of an idle one may be what is missing.
            if self.evict() { self.epoll.add_socket(&*link, token) } else { Err(error) }
        });
        if watched.is_err() {
            self.counts.refused += 1;
            let _ = link.send_all(&last_words::crowded());
        }
        watched.is_ok()
    }

    /// Answers a connection that was handed over with its end.
    fn refuse(&mut self, newcomer: Newcomer, answer: &[u8]) {
        let Newcomer { link, caller, address_place, .. } = newcomer;
        let mut refused = PendingHandshake::new(link, caller);
        refused.address_place = address_place;
        let deadline = self.state.now() + self.state.limits().handshake_timeout;
        let key = self.pending.insert(refused, deadline);
        self.answer(key, answer);
    }

    /// Has a connection begin here. False if its socket is dead.
    fn begin(&mut self, mut newcomer: Newcomer) -> bool {
        // The socket's buffer is empty, so that it takes these bytes or is dead.
        if let Begins::WebSocket(accepted) = &newcomer.begins
            && !newcomer.link.send_all(&accepted.response)
        {
            return false;
        }
        self.arrivals.push(Arrival::Begins(Box::new(newcomer)));
        true
    }
}

impl ShardDriver {
    /// Has connections begin that other shards have handed over, but not longer than a quantum lasts.
    pub(super) fn take_parcels(&mut self) {
        let begin = Instant::now();
        while let Some(parcel) = self.shard.outputs().next_parcel() {
            let handed = parcel.open::<Traveller<HandedOver>>().take();
            if let Some(HandedOver { newcomer, _answering }) = handed
                && self.reception.take_over(newcomer, &mut self.shard)
            {
                self.shard.on_taken_over();
            }
            if begin.elapsed() > QUANTUM_TIME_MAX {
                break;
            }
        }
        self.admit_arrivals();
    }

    /// Has connections begin here after all that no shard has taken in time. Those beyond what one
    /// turn takes stay due.
    pub(super) fn take_late(&mut self) {
        for _ in 0..LATE_PER_TURN {
            let late = self.reception.departures.next_late(self.turn_began);
            let Some(HandedOver { mut newcomer, _answering }) = late else { break };
            newcomer.place.move_to(self.reception.shard);
            self.reception.take_over(newcomer, &mut self.shard);
        }
        self.admit_arrivals();
    }

    /// Answers a request for events, for which a connection was claimed.
    pub(super) fn open_event_stream(&mut self, connection: HttpConnection, events: EventStream) {
        let HttpConnection { link, caller, address_place, .. } = connection;
        let begins = Begins::Events(Box::new(events));
        let (connection, shard) = ((link, caller, address_place), &mut self.shard);
        self.reception.place_connection(connection, begins, shard);
        self.admit_arrivals();
    }
}
