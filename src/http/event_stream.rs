//! Who may read the events of rooms, and how the answer begins.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use corecast_shards::{Format, Identity, Listening, Permission, RoomName};
use http_body_util::Full;
use httpdate::HttpDate;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Version};

use super::admission::{Admission, AdmittedAs, host_of};
use super::few::Few;
use super::response::{Answered, close_behind};
use super::tokens::BadToken;
use super::{Backend, HttpError, NotOpened};
use crate::values::{parameter, parameters};

/// A request for the messages of rooms as Server-Sent Events (HTML Living Standard section 9.2),
/// which the shard answers for as long as the client listens.
#[derive(Debug)]
pub(crate) struct EventStream {
    pub(crate) listening: Listening,
    /// What is known of who asks: until when the stream may last, above all.
    pub(crate) identity: Option<Arc<Identity>>,
    /// How the answer begins: its head, and the chunk that says after how long to come back.
    pub(crate) begin: Vec<u8>,
    /// After how many milliseconds to come back, as `begin` says.
    retry_ms: u16,
    /// Whether an `EventSource` asks, which says so in `Accept`.
    by_event_source: bool,
}

/// What was found out about a request for the events of rooms that may be answered.
struct Admitted<'a> {
    listening: Listening,
    identity: Option<Arc<Identity>>,
    /// The origin of the page that asks.
    origin: Option<&'a HeaderValue>,
    by_event_source: bool,
}

/// A client whose stream has ended comes back after so many milliseconds, each client after another
/// time, so that a restart is not followed by a stampede.
const RETRY_MS_MIN: u16 = 2_000;
const RETRY_MS_SPREAD: u16 = 3_000;

impl EventStream {
    /// Answers what a browser asks before the request of a page that adds header fields of its own, as
    /// an `EventSource` of a library does once it comes back (Fetch Standard section 4.8): it has no
    /// credentials, and says nothing of the room.
    pub(super) fn preflight(shard: &impl Backend, request: &Request<Incoming>) -> Answered {
        shard.rules().admit_host(host_of(request))?;
        let origin = admit_origin(shard, request)?;
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        let allowed = PREFLIGHT.map(|(name, value)| (name, HeaderValue::from_static(value)));
        for (name, value) in of_page(origin).into_iter().chain(allowed) {
            response.headers_mut().append(name, value);
        }
        Ok(response)
    }

    /// Whether a request is such a question.
    pub(super) fn is_preflight(request: &Request<Incoming>) -> bool {
        let has = |name: HeaderName| request.headers().contains_key(name);
        request.method() == Method::OPTIONS && has(ORIGIN) && has(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The answer to a client that has asked for too many streams, before anything that costs more;
    /// none for one that may ask.
    pub(super) fn pace(
        shard: &impl Backend,
        client: IpAddr,
        request: &Request<Incoming>,
    ) -> Option<Answered> {
        let wait = shard.admit_handshake(client).err()?;
        if request.method() == Method::HEAD || !names_event_streams(request.headers()) {
            let mut response = HttpError::too_many_handshakes(wait).into_response();
            close_behind(&mut response);
            return Some(Ok(response));
        }
        // As `refusal` says it, in an answer of the ordinary kind.
        let origin = match admit_origin(shard, request) {
            Ok(origin) => origin,
            Err(refused) => return Some(Err(refused)),
        };
        let ms = retry_ms();
        let text = format!("retry: {ms}\n\n: rate retry={ms}\n\n");
        let mut response = Response::new(Full::from(text));
        add_fields(&mut response, origin);
        Some(Ok(response))
    }

    /// The rooms that a query names, each once, if these are as many as a stream may be of.
    pub(super) fn rooms(
        shard: &impl Backend,
        query: Option<&str>,
    ) -> Result<Vec<String>, HttpError> {
        let most = shard.limits().rooms_per_connection.min(Listening::ROOMS_MAX);
        let mut known = HashSet::new();
        let named = parameters(query, "room").filter(|room| known.insert(room.clone()));
        let rooms: Vec<String> = named.take(most + 1).collect();
        if rooms.is_empty() {
            return Err(HttpError::bad_request("which rooms? /v1/events?room=a&room=b names two"));
        }
        if rooms.len() > most {
            return Err(HttpError::too_many_rooms(most));
        }
        Ok(rooms)
    }

    /// Judges a GET that may use `/v1`.
    pub(super) fn admit(
        shard: &impl Backend,
        admission: &Admission,
        rooms: &[String],
        request: &Request<Incoming>,
    ) -> Result<EventStream, HttpError> {
        let Admitted { listening, identity, origin, by_event_source } =
            Admitted::judge(shard, admission, rooms, request)?;
        let retry_ms = retry_ms();
        let begin = begin(&fields(origin), retry_ms);
        Ok(EventStream { listening, identity, begin, retry_ms, by_event_source })
    }

    /// Answers HEAD with the status and the header fields that GET is answered with, but for
    /// `Transfer-Encoding` (RFC 9110 section 9.3.2; RFC 9112 section 6.1). It takes no connection
    /// and joins no room.
    pub(super) fn head(
        shard: &impl Backend,
        admission: &Admission,
        rooms: &[String],
        request: &Request<Incoming>,
    ) -> Answered {
        let admitted = Admitted::judge(shard, admission, rooms, request)?;
        if !admitted.by_event_source && !shard.has_free_connection() {
            return Err(HttpError::capacity(shard.limits().connections));
        }
        let mut response = Response::default();
        add_fields(&mut response, admitted.origin);
        Ok(response)
    }

    /// How an `EventSource` hears that it cannot be served now, for this reason, and after how long
    /// to come back. Behind any status but 200 it would never come back (HTML Living Standard
    /// section 9.2.3); so it gets a stream that ends at once.
    pub(crate) fn refusal(&self, reason: &str) -> Option<Vec<u8>> {
        let comment = format!(": {reason} retry={}\n\n", self.retry_ms);
        let comment = Format::chunk(comment.as_bytes());
        self.by_event_source.then(|| [&self.begin[..], &comment, b"0\r\n\r\n"].concat())
    }
}

impl<'a> Admitted<'a> {
    fn judge(
        shard: &impl Backend,
        admission: &Admission,
        rooms: &[String],
        request: &'a Request<Incoming>,
    ) -> Result<Admitted<'a>, HttpError> {
        let origin = admit_origin(shard, request)?;
        let identity = admit_caller(shard, admission.admitted_as(), rooms)?;
        let rooms: Result<Vec<RoomName>, _> =
            rooms.iter().map(|room| RoomName::new(room)).collect();
        let rooms = rooms.map_err(|bad| HttpError::bad_request(bad.to_string()))?;
        if request.version() != Version::HTTP_11 {
            return Err(HttpError::http_11_required());
        }
        let by_event_source = names_event_streams(request.headers());
        if !by_event_source {
            shard.refuse_while_draining()?;
        }
        let listening = Listening::to_rooms(rooms, last_event_id(request).as_deref());
        let listening = listening.ok_or_else(|| HttpError::too_many_rooms(Listening::ROOMS_MAX))?;
        Ok(Admitted { listening, identity, origin, by_event_source })
    }
}

/// What is known of a caller that may join these rooms.
fn admit_caller(
    shard: &impl Backend,
    caller: &AdmittedAs,
    rooms: &[String],
) -> Result<Option<Arc<Identity>>, HttpError> {
    match caller {
        AdmittedAs::Key(_) | AdmittedAs::Program => Ok(None),
        AdmittedAs::Unknown if anonymous_join(shard) == Permission::Allowed => Ok(None),
        AdmittedAs::Unknown => Err(HttpError::forbidden(
            "a caller that brings no API key may not join rooms here, and so may not read one",
        )),
        AdmittedAs::Token(_) if shard.rules().program_authorizes => Err(HttpError::forbidden(
            "what a token allows is decided here when a WebSocket connects, which a request for \
             events does not: connect to /ws, or bring an API key",
        )),
        AdmittedAs::Token(claims) => {
            let opening = shard.opening(claims).map_err(|why| match why {
                NotOpened::BadClaim(words) => shard.rules().refuse(&BadToken::Claim(words.into())),
                NotOpened::Revoked => HttpError::revoked(),
                NotOpened::Closed => HttpError::draining(),
            })?;
            // Where the program decides about each join, it is not asked here, and this is none.
            match &opening.permissions.join {
                Permission::Within(names) if rooms.iter().all(|room| names.contains(room)) => {
                    Ok(opening.identity)
                }
                _ => Err(HttpError::forbidden(match rooms {
                    [_] => "the token does not allow this room to be joined",
                    _ => "the token does not allow all of these rooms to be joined",
                })),
            }
        }
    }
}

/// What a page of an admitted origin may send, and for how many seconds it need not ask again. `Accept`
/// needs no permission.
const PREFLIGHT: [Field<&str>; 3] = [
    ("Access-Control-Allow-Methods", "GET, HEAD"),
    ("Access-Control-Allow-Headers", "authorization, cache-control, last-event-id"),
    ("Access-Control-Max-Age", "7200"),
];

/// Whether `Accept` names event streams (RFC 9110 section 12.5.1), as that of an `EventSource` does.
/// A range of types that has them among others, such as `*/*`, names none.
fn names_event_streams(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(ACCEPT).iter().filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_named =
            parts.next().is_some_and(|name| name.eq_ignore_ascii_case("text/event-stream"));
        is_named && !parts.any(is_zero_weight)
    })
}

/// The id of the last event that the client was sent before, if it says so. An `EventSource` that comes
/// back does so in a header field, and always asks for the same URL; so the field is newer. The
/// parameter is for a page that has kept the id: it cannot set the field.
///
/// Several fields, such as a proxy makes of one, are a list (RFC 9110 section 5.2), and that is no id
/// of ours: which of them is the newest cannot be known.
fn last_event_id(request: &Request<Incoming>) -> Option<String> {
    let fields = request.headers().get_all("last-event-id").iter().map(HeaderValue::as_bytes);
    let ids: Vec<&[u8]> = fields.filter(|id| !id.is_empty()).collect();
    if ids.is_empty() {
        return parameter(request.uri().query(), "last_event_id");
    }
    // What is no UTF-8 is no id of ours, and stays none.
    Some(String::from_utf8_lossy(&ids.join(&b", "[..])).into_owned())
}

/// `q=0`: this type is not acceptable (RFC 9110 section 12.4.2).
fn is_zero_weight(parameter: &str) -> bool {
    let weight = parameter.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("q"));
    weight.is_some_and(|(_, value)| value.parse::<f32>() == Ok(0.0))
}

/// Whether a caller without credentials may join rooms: as over a WebSocket. Where a hook of the
/// program decides about handshakes it may not, because a request for events is none.
fn anonymous_join(shard: &impl Backend) -> Permission {
    let rules = shard.rules();
    match rules.program_authorizes {
        true => Permission::Forbidden,
        false => rules.anonymous.restrict(shard.permissions().clone()).join,
    }
}

/// The origin of the page that asks, if it may. As with handshakes, what is no browser sends none. Nor
/// does a browser for what its page will not read, such as an image; but it says that the page is of
/// another site.
fn admit_origin<'a>(
    shard: &impl Backend,
    request: &'a Request<Incoming>,
) -> Result<Option<&'a HeaderValue>, HttpError> {
    let origins = request.headers().get_all(ORIGIN);
    let few: Few<'_> = origins.iter().map(HeaderValue::as_bytes).collect();
    let host = host_of(request).ok_or_else(HttpError::bad_host);
    if !few.is_empty() {
        shard.rules().admit_origin(&few, host?)?;
    } else if is_of_another_site(request.headers()) {
        return Err(shard.rules().refuse_origin());
    }
    Ok(origins.iter().next())
}

/// Whether a browser says that a page of another site asks (Fetch Metadata section 2.3).
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let is = |value: &HeaderValue| {
        let value = value.as_bytes().trim_ascii();
        [&b"cross-site"[..], b"same-site"].iter().any(|site| value.eq_ignore_ascii_case(site))
    };
    headers.get_all("sec-fetch-site").iter().any(is)
}

/// A header field.
type Field<Value = HeaderValue> = (&'static str, Value);

/// Proxies are to pass every event on at once and to keep none. The connection serves no further
/// request.
fn fields(origin: Option<&HeaderValue>) -> Vec<Field> {
    let of_all = [
        ("Content-Type", "text/event-stream"),
        ("Cache-Control", "no-store"),
        ("X-Accel-Buffering", "no"),
        ("Connection", "close"),
    ];
    let fixed = |(name, value)| (name, HeaderValue::from_static(value));
    of_all.map(fixed).into_iter().chain(of_page(origin)).collect()
}

/// A page of another origin may read what it was let in for (Fetch Standard section 3.2); with
/// credentials, as over a WebSocket.
fn of_page(origin: Option<&HeaderValue>) -> Vec<Field> {
    let Some(origin) = origin else { return Vec::new() };
    let fixed = HeaderValue::from_static;
    vec![
        ("Access-Control-Allow-Origin", origin.clone()),
        ("Access-Control-Allow-Credentials", fixed("true")),
        ("Vary", fixed("Origin")),
    ]
}

fn add_fields(response: &mut Response<Full<Bytes>>, origin: Option<&HeaderValue>) {
    for (name, value) in fields(origin) {
        response.headers_mut().append(name, value);
    }
}

/// The head with these fields and the present date, and the chunk that says after how long to come
/// back.
fn begin(fields: &[Field], retry_ms: u16) -> Vec<u8> {
    let date = HttpDate::from(SystemTime::now());
    let mut begin = format!("HTTP/1.1 200 OK\r\nDate: {date}\r\n").into_bytes();
    for (name, value) in fields {
        begin.extend([name.as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    begin.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    begin.extend_from_slice(&Format::chunk(format!("retry: {retry_ms}\n\n").as_bytes()));
    begin
}

fn retry_ms() -> u16 {
    let mut random = [0; 2];
    // Without chance all come back at once, but they do come back.
    let _ = getrandom::fill(&mut random);
    RETRY_MS_MIN + u16::from_le_bytes(random) % RETRY_MS_SPREAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_begins_with_a_head_and_one_chunk() {
        let text = String::from_utf8(begin(&fields(None), 2345)).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert_eq!(body, "d\r\nretry: 2345\n\n\r\n");
        let mut lines = head.lines().skip(1);
        let date = lines.next().and_then(|line| line.strip_prefix("Date: "));
        assert!(httpdate::parse_http_date(date.expect("it comes first")).is_ok(), "{date:?}");
        assert_eq!(
            lines.collect::<Vec<_>>(),
            [
                "Content-Type: text/event-stream",
                "Cache-Control: no-store",
                "X-Accel-Buffering: no",
                "Connection: close",
                "Transfer-Encoding: chunked",
            ]
        );
    }

    #[test]
    fn a_page_that_was_let_in_may_read() {
        let origin = HeaderValue::from_static("https://a.example");
        let text = String::from_utf8(begin(&fields(Some(&origin)), 2345)).expect("ASCII");
        assert!(text.contains("\r\nAccess-Control-Allow-Origin: https://a.example\r\n"), "{text}");
        assert!(text.contains("\r\nVary: Origin\r\n"), "{text}");
    }

    #[test]
    fn clients_come_back_at_different_times() {
        let times: std::collections::BTreeSet<_> = (0..100).map(|_| retry_ms()).collect();
        assert!(times.len() > 10, "{times:?}");
        assert!(times.iter().all(|ms| (2_000..5_000).contains(ms)), "{times:?}");
    }
}
