//! Which request is answered how.

use std::time::Duration;

use corecast_shards::{
    Answer, ConnId, Disconnect, Publication, Query, RoomName, Unnumbered, event_frame,
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{HttpError, Matched, auth, path, rooms, stats};
use crate::handler::finish;
use crate::route::HttpRequest;
use crate::runtime::Hub;

type Answered = Result<Response<Full<Bytes>>, HttpError>;

/// Answers any request that was not a handshake.
pub(crate) async fn respond(hub: Hub, request: Request<Incoming>) -> Response<Full<Bytes>> {
    route(&hub, request).await.unwrap_or_else(HttpError::into_response)
}

async fn route(hub: &Hub, request: Request<Incoming>) -> Answered {
    let uri = request.uri().clone();
    if uri.path().starts_with("/v1/") {
        auth::authorize(request.headers(), hub.api_keys())?;
    }
    let Some(segments) = path::segments(uri.path()) else {
        return Err(match uri.path().starts_with("/v1/connections/") {
            true => HttpError::not_found("there is no such connection"),
            false => HttpError::bad_request("the path is not UTF-8"),
        });
    };
    let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
    match segments.as_slice() {
        ["ws"] => Err(explain_handshake(&request)),
        ["healthz"] => get(&request, ok(&json!({"status": "ok"}))),
        ["readyz"] => get(&request, readiness(hub)),
        ["v1", "stats"] => get(&request, stats::stats(hub).await),
        ["v1", "rooms"] => get(&request, rooms::list(hub, uri.query()).await),
        ["v1", "rooms", room] => get(&request, rooms::one(hub, room).await),
        ["v1", "rooms", room, "publish"] => publish(hub, room, request).await,
        ["v1", "broadcast"] => broadcast(hub, request).await,
        ["v1", "connections", id] => kick(hub, id, &request).await,
        ["v1", "connections", id, "emit"] => emit(hub, id, request).await,
        _ => route_of_program(hub, request).await,
    }
}

/// Whatever is not the server's own may be the program's.
async fn route_of_program(hub: &Hub, request: Request<Incoming>) -> Answered {
    let (handler, parameters) = match hub.router().find(request.method(), request.uri().path()) {
        Matched::Handler(handler, parameters) => (handler, parameters),
        Matched::Otherwise(allow) => return Err(HttpError::method_not_allowed(allow)),
        Matched::Nowhere => return Err(HttpError::not_found("there is nothing at this path")),
    };
    let (head, body) = request.into_parts();
    let body = read_body(hub, body).await?;
    let request = Request::from_parts(head, body);
    let request = HttpRequest::new(request, parameters, hub.broadcaster());
    match finish(handler, request).await {
        Ok(response) => Ok(response.0),
        Err(failure) => {
            tracing::error!("a route failed: {failure}");
            Err(HttpError::route_failed())
        }
    }
}

fn get(request: &Request<Incoming>, answer: Answered) -> Answered {
    allow(request, &[Method::GET, Method::HEAD], "GET, HEAD")?;
    answer
}

fn allow(
    request: &Request<Incoming>,
    methods: &[Method],
    allow: &'static str,
) -> Result<(), HttpError> {
    match methods.contains(request.method()) {
        true => Ok(()),
        false => Err(HttpError::method_not_allowed(allow)),
    }
}

fn readiness(hub: &Hub) -> Answered {
    match hub.is_draining() {
        true => Err(HttpError::draining()),
        false => ok(&json!({"status": "ready"})),
    }
}

/// Says what is wrong with a request for `/ws` that was not taken as a handshake.
fn explain_handshake(request: &Request<Incoming>) -> HttpError {
    if request.method() != Method::GET {
        return HttpError::method_not_allowed("GET");
    }
    let field = |name: &str| request.headers().get(name).map_or(&b""[..], |value| value.as_bytes());
    HttpError::bad_handshake(if !super::head::has_token(field("upgrade"), "websocket") {
        "this path speaks WebSocket: the header Upgrade: websocket is missing"
    } else if !super::head::has_token(field("connection"), "upgrade") {
        "the header Connection: Upgrade is missing"
    } else if field("sec-websocket-version").trim_ascii() != b"13" {
        "only version 13 of the WebSocket protocol is spoken here"
    } else if super::head::accept_key(field("sec-websocket-key")).is_none() {
        "Sec-WebSocket-Key must be 16 bytes in base64"
    } else if request.headers().get_all("sec-websocket-key").iter().count() > 1 {
        "Sec-WebSocket-Key must stand once"
    } else {
        "a handshake is an HTTP/1.1 request without body, and the first of its connection"
    })
}

async fn broadcast(hub: &Hub, request: Request<Incoming>) -> Answered {
    let body = read_command(hub, request).await?;
    let everybody = RoomName::everybody();
    let message = Unnumbered::new(&Publication::parse(&body)?, &everybody);
    hub.refuse_while_draining()?;
    hub.publish(&everybody, message, None)?;
    accepted(&json!({"connections": hub.connections()}))
}

async fn publish(hub: &Hub, room: &str, request: Request<Incoming>) -> Answered {
    let room = RoomName::new(room);
    let body = read_command(hub, request).await?;
    let room = room.map_err(|bad| HttpError::bad_request(bad.to_string()))?;
    let message = Unnumbered::new(&Publication::parse(&body)?, &room);
    match hub.publish_numbered(&room, message).await? {
        Answer::Published { offset, members } => {
            accepted(&json!({"offset": offset, "members": members}))
        }
        other => unreachable!("a publish is answered with its offset, not with {other:?}"),
    }
}

async fn emit(hub: &Hub, id: &str, request: Request<Incoming>) -> Answered {
    let body = read_command(hub, request).await?;
    let frame = event_frame(&Publication::parse(&body)?);
    ask_connection(hub, id, |conn| Query::Emit(conn, frame)).await
}

async fn kick(hub: &Hub, id: &str, request: &Request<Incoming>) -> Answered {
    allow(request, &[Method::DELETE], "DELETE")?;
    hub.refuse_while_draining()?;
    ask_connection(hub, id, |conn| Query::Close(conn, Disconnect::Kicked)).await
}

async fn ask_connection(hub: &Hub, id: &str, query: impl FnOnce(ConnId) -> Query) -> Answered {
    let unknown = || HttpError::not_found("there is no such connection");
    let conn: ConnId = id.parse().map_err(|_| unknown())?;
    if conn.shard.index() >= hub.shards() {
        return Err(unknown());
    }
    match hub.query(conn.shard, query(conn)).await? {
        Answer::Found(true) => accepted(&json!({})),
        _ => Err(unknown()),
    }
}

/// The body of a POST that changes something.
async fn read_command(hub: &Hub, request: Request<Incoming>) -> Result<String, HttpError> {
    allow(&request, &[Method::POST], "POST")?;
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(HttpError::unsupported_media_type());
    }
    hub.refuse_while_draining()?;
    let body = read_body(hub, request.into_body()).await?;
    String::from_utf8(body.into()).map_err(|_| HttpError::bad_request("the body is not UTF-8"))
}

async fn read_body(hub: &Hub, body: Incoming) -> Result<Bytes, HttpError> {
    let limit = hub.limits().message_bytes;
    if body.size_hint().lower() > limit as u64 {
        return Err(HttpError::too_large(limit));
    }
    let body = Limited::new(body, limit).collect();
    let body = hub.within(BODY_TIMEOUT, body).await.ok_or_else(HttpError::body_timeout)?;
    let body = body.map_err(|error| match error.is::<LengthLimitError>() {
        true => HttpError::too_large(limit),
        false => HttpError::bad_request("the body ended before its end"),
    })?;
    Ok(body.to_bytes())
}

/// As long as a handshake may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn ok(value: &Value) -> Answered {
    Ok(json_response(StatusCode::OK, value))
}

fn accepted(value: &Value) -> Answered {
    Ok(json_response(StatusCode::ACCEPTED, value))
}

fn json_response(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(value.to_string()));
    *response.status_mut() = status;
    let content_type = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}
