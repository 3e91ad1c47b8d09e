//! Which request is answered how.

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use corecast_shards::{
    Answer, ConnId, Disconnect, Publication, Query, RoomMessage, RoomName, event_frame,
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::{HeaderMap, Request, Response, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::router::{Endpoint, Own};
use super::{EventStream, HttpError, access, path, rooms, stats};
use crate::handler::{Handler, finish};
use crate::route::{HttpRequest, RouteResult};
use crate::runtime::Hub;

/// How a request is answered.
pub(crate) enum Reply {
    /// In one piece.
    Response(Response<Full<Bytes>>),
    /// For as long as the client listens, by the shard itself.
    Events(EventStream),
}

type Answered = Result<Response<Full<Bytes>>, HttpError>;

/// Answers any request that was not a handshake.
pub(crate) async fn respond(
    hub: &Hub,
    request: Request<Incoming>,
    remote_addr: SocketAddr,
) -> Reply {
    let wants_websocket = wants_websocket(request.headers());
    let mut response = match route(hub, request, remote_addr).await {
        Ok(Reply::Events(stream)) => return Reply::Events(stream),
        Ok(Reply::Response(response)) => response,
        Err(error) => error.into_response(),
    };
    if wants_websocket {
        // A proxy may take any answer to an upgrade for its success, and tunnel what follows.
        let close = header::HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    Reply::Response(response)
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    let mut tokens =
        headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    tokens.any(|value| value.to_ascii_lowercase().contains("websocket"))
}

async fn route(
    hub: &Hub,
    request: Request<Incoming>,
    remote_addr: SocketAddr,
) -> Result<Reply, HttpError> {
    let found = hub.router().find(request.uri().path()).ok_or_else(HttpError::nothing_there)?;
    let admission = access::admit(hub, &found, &request, remote_addr).await?;
    let endpoint = found.enter(admission, request.method())?;
    let parameter = || found.parameters().first().and_then(|(_, value)| path::decode(value));
    let room = || parameter().ok_or_else(|| HttpError::bad_request("the path is not UTF-8"));
    let own = match endpoint {
        Endpoint::Own(own) => *own,
        Endpoint::Program(handler) => {
            let (handler, parameters) = (Rc::clone(handler), found.parameters());
            return answer_by_program(hub, handler, parameters, request).await.map(Reply::Response);
        }
    };
    let answered = match own {
        Own::Home => ok(&home()),
        Own::Health => ok(&json!({"status": "ok"})),
        Own::Readiness => readiness(hub),
        Own::Handshake => Err(HttpError::bad_handshake("this path speaks WebSocket, by GET only")),
        Own::Stats => stats::stats(hub).await,
        Own::Rooms => rooms::list(hub, request.uri().query()).await,
        Own::Room => rooms::one(hub, &room()?).await,
        Own::Publish => publish(hub, &room()?, request).await,
        Own::Events => {
            return EventStream::admit(hub, admission, &room()?, &request).map(Reply::Events);
        }
        Own::Broadcast => broadcast(hub, request).await,
        Own::Emit => emit(hub, parameter().as_deref(), request).await,
        Own::Kick => kick(hub, parameter().as_deref()).await,
    };
    answered.map(Reply::Response)
}

/// What stands at `/` until the program, or a page, does.
fn home() -> Value {
    json!({
        "corecast": env!("CARGO_PKG_VERSION"),
        "websocket": "/ws",
        "http": "/v1",
        "health": ["/healthz", "/readyz"],
    })
}

/// Whatever is not the server's own may be the program's.
async fn answer_by_program(
    hub: &Hub,
    handler: Handler<HttpRequest, RouteResult>,
    parameters: &[(String, String)],
    request: Request<Incoming>,
) -> Answered {
    let decoded = |value: &str| percent_decode_str(value).decode_utf8_lossy().into_owned();
    let parameters = parameters.iter().map(|(name, value)| (name.clone(), decoded(value)));
    let (head, body) = request.into_parts();
    let body = read_body(hub, body).await?;
    let request = Request::from_parts(head, body);
    let request = HttpRequest::new(request, parameters.collect(), hub.broadcaster());
    match finish(handler, request).await {
        Ok(response) => Ok(response.into_response()),
        Err(failure) => {
            tracing::error!("a route failed: {}", failure.log);
            Err(HttpError::route_failed())
        }
    }
}

fn readiness(hub: &Hub) -> Answered {
    match hub.is_draining() {
        true => Err(HttpError::draining()),
        false => ok(&json!({"status": "ready"})),
    }
}

async fn broadcast(hub: &Hub, request: Request<Incoming>) -> Answered {
    let body = read_command(hub, request).await?;
    let everybody = RoomName::everybody();
    let message = RoomMessage::event(&Publication::parse(&body)?);
    hub.refuse_while_draining()?;
    hub.publish(&everybody, message, None).map_err(|_| HttpError::overloaded())?;
    accepted(&json!({"connections": hub.connections()}))
}

async fn publish(hub: &Hub, room: &str, request: Request<Incoming>) -> Answered {
    let room = RoomName::new(room);
    let body = read_command(hub, request).await?;
    let room = room.map_err(|bad| HttpError::bad_request(bad.to_string()))?;
    let message = RoomMessage::event(&Publication::parse(&body)?);
    match hub.publish_numbered(&room, message).await? {
        Answer::Published { offset, members } => {
            accepted(&json!({"offset": offset, "members": members}))
        }
        other => unreachable!("a publish is answered with its offset, not with {other:?}"),
    }
}

async fn emit(hub: &Hub, id: Option<&str>, request: Request<Incoming>) -> Answered {
    let body = read_command(hub, request).await?;
    let frame = event_frame(&Publication::parse(&body)?);
    let conn = connection(hub, id)?;
    found(hub.emit_to(conn, frame).await?)
}

async fn kick(hub: &Hub, id: Option<&str>) -> Answered {
    hub.refuse_while_draining()?;
    let conn = connection(hub, id)?;
    let answer = hub.query(conn.shard, Query::Close(conn, Disconnect::Kicked.into())).await?;
    found(matches!(answer, Answer::Found(true)))
}

/// The connection that a path names; whether it is still there, its shard knows.
fn connection(hub: &Hub, id: Option<&str>) -> Result<ConnId, HttpError> {
    let conn: Option<ConnId> = id.and_then(|id| id.parse().ok());
    conn.filter(|conn| conn.shard.index() < hub.shards()).ok_or_else(no_connection)
}

fn found(found: bool) -> Answered {
    if found { accepted(&json!({})) } else { Err(no_connection()) }
}

fn no_connection() -> HttpError {
    HttpError::not_found("there is no such connection")
}

/// The body of a POST that changes something.
async fn read_command(hub: &Hub, request: Request<Incoming>) -> Result<String, HttpError> {
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
    let body = in_time(hub, body).await?.map_err(|error| match error.is::<LengthLimitError>() {
        true => HttpError::too_large(limit),
        false => HttpError::bad_request("the body ended before its end"),
    })?;
    Ok(body.to_bytes())
}

/// Waits for a body as long as for a handshake, and not while the server is going away: a request
/// that is not there as a whole then was not accepted.
async fn in_time<T>(hub: &Hub, body: impl Future<Output = T>) -> Result<T, HttpError> {
    let mut body = pin!(body);
    for _ in 0..BODY_SECONDS_MAX {
        if let Some(body) = hub.within(Duration::from_secs(1), body.as_mut()).await {
            return Ok(body);
        }
        hub.refuse_while_draining()?;
    }
    Err(HttpError::body_timeout())
}

const BODY_SECONDS_MAX: usize = 10;

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
