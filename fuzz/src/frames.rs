//! The frame decoder beside tungstenite's: the same messages, and the same verdict.
//!
//! They may differ, and do not count as different, where
//! - tungstenite takes a length that is not in its shortest form (RFC 6455 section 5.2 forbids it);
//!   in a control frame every longer form says that the frame is too long,
//! - tungstenite lets a message go on for ever in empty frames,
//! - tungstenite does not know close code 1014 (registered after RFC 6455), and hands out a close
//!   frame with 1002 of its own for every code that must not be sent, where we refuse the frame,
//! - tungstenite judges whole frames, and we the first wrong byte: bytes that end in the middle of
//!   a wrong frame are wrong for us and unfinished for it.

use std::io::{self, Read, Write};

use corecast_shards::wire::{Decoder, Incoming, MessageRules, Violation};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// The largest message: small, so that the limit is met often.
const MESSAGE_MAX: usize = 300;

const RULES: MessageRules =
    MessageRules { bytes_max: MESSAGE_MAX, frames_max: usize::MAX, deflate: false };

/// What a decoder made of all the bytes.
#[derive(Debug, PartialEq)]
struct Heard {
    messages: Vec<Said>,
    /// Why there are no more: `None` if the bytes just ended.
    end: Option<End>,
}

#[derive(Debug, PartialEq)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

#[derive(Debug, PartialEq)]
enum End {
    Closed,
    Wrong(&'static str),
}

/// The first four bytes say how the others are cut into pieces.
pub fn check(data: &[u8]) {
    let Some((seed, bytes)) = data.split_first_chunk() else { return };
    let ours = decode(bytes, u32::from_le_bytes(*seed));
    assert_eq!(ours, decode(bytes, 0), "in pieces and whole");
    let theirs = tungstenite(bytes);
    match ours.end {
        Some(End::Wrong(
            "length not in its shortest form"
            | "control frame too long"
            | "a message of too many empty frames",
        )) => {
            assert!(theirs.messages.starts_with(&ours.messages), "{ours:?}, {theirs:?}");
        }
        Some(End::Wrong("close code that must not be sent")) if theirs.end == Some(End::Closed) => {
            let replaced = Said::Close(Some((1002, "Protocol violation".to_owned())));
            assert_eq!(theirs.messages.split_last(), Some((&replaced, &*ours.messages)));
        }
        Some(End::Wrong(_)) => {
            assert_eq!(ours.messages, theirs.messages, "{ours:?}");
            assert_ne!(theirs.end, Some(End::Closed), "{ours:?}");
        }
        None | Some(End::Closed) => assert_eq!(ours, theirs),
    }
}

/// Our decoder over pieces of random lengths; seed 0 leaves the bytes whole.
fn decode(bytes: &[u8], seed: u32) -> Heard {
    let (mut decoder, mut messages, mut random) = (Decoder::new(), Vec::new(), seed);
    let mut rest = bytes;
    while !rest.is_empty() {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let len = if seed == 0 { rest.len() } else { 1 + (random >> 24) as usize % 40 };
        let (piece, after) = rest.split_at(len.min(rest.len()));
        if let Some(end) = feed(&mut decoder, &mut piece.to_vec(), &mut messages) {
            return Heard { messages, end: Some(end) };
        }
        rest = after;
    }
    Heard { messages, end: None }
}

fn feed(decoder: &mut Decoder, mut piece: &mut [u8], messages: &mut Vec<Said>) -> Option<End> {
    loop {
        let len = piece.len();
        let (consumed, incoming) = match decoder.decode(piece, RULES) {
            Ok(decoded) => decoded,
            Err(Violation::Protocol(reason)) => return Some(End::Wrong(reason)),
            Err(Violation::BadUtf8) => return Some(End::Wrong("bad UTF-8")),
            Err(Violation::BadDeflate) => unreachable!("nothing is inflated here"),
            Err(Violation::TooBig) => return Some(End::Wrong("too big")),
        };
        assert!(consumed <= len);
        let Some(incoming) = incoming else {
            assert_eq!(consumed, len, "asked for more before all was consumed");
            return None;
        };
        let is_last = matches!(incoming, Incoming::Close(_));
        messages.push(said(incoming));
        if is_last {
            return Some(End::Closed);
        }
        piece = &mut piece[consumed..];
    }
}

fn said(incoming: Incoming<'_>) -> Said {
    match incoming {
        Incoming::Text(text) => Said::Text(text.to_owned()),
        Incoming::Binary(bytes) => Said::Binary(bytes.to_vec()),
        Incoming::Deflated { .. } => unreachable!("no message may be compressed"),
        Incoming::Ping(bytes) => Said::Ping(bytes.to_vec()),
        Incoming::Pong(bytes) => Said::Pong(bytes.to_vec()),
        // A code that the other does not know is as it would have put it.
        Incoming::Close(close) => Said::Close(close.code.map(|code| match code {
            1014 => (1002, "Protocol violation".to_owned()),
            code => (code, close.reason.into()),
        })),
    }
}

fn tungstenite(bytes: &[u8]) -> Heard {
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(Some(MESSAGE_MAX))
        // What a control frame may have is a matter of its own.
        .max_frame_size(Some(MESSAGE_MAX));
    let mut socket = WebSocket::from_raw_socket(OneWay(bytes), Role::Server, Some(config));
    let mut messages = Vec::new();
    let end = loop {
        match socket.read() {
            Ok(Message::Text(text)) => messages.push(Said::Text(text.to_string())),
            Ok(Message::Binary(bytes)) => messages.push(Said::Binary(bytes.to_vec())),
            Ok(Message::Ping(bytes)) => messages.push(Said::Ping(bytes.to_vec())),
            Ok(Message::Pong(bytes)) => messages.push(Said::Pong(bytes.to_vec())),
            Ok(Message::Close(close)) => {
                let close = close.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                messages.push(Said::Close(close));
                break Some(End::Closed);
            }
            Ok(Message::Frame(_)) => unreachable!("never handed out when reading"),
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                break None;
            }
            Err(_) => break Some(End::Wrong("by tungstenite")),
        }
    };
    Heard { messages, end }
}

/// Bytes to read; what is written is gone.
struct OneWay<'a>(&'a [u8]);

impl Read for OneWay<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.is_empty() {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => self.0.read(buffer),
        }
    }
}

impl Write for OneWay<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
