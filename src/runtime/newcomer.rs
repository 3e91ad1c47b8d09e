//! A connection that is let in and has not begun: what it takes along to the shard where it does.

use corecast_shards::{Opening, RoomName, Shard};

use super::addresses::AddressPlace;
use super::server_state::{ConnectionPlace, RequestGuard};
use super::tls::{Link, TlsSession};
use crate::http::{EventStream, Upgrade, last_words, rooms_bytes};
use crate::program::{Caller, SessionSeed};

/// A connection that is let in and has not begun. Where this is dropped it is closed, and its places
/// are free.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(super) link: Link,
    pub(super) caller: Caller,
    pub(super) address_place: Option<AddressPlace>,
    pub(super) place: ConnectionPlace,
    pub(super) begins: Begins,
}

/// One on its way to another shard.
#[derive(Debug)]
pub(super) struct HandedOver {
    pub(super) newcomer: Newcomer,
    /// A shutdown that begins meanwhile waits until it is answered.
    pub(super) _answering: RequestGuard,
}

/// What it begins as.
#[derive(Debug)]
pub(super) enum Begins {
    WebSocket(Box<Accepted>),
    Events(Box<EventStream>),
}

/// A handshake that is accepted.
#[derive(Debug)]
pub(super) struct Accepted {
    /// Bytes of its head.
    head: usize,
    pub(super) response: Vec<u8>,
    /// What came behind the head, which is the first frame's.
    pub(super) rest: Vec<u8>,
    pub(super) session: Option<SessionSeed>,
    pub(super) opening: Opening,
    /// The room on whose home it is to live, as far as the program has said so.
    room: Option<RoomName>,
}

impl Accepted {
    pub(super) fn new(
        upgrade: &Upgrade,
        rest: Vec<u8>,
        session: Option<SessionSeed>,
        opening: Opening,
    ) -> Accepted {
        let deflate = upgrade.agreement.map(|agreement| agreement.window);
        let opening = Opening { deflate, rooms: upgrade.rooms.clone(), ..opening };
        let (head, response) = (upgrade.len, upgrade.response());
        Accepted { head, response, rest, session, opening, room: None }
    }

    /// The same, to live on the home of this room, if any.
    pub(super) fn placed_with(self, room: Option<RoomName>) -> Accepted {
        Accepted { room, ..self }
    }
}

impl Newcomer {
    /// Bytes that it holds.
    pub(super) fn bytes(&self) -> usize {
        let sealed = self.link.session().map_or(0, TlsSession::kept);
        size_of::<Newcomer>() + sealed + self.begins.bytes()
    }
}

impl Begins {
    /// The room whose home it is to live on.
    pub(super) fn room(&self) -> Option<&RoomName> {
        match self {
            Begins::WebSocket(accepted) => {
                accepted.room.as_ref().or(accepted.opening.rooms.first())
            }
            Begins::Events(events) => Some(events.listening.first_room()),
        }
    }

    /// What it is told by a server that drains.
    pub(super) fn draining(&self) -> Vec<u8> {
        let refused = match self {
            Begins::WebSocket(_) => None,
            Begins::Events(events) => events.refusal("shutdown"),
        };
        refused.unwrap_or_else(last_words::draining)
    }

    /// Whether its client, or the token, is revoked.
    pub(super) fn is_refused_by(&self, shard: &mut Shard) -> bool {
        let identity = match self {
            Begins::WebSocket(accepted) => &accepted.opening.identity,
            Begins::Events(events) => &events.identity,
        };
        identity.as_ref().is_some_and(|identity| shard.refuses(identity))
    }

    fn bytes(&self) -> usize {
        match self {
            Begins::WebSocket(accepted) => {
                let rooms = rooms_bytes(&accepted.opening.rooms);
                accepted.head + accepted.response.len() + accepted.rest.len() + rooms
            }
            Begins::Events(events) => events.begin.len(),
        }
    }
}
