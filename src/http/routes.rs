//! Which request is answered how.

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use corecast_shards::{
    Answer, ConnId, Disconnect, Publication, Query, RoomMessage, RoomName, event_frame,
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::{HeaderMap, Method, Request, Response, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::admission::{self, Access};
use super::response::{Answered, accepted, close_behind, ok};
use super::router::{Endpoint, Found, Own};
use super::{
    Backend, EventStream, HttpError, Prepaid, Service, history, path, presence, rooms, stats, users,
};
use crate::program::{
    ApiAccess, ApiRequest, Caller, Handshake, RouteHandler, RouteRequest, finish,
};
use crate::values::RefusalReason;

/// How a request is answered.
pub(super) enum Reply {
    /// In one piece.
    Response(Response<Full<Bytes>>),
    /// For as long as the client listens, by the shard itself.
    Events(EventStream),
}

/// Answers any request that was not a handshake.
pub(super) async fn respond<B: Backend>(
    service: &Service<B>,
    request: Request<Incoming>,
    caller: Caller,
    prepaid: &Prepaid,
) -> Reply {
    let wants_websocket = wants_websocket(request.headers());
    let mut response = match route(service, request, caller, prepaid).await {
        Ok(Reply::Events(stream)) => return Reply::Events(stream),
        Ok(Reply::Response(response)) => response,
        Err(error) => error.into_response(),
    };
    if wants_websocket {
        // A proxy may take any answer to an upgrade for its success, and tunnel what follows.
        close_behind(&mut response);
    }
    Reply::Response(response)
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    let mut tokens =
        headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    tokens.any(|value| value.to_ascii_lowercase().contains("websocket"))
}

async fn route<B: Backend>(
    service: &Service<B>,
    request: Request<Incoming>,
    caller: Caller,
    prepaid: &Prepaid,
) -> Result<Reply, HttpError> {
    let Service { shard, router, program } = service;
    let found = router.find(request.uri().path()).ok_or_else(HttpError::nothing_there)?;
    let (access, api) = (found.access(), || api_request(&request, &found, caller));
    if access == Access::Events
        && shard.rules().api != ApiAccess::Off
        && EventStream::is_preflight(&request)
    {
        return EventStream::preflight(shard, &request).map(Reply::Response);
    }
    if access == Access::Events
        && shard.rules().api != ApiAccess::Off
        && [Method::GET, Method::HEAD].contains(request.method())
        && !prepaid.spend()
        && let Some(answered) = EventStream::pace(shard, caller.client_addr, &request)
    {
        return answered.map(Reply::Response);
    }
    let admission = admission::admit(access, shard.rules(), &**program, &request, api).await?;
    let endpoint = found.enter(&admission, request.method(), &shard.rules().refusals)?;
    let parameter = || found.parameters().first().and_then(|(_, value)| path::decode(value));
    let named = || parameter().ok_or_else(|| HttpError::bad_request("the path is not UTF-8"));
    let own = match endpoint {
        Endpoint::Own(own) => *own,
        Endpoint::Program(handler) => {
            let (handler, parameters) = (Rc::clone(handler), found.parameters());
            return answer_by_program(shard, handler, parameters, request, caller)
                .await
                .map(Reply::Response);
        }
    };
    let answered = match own {
        Own::Home => ok(&home(admission::may_read(shard.rules(), &request))),
        Own::Health => ok(&json!({"status": "ok"})),
        Own::Readiness => readiness(shard),
        Own::Handshake => Err(HttpError::bad_handshake("this path speaks WebSocket, by GET only")),
        Own::Stats => stats::stats(shard).await,
        Own::Rooms => rooms::list(shard, request.uri().query()).await,
        Own::Room => rooms::one(shard, &named()?).await,
        Own::History => history::page(shard, &named()?, request.uri().query()).await,
        Own::Presence => presence::one(shard, &named()?).await,
        Own::Publish => publish(shard, &named()?, request).await,
        Own::Events | Own::EventsOfRooms => {
            let rooms = match own {
                Own::Events => vec![named()?.into_owned()],
                _ => EventStream::rooms(shard, request.uri().query())?,
            };
            if request.method() != Method::HEAD {
                let stream = EventStream::admit(shard, &admission, &rooms, &request);
                return stream.map(Reply::Events);
            }
            EventStream::head(shard, &admission, &rooms, &request)
        }
        Own::Broadcast => broadcast(shard, request).await,
        Own::Emit => emit(shard, parameter().as_deref(), request).await,
        Own::Kick => kick(shard, parameter().as_deref()).await,
        Own::User => users::one(shard, &named()?).await,
        Own::EmitToUser => {
            let user = users::named(&named()?)?;
            users::emit(shard, &user, &read_command(shard, request).await?).await
        }
        Own::KickUser => users::kick(shard, &named()?).await,
        Own::Revoke => users::revoke(shard, &read_command(shard, request).await?).await,
    };
    answered.map(Reply::Response)
}

/// The request as the program's rule of `/v1` sees it.
fn api_request(request: &Request<Incoming>, found: &Found<'_>, caller: Caller) -> ApiRequest {
    let decoded = |value: &str| path::decode(value).unwrap_or_default().into_owned();
    let parameters = found.parameters().iter();
    let parameters = parameters.map(|(name, value)| (name.clone(), decoded(value))).collect();
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let head = Handshake::new(target, request.headers().clone(), caller);
    ApiRequest::new(request.method().clone(), found.path().to_owned(), parameters, head)
}

/// What stands at `/` until the program, or a page, does. The version is for callers that may read
/// the figures, too: to others it would say which faults to try.
fn home(with_version: bool) -> Value {
    let mut home = json!({
        "websocket": "/ws",
        "http": "/v1",
        "health": ["/healthz", "/readyz"],
    });
    if with_version {
        home["corecast"] = env!("CARGO_PKG_VERSION").into();
    }
    home
}

/// Whatever is not the server's own may be the program's.
async fn answer_by_program(
    shard: &impl Backend,
    handler: RouteHandler,
    parameters: &[(String, String)],
    request: Request<Incoming>,
    caller: Caller,
) -> Answered {
    let decoded = |value: &str| percent_decode_str(value).decode_utf8_lossy().into_owned();
    let parameters = parameters.iter().map(|(name, value)| (name.clone(), decoded(value)));
    let parameters = parameters.collect();
    let (head, body) = request.into_parts();
    let body = read_body(shard, body).await?;
    let request = Request::from_parts(head, body.into());
    match finish(handler, RouteRequest { request, caller, parameters }).await {
        Ok(response) => Ok(response.into_response()),
        Err(failure) => {
            tracing::error!("a route failed: {}", failure.log);
            Err(HttpError::route_failed())
        }
    }
}

fn readiness(shard: &impl Backend) -> Answered {
    match shard.is_draining() {
        true => Err(HttpError::draining()),
        false => ok(&json!({"status": "ready"})),
    }
}

async fn broadcast(shard: &impl Backend, request: Request<Incoming>) -> Answered {
    let body = read_command(shard, request).await?;
    let everybody = RoomName::everybody();
    let message = RoomMessage::event(&Publication::parse(&body)?.without_key()?);
    shard.refuse_while_draining()?;
    shard.publish(&everybody, message).map_err(|_| HttpError::overloaded())?;
    accepted(&json!({"connections": shard.connections()}))
}

async fn publish(shard: &impl Backend, room: &str, request: Request<Incoming>) -> Answered {
    let room = RoomName::new(room);
    let body = read_command(shard, request).await?;
    let room = room.map_err(|bad| HttpError::bad_request(bad.to_string()))?;
    let message = RoomMessage::event(&Publication::parse(&body)?);
    shard.refuse_while_draining()?;
    match shard.publish_numbered(&room, message).await? {
        Answer::Published { offset, members, repeated } => {
            let mut published = json!({"offset": offset, "members": members});
            if repeated {
                published["repeated"] = true.into();
            }
            accepted(&published)
        }
        other => unreachable!("a publish is answered with its offset, not with {other:?}"),
    }
}

async fn emit(shard: &impl Backend, id: Option<&str>, request: Request<Incoming>) -> Answered {
    let body = read_command(shard, request).await?;
    let frame = event_frame(&Publication::parse(&body)?.without_key()?);
    let conn = connection(shard, id)?;
    found(shard.emit(conn, frame).await?)
}

async fn kick(shard: &impl Backend, id: Option<&str>) -> Answered {
    shard.refuse_while_draining()?;
    let conn = connection(shard, id)?;
    let answer = shard.query(conn.shard, Query::Close(conn, Disconnect::Kicked.into())).await?;
    found(matches!(answer, Answer::Found(true)))
}

/// The connection that a path names; whether it is still there, its shard knows.
fn connection(shard: &impl Backend, id: Option<&str>) -> Result<ConnId, HttpError> {
    let conn: Option<ConnId> = id.and_then(|id| id.parse().ok());
    conn.filter(|conn| conn.shard.index() < shard.shards()).ok_or_else(HttpError::no_connection)
}

fn found(found: bool) -> Answered {
    if found { accepted(&json!({})) } else { Err(HttpError::no_connection()) }
}

/// The body of a POST that changes something.
async fn read_command(
    shard: &impl Backend,
    request: Request<Incoming>,
) -> Result<String, HttpError> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = content_type.split(';').next().unwrap_or("").trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(HttpError::unsupported_media_type());
    }
    shard.refuse_while_draining()?;
    let body = read_body(shard, request.into_body()).await?;
    String::from_utf8(body).map_err(|_| HttpError::bad_request("the body is not UTF-8"))
}

async fn read_body(shard: &impl Backend, body: Incoming) -> Result<Vec<u8>, HttpError> {
    let limit = shard.limits().message_bytes;
    shard.refuse_bodies_while_short()?;
    if body.size_hint().lower() > limit as u64 {
        return Err(HttpError::too_large(limit));
    }
    in_time(shard, collect_body(shard, Limited::new(body, limit))).await?
}

/// Gathers a body piece by piece. Memory may become short between any two of them: thousands of bodies
/// that are each within their limit arrive in less time than a drain is looked for.
async fn collect_body(
    shard: &impl Backend,
    mut body: Limited<Incoming>,
) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
            true => HttpError::too_large(shard.limits().message_bytes),
            false => HttpError::bad_request("the body ended before its end"),
        })?;
        shard.refuse_bodies_while_short()?;
        if let Ok(piece) = frame.into_data() {
            bytes.extend_from_slice(&piece);
        }
    }
    Ok(bytes)
}

/// Waits for a body, and not while the server is going away: a request that is not there as a whole
/// then was not accepted.
async fn in_time<T>(shard: &impl Backend, body: impl Future<Output = T>) -> Result<T, HttpError> {
    let mut body = pin!(body);
    let mut left = shard.limits().body_timeout;
    while !left.is_zero() {
        let step = left.min(BODY_STEP);
        if let Some(body) = shard.within(step, body.as_mut()).await {
            return Ok(body);
        }
        shard.refuse_while_draining()?;
        shard.refuse_bodies_while_short()?;
        left -= step;
    }
    shard.rules().refusals.count(RefusalReason::Body);
    Err(HttpError::body_timeout())
}

/// A drain that begins while a body is waited for is noticed within this time.
const BODY_STEP: Duration = Duration::from_secs(1);
