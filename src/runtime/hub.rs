//! A shard's loop, and what its tasks may ask of it.

use std::cell::{Cell, RefCell, RefMut};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use corecast_shards::{
    Answer, AnswerToken, AskedCommand, Close, ConnId, Full, Joined, Limits, Message, Permission,
    Query, Refused, RoomMessage, RoomName, Shard, ShardId, Time, Unsent, Verdict,
};
use futures_lite::future;

use super::driver::{ShardDriver, SpawnRequest};
use super::executor::{YIELD_INTERVAL, yield_to_executor};
use super::fatal::{AtWork, catch_and_log};
use super::http_server;
use super::http_stream::HttpStream;
use super::oneshot::{OneshotSender, oneshot};
use super::ring::ShardWaker;
use super::server_state::{Gauges, HttpPlace, RequestGuard, ServerState};
use super::tasks::Tasks;
use super::timers::Sleep;
use crate::broadcaster::Broadcaster;
use crate::error::{JoinError, NotAccepted};
use crate::executor_choice::ExecutorChoice;
use crate::handler::{Failure, catch_panic};
use crate::handshake::Refusal;
use crate::http::{AccessRules, EventStream, HttpError, Router};
use crate::http_api::ApiRequest;
use crate::program::Handlers;
use crate::receipt::Receipt;
use crate::session::Session;
use crate::target::receipt;

/// One shard at work: turns while there is work, sleep while there is none, and tasks beside it.
///
/// Invariant: no borrow of the driver lives across an await, and tasks run only between turns; so
/// whoever borrows it finds it free.
///
/// Handles may outlive the shard, wherever the program keeps them. The driver does not: it ends with
/// the shard, and all that it holds of the system. What a handle asks for then is answered as for a
/// connection that has gone.
#[derive(Clone)]
pub(crate) struct Hub(Rc<Inner>);

struct Inner {
    id: ShardId,
    /// None once the shard has ended.
    driver: RefCell<Option<ShardDriver>>,
    tasks: Tasks,
    shard_waker: ShardWaker,
    handlers: Handlers,
    state: Arc<ServerState>,
    broadcaster: Broadcaster,
    /// Turns so far, and the tasks that wait for the end of the next.
    turns: Cell<u64>,
    awaiting_turn: RefCell<Vec<Waker>>,
}

/// How long a caller over HTTP waits before it tries again to send to a connection for which too
/// much waits: first as long as a client needs that reads fast, then longer and longer.
const EMIT_PAUSE_MIN: Duration = Duration::from_millis(1);
const EMIT_PAUSE_MAX: Duration = Duration::from_millis(50);

/// How long a caller waits for a home's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl Hub {
    pub(crate) fn new(
        driver: ShardDriver,
        shard_waker: ShardWaker,
        handlers: Handlers,
        state: Arc<ServerState>,
        broadcaster: Broadcaster,
    ) -> Hub {
        Hub(Rc::new(Inner {
            id: driver.shard.id(),
            driver: RefCell::new(Some(driver)),
            tasks: Tasks::new(shard_waker.clone()),
            shard_waker,
            handlers,
            state,
            broadcaster,
            turns: Cell::new(0),
            awaiting_turn: RefCell::default(),
        }))
    }

    /// Works until it is told to stop.
    pub(crate) async fn run(&self) -> io::Result<()> {
        let mut yielded = Instant::now();
        loop {
            let more = self.driver().turn();
            let spawn_requests = std::mem::take(&mut self.driver().spawn_requests);
            spawn_requests.into_iter().for_each(|request| self.spawn_requested(request));
            if self.driver().stopped {
                return Ok(());
            }
            self.0.turns.set(self.0.turns.get() + 1);
            self.0.awaiting_turn.borrow_mut().drain(..).for_each(Waker::wake);
            // Those that the turn has woken ask the driver for what they want.
            self.0.tasks.run_woken();
            if self.wants_yields() && yielded.elapsed() >= YIELD_INTERVAL {
                yield_to_executor().await;
                yielded = Instant::now();
            }
            if more || self.0.tasks.take_notification() {
                self.driver().poll(Some(Duration::ZERO))?;
            } else {
                self.sleep()?;
            }
        }
    }

    /// The driver, for the loop itself.
    fn driver(&self) -> RefMut<'_, ShardDriver> {
        RefMut::map(self.0.driver.borrow_mut(), |driver| {
            driver.as_mut().expect("the driver is there as long as the loop runs")
        })
    }

    /// Lets go of everything that the shard holds, whoever still has a handle to it: tasks first,
    /// since they end what they were about on the driver, then the driver, then the program's values.
    pub(crate) fn end(&self) {
        self.0.tasks.end();
        let driver = self.0.driver.borrow_mut().take();
        catch_and_log("the destructor of a connection's state", || drop(driver));
        for state in self.0.handlers.states.end() {
            catch_and_log("the destructor of a shard's state", || drop(state));
        }
    }

    /// Whether a future may wait for something that only the executor's own loop completes.
    fn wants_yields(&self) -> bool {
        self.0.tasks.has_user_tasks() && self.executor().serves_handlers()
    }

    /// Waits until there is work. What brings some wakes the shard.
    fn sleep(&self) -> io::Result<()> {
        let mut driver = self.driver();
        self.0.shard_waker.announce_park();
        let timeout = if driver.has_work() || self.0.tasks.take_notification() {
            Some(Duration::ZERO)
        } else {
            let next_yield = self.wants_yields().then_some(YIELD_INTERVAL);
            next_yield.into_iter().chain(driver.set_timer()).min()
        };
        let woken = driver.poll(timeout);
        self.0.shard_waker.end_park();
        woken
    }

    fn spawn_requested(&self, request: SpawnRequest) {
        let tasks = &self.0.tasks;
        match request {
            SpawnRequest::Http { fd, registration, place, head } => {
                let stream = HttpStream::new(self.clone(), fd, registration, place, head);
                tasks.spawn(http_server::serve(self.clone(), stream));
            }
            SpawnRequest::Call(call) => {
                let session = self.session(call.conn);
                tasks.spawn_user(self.0.handlers.call(self.clone(), call, session));
            }
            SpawnRequest::Emit { connection, frame, reply } => {
                let hub = self.clone();
                tasks.spawn(async move { hub.emit_for(connection, &frame, reply).await });
            }
            SpawnRequest::HungUp(id) => {
                let session = self.driver().sessions.get(&id).cloned();
                session.into_iter().for_each(|session| session.set_closed());
            }
            SpawnRequest::Disconnected(id, reason) => {
                let Some(session) = self.driver().sessions.remove(&id) else { return };
                session.set_closed();
                match self.0.handlers.part(self.clone(), id, reason, Rc::clone(&session)) {
                    Some(parted) => tasks.spawn_user(parted),
                    // It may be the last that holds values of the program.
                    None => {
                        catch_and_log("the destructor of a connection's state", || drop(session));
                    }
                }
            }
            SpawnRequest::Authorize { key, handshake } => {
                let verdict = self.0.handlers.authorize(handshake.clone());
                let hub = self.clone();
                tasks.spawn_user(async move {
                    let verdict = verdict.await;
                    hub.with_driver(|driver| driver.end_authorize(key, handshake, verdict));
                    hub.notify();
                });
            }
        }
    }

    fn session(&self, id: ConnId) -> Rc<Session> {
        let session = self.driver().sessions.get(&id).cloned();
        session.expect("it is kept from the handshake until the connection has parted")
    }

    /// Runs a future of the program beside everything else.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.0.tasks.spawn_user(async move {
            if let Err(panic) = catch_panic(future).await {
                tracing::error!("a task of the program {panic}");
            }
        });
    }

    /// The shard's own value of this type.
    pub(crate) fn shard_state<T: Clone + 'static>(&self) -> T {
        self.0.handlers.states.get().unwrap_or_else(|| {
            let name = std::any::type_name::<T>();
            panic!("no shard has a {name}; say how to make one with Builder::shard_state")
        })
    }

    pub(crate) fn router(&self) -> &Router {
        &self.0.handlers.router
    }

    pub(crate) fn broadcaster(&self) -> Broadcaster {
        self.0.broadcaster.clone()
    }

    /// Looks at the driver or changes it, between two turns; none when the shard has ended.
    pub(crate) fn with_driver<T>(&self, look: impl FnOnce(&mut ShardDriver) -> T) -> Option<T> {
        let mut driver = self.0.driver.borrow_mut();
        let _at_work = AtWork::begin(self.0.id);
        driver.as_mut().map(look)
    }

    /// The time on the clock of all shards.
    pub(crate) fn now(&self) -> Time {
        self.0.state.now()
    }

    /// Says that the driver has work: the hub does not sleep before it has looked.
    fn notify(&self) {
        self.0.tasks.notify();
    }

    /// Looks at the driver or changes it while it still takes turns: what is published after its last
    /// would reach no member.
    fn with_working_core<T>(
        &self,
        look: impl FnOnce(&mut ShardDriver) -> T,
    ) -> Result<T, NotAccepted> {
        let working = |driver: &mut ShardDriver| (!driver.stopped).then(|| look(driver));
        self.with_driver(working).flatten().ok_or(NotAccepted::Closed)
    }

    /// Publishes to a room, or to all connections, without waiting for capacity or offset.
    pub(crate) fn publish(
        &self,
        room: &RoomName,
        message: RoomMessage,
        exclude: Option<ConnId>,
    ) -> Result<(), NotAccepted> {
        let publish = |driver: &mut ShardDriver| driver.shard.publish(room, message, exclude, None);
        let published = self.with_working_core(publish)?;
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
            let refused = self.with_working_core(|driver| {
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
                    return Ok(receipt(room, &answer, self.connections()));
                }
                Err((_, unsent)) => message = unsent,
            }
            self.next_turn().await;
        }
    }

    /// Publishes to a room for a caller over HTTP, and waits for the offset.
    pub(crate) async fn publish_numbered(
        &self,
        room: &RoomName,
        message: RoomMessage,
    ) -> Result<Answer, HttpError> {
        self.refuse_while_draining()?;
        let publish = |driver: &mut ShardDriver, token| {
            driver.shard.publish(room, message, None, Some(token)).map_err(|(full, _)| full)
        };
        self.ask(publish).await
    }

    /// Makes a connection of this shard a member of a room, and waits until it is.
    pub(crate) async fn join(&self, id: ConnId, room: &RoomName) -> Result<Joined, JoinError> {
        match self.command(|shard, token| shard.join(id, room, token)).await? {
            Answer::Joined(joined) => Ok(joined),
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
            let (sender, answer) = oneshot();
            let refused = self.with_driver(|driver| {
                let token = driver.expect_answer(sender);
                let taken = command(&mut driver.shard, token);
                taken.inspect_err(|_| drop(driver.waiting.remove(&token)))
            });
            match refused.unwrap_or(Err(Refused::Gone)) {
                Ok(()) => {
                    self.notify();
                    return answer.await.ok_or(JoinError::Gone);
                }
                Err(Refused::Busy) => self.next_turn().await,
                Err(Refused::TooManyRooms(limit)) => return Err(JoinError::TooManyRooms { limit }),
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
        self.with_driver(|driver| driver.shard.rooms_of(id)).unwrap_or_default()
    }

    pub(crate) fn is_open(&self, id: ConnId) -> bool {
        self.with_driver(|driver| driver.shard.is_open(id)).unwrap_or(false)
    }

    /// Asks one shard.
    pub(crate) async fn query(&self, to: ShardId, query: Query) -> Result<Answer, HttpError> {
        self.ask(|driver, token| driver.shard.query(to, token, query).map_err(|(full, _)| full))
            .await
    }

    /// Asks every shard the same.
    pub(crate) async fn query_all(
        &self,
        query: impl Fn() -> Query,
    ) -> Result<Vec<Answer>, HttpError> {
        let mut answers = Vec::with_capacity(self.shards());
        for index in 0..self.shards() {
            let shard = ShardId::new(u16::try_from(index).expect("shards are counted in u16"));
            answers.push(self.query(shard, query()).await?);
        }
        Ok(answers)
    }

    async fn ask(
        &self,
        request: impl FnOnce(&mut ShardDriver, AnswerToken) -> Result<(), Full>,
    ) -> Result<Answer, HttpError> {
        let (sender, answer) = oneshot();
        let asked = self.with_driver(|driver| {
            let token = driver.expect_answer(sender);
            let asked = request(driver, token);
            asked.inspect_err(|_| drop(driver.waiting.remove(&token)))
        });
        asked.ok_or_else(HttpError::draining)?.map_err(|_| HttpError::overloaded())?;
        self.notify();
        self.within(ANSWER_TIMEOUT, answer).await.flatten().ok_or_else(HttpError::overloaded)
    }

    /// Queues a frame for a connection of this shard.
    pub(crate) fn emit(&self, id: ConnId, frame: &[u8]) -> Result<(), Unsent> {
        let sent =
            self.with_driver(|driver| driver.shard.emit(id, frame)).unwrap_or(Err(Unsent::Gone));
        // One that is full gives the core nothing to do, and may be tried in every turn.
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
    async fn emit_for(&self, id: ConnId, frame: &[u8], reply: OneshotSender<Answer>) {
        while !reply.is_closed() {
            match self.emit(id, frame) {
                Err(Unsent::Full) => self.next_turn().await,
                sent => return reply.send(Answer::Found(sent.is_ok())),
            }
        }
    }

    /// Queues a frame for any connection, for a caller over HTTP, and waits while there is no room
    /// for it. Returns whether the connection was there.
    pub(crate) async fn emit_to(&self, id: ConnId, frame: Vec<u8>) -> Result<bool, HttpError> {
        let sent = self.within(ANSWER_TIMEOUT, self.emit_when_it_fits(id, frame)).await;
        sent.unwrap_or_else(|| Err(HttpError::overloaded()))
    }

    async fn emit_when_it_fits(&self, id: ConnId, mut frame: Vec<u8>) -> Result<bool, HttpError> {
        let mut pause = EMIT_PAUSE_MIN;
        loop {
            frame = match self.try_emit(id, frame).await {
                Some(Answer::Found(found)) => return Ok(found),
                Some(Answer::TooLarge(limit)) => return Err(HttpError::emit_too_large(limit)),
                Some(Answer::Full(frame)) => frame,
                _ => return Err(HttpError::overloaded()),
            };
            Sleep::new(self, pause).await;
            pause = EMIT_PAUSE_MAX.min(2 * pause);
        }
    }

    /// Asks a connection's shard to queue a frame. A ring without room answers like the shard.
    async fn try_emit(&self, id: ConnId, frame: Vec<u8>) -> Option<Answer> {
        let (sender, answer) = oneshot();
        let refused = self.with_driver(|driver| {
            let token = driver.expect_answer(sender);
            let asked = driver.shard.query(id.shard, token, Query::Emit(id, frame));
            asked.map_err(|(_, query)| (driver.waiting.remove(&token), query))
        })?;
        match refused {
            Ok(()) => {
                self.notify();
                answer.await
            }
            Err((_, Query::Emit(_, frame))) => Some(Answer::Full(frame)),
            Err((_, other)) => unreachable!("an emit is given back and not {other:?}"),
        }
    }

    /// Closes a connection of this shard.
    pub(crate) fn close(&self, id: ConnId, close: Close) -> bool {
        let found = self.with_driver(|driver| driver.shard.close(id, close));
        self.notify();
        found.unwrap_or(false)
    }

    /// Says that a handler is done with this message, and how it failed if it did.
    pub(crate) fn end_call(&self, id: ConnId, failure: Option<Failure>, message: Option<&Message>) {
        self.with_driver(|driver| {
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
        self.with_driver(|driver| {
            driver.shard.decide(id, asked, verdict);
            driver.handlers -= 1;
        });
        self.notify();
    }

    /// Waits for a future, but not longer than this.
    pub(crate) async fn within<T>(
        &self,
        timeout: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let done = async { Some(future.await) };
        let late = async {
            Sleep::new(self, timeout).await;
            None
        };
        future::or(done, late).await
    }

    pub(crate) fn home(&self, room: &RoomName) -> ShardId {
        self.0.state.home(room)
    }

    pub(crate) fn shards(&self) -> usize {
        self.0.state.shards()
    }

    /// Open connections of all shards, at about this moment.
    pub(crate) fn connections(&self) -> u64 {
        self.0.state.connections()
    }

    pub(crate) fn core_of(&self, shard: ShardId) -> Option<usize> {
        self.0.state.core_of(shard)
    }

    pub(crate) fn executor(&self) -> &ExecutorChoice {
        self.0.state.executor()
    }

    pub(crate) fn gauges(&self, shard: ShardId) -> &Gauges {
        self.0.state.gauges(shard)
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.0.state.limits()
    }

    pub(crate) fn http_connections(&self) -> usize {
        self.0.state.http_connections()
    }

    pub(crate) fn rules(&self) -> &AccessRules {
        self.0.state.rules()
    }

    /// Asks the program whether a request may use `/v1`.
    pub(crate) async fn authorize_api(&self, request: ApiRequest) -> Result<(), Refusal> {
        self.0.handlers.authorize_api(request).await
    }

    /// Holds a shutdown back while a request is answered.
    pub(super) fn answering(&self) -> RequestGuard {
        ServerState::answering(&self.0.state)
    }

    /// Takes a connection of HTTP's back whose next request is a handshake.
    pub(super) fn take_back(&self, fd: OwnedFd, place: HttpPlace, bytes: &[u8]) {
        self.with_driver(|driver| driver.take_back(fd, place, bytes));
        self.notify();
    }

    /// Takes one of the connections that the process may have, for an event stream.
    pub(super) fn claim_connection(&self) -> Result<(), HttpError> {
        self.refuse_while_draining()?;
        let claimed = self.0.state.claim_connection();
        claimed.then_some(()).ok_or_else(|| HttpError::capacity(self.limits().connections))
    }

    /// Makes a connection of HTTP's, for which one was claimed, an event stream.
    pub(super) fn open_events(&self, fd: OwnedFd, events: EventStream) {
        self.with_driver(|driver| driver.open_events(fd, events));
        self.notify();
    }

    /// Whether a caller without credentials may join rooms: as over a WebSocket. Where a hook of the
    /// program decides about handshakes it may not, because a request for events is none.
    pub(crate) fn anonymous_join(&self) -> Permission {
        if self.rules().program_authorizes {
            return Permission::Forbidden;
        }
        let permissions = self.with_driver(|driver| driver.permissions).unwrap_or_default();
        self.rules().anonymous.restrict(permissions).join
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.state.is_draining()
    }

    /// Asked in the same step as a message is accepted: a shard stops reading after the process
    /// began to drain, so that whatever was accepted before is delivered.
    pub(crate) fn refuse_while_draining(&self) -> Result<(), HttpError> {
        if self.is_draining() { Err(HttpError::draining()) } else { Ok(()) }
    }
}
