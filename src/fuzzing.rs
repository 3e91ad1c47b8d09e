//! The doors through which fuzzing and the replay of its corpus see a request's head, and what a
//! proxy sends before it. They are there in builds for tests and under cargo-fuzz only.

use std::net::{IpAddr, Ipv4Addr};

use crate::http::{AccessRules, Body, Door, Head, ProxyHeader, Upgrade};

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
    fn the_corpus_of_heads_is_judged_by_the_letter() {
        replay("head", super::head::check);
    }
}
