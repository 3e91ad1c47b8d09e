//! What an embedding program keeps about one connection.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use crate::claims::Claims;
use crate::handshake::Handshake;

/// What every handle to one connection shares. Only programs with handlers have them; a server of
/// its own keeps nothing beside the engine.
pub(crate) struct Session {
    pub(crate) handshake: Handshake,
    pub(crate) claims: Claims,
    state: RefCell<States>,
}

/// Values of the program's own, one of each type.
#[derive(Default)]
pub(crate) struct States(HashMap<TypeId, Rc<dyn Any>>);

impl States {
    pub(crate) fn set<T: 'static>(&mut self, value: Rc<T>) {
        self.0.insert(TypeId::of::<T>(), value);
    }

    pub(crate) fn get<T: 'static>(&self) -> Option<Rc<T>> {
        let value = Rc::clone(self.0.get(&TypeId::of::<T>())?);
        Some(value.downcast().expect("a value is kept under its own type"))
    }
}

impl Session {
    pub(crate) fn new(handshake: Handshake, claims: Claims) -> Session {
        Session { handshake, claims, state: RefCell::default() }
    }

    pub(crate) fn set_state<T: 'static>(&self, value: T) {
        self.state.borrow_mut().set(Rc::new(value));
    }

    pub(crate) fn state<T: 'static>(&self) -> Option<Rc<T>> {
        self.state.borrow().get()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("claims", &self.claims).finish_non_exhaustive()
    }
}
