//! A TCP connection by hand: any bytes may be written, and every byte of the answer is looked at.

use super::frames::{self, CLOSE, PING, PONG, TEXT};
use super::{Close, Envelope, PATIENCE, Response, Server};
use corecast_testkit::Wait;
use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// The example of RFC 6455 section 1.3, whose answer is known.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The head of a valid upgrade, with more header lines if wanted (each ended by `\r\n`).
pub(crate) fn upgrade_head(more: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

pub(crate) struct Raw {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// What the welcome says, once there was one.
    connection: String,
    shard: u64,
}

impl Raw {
    pub(crate) fn dial(address: SocketAddr) -> Self {
        Self::from_stream(TcpStream::connect(address).unwrap())
    }

    /// Connects from this address of loopback.
    pub(crate) fn dial_from(from: [u8; 4], address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::from_stream(socket.into())
    }

    /// Upgrades and takes the welcome.
    pub(crate) fn open(server: &Server) -> Self {
        let mut raw = Self::dial(server.address());
        raw.upgrade();
        raw
    }

    /// Asks for an upgrade at this target with more header lines (each ended by `\r\n`), and takes
    /// the welcome; or the refusal.
    pub(crate) fn try_open(server: &Server, target: &str, more: &str) -> Result<Self, Response> {
        let mut raw = Self::dial(server.address());
        raw.write(upgrade_head(more).replacen("/ws", target, 1).as_bytes());
        let response = raw.response();
        if response.status != 101 {
            return Err(response);
        }
        raw.take_welcome();
        Ok(raw)
    }

    /// The same with a token in `Authorization`.
    pub(crate) fn try_open_with(server: &Server, token: &str) -> Result<Self, Response> {
        Self::try_open(server, "/ws", &format!("Authorization: Bearer {token}\r\n"))
    }

    /// Sends a command with an id and returns its answer; messages of rooms are passed over.
    pub(crate) fn command(&mut self, command: &Value) -> Envelope {
        let mut command = command.clone();
        command["id"] = "c".into();
        self.send(&command);
        loop {
            let envelope = self.envelope();
            if envelope.has("id") {
                return envelope;
            }
        }
    }

    /// What a command is answered with: its event, or the code of the error.
    pub(crate) fn outcome(&mut self, event: &str, room: &str) -> String {
        let data = serde_json::json!({"event": "e"});
        let answer = match event {
            "cast:join" => self.command(&serde_json::json!({"event": event, "room": room})),
            _ => self.command(&serde_json::json!({"event": event, "room": room, "data": data})),
        };
        match answer.event().as_str() {
            "cast:error" => answer.error_code(),
            other => other.to_owned(),
        }
    }

    /// The same with a tiny receive buffer, so that the server soon feels it when nobody reads.
    pub(crate) fn open_narrow(server: &Server) -> Self {
        let mut raw = Self::dial_narrow(server.address());
        raw.upgrade();
        raw
    }

    /// Connects with such a buffer.
    pub(crate) fn dial_narrow(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::from_stream(socket.into())
    }

    /// Writes all of this again and again, reading nothing, until the server hangs up; false when
    /// it never does.
    pub(crate) fn write_until_refused(&mut self, bytes: &[u8]) -> bool {
        self.stream.set_write_timeout(Some(3 * PATIENCE)).unwrap();
        (0..100).any(|_| match self.stream.write_all(bytes) {
            Ok(()) => false,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        })
    }

    fn from_stream(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, inbox: Vec::new(), connection: String::new(), shard: 0 }
    }

    fn upgrade(&mut self) {
        self.write(upgrade_head("").as_bytes());
        self.expect_upgraded();
        self.take_welcome();
    }

    fn take_welcome(&mut self) {
        let welcome = self.envelope();
        assert_eq!(welcome.event(), "cast:welcome", "the welcome is the first message");
        self.connection = welcome.data()["connection"].as_str().unwrap().to_owned();
        self.shard = welcome.data()["shard"].as_u64().unwrap();
    }

    /// The shard that has the connection.
    pub(crate) fn shard(&self) -> u64 {
        self.shard
    }

    /// The connection's id, as the HTTP side wants it.
    pub(crate) fn connection(&self) -> &str {
        &self.connection
    }

    /// Checks the 101 and its accept key.
    pub(crate) fn expect_upgraded(&mut self) -> Response {
        let response = self.response();
        assert_eq!(response.status, 101, "in {response:?}");
        assert_eq!(response.header("sec-websocket-accept"), Some(ACCEPT));
        response
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap_or_else(|error| panic!("cannot write: {error}"));
    }

    /// Writes to a server that may already have hung up; tells whether it took the bytes.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        self.write(&frames::text(text));
    }

    pub(crate) fn send(&mut self, command: &Value) {
        self.send_text(&command.to_string());
    }

    /// A second handle on the same socket, to write in one thread and read in another.
    pub(crate) fn writer(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Ends our half; the server may go on sending.
    pub(crate) fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Drops the connection with a reset, as a killed machine's kernel would.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// The next frame's opcode and payload, or `None` at the end, which never cuts a frame.
    pub(crate) fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = frames::decode(&self.inbox) {
                let payload = self.inbox[frame.payload.clone()].to_vec();
                self.inbox.drain(..frame.payload.end);
                return Some((frame.opcode, payload));
            }
            if self.read_more() == 0 {
                assert!(self.inbox.is_empty(), "the end cut a frame: {:?}", self.inbox);
                return None;
            }
        }
    }

    /// Whether the next frame was read together with the last one.
    pub(crate) fn has_frame(&self) -> bool {
        frames::decode(&self.inbox).is_some()
    }

    /// The next text message.
    pub(crate) fn envelope(&mut self) -> Envelope {
        Envelope::parse(&self.text())
    }

    /// The next text message exactly as it was sent.
    pub(crate) fn text(&mut self) -> String {
        match self.frame() {
            Some((TEXT, payload)) => String::from_utf8(payload).unwrap(),
            other => panic!("expected a text message, got {}", describe(other)),
        }
    }

    /// The next text message, or the goodbye; the server's pings are passed over.
    pub(crate) fn envelope_or_close(&mut self) -> Result<Envelope, Close> {
        let wait = Wait::begin();
        loop {
            match self.frame() {
                Some((TEXT, payload)) => {
                    return Ok(Envelope::parse(std::str::from_utf8(&payload).unwrap()));
                }
                Some((CLOSE, payload)) => {
                    let (code, reason) = frames::close_payload(&payload);
                    return Err(Close { code, reason });
                }
                Some(between @ (PING | PONG, _)) => wait.goes_on(&between),
                other => panic!("expected an envelope or a close, got {}", describe(other)),
            }
        }
    }

    /// The next frame must be the server's goodbye, and then its half must end.
    pub(crate) fn expect_close(&mut self) -> Close {
        let close = match self.envelope_or_close() {
            Err(close) => close,
            Ok(envelope) => panic!("expected a close frame, got {envelope:?}"),
        };
        self.expect_end();
        close
    }

    /// Nothing but the end of the server's half may follow.
    pub(crate) fn expect_end(&mut self) {
        let rest = self.read_to_end();
        assert!(rest.is_empty(), "the server went on after its goodbye: {rest:?}");
    }

    /// All bytes up to the end. A reset counts as a failure: it can destroy bytes in flight.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        while self.read_more() > 0 {}
        std::mem::take(&mut self.inbox)
    }

    /// Whether anything can be read now, without taking it. Lets a writer stop when answered.
    pub(crate) fn has_answer(&self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).unwrap();
        !matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// The next HTTP answer; bytes behind it stay for the next reader.
    pub(crate) fn response(&mut self) -> Response {
        let response = parse_head(&self.head());
        self.complete(response)
    }

    /// Takes the body behind the head of an answer.
    pub(crate) fn complete(&mut self, mut response: Response) -> Response {
        response.body = self.body(&response);
        response
    }

    /// The head of the next HTTP answer as it was sent; the body stays for the next reader.
    pub(crate) fn head(&mut self) -> String {
        loop {
            if let Some(end) = find(&self.inbox, b"\r\n\r\n") {
                return String::from_utf8(self.inbox.drain(..end + 4).collect()).unwrap();
            }
            assert!(self.read_more() > 0, "the end came before an answer: {:?}", self.inbox);
        }
    }

    fn body(&mut self, response: &Response) -> Vec<u8> {
        if [100, 101, 204].contains(&response.status) {
            return Vec::new();
        }
        if response.header("transfer-encoding") == Some("chunked") {
            return self.chunks();
        }
        match response.header("content-length") {
            Some(length) => self.take(length.parse().unwrap()),
            None => self.read_to_end(),
        }
    }

    fn chunks(&mut self) -> Vec<u8> {
        std::iter::from_fn(|| self.chunk()).flatten().collect()
    }

    /// The next chunk of a body, or `None` behind the last one.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        while find(&self.inbox, b"\r\n").is_none() {
            assert!(self.read_more() > 0, "the end cut a chunk");
        }
        let end = find(&self.inbox, b"\r\n").unwrap();
        let line: Vec<u8> = self.inbox.drain(..end + 2).collect();
        let size = std::str::from_utf8(&line[..end]).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut chunk = self.take(size + 2);
        assert_eq!(chunk.split_off(size), b"\r\n", "a chunk ends with its line");
        (size > 0).then_some(chunk)
    }

    /// So many bytes as they were sent.
    pub(crate) fn take(&mut self, length: usize) -> Vec<u8> {
        while self.inbox.len() < length {
            assert!(self.read_more() > 0, "the end cut a body");
        }
        self.inbox.drain(..length).collect()
    }

    /// Reads at most so many bytes of those that are there, and forgets them.
    pub(crate) fn read_a_little(&mut self, bytes: usize) -> usize {
        self.stream.set_nonblocking(true).unwrap();
        let read = self.stream.read(&mut vec![0; bytes]);
        self.stream.set_nonblocking(false).unwrap();
        read.unwrap_or(0)
    }

    fn read_more(&mut self) -> usize {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(length) => {
                self.inbox.extend_from_slice(&buffer[..length]);
                length
            }
            // A read with a timeout is interrupted by any signal, and a server in the same process
            // uses some.
            Err(error) if error.kind() == ErrorKind::Interrupted => self.read_more(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                panic!("nothing arrived within {PATIENCE:?}; so far {:?}", self.inbox)
            }
            Err(error) => panic!("the connection broke: {error}"),
        }
    }
}

fn describe(frame: Option<(u8, Vec<u8>)>) -> String {
    match frame {
        None => "the end".to_owned(),
        Some((CLOSE, payload)) => format!("close {:?}", frames::close_payload(&payload)),
        Some((opcode, payload)) => {
            format!("opcode {opcode}: {}", String::from_utf8_lossy(&payload))
        }
    }
}

pub(crate) fn parse_head(head: &str) -> Response {
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap();
    let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status line: {status_line}"));
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Response { status, headers, body: Vec::new() }
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
