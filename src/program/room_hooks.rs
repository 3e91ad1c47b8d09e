//! What a program watches rooms with.

use std::rc::Rc;

use corecast_shards::{ConnId, RoomEvent, RoomName};

use super::handler::catch_panic_now;
use super::session::Session;

/// A function of the program that is called for what happened to a room: at once, on the thread of
/// the shard. What the room is to it is `A`.
pub(crate) trait Watch<A>: Send {
    /// For one more shard.
    fn clone_box(&self) -> Box<dyn Watch<A>>;

    /// It happened.
    fn call(&self, what: &A, room: &str);
}

impl<A, F> Watch<A> for F
where
    F: Fn(&A, &str) + Clone + Send + 'static,
{
    fn clone_box(&self) -> Box<dyn Watch<A>> {
        Box::new(self.clone())
    }

    fn call(&self, what: &A, room: &str) {
        self(what, room);
    }
}

impl<A> Clone for Box<dyn Watch<A>> {
    fn clone(&self) -> Self {
        self.as_ref().clone_box()
    }
}

/// The functions for members, which are handed a client as `C`, and those for rooms, which are handed
/// what publishes as `B`.
pub(crate) struct RoomHooks<C, B> {
    pub(crate) join: Option<Box<dyn Watch<C>>>,
    pub(crate) leave: Option<Box<dyn Watch<C>>>,
    pub(crate) occupied: Option<Box<dyn Watch<B>>>,
    pub(crate) vacated: Option<Box<dyn Watch<B>>>,
}

impl<C, B> RoomHooks<C, B> {
    /// Whether clients are watched.
    pub(crate) fn watch_members(&self) -> bool {
        self.join.is_some() || self.leave.is_some()
    }

    /// Whether rooms are.
    pub(crate) fn watch_rooms(&self) -> bool {
        self.occupied.is_some() || self.vacated.is_some()
    }

    /// Calls what watches this event. Of a connection there is its session.
    pub(crate) fn call(
        &self,
        event: &RoomEvent,
        session: Option<Rc<Session>>,
        client: impl FnOnce(ConnId, Rc<Session>) -> C,
        broadcaster: &B,
    ) {
        let member = |id: &ConnId| session.map(|session| client(*id, session));
        match event {
            RoomEvent::Joined(id, room) => call(&self.join, member(id).as_ref(), room),
            RoomEvent::Left(id, room) => call(&self.leave, member(id).as_ref(), room),
            RoomEvent::Occupied(room) => call(&self.occupied, Some(broadcaster), room),
            RoomEvent::Vacated(room) => call(&self.vacated, Some(broadcaster), room),
        }
    }
}

/// Calls a function, if there is one. A panic of it is logged.
fn call<A>(watch: &Option<Box<dyn Watch<A>>>, what: Option<&A>, room: &RoomName) {
    let (Some(watch), Some(what)) = (watch, what) else { return };
    if let Err(panic) = catch_panic_now(|| watch.call(what, room.as_str())) {
        tracing::error!(%room, "a function that watches rooms {panic}");
    }
}

impl<C, B> Clone for RoomHooks<C, B> {
    fn clone(&self) -> Self {
        RoomHooks {
            join: self.join.clone(),
            leave: self.leave.clone(),
            occupied: self.occupied.clone(),
            vacated: self.vacated.clone(),
        }
    }
}

impl<C, B> Default for RoomHooks<C, B> {
    fn default() -> Self {
        RoomHooks { join: None, leave: None, occupied: None, vacated: None }
    }
}
