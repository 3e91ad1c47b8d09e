//! The doors through which fuzzing and the replay of its corpus see a request's head and the extensions
//! in it, what a proxy sends before it, and compressed messages. They are there in builds for tests and
//! under cargo-fuzz only.

use std::net::{IpAddr, Ipv4Addr};

use corecast_shards::{NotInflated, Window};

use crate::http::{AccessRules, Body, Door, Head, ProxyHeader, Upgrade};
use crate::runtime::CODECS;

#[cfg(test)]
#[allow(unreachable_pub, reason = "the fuzz crate calls it, too")]
#[path = "../fuzz/src/extensions.rs"]
mod extensions;
#[cfg(test)]
#[allow(unreachable_pub, reason = "the fuzz crate calls it, too")]
#[path = "../fuzz/src/frames.rs"]
mod frames;
#[cfg(test)]
#[allow(unreachable_pub, reason = "the fuzz crate calls it, too")]
#[path = "../fuzz/src/head.rs"]
mod head;
#[cfg(test)]
#[allow(unreachable_pub, reason = "the fuzz crate calls it, too")]
#[path = "../fuzz/src/inflated.rs"]
mod inflated;
#[cfg(test)]
#[allow(unreachable_pub, reason = "the fuzz crate calls it, too")]
#[path = "../fuzz/src/proxy.rs"]
mod proxy;

/// What the first bytes of a request are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet a whole head.
    Partial,
    /// A handshake that is answered at once.
    Upgrade {
        /// Bytes of the head.
        len: usize,
        /// The value of `Sec-WebSocket-Accept`.
        accept: [u8; 28],
    },
    /// Any other request.
    Request {
        /// Bytes of the head.
        len: usize,
        /// Bytes of the body; none if it is chunked.
        body: Option<u64>,
    },
    /// Answered with an error, and the end of the connection.
    Refused {
        /// The status of the error.
        status: u16,
    },
}

/// Looks at the first bytes of a request as a server without keys does.
pub fn read_head(bytes: &[u8]) -> Verdict {
    match Head::parse(
        bytes,
        HEAD_BYTES_MAX,
        &AccessRules::default(),
        Door::open(Ipv4Addr::LOCALHOST.into()),
    ) {
        Head::Partial => Verdict::Partial,
        Head::Upgrade(Upgrade { len, accept, .. }) => Verdict::Upgrade { len, accept },
        Head::Request { len, body: Body::Sized(bytes), .. } => {
            Verdict::Request { len, body: Some(bytes) }
        }
        Head::Request { len, body: Body::Chunked, .. } => Verdict::Request { len, body: None },
        Head::Refused(error) => Verdict::Refused { status: error.status.as_u16() },
    }
}

/// What the first bytes of a connection from a proxy are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVerdict {
    /// Not yet enough of a header.
    Partial,
    /// A header of so many bytes, and where the connection came from, if it says so.
    Read {
        /// Bytes of the header, of which the last ones may be still to come.
        len: usize,
        /// None when it does not say.
        source: Option<IpAddr>,
    },
    /// No header.
    Malformed,
}

/// Looks at the first bytes of a connection as a server does that expects the PROXY protocol.
pub fn read_proxy_header(bytes: &[u8]) -> ProxyVerdict {
    match ProxyHeader::read(bytes) {
        ProxyHeader::Partial => ProxyVerdict::Partial,
        ProxyHeader::Read { len, source } => ProxyVerdict::Read { len, source },
        ProxyHeader::Malformed => ProxyVerdict::Malformed,
    }
}

/// What a server agrees to about extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The field of the answer, without the end of its line.
    pub field: String,
    /// How far back what is compressed for the client may refer, as the base-2 logarithm of bytes.
    pub window_bits: u8,
}

/// Looks at a handshake whose fields `Sec-WebSocket-Extensions` have these values, as a server does
/// that compresses. None if it agrees to nothing.
pub fn agree(values: &[&[u8]]) -> Option<Agreed> {
    let field = |value: &&[u8]| [b"Sec-WebSocket-Extensions: ", *value, b"\r\n"].concat();
    let fields: Vec<u8> = values.iter().flat_map(field).collect();
    let head = [HANDSHAKE, &fields, b"\r\n"].concat();
    let rules = AccessRules { deflate: true, ..AccessRules::default() };
    match Head::parse(&head, HEAD_BYTES_MAX, &rules, Door::open(Ipv4Addr::LOCALHOST.into())) {
        Head::Upgrade(upgrade) => {
            let window_bits = upgrade.agreement?.window.bits();
            let response = String::from_utf8(upgrade.response()).expect("an answer is text");
            let mut lines = response.lines();
            let field = lines.find(|line| line.starts_with("Sec-WebSocket-Extensions"));
            let field = field.expect("what is agreed to is said").to_owned();
            Some(Agreed { field, window_bits })
        }
        refused => panic!("{refused:?} of {head:?}"),
    }
}

const HANDSHAKE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What a compressed message is to a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inflated {
    /// This one.
    Message(Vec<u8>),
    /// None: the payload is not compressed as it must be.
    Corrupt,
    /// Larger than a message may be.
    TooLarge,
}

/// Inflates payloads one after the other as a shard does whose messages have at most so many bytes.
pub fn inflate(payloads: &[&[u8]], most: usize) -> Vec<Inflated> {
    let mut inflater = (CODECS.inflater)();
    let inflate = |payload: &&[u8]| {
        let mut message = Vec::new();
        match inflater.inflate(payload, 1, most, &mut message) {
            Ok(()) => Inflated::Message(message),
            Err(NotInflated::Corrupt) => Inflated::Corrupt,
            Err(NotInflated::TooLarge) => Inflated::TooLarge,
        }
    };
    payloads.iter().map(inflate).collect()
}

/// Compresses a message as its home does, for clients with the full window or with smaller ones. None
/// if it becomes no smaller.
pub fn deflate(message: &[u8], is_small: bool) -> Option<Vec<u8>> {
    let window = if is_small { Window::Small } else { Window::Full };
    let mut payload = vec![0; message.len()];
    let len = (CODECS.deflater)().deflate(window, message, &mut payload)?;
    payload.truncate(len);
    Some(payload)
}

/// Of a request's head, as by default.
const HEAD_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::fs;

    /// Runs what the fuzz target runs over each file of its corpus.
    fn replay(target: &str, check: fn(&[u8])) {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/");
        let files = fs::read_dir(format!("{corpus}{target}"));
        let checked = files.expect("the corpus is part of the repository").map(|file| {
            let path = file.expect("a folder can be read").path();
            check(&fs::read(path).expect("a file can be read"));
        });
        assert!(checked.count() > 20, "the corpus is there");
    }

    #[test]
    fn the_corpus_of_frames_means_the_same_to_tungstenite() {
        replay("frames", super::frames::check);
    }

    #[test]
    fn the_corpus_of_proxies_means_the_same_to_ppp() {
        replay("proxy", super::proxy::check);
    }

    #[test]
    fn the_corpus_of_extensions_is_agreed_to_by_the_letter() {
        replay("extensions", super::extensions::check);
    }

    #[test]
    fn the_corpus_of_compressed_messages_means_the_same_to_miniz_oxide() {
        replay("inflated", super::inflated::check);
    }

    #[test]
    fn the_corpus_of_heads_is_judged_by_the_letter() {
        replay("head", super::head::check);
    }
}
