//! What a shard's tasks hold of it: HTTP requests, handlers, and what these spawn.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use corecast_shards::{
    Answer, AnswerToken, AskedCommand, Close, ConnId, JoinOptions, Joined, Message, Permissions,
    Refresh, Refused, RoomMessage, RoomName, Shard, Unsent, Verdict,
};
use futures_lite::future;

use super::driver::{ShardDriver, UserEmit};
use super::driver_ref::DriverRef;
use super::inbox::Inboxes;
use super::oneshot::{OneshotReceiver, OneshotSender, oneshot};
use super::reception::HttpConnection;
use super::server_state::ServerState;
use super::sleep::Sleep;
use super::tasks::Tasks;
use crate::http::EventStream;
use crate::program::{Failure, Handshake, Refusal, catch_panic};
use crate::values::{Claims, JoinError, NotAccepted, Receipt};

/// A way to the loop of this thread's shard.
///
/// Handles may outlive the shard, wherever the program keeps them. What a handle asks for then is
/// answered as for a connection that has gone.
#[derive(Clone)]
pub(crate) struct ShardHandle(Rc<Shared>);

struct Shared {
    driver: DriverRef,
    tasks: Rc<Tasks>,
    state: Arc<ServerState>,
    inboxes: Inboxes,
    /// What clients may do by their own commands.
    permissions: Permissions,
    /// Turns so far, and the tasks that wait for the end of the next.
    turns: Cell<u64>,
    awaiting_turn: RefCell<Vec<Waker>>,
}

impl ShardHandle {
    pub(super) fn new(
        driver: DriverRef,
        tasks: Rc<Tasks>,
        state: Arc<ServerState>,
        inboxes: Inboxes,
        permissions: Permissions,
    ) -> ShardHandle {
        let (turns, awaiting_turn) = (Cell::new(0), RefCell::default());
        let shared = Shared { driver, tasks, state, inboxes, permissions, turns, awaiting_turn };
        ShardHandle(Rc::new(shared))
    }

    pub(super) fn driver(&self) -> &DriverRef {
        &self.0.driver
    }

    pub(crate) fn state(&self) -> &Arc<ServerState> {
        &self.0.state
    }

    /// The way to the shards that every thread has.
    pub(crate) fn inboxes(&self) -> &Inboxes {
        &self.0.inboxes
    }

    /// What clients may do by their own commands.
    pub(super) fn permissions(&self) -> &Permissions {
        &self.0.permissions
    }

    /// A turn has ended: tasks that waited for it go on.
    pub(super) fn end_turn(&self) {
        self.0.turns.set(self.0.turns.get() + 1);
        self.0.awaiting_turn.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// Runs a future of the program beside everything else.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.0.tasks.spawn_user(async move {
            if let Err(panic) = catch_panic(future).await {
                tracing::error!("a task of the program {panic}");
            }
        });
    }

    /// Is ready when its time is over, or the shard has ended.
    pub(crate) fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(self.0.driver.clone(), self.0.state.now(), duration)
    }

    /// Says that the driver has work: the loop does not sleep before it has looked.
    fn notify(&self) {
        self.0.tasks.notify();
    }

    /// Looks at the driver or changes it while it still takes turns: what is published after its last
    /// would reach no member.
    fn with_working_driver<T>(
        &self,
        look: impl FnOnce(&mut ShardDriver) -> T,
    ) -> Result<T, NotAccepted> {
        let working = |driver: &mut ShardDriver| (!driver.stopped).then(|| look(driver));
        self.0.driver.with(working).flatten().ok_or(NotAccepted::Closed)
    }

    /// Publishes to a room, or to all connections, without waiting for capacity or offset.
    pub(crate) fn publish(
        &self,
        room: &RoomName,
        message: RoomMessage,
        exclude: Option<ConnId>,
    ) -> Result<(), NotAccepted> {
        let publish = |driver: &mut ShardDriver| driver.shard.publish(room, message, exclude, None);
        let published = self.with_working_driver(publish)?;
        self.notify();
        published.map_err(|_| NotAccepted::Full)
    }

    /// Publishes to a room, or to all connections, when there is capacity; then waits for the
    /// offset, if it is wanted.
    pub(crate) async fn publish_waiting(
        &self,
        room: &RoomName,
        mut message: RoomMessage,
        exclude: Option<ConnId>,
        confirm: bool,
    ) -> Result<Receipt, NotAccepted> {
        loop {
            let (sender, answer) = confirm.then(oneshot).unzip();
            let refused = self.with_working_driver(|driver| {
                let token = sender.map(|sender| driver.expect_answer(sender));
                let published = driver.shard.publish(room, message, exclude, token);
                published.map_err(|(_, message)| {
                    (token.and_then(|token| driver.waiting.remove(&token)), message)
                })
            });
            match refused? {
                Ok(()) => {
                    self.notify();
                    let Some(answer) = answer else { return Ok(Receipt::unconfirmed()) };
                    let answer = answer.await.ok_or(NotAccepted::Unconfirmed)?;
                    return Ok(Receipt::of_answer(room, &answer, self.0.state.connections()));
                }
                Err((_, unsent)) => message = unsent,
            }
            self.next_turn().await;
        }
    }

    /// Makes a connection of this shard a member of a room, and waits until it is.
    pub(crate) async fn join(
        &self,
        id: ConnId,
        room: &RoomName,
        options: &JoinOptions,
    ) -> Result<Joined, JoinError> {
        let join = |shard: &mut Shard, token| shard.join(id, room, options.clone(), token);
        match self.command(join).await? {
            Answer::Joined(joined) => Ok(joined),
            Answer::TooManyRooms(limit) => Err(JoinError::TooManyRoomsInAll { limit }),
            _ => Err(JoinError::Gone),
        }
    }

    /// Takes a connection of this shard out of a room, and waits until it is.
    pub(crate) async fn leave(&self, id: ConnId, room: &RoomName) -> Result<(), JoinError> {
        match self.command(|shard, token| shard.leave(id, room, token)).await? {
            Answer::Left { .. } => Ok(()),
            _ => Err(JoinError::Gone),
        }
    }

    /// Tries a command in each turn until the shard takes it, and waits for its answer.
    async fn command(
        &self,
        command: impl Fn(&mut Shard, AnswerToken) -> Result<(), Refused>,
    ) -> Result<Answer, JoinError> {
        loop {
            match self.ask(&command).unwrap_or(Err(Refused::Gone)) {
                Ok(answer) => return answer.await.ok_or(JoinError::Gone),
                Err(Refused::Busy) => self.next_turn().await,
                Err(Refused::TooManyRooms(limit)) => return Err(JoinError::TooManyRooms { limit }),
                Err(Refused::TooManyMemberships(limit)) => {
                    return Err(JoinError::TooManyMemberships { limit });
                }
                Err(Refused::NotAMember) => return Err(JoinError::NotAMember),
                Err(_) => return Err(JoinError::Gone),
            }
        }
    }

    /// Is ready after the next turn, which begins when something has happened.
    pub(crate) async fn next_turn(&self) {
        let begun_in = self.0.turns.get();
        future::poll_fn(|cx| {
            if self.0.turns.get() != begun_in {
                return Poll::Ready(());
            }
            self.0.awaiting_turn.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn rooms_of(&self, id: ConnId) -> Vec<RoomName> {
        self.0.driver.with(|driver| driver.shard.rooms_of(id)).unwrap_or_default()
    }

    pub(crate) fn is_open(&self, id: ConnId) -> bool {
        self.0.driver.with(|driver| driver.shard.is_open(id)).unwrap_or(false)
    }

    /// Asks the engine. Returns what waits for its answer, or what it says of a request that it does
    /// not take; none when the shard has ended.
    pub(super) fn ask<E>(
        &self,
        request: impl FnOnce(&mut Shard, AnswerToken) -> Result<(), E>,
    ) -> Option<Result<OneshotReceiver<Answer>, E>> {
        let (sender, answer) = oneshot();
        let asked = self.0.driver.with(|driver| {
            let token = driver.expect_answer(sender);
            let asked = request(&mut driver.shard, token);
            asked.inspect_err(|_| drop(driver.waiting.remove(&token)))
        })?;
        if asked.is_ok() {
            self.notify();
        }
        Some(asked.map(|()| answer))
    }

    /// Queues a frame for a connection of this shard.
    pub(crate) fn emit(&self, id: ConnId, frame: &[u8]) -> Result<(), Unsent> {
        let sent =
            self.0.driver.with(|driver| driver.shard.emit(id, frame)).unwrap_or(Err(Unsent::Gone));
        // One that is full gives the driver nothing to do, and may be tried in every turn.
        if sent != Err(Unsent::Full) {
            self.notify();
        }
        sent
    }

    /// Queues a frame for a connection of this shard, when there is capacity for it.
    pub(crate) async fn emit_waiting(&self, id: ConnId, frame: &[u8]) -> Result<(), Unsent> {
        loop {
            match self.emit(id, frame) {
                Err(Unsent::Full) => self.next_turn().await,
                sent => return sent,
            }
        }
    }

    /// The same for a thread, which may give up before.
    pub(super) async fn emit_for(&self, id: ConnId, frame: &[u8], reply: OneshotSender<Answer>) {
        while !reply.is_closed() {
            match self.emit(id, frame) {
                Err(Unsent::Full) => self.next_turn().await,
                sent => return reply.send(Answer::Found(sent.is_ok())),
            }
        }
    }

    /// Goes on with a frame for a user's connections in the next turn.
    pub(super) async fn emit_to_user(&self, emit: UserEmit) {
        self.next_turn().await;
        self.0.driver.with(|driver| driver.emit_to_user(emit));
        self.notify();
    }

    /// Closes a connection of this shard.
    pub(crate) fn close(&self, id: ConnId, close: Close) -> bool {
        let found = self.0.driver.with(|driver| driver.shard.close(id, close));
        self.notify();
        found.unwrap_or(false)
    }

    /// Says that a handler is done with this message, and how it failed if it did.
    pub(crate) fn end_call(&self, id: ConnId, failure: Option<Failure>, message: Option<&Message>) {
        self.0.driver.with(|driver| {
            if let Some(failure) = failure {
                let request = message.and_then(|message| message.id.as_deref());
                let room = message.and_then(|message| message.room.as_ref());
                driver.shard.fail_call(id, failure.client.as_deref(), request, room);
            }
            driver.shard.end_call(id);
            driver.handlers -= 1;
        });
        self.notify();
    }

    /// Says what the program decided about a command.
    pub(crate) fn decide(&self, id: ConnId, asked: AskedCommand, verdict: Verdict) {
        self.0.driver.with(|driver| {
            driver.shard.decide(id, asked, verdict);
            driver.handlers -= 1;
        });
        self.notify();
    }

    /// Says what a fresh token of a client says, or why it is refused.
    pub(super) fn end_refresh(&self, id: ConnId, refresh: Refresh, claims: Result<Claims, String>) {
        self.0.driver.with(|driver| {
            driver.end_refresh(id, refresh, claims);
            driver.handlers -= 1;
        });
        self.notify();
    }

    /// Has a fresh token of a client verified by the server's own keys, when it is its turn.
    pub(super) fn verify_refresh(&self, id: ConnId, refresh: Refresh) {
        self.0.driver.with(|driver| driver.refreshes.push_back((id, refresh)));
        self.notify();
    }

    /// Says what the program decided about a handshake.
    pub(super) fn end_authorize(
        &self,
        key: u64,
        handshake: Handshake,
        verdict: Result<Claims, Refusal>,
    ) {
        self.0.driver.with(|driver| driver.end_authorize(key, handshake, verdict));
        self.notify();
    }

    /// Takes a connection of HTTP's back whose next request is a handshake.
    pub(super) fn take_back(&self, connection: HttpConnection, bytes: &[u8]) {
        self.0.driver.with(|driver| driver.take_back(connection, bytes));
        self.notify();
    }

    /// Makes a connection of HTTP's, for which one was claimed, an event stream.
    pub(super) fn open_event_stream(&self, connection: HttpConnection, events: EventStream) {
        self.0.driver.with(|driver| driver.open_event_stream(connection, events));
        self.notify();
    }
}
