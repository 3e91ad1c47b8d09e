//! A client's WebSocket, which may die at any moment.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use tungstenite::error::ProtocolError;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use super::ledger::Ledger;

/// How long a connection that lives may be silent when something is owed to it. Longer than any
/// pause that a fault may cause, on a machine that does other things too.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// How long one look for a message takes at most.
const LOOK: Duration = Duration::from_millis(100);

/// An open WebSocket, which tells the ledger what no fault may cause.
pub(super) struct Socket<'a> {
    socket: WebSocket<TcpStream>,
    ledger: &'a Ledger,
}

/// What a look for a message finds.
#[derive(Debug)]
pub(super) enum Heard {
    Said(Value),
    Nothing,
    /// The server has closed the connection, with this code and reason.
    Closed(u16, String),
    /// The connection is dead.
    Died,
}

impl<'a> Socket<'a> {
    /// Connects; none when the connection dies before the server has welcomed it.
    pub(super) fn connect(address: SocketAddr, ledger: &'a Ledger) -> Option<Socket<'a>> {
        let stream = TcpStream::connect(address).ok()?;
        // For the handshake, which is not taken up again after a timeout.
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        let socket = match tungstenite::client(format!("ws://{address}/ws"), stream) {
            Ok((socket, _)) => socket,
            Err(HandshakeError::Interrupted(_)) => {
                ledger.fail("a handshake is not answered, and its connection lives".to_owned());
                return None;
            }
            Err(HandshakeError::Failure(_)) => return None,
        };
        socket.get_ref().set_read_timeout(Some(LOOK)).ok()?;
        let mut socket = Socket { socket, ledger };
        socket.answer("a welcome", |said| said["event"] == "cast:welcome").map(|_| socket)
    }

    /// Says something; false when the connection is dead.
    pub(super) fn say(&mut self, text: String) -> bool {
        self.socket.send(Message::text(text)).is_ok()
    }

    /// Looks for the next message.
    pub(super) fn hear(&mut self) -> Heard {
        match self.socket.read() {
            Ok(Message::Text(text)) => match serde_json::from_str(&text) {
                Ok(said) => Heard::Said(said),
                Err(error) => self.wrong(format!("{error} in {text}")),
            },
            Ok(Message::Close(frame)) => {
                let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                    (frame.code.into(), frame.reason.to_string())
                });
                Heard::Closed(code, reason)
            }
            Ok(_) => Heard::Nothing,
            Err(Error::Io(error)) if is_passing(error.kind()) => Heard::Nothing,
            Err(
                Error::Io(_)
                | Error::ConnectionClosed
                | Error::AlreadyClosed
                | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
            ) => Heard::Died,
            Err(error) => self.wrong(error.to_string()),
        }
    }

    fn wrong(&self, what: String) -> Heard {
        self.ledger.fail(format!("bytes that are no message: {what}"));
        Heard::Died
    }

    /// Waits for a certain message and passes over others; none when the connection dies first.
    pub(super) fn answer(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Option<Value> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            match self.hear() {
                Heard::Said(said) if is_it(&said) => return Some(said),
                Heard::Said(_) | Heard::Nothing => {}
                Heard::Died => return None,
                Heard::Closed(code, reason) => {
                    self.ledger.fail(format!("closed with {code} {reason} instead of {what}"));
                    return None;
                }
            }
        }
        self.ledger.fail(format!("{what} does not come, and the connection lives"));
        None
    }

    /// Ends the connection as browsers do.
    pub(super) fn close(mut self) {
        // It may be dead already.
        let _ = self.socket.close(None);
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE && self.socket.read().is_ok() {}
    }
}

fn is_passing(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
