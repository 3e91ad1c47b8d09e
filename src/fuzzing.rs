//! The door through which fuzzing and the replay of its corpus see a request's head. It is there in
//! builds for tests and under cargo-fuzz only.

use crate::http::{AccessRules, Body, Head, Upgrade};

#[cfg(test)]
#[allow(unreachable_pub, reason = "the fuzz crate calls it, too")]
#[path = "../fuzz/src/frames.rs"]
mod frames;
#[cfg(test)]
#[allow(unreachable_pub, reason = "the fuzz crate calls it, too")]
#[path = "../fuzz/src/head.rs"]
mod head;

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
    match Head::parse(bytes, HEAD_BYTES_MAX, &AccessRules::default()) {
        Head::Partial => Verdict::Partial,
        Head::Upgrade(Upgrade { len, accept, .. }) => Verdict::Upgrade { len, accept },
        Head::Request { len, body: Body::Sized(bytes) } => {
            Verdict::Request { len, body: Some(bytes) }
        }
        Head::Request { len, body: Body::Chunked } => Verdict::Request { len, body: None },
        Head::Refused(error) => Verdict::Refused { status: error.status.as_u16() },
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
    fn the_corpus_of_heads_is_judged_by_the_letter() {
        replay("head", super::head::check);
    }
}
