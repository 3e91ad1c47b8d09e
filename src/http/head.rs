//! The head of a request: where it ends, what follows it, and whether it is a handshake.

use std::net::IpAddr;
use std::time::Duration;

use corecast_shards::RoomName;

use super::extensions::Agreement;
use super::fields::{Accept, Body, Fields};
use super::{AccessRules, Credential, Host, HttpError, named_rooms, path};
use crate::program::HEADERS_MAX;

/// What the first bytes of a request turned out to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Head {
    /// Not yet a whole head.
    Partial,
    /// A WebSocket handshake for `/ws` that may be answered.
    Upgrade(Upgrade),
    /// Any other request that HTTP can answer.
    Request {
        /// Bytes of the head.
        len: usize,
        /// What follows it.
        body: Body,
        /// Where it came from.
        client_addr: IpAddr,
    },
    /// Nothing that is answered but with this, and the end of the connection.
    Refused(HttpError),
}

/// Where a connection comes in.
#[derive(Clone, Copy)]
pub(crate) struct Door<'a> {
    /// Where it comes from.
    pub(crate) from: IpAddr,
    /// Asked once about the client of a handshake, before anything that costs more; says after how
    /// long it may begin one.
    pub(crate) admit: &'a dyn Fn(IpAddr) -> Result<(), Duration>,
    /// Whether it is found out here who sends a handshake. Where that is not answered here, it would
    /// be found out twice, and before the client was asked about.
    pub(crate) verifies: bool,
}

impl Door<'_> {
    /// One that lets every handshake begin.
    pub(crate) fn open(from: IpAddr) -> Door<'static> {
        Door { from, admit: &|_| Ok(()), verifies: true }
    }
}

/// A handshake that is legal in every respect, and how it is answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Upgrade {
    /// Bytes of the head; what follows is the first frame's.
    pub(crate) len: usize,
    pub(crate) accept: Accept,
    /// The subprotocol `corecast.v1` was offered, and is selected.
    pub(crate) selects_protocol: bool,
    /// What is agreed to about compression, if anything.
    pub(crate) agreement: Option<Agreement>,
    /// What it proved about who sends it.
    pub(crate) credential: Credential,
    /// Where it came from.
    pub(crate) client_addr: IpAddr,
    /// The rooms that it names, which the connection joins.
    pub(crate) rooms: Vec<RoomName>,
}

impl Upgrade {
    /// Bytes of the rooms that it names.
    pub(crate) fn rooms_bytes(&self) -> usize {
        rooms_bytes(&self.rooms)
    }
}

/// Bytes of these rooms.
pub(crate) fn rooms_bytes(rooms: &[RoomName]) -> usize {
    let names: usize = rooms.iter().map(|room| room.as_str().len()).sum();
    names + size_of_val(rooms)
}

/// The subprotocol of the wire protocol, version 1.
const SUBPROTOCOL: &str = "corecast.v1";

impl Upgrade {
    /// The answer that accepts the handshake (RFC 6455 section 4.2.2).
    pub(crate) fn response(&self) -> Vec<u8> {
        const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Accept: ";
        let mut response = [HEAD, &self.accept, b"\r\n"].concat();
        if self.selects_protocol {
            response.extend(format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n").into_bytes());
        }
        if let Some(agreement) = self.agreement {
            response.extend_from_slice(agreement.field().as_bytes());
        }
        response.extend_from_slice(b"\r\n");
        response
    }
}

impl Head {
    /// Looks at what has arrived so far of a head that may have `limit` bytes.
    pub(crate) fn parse(bytes: &[u8], limit: usize, rules: &AccessRules, door: Door<'_>) -> Head {
        match Head::read(bytes, limit, rules, door) {
            // An answer to HEAD has no content (RFC 9110 section 9.3.2), however wrong the rest is.
            Head::Refused(error) => {
                Head::Refused(error.with_content(!bytes.trim_ascii_start().starts_with(b"HEAD ")))
            }
            head => head,
        }
    }

    fn read(bytes: &[u8], limit: usize, rules: &AccessRules, door: Door<'_>) -> Head {
        let mut headers = [const { std::mem::MaybeUninit::uninit() }; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut headers) {
            Ok(httparse::Status::Complete(len)) if len > limit => {
                Head::Refused(HttpError::head_too_large(limit))
            }
            Ok(httparse::Status::Complete(len)) => {
                judge(&request, len, rules, door).unwrap_or_else(Head::Refused)
            }
            Ok(httparse::Status::Partial) if bytes.len() > limit => {
                Head::Refused(HttpError::head_too_large(limit))
            }
            Ok(httparse::Status::Partial) => Head::Partial,
            Err(httparse::Error::TooManyHeaders) => Head::Refused(HttpError::head_too_large(limit)),
            Err(_) => Head::Refused(HttpError::garbage()),
        }
    }
}

fn judge(
    request: &httparse::Request<'_, '_>,
    len: usize,
    rules: &AccessRules,
    door: Door<'_>,
) -> Result<Head, HttpError> {
    let is_options = request.method == Some("OPTIONS");
    let target = RequestTarget::read(request.path.unwrap_or_default(), is_options)?;
    let fields = Fields::read(request.headers);
    let is_http_11 = request.version == Some(1);
    let host = target.host(fields.host(is_http_11)?)?;
    let body = fields.body(is_http_11)?;
    rules.watch_for_proxies(request.headers);
    let client_addr = rules.proxies.client_of(door.from, request.headers)?;
    if request.method != Some("GET") || !target.is_websocket() {
        // What is no legal target for the library behind is refused here, in our words.
        let legal = hyper::Uri::try_from(request.path.unwrap_or_default()).is_ok();
        let request = Head::Request { len, body, client_addr };
        return if legal { Ok(request) } else { Err(bad_target()) };
    }
    if !is_http_11 {
        return Err(HttpError::bad_handshake(
            "an upgrade needs HTTP/1.1; a proxy in front must speak it to its upstream, in nginx: \
             proxy_http_version 1.1, with the headers Upgrade and Connection passed on",
        ));
    }
    (door.admit)(client_addr).map_err(HttpError::too_many_handshakes)?;
    let accept = fields.accept()?;
    if body != Body::Sized(0) {
        return Err(HttpError::bad_handshake("a handshake has no body"));
    }
    let rooms = match rules.rooms_named {
        Some(most) => named_rooms::read(target.query, most)?,
        None => Vec::new(),
    };
    let host = host.ok_or_else(HttpError::bad_host)?;
    rules.admit_host(Some(host))?;
    rules.admit_origin(&fields.origins, host)?;
    let credential = match door.verifies {
        true => rules.admit_credential(&fields.offered(target.query))?,
        false => Credential::None,
    };
    let selects_protocol = fields.offer(SUBPROTOCOL);
    if fields.extensions.is_cut() {
        return Err(HttpError::bad_handshake(
            "a handshake has at most four fields Sec-WebSocket-Extensions; offer all in one",
        ));
    }
    let agreement = Agreement::first(&fields.extensions).filter(|_| rules.deflate);
    Ok(Head::Upgrade(Upgrade {
        len,
        accept,
        selects_protocol,
        agreement,
        credential,
        client_addr,
        rooms,
    }))
}

fn bad_target() -> HttpError {
    HttpError::bad_request("the target of this request is malformed")
}

/// What a request is for (RFC 9112 section 3.2).
struct RequestTarget<'a> {
    /// Of the absolute form only.
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> RequestTarget<'a> {
    /// Reads the form of a resource or of an absolute target; of `*`, which is for OPTIONS alone. That of
    /// CONNECT is for proxies.
    fn read(target: &'a str, is_options: bool) -> Result<RequestTarget<'a>, HttpError> {
        if target.contains('#') {
            return Err(bad_target());
        }
        let (authority, rest) = match target.split_once("://") {
            Some((scheme, rest)) if !target.starts_with('/') => {
                let is = |known: &&str| scheme.eq_ignore_ascii_case(known);
                if !["http", "https", "ws", "wss"].iter().any(is) {
                    return Err(bad_target());
                }
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                (Some(&rest[..end]), &rest[end..])
            }
            _ if target.starts_with('/') || (is_options && target == "*") => (None, target),
            _ => return Err(bad_target()),
        };
        let (path, query) =
            rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        Ok(RequestTarget { authority, path, query })
    }

    /// Which host is meant: that of the target, whatever the header says (section 3.2.2).
    fn host(&self, header: Option<Host<'a>>) -> Result<Option<Host<'a>>, HttpError> {
        match self.authority {
            Some(authority) => Host::parse(authority).map(Some).ok_or_else(bad_target),
            None => Ok(header),
        }
    }

    fn is_websocket(&self) -> bool {
        self.path == "/ws" || (self.path.contains('%') && path::canonical(self.path) == "/ws")
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn parse(text: &str) -> Head {
        Head::parse(text.as_bytes(), 16 << 10, &AccessRules::default(), Door::open(CLIENT))
    }

    /// The status with which a request is refused; 0 when it is not.
    fn status(text: &str) -> u16 {
        match parse(text) {
            Head::Refused(error) => error.status.as_u16(),
            Head::Partial => panic!("it is whole: {text}"),
            _ => 0,
        }
    }

    #[test]
    fn the_sample_of_the_rfc_is_answered() {
        let accept = *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let upgrade = Upgrade {
            len: HANDSHAKE.len(),
            accept,
            selects_protocol: false,
            agreement: None,
            credential: Credential::None,
            client_addr: CLIENT,
            rooms: Vec::new(),
        };
        assert_eq!(parse(&format!("{HANDSHAKE}frame")), Head::Upgrade(upgrade));
        for cut in 1..HANDSHAKE.len() {
            assert_eq!(parse(&HANDSHAKE[..cut]), Head::Partial, "{cut}");
        }
    }

    #[test]
    fn every_legal_spelling_is_a_handshake() {
        for (from, to) in [
            ("/ws ", "/ws?a=b "),
            ("/ws ", "/%77s "),
            ("/ws ", "http://x/ws "),
            ("/ws ", "WS://x:80/ws?a "),
            ("Connection: Upgrade", "connection: keep-alive, UPGRADE"),
            ("Host: x", "Host: x\r\nContent-Length: 0"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="),
        ] {
            let head = HANDSHAKE.replacen(from, to, 1);
            assert!(matches!(parse(&head), Head::Upgrade(_)), "{to}: {:?}", parse(&head));
        }
        for (offer, selected) in [
            ("corecast.v1", true),
            ("chat, corecast.v1", true),
            ("chat\r\nSec-WebSocket-Protocol: corecast.v1", true),
            ("Corecast.V1", false),
            ("corecast.v10, bearer.x", false),
        ] {
            let offer = format!("Host: x\r\nSec-WebSocket-Protocol: {offer}");
            match parse(&HANDSHAKE.replacen("Host: x", &offer, 1)) {
                Head::Upgrade(upgrade) => assert_eq!(upgrade.selects_protocol, selected, "{offer}"),
                other => panic!("{offer}: {other:?}"),
            }
        }
    }

    /// RFC 7692 section 5.1: the answer says what is agreed to, and nothing where nothing is.
    #[test]
    fn compression_is_agreed_to_where_it_is_on() {
        let head = HANDSHAKE.replacen(
            "Host: x",
            "Host: x\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
            1,
        );
        for (deflate, said) in [(true, true), (false, false)] {
            let rules = AccessRules { deflate, ..AccessRules::default() };
            let parsed = Head::parse(head.as_bytes(), 16 << 10, &rules, Door::open(CLIENT));
            let Head::Upgrade(upgrade) = parsed else { panic!("{parsed:?}") };
            assert_eq!(upgrade.agreement.is_some(), deflate);
            let response = String::from_utf8(upgrade.response()).unwrap();
            let field = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                         client_no_context_takeover\r\n";
            assert_eq!(response.contains(field), said, "{response}");
            assert!(response.ends_with("\r\n\r\n") && !response.contains("max_window"));
        }
    }

    #[test]
    fn rooms_are_read_where_the_program_does_not_read_them_itself() {
        let head = HANDSHAKE.replacen("/ws ", "/ws?room=a%2Fb&x=%&room=c ", 1);
        for (rooms_named, names) in [(None, &[][..]), (Some(2), &["a/b", "c"])] {
            let rules = AccessRules { rooms_named, ..AccessRules::default() };
            let parsed = Head::parse(head.as_bytes(), 16 << 10, &rules, Door::open(CLIENT));
            let Head::Upgrade(upgrade) = parsed else { panic!("{parsed:?}") };
            assert!(upgrade.rooms.iter().map(RoomName::as_str).eq(names.iter().copied()));
        }
    }

    /// What is not read is not passed over.
    #[test]
    fn offers_of_extensions_may_stand_in_four_fields() {
        let offer = "\r\nSec-WebSocket-Extensions: permessage-deflate";
        for (fields, expected) in [(4, 0), (5, 400)] {
            let with = format!("Host: x{}", offer.repeat(fields));
            assert_eq!(status(&HANDSHAKE.replacen("Host: x", &with, 1)), expected, "{fields}");
        }
    }

    #[test]
    fn what_is_no_legal_handshake_is_refused() {
        for (from, to, expected) in [
            ("HTTP/1.1", "HTTP/1.0", 400),
            ("Upgrade: websocket", "Upgrade: h2c", 400),
            ("Connection: Upgrade", "Connection: close", 400),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==", 400),
            ("Version: 13", "Version: 8", 426),
            ("Version: 13", "Version: 13, 8", 426),
            ("Host: x", "Host: x\r\nContent-Length: 3", 400),
            ("Host: x", "Host: x\r\nTransfer-Encoding: chunked", 400),
            ("Host: x\r\n", "", 400),
            ("Host: x", "Host: x\r\nHost: x", 400),
            ("Host: x", "Host: a b", 400),
            ("Host: x", "Host:", 400),
            ("/ws ", "http:///ws ", 400),
            ("/ws ", "http://a@x/ws ", 400),
            ("/ws ", "/ws#x ", 400),
        ] {
            assert_eq!(status(&HANDSHAKE.replacen(from, to, 1)), expected, "{to}");
        }
        for (from, to) in [("GET /ws ", "POST /ws "), ("/ws", "/"), ("/ws", "/ws/"), ("/ws", "/WS")]
        {
            let head = HANDSHAKE.replacen(from, to, 1);
            assert!(matches!(parse(&head), Head::Request { .. }), "{to}");
        }
    }

    #[test]
    fn a_body_is_framed_in_one_way_or_refused() {
        for (fields, body) in [
            ("", Body::Sized(0)),
            ("Content-Length: 7\r\n", Body::Sized(7)),
            ("Content-Length: 9223372036854775807\r\n", Body::Sized(i64::MAX as u64)),
            ("Transfer-Encoding: Chunked\r\n", Body::Chunked),
        ] {
            let head = format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
            assert_eq!(
                parse(&head),
                Head::Request { len: head.len(), body, client_addr: CLIENT },
                "{fields}"
            );
        }
        for (fields, expected) in [
            ("Content-Length: 7\r\nContent-Length: 8\r\n", 400),
            ("Content-Length: 7, 7\r\n", 400),
            ("Content-Length: +7\r\n", 400),
            ("Content-Length:\r\n", 400),
            ("Content-Length: 99999999999999999999\r\n", 400),
            ("Content-Length: 18446744073709551615\r\n", 400),
            ("Content-Length: 18446744073709551614\r\n", 400),
            ("Content-Length: 9223372036854775808\r\n", 400),
            ("Content-Length: 7\r\nTransfer-Encoding: chunked\r\n", 400),
            ("Transfer-Encoding: gzip, chunked\r\n", 501),
            ("Transfer-Encoding: chunked, chunked\r\n", 501),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 501),
            ("Transfer-Encoding: gzip\r\n", 501),
        ] {
            assert_eq!(status(&format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n")), expected);
        }
        assert_eq!(status("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.0\r\n\r\n"), 0);
        assert_eq!(status("GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400);
    }

    #[test]
    fn the_end_of_a_head_is_found_however_its_lines_end() {
        let head = "POST / HTTP/1.1\nHost: x\nContent-Length: 9\n\n";
        let expected = Head::Request { len: head.len(), body: Body::Sized(9), client_addr: CLIENT };
        assert_eq!(parse(&format!("{head}{}", "x".repeat(20 << 10))), expected);
        let long = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "x".repeat(16 << 10));
        assert_eq!(status(&long), 431);
        assert_eq!(status(&long[..long.len() - 4]), 431);
    }

    /// RFC 9110 section 9.3.2.
    #[test]
    fn no_refusal_of_head_has_content() {
        let many = "a: b\r\n".repeat(HEADERS_MAX + 1);
        let long = format!("A: {}\r\n", "x".repeat(16 << 10));
        for fields in ["X : a\r\n", "Host: a\r\nHost: b\r\n", &many, &long] {
            for (method, has_content) in [("HEAD", false), ("\r\nHEAD", false), ("GET", true)] {
                let head = parse(&format!("{method} /healthz HTTP/1.1\r\n{fields}\r\n"));
                let Head::Refused(error) = head else { panic!("{head:?}") };
                assert_eq!(error.clone().with_content(has_content), error, "{method} {fields:.9}");
            }
        }
    }

    #[test]
    fn what_is_no_http_is_noticed() {
        let refused = |bytes: &[u8]| {
            let head = Head::parse(bytes, 16 << 10, &AccessRules::default(), Door::open(CLIENT));
            matches!(head, Head::Refused(error) if error == HttpError::garbage())
        };
        assert!(refused(b"\x16\x03\x01\x02\x00\x01"));
        assert!(refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(status(&many), 431);
    }
}
