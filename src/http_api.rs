//! Who may use `/v1` of an embedding program.

use std::fmt;
use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::{Method, Request};

use crate::handler::{Template, unary};
use crate::handshake::{Handshake, Refusal};
use crate::http::{ApiAccess, Found, decode};

/// Who may use the HTTP API, `/v1`: for [`Builder::http_api`](crate::Builder::http_api).
#[derive(Clone)]
pub struct HttpApi(Kind);

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
    pub(crate) fn new(
        request: &Request<Incoming>,
        found: &Found<'_>,
        remote_addr: SocketAddr,
    ) -> ApiRequest {
        let decoded = |value: &str| decode(value).unwrap_or_default().into_owned();
        let parameters = found.parameters().iter();
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        ApiRequest {
            method: request.method().clone(),
            path: found.path().to_owned(),
            parameters: parameters.map(|(name, value)| (name.clone(), decoded(value))).collect(),
            head: Handshake::new(target, request.headers().clone(), remote_addr),
        }
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

    /// The `room` of `/v1/rooms/{room}` and the paths below it, or the `id` of
    /// `/v1/connections/{id}`, decoded.
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

    /// Where the connection came from; behind a proxy, the proxy.
    pub fn remote_addr(&self) -> SocketAddr {
        self.head.remote_addr()
    }
}
