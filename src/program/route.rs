//! HTTP routes of the embedding program, beside `/ws`.

use std::error::Error;
use std::rc::Rc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::handler::{Handler, Template};
use super::handshake::Caller;

/// One route of the program, on its way to the shards: its method, the path as the program wrote
/// it, and what its handler is handed as `R`.
pub(crate) struct Route<R> {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) handler: Box<dyn Template<R, RouteResult>>,
}

/// The same on a shard.
pub(crate) struct ShardRoute {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) handler: RouteHandler,
}

/// Answers the requests of one route.
pub(crate) type RouteHandler = Handler<RouteRequest, RouteResult>;

/// A whole request for a route of the program, and the decoded parameters of its path by name.
#[derive(Debug)]
pub(crate) struct RouteRequest {
    pub(crate) request: Request<Bytes>,
    pub(crate) caller: Caller,
    pub(crate) parameters: Vec<(String, String)>,
}

impl<R: 'static> Route<R> {
    /// On the shard's own thread, where a request becomes what the handler is handed.
    pub(crate) fn instantiate(self, make: impl Fn(RouteRequest) -> R + 'static) -> ShardRoute {
        let handler = self.handler.instantiate();
        let handler = Rc::new(move |request| handler(make(request)));
        ShardRoute { method: self.method, path: self.path, handler }
    }
}

impl<R> Clone for Route<R> {
    fn clone(&self) -> Self {
        let (method, path) = (self.method.clone(), self.path.clone());
        Route { method, path, handler: self.handler.clone() }
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
