//! Everything that an embedding program adds to a server.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corecast_shards::{AskedCommand, Call, CallKind, ConnId, Disconnect, Format, Hooks};

use crate::claims::Claims;
use crate::client::Client;
use crate::command_hooks::{CommandHooks, CommandJudge, verdict};
use crate::event::Event;
use crate::handler::{Failure, Handler, HandlerResult, Template, Work, catch_panic, finish};
use crate::handshake::{Handshake, Refusal};
use crate::http::{Route, Router};
use crate::http_api::{ApiRequest, Rule};
use crate::runtime::Hub;
use crate::session::Session;
use crate::shard_state::{ShardState, ShardStates};

/// A handler of something that one client did, on its way to the shards.
type ClientTemplate<T> = Box<dyn Template<(Client, T), HandlerResult>>;

/// The same on a shard.
type ClientHandler<T> = Handler<(Client, T), HandlerResult>;

/// What a program registered, on its way to the shards.
#[derive(Clone, Default)]
pub(crate) struct Program {
    pub(crate) authorize: Option<Box<dyn Template<Handshake, Result<Claims, Refusal>>>>,
    pub(crate) commands: CommandHooks,
    pub(crate) connect: Option<Box<dyn Template<Client, HandlerResult>>>,
    pub(crate) events: BTreeMap<Box<str>, ClientTemplate<Event>>,
    pub(crate) text: Option<ClientTemplate<String>>,
    pub(crate) binary: Option<ClientTemplate<Vec<u8>>>,
    pub(crate) disconnect: Option<ClientTemplate<Disconnect>>,
    pub(crate) handler_timeout: Option<Duration>,
    pub(crate) shard_states: Vec<ShardState>,
    pub(crate) routes: Vec<Route>,
    pub(crate) api_rule: Option<Rule>,
}

impl Program {
    /// What the shards need not handle themselves.
    pub(crate) fn hooks(&self) -> Hooks {
        Hooks {
            events: self.events.keys().cloned().collect(),
            binary: self.binary.is_some(),
            connect: self.connect.is_some(),
            disconnect: self.disconnect.is_some(),
        }
    }

    /// What the clients of WebSocket connections read: ours, or texts of the program's own format.
    pub(crate) fn format(&self) -> Format {
        match self.text {
            Some(_) => Format::Verbatim,
            None => Format::Native,
        }
    }

    /// Whether a handler may ever ask who a connection is.
    pub(crate) fn keeps_sessions(&self) -> bool {
        self.authorize.is_some()
            || !self.commands.is_empty()
            || self.connect.is_some()
            || !self.events.is_empty()
            || self.text.is_some()
            || self.binary.is_some()
            || self.disconnect.is_some()
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("hooks", &self.hooks()).finish_non_exhaustive()
    }
}

/// One shard's handlers.
pub(crate) struct Handlers {
    authorize: Option<Handler<Handshake, Result<Claims, Refusal>>>,
    commands: CommandJudge,
    connect: Option<Handler<Client, HandlerResult>>,
    events: BTreeMap<Box<str>, ClientHandler<Event>>,
    text: Option<ClientHandler<String>>,
    binary: Option<ClientHandler<Vec<u8>>>,
    disconnect: Option<ClientHandler<Disconnect>>,
    timeout: Option<Duration>,
    pub(crate) states: ShardStates,
    pub(crate) router: Router,
    api_rule: Option<Handler<ApiRequest, Result<(), Refusal>>>,
}

impl Handlers {
    /// Brings the program's handlers to life, on the shard's own thread.
    pub(crate) fn new(program: Program) -> Handlers {
        let events = program.events.into_iter();
        Handlers {
            authorize: program.authorize.map(|handler| handler.instantiate()),
            commands: program.commands.instantiate(),
            connect: program.connect.map(|handler| handler.instantiate()),
            events: events.map(|(event, handler)| (event, handler.instantiate())).collect(),
            text: program.text.map(|handler| handler.instantiate()),
            binary: program.binary.map(|handler| handler.instantiate()),
            disconnect: program.disconnect.map(|handler| handler.instantiate()),
            timeout: program.handler_timeout,
            states: ShardStates::new(&program.shard_states),
            router: Router::new(program.routes),
            api_rule: program.api_rule.map(|rule| rule.instantiate()),
        }
    }

    /// Asks the program whether a client may connect, and as whom.
    pub(crate) fn authorize(
        &self,
        handshake: Handshake,
    ) -> impl Future<Output = Result<Claims, Refusal>> + use<> {
        let authorize = self.authorize.clone();
        async move {
            let Some(authorize) = authorize else { return Ok(Claims::anonymous()) };
            catch_panic(async move { authorize(handshake).await }).await.unwrap_or_else(|panic| {
                tracing::error!("authorize {panic}");
                Err(Refusal::new(500, "the server could not find out who this is; try again later"))
            })
        }
    }

    /// Asks the program whether a request may use `/v1`.
    pub(crate) async fn authorize_api(&self, request: ApiRequest) -> Result<(), Refusal> {
        let Some(rule) = self.api_rule.clone() else { return Ok(()) };
        catch_panic(async move { rule(request).await }).await.unwrap_or_else(|panic| {
            tracing::error!("the rule of /v1 {panic}");
            Err(Refusal::new(500, "the server could not find out who this is; try again later"))
        })
    }

    /// Handles one message, or the begin of a connection, or decides about a command; the
    /// connection's next message waits for the end of it.
    pub(crate) fn call(&self, hub: Hub, call: Call, session: Rc<Session>) -> Work<()> {
        let client = Client::new(hub.clone(), call.conn, session);
        match call.kind {
            CallKind::Command(asked) => Box::pin(self.decide(hub, client, asked)),
            what => Box::pin(self.handle(hub, client, what)),
        }
    }

    fn handle(&self, hub: Hub, client: Client, what: CallKind) -> impl Future<Output = ()> + use<> {
        let (id, timeout) = (client.id(), self.timeout);
        let (work, message) = self.begin(client, what);
        async move {
            let failure = match work {
                Some(work) => in_time(&hub, timeout, work).await.err(),
                None => None,
            };
            if let Some(failure) = &failure {
                log_failure(id, failure);
            }
            hub.end_call(id, failure, message.as_deref());
        }
    }

    fn decide(
        &self,
        hub: Hub,
        client: Client,
        mut asked: AskedCommand,
    ) -> impl Future<Output = ()> + use<> {
        let (id, timeout) = (client.id(), self.timeout);
        let work = self.commands.begin(client, &mut asked);
        async move {
            let judged = in_time(&hub, timeout, work).await;
            if let Err(failure) = &judged {
                log_failure(id, failure);
            }
            let verdict = verdict(&mut asked, judged);
            hub.decide(id, asked, verdict);
        }
    }

    /// The shard calls only for what has a handler. An event is handed back, too: what it said is
    /// part of the answer if its handler fails.
    fn begin(&self, client: Client, what: CallKind) -> (Option<HandlerWork>, Option<SentEvent>) {
        match what {
            CallKind::Connect => (begin(self.connect.clone(), client), None),
            CallKind::Event(message) => {
                let message = Arc::new(message);
                let handler = self.events.get(&message.event).cloned();
                let argument = (client, Event::new(Arc::clone(&message)));
                (begin(handler, argument), Some(message))
            }
            CallKind::Text(text) => (begin(self.text.clone(), (client, text)), None),
            CallKind::Binary(bytes) => (begin(self.binary.clone(), (client, bytes)), None),
            _ => (None, None),
        }
    }

    /// Tells the program that a connection has ended.
    pub(crate) fn part(
        &self,
        hub: Hub,
        id: ConnId,
        reason: Disconnect,
        session: Rc<Session>,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let handler = self.disconnect.clone()?;
        let (client, timeout) = (Client::new(hub.clone(), id, session), self.timeout);
        Some(async move {
            let work = finish(handler, (client, reason));
            if let Err(failure) = in_time(&hub, timeout, work).await {
                tracing::warn!(connection = %id, "on_disconnect failed: {}", failure.log);
            }
        })
    }
}

/// A handler at work, and how it may fail.
type HandlerWork = Work<Result<(), Failure>>;

/// An event as the shard handed it on.
type SentEvent = Arc<corecast_shards::Message>;

fn begin<A: 'static>(
    handler: Option<Handler<A, HandlerResult>>,
    argument: A,
) -> Option<HandlerWork> {
    Some(Box::pin(finish(handler?, argument)))
}

/// Runs a handler for as long as it may take. Its future ends here in any case, where a panic of
/// its destructors is caught.
async fn in_time<T>(
    hub: &Hub,
    timeout: Option<Duration>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(timeout) = timeout else { return work.await };
    let done = catch_panic(async { hub.within(timeout, work).await }).await;
    match done {
        Ok(Some(result)) => result,
        Ok(None) => Err(Failure::unseen(format!("it took longer than {timeout:?}"))),
        Err(panic) => Err(Failure::unseen(panic)),
    }
}

/// What a client did wrong is no news for the operator.
fn log_failure(id: ConnId, failure: &Failure) {
    match failure.client {
        Some(_) => tracing::debug!(connection = %id, "a handler refused: {}", failure.log),
        None => tracing::warn!(connection = %id, "a handler failed: {}", failure.log),
    }
}
