//! One connection: its socket and what it says.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use corecast_shards::wire::{Decoder, Incoming, MessageRules};
use tungstenite::handshake::derive_accept_key;

use super::message::{self, FloorCommand};
use super::room::FloorCounters;

/// What a client may send.
const RULES: MessageRules =
    MessageRules { bytes_max: 1 << 20, frames_max: usize::MAX, deflate: false };

/// One connection. Its socket blocks: it is read once whenever epoll says that there is something.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: Arc<TcpStream>,
    /// What came before the handshake was complete.
    head: Option<Vec<u8>>,
    decoder: Decoder,
    /// Replies that wait for the end of the read.
    pub(super) replies: Vec<u8>,
}

impl Client {
    pub(super) fn new(stream: TcpStream) -> io::Result<Client> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        let stream = Arc::new(stream);
        Ok(Client { stream, head: Some(Vec::new()), decoder: Decoder::new(), replies: Vec::new() })
    }

    /// Reads once and hands every command to `each`, with the replies to add to. Returns whether
    /// the client is still there and is to stay.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        counters: FloorCounters,
        mut each: impl FnMut(FloorCommand<'_>, &mut Vec<u8>),
    ) -> bool {
        let Ok(len @ 1..) = (&*self.stream).read(buffer) else { return false };
        let mut input = &mut buffer[..len];
        if let Some(head) = &mut self.head {
            head.extend_from_slice(input);
            return !is_head(head) || self.greet(counters);
        }
        while !input.is_empty() {
            match self.decoder.decode(input, RULES) {
                Ok((_, None)) => break,
                Ok((_, Some(Incoming::Close(_)))) | Err(_) => return false,
                Ok((consumed, Some(incoming))) => {
                    if let Incoming::Text(text) = incoming {
                        each(FloorCommand::find(text), &mut self.replies);
                    }
                    input = &mut input[consumed..];
                }
            }
        }
        true
    }

    /// Sends the replies that the last read called for.
    pub(super) fn reply(&mut self) -> bool {
        let sent = (&*self.stream).write_all(&self.replies).is_ok();
        self.replies.clear();
        sent
    }

    /// Answers a complete handshake. Nobody may say more before that. Whoever asks for no upgrade
    /// gets the counters.
    fn greet(&mut self, counters: FloorCounters) -> bool {
        let head = self.head.take().unwrap_or_default();
        let Some(key) = find_key(&head) else {
            self.replies = stats(counters).into_bytes();
            self.reply();
            return false;
        };
        self.replies.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        );
        let accept = format!("Sec-WebSocket-Accept: {}\r\n\r\n", derive_accept_key(key));
        self.replies.extend_from_slice(accept.as_bytes());
        message::push_welcome(&mut self.replies);
        true
    }
}

/// As far as the comparison reads the engine's `/v1/stats`.
fn stats(FloorCounters { delivered, sends }: FloorCounters) -> String {
    let body = format!(r#"{{"shards":[{{"delivered":{delivered},"sends":{sends}}}]}}"#);
    let len = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}")
}

fn is_head(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\r\n\r\n")
}

fn find_key(head: &[u8]) -> Option<&[u8]> {
    let text = std::str::from_utf8(head).ok()?;
    let mut headers = text.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, key) = headers.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))?;
    Some(key.trim().as_bytes())
}
