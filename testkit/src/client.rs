//! A well-behaved client: tungstenite over a blocking socket.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Response;
use tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tungstenite::{Error, HandshakeError, WebSocket};

use crate::{Envelope, PATIENCE, Wait};

/// One connection to a server that speaks protocol 1.
#[derive(Debug)]
pub struct Client {
    socket: WebSocket<Restarted>,
    /// What arrived while `request` waited for its reply.
    set_aside: VecDeque<Envelope>,
    next_id: u64,
    welcome: Option<Envelope>,
}

/// A socket whose reads with a timeout are taken up again after a signal; the kernel does not
/// (signal(7)), and a server in the same process gets signals.
#[derive(Debug)]
struct Restarted(TcpStream);

/// The answer to a join.
#[derive(Debug)]
pub struct Joined {
    /// The room's epoch.
    pub epoch: String,
    /// The room's last offset.
    pub offset: u64,
    /// Members of the room, this one included.
    pub members: u64,
    /// Whether what was asked for with `since` follows.
    pub recovered: Option<bool>,
    /// Why it does not.
    pub reason: Option<String>,
}

/// How the server ended a connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Close {
    /// The close code.
    pub code: u16,
    /// The reason.
    pub reason: String,
}

/// The response of a server that takes no connection.
pub type Refused = Box<Response>;

impl From<CloseFrame> for Close {
    fn from(frame: CloseFrame) -> Self {
        Self { code: frame.code.into(), reason: frame.reason.to_string() }
    }
}

impl Close {
    /// Checks code and variant, and that a reason which invites back says after how long.
    pub fn assert_retry(&self, code: u16, variant: &str) {
        assert_eq!(self.code, code, "in {self:?}");
        let (name, retry) = self.reason.split_once(" retry=").unwrap_or_else(|| {
            panic!("{self:?} does not say after how long to reconnect");
        });
        assert_eq!(name, variant, "in {self:?}");
        retry.parse::<u64>().unwrap_or_else(|_| panic!("retry= is no number of ms in {self:?}"));
    }
}

impl Client {
    /// Connects and takes the welcome.
    pub fn connect(server: impl Into<SocketAddr>) -> Self {
        Self::connect_to(server, "/ws")
    }

    /// The same at another target, such as `/ws?name=ada`.
    pub fn connect_to(server: impl Into<SocketAddr>, target: &str) -> Self {
        let opened = Self::open(server, target, &[]);
        let mut client = opened.unwrap_or_else(|refused| panic!("the upgrade failed: {refused:?}"));
        client.welcome = Some(client.recv_event("cast:welcome"));
        client
    }

    /// Connects again and again until the kernel hands the connection to this shard.
    pub fn connect_on(server: impl Into<SocketAddr>, shard: u64) -> Self {
        let address = server.into();
        (0..500)
            .map(|_| Self::connect(address))
            .find(|client| client.shard() == shard)
            .unwrap_or_else(|| panic!("none of 500 connections came to shard {shard}"))
    }

    /// Connects with these header fields, and takes no welcome.
    ///
    /// # Errors
    ///
    /// The response, when the server refuses.
    pub fn open(
        server: impl Into<SocketAddr>,
        target: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Refused> {
        let address = server.into();
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("it is a TCP socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("it is not zero");
        let mut request = format!("ws://{address}{target}")
            .into_client_request()
            .expect("the test gives a legal target");
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(*name, value.parse().expect("the test gives a legal value"));
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .max_message_size(None)
            .max_frame_size(None);
        match tungstenite::client::client_with_config(request, Restarted(stream), Some(config)) {
            Ok((socket, _)) => {
                Ok(Self { socket, set_aside: VecDeque::new(), next_id: 1, welcome: None })
            }
            Err(HandshakeError::Failure(Error::Http(response))) => {
                let (head, body) = response.into_parts();
                Err(Box::new(Response::from_parts(head, body)))
            }
            Err(error) => panic!("neither accepted nor refused: {error}"),
        }
    }

    /// What the server said first.
    pub fn welcome(&self) -> &Envelope {
        self.welcome.as_ref().expect("`connect` takes the welcome")
    }

    /// The shard that has this connection.
    pub fn shard(&self) -> u64 {
        self.welcome().data_number("shard")
    }

    /// The connection's id, as the HTTP side wants it.
    pub fn connection(&self) -> String {
        self.welcome().data()["connection"].as_str().expect("an id is text").to_owned()
    }

    /// Sends a command.
    pub fn send(&mut self, command: &Value) {
        self.send_text(&command.to_string());
    }

    /// Sends a message as it is written here.
    pub fn send_text(&mut self, text: &str) {
        let sent = self.socket.send(Message::text(text));
        sent.unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// Sends to a server that may be saying goodbye at this moment.
    pub fn try_send(&mut self, command: &Value) {
        let _ = self.socket.send(Message::text(command.to_string()));
    }

    /// The next message in the order of arrival.
    pub fn recv(&mut self) -> Envelope {
        match self.set_aside.pop_front() {
            Some(envelope) => envelope,
            None => self.next_envelope(),
        }
    }

    /// The next message, which must be of this event.
    pub fn recv_event(&mut self, event: &str) -> Envelope {
        let envelope = self.recv();
        assert_eq!(envelope.event(), event, "in {envelope:?}");
        envelope
    }

    /// The next message, which must be this one.
    pub fn expect(&mut self, expected: Value) {
        assert_eq!(self.recv(), expected);
    }

    /// Sends a command under a fresh id and waits for the reply; what else arrives keeps its order.
    pub fn request(&mut self, mut command: Value) -> Envelope {
        let id = format!("request-{}", self.next_id);
        self.next_id += 1;
        command["id"] = json!(id);
        self.send(&command);
        let wait = Wait::begin();
        loop {
            let envelope = self.next_envelope();
            if envelope.value("id") == json!(id) {
                return envelope;
            }
            wait.goes_on(&envelope);
            self.set_aside.push_back(envelope);
        }
    }

    /// Joins a room.
    pub fn join(&mut self, room: &str) -> Joined {
        self.join_with(json!({"event": "cast:join", "room": room}))
    }

    /// Joins asking for what came since `offset`.
    pub fn join_since(&mut self, room: &str, epoch: &str, offset: u64) -> Joined {
        let since = json!({"since": {"epoch": epoch, "offset": offset}});
        self.join_with(json!({"event": "cast:join", "room": room, "data": since}))
    }

    /// Joins asking for the newest messages.
    pub fn join_last(&mut self, room: &str, last: u64) -> Joined {
        self.join_with(json!({"event": "cast:join", "room": room, "data": {"last": last}}))
    }

    fn join_with(&mut self, command: Value) -> Joined {
        let reply = self.request(command.clone());
        assert_eq!(reply.event(), "cast:joined", "in {reply:?}");
        assert_eq!(json!(reply.room()), command["room"]);
        let data = reply.data();
        Joined {
            epoch: data["epoch"].as_str().expect("an epoch is text").to_owned(),
            offset: reply.data_number("offset"),
            members: reply.data_number("members"),
            recovered: data
                .get("recovered")
                .map(|flag| flag.as_bool().expect("it is true or false")),
            reason: data
                .get("reason")
                .map(|reason| reason.as_str().expect("a reason is text").to_owned()),
        }
    }

    /// Leaves. Returns the offset up to which everything was sent.
    pub fn leave(&mut self, room: &str) -> u64 {
        let reply = self.request(json!({"event": "cast:leave", "room": room}));
        assert_eq!(reply.event(), "cast:left", "in {reply:?}");
        assert_eq!(reply.room(), room);
        reply.data_number("offset")
    }

    /// Publishes. Returns the offset that the home gave to the message.
    pub fn publish(&mut self, room: &str, event: &str, data: Value) -> u64 {
        let inner = json!({"event": event, "data": data});
        let reply = self.request(json!({"event": "cast:publish", "room": room, "data": inner}));
        assert_eq!(reply.event(), "cast:ack", "in {reply:?}");
        reply.data_number("offset")
    }

    /// Publishes to all connections.
    pub fn broadcast(&mut self, event: &str, data: Value) {
        let inner = json!({"event": event, "data": data});
        let reply = self.request(json!({"event": "cast:broadcast", "data": inner}));
        assert_eq!(reply.event(), "cast:ack", "in {reply:?}");
    }

    /// Proves that the connection is open and still answers.
    pub fn assert_alive(&mut self) {
        let reply = self.request(json!({"event": "cast:ping"}));
        assert_eq!(reply.event(), "cast:pong", "in {reply:?}");
    }

    /// Proves that no earlier command left an unread reply behind: a pong is the very next message.
    pub fn assert_nothing_pending(&mut self) {
        self.assert_alive();
        assert!(self.set_aside.is_empty(), "unexpected: {:?}", self.set_aside);
    }

    /// The next message must be the server's goodbye, and the end of the socket must follow it.
    pub fn expect_close(&mut self) -> Close {
        assert!(self.set_aside.is_empty(), "unexpected: {:?}", self.set_aside);
        let wait = Wait::begin();
        let close = loop {
            match self.read() {
                Ok(Message::Close(frame)) => break frame,
                Ok(between @ (Message::Ping(_) | Message::Pong(_))) => wait.goes_on(&between),
                other => panic!("expected a close frame, got {other:?}"),
            }
        };
        match self.read() {
            Err(Error::ConnectionClosed) => {}
            other => panic!("expected the end after the close frame, got {other:?}"),
        }
        close.expect("the server's close frame carries a code").into()
    }

    /// Reads up to the server's goodbye, and to the end of the socket.
    pub fn goodbye(&mut self) -> Close {
        let wait = Wait::begin();
        loop {
            match self.next_message() {
                Message::Close(Some(close)) => {
                    while self.read().is_ok() {}
                    return close.into();
                }
                before => wait.goes_on(&before),
            }
        }
    }

    /// The next message, or the goodbye.
    pub fn envelope_or_close(&mut self) -> Result<Envelope, Close> {
        let wait = Wait::begin();
        loop {
            match self.next_message() {
                Message::Text(text) => return Ok(Envelope::parse(&text)),
                Message::Close(Some(frame)) => return Err(Close::from(frame)),
                between @ (Message::Ping(_) | Message::Pong(_)) => wait.goes_on(&between),
                other => panic!("expected an envelope or a close, got {other:?}"),
            }
        }
    }

    /// The next WebSocket message of any kind; tungstenite answers pings by itself.
    pub fn next_message(&mut self) -> Message {
        match self.read() {
            Ok(message) => message,
            Err(Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                panic!("nothing arrived within {PATIENCE:?}");
            }
            Err(error) => panic!("the connection broke: {error}"),
        }
    }

    /// The next WebSocket message of any kind, or how the connection ended.
    ///
    /// # Errors
    ///
    /// Those of tungstenite.
    pub fn read(&mut self) -> tungstenite::Result<Message> {
        self.socket.read()
    }

    /// The connection below.
    pub fn stream(&self) -> &TcpStream {
        &self.socket.get_ref().0
    }

    fn next_envelope(&mut self) -> Envelope {
        self.envelope_or_close().unwrap_or_else(|close| panic!("closed with {close:?}"))
    }
}

impl Read for Restarted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl Write for Restarted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
