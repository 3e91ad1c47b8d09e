//! Everything that an embedding program adds to a server.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corecast_shards::{
    AskedCommand, CallKind, ConnId, Disconnect, Format, Hooks, Limits, Message, Permissions,
    RoomEvent,
};

use super::command_hooks::{CommandHooks, CommandJudge, Judging};
use super::handler::{Failure, Handler, HandlerResult, Template, Work, catch_panic, finish};
use super::handshake::{Handshake, Refusal};
use super::http_api::{ApiRequest, Rule};
use super::room_hooks::RoomHooks;
use super::route::Route;
use super::session::Session;
use super::shard_state::{ShardState, ShardStates};
use crate::values::{Claims, Event};

/// A handler of something that one client did, on its way to the shards.
type ClientTemplate<C, T> = Box<dyn Template<(C, T), HandlerResult>>;

/// What verifies a fresh token of a client, on its way to the shards.
type RefreshTemplate<C> = Box<dyn Template<(C, String), Result<Claims, Refusal>>>;

/// The same on a shard.
type ClientHandler<C, T> = Handler<(C, T), HandlerResult>;

/// What a program registered, on its way to the shards. Its handlers are handed a client as `C`, a
/// request as `R`, and what publishes beside all clients as `B`.
pub(crate) struct Program<C, R, B> {
    pub(crate) authorize: Option<Box<dyn Template<Handshake, Result<Claims, Refusal>>>>,
    pub(crate) refresh: Option<RefreshTemplate<C>>,
    pub(crate) commands: CommandHooks<C>,
    pub(crate) connect: Option<Box<dyn Template<C, HandlerResult>>>,
    pub(crate) events: BTreeMap<Box<str>, ClientTemplate<C, Event>>,
    pub(crate) text: Option<ClientTemplate<C, String>>,
    pub(crate) binary: Option<ClientTemplate<C, Vec<u8>>>,
    pub(crate) disconnect: Option<ClientTemplate<C, Disconnect>>,
    pub(crate) rooms: RoomHooks<C, B>,
    pub(crate) handler_timeout: Option<Duration>,
    pub(crate) shard_states: Vec<ShardState>,
    pub(crate) routes: Vec<Route<R>>,
    pub(crate) api_rule: Option<Rule>,
}

/// What the shards have to do because of a program.
#[derive(Clone, Debug)]
pub(crate) struct Needs {
    /// What they need not handle themselves.
    pub(crate) hooks: Hooks,
    /// What the clients of WebSocket connections read: ours, or texts of the program's own format.
    pub(crate) format: Format,
    /// What clients may do by their own commands.
    pub(crate) permissions: Permissions,
    pub(crate) sessions: SessionPolicy,
}

/// What the program wants to know about connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionPolicy {
    /// Nothing: it has no handlers.
    Nothing,
    /// Each one's handshake.
    Sessions,
    /// The same, and it decides who may connect.
    Verdicts,
}

impl Needs {
    /// Rooms that a handshake may name. Clients that read no answers of ours name none.
    pub(crate) fn rooms_named(&self, limits: &Limits) -> Option<usize> {
        (self.format == Format::Native).then_some(limits.rooms_per_connection)
    }
}

impl<C, R, B> Program<C, R, B> {
    pub(crate) fn needs(&self) -> Needs {
        Needs {
            hooks: self.hooks(),
            format: self.format(),
            permissions: self.commands.permissions(Permissions::default()),
            sessions: self.sessions(),
        }
    }

    fn hooks(&self) -> Hooks {
        Hooks {
            events: self.events.keys().cloned().collect(),
            binary: self.binary.is_some(),
            refresh: self.refresh.is_some(),
            connect: self.connect.is_some(),
            disconnect: self.disconnect.is_some(),
            members: self.rooms.watch_members(),
            occupancy: self.rooms.watch_rooms(),
        }
    }

    fn format(&self) -> Format {
        match self.text {
            Some(_) => Format::Verbatim,
            None => Format::Native,
        }
    }

    fn sessions(&self) -> SessionPolicy {
        match (self.authorize.is_some(), self.has_handlers()) {
            (true, _) => SessionPolicy::Verdicts,
            (false, true) => SessionPolicy::Sessions,
            (false, false) => SessionPolicy::Nothing,
        }
    }

    /// Whether a handler may ever ask who a connection is.
    fn has_handlers(&self) -> bool {
        !self.commands.is_empty()
            || self.refresh.is_some()
            || self.connect.is_some()
            || !self.events.is_empty()
            || self.text.is_some()
            || self.binary.is_some()
            || self.disconnect.is_some()
            || self.rooms.watch_members()
    }
}

impl<C, R, B> Clone for Program<C, R, B> {
    fn clone(&self) -> Self {
        Program {
            authorize: self.authorize.clone(),
            refresh: self.refresh.clone(),
            commands: self.commands.clone(),
            connect: self.connect.clone(),
            events: self.events.clone(),
            text: self.text.clone(),
            binary: self.binary.clone(),
            disconnect: self.disconnect.clone(),
            rooms: self.rooms.clone(),
            handler_timeout: self.handler_timeout,
            shard_states: self.shard_states.clone(),
            routes: self.routes.clone(),
            api_rule: self.api_rule.clone(),
        }
    }
}

impl<C, R, B> Default for Program<C, R, B> {
    fn default() -> Self {
        Program {
            authorize: None,
            refresh: None,
            commands: CommandHooks::default(),
            connect: None,
            events: BTreeMap::new(),
            text: None,
            binary: None,
            disconnect: None,
            rooms: RoomHooks::default(),
            handler_timeout: None,
            shard_states: Vec::new(),
            routes: Vec::new(),
            api_rule: None,
        }
    }
}

impl<C, R, B> fmt::Debug for Program<C, R, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("hooks", &self.hooks()).finish_non_exhaustive()
    }
}

/// What a shard asks of the program, whatever its handlers are handed.
pub(crate) trait ShardProgram {
    /// Whether a client may connect, and as whom.
    fn authorize(&self, handshake: Handshake) -> Work<Result<Claims, Refusal>>;

    /// Whether the program verifies fresh tokens itself.
    fn refreshes(&self) -> bool;

    /// Whose a fresh token of a client is.
    fn refresh(
        &self,
        id: ConnId,
        session: Rc<Session>,
        token: String,
    ) -> Work<Result<Claims, Failure>>;

    /// Whether a request may use `/v1`.
    fn authorize_api(&self, request: ApiRequest) -> Work<Result<(), Refusal>>;

    /// Begins to handle one message, or the begin of a connection. The shard calls only for what
    /// has a handler. An event is handed back, too: what it said is part of the answer if its
    /// handler fails.
    fn handle(
        &self,
        id: ConnId,
        session: Rc<Session>,
        what: CallKind,
    ) -> (Option<HandlerWork>, Option<Arc<Message>>);

    /// Begins to decide about a command.
    fn judge(&self, id: ConnId, session: Rc<Session>, asked: &mut AskedCommand) -> Judging;

    /// Begins to handle the end of a connection; none when the program has no handler for that.
    fn part(&self, id: ConnId, session: Rc<Session>, reason: Disconnect) -> Option<HandlerWork>;

    /// Something happened to the members of a room, one of which may be a connection with this session.
    /// What the program does about it is done when this returns.
    fn watch(&self, event: &RoomEvent, session: Option<Rc<Session>>);

    /// How long each of these may take, but for the two that authorize.
    fn timeout(&self) -> Option<Duration>;

    /// The shard's own values.
    fn states(&self) -> &ShardStates;
}

/// A handler at work, and how it may fail.
pub(crate) type HandlerWork = Work<Result<(), Failure>>;

/// One shard's handlers.
pub(crate) struct Handlers<C, B> {
    authorize: Option<Handler<Handshake, Result<Claims, Refusal>>>,
    refresh: Option<Handler<(C, String), Result<Claims, Refusal>>>,
    commands: CommandJudge<C>,
    connect: Option<Handler<C, HandlerResult>>,
    events: BTreeMap<Box<str>, ClientHandler<C, Event>>,
    text: Option<ClientHandler<C, String>>,
    binary: Option<ClientHandler<C, Vec<u8>>>,
    disconnect: Option<ClientHandler<C, Disconnect>>,
    rooms: RoomHooks<C, B>,
    broadcaster: B,
    timeout: Option<Duration>,
    states: Rc<ShardStates>,
    api_rule: Option<Handler<ApiRequest, Result<(), Refusal>>>,
    client: Box<MakeClient<C>>,
}

/// Makes what handlers are handed of a connection.
type MakeClient<C> = dyn Fn(ConnId, Rc<Session>) -> C;

impl<C, B> Handlers<C, B> {
    /// Brings the program's handlers to life, on the shard's own thread. Its routes are not among
    /// them.
    pub(crate) fn new<R>(
        program: Program<C, R, B>,
        states: Rc<ShardStates>,
        broadcaster: B,
        client: impl Fn(ConnId, Rc<Session>) -> C + 'static,
    ) -> Handlers<C, B> {
        let events = program.events.into_iter();
        Handlers {
            authorize: program.authorize.map(|handler| handler.instantiate()),
            refresh: program.refresh.map(|handler| handler.instantiate()),
            commands: program.commands.instantiate(),
            connect: program.connect.map(|handler| handler.instantiate()),
            events: events.map(|(event, handler)| (event, handler.instantiate())).collect(),
            text: program.text.map(|handler| handler.instantiate()),
            binary: program.binary.map(|handler| handler.instantiate()),
            disconnect: program.disconnect.map(|handler| handler.instantiate()),
            rooms: program.rooms,
            broadcaster,
            timeout: program.handler_timeout,
            states,
            api_rule: program.api_rule.map(|rule| rule.instantiate()),
            client: Box::new(client),
        }
    }
}

impl<C: 'static, B: 'static> ShardProgram for Handlers<C, B> {
    fn authorize(&self, handshake: Handshake) -> Work<Result<Claims, Refusal>> {
        let authorize = self.authorize.clone();
        Box::pin(async move {
            let Some(authorize) = authorize else { return Ok(Claims::anonymous()) };
            catch_panic(async move { authorize(handshake).await }).await.unwrap_or_else(|panic| {
                tracing::error!("authorize {panic}");
                Err(Refusal::unknown_client())
            })
        })
    }

    fn refreshes(&self) -> bool {
        self.refresh.is_some()
    }

    fn refresh(
        &self,
        id: ConnId,
        session: Rc<Session>,
        token: String,
    ) -> Work<Result<Claims, Failure>> {
        let (refresh, client) = (self.refresh.clone(), (self.client)(id, session));
        Box::pin(async move {
            let Some(refresh) = refresh else {
                return Err(Failure::unseen("no hook verifies tokens".to_owned()));
            };
            let verified = catch_panic(async move { refresh((client, token)).await }).await;
            match verified {
                Ok(claims) => claims.map_err(|refusal| Failure::for_client(refusal.message)),
                Err(panic) => Err(Failure::unseen(panic)),
            }
        })
    }

    fn authorize_api(&self, request: ApiRequest) -> Work<Result<(), Refusal>> {
        let rule = self.api_rule.clone();
        Box::pin(async move {
            let Some(rule) = rule else { return Ok(()) };
            catch_panic(async move { rule(request).await }).await.unwrap_or_else(|panic| {
                tracing::error!("the rule of /v1 {panic}");
                Err(Refusal::unknown_client())
            })
        })
    }

    fn handle(
        &self,
        id: ConnId,
        session: Rc<Session>,
        what: CallKind,
    ) -> (Option<HandlerWork>, Option<Arc<Message>>) {
        let client = (self.client)(id, session);
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

    fn judge(&self, id: ConnId, session: Rc<Session>, asked: &mut AskedCommand) -> Judging {
        self.commands.begin((self.client)(id, session), asked)
    }

    fn part(&self, id: ConnId, session: Rc<Session>, reason: Disconnect) -> Option<HandlerWork> {
        let handler = self.disconnect.clone()?;
        begin(Some(handler), ((self.client)(id, session), reason))
    }

    fn watch(&self, event: &RoomEvent, session: Option<Rc<Session>>) {
        self.rooms.call(event, session, &self.client, &self.broadcaster);
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn states(&self) -> &ShardStates {
        &self.states
    }
}

fn begin<A: 'static>(
    handler: Option<Handler<A, HandlerResult>>,
    argument: A,
) -> Option<HandlerWork> {
    Some(Box::pin(finish(handler?, argument)))
}
