//! The request with which a connection began.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use hyper::header::{
    AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION,
    SEC_WEBSOCKET_PROTOCOL,
};

use crate::values::{Claims, bearer, parameter};

/// Header fields of one request. Browsers send about 15.
pub(crate) const HEADERS_MAX: usize = 100;

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The other end of the socket, which may be a proxy's.
    pub(crate) remote_addr: SocketAddr,
    /// The client's, as far as trusted proxies say.
    pub(crate) client_addr: IpAddr,
}

/// The request with which a WebSocket connection began: where it came from, and what it said.
///
/// Its `Debug` output hides what a client may have proved its identity with: the query, cookies,
/// tokens.
#[derive(Clone)]
pub struct Handshake {
    caller: Caller,
    target: Box<str>,
    headers: HeaderMap,
    token_claims: Option<Claims>,
}

impl Handshake {
    /// Reads a head that was accepted as a handshake; none when it is not one after all.
    pub(crate) fn read(head: &[u8], caller: Caller) -> Option<Handshake> {
        let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        request.parse(head).ok()?;
        let target = request.path?;
        let fields = request.headers.iter().filter_map(|field| {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(field.value).ok()?))
        });
        let mut headers = HeaderMap::with_capacity(request.headers.len());
        for (name, value) in fields {
            headers.append(name, value);
        }
        Some(Handshake::new(target, headers, caller))
    }

    /// The head of any request, in the origin or the absolute form.
    pub(crate) fn new(target: &str, mut headers: HeaderMap, caller: Caller) -> Handshake {
        hide_secrets(&mut headers);
        let target = match target.split_once("://") {
            Some((_, rest)) if !target.starts_with('/') => {
                rest.find('/').map_or("/", |at| &rest[at..])
            }
            _ => target,
        };
        Handshake { caller, target: target.into(), headers, token_claims: None }
    }

    /// The same with what its token says.
    pub(crate) fn with_token_claims(self, token_claims: Option<Claims>) -> Handshake {
        Handshake { token_claims, ..self }
    }

    /// What the client's token says, in [`Builder::authorize`](crate::Builder::authorize), if it
    /// brought one and the server has a key for tokens: it is valid then.
    ///
    /// Claims that the hook returns take the place of these, with all that they permit, and no fresh
    /// token brings them back; when it returns none, these hold.
    pub fn token_claims(&self) -> Option<&Claims> {
        self.token_claims.as_ref()
    }

    /// The other end of the socket. Behind a proxy this is the proxy: see
    /// [`Handshake::client_addr`].
    pub fn remote_addr(&self) -> SocketAddr {
        self.caller.remote_addr
    }

    /// The address of the client. It is that of [`Handshake::remote_addr`], unless this is a proxy
    /// of [`Builder::trusted_proxy`](crate::Builder::trusted_proxy): then it is the one that the
    /// proxy, and other trusted ones before it, say. IPv4 within IPv6 is IPv4.
    pub fn client_addr(&self) -> IpAddr {
        self.caller.client_addr
    }

    /// The path, percent-encoded as it came, without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query behind the path's `?`, percent-encoded as it came.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// One parameter of the query, decoded.
    pub fn query_parameter(&self, name: &str) -> Option<String> {
        parameter(self.query(), name)
    }

    /// A header field, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// All header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The token of `Authorization: Bearer …`, if there is one.
    pub fn bearer_token(&self) -> Option<&str> {
        let field = self.headers.get(AUTHORIZATION)?;
        std::str::from_utf8(bearer(field.as_bytes())?).ok()
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("remote_addr", &self.caller.remote_addr)
            .field("client_addr", &self.caller.client_addr)
            .field("path", &self.path())
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// Keeps header fields that carry secrets out of `Debug` output.
pub(crate) fn hide_secrets(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        if SECRET_FIELDS.contains(name) {
            value.set_sensitive(true);
        }
    }
}

/// A subprotocol may carry a token.
const SECRET_FIELDS: [HeaderName; 4] =
    [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL];

/// Why a handshake is refused: an HTTP status, and a message that tells the client what to do. It is
/// answered as `{"error": {"code": …, "message": …}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(crate) status: u16,
    pub(crate) message: String,
}

impl Refusal {
    /// Refuses with this status.
    ///
    /// # Panics
    ///
    /// When the status is not one of an error, 400 to 599.
    pub fn new(status: u16, message: impl Into<String>) -> Refusal {
        assert!((400..600).contains(&status), "{status} is not the status of an error");
        Refusal { status, message: message.into() }
    }

    /// 401: the client has to say who it is.
    pub fn unauthorized(message: impl Into<String>) -> Refusal {
        Refusal::new(401, message)
    }

    /// 500: the program failed to say who the client is.
    pub(crate) fn unknown_client() -> Refusal {
        Refusal::new(500, "the server could not find out who this is; try again later")
    }

    /// 403: the client is known and may not.
    pub fn forbidden(message: impl Into<String>) -> Refusal {
        Refusal::new(403, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_keeps_what_it_said() {
        let head = b"GET /ws?name=Ada%20L&x HTTP/1.1\r\nHost: h\r\nCookie: a=1\r\n\
            Authorization: bearer secret \r\n\r\n";
        let (remote_addr, client_addr) = (([127, 0, 0, 1], 7).into(), [192, 0, 2, 1].into());
        let handshake = Handshake::read(head, Caller { remote_addr, client_addr }).unwrap();
        assert_eq!((handshake.path(), handshake.query()), ("/ws", Some("name=Ada%20L&x")));
        assert_eq!(handshake.query_parameter("name").as_deref(), Some("Ada L"));
        assert_eq!(handshake.header("cookie"), Some("a=1"));
        assert_eq!(handshake.bearer_token(), Some("secret"));
        assert_eq!((handshake.remote_addr(), handshake.client_addr()), (remote_addr, client_addr));
        let shown = format!("{handshake:?}");
        assert!(shown.contains("/ws") && shown.contains("cookie"), "{shown}");
        assert!(!shown.contains("secret") && !shown.contains("Ada"), "{shown}");
        assert!(!shown.contains("a=1"), "{shown}");
    }
}
