//! Proves that a program's handlers run beside the shard: one that waits delays its own connection
//! only, whoever wakes it; one that fails or panics costs one message an error and nobody anything
//! else.

use std::fmt;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use corecast::{Client, ClientError, Close, CloseCode, Disconnect, Event, Message, Server};
use serde_json::json;

use crate::socket::{Gate, PATIENCE, Socket, builder};

/// An error of the program's around another.
#[derive(Debug)]
struct Wrapped(ClientError);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("in row 7 of the table of users")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

fn start(ended: Sender<Disconnect>) -> Server {
    builder()
        .shards(1)
        .on_connect(async |client: Client| {
            Ok(client.try_publish(Message::event("hello", client.id().to_string())?)?)
        })
        .on("slow", async |client: Client, event: Event| {
            Gate::after(Duration::from_millis(100)).await;
            Ok(client.try_publish(Message::event("done", event.data())?)?)
        })
        .on("fail", async |_: Client, _: Event| Err("postgres://app:hunter2@db".into()))
        .on("refuse", async |_: Client, _: Event| Err(ClientError::new("not on Sundays").into()))
        .on("wrap", async |_: Client, _: Event| Err(Wrapped(ClientError::new("too long")).into()))
        .on("who", async |client: Client, event: Event| {
            Ok(client.reply_to(&event).try_publish(Message::event("you", event.data())?)?)
        })
        .on("panic", async |_: Client, _: Event| panic!("on purpose"))
        .on("bye", async |client: Client, _: Event| {
            client.close(Close::new(CloseCode::new(4000)?, "bye for now"));
            Ok(())
        })
        .on_disconnect(async move |_: Client, reason: Disconnect| Ok(ended.send(reason)?))
        .start()
        .unwrap()
}

fn connect(server: &Server) -> Socket {
    let mut socket = Socket::connect(server.local_addr());
    assert_eq!(socket.recv()["event"], "hello", "on_connect runs behind the welcome");
    socket
}

#[test]
fn a_handler_is_its_own_connections_business() {
    let (ended, ends) = channel();
    let server = start(ended);
    let (mut one, mut other) = (connect(&server), connect(&server));

    one.send(&json!({"event": "slow", "data": {"n": 1}}));
    one.send(&json!({"event": "cast:ping", "id": 1}));
    for id in 0..100 {
        other.send(&json!({"event": "cast:ping", "id": id}));
        assert_eq!(other.recv()["id"], id, "nobody else waits");
    }
    one.expect(json!({"event": "done", "data": {"n": 1}}));
    assert_eq!(one.recv()["event"], "cast:pong", "its next message waited for the handler");

    assert_eq!(one.request(json!({"event": "nobody"}))["data"]["code"], "unknown_event");

    one.send(&json!({"event": "bye"}));
    let goodbye = one.goodbye();
    assert_eq!((goodbye.code, &*goodbye.reason), (4000, "bye for now"));
    assert_eq!(
        ends.recv_timeout(PATIENCE).unwrap(),
        Disconnect::Normal(CloseCode::new(4000).unwrap())
    );

    server.broadcaster().try_publish(Message::event("tick", 1).unwrap()).unwrap();
    other.expect(json!({"event": "tick", "data": 1}));
    let drain = thread::spawn(move || server.shutdown(PATIENCE));
    assert!(other.goodbye().reason.starts_with("shutdown retry="));
    assert_eq!(drain.join().unwrap().cut, 0);
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), Disconnect::Shutdown);
}

#[test]
fn what_went_wrong_stays_in_the_log_unless_it_is_meant_for_the_client() {
    const FIXED: &str = "the server could not handle this message";
    let (ended, _ends) = channel();
    let server = start(ended);
    let mut socket = connect(&server);
    for (event, words) in
        [("fail", FIXED), ("panic", FIXED), ("refuse", "not on Sundays"), ("wrap", "too long")]
    {
        let error = socket.request(json!({"event": event, "room": "r"}));
        let data = json!({"code": "handler_failed", "message": words});
        let expected = json!({"event": "cast:error", "id": error["id"], "room": "r", "data": data});
        assert_eq!(error, expected, "{event}");
    }
    server.shutdown(PATIENCE);
}

#[test]
fn a_reply_carries_the_id_as_the_client_wrote_it() {
    let (ended, _ends) = channel();
    let server = start(ended);
    let mut socket = connect(&server);
    for id in [r#""\u0061b""#, "-0", "9007199254740991", r#""\"""#] {
        socket.send_text(&format!(r#"{{"event":"who","data":[1, 2],"id": {id} }}"#));
        let expected = format!(r#"{{"event":"you","data":[1, 2],"id":{id}}}"#);
        assert_eq!(socket.recv().text(), expected);
    }
    socket.send_text(r#"{"event":"who"}"#);
    assert_eq!(socket.recv().text(), r#"{"event":"you","data":null}"#);
    server.shutdown(PATIENCE);
}

#[test]
fn a_handler_may_wait_for_what_a_tokio_runtime_runs() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    let server = builder()
        .shards(1)
        .on("sleep", async move |client: Client, event: Event| {
            let slept = handle.spawn(async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                "well"
            });
            Ok(client.reply_to(&event).try_publish(Message::event("slept", slept.await?)?)?)
        })
        .start()
        .unwrap();
    let mut socket = Socket::connect(server.local_addr());
    let slept = socket.request(json!({"event": "sleep"}));
    assert_eq!(slept, json!({"event": "slept", "data": "well", "id": slept["id"]}));
    server.shutdown(PATIENCE);
}
