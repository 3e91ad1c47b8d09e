//! Proves that a program's handlers run beside the shard: one that waits delays its own connection
//! only, whoever wakes it; one that fails or panics costs one message an error and nobody anything
//! else.
#![allow(clippy::unwrap_used)] // A step that fails has failed the test.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use corecast::{Client, Disconnect, Message, Server};
use serde_json::{Value, json};
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message as Frame, WebSocket};

type Socket = WebSocket<MaybeTlsStream<TcpStream>>;

/// Every step of this test takes milliseconds; whoever waits this long waits in vain.
const PATIENCE: Duration = Duration::from_secs(20);

fn start(ended: Sender<Disconnect>) -> Server {
    Server::builder()
        .listen("127.0.0.1:0")
        .shards(1)
        .on_connect(async |client: Client| Ok(client.emit("hello", &client.id().to_string())?))
        .on("slow", async |client: Client, message: Message| {
            woken_by_a_thread().await;
            Ok(client.emit("done", &message.data())?)
        })
        .on("fail", async |_: Client, _: Message| Err("no luck".into()))
        .on("panic", async |_: Client, _: Message| panic!("on purpose"))
        .on("bye", async |client: Client, _: Message| {
            client.close(Disconnect::Normal(4000));
            Ok(())
        })
        .on_disconnect(async move |_: Client, reason: Disconnect| Ok(ended.send(reason)?))
        .start()
        .unwrap()
}

/// Is ready when a thread that knows nothing of the shard says so.
async fn woken_by_a_thread() {
    let state: Arc<Mutex<(bool, Option<Waker>)>> = Arc::default();
    let shared = Arc::clone(&state);
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        let mut state = shared.lock().unwrap();
        state.0 = true;
        state.1.take().into_iter().for_each(Waker::wake);
    });
    std::future::poll_fn(move |cx| {
        let mut state = state.lock().unwrap();
        state.1 = Some(cx.waker().clone());
        if state.0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

fn connect(address: SocketAddr) -> Socket {
    let (mut socket, _) = tungstenite::connect(format!("ws://{address}/ws")).unwrap();
    let MaybeTlsStream::Plain(stream) = socket.get_mut() else { unreachable!("no TLS here") };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(receive(&mut socket)["event"], "cast:welcome");
    assert_eq!(receive(&mut socket)["event"], "hello", "on_connect runs behind the welcome");
    socket
}

fn send(socket: &mut Socket, message: &Value) {
    socket.send(Frame::text(message.to_string())).unwrap();
}

fn receive(socket: &mut Socket) -> Value {
    serde_json::from_str(read(socket).unwrap().to_text().unwrap()).unwrap()
}

/// A read with a timeout is interrupted by any signal, and the server shares our process.
fn read(socket: &mut Socket) -> tungstenite::Result<Frame> {
    loop {
        match socket.read() {
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[test]
fn a_handler_is_its_own_connections_business() {
    let (ended, ends) = channel();
    let server = start(ended);
    let (mut one, mut other) = (connect(server.local_addr()), connect(server.local_addr()));

    send(&mut one, &json!({"event": "slow", "data": {"n": 1}}));
    send(&mut one, &json!({"event": "cast:ping", "id": 1}));
    for id in 0..100 {
        send(&mut other, &json!({"event": "cast:ping", "id": id}));
        assert_eq!(receive(&mut other)["id"], id, "nobody else waits");
    }
    assert_eq!(receive(&mut one), json!({"event": "done", "data": {"n": 1}}));
    assert_eq!(receive(&mut one)["event"], "cast:pong", "its next message waited for the handler");

    for (event, words) in [("fail", "no luck"), ("panic", "on purpose")] {
        send(&mut one, &json!({"event": event, "id": event}));
        let error = receive(&mut one);
        assert_eq!((&error["event"], &error["id"]), (&json!("cast:error"), &json!(event)));
        assert_eq!(error["data"]["code"], "handler_failed");
        assert!(error["data"]["message"].as_str().unwrap().contains(words), "{error}");
    }
    send(&mut one, &json!({"event": "nobody", "id": 3}));
    assert_eq!(receive(&mut one)["data"]["code"], "unknown_event");

    send(&mut one, &json!({"event": "bye"}));
    assert!(
        matches!(read(&mut one).unwrap(), Frame::Close(Some(close)) if u16::from(close.code) == 4000)
    );
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), Disconnect::Normal(4000));
    drop(one);

    server.broadcaster().broadcast("tick", &json!(1)).unwrap();
    assert_eq!(receive(&mut other), json!({"event": "tick", "data": 1}));
    let drain = thread::spawn(move || server.shutdown(PATIENCE));
    assert!(
        matches!(read(&mut other).unwrap(), Frame::Close(Some(close)) if close.reason.starts_with("shutdown retry="))
    );
    while read(&mut other).is_ok() {}
    drop(other);
    assert_eq!(drain.join().unwrap().cut, 0);
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), Disconnect::Shutdown);
}
