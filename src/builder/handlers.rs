//! What the program does: who may do what by its own rules, what it answers, and how long it may take.

use std::time::Duration;

use corecast_shards::Disconnect;
use hyper::Method;

use super::Builder;
use crate::handles::{Broadcaster, Client, HttpRequest};
use crate::program::{
    HandlerResult, Handshake, Refusal, Route, RouteResult, ShardState, binary, unary,
};
use crate::values::{Claims, Event, Publication};

impl Builder {
    /// Makes a value per shard, on the shard's own thread, for all handlers there:
    /// [`Client::shard_state`]. It needs no lock, and need not be `Send`. May be called once for
    /// each type.
    ///
    /// ```
    /// # use corecast::{Client, Event, Message, Server};
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    ///
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .shard_state(|| Rc::new(Cell::new(0_u64)))
    ///     .on("count", async |client: Client, _: Event| {
    ///         let count = client.shard_state::<Rc<Cell<u64>>>();
    ///         count.set(count.get() + 1);
    ///         Ok(client.try_publish(Message::event("counted", count.get())?)?)
    ///     })
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn shard_state<T: Clone + 'static>(
        mut self,
        make: impl Fn() -> T + Clone + Send + 'static,
    ) -> Builder {
        self.program.shard_states.push(ShardState::new(make));
        self
    }

    /// Decides at the handshake who may connect, and as whom: [`Client::claims`]. Everybody may,
    /// as nobody in particular, without this. It has as long as a handshake may take; a panic
    /// refuses with 500.
    ///
    /// Of the claims that it returns, these mean something to the server: `sub` and `jti`, of 1 to 256
    /// bytes, name the client and its token; when `exp`, in seconds since 1970, passes, the connection
    /// is closed with 1008 `expired`; and `cast`, as in
    /// `{"join": ["news.*"], "publish": [], "broadcast": false}`, is all that the client may do by its
    /// own commands, where `*` stands for one or more characters of a room's name. Without `cast` the
    /// hooks below decide alone. Claims of another form are an error of the program: it is logged, and
    /// the handshake is answered with 500. [`Claims::anonymous`] leaves the client what its token says
    /// ([`Handshake::token_claims`]), now and at each refresh; other claims hold until
    /// [`Builder::authorize_refresh`] returns new ones.
    ///
    /// [`Claims::place_with`] says in which room the client will be with few others, so that it lives on
    /// the shard that is home to it.
    ///
    /// A request for the events of a room is no handshake, and this is not asked about it. So no token
    /// opens an event stream where there is this hook, but only an API key or the consent of
    /// [`HttpApi::rule`](crate::HttpApi::rule), which is asked about clients with tokens as well.
    ///
    /// ```
    /// # use corecast::{Claims, Handshake, Refusal, Server};
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .authorize(async |handshake: Handshake| match handshake.bearer_token() {
    ///         Some("secret") => Ok(Claims::for_subject("ada")),
    ///         Some(_) => Err(Refusal::forbidden("this token is not known")),
    ///         None => Err(Refusal::unauthorized("send Authorization: Bearer and a token")),
    ///     })
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn authorize<F>(mut self, hook: F) -> Builder
    where
        F: AsyncFn(Handshake) -> Result<Claims, Refusal> + Clone + Send + 'static,
    {
        self.settings.access.program_authorizes = true;
        self.program.authorize = Some(unary(hook));
        self
    }

    /// Verifies the fresh token that a client brings while it is connected (`cast:refresh`), before the
    /// claim `exp` of its present one passes. The hook is told the token, and returns the claims that
    /// hold from then on; their `sub` must be the same. What they say of `cast` and `exp` takes effect
    /// at once: rooms that the client may join no longer are left. A refusal is answered with the code
    /// `bad_token` and its message, whatever its status, and the client keeps what it had.
    ///
    /// Without this hook the server's own keys for tokens decide ([`Builder::jwt_secret_file`]), as
    /// at the handshake; and where it has none, every such token is answered with `bad_token`. So is
    /// that of a client whose claims [`Builder::authorize`] returned: they know nothing of what the
    /// program would say of a fresh one, and the client has to connect again.
    ///
    /// ```
    /// # use corecast::{Claims, Client, Handshake, Refusal, Server};
    /// # use serde_json::json;
    /// fn verify(token: Option<&str>) -> Result<Claims, Refusal> {
    ///     match token {
    ///         Some("ada until 2040") => {
    ///             let cast = json!({"join": ["news.*"], "publish": []});
    ///             let claims = json!({"sub": "ada", "exp": 2_208_988_800_u64, "cast": cast});
    ///             Ok(Claims::new(&claims).expect("it is an object"))
    ///         }
    ///         _ => Err(Refusal::unauthorized("this token is not known; sign in again")),
    ///     }
    /// }
    ///
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .authorize(async |handshake: Handshake| verify(handshake.bearer_token()))
    ///     .authorize_refresh(async |_: Client, token: String| verify(Some(&token)))
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn authorize_refresh<F>(mut self, hook: F) -> Builder
    where
        F: AsyncFn(Client, String) -> Result<Claims, Refusal> + Clone + Send + 'static,
    {
        self.program.refresh = Some(binary(hook));
        self
    }

    /// Decides about each room that a client wants to join by its own command (`cast:join`), which
    /// every client may without this. The hook is told the room's name. The client's next message
    /// waits for it, and no other's.
    ///
    /// An error refuses: the words of a [`ClientError`](crate::ClientError) are answered with the
    /// code `forbidden`; any other error, and a panic, is logged and answered with
    /// `handler_failed`. What the program does itself, as with [`Client::join`], is not asked about.
    /// Nor are the event streams of `/v1/rooms/{room}/events`, which have no [`Client`]: with this
    /// hook, or with [`Builder::authorize`], they need an API key or the consent of
    /// [`HttpApi::rule`](crate::HttpApi::rule); a token is not enough.
    ///
    /// ```
    /// # use corecast::{Client, ClientError, Server};
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .authorize_join(async |client: Client, room: String| match room.strip_prefix("user:") {
    ///         Some(user) if client.claims().subject() != Some(user) => {
    ///             Err(ClientError::new("this room is another user's").into())
    ///         }
    ///         _ => Ok(()),
    ///     })
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn authorize_join<F>(mut self, hook: F) -> Builder
    where
        F: AsyncFn(Client, String) -> HandlerResult + Clone + Send + 'static,
    {
        self.program.commands.join = Some(binary(hook));
        self
    }

    /// Decides about each message that a client wants to publish by its own command
    /// (`cast:publish`), which every client may without this; and may change its event and data.
    /// What the hook returns is what is published. Errors are as in [`Builder::authorize_join`].
    ///
    /// A client that repeats a publish with its [key](Publication::key) is asked about again, whether
    /// it is a repeat or not: a hook that counts or charges does so by the key. Whatever may publish to a
    /// room can use any key there; where one client is not to use another's, the hook makes each its own
    /// ([`Publication::with_key`]).
    ///
    /// ```
    /// # use corecast::{Client, ClientError, Publication, Server};
    /// # use serde_json::{Value, json};
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .authorize_publish(async |client: Client, publication: Publication| {
    ///         let Some(author) = client.claims().subject() else {
    ///             return Err(ClientError::new("sign in first").into());
    ///         };
    ///         // Whatever name the client wrote, its own is what the others see.
    ///         let text = publication.parse::<Value>()?["text"].take();
    ///         Ok(publication.with_data(json!({"author": author, "text": text}))?)
    ///     })
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn authorize_publish<F>(mut self, hook: F) -> Builder
    where
        F: AsyncFn(Client, Publication) -> HandlerResult<Publication> + Clone + Send + 'static,
    {
        self.program.commands.publish = Some(binary(hook));
        self
    }

    /// The same for what a client wants to send to everybody (`cast:broadcast`).
    ///
    /// ```
    /// # use corecast::{Client, ClientError, Publication, Server};
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .authorize_broadcast(async |_: Client, _: Publication| {
    ///         Err(ClientError::new("only the program speaks to everybody").into())
    ///     })
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn authorize_broadcast<F>(mut self, hook: F) -> Builder
    where
        F: AsyncFn(Client, Publication) -> HandlerResult<Publication> + Clone + Send + 'static,
    {
        self.program.commands.broadcast = Some(binary(hook));
        self
    }

    /// Called for each new connection. Its `cast:welcome` is queued before, and no message of the
    /// client is handled before this returns.
    pub fn on_connect<F>(mut self, handler: F) -> Builder
    where
        F: AsyncFn(Client) -> HandlerResult + Clone + Send + 'static,
    {
        self.program.connect = Some(unary(handler));
        self
    }

    /// Handles an event that is not the protocol's own. Without a handler it is answered with
    /// `unknown_event`.
    ///
    /// # Panics
    ///
    /// When the name is empty, longer than 128 bytes, or begins with `cast:`.
    pub fn on<F>(mut self, event: &str, handler: F) -> Builder
    where
        F: AsyncFn(Client, Event) -> HandlerResult + Clone + Send + 'static,
    {
        let legal = (1..=128).contains(&event.len()) && !event.starts_with("cast:");
        assert!(legal, "no client can send an application's event named {event:?}");
        self.program.events.insert(event.into(), binary(handler));
        self
    }

    /// Handles every text message in a format of the program's own. The envelope is not spoken
    /// then, and there is no welcome.
    pub fn on_text<F>(mut self, handler: F) -> Builder
    where
        F: AsyncFn(Client, String) -> HandlerResult + Clone + Send + 'static,
    {
        self.program.text = Some(binary(handler));
        self
    }

    /// Handles binary messages, which are refused with 1003 otherwise.
    pub fn on_binary<F>(mut self, handler: F) -> Builder
    where
        F: AsyncFn(Client, Vec<u8>) -> HandlerResult + Clone + Send + 'static,
    {
        self.program.binary = Some(binary(handler));
        self
    }

    /// Calls a function with each client that has become a member of a room, by its own command or by
    /// the program's ([`Client::join`]), and with the room's name. Its `cast:joined` is queued by then.
    /// A second join of the same room is none. Event streams have no [`Client`], and are not said.
    ///
    /// For one client the order is: [`on_connect`](Builder::on_connect) begins, then one `on_join` and
    /// one [`on_leave`](Builder::on_leave) in turn for each room, then
    /// [`on_disconnect`](Builder::on_disconnect). A handler of an event that the client sent after its
    /// `cast:join` was answered begins after `on_join`.
    ///
    /// It is a function and no handler that waits: members come and go by thousands at once, and a list
    /// of calls that wait would know no bound. It is called on the thread of the client's shard, whose
    /// other clients wait until it returns. For more than a few microseconds it starts a task
    /// ([`spawn`](crate::spawn)). A panic is logged.
    ///
    /// ```
    /// # use corecast::{Client, Message, Server};
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .on_join(|client: &Client, room: &str| {
    ///         let hello = Message::event("hello", room).expect("a name is JSON");
    ///         // Its end may have been decided meanwhile.
    ///         let _ = client.try_publish(hello);
    ///     })
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn on_join<F>(mut self, hook: F) -> Builder
    where
        F: Fn(&Client, &str) + Clone + Send + 'static,
    {
        self.program.rooms.join = Some(Box::new(hook));
        self
    }

    /// Calls a function with each client that has ceased to be a member of a room, and with the room's
    /// name: after `cast:leave`, [`Client::leave`], a fresh token that does not allow the room, and for
    /// each room that a connection is in when it ends, whatever ends it. Exactly one follows each
    /// [`on_join`](Builder::on_join), in the same manner, before the client's
    /// [`on_disconnect`](Builder::on_disconnect).
    ///
    /// [`Client::rooms`] are those that the client is still in. When the connection ends they are all
    /// that it was in, in each of the calls.
    ///
    /// At a [`shutdown`](crate::Server::shutdown) it is called for every client that is closed in
    /// time, and not for those that are cut, as with `on_disconnect`.
    pub fn on_leave<F>(mut self, hook: F) -> Builder
    where
        F: Fn(&Client, &str) + Clone + Send + 'static,
    {
        self.program.rooms.leave = Some(Box::new(hook));
        self
    }

    /// Calls a function with the name of each room that gets its first member, on whichever shard: to
    /// begin with what is published there. The room's home decides, so it is exact: occupied and
    /// [vacated](Builder::on_vacated) come in turn for each room, once per change. Members are what
    /// `members` of `/v1/rooms` counts, event streams among them, and for a moment a client whose join
    /// is refused because memory is short. A room whose first join is refused because there are
    /// [too many](crate::Limits::total_rooms) is counted there for a moment, too, and is not said to be
    /// occupied.
    ///
    /// It is called on the thread of the room's home shard, which need not be the member's: between
    /// this and [`on_join`](Builder::on_join) there is no order. It is a function, for the same reason.
    ///
    /// ```
    /// # use corecast::{Broadcaster, Message, Server};
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .on_occupied(|cast: &Broadcaster, room: &str| {
    ///         let (cast, room) = (cast.clone(), room.to_owned());
    ///         corecast::spawn(async move {
    ///             let price = Message::event("price", 17).expect("a number is JSON");
    ///             let _ = cast.to_room(&room).publish(price).await;
    ///         });
    ///     })
    ///     .on_vacated(|_: &Broadcaster, room: &str| println!("{room} is empty"))
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn on_occupied<F>(mut self, hook: F) -> Builder
    where
        F: Fn(&Broadcaster, &str) + Clone + Send + 'static,
    {
        self.program.rooms.occupied = Some(Box::new(hook));
        self
    }

    /// Calls a function with the name of each room whose last member has gone, on whichever shard, in
    /// turn with [`on_occupied`](Builder::on_occupied). The room may live on for
    /// [`room_linger`](crate::Limits::room_linger).
    ///
    /// At a [`shutdown`](crate::Server::shutdown) the shards end when the last connection is closed,
    /// and for rooms that were occupied until then it may not be called any more.
    pub fn on_vacated<F>(mut self, hook: F) -> Builder
    where
        F: Fn(&Broadcaster, &str) + Clone + Send + 'static,
    {
        self.program.rooms.vacated = Some(Box::new(hook));
        self
    }

    /// Called when a connection has ended, with the reason. It is out of all rooms by then;
    /// [`Client::rooms`] are those that it was in. When the client has ended it, what it sent
    /// before was handled first.
    pub fn on_disconnect<F>(mut self, handler: F) -> Builder
    where
        F: AsyncFn(Client, Disconnect) -> HandlerResult + Clone + Send + 'static,
    {
        self.program.disconnect = Some(binary(handler));
        self
    }

    /// How long a handler of a message, of a connection's begin or of its end may take. Then its
    /// future is dropped, which is logged, and a message is answered with `handler_failed`.
    /// A hook that decides about a command has the same time. Default: as long as it likes.
    ///
    /// A handler that blocks its thread cannot be interrupted.
    pub fn handler_timeout(mut self, timeout: Duration) -> Builder {
        self.program.handler_timeout = Some(timeout);
        self
    }

    /// Answers HTTP requests beside `/ws`, on the same port. `{name}` in the path stands for one
    /// segment ([`HttpRequest::path_parameter`]), `{*name}` at its end for all that follow. The server's
    /// own paths are taken: `/ws`, `/v1`, `/healthz`, `/readyz`.
    ///
    /// ```
    /// # use corecast::{HttpRequest, HttpResponse, Message, Method, Server};
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .route(Method::POST, "/rooms/{room}/bell", async |request: HttpRequest| {
    ///         let room = request.path_parameter("room").unwrap_or_default();
    ///         let bell = Message::event("bell", ())?;
    ///         let receipt = request.broadcaster().to_room(room).publish(bell).await?;
    ///         Ok(HttpResponse::text(format!("offset {:?}", receipt.offset)))
    ///     })
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn route<F>(mut self, method: Method, path: &str, handler: F) -> Builder
    where
        F: AsyncFn(HttpRequest) -> RouteResult + Clone + Send + 'static,
    {
        let (path, handler) = (path.to_owned(), unary(handler));
        self.program.routes.push(Route { method, path, handler });
        self
    }
}
