//! Proves what others see of a handler that sleeps, one that panics and one that returns an error,
//! while all of them are under load.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use corecast::{Client, Event, Message, Server};
use corecast_testkit::Envelope;
use serde_json::json;

use crate::socket::{Gate, PATIENCE, Socket, builder};

const MESSAGES: usize = 2_000;

fn start() -> Server {
    builder()
        .shards(2)
        .on_connect(async |client: Client| Ok(client.join("lobby").await.map(drop)?))
        .on("sleep", async |client: Client, event: Event| {
            // What is held across an await need not be Send.
            let kept = Rc::new(event.data().to_owned());
            Gate::after(Duration::from_millis(5)).await;
            Ok(client.try_publish(Message::event("slept", &*kept)?)?)
        })
        .on("panic", async |_: Client, _: Event| panic!("on purpose"))
        .on("fail", async |_: Client, _: Event| Err("no luck".into()))
        .on("say", async |client: Client, event: Event| {
            let said = Message::event("said", event.data())?;
            Ok(client.to_room("lobby").publish(said).await.map(drop)?)
        })
        .start()
        .unwrap()
}

/// Calls one handler again and again, until the others are done. Returns how often.
fn bother(socket: &mut Socket, event: &str, done: &AtomicBool) -> usize {
    let mut calls = 0;
    while !done.load(Ordering::SeqCst) {
        socket.send(&json!({"event": event, "data": calls, "id": calls}));
        let answer = next_but_said(socket);
        match event {
            "sleep" => assert_eq!(answer, json!({"event": "slept", "data": calls})),
            _ => {
                assert_eq!(
                    (&answer["event"], &answer["id"]),
                    (&json!("cast:error"), &json!(calls))
                );
                assert_eq!(answer["data"]["code"], "handler_failed");
            }
        }
        calls += 1;
    }
    calls
}

/// The next message that is for this client alone.
fn next_but_said(socket: &mut Socket) -> Envelope {
    loop {
        let message = socket.recv();
        if message["event"] != "said" {
            return message;
        }
    }
}

#[test]
fn the_others_see_nothing_of_it() {
    let server = start();
    let address = server.local_addr();
    let done = AtomicBool::new(false);
    let connect = || {
        let mut socket = Socket::connect(address);
        assert_eq!(socket.recv()["event"], "cast:joined");
        socket
    };
    thread::scope(|scope| {
        let (done, connect) = (&done, &connect);
        let bothering: Vec<_> = ["sleep", "sleep", "panic", "panic", "fail", "fail"]
            .map(|event| (event, scope.spawn(move || bother(&mut connect(), event, done))))
            .into();
        let listeners: Vec<_> = (0..4)
            .map(|_| {
                let mut socket = connect();
                scope.spawn(move || {
                    for n in 0..MESSAGES {
                        let said = socket.recv();
                        assert_eq!((&said["data"], &said["offset"]), (&json!(n), &json!(n + 1)));
                    }
                })
            })
            .collect();
        let mut speaker = connect();
        for n in 0..MESSAGES {
            speaker.send(&json!({"event": "say", "data": n}));
        }
        for n in 0..MESSAGES {
            assert_eq!(speaker.recv()["data"], n, "its own messages keep their order");
        }
        listeners.into_iter().for_each(|listener| listener.join().unwrap());
        done.store(true, Ordering::SeqCst);
        for (event, bother) in bothering {
            let calls = bother.join().unwrap();
            assert!(calls > 0, "{event} was called");
            println!("{event}: {calls} calls");
        }
    });
    assert_eq!(server.shutdown(PATIENCE).cut, 0);
}
