//! A client that we did not write, as these tests talk to it.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use corecast::{Builder, Executor, Limits, Server};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Response;
use tungstenite::{Message as Frame, WebSocket};

use crate::support::filter;

/// Every step of these tests takes milliseconds; whoever waits this long waits in vain.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a port of the system's choice that does not wait long for clients to go.
pub(crate) fn builder() -> Builder {
    if let Some(action) = filter::ambient() {
        // This thread, and with it those of its servers.
        seccompiler::apply_filter(&filter::program(&filter::IO_URING, action)).unwrap();
    }
    Server::builder().listen("127.0.0.1:0").limits(limits()).executor(executor())
}

/// What the servers of this run are to run on: `CORECAST_EXECUTOR`, as for those of the command.
fn executor() -> Executor {
    match std::env::var("CORECAST_EXECUTOR").as_deref() {
        Ok("plain") => Executor::Plain,
        Ok("glommio") => Executor::Glommio,
        Ok("auto") | Err(_) => Executor::Auto,
        Ok(other) => panic!("no executor is called {other}"),
    }
}

pub(crate) fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.close_timeout = Duration::from_millis(200);
    limits
}

#[derive(Debug)]
pub(crate) struct Socket(WebSocket<TcpStream>);

/// How the server ended a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Goodbye {
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Socket {
    /// Connects and takes the welcome.
    pub(crate) fn connect(address: SocketAddr) -> Socket {
        let mut socket = Socket::open(address, "/ws", &[]).expect("the server takes everybody");
        assert_eq!(socket.receive()["event"], "cast:welcome");
        socket
    }

    /// Sends a handshake with these header fields; the response when it is refused.
    pub(crate) fn open(
        address: SocketAddr,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, Box<Response>> {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => {
                // Not before: a read with a timeout is interrupted by any signal, and the server
                // shares our process.
                socket.get_ref().set_read_timeout(Some(PATIENCE)).unwrap();
                Ok(Socket(socket))
            }
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                let (head, body) = response.into_parts();
                Err(Box::new(Response::from_parts(head, body)))
            }
            Err(error) => panic!("neither accepted nor refused: {error}"),
        }
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    /// Sends a message as it is written here.
    pub(crate) fn send_text(&mut self, text: &str) {
        self.0.send(Frame::text(text.to_owned())).unwrap();
    }

    /// Sends a command and takes messages up to its answer.
    pub(crate) fn ask(&mut self, mut command: Value) -> Value {
        command["id"] = json!("asked");
        self.send(&command);
        loop {
            let answer = self.receive();
            if answer["id"] == "asked" {
                return answer;
            }
        }
    }

    pub(crate) fn join(&mut self, room: &str) {
        let joined = self.ask(json!({"event": "cast:join", "room": room}));
        assert_eq!(joined["event"], "cast:joined");
    }

    /// The next message.
    pub(crate) fn receive(&mut self) -> Value {
        serde_json::from_str(&self.receive_text()).unwrap()
    }

    /// The next message, as the server wrote it.
    pub(crate) fn receive_text(&mut self) -> String {
        self.read().unwrap().into_text().unwrap().to_string()
    }

    /// The next message, which is this one.
    pub(crate) fn expect(&mut self, expected: Value) {
        assert_eq!(self.receive(), expected);
    }

    /// Proves that nothing waits: what is asked for now is what comes next.
    pub(crate) fn expect_nothing(&mut self) {
        self.send(&json!({"event": "cast:ping", "id": "nothing"}));
        self.expect(json!({"event": "cast:pong", "id": "nothing"}));
    }

    /// Reads up to the server's close frame.
    pub(crate) fn goodbye(&mut self) -> Goodbye {
        loop {
            if let Frame::Close(Some(close)) = self.read().unwrap() {
                let (code, reason) = (close.code.into(), close.reason.to_string());
                while self.read().is_ok() {}
                return Goodbye { code, reason };
            }
        }
    }

    /// The connection below.
    pub(crate) fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    /// The next frame, whatever it is.
    pub(crate) fn read(&mut self) -> tungstenite::Result<Frame> {
        loop {
            match self.0.read() {
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

/// A future that any thread makes ready, once and for everybody.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    pub(crate) fn open(&self) {
        let mut state = self.0.lock().unwrap();
        state.0 = true;
        state.1.drain(..).for_each(Waker::wake);
    }

    /// A gate that opens by itself.
    pub(crate) fn after(duration: Duration) -> Gate {
        let gate = Gate::default();
        let opener = gate.clone();
        thread::spawn(move || {
            thread::sleep(duration);
            opener.open();
        });
        gate
    }
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap();
        state.1.push(cx.waker().clone());
        if state.0 { Poll::Ready(()) } else { Poll::Pending }
    }
}
