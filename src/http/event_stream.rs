//! Who may read the events of a room, and how the answer begins.

use corecast_shards::{Format, Permission, RoomName};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, HeaderValue, ORIGIN};
use hyper::{Request, Version};

use super::admission::{Admission, host_of};
use super::fields::Few;
use super::{Backend, HttpError};

/// A request for the messages of one room as Server-Sent Events (HTML Living Standard section 9.2),
/// which the shard answers for as long as the client listens.
#[derive(Debug)]
pub(crate) struct EventStream {
    pub(crate) room: RoomName,
    /// How the answer begins: its head, and the chunk that says after how long to come back.
    pub(crate) begin: Vec<u8>,
    /// Whether an `EventSource` asks, which says so in `Accept`.
    by_event_source: bool,
}

/// A client whose stream has ended comes back after so many milliseconds, each client after another
/// time, so that a restart is not followed by a stampede.
const RETRY_MS_MIN: u16 = 2_000;
const RETRY_MS_SPREAD: u16 = 3_000;

impl EventStream {
    /// Judges a request that may use `/v1`.
    pub(super) fn admit(
        shard: &impl Backend,
        admission: Admission,
        room: &str,
        request: &Request<Incoming>,
    ) -> Result<EventStream, HttpError> {
        let origin = admit_origin(shard, request)?;
        if !admission.is_known() && anonymous_join(shard) != Permission::Allowed {
            return Err(HttpError::forbidden(
                "a caller that brings no API key may not join rooms here, and so may not read one",
            ));
        }
        let room = RoomName::new(room).map_err(|bad| HttpError::bad_request(bad.to_string()))?;
        if request.version() != Version::HTTP_11 {
            return Err(HttpError::http_11_required());
        }
        let accepts = request.headers().get_all(ACCEPT).iter();
        let by_event_source = accepts.into_iter().any(|value| value == "text/event-stream");
        if !by_event_source {
            shard.refuse_while_draining()?;
        }
        Ok(EventStream { room, begin: begin(origin, retry_ms()), by_event_source })
    }

    /// How an `EventSource` hears that it cannot be served now, for this reason. Behind any status
    /// but 200 it would never come back (HTML Living Standard section 9.2.3); so it gets a stream
    /// that ends at once.
    pub(crate) fn refusal(&self, reason: &str) -> Option<Vec<u8>> {
        let comment = Format::chunk(format!(": {reason}\n\n").as_bytes());
        self.by_event_source.then(|| [&self.begin[..], &comment, b"0\r\n\r\n"].concat())
    }
}

/// Whether a caller without credentials may join rooms: as over a WebSocket. Where a hook of the
/// program decides about handshakes it may not, because a request for events is none.
fn anonymous_join(shard: &impl Backend) -> Permission {
    let rules = shard.rules();
    match rules.program_authorizes {
        true => Permission::Forbidden,
        false => rules.anonymous.restrict(shard.permissions()).join,
    }
}

/// The origin of the page that asks, if it may. As with handshakes, what is no browser sends none.
fn admit_origin<'a>(
    shard: &impl Backend,
    request: &'a Request<Incoming>,
) -> Result<Option<&'a HeaderValue>, HttpError> {
    let origins = request.headers().get_all(ORIGIN);
    let few: Few<'_> = origins.iter().map(HeaderValue::as_bytes).collect();
    let host = host_of(request).ok_or_else(HttpError::bad_host);
    if !few.is_empty() {
        shard.rules().admit_origin(&few, host?)?;
    }
    Ok(origins.iter().next())
}

/// Proxies are to pass every event on at once and to keep none. The connection serves no further
/// request. A page of another origin may read what it was let in for (Fetch Standard section 3.2);
/// with credentials, as over a WebSocket.
fn begin(origin: Option<&HeaderValue>, retry_ms: u16) -> Vec<u8> {
    let mut begin = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
        Cache-Control: no-store\r\nX-Accel-Buffering: no\r\nConnection: close\r\n"
        .to_vec();
    if let Some(origin) = origin {
        begin.extend_from_slice(b"Access-Control-Allow-Origin: ");
        begin.extend_from_slice(origin.as_bytes());
        begin.extend_from_slice(b"\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n");
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
        let text = String::from_utf8(begin(None, 2345)).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert_eq!(body, "d\r\nretry: 2345\n\n\r\n");
        let fields: Vec<_> = head.lines().skip(1).collect();
        assert_eq!(
            fields,
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
        let text = String::from_utf8(begin(Some(&origin), 2345)).expect("ASCII");
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
