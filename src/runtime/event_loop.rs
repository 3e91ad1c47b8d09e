//! A shard's loop.

use std::cell::{RefCell, RefMut};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use corecast_shards::{Call, CallKind, ConnId, Disconnect, RoomEvent};

use super::calls;
use super::driver::{ShardDriver, SpawnRequest};
use super::executor::{yield_interval, yield_to_executor};
use super::fatal::catch_and_log;
use super::handle::ShardHandle;
use super::http_socket::HttpSocket;
use super::on_shard::OnShard;
use super::ring::ShardWaker;
use super::tasks::Tasks;
use crate::http::{Service, serve};
use crate::program::{Session, ShardProgram};

/// One shard at work: turns while there is work, sleep while there is none, and tasks beside it.
///
/// It owns the driver, with the shard and all its sockets, the tasks, and the program's handlers.
/// Tasks reach it by a [`ShardHandle`], which does not keep the driver.
pub(crate) struct EventLoop {
    driver: Rc<RefCell<ShardDriver>>,
    tasks: Rc<Tasks>,
    shard_waker: ShardWaker,
    handle: ShardHandle,
    program: Rc<dyn ShardProgram>,
    http: Rc<Service<ShardHandle>>,
}

impl EventLoop {
    /// A loop of this driver and these tasks, which `handle` reaches.
    pub(super) fn new(
        driver: Rc<RefCell<ShardDriver>>,
        tasks: Rc<Tasks>,
        shard_waker: ShardWaker,
        handle: ShardHandle,
        program: OnShard,
    ) -> EventLoop {
        let OnShard { handlers, routes } = program;
        let http = Rc::new(Service::new(handle.clone(), Rc::clone(&handlers), routes));
        EventLoop { driver, tasks, shard_waker, handle, program: handlers, http }
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
            self.handle.end_turn();
            // Those that the turn has woken ask the driver for what they want.
            self.tasks.run_woken();
            let interval = self.yield_interval();
            let mut until_yield = interval.map(|of| of.saturating_sub(yielded.elapsed()));
            if until_yield == Some(Duration::ZERO) {
                yield_to_executor().await;
                yielded = Instant::now();
                until_yield = interval;
            }
            if more || self.tasks.take_notification() {
                self.driver().poll(Some(Duration::ZERO))?;
            } else {
                self.sleep(until_yield)?;
            }
        }
    }

    /// The driver, for the loop itself.
    fn driver(&self) -> RefMut<'_, ShardDriver> {
        self.driver.borrow_mut()
    }

    /// Lets go of everything that the shard holds, even while a handle to it exists: tasks first,
    /// since they end what they were about on the driver, then the driver, then the program's values
    /// and handlers.
    pub(crate) fn end(self) {
        self.tasks.end();
        let driver = self.driver;
        catch_and_log("the destructor of a connection's state", || drop(driver));
        for state in self.program.states().end() {
            catch_and_log("the destructor of a shard's state", || drop(state));
        }
        let handlers = (self.http, self.program);
        catch_and_log("the destructor of a handler", || drop(handlers));
    }

    /// Tasks reach the loop by clones of it.
    pub(super) fn handle(&self) -> &ShardHandle {
        &self.handle
    }

    /// How often to yield, while a future may wait for something that only the executor's own loop
    /// completes.
    fn yield_interval(&self) -> Option<Duration> {
        let waits = self.tasks.has_user_tasks();
        waits.then(|| yield_interval(self.handle.state().executor())).flatten()
    }

    /// Waits until there is work, or it is time to yield. What brings work wakes the shard.
    fn sleep(&self, until_yield: Option<Duration>) -> io::Result<()> {
        let mut driver = self.driver();
        self.shard_waker.announce_park();
        let timeout = if driver.has_work() || self.tasks.take_notification() {
            Some(Duration::ZERO)
        } else {
            until_yield.into_iter().chain(driver.set_timer()).min()
        };
        let woken = driver.poll(timeout);
        self.shard_waker.end_park();
        woken
    }

    fn spawn_requested(&self, request: SpawnRequest) {
        match request {
            SpawnRequest::Http { connection, registration, head } => {
                let socket = HttpSocket::new(self.handle.clone(), connection, registration);
                self.tasks.spawn(serve(Rc::clone(&self.http), socket, head));
            }
            SpawnRequest::Call(call) => self.spawn_call(call),
            SpawnRequest::Emit { connection, frame, reply } => {
                let handle = self.handle.clone();
                self.tasks.spawn(async move { handle.emit_for(connection, &frame, reply).await });
            }
            SpawnRequest::EmitToUser(emit) => {
                let handle = self.handle.clone();
                self.tasks.spawn(async move { handle.emit_to_user(emit).await });
            }
            SpawnRequest::HungUp(id) => {
                let session = self.driver().sessions.get(&id).cloned();
                session.into_iter().for_each(|session| session.set_closed());
            }
            SpawnRequest::Room(event) => self.watch(&event),
            SpawnRequest::Disconnected(id, reason) => self.on_disconnected(id, reason),
            SpawnRequest::Authorize { key, handshake } => {
                let verdict = self.program.authorize(handshake.clone());
                let handle = self.handle.clone();
                self.tasks.spawn_user(async move {
                    let verdict = verdict.await;
                    handle.end_authorize(key, handshake, verdict);
                });
            }
        }
    }

    fn spawn_call(&self, call: Call) {
        let call = match call.kind {
            CallKind::Refresh(refresh) if !self.program.refreshes() => {
                return self.handle.verify_refresh(call.conn, refresh);
            }
            kind => Call { kind, ..call },
        };
        let (id, session, handle) = (call.conn, self.session(call.conn), self.handle.clone());
        let timeout = self.program.timeout();
        match call.kind {
            CallKind::Command(mut asked) => {
                let work = self.program.judge(id, session, &mut asked);
                self.tasks.spawn_user(calls::decide(handle, id, asked, work, timeout));
            }
            CallKind::Refresh(refresh) => {
                let token = refresh.token.as_str().to_owned();
                let work = self.program.refresh(id, session, token);
                self.tasks.spawn_user(calls::refresh(handle, id, refresh, work, timeout));
            }
            what => {
                let (work, message) = self.program.handle(id, session, what);
                self.tasks.spawn_user(calls::handle(handle, id, message, work, timeout));
            }
        }
    }

    /// What happened to rooms is said in its order, and before the turn's tasks run: neither is there a
    /// list of it that could grow, nor does a handler begin before what had happened is said.
    fn watch(&self, event: &RoomEvent) {
        let session = match event {
            RoomEvent::Joined(id, _) | RoomEvent::Left(id, _) => Some(self.session(*id)),
            RoomEvent::Occupied(_) | RoomEvent::Vacated(_) => None,
        };
        self.program.watch(event, session);
    }

    fn on_disconnected(&self, id: ConnId, reason: Disconnect) {
        let Some(session) = self.driver().sessions.remove(&id) else { return };
        session.set_closed();
        match self.program.part(id, Rc::clone(&session), reason) {
            Some(work) => {
                let (handle, timeout) = (self.handle.clone(), self.program.timeout());
                self.tasks.spawn_user(calls::part(handle, id, work, timeout));
            }
            // It may be the last that holds values of the program.
            None => {
                catch_and_log("the destructor of a connection's state", || drop(session));
            }
        }
    }

    fn session(&self, id: ConnId) -> Rc<Session> {
        let session = self.driver().sessions.get(&id).cloned();
        session.expect("it is kept from the handshake until the connection has parted")
    }
}
