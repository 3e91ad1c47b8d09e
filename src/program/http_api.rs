//! Who may use `/v1` of an embedding program.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use hyper::Method;

use super::handler::{Template, unary};
use super::handshake::{Handshake, Refusal};

/// Who may use the HTTP API, `/v1`: for [`Builder::http_api`](crate::Builder::http_api).
#[derive(Clone)]
pub struct HttpApi(Kind);

/// Who may use `/v1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ApiAccess {
    /// Those who bring an API key, or everybody while none is configured.
    #[default]
    Keys,
    /// Those who bring an API key, and those whom the program's rule lets in.
    Program,
    /// Nobody.
    Off,
}

pub(crate) type Rule = Box<dyn Template<ApiRequest, Result<(), Refusal>>>;

#[derive(Clone)]
enum Kind {
    Keys,
    Off,
    Rule(Rule),
}

impl HttpApi {
    /// Whoever brings a key of [`Builder::api_key`](crate::Builder::api_key), or everybody while
    /// there is none. This is the default.
    pub fn keys() -> HttpApi {
        HttpApi(Kind::Keys)
    }

    /// Nobody: every path below `/v1` is answered with 404.
    pub fn off() -> HttpApi {
        HttpApi(Kind::Off)
    }

    /// Whoever the program lets in, for each request anew; and whoever brings a key, if there are
    /// any. A panic refuses with 500.
    ///
    /// Where the server has keys for tokens, a valid one that may join a room opens the room's event
    /// stream, too, and the rule is asked about what is no valid token, such as one of the program's
    /// own. With [`Builder::authorize`](crate::Builder::authorize), which decides what a token allows
    /// and is asked about handshakes alone, the rule is asked about all of them.
    ///
    /// ```
    /// # use corecast::{ApiRequest, HttpApi, Refusal, Server};
    /// let server = Server::builder()
    ///     .listen("127.0.0.1:0")
    ///     .http_api(HttpApi::rule(async |request: ApiRequest| match request.bearer_token() {
    ///         Some("reader") if request.method() == "GET" => Ok(()),
    ///         Some("writer") if request.path_parameter("room") != Some("audit") => Ok(()),
    ///         Some(_) => Err(Refusal::forbidden("this token is not for that")),
    ///         None => Err(Refusal::unauthorized("send Authorization: Bearer and a token")),
    ///     }))
    ///     .start()?;
    /// # Ok::<(), corecast::StartError>(())
    /// ```
    pub fn rule<F>(rule: F) -> HttpApi
    where
        F: AsyncFn(ApiRequest) -> Result<(), Refusal> + Clone + Send + 'static,
    {
        HttpApi(Kind::Rule(unary(rule)))
    }

    pub(crate) fn into_parts(self) -> (ApiAccess, Option<Rule>) {
        match self.0 {
            Kind::Keys => (ApiAccess::Keys, None),
            Kind::Off => (ApiAccess::Off, None),
            Kind::Rule(rule) => (ApiAccess::Program, Some(rule)),
        }
    }
}

impl fmt::Debug for HttpApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Keys => "HttpApi::keys",
            Kind::Off => "HttpApi::off",
            Kind::Rule(_) => "HttpApi::rule",
        })
    }
}

/// A request for `/v1`, as the program's rule sees it: its head, before its body is read.
///
/// Its `Debug` output hides what a client may have proved its identity with: the query, cookies,
/// tokens.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    method: Method,
    path: String,
    parameters: Vec<(String, String)>,
    head: Handshake,
}

impl ApiRequest {
    /// A request for this path, in its canonical spelling, with the decoded parameters of its
    /// route.
    pub(crate) fn new(
        method: Method,
        path: String,
        parameters: Vec<(String, String)>,
        head: Handshake,
    ) -> ApiRequest {
        ApiRequest { method, path, parameters, head }
    }

    /// The method, such as POST.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path in the one spelling that routes are found by: only `/` and `%` within a segment,
    /// and what is not ASCII, are still percent-encoded.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The `room` of `/v1/rooms/{room}` and the paths below it, the `id` of `/v1/connections/{id}`, or
    /// the `sub` of `/v1/users/{sub}`, decoded.
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// One parameter of the query, decoded.
    pub fn query_parameter(&self, name: &str) -> Option<String> {
        self.head.query_parameter(name)
    }

    /// A header field, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The token of `Authorization: Bearer …`, if there is one.
    pub fn bearer_token(&self) -> Option<&str> {
        self.head.bearer_token()
    }

    /// The other end of the socket; behind a proxy, the proxy.
    pub fn remote_addr(&self) -> SocketAddr {
        self.head.remote_addr()
    }

    /// The address of the client, as [`Handshake::client_addr`](crate::Handshake::client_addr).
    pub fn client_addr(&self) -> IpAddr {
        self.head.client_addr()
    }
}
