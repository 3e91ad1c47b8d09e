//! Errors of HTTP, as JSON with the right status.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use corecast_shards::BadBody;
use httpdate::HttpDate;
use hyper::body::Bytes;
use hyper::{HeaderMap, Response, StatusCode, header};

use crate::program::{HEADERS_MAX, Refusal};
use crate::values::NotAccepted;

/// An error that is told to the caller: status, code, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpError {
    pub(crate) status: StatusCode,
    code: &'static str,
    message: String,
    extra: Vec<(&'static str, Cow<'static, str>)>,
    /// Whether the answer says all of this, and not only the status.
    has_content: bool,
}

impl HttpError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> HttpError {
        HttpError { status, code, message: message.into(), extra: Vec::new(), has_content: true }
    }

    /// The same, with content or without.
    pub(crate) fn with_content(self, has_content: bool) -> HttpError {
        HttpError { has_content, ..self }
    }

    fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> HttpError {
        self.extra.push((name, value.into()));
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> HttpError {
        HttpError::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn bad_host() -> HttpError {
        HttpError::bad_request(
            "a request must say in exactly one Host header which host and port it means",
        )
    }

    pub(crate) fn garbage() -> HttpError {
        HttpError::bad_request("this is not an HTTP/1.1 request")
    }

    /// What came in clear text where TLS is spoken.
    pub(crate) fn not_tls() -> HttpError {
        HttpError::bad_request("TLS is spoken here: connect to https:// or wss:// at this port")
    }

    /// A request that wants to be a handshake and is none, and why.
    pub(crate) fn bad_handshake(message: &'static str) -> HttpError {
        HttpError::bad_request(message)
    }

    /// A handshake in another version of the protocol, which is told ours (RFC 6455 section 4.4).
    pub(crate) fn upgrade_required() -> HttpError {
        let message = "only version 13 of the WebSocket protocol is spoken here";
        HttpError::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message)
            .with("sec-websocket-version", "13")
            .with("upgrade", "websocket")
    }

    pub(crate) fn too_many_rooms(most: usize) -> HttpError {
        let message =
            format!("rooms of one event stream (max_rooms, at most 128) are limited to {most}");
        HttpError::new(StatusCode::BAD_REQUEST, "too_many_rooms", message)
    }

    pub(crate) fn too_many_named_rooms(most: usize) -> HttpError {
        let message = format!("rooms that a handshake names (max_rooms) are limited to {most}");
        HttpError::new(StatusCode::BAD_REQUEST, "too_many_rooms", message)
    }

    /// An answer without end, asked for in a version of HTTP that cannot mark its parts.
    pub(crate) fn http_11_required() -> HttpError {
        let message = "an event stream needs HTTP/1.1; a proxy in front must speak it to its \
                       upstream, in nginx: proxy_http_version 1.1";
        HttpError::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message)
            .with("upgrade", "HTTP/1.1")
    }

    pub(crate) fn not_implemented(message: &'static str) -> HttpError {
        HttpError::new(StatusCode::NOT_IMPLEMENTED, "not_implemented", message)
    }

    pub(crate) fn forbidden(message: &'static str) -> HttpError {
        HttpError::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// What was brought opens nothing, and this is needed.
    pub(crate) fn unauthorized(message: &'static str) -> HttpError {
        HttpError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
            .with("www-authenticate", "Bearer")
    }

    /// A token that is not accepted, and why (RFC 6750 section 3.1).
    pub(crate) fn bad_token(why: impl Into<String>) -> HttpError {
        HttpError::new(StatusCode::UNAUTHORIZED, "bad_token", why)
            .with("www-authenticate", "Bearer error=\"invalid_token\"")
    }

    /// A client, or a token, that is revoked.
    pub(crate) fn revoked() -> HttpError {
        HttpError::bad_token("this user, or this token, is revoked")
    }

    /// An API key without the right that a route needs.
    pub(crate) fn right_missing(right: &'static str) -> HttpError {
        let message = format!(
            "this API key has not the right {right}, which this needs: its line in the key file \
             says what it may do"
        );
        HttpError::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> HttpError {
        HttpError::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(crate) fn nothing_there() -> HttpError {
        HttpError::not_found("there is nothing at this path")
    }

    pub(crate) fn method_not_allowed(allow: impl Into<Cow<'static, str>>) -> HttpError {
        let allow = allow.into();
        let message = format!("this path allows {allow}");
        HttpError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
            .with("allow", allow)
    }

    pub(crate) fn head_timeout() -> HttpError {
        let message = "the request's head did not arrive in time";
        HttpError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)
    }

    pub(crate) fn authorize_timeout() -> HttpError {
        let message = "it took too long to find out who this is; try again later";
        HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
            .with("retry-after", "5")
    }

    pub(crate) fn body_timeout() -> HttpError {
        let message = "the request's body did not arrive in time";
        HttpError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message)
    }

    pub(crate) fn too_large(limit: usize) -> HttpError {
        let message = format!("a body may have at most {limit} bytes (max_message)");
        HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(crate) fn no_connection() -> HttpError {
        HttpError::not_found("there is no such connection")
    }

    pub(crate) fn no_user() -> HttpError {
        HttpError::not_found("no open connection is this user's (the claim sub)")
    }

    pub(crate) fn too_many_revocations(limit: usize) -> HttpError {
        let message = format!(
            "{limit} users and tokens are revoked, and that is as many as may be \
             (max_revocations); a place becomes free when the until of one passes; repeat this \
             then, since some shards may have had a place"
        );
        HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message)
            .with("retry-after", "5")
    }

    pub(crate) fn emit_too_large(limit: usize) -> HttpError {
        let message =
            format!("a message for one connection may have at most {limit} bytes (own_bytes)");
        HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    pub(crate) fn unsupported_media_type() -> HttpError {
        let message = "the body must be declared as JSON: -H 'content-type: application/json'";
        HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    pub(crate) fn head_too_large(limit: usize) -> HttpError {
        let message = format!(
            "a request's head may have at most {limit} bytes (max_head), its target included, and \
             {HEADERS_MAX} fields"
        );
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        HttpError::new(status, "head_too_large", message)
    }

    /// The one error that goes away by itself.
    pub(crate) fn overloaded() -> HttpError {
        let message = "the message was not accepted because too many are on their way; try again";
        HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message)
            .with("retry-after", "1")
    }

    pub(crate) fn draining() -> HttpError {
        let message = "the server is shutting down; try again elsewhere or later";
        HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "draining", message)
            .with("retry-after", "5")
    }

    pub(crate) fn capacity(limit: usize) -> HttpError {
        let message = format!("the server holds as many connections as it may ({limit})");
        HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "capacity", message)
            .with("retry-after", "5")
    }

    /// A client address with as many connections as it may have.
    pub(crate) fn too_many_connections(limit: usize) -> HttpError {
        let message = format!(
            "this address has as many connections as it may ({limit}, max_connections_per_address); \
             close one, or try again later"
        );
        HttpError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_connections", message)
            .with("retry-after", "5")
    }

    /// A client address that begins handshakes too fast, and has to wait so long.
    pub(crate) fn too_many_handshakes(wait: Duration) -> HttpError {
        let message = "this address begins too many connections per second \
                       (handshakes_per_address); try again later";
        let seconds = wait.as_secs() + 1;
        HttpError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
            .with("retry-after", seconds.to_string())
    }

    /// The process has no descriptor, or the kernel no memory, for one more connection.
    pub(crate) fn crowded() -> HttpError {
        let message =
            "the server has no room for another connection at the moment; try again later";
        HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "capacity", message)
            .with("retry-after", "5")
    }

    /// Memory is short: the process is near `--memory-limit`.
    pub(crate) fn short_of_memory() -> HttpError {
        let message = "the server is short of memory and takes no new connections; try again later";
        HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "capacity", message)
            .with("retry-after", "5")
    }

    /// The same for answers that are large.
    pub(crate) fn short_of_memory_for_pages() -> HttpError {
        let message = "the server is short of memory and sends no pages of messages; try again \
                       later";
        HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message)
            .with("retry-after", "5")
    }

    /// What the program's `authorize` hook says.
    pub(crate) fn refusal(refusal: Refusal) -> HttpError {
        let status = StatusCode::from_u16(refusal.status).expect("it was checked when it was made");
        let code = match refusal.status {
            401 => return HttpError { message: refusal.message, ..HttpError::unauthorized("") },
            403 => "forbidden",
            429 => "rate_limited",
            500.. => "unavailable",
            _ => "refused",
        };
        HttpError::new(status, code, refusal.message)
    }

    /// A route of the program failed.
    pub(crate) fn route_failed() -> HttpError {
        let message = "the route's handler failed; its log says why";
        HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, "handler_failed", message)
    }

    fn body(&self) -> String {
        let error = serde_json::json!({"error": {"code": self.code, "message": self.message}});
        error.to_string()
    }

    /// `Upgrade` is a field of this connection alone, and named as such (RFC 9110 section 7.8).
    fn offers_upgrade(&self) -> bool {
        self.extra.iter().any(|(name, _)| *name == "upgrade")
    }

    pub(crate) fn into_response(self) -> Response<http_body_util::Full<Bytes>> {
        let offers_upgrade = self.offers_upgrade();
        let mut response = Response::new(http_body_util::Full::from(self.body()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        declare_json(headers);
        if offers_upgrade {
            headers.insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
        }
        for (name, value) in self.extra {
            let value = header::HeaderValue::from_str(&value);
            headers.insert(name, value.expect("these are method names, words and numbers"));
        }
        response
    }

    /// The same as bytes, for a connection that has not become a task, and ends with this.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let body = self.body();
        let extra: String =
            self.extra.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let connection = if self.offers_upgrade() { "close, upgrade" } else { "close" };
        format!(
            "HTTP/1.1 {}\r\ndate: {}\r\ncontent-type: application/json\r\n\
             x-content-type-options: nosniff\r\n{extra}content-length: {}\r\n\
             connection: {connection}\r\n\r\n{}",
            self.status,
            HttpDate::from(SystemTime::now()),
            body.len(),
            if self.has_content { &body } else { "" },
        )
        .into_bytes()
    }
}

/// Says that the body is JSON, and that no browser is to take it for anything else.
pub(super) fn declare_json(headers: &mut HeaderMap) {
    let [json, nosniff] = ["application/json", "nosniff"].map(header::HeaderValue::from_static);
    headers.insert(header::CONTENT_TYPE, json);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
}

impl From<NotAccepted> for HttpError {
    fn from(not_accepted: NotAccepted) -> HttpError {
        match not_accepted {
            NotAccepted::Closed => HttpError::draining(),
            NotAccepted::Gone => HttpError::no_connection(),
            NotAccepted::TooLarge(limit) => HttpError::emit_too_large(limit),
            NotAccepted::BadRoom(bad) => HttpError::bad_request(bad.to_string()),
            NotAccepted::BadUser(bad) => HttpError::bad_request(bad.to_string()),
            NotAccepted::KeyWithoutRoom => {
                HttpError::bad_request("only a publish to a room takes a key; leave key out")
            }
            NotAccepted::Full | NotAccepted::Unconfirmed => HttpError::overloaded(),
        }
    }
}

impl From<BadBody> for HttpError {
    fn from(BadBody(message): BadBody) -> HttpError {
        HttpError::new(
            StatusCode::BAD_REQUEST,
            "bad_envelope",
            format!("the body is wrong: {message}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_whole_response() {
        let text = String::from_utf8(HttpError::overloaded().to_bytes()).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        assert!(head.contains("retry-after: 1\r\n"), "{head}");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        let json: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(json["error"]["code"], "overloaded");
    }
}
