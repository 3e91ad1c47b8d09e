//! The head of a request: nothing of it may depend on how it is cut, and what is taken for a
//! handshake, or for a request with a body of some length, is one by the letter of RFC 6455
//! section 4.2.1 and RFC 9112 sections 3.2 and 6.3.

use super::{Verdict, read_head};

/// Longer heads say nothing new.
const HEAD_MAX: usize = 2048;
/// In so many places a head is cut, or everywhere if it is shorter.
const CUTS: usize = 64;

pub fn check(data: &[u8]) {
    let bytes = &data[..data.len().min(HEAD_MAX)];
    // Once decided, more bytes change nothing; before, there is nothing to say.
    let mut decided = None;
    for end in (0..bytes.len()).step_by(1 + bytes.len() / CUTS).chain([bytes.len()]) {
        match (decided, read_head(&bytes[..end])) {
            (None, Verdict::Partial) => {}
            (None, verdict) => decided = Some(verdict),
            (Some(before), verdict) => assert_eq!(before, verdict, "of {end} bytes"),
        }
    }
    match decided {
        Some(Verdict::Upgrade { len, accept }) => Lines::read(&bytes[..len]).check_upgrade(accept),
        Some(Verdict::Request { len, body }) => Lines::read(&bytes[..len]).check_request(body),
        Some(Verdict::Partial | Verdict::Refused { .. }) | None => {}
    }
}

/// A head, read line by line.
#[derive(Debug)]
struct Lines {
    request: [String; 3],
    fields: Vec<(String, String)>,
}

impl Lines {
    fn read(head: &[u8]) -> Lines {
        // Values may hold any bytes but control characters; each is one character here.
        let head: String = head.iter().copied().map(char::from).collect();
        let mut lines = head.lines().skip_while(|line| line.is_empty());
        let words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
        let request = words.collect::<Vec<_>>().try_into();
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
        };
        Lines {
            request: request.unwrap_or_else(|words| panic!("a request line of {words:?}")),
            fields: lines.filter_map(field).collect(),
        }
    }

    fn values(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(field, _)| field == name);
        named.map(|(_, value)| &**value).collect()
    }

    fn has(&self, name: &str, token: &str) -> bool {
        let mut tokens = self.values(name).into_iter().flat_map(|value| value.split(','));
        tokens.any(|it| it.trim_matches([' ', '\t']).eq_ignore_ascii_case(token))
    }

    /// Exactly one host, or none under HTTP/1.0, without what no host has.
    fn check_host(&self) {
        match (self.values("host").as_slice(), &*self.request[2]) {
            ([host], _) => assert!(!host.contains([' ', '\t', '/', '@', '?', '#']), "{self:?}"),
            ([], version) => assert_eq!(version, "HTTP/1.0", "{self:?}"),
            _ => panic!("several hosts in {self:?}"),
        }
    }

    fn check_upgrade(&self, accept: [u8; 28]) {
        self.check_host();
        assert_eq!((&*self.request[0], &*self.request[2]), ("GET", "HTTP/1.1"), "{self:?}");
        assert!(self.is_websocket(), "{self:?}");
        assert!(self.has("upgrade", "websocket"), "{self:?}");
        assert!(self.has("connection", "upgrade"), "{self:?}");
        assert_eq!(self.values("sec-websocket-version"), ["13"], "{self:?}");
        let keys = self.values("sec-websocket-key");
        let [key] = keys[..] else { panic!("{} keys in {self:?}", keys.len()) };
        let expected = tungstenite::handshake::derive_accept_key(key.as_bytes());
        assert_eq!(accept, expected.as_bytes(), "{self:?}");
        assert_eq!(self.body(), Some(0), "{self:?}");
    }

    fn check_request(&self, body: Option<u64>) {
        self.check_host();
        assert!(self.request[0] != "GET" || !self.is_websocket(), "{self:?}");
        assert_eq!(self.body(), body, "{self:?}");
    }

    /// Whether the target's path, decoded, is that of the one endpoint.
    fn is_websocket(&self) -> bool {
        let target = &*self.request[1];
        let path = match target.split_once("://") {
            Some((scheme, rest)) if !scheme.starts_with('/') => {
                rest.find(['/', '?']).map_or("", |at| &rest[at..])
            }
            _ => target,
        };
        decode(path.split('?').next().unwrap_or_default()) == "/ws"
    }

    /// Bytes of the body; `None` if it is chunked.
    fn body(&self) -> Option<u64> {
        let (lengths, encodings) =
            (self.values("content-length"), self.values("transfer-encoding"));
        match (lengths.as_slice(), encodings.as_slice()) {
            ([], []) => Some(0),
            ([length], []) => Some(length.parse().unwrap_or_else(|_| panic!("{self:?}"))),
            ([], [encoding]) => {
                assert!(encoding.eq_ignore_ascii_case("chunked"), "{self:?}");
                None
            }
            _ => panic!("a body in two ways: {self:?}"),
        }
    }
}

/// Percent-decodes one path of the form `/name`; what cannot be decoded stays.
fn decode(path: &str) -> String {
    let (mut decoded, mut rest) = (String::new(), path);
    while let Some(first) = rest.chars().next() {
        let byte = rest.get(1..3).filter(|_| first == '%');
        let byte = byte.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        // A decoded slash separates nothing.
        match byte.filter(|byte| *byte != b'/') {
            Some(byte) => {
                decoded.push(char::from(byte));
                rest = &rest[3..];
            }
            None => {
                decoded.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    decoded
}
