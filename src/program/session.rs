//! What an embedding program keeps about one connection.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use corecast_shards::RoomName;
use event_listener::{Event, EventListener};

use super::handshake::Handshake;
use crate::values::Claims;

/// What every handle to one connection shares. Only programs with handlers have them; a server of
/// its own keeps nothing beside the engine.
pub(crate) struct Session {
    /// As the client's latest token said.
    pub(crate) claims: Claims,
    kept: Rc<Kept>,
}

/// What stays when a connection's claims change.
struct Kept {
    handshake: Handshake,
    /// The program's `authorize` said the claims, and not the token that the client brought.
    by_program: bool,
    state: RefCell<States>,
    /// Told when the connection has ended, or its client has gone.
    closed: Event,
    /// The rooms that it was in when it ended.
    last_rooms: RefCell<Vec<RoomName>>,
}

/// What a session is made of, before its connection has a shard.
#[derive(Debug)]
pub(crate) struct SessionSeed {
    handshake: Handshake,
    claims: Claims,
    by_program: bool,
}

impl SessionSeed {
    /// A connection with the claims of its token.
    pub(crate) fn of_token(handshake: Handshake, claims: Claims) -> SessionSeed {
        SessionSeed { handshake, claims, by_program: false }
    }

    /// A connection with the claims that the program's `authorize` returned.
    pub(crate) fn of_program(handshake: Handshake, claims: Claims) -> SessionSeed {
        SessionSeed { handshake, claims, by_program: true }
    }
}

/// Values of the program's own, one of each type.
#[derive(Default)]
pub(crate) struct States(HashMap<TypeId, Rc<dyn Any>>);

impl States {
    pub(crate) fn set<T: 'static>(&mut self, value: Rc<T>) -> Option<Rc<dyn Any>> {
        self.0.insert(TypeId::of::<T>(), value)
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<Rc<T>> {
        let value = Rc::clone(self.0.get(&TypeId::of::<T>())?);
        Some(value.downcast().expect("a value is kept under its own type"))
    }
}

impl Session {
    /// The session of a connection that begins.
    pub(crate) fn new(seed: SessionSeed) -> Session {
        let SessionSeed { handshake, claims, by_program } = seed;
        let (state, last_rooms) = (RefCell::default(), RefCell::default());
        let kept = Kept { handshake, by_program, state, closed: Event::new(), last_rooms };
        Session { claims, kept: Rc::new(kept) }
    }

    /// Whether the program said the claims, so that no token by itself takes their place.
    pub(crate) fn is_by_program(&self) -> bool {
        self.kept.by_program
    }

    /// The same connection with the claims of a fresh token.
    pub(crate) fn renewed(&self, claims: Claims) -> Session {
        Session { claims, kept: Rc::clone(&self.kept) }
    }

    pub(crate) fn handshake(&self) -> &Handshake {
        &self.kept.handshake
    }

    pub(crate) fn set_state<T: 'static>(&self, value: T) {
        // What it replaces is dropped when nothing is borrowed: its destructor may use the handle.
        let _before = self.kept.state.borrow_mut().set(Rc::new(value));
    }

    pub(crate) fn state<T: 'static>(&self) -> Option<Rc<T>> {
        self.kept.state.borrow().get()
    }

    /// Wakes those who wait for the end of the connection.
    pub(crate) fn set_closed(&self) {
        self.kept.closed.notify(usize::MAX);
    }

    /// Waits until this is told next. A task that listens first and looks then misses nothing.
    pub(crate) fn listen_closed(&self) -> EventListener {
        self.kept.closed.listen()
    }

    pub(crate) fn set_last_rooms(&self, rooms: Vec<RoomName>) {
        *self.kept.last_rooms.borrow_mut() = rooms;
    }

    pub(crate) fn last_rooms(&self) -> Vec<RoomName> {
        self.kept.last_rooms.borrow().clone()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("claims", &self.claims).finish_non_exhaustive()
    }
}
