//! A well-behaved client: tungstenite over a blocking socket, with a deadline on every read.

use super::{Envelope, PATIENCE, Server};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::TcpStream;
use tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};
use tungstenite::{Error, WebSocket};

pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    /// What arrived while `request` waited for its reply.
    set_aside: VecDeque<Envelope>,
    next_id: u64,
    welcome: Envelope,
}

/// The answer to a join.
pub(crate) struct Joined {
    pub(crate) epoch: String,
    pub(crate) offset: u64,
    pub(crate) members: u64,
    pub(crate) recovered: Option<bool>,
}

/// How the server ended a connection.
#[derive(Debug, PartialEq)]
pub(crate) struct Close {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl From<CloseFrame> for Close {
    fn from(frame: CloseFrame) -> Self {
        Self { code: frame.code.into(), reason: frame.reason.to_string() }
    }
}

impl Close {
    /// Checks code and variant, and that a reason which invites back says after how long.
    pub(crate) fn assert_retry(&self, code: u16, variant: &str) {
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
    pub(crate) fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .max_message_size(None)
            .max_frame_size(None);
        let url = format!("ws://{}/ws", server.address());
        let (socket, _) = tungstenite::client::client_with_config(url, stream, Some(config))
            .unwrap_or_else(|error| panic!("the upgrade failed: {error}"));
        let welcome = Envelope::parse("{}");
        let mut client = Self { socket, set_aside: VecDeque::new(), next_id: 1, welcome };
        client.welcome = client.recv();
        assert_eq!(client.welcome.event(), "cast:welcome", "the welcome is the first message");
        client
    }

    /// Connects again and again until the kernel hands the connection to this shard.
    pub(crate) fn connect_on(server: &Server, shard: u64) -> Self {
        (0..500)
            .map(|_| Self::connect(server))
            .find(|client| client.shard() == shard)
            .unwrap_or_else(|| panic!("none of 500 connections came to shard {shard}"))
    }

    pub(crate) fn welcome(&self) -> &Envelope {
        &self.welcome
    }

    pub(crate) fn shard(&self) -> u64 {
        self.welcome.data_number("shard")
    }

    /// The connection's id, as the HTTP side wants it.
    pub(crate) fn connection(&self) -> String {
        self.welcome.data()["connection"].as_str().unwrap().to_owned()
    }

    pub(crate) fn send(&mut self, command: &Value) {
        self.send_text(&command.to_string());
    }

    pub(crate) fn send_text(&mut self, text: &str) {
        let sent = self.socket.send(Message::text(text));
        sent.unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// The next message in the order of arrival.
    pub(crate) fn recv(&mut self) -> Envelope {
        match self.set_aside.pop_front() {
            Some(envelope) => envelope,
            None => self.read(),
        }
    }

    /// The next message, which must be of this event.
    pub(crate) fn recv_event(&mut self, event: &str) -> Envelope {
        let envelope = self.recv();
        assert_eq!(envelope.event(), event, "in {envelope:?}");
        envelope
    }

    /// Sends a command under a fresh id and waits for the reply; what else arrives keeps its order.
    pub(crate) fn request(&mut self, mut command: Value) -> Envelope {
        let id = format!("request-{}", self.next_id);
        self.next_id += 1;
        command["id"] = json!(id);
        self.send(&command);
        loop {
            let envelope = self.read();
            if envelope.value("id") == json!(id) {
                return envelope;
            }
            self.set_aside.push_back(envelope);
        }
    }

    pub(crate) fn join(&mut self, room: &str) -> Joined {
        self.join_with(json!({"event": "cast:join", "room": room}))
    }

    /// Joins asking for what came since `offset`.
    pub(crate) fn join_since(&mut self, room: &str, epoch: &str, offset: u64) -> Joined {
        let since = json!({"since": {"epoch": epoch, "offset": offset}});
        self.join_with(json!({"event": "cast:join", "room": room, "data": since}))
    }

    fn join_with(&mut self, command: Value) -> Joined {
        let reply = self.request(command.clone());
        assert_eq!(reply.event(), "cast:joined", "in {reply:?}");
        assert_eq!(json!(reply.room()), command["room"]);
        let data = reply.data();
        Joined {
            epoch: data["epoch"].as_str().unwrap().to_owned(),
            offset: reply.data_number("offset"),
            members: reply.data_number("members"),
            recovered: data.get("recovered").map(|flag| flag.as_bool().unwrap()),
        }
    }

    /// Leaves and tells up to which offset everything was sent.
    pub(crate) fn leave(&mut self, room: &str) -> u64 {
        let reply = self.request(json!({"event": "cast:leave", "room": room}));
        assert_eq!(reply.event(), "cast:left", "in {reply:?}");
        assert_eq!(reply.room(), room);
        reply.data_number("offset")
    }

    /// Publishes and tells the offset that the home gave it.
    pub(crate) fn publish(&mut self, room: &str, event: &str, data: Value) -> u64 {
        let inner = json!({"event": event, "data": data});
        let reply = self.request(json!({"event": "cast:publish", "room": room, "data": inner}));
        assert_eq!(reply.event(), "cast:ack", "in {reply:?}");
        reply.data_number("offset")
    }

    pub(crate) fn broadcast(&mut self, event: &str, data: Value) {
        let inner = json!({"event": event, "data": data});
        let reply = self.request(json!({"event": "cast:broadcast", "data": inner}));
        assert_eq!(reply.event(), "cast:ack", "in {reply:?}");
    }

    /// Proves that the connection is open and still answers.
    pub(crate) fn assert_alive(&mut self) {
        let reply = self.request(json!({"event": "cast:ping"}));
        assert_eq!(reply.event(), "cast:pong", "in {reply:?}");
    }

    /// Proves that no earlier command left an unread reply behind: a pong is the very next message.
    pub(crate) fn assert_nothing_pending(&mut self) {
        self.assert_alive();
        assert!(self.set_aside.is_empty(), "unexpected: {:?}", self.set_aside);
    }

    /// The next message must be the server's goodbye, and the end of the socket must follow it.
    pub(crate) fn expect_close(&mut self) -> Close {
        assert!(self.set_aside.is_empty(), "unexpected: {:?}", self.set_aside);
        let close = loop {
            match self.socket.read() {
                Ok(Message::Close(frame)) => break frame,
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("expected a close frame, got {other:?}"),
            }
        };
        match self.socket.read() {
            Err(Error::ConnectionClosed) => {}
            other => panic!("expected the end after the close frame, got {other:?}"),
        }
        close.expect("the server's close frame carries a code").into()
    }

    /// The next message, or the goodbye.
    pub(crate) fn envelope_or_close(&mut self) -> Result<Envelope, Close> {
        loop {
            match self.next_message() {
                Message::Text(text) => return Ok(Envelope::parse(&text)),
                Message::Close(Some(frame)) => return Err(Close::from(frame)),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("expected an envelope or a close, got {other:?}"),
            }
        }
    }

    /// Sends to a server that may be saying goodbye at this moment.
    pub(crate) fn try_send(&mut self, command: &Value) {
        let _ = self.socket.send(Message::text(command.to_string()));
    }

    /// The next WebSocket message of any kind; tungstenite answers pings by itself.
    pub(crate) fn next_message(&mut self) -> Message {
        match self.socket.read() {
            Ok(message) => message,
            Err(Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                panic!("nothing arrived within {PATIENCE:?}");
            }
            Err(error) => panic!("the connection broke: {error}"),
        }
    }

    fn read(&mut self) -> Envelope {
        self.envelope_or_close().unwrap_or_else(|close| panic!("closed with {close:?}"))
    }
}
