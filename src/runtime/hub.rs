//! A shard's loop, and what its tasks may ask of it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corecast_shards::{
    Answer, ConnId, Disconnect, Full, Limits, Publication, Query, RoomName, ShardId,
};
use futures_lite::{FutureExt, future};
use hyper::service::service_fn;

use super::alarms::Sleep;
use super::http_stream::{HttpStream, Stage};
use super::process::{Gauges, Process};
use super::promise::promise;
use super::ring::Doorbell;
use super::tasks::Tasks;
use super::turn::{Birth, Core};
use super::visit::{VISIT_INTERVAL, visit};
use crate::handler::Handlers;
use crate::http::{self, HttpError};

/// One shard at work: turns while there is work, sleep while there is none, and tasks beside it.
///
/// Invariant: no borrow of the core lives across an await, and tasks run only between turns; so
/// whoever borrows it finds it free.
#[derive(Clone)]
pub(crate) struct Hub(Rc<Inner>);

struct Inner {
    core: RefCell<Core>,
    tasks: Tasks,
    doorbell: Doorbell,
    handlers: Handlers,
    process: Arc<Process>,
}

/// How long a caller waits for a home's answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

impl Hub {
    pub(crate) fn new(
        core: Core,
        doorbell: Doorbell,
        handlers: Handlers,
        process: Arc<Process>,
    ) -> Hub {
        Hub(Rc::new(Inner {
            core: RefCell::new(core),
            tasks: Tasks::new(doorbell.clone()),
            doorbell,
            handlers,
            process,
        }))
    }

    /// Works until it is told to stop.
    pub(crate) async fn run(&self) -> io::Result<()> {
        let mut visited = Instant::now();
        loop {
            let more = self.0.core.borrow_mut().turn()?;
            let births = std::mem::take(&mut self.0.core.borrow_mut().births);
            births.into_iter().for_each(|birth| self.bear(birth));
            if self.0.core.borrow().stopped {
                return Ok(());
            }
            // Those that the turn has woken tell the core what they want.
            self.0.tasks.run_woken();
            if self.0.tasks.has_guests() && visited.elapsed() >= VISIT_INTERVAL {
                visit().await;
                visited = Instant::now();
            }
            if more || self.0.tasks.take_kick() {
                self.0.core.borrow_mut().poll(Some(Duration::ZERO))?;
            } else {
                self.sleep()?;
            }
        }
    }

    /// Waits until there is work. The doorbell is told, so that whoever brings some rings it.
    fn sleep(&self) -> io::Result<()> {
        let mut core = self.0.core.borrow_mut();
        self.0.doorbell.doze();
        let timeout = if core.has_work() || self.0.tasks.take_kick() {
            Some(Duration::ZERO)
        } else {
            core.set_timer()?;
            self.0.tasks.has_guests().then_some(VISIT_INTERVAL)
        };
        let woken = core.poll(timeout);
        self.0.doorbell.rise();
        woken
    }

    fn bear(&self, birth: Birth) {
        let tasks = &self.0.tasks;
        match birth {
            Birth::Http { fd, watch, head } => {
                let stream = HttpStream::new(self.clone(), fd, watch, head);
                tasks.spawn(serve_http(self.clone(), stream));
            }
            Birth::Call(call) => tasks.spawn_guest(self.0.handlers.call(self.clone(), call)),
            Birth::Parted(id, reason) => {
                if let Some(parted) = self.0.handlers.part(self.clone(), id, reason) {
                    tasks.spawn_guest(parted);
                }
            }
        }
    }

    /// Looks at the core or changes it, between two turns.
    pub(crate) fn with_core<T>(&self, look: impl FnOnce(&mut Core) -> T) -> T {
        look(&mut self.0.core.borrow_mut())
    }

    /// Says that the core has work: the hub does not sleep before it has looked.
    fn kick(&self) {
        self.0.tasks.kick();
    }

    /// Publishes to a room, or to everybody, without waiting for the offset.
    pub(crate) fn publish(
        &self,
        room: &RoomName,
        publication: &Publication<'_>,
    ) -> Result<(), HttpError> {
        self.refuse_while_draining()?;
        self.0.core.borrow_mut().shard.publish(room, publication, None)?;
        self.kick();
        Ok(())
    }

    /// Publishes to a room and waits for the offset.
    pub(crate) async fn publish_numbered(
        &self,
        room: &RoomName,
        publication: &Publication<'_>,
    ) -> Result<Answer, HttpError> {
        self.refuse_while_draining()?;
        self.ask(|core, token| core.shard.publish(room, publication, Some(token))).await
    }

    /// Asks one shard.
    pub(crate) async fn query(&self, to: ShardId, query: Query) -> Result<Answer, HttpError> {
        self.ask(|core, token| core.shard.query(to, token, query)).await
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
        request: impl FnOnce(&mut Core, corecast_shards::Token) -> Result<(), Full>,
    ) -> Result<Answer, HttpError> {
        let (resolver, answer) = promise();
        {
            let mut core = self.0.core.borrow_mut();
            let token = core.expect_answer(resolver);
            if request(&mut core, token).is_err() {
                core.waiting.remove(&token);
                return Err(HttpError::overloaded());
            }
        }
        self.kick();
        self.within(ANSWER_TIMEOUT, answer).await.ok_or_else(HttpError::overloaded)
    }

    /// Queues a frame for a connection of this shard.
    pub(crate) fn emit(&self, id: ConnId, frame: &[u8]) -> bool {
        let found = self.0.core.borrow_mut().shard.emit(id, frame);
        self.kick();
        found
    }

    /// Closes a connection of this shard.
    pub(crate) fn close(&self, id: ConnId, reason: Disconnect) -> bool {
        let found = self.0.core.borrow_mut().shard.close(id, reason);
        self.kick();
        found
    }

    /// Says that a handler is done, and how it failed if it did.
    pub(crate) fn end_call(&self, id: ConnId, failure: Option<(&str, Option<&str>)>) {
        {
            let mut core = self.0.core.borrow_mut();
            if let Some((message, request)) = failure {
                core.shard.fail_call(id, message, request);
            }
            core.shard.end_call(id);
        }
        self.kick();
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
        self.0.core.borrow().shard.home(room)
    }

    pub(crate) fn shards(&self) -> usize {
        self.0.process.shards()
    }

    /// Open connections of all shards, at about this moment.
    pub(crate) fn connections(&self) -> u64 {
        self.0.process.connections()
    }

    pub(crate) fn core_of(&self, shard: ShardId) -> Option<usize> {
        self.0.process.core_of(shard)
    }

    pub(crate) fn gauges(&self, shard: ShardId) -> &Gauges {
        self.0.process.gauges(shard)
    }

    pub(crate) fn limits(&self) -> &Limits {
        self.0.process.limits()
    }

    pub(crate) fn api_keys(&self) -> &[String] {
        self.0.process.api_keys()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.process.is_draining()
    }

    /// Asked in the same step as a message is accepted: a shard stops reading after the process
    /// began to drain, so that whatever was accepted before is delivered.
    pub(crate) fn refuse_while_draining(&self) -> Result<(), HttpError> {
        if self.is_draining() { Err(HttpError::draining()) } else { Ok(()) }
    }
}

async fn serve_http(hub: Hub, stream: HttpStream) {
    let head_max = hub.limits().head_bytes.max(HYPER_HEAD_MIN);
    let timeout = hub.limits().close_timeout;
    let stage = stream.stage();
    let service = service_fn(move |request| {
        let (hub, stage) = (hub.clone(), Rc::clone(&stage));
        stage.set(Stage::Busy);
        let answer = async move {
            let process = Arc::clone(&hub.0.process);
            let response = process.answering(http::respond(hub, request)).await;
            stage.set(Stage::Idle);
            Ok::<_, Infallible>(response)
        };
        answer.boxed_local()
    });
    let mut connection = hyper::server::conn::http1::Builder::new()
        .max_buf_size(head_max)
        .header_read_timeout(None)
        .serve_connection(stream, service);
    // An error here is a client that hung up or spoke badly; hyper has told it what it could.
    let _ = future::poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
    connection.into_parts().io.linger(timeout).await;
}

/// hyper's buffer is no smaller than this (`MINIMUM_MAX_BUFFER_SIZE`).
const HYPER_HEAD_MIN: usize = 8192;
