//! Proves that a program's handlers run beside the shard: one that waits delays its own connection
//! only, whoever wakes it; one that fails or panics costs one message an error and nobody anything
//! else.

use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use corecast::{Client, Disconnect, Message, Server};
use serde_json::json;

use crate::socket::{Gate, PATIENCE, Socket, builder};

fn start(ended: Sender<Disconnect>) -> Server {
    builder()
        .shards(1)
        .on_connect(async |client: Client| Ok(client.emit("hello", &client.id().to_string())?))
        .on("slow", async |client: Client, message: Message| {
            Gate::after(Duration::from_millis(100)).await;
            Ok(client.emit("done", message.data())?)
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

fn connect(server: &Server) -> Socket {
    let mut socket = Socket::connect(server.local_addr());
    assert_eq!(socket.receive()["event"], "hello", "on_connect runs behind the welcome");
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
        assert_eq!(other.receive()["id"], id, "nobody else waits");
    }
    one.expect(json!({"event": "done", "data": {"n": 1}}));
    assert_eq!(one.receive()["event"], "cast:pong", "its next message waited for the handler");

    for (event, words) in [("fail", "no luck"), ("panic", "on purpose")] {
        let error = one.ask(json!({"event": event}));
        assert_eq!(
            (&error["event"], &error["data"]["code"]),
            (&json!("cast:error"), &json!("handler_failed"))
        );
        assert!(error["data"]["message"].as_str().unwrap().contains(words), "{error}");
    }
    assert_eq!(one.ask(json!({"event": "nobody"}))["data"]["code"], "unknown_event");

    one.send(&json!({"event": "bye"}));
    assert_eq!(one.goodbye().code, 4000);
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), Disconnect::Normal(4000));

    server.broadcaster().broadcast("tick", &1).unwrap();
    other.expect(json!({"event": "tick", "data": 1}));
    let drain = thread::spawn(move || server.shutdown(PATIENCE));
    assert!(other.goodbye().reason.starts_with("shutdown retry="));
    assert_eq!(drain.join().unwrap().cut, 0);
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), Disconnect::Shutdown);
}
