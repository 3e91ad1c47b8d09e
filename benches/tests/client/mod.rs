//! A client of the tests here.

#![allow(dead_code, reason = "not every test does everything")]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::{Error, Message, WebSocket};

/// A WebSocket client that we did not write.
pub(crate) struct Client(WebSocket<TcpStream>);

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        // The handshake first: a read with a timeout is not taken up again after a signal.
        let (socket, _) = tungstenite::client(format!("ws://{address}/ws"), stream).unwrap();
        socket.get_ref().set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut client = Client(socket);
        let welcome = client.next();
        assert_eq!(welcome["event"], "cast:welcome");
        assert_eq!(welcome["data"]["protocol"], 1);
        client
    }

    pub(crate) fn next(&mut self) -> Value {
        // A read with a timeout is not taken up again by itself (signal(7)).
        let message = loop {
            match self.0.read() {
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                message => break message.expect("a message within the timeout"),
            }
        };
        serde_json::from_str(message.to_text().unwrap()).unwrap()
    }

    pub(crate) fn say(&mut self, text: String) {
        self.0.send(Message::text(text)).unwrap();
    }

    pub(crate) fn join(&mut self, room: &str) {
        self.say(format!(r#"{{"event":"cast:join","room":"{room}","id":1}}"#));
        let joined = self.next();
        assert_eq!((&joined["event"], &joined["id"]), (&json!("cast:joined"), &json!(1)));
        assert_eq!((&joined["room"], &joined["data"]["offset"]), (&json!(room), &json!(0)));
    }

    pub(crate) fn assert_silent(&mut self, time: Duration) {
        self.0.get_ref().set_read_timeout(Some(time)).unwrap();
        let more = self.0.read();
        assert!(more.is_err(), "one message too many: {more:?}");
    }
}
