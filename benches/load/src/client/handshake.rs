//! The upgrade request and its answer (RFC 6455 section 4.1), and the request for events.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::{Digest, Sha1};

use super::agreement;
use crate::setup::args::{EXTENSIONS, value_of};
use crate::setup::plan::Plan;
use crate::setup::template::{Fill, MessageTemplate};

/// What the handshakes of a run have in common.
#[derive(Debug)]
pub(crate) struct ClientHandshake {
    path: MessageTemplate,
    /// What follows the path.
    rest: MessageTemplate,
    accept: String,
    /// The lines of a request that is no upgrade.
    lines: MessageTemplate,
    /// The path has parameters.
    has_query: bool,
    /// Nothing but the root of the server was asked for.
    is_root: bool,
    /// Compression is offered, and has to be agreed to.
    is_compressed: bool,
}

/// What the bytes of an answer amount to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// More will come.
    Partial,
    /// It is what was asked for; frames or chunks begin after so many bytes.
    Upgraded(usize),
    Refused(String),
}

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const HEAD_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;

impl ClientHandshake {
    /// Of members. Publishers offer no compression.
    pub(crate) fn new(plan: &Plan, nonce: &[u8]) -> Self {
        Self::with(plan, nonce, plan.common.deflate)
    }

    pub(crate) fn of_publishers(plan: &Plan, nonce: &[u8]) -> Self {
        Self::with(plan, nonce, false)
    }

    fn with(plan: &Plan, nonce: &[u8], is_compressed: bool) -> Self {
        let given = &plan.common.header;
        let ours = [
            ("Host", plan.target.authority.clone()),
            ("Upgrade", "websocket".to_owned()),
            ("Connection", "Upgrade".to_owned()),
            (KEY, BASE64.encode(nonce)),
            ("Sec-WebSocket-Version", "13".to_owned()),
        ];
        // What was given takes the place of what is ours.
        let ours = ours.into_iter().filter(|(name, _)| value_of(given, name).is_none());
        let offer = is_compressed.then_some((EXTENSIONS, agreement::OFFER.to_owned()));
        let ours = ours.chain(offer).map(|(name, value)| format!("{name}: {value}"));
        let ours: Vec<_> = ours.collect();
        let key = value_of(&ours, KEY).or_else(|| value_of(given, KEY)).unwrap_or_default();
        let (path, accept) = (&plan.target.path, accept(key));
        let host = ours.iter().filter(|line| line.starts_with("Host:"));
        let first = "HTTP/1.1".to_owned();
        Self {
            path: plan.path.clone(),
            rest: lines([&first].into_iter().chain(&ours), &plan.headers),
            accept,
            lines: lines(host, &plan.headers),
            has_query: path.contains('?'),
            is_root: path == "/",
            is_compressed,
        }
    }

    /// Asks for an upgrade.
    pub(crate) fn request(&self, fill: &Fill<'_>) -> Vec<u8> {
        let mut request = b"GET ".to_vec();
        self.path.render_path(&mut request, fill);
        request.push(b' ');
        self.rest.render(&mut request, fill);
        request
    }

    /// Asks for an upgrade that joins the room.
    pub(crate) fn placed_request(&self, fill: &Fill<'_>) -> Vec<u8> {
        let mut request = b"GET ".to_vec();
        self.path.render_path(&mut request, fill);
        let behind = if self.has_query { '&' } else { '?' };
        let room = utf8_percent_encode(fill.room, NON_ALPHANUMERIC);
        request.extend_from_slice(format!("{behind}room={room} ").as_bytes());
        self.rest.render(&mut request, fill);
        request
    }

    /// Asks for the events of the room.
    pub(crate) fn events_request(&self, fill: &Fill<'_>) -> Vec<u8> {
        let room = utf8_percent_encode(fill.room, NON_ALPHANUMERIC);
        let accept = "Accept: text/event-stream";
        let first = format!("GET /v1/rooms/{room}/events HTTP/1.1\r\n{accept}\r\n");
        let mut request = first.into_bytes();
        self.lines.render(&mut request, fill);
        request
    }

    pub(crate) fn read(&self, bytes: &[u8]) -> Answer {
        read(bytes, |response, used| self.judge(response, used))
    }

    /// The same for the request for events.
    pub(crate) fn read_events(&self, bytes: &[u8]) -> Answer {
        read(bytes, judge_events)
    }

    fn judge(&self, response: &httparse::Response<'_, '_>, used: usize) -> Answer {
        let status = response.code.unwrap_or_default();
        if status != 101 {
            let reason = response.reason.unwrap_or_default();
            let refused = format!("upgrade refused with {status} {reason}").trim_end().to_owned();
            return Answer::Refused(match (status, self.is_root) {
                (200 | 404, true) => refused + "; the address has no path: corecast serves /ws",
                _ => refused,
            });
        }
        let says = |name: &str, token: &str| {
            let mut headers = response.headers.iter();
            headers.any(|header| {
                let mut tokens = header.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                header.name.eq_ignore_ascii_case(name)
                    && tokens.any(|it| it.eq_ignore_ascii_case(token.as_bytes()))
            })
        };
        if !says("upgrade", "websocket") || !says("connection", "upgrade") {
            return Answer::Refused(
                "101 without Upgrade: websocket, Connection: Upgrade".to_owned(),
            );
        }
        let accepts = |header: &httparse::Header<'_>| {
            header.name.eq_ignore_ascii_case("sec-websocket-accept")
                && header.value.trim_ascii() == self.accept.as_bytes()
        };
        if !response.headers.iter().any(accepts) {
            return Answer::Refused("wrong Sec-WebSocket-Accept".to_owned());
        }
        match self.is_compressed.then(|| disagreement(response)).flatten() {
            Some(why) => Answer::Refused(why),
            None => Answer::Upgraded(used),
        }
    }
}

/// Lines of ours, those that were given, and the end of all.
fn lines<'a>(ours: impl Iterator<Item = &'a String>, given: &[MessageTemplate]) -> MessageTemplate {
    let text = |text: &str| MessageTemplate::text(text.to_owned());
    let ours = ours.map(|line| text(&format!("{line}\r\n")));
    let given = given.iter().flat_map(|line| [line.clone(), text("\r\n")]);
    MessageTemplate::concat(ours.chain(given).chain([text("\r\n")]))
}

/// Why the answer to the offer of compression is refused, if it is.
fn disagreement(response: &httparse::Response<'_, '_>) -> Option<String> {
    let headers = response.headers.iter();
    let values = headers.filter(|header| header.name.eq_ignore_ascii_case(EXTENSIONS));
    agreement::refusal(values.map(|header| header.value))
}

fn read(bytes: &[u8], judge: impl Fn(&httparse::Response<'_, '_>, usize) -> Answer) -> Answer {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => match judge(&response, used) {
            Answer::Refused(why) => Answer::Refused(why + &said(&bytes[used..])),
            answer => answer,
        },
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_MAX => Answer::Partial,
        _ => Answer::Refused("the answer to the request is not HTTP".to_owned()),
    }
}

/// A stream without chunks would end with its connection, which could not be told from a cut.
fn judge_events(response: &httparse::Response<'_, '_>, used: usize) -> Answer {
    let status = response.code.unwrap_or_default();
    let has = |name: &str, value: &[u8]| {
        let mut headers = response.headers.iter();
        headers.any(|header| header.name.eq_ignore_ascii_case(name) && header.value == value)
    };
    let is_stream = has("content-type", b"text/event-stream");
    match (status, is_stream && has("transfer-encoding", b"chunked")) {
        (200, true) => Answer::Upgraded(used),
        (200, false) => Answer::Refused("the answer is no event stream in chunks".to_owned()),
        _ => Answer::Refused(format!("the request for events was refused with {status}")),
    }
}

const KEY: &str = "Sec-WebSocket-Key";

fn accept(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(GUID);
    BASE64.encode(hash.finalize())
}

/// The words of an error of corecast's, as far as they have arrived.
fn said(body: &[u8]) -> String {
    let error: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = error.as_ref().and_then(|error| error["error"]["message"].as_str());
    message.map_or_else(String::new, |message| format!(": {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_answer_upgrades() {
        // The key and its answer are those of RFC 6455 section 1.3.
        let accept = accept("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let handshake = ClientHandshake {
            path: "/{member}".parse().unwrap(),
            rest: lines([&"HTTP/1.1".to_owned()].into_iter(), &["X: {room}".parse().unwrap()]),
            accept,
            lines: MessageTemplate::default(),
            has_query: false,
            is_root: true,
            is_compressed: false,
        };
        let fill = Fill { room: "a/b", payload: &[], id: 0, member: 9, publisher: 0, row: &[] };
        let request = handshake.placed_request(&fill);
        assert_eq!(request, b"GET /9?room=a%2Fb HTTP/1.1\r\nX: a/b\r\n\r\n");
        assert_eq!(handshake.request(&fill), b"GET /9 HTTP/1.1\r\nX: a/b\r\n\r\n");
        let good = b"HTTP/1.1 101 Switching Protocols\r\n\
                     UPGRADE: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                     sec-websocket-ACCEPT: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        assert_eq!(handshake.read(good), Answer::Upgraded(good.len()));
        assert_eq!(handshake.read(&good[..40]), Answer::Partial);
        let rows: [(&[u8], &str); 8] = [
            (b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\n\r\n", "without Upgrade"),
            (b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "without Upgrade"),
            (b"HTTP/1.1 200 OK\r\n\r\n", "200 OK; the address has no path"),
            (
                b"HTTP/1.1 403 Forbidden\r\n\r\n{\"error\":{\"code\":\"forbidden\",\"message\":\"no\"}}",
                "403 Forbidden: no",
            ),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", "404 Not Found; the address has no path"),
            (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "upgrade refused with 503 Service"),
            (
                b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                  Sec-WebSocket-Accept: no\r\n\r\n",
                "wrong",
            ),
            (b"\x16\x03\x01\x00", "not HTTP"),
        ];
        for (bytes, expected) in rows {
            match handshake.read(bytes) {
                Answer::Refused(why) => assert!(why.contains(expected), "{why}"),
                other => panic!("{other:?} for {expected}"),
            }
        }
        // Where compression is offered it has to be agreed to.
        let handshake = ClientHandshake { is_compressed: true, ..handshake };
        assert!(matches!(handshake.read(good), Answer::Refused(why) if why.contains("--deflate")));
        let (_, lines) = good.split_at(good.len() - 2);
        let field = format!("{EXTENSIONS}: {}\r\n", agreement::OFFER).to_lowercase();
        let agreed = [&good[..good.len() - 2], field.as_bytes(), lines].concat();
        assert_eq!(handshake.read(&agreed), Answer::Upgraded(agreed.len()));
    }

    #[test]
    fn only_a_stream_in_chunks_is_one() {
        let check = |bytes: &[u8]| read(bytes, judge_events);
        let good = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                     Transfer-Encoding: chunked\r\n\r\n";
        assert_eq!(check(good), Answer::Upgraded(good.len()));
        assert_eq!(check(&good[..40]), Answer::Partial);
        let rows: [(&[u8], &str); 3] = [
            (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", "no event stream"),
            (b"HTTP/1.1 404 Not Found\r\n\r\n", "refused with 404"),
            (b"\x16\x03\x01\x00", "not HTTP"),
        ];
        for (bytes, expected) in rows {
            match check(bytes) {
                Answer::Refused(why) => assert!(why.contains(expected), "{why}"),
                other => panic!("{other:?} for {expected}"),
            }
        }
    }
}
