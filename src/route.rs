//! HTTP routes of the embedding program, beside `/ws`.

use std::error::Error;
use std::fmt;
use std::ops::Deref;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{Request, Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use crate::broadcaster::Broadcaster;
use crate::handshake::hide_secrets;
use crate::http::parameter;

/// A whole HTTP request, its body included, for a route of the program. It is an
/// [`http::Request`](hyper::Request) and what the route adds to it.
///
/// Its `Debug` output hides what a client may have proved its identity with: the query, cookies,
/// tokens.
pub struct HttpRequest {
    request: Request<Bytes>,
    parameters: Vec<(String, String)>,
    broadcaster: Broadcaster,
}

impl HttpRequest {
    pub(crate) fn new(
        mut request: Request<Bytes>,
        parameters: Vec<(String, String)>,
        broadcaster: Broadcaster,
    ) -> HttpRequest {
        hide_secrets(request.headers_mut());
        HttpRequest { request, parameters, broadcaster }
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

/// What a route answers.
#[derive(Debug)]
pub struct HttpResponse(Response<Full<Bytes>>);

/// What the handler of a route returns. An error is answered with 500 and logged; its words stay in
/// the log.
pub type RouteResult = Result<HttpResponse, Box<dyn Error>>;

impl HttpResponse {
    /// 200 with this body.
    ///
    /// # Panics
    ///
    /// When the content type is not allowed in a header. A panic of a route is answered with 500.
    pub fn new(content_type: &'static str, body: impl Into<Bytes>) -> HttpResponse {
        let mut response = Response::new(Full::new(body.into()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        HttpResponse(response)
    }

    /// 200 with a page.
    pub fn html(page: impl Into<Bytes>) -> HttpResponse {
        HttpResponse::new("text/html; charset=utf-8", page)
    }

    /// 200 with plain text.
    pub fn text(text: impl Into<Bytes>) -> HttpResponse {
        HttpResponse::new("text/plain; charset=utf-8", text)
    }

    /// 200 with JSON.
    ///
    /// # Errors
    ///
    /// When the value has no JSON form.
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<HttpResponse, serde_json::Error> {
        Ok(HttpResponse::new("application/json", serde_json::to_vec(value)?))
    }

    /// An error in the same form as the server's own: `{"error": {"code": …, "message": …}}`.
    ///
    /// # Panics
    ///
    /// When the status is none of HTTP's.
    pub fn error(status: u16, code: &str, message: &str) -> HttpResponse {
        let body = json!({"error": {"code": code, "message": message}}).to_string();
        HttpResponse::new("application/json", body).with_status(status)
    }

    /// The same with another status.
    ///
    /// # Panics
    ///
    /// When the status is none of HTTP's.
    pub fn with_status(mut self, status: u16) -> HttpResponse {
        *self.0.status_mut() =
            StatusCode::from_u16(status).expect("a status has three digits, from 100 on");
        self
    }

    /// The same with one more header field, whose name may be written in any case.
    ///
    /// # Panics
    ///
    /// When name or value is not allowed in a header.
    pub fn with_header(mut self, name: &'static str, value: &str) -> HttpResponse {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name is a token");
        let value = HeaderValue::from_str(value).expect("a header's value is visible text");
        self.0.headers_mut().append(name, value);
        self
    }

    /// What goes onto the wire. How long the body is, and how it is framed, is known here and not
    /// the program's to say (RFC 9112 section 6).
    pub(crate) fn into_response(mut self) -> Response<Full<Bytes>> {
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING] {
            self.0.headers_mut().remove(name);
        }
        self.0
    }
}

impl From<Response<Bytes>> for HttpResponse {
    fn from(response: Response<Bytes>) -> HttpResponse {
        HttpResponse(response.map(Full::new))
    }
}
