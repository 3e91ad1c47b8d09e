//! One client: what it knows of its room, and what has come of that.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use corecast_shards::wire::server_frame_len;
use rustix::net::sockopt::set_socket_linger;

use crate::text_frame::push_text;

/// What came, counted over all clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Joins that were answered, those of them whose client got what it missed, and those that were
    /// refused that.
    pub(super) joined: u64,
    pub(super) recovered: u64,
    pub(super) refused: u64,
    /// Messages, those that came although they had come, and those that were passed over.
    pub(super) messages: u64,
    pub(super) repeated: u64,
    pub(super) missed: u64,
    /// Connections that ended by themselves.
    pub(super) lost: u64,
}

/// Up to where a client has read.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    epoch: String,
    pub(super) offset: u64,
}

/// One client.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) room: usize,
    pub(super) place: Place,
    stream: Option<TcpStream>,
    /// What came of a frame, or of the answer to the handshake, that is not whole.
    rest: Vec<u8>,
    is_upgraded: bool,
}

impl Member {
    pub(super) fn new(room: usize) -> Member {
        let (place, rest) = (Place::default(), Vec::new());
        Member { room, place, stream: None, rest, is_upgraded: false }
    }

    pub(super) fn stream(&self) -> Option<&TcpStream> {
        self.stream.as_ref()
    }

    /// Connects, and asks for its room, from where it has read if that is wanted.
    pub(super) fn connect(&mut self, address: SocketAddr, since: bool) -> io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let head = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let mut request = head.into_bytes();
        push_text(&mut request, &self.join(since));
        stream.write_all(&request)?;
        stream.set_nonblocking(true)?;
        self.rest.clear();
        self.is_upgraded = false;
        self.stream = Some(stream);
        Ok(())
    }

    fn join(&self, since: bool) -> String {
        let Place { epoch, offset } = &self.place;
        let since = match since {
            true => format!(r#","data":{{"since":{{"epoch":"{epoch}","offset":{offset}}}}}"#),
            false => String::new(),
        };
        format!(r#"{{"event":"cast:join","room":"{}"{since}}}"#, room_name(self.room))
    }

    /// Goes as if its machine had died.
    pub(super) fn cut(&mut self) -> io::Result<()> {
        if let Some(stream) = self.stream.take() {
            set_socket_linger(&stream, Some(std::time::Duration::ZERO))?;
        }
        Ok(())
    }

    /// Reads what there is. Returns false when the connection has ended.
    pub(super) fn read(&mut self, buffer: &mut [u8], heard: &mut Heard) -> io::Result<bool> {
        let Some(stream) = &mut self.stream else { return Ok(true) };
        let len = match stream.read(buffer) {
            Ok(0) => 0,
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(_) => 0,
        };
        if len == 0 {
            heard.lost += 1;
            self.stream = None;
            return Ok(false);
        }
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(&buffer[..len]);
        let taken = self.take(&bytes, heard)?;
        bytes.drain(..taken);
        self.rest = bytes;
        if self.rest.is_empty() {
            self.rest = Vec::new();
        }
        Ok(true)
    }

    /// Returns how many of the bytes were whole.
    fn take(&mut self, bytes: &[u8], heard: &mut Heard) -> io::Result<usize> {
        let mut at = 0;
        if !self.is_upgraded {
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                return Ok(0);
            };
            if !bytes.starts_with(b"HTTP/1.1 101 ") {
                let head = String::from_utf8_lossy(&bytes[..end]);
                return Err(io::Error::other(format!("a handshake was refused: {head}")));
            }
            at = end + 4;
            self.is_upgraded = true;
        }
        while let Some(len) = server_frame_len(&bytes[at..]).filter(|len| at + len <= bytes.len()) {
            self.hear(&bytes[at..at + len], heard)?;
            at += len;
        }
        Ok(at)
    }

    fn hear(&mut self, frame: &[u8], heard: &mut Heard) -> io::Result<()> {
        if frame[0] != 0x81 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(frame);
        if text.contains(r#""event":"cast:joined""#) {
            return self.hear_joined(&text, heard);
        }
        if text.contains(r#""event":"cast:error""#) {
            return Err(io::Error::other(format!("a join was refused: {text}")));
        }
        if text.contains(r#""event":"cast:"#) {
            return Ok(());
        }
        let offset = number(&text, "offset")?;
        heard.messages += 1;
        heard.repeated += u64::from(offset <= self.place.offset);
        heard.missed += offset.saturating_sub(self.place.offset + 1);
        self.place.offset = self.place.offset.max(offset);
        Ok(())
    }

    fn hear_joined(&mut self, text: &str, heard: &mut Heard) -> io::Result<()> {
        heard.joined += 1;
        let is_recovered = text.contains(r#""recovered":true"#);
        heard.recovered += u64::from(is_recovered);
        heard.refused += u64::from(text.contains(r#""recovered":false"#));
        if !is_recovered {
            self.place = Place { epoch: epoch(text)?, offset: number(text, "offset")? };
        }
        Ok(())
    }
}

/// The name of a room.
pub(super) fn room_name(room: usize) -> String {
    format!("room-{room}")
}

/// The last number of this name in a message of the server.
pub(super) fn number(text: &str, name: &str) -> io::Result<u64> {
    let name = format!("\"{name}\":");
    let value = text.rfind(&name).map(|at| &text[at + name.len()..]);
    let digits = value.map(|value| value.split(|c: char| !c.is_ascii_digit()).next());
    let number = digits.flatten().and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("no {name} in {text}")))
}

fn epoch(text: &str) -> io::Result<String> {
    let value = text.split_once(r#""epoch":""#).and_then(|(_, rest)| rest.split('"').next());
    value.map(str::to_owned).ok_or_else(|| io::Error::other(format!("no epoch in {text}")))
}

#[cfg(test)]
mod tests {
    use corecast_shards::wire::{Opcode, push_frame};

    use super::*;

    fn heard(messages: &[&str]) -> Heard {
        let (mut member, mut heard) = (Member::new(0), Heard::default());
        let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        messages.iter().for_each(|text| push_frame(&mut bytes, Opcode::Text, text.as_bytes()));
        let mut from = 0;
        // However it is cut.
        for to in 0..=bytes.len() {
            from += member.take(&bytes[from..to], &mut heard).unwrap();
        }
        assert_eq!(from, bytes.len());
        heard
    }

    #[test]
    fn what_is_repeated_or_passed_over_is_counted() {
        let joined =
            r#"{"event":"cast:joined","room":"r","data":{"epoch":"e","offset":4,"members":1}}"#;
        let message = |offset| format!(r#"{{"event":"m","data":0,"room":"r","offset":{offset}}}"#);
        let (five, six, nine) = (message(5), message(6), message(9));
        let all = heard(&[joined, &five, &six, &six, &nine]);
        let expected = Heard { joined: 1, messages: 4, repeated: 1, missed: 2, ..Heard::default() };
        assert_eq!(all, expected);
    }

    #[test]
    fn a_recovery_goes_on_where_its_client_stopped() {
        let joined = r#"{"event":"cast:joined","room":"r","data":{"epoch":"e","offset":2,"members":1,"recovered":true}}"#;
        let message = |offset| format!(r#"{{"event":"m","data":0,"room":"r","offset":{offset}}}"#);
        let all = heard(&[joined, &message(1), &message(2), &message(3)]);
        let expected = Heard { joined: 1, recovered: 1, messages: 3, ..Heard::default() };
        assert_eq!(all, expected);
    }

    #[test]
    fn a_refused_handshake_is_an_error() {
        let (mut member, mut heard) = (Member::new(0), Heard::default());
        let refused = member.take(b"HTTP/1.1 503 Service Unavailable\r\n\r\n", &mut heard);
        assert!(refused.unwrap_err().to_string().contains("503"));
    }
}
