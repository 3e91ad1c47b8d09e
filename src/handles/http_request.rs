//! A request, in the hands of a route of the program.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;

use hyper::Request;
use hyper::body::Bytes;

use super::broadcaster::Broadcaster;
use crate::program::{Caller, RouteRequest, hide_secrets};
use crate::values::parameter;

/// A whole HTTP request, its body included, for a route of the program. It is an
/// [`http::Request`](hyper::Request) and what the route adds to it.
///
/// Its `Debug` output hides what a client may have proved its identity with: the query, cookies,
/// tokens.
pub struct HttpRequest {
    request: Request<Bytes>,
    caller: Caller,
    parameters: Vec<(String, String)>,
    broadcaster: Broadcaster,
}

impl HttpRequest {
    pub(crate) fn new(request: RouteRequest, broadcaster: Broadcaster) -> HttpRequest {
        let RouteRequest { mut request, caller, parameters } = request;
        hide_secrets(request.headers_mut());
        HttpRequest { request, caller, parameters, broadcaster }
    }

    /// The part of the path that stands for `{name}` in the route, decoded.
    pub fn path_parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// One parameter of the query, decoded.
    pub fn query_parameter(&self, name: &str) -> Option<String> {
        parameter(self.request.uri().query(), name)
    }

    /// The other end of the socket; behind a proxy, the proxy.
    pub fn remote_addr(&self) -> SocketAddr {
        self.caller.remote_addr
    }

    /// The address of the client, as [`Handshake::client_addr`](crate::Handshake::client_addr).
    pub fn client_addr(&self) -> IpAddr {
        self.caller.client_addr
    }

    /// Sends to connections.
    pub fn broadcaster(&self) -> &Broadcaster {
        &self.broadcaster
    }
}

impl Deref for HttpRequest {
    type Target = Request<Bytes>;

    fn deref(&self) -> &Request<Bytes> {
        &self.request
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", self.method())
            .field("path", &self.uri().path())
            .field("headers", self.headers())
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}
