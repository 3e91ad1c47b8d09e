//! What a server will be.

use std::net::ToSocketAddrs;
use std::path::Path;
use std::time::Duration;

use corecast_shards::{Disconnect, Limits, RoomPolicy, SlowPolicy};
use hyper::Method;

use crate::handles::{Client, HttpRequest, on_shard};
use crate::http::{KeyFileKind, check_routes};
use crate::program::{
    HandlerResult, Handshake, HttpApi, Program, Refusal, Route, RouteResult, ShardState, binary,
    unary,
};
use crate::runtime::{
    CertificateFiles, Instantiate, Plan, Sends, Settings, StartError, Trial, start,
};
use crate::server::Server;
use crate::values::{Anonymous, Claims, Event, Executor, Publication, Rights};

/// What a server will be: its settings and the program's handlers. Made by
/// [`Server::builder`].
///
/// Each handler is cloned once per shard, and its clones run on their shards' threads. The futures
/// that it returns stay there: they need not be `Send`, and may hold `Rc`s across an await.
///
/// While a handler works on a message of one connection, that connection's next message waits,
/// and no other's. A handler that blocks its thread, on the other hand, stops its whole shard:
/// hand such work to a thread of your own, and wait for its answer.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing listens before start"]
pub struct Builder {
    settings: Settings,
    bad_address: Option<String>,
    bad_key: Option<String>,
    bad_token_rule: Option<String>,
    bad_origin: Option<String>,
    bad_proxy: Option<String>,
    bad_room: Option<String>,
    program: Program<Client, HttpRequest>,
}

impl Builder {
    /// Listens on this address, for example `"127.0.0.1:8080"` or `"localhost:8080"`; port 0 lets
    /// the system choose. Of several addresses, as a name may have them, it is the first one that
    /// this machine has. Default: 127.0.0.1:8080. What cannot be an address is an error of
    /// [`Builder::start`].
    pub fn listen(mut self, address: impl ToSocketAddrs) -> Builder {
        match address.to_socket_addrs().map(Iterator::collect::<Vec<_>>) {
            Ok(none) if none.is_empty() => self.bad_address = Some("it has no address".to_owned()),
            Ok(addresses) => (self.settings.listen, self.bad_address) = (addresses, None),
            Err(error) => self.bad_address = Some(error.to_string()),
        }
        self
    }

    /// Runs so many shards. Default: one per core of the process's affinity mask, or as many as its
    /// control group's CPU quota keeps busy, if those are fewer. Shards are pinned as long as there
    /// are as many cores and no quota is smaller.
    pub fn shards(mut self, shards: usize) -> Builder {
        self.settings.shards = Some(shards);
        self
    }

    /// What happens to members that read too slowly. Default: they are disconnected.
    pub fn slow(mut self, policy: SlowPolicy) -> Builder {
        self.settings.slow = policy;
        self
    }

    /// What holds in the rooms whose whole name this pattern stands for, instead of what
    /// [`Builder::slow`] and [`Builder::limits`] say. In the pattern `*` is one or more characters:
    /// `ticker.*`, or `*` for every room. May be called 256 times; in a room holds the first one whose
    /// pattern stands for its name. What cannot be a pattern is an error of [`Builder::start`].
    ///
    /// ```
    /// # use corecast::{RoomPolicy, Server, SlowPolicy};
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .room("ticker.*", RoomPolicy::default().slow(SlowPolicy::Latest).log_bytes(256 << 10))
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn room(mut self, pattern: impl AsRef<str>, policy: RoomPolicy) -> Builder {
        if let Err(reason) = self.settings.rooms.add(pattern.as_ref(), policy) {
            self.bad_room.get_or_insert(reason);
        }
        self
    }

    /// All limits of the protocol.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.settings.limits = limits;
        self
    }

    /// Bytes that the kernel keeps for a connection that does not read (`SO_SNDBUF`); 0 leaves it
    /// to the kernel. Default: 256 KiB.
    pub fn send_buffer(mut self, bytes: usize) -> Builder {
        self.settings.send_buffer = bytes;
        self
    }

    /// How bytes are handed to sockets. Default: [`Sends::Auto`].
    pub fn sends(mut self, sends: Sends) -> Builder {
        self.settings.sends = sends;
        self
    }

    /// What runs the threads of shards. Default: [`Executor::Auto`]. What became of it is
    /// [`Server::executor`].
    pub fn executor(mut self, executor: Executor) -> Builder {
        self.settings.executor = executor;
        self
    }

    /// How [`Executor::Auto`] starts a process that runs [`try_executor`](crate::try_executor), for
    /// programs that can be started for that alone.
    #[doc(hidden)]
    pub fn executor_trial(mut self, trial: Trial) -> Builder {
        self.settings.trial = Some(trial);
        self
    }

    /// A key without which `/v1` is closed, and connections may do only what
    /// [`Builder::anonymous`] allows: visible ASCII characters without spaces. It is for everything;
    /// for less there is [`Builder::api_key_for`]. May be called several times. What cannot be a key
    /// is an error of [`Builder::start`].
    pub fn api_key(self, key: impl AsRef<str>) -> Builder {
        self.api_key_for(key, Rights::all())
    }

    /// The same with what the key is for. A known key without the right that a request needs is
    /// answered with 403.
    pub fn api_key_for(mut self, key: impl AsRef<str>, rights: Rights) -> Builder {
        if let Err(reason) = self.settings.access.keys.add_api_key(key.as_ref(), rights) {
            self.bad_key.get_or_insert(reason);
        }
        self
    }

    /// The keys of a file, as for [`Builder::api_key`]: one per line; blank lines and those that
    /// begin with `#` are passed over. Behind a key and a space may stand what it is for, such as
    /// `publish,read`: [`Rights`]. May be called several times.
    ///
    /// The file is read here and now, and again by [`Server::reload_keys`]; what is wrong with it
    /// is an error of [`Builder::start`].
    pub fn api_key_file(mut self, path: impl AsRef<Path>) -> Builder {
        let added = self.settings.access.keys.add_file(path.as_ref(), KeyFileKind::ApiKeys);
        if let Err(reason) = added {
            self.bad_key.get_or_insert(reason);
        }
        self
    }

    /// A secret that tokens are signed by: JWTs (RFC 7519) by HS256, HS384 or HS512. It is all bytes
    /// of the file but for one end of a line behind them, and has at least 32.
    ///
    /// With a key for tokens, a client may bring one at the handshake; its claims say who it is
    /// (`sub`), until when it may stay (`exp`) and what it may do (`cast`). A token that is not
    /// valid is refused with 401, before [`Builder::authorize`] is asked. These methods may be
    /// called several times. Files are read here and now, and again by [`Server::reload_keys`]; what
    /// is wrong with them is an error of [`Builder::start`].
    ///
    /// ```no_run
    /// # use corecast::Server;
    /// let server = Server::builder()
    ///     .jwt_secret_file("/run/secrets/corecast")
    ///     .jwt_audience("chat")
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn jwt_secret_file(self, path: impl AsRef<Path>) -> Builder {
        self.token_keys(path.as_ref(), KeyFileKind::Secret)
    }

    /// A public key in PEM that tokens are signed by: RSA of 2,048 bits or more for RS256, EC of
    /// the curve P-256 for ES256, or Ed25519 for EdDSA. See [`Builder::jwt_secret_file`].
    pub fn jwt_key_file(self, path: impl AsRef<Path>) -> Builder {
        self.token_keys(path.as_ref(), KeyFileKind::PublicKey)
    }

    /// The keys of a JSON Web Key Set (RFC 7517) that tokens are signed by, each with its `kid`.
    /// Those for other purposes and of other kinds are passed over. See
    /// [`Builder::jwt_secret_file`].
    ///
    /// A token that names its key (`kid`) is verified with the keys of that name, and where there is
    /// none, with those that have no name, as those of other files. One that names none is verified
    /// with up to 8 keys of its algorithm's family.
    pub fn jwks_file(self, path: impl AsRef<Path>) -> Builder {
        self.token_keys(path.as_ref(), KeyFileKind::KeySet)
    }

    fn token_keys(mut self, path: &Path, kind: KeyFileKind) -> Builder {
        let added = self.settings.access.keys.add_file(path, kind);
        self.note_token_rule(added)
    }

    /// An audience that tokens may be for: the claim `aud` must name one of these. Without any, a
    /// token that names an audience is refused (RFC 7519 section 4.1.3).
    pub fn jwt_audience(mut self, audience: impl Into<String>) -> Builder {
        self.settings.access.claims.audiences.push(audience.into());
        self
    }

    /// An issuer whose tokens are accepted: the claim `iss` must be one of these. Without any, it
    /// does not matter.
    pub fn jwt_issuer(mut self, issuer: impl Into<String>) -> Builder {
        self.settings.access.claims.issuers.push(issuer.into());
        self
    }

    /// How far the clocks of issuer and server may be apart: so long a token is accepted before its
    /// `nbf` and after its `exp`. Default: 60 s. A connection ends at the `exp` of its token; when
    /// that was over already at the handshake, at the end of the leeway.
    pub fn jwt_leeway(mut self, leeway: Duration) -> Builder {
        self.settings.access.claims.leeway = leeway;
        self
    }

    /// The name of a cookie that may carry a token. The places are looked at in this order, and the
    /// first that has something counts: `Authorization: Bearer`, this cookie, the parameter
    /// `access_token`, a subprotocol `corecast.token.<jwt>`.
    pub fn token_cookie(mut self, name: impl Into<String>) -> Builder {
        let name = name.into();
        let is_legal =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let judged = match !name.is_empty() && name.bytes().all(is_legal) {
            true => Ok(()),
            false => Err(format!(
                "{name:?} is no name of a cookie; write letters, digits, - and _, such as token"
            )),
        };
        self.settings.access.token_cookie = Some(name);
        self.note_token_rule(judged)
    }

    fn note_token_rule(mut self, judged: Result<(), String>) -> Builder {
        if let Err(reason) = judged {
            self.bad_token_rule.get_or_insert(reason);
        }
        self
    }

    /// Speaks TLS, and nothing else, with this certificate: PEM files, the certificate first and
    /// then those up to a root, and its private key. May be called several times: a client is shown
    /// the certificate for the name that it asks for, or the first.
    ///
    /// The files are read by [`Builder::start`], whose error names the one that is wrong, and again
    /// when they change or [`Server::reload_certificates`] is called.
    ///
    /// ```no_run
    /// # use corecast::Server;
    /// let server = Server::builder()
    ///     .listen("0.0.0.0:443")
    ///     .tls("/etc/corecast/fullchain.pem", "/etc/corecast/privkey.pem")
    ///     .open()
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn tls(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Builder {
        let certificate = certificate.as_ref().to_owned();
        let key = key.as_ref().to_owned();
        self.settings.certificates.push(CertificateFiles { certificate, key });
        self
    }

    /// Lets pages of this origin open connections, beside those that came from the server's own host
    /// and port: `https://example.com`, where `*` stands for one or more characters, as in
    /// `https://*.example.com` or `http://localhost:*`; `*` alone for every origin. May be called
    /// several times. What cannot be an origin is an error of [`Builder::start`].
    ///
    /// Browsers tell in each handshake which page it comes from; a page of another origin is
    /// refused with 403. What is no browser need not say, and is not asked.
    pub fn allow_origin(mut self, pattern: impl AsRef<str>) -> Builder {
        if let Err(reason) = self.settings.access.origins.allow(pattern.as_ref()) {
            self.bad_origin.get_or_insert(reason);
        }
        self
    }

    /// Believes the proxies of this network when they say where a request came from: a network as in
    /// `10.0.0.0/8` or `2001:db8::/32`, an address, `loopback`, or `private` (RFC 1918 and RFC
    /// 4193). May be called several times. What cannot be a network is an error of
    /// [`Builder::start`].
    ///
    /// The client's address ([`Handshake::client_addr`]) is then the first one from the right in
    /// `X-Forwarded-For` or `Forwarded` (RFC 7239) that is no trusted proxy's. A proxy has to write
    /// one of the two fields, and to remove the other one: a request in which they disagree is
    /// refused with 400. Other fields, such as `X-Forwarded-Host`, change nothing.
    pub fn trusted_proxy(mut self, network: impl AsRef<str>) -> Builder {
        if let Err(reason) = self.settings.access.proxies.add(network.as_ref()) {
            self.bad_proxy.get_or_insert(reason);
        }
        self
    }

    /// Whether each connection begins with a header of the PROXY protocol, version 1 or 2, which
    /// says where it came from. Only proxies of [`Builder::trusted_proxy`] may connect then, and
    /// connections without the header are refused. Default: no.
    pub fn proxy_protocol(mut self, is_spoken: bool) -> Builder {
        self.settings.proxy_protocol = is_spoken;
        self
    }

    /// What connections may do that are not known: that brought neither an API key nor a token, and
    /// that [`Builder::authorize`] gave no claims. Default: everything, or nothing once there are
    /// keys of either kind and no `authorize`.
    pub fn anonymous(mut self, anonymous: Anonymous) -> Builder {
        self.settings.anonymous = Some(anonymous);
        self
    }

    /// Who may use the HTTP API, `/v1`. Default: [`HttpApi::keys`].
    pub fn http_api(mut self, api: HttpApi) -> Builder {
        (self.settings.access.api, self.program.api_rule) = api.into_parts();
        self
    }

    /// Lets everybody do everything, even on an address that other machines can reach.
    pub fn open(mut self) -> Builder {
        self.settings.open = true;
        self
    }

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
    /// the handshake is answered with 500.
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
    /// at the handshake; and where it has none, every such token is answered with `bad_token`.
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
    /// [`HttpApi::rule`](crate::HttpApi::rule).
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

    /// Starts one thread per shard, and returns when all of them listen.
    ///
    /// The soft descriptor limit of the process is raised to the hard one.
    ///
    /// # Errors
    ///
    /// [`StartError`] says in words for the operator what is missing and how to get it.
    pub fn start(self) -> Result<Server, StartError> {
        if let Some(reason) = self.bad_address {
            return Err(StartError::Address { reason });
        }
        if let Some(reason) = self.bad_key {
            return Err(StartError::ApiKey { reason });
        }
        if let Some(reason) = self.bad_token_rule {
            return Err(StartError::Token { reason });
        }
        if let Some(reason) = self.bad_origin {
            return Err(StartError::Origin { reason });
        }
        if let Some(reason) = self.bad_proxy {
            return Err(StartError::TrustedProxy { reason });
        }
        if let Some(reason) = self.bad_room {
            return Err(StartError::Room { reason });
        }
        self.settings.check()?;
        check_routes(&self.program.routes).map_err(|message| StartError::Route { message })?;
        if self.settings.is_wide_open() {
            tracing::warn!(
                "the server is open: whatever reaches it may do everything, because no key is \
                 configured"
            );
        }
        for remark in self.settings.limits.remarks() {
            tracing::warn!("{remark}");
        }
        let instantiate = || -> Instantiate {
            let program = self.program.clone();
            Box::new(move |handle| on_shard(program, handle))
        };
        let plan = Plan { needs: self.program.needs(), instantiate: &instantiate };
        start(self.settings, &plan).map(Server::new)
    }
}
