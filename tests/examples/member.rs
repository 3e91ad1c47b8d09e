//! A member of a room.

use std::net::TcpStream;

use serde_json::{Value, json};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

use crate::program::PATIENCE;

pub(crate) struct Socket(WebSocket<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Connects, and joins a room.
    pub(crate) fn join(address: &str, room: &str) -> Socket {
        let mut socket = Socket::connect(address);
        socket.send(&json!({"event": "cast:join", "room": room}));
        assert_eq!(socket.receive()["event"], "cast:joined");
        socket
    }

    /// Connects, and takes the welcome.
    pub(crate) fn connect(address: &str) -> Socket {
        let (mut socket, _) = tungstenite::connect(address).unwrap();
        let MaybeTlsStream::Plain(stream) = socket.get_mut() else { unreachable!("no TLS here") };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut socket = Socket(socket);
        assert_eq!(socket.receive()["event"], "cast:welcome");
        socket
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    pub(crate) fn receive(&mut self) -> Value {
        serde_json::from_str(self.0.read().unwrap().to_text().unwrap()).unwrap()
    }

    /// Reads up to the server's goodbye, and returns its reason.
    pub(crate) fn goodbye(&mut self) -> String {
        loop {
            if let Message::Close(Some(close)) = self.0.read().unwrap() {
                while self.0.read().is_ok() {}
                return close.reason.to_string();
            }
        }
    }
}
