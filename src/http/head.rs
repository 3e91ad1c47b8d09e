//! The head of a connection's first request.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};

/// What the first bytes of a connection turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// Not yet a whole head.
    Partial,
    /// A WebSocket handshake for `/ws` that can be answered at once.
    Upgrade {
        /// Bytes of the head; what follows is the first frame's.
        len: usize,
        /// The value of `Sec-WebSocket-Accept`.
        accept: Accept,
    },
    /// Any other request that HTTP can answer.
    Request,
    /// Not HTTP.
    Garbage,
    /// More header fields than anybody needs.
    TooLarge,
}

/// `Sec-WebSocket-Accept`: 28 characters of base64.
pub(crate) type Accept = [u8; 28];

/// Header fields of one request. Browsers send about 15.
pub(crate) const HEADERS_MAX: usize = 100;

impl Head {
    /// Looks at what has arrived so far.
    pub(crate) fn parse(bytes: &[u8]) -> Head {
        let mut headers = [const { std::mem::MaybeUninit::uninit() }; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut headers) {
            Ok(httparse::Status::Complete(len)) => match accept_of(&request) {
                Some(accept) => Head::Upgrade { len, accept },
                None => Head::Request,
            },
            Ok(httparse::Status::Partial) => Head::Partial,
            Err(httparse::Error::TooManyHeaders) => Head::TooLarge,
            Err(_) => Head::Garbage,
        }
    }
}

/// The accept value of a handshake that is legal in every respect (RFC 6455 section 4.2.1). What is
/// wrong with another is explained by the route of `/ws`.
fn accept_of(request: &httparse::Request<'_, '_>) -> Option<Accept> {
    let path = request.path?.split('?').next()?;
    if request.method != Some("GET") || request.version != Some(1) || path != "/ws" {
        return None;
    }
    let (mut key, mut upgrade, mut connection, mut version) = (None, false, false, false);
    let mut keys = 0;
    for header in request.headers.iter() {
        match header.name {
            name if name.eq_ignore_ascii_case("sec-websocket-key") => {
                // A second key would leave open which one is answered.
                keys += 1;
                key = accept_key(header.value).filter(|_| keys == 1);
            }
            name if name.eq_ignore_ascii_case("sec-websocket-version") => {
                version = header.value.trim_ascii() == b"13";
            }
            name if name.eq_ignore_ascii_case("upgrade") => {
                upgrade |= has_token(header.value, "websocket");
            }
            name if name.eq_ignore_ascii_case("connection") => {
                connection |= has_token(header.value, "upgrade");
            }
            // A handshake has no body; one that claims to is left to those who can read it.
            name if name.eq_ignore_ascii_case("content-length")
                || name.eq_ignore_ascii_case("transfer-encoding") =>
            {
                return None;
            }
            _ => {}
        }
    }
    key.filter(|_| upgrade && connection && version)
}

/// Whether a comma-separated list of tokens holds one, in whatever case.
pub(crate) fn has_token(value: &[u8], token: &str) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Answers a key of 16 bytes in base64; none when it is not.
pub(crate) fn accept_key(key: &[u8]) -> Option<Accept> {
    let key = key.trim_ascii();
    let mut decoded = [0; 18];
    if BASE64_STANDARD.decode_slice(key, &mut decoded) != Ok(16) {
        return None;
    }
    let mut sha1 = Sha1::new();
    sha1.update(key);
    // RFC 6455 section 1.3.
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut accept = [0; 28];
    let written = BASE64_STANDARD.encode_slice(sha1.finalize(), &mut accept);
    (written == Ok(28)).then_some(accept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

    #[test]
    fn the_sample_of_the_rfc_is_answered() {
        let bytes = [HANDSHAKE.as_bytes(), b"frame"].concat();
        let accept = *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert_eq!(Head::parse(&bytes), Head::Upgrade { len: HANDSHAKE.len(), accept });
        for cut in 1..HANDSHAKE.len() {
            assert_eq!(Head::parse(&HANDSHAKE.as_bytes()[..cut]), Head::Partial, "{cut}");
        }
    }

    #[test]
    fn what_is_no_legal_handshake_is_a_plain_request() {
        let rows = [
            ("GET /ws ", "POST /ws "),
            ("/ws", "/"),
            ("/ws", "/ws/"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("Upgrade: websocket", "Upgrade: h2c"),
            ("Connection: Upgrade", "Connection: close"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="),
            ("Version: 13", "Version: 8"),
            ("Host: x", "Content-Length: 3"),
        ];
        for (from, to) in rows {
            assert_eq!(
                Head::parse(HANDSHAKE.replacen(from, to, 1).as_bytes()),
                Head::Request,
                "{to}"
            );
        }
        let lists = HANDSHAKE
            .replace("Connection: Upgrade", "connection: keep-alive, UPGRADE")
            .replace("/ws", "/ws?a=b");
        assert!(matches!(Head::parse(lists.as_bytes()), Head::Upgrade { .. }));
    }

    #[test]
    fn what_is_no_http_is_noticed() {
        assert_eq!(Head::parse(b"\x16\x03\x01\x02\x00\x01"), Head::Garbage);
        assert_eq!(Head::parse(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Head::Garbage);
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(Head::parse(many.as_bytes()), Head::TooLarge);
    }
}
