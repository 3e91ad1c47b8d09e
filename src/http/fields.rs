//! The header fields that decide what becomes of a request.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};

use super::few::Few;
use super::{Host, HttpError, Offered};

/// `Sec-WebSocket-Accept`: 28 characters of base64.
pub(crate) type Accept = [u8; 28];

/// How long a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Sized(u64),
    Chunked,
}

/// Whether a text can be a name in HTTP, as of a field or a cookie (RFC 9110 section 5.6.2).
pub(crate) fn is_token(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_legal)
}

/// The header fields that decide what becomes of a request.
#[derive(Default)]
pub(super) struct Fields<'a> {
    hosts: Few<'a>,
    lengths: Few<'a>,
    encodings: Few<'a>,
    upgrades: Few<'a>,
    connections: Few<'a>,
    versions: Few<'a>,
    keys: Few<'a>,
    protocols: Few<'a>,
    pub(super) extensions: Few<'a>,
    pub(super) origins: Few<'a>,
    authorizations: Few<'a>,
    cookies: Few<'a>,
}

impl<'a> Fields<'a> {
    pub(super) fn read(headers: &[httparse::Header<'a>]) -> Fields<'a> {
        let mut fields = Fields::default();
        for header in headers {
            if let Some(field) = fields.named(header.name) {
                field.push(header.value.trim_ascii());
            }
        }
        fields
    }

    fn named(&mut self, name: &str) -> Option<&mut Few<'a>> {
        let known = [
            ("host", &mut self.hosts),
            ("content-length", &mut self.lengths),
            ("transfer-encoding", &mut self.encodings),
            ("upgrade", &mut self.upgrades),
            ("connection", &mut self.connections),
            ("sec-websocket-version", &mut self.versions),
            ("sec-websocket-key", &mut self.keys),
            ("sec-websocket-protocol", &mut self.protocols),
            ("sec-websocket-extensions", &mut self.extensions),
            ("origin", &mut self.origins),
            ("authorization", &mut self.authorizations),
            ("cookie", &mut self.cookies),
        ];
        let found = known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        found.map(|(_, field)| field)
    }

    /// Exactly one valid `Host` under HTTP/1.1, at most one under HTTP/1.0 (RFC 9112 section 3.2).
    pub(super) fn host(&self, is_http_11: bool) -> Result<Option<Host<'a>>, HttpError> {
        if self.hosts.is_empty() && !is_http_11 {
            return Ok(None);
        }
        let only = self.hosts.only().and_then(|value| std::str::from_utf8(value).ok());
        only.and_then(Host::parse).map(Some).ok_or_else(HttpError::bad_host)
    }

    /// How long the body is (RFC 9112 section 6.3). What leaves room for two readings is refused.
    pub(super) fn body(&self, is_http_11: bool) -> Result<Body, HttpError> {
        if self.encodings.is_empty() {
            return self.length();
        }
        if !is_http_11 || !self.lengths.is_empty() {
            return Err(HttpError::bad_request(
                "Transfer-Encoding needs HTTP/1.1, and no Content-Length beside it",
            ));
        }
        let is_chunked = |value: &[u8]| value.eq_ignore_ascii_case(b"chunked");
        match self.encodings.only() {
            Some(value) if is_chunked(value) => Ok(Body::Chunked),
            _ => Err(HttpError::not_implemented(
                "the only Transfer-Encoding that is understood here is chunked, once",
            )),
        }
    }

    fn length(&self) -> Result<Body, HttpError> {
        if self.lengths.is_empty() {
            return Ok(Body::Sized(0));
        }
        let only = self.lengths.only().filter(|value| value.iter().all(u8::is_ascii_digit));
        let length = only.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        // hyper has a meaning of its own for the greatest numbers.
        let length = length.filter(|length| *length <= i64::MAX as u64).map(Body::Sized);
        let message = "Content-Length must be one number below 2^63";
        length.ok_or_else(|| HttpError::bad_request(message))
    }

    /// The answer to the key of a handshake, or what is wrong with it (RFC 6455 section 4.2.1).
    pub(super) fn accept(&self) -> Result<Accept, HttpError> {
        if !self.upgrades.has_token("websocket") {
            return Err(HttpError::bad_handshake(
                "this path speaks WebSocket: the header Upgrade: websocket is missing",
            ));
        }
        if !self.connections.has_token("upgrade") {
            return Err(HttpError::bad_handshake("the header Connection: Upgrade is missing"));
        }
        if self.versions.only() != Some(b"13") {
            return Err(HttpError::upgrade_required());
        }
        // A second key would leave open which one is answered.
        let accept = self.keys.only().and_then(accept_key);
        accept.ok_or_else(|| {
            HttpError::bad_handshake("Sec-WebSocket-Key must stand once, with 16 bytes in base64")
        })
    }

    /// Whether this subprotocol is offered. Their names have a case (RFC 6455 section 4.2.1).
    pub(super) fn offer(&self, protocol: &str) -> bool {
        let is = |offer: &[u8]| offer.trim_ascii() == protocol.as_bytes();
        self.protocols.iter().any(|list| list.split(|byte| *byte == b',').any(is))
    }

    /// What may say who sends a handshake with this query.
    pub(super) fn offered(&self, query: Option<&'a str>) -> Offered<'a> {
        let Fields { authorizations, cookies, protocols, .. } = *self;
        Offered { authorizations, cookies, protocols, query }
    }
}

/// Decodes what is not canonical, too: RFC 6455 asks for 16 bytes, not for zeros behind them.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Answers a key of 16 bytes in base64; none when it is not.
fn accept_key(key: &[u8]) -> Option<Accept> {
    let mut decoded = [0; 18];
    if LENIENT.decode_slice(key, &mut decoded) != Ok(16) {
        return None;
    }
    let mut sha1 = Sha1::new();
    sha1.update(key);
    // RFC 6455 section 1.3.
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut accept = [0; 28];
    let written = LENIENT.encode_slice(sha1.finalize(), &mut accept);
    (written == Ok(28)).then_some(accept)
}
