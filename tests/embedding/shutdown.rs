//! Proves that a shutdown loses nothing that handlers and threads had begun, and ends all the same.

use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use corecast::{Client, Event, HandlerResult, Message, PublishError};
use serde_json::{Value, json};

use crate::socket::{Close, Gate, PATIENCE, Socket, builder};

/// Everything that a client hears, and its end.
fn heard_until_the_end(mut listener: Socket) -> (Vec<Value>, Close) {
    let mut heard = Vec::new();
    loop {
        match listener.envelope_or_close() {
            Ok(message) => heard.push(Value::clone(&message)),
            Err(close) => {
                while listener.read().is_ok() {}
                return (heard, close);
            }
        }
    }
}

/// Before the server ends there is capacity again.
async fn try_until_it_fits(client: &Client, mut message: Message) -> HandlerResult {
    while let Err(refused) = client.to_room("r").try_publish(message) {
        let PublishError::Full(full) = refused else { return Err(refused.into()) };
        message = full;
        corecast::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

#[test]
fn what_was_begun_is_delivered() {
    for round in 0..20 {
        let (begun, begins) = channel();
        let gate = Gate::default();
        let waits = gate.clone();
        let server = builder()
            .shards(2)
            .on("slow", async move |client: Client, _: Event| {
                begun.send(())?;
                waits.clone().await;
                // Whether or not it waits for the offset, the message counts.
                let last = Message::event("last", 1)?;
                match round % 3 {
                    0 => Ok(client.to_room("r").publish(last).await.map(drop)?),
                    1 => Ok(client.to_room("r").unconfirmed().publish(last).await.map(drop)?),
                    _ => try_until_it_fits(&client, last).await,
                }
            })
            .start()
            .unwrap();
        let cast = server.broadcaster();
        let (mut speaker, mut listener) =
            (Socket::connect(server.local_addr()), Socket::connect(server.local_addr()));
        listener.join("r");
        speaker.send(&json!({"event": "slow"}));
        begins.recv_timeout(PATIENCE).unwrap();
        let publisher = thread::spawn(move || {
            let mut taken = 0;
            loop {
                match cast.to_room("r").try_publish(Message::event("m", taken).unwrap()) {
                    Ok(()) => taken += 1,
                    Err(PublishError::Full(_)) => thread::yield_now(),
                    Err(error) => break (taken, error),
                }
            }
        });
        // It reads all the time: a listener that does not read may be closed as slow.
        let listens = thread::spawn(move || heard_until_the_end(listener));
        // Somewhere in the middle of it.
        thread::sleep(Duration::from_millis(round));
        let drain = thread::spawn(move || server.shutdown(PATIENCE));
        let (taken, error) = publisher.join().unwrap();
        assert!(matches!(error, PublishError::Closed(_)), "{error}");
        gate.open();
        let (heard, goodbye) = listens.join().unwrap();
        assert!(goodbye.reason.starts_with("shutdown"), "{goodbye:?}");
        let is_last = |message: &&Value| message["event"] == "last";
        assert_eq!(heard.iter().filter(is_last).count(), 1);
        let numbers = heard.iter().filter(|message| !is_last(message)).map(|m| &m["data"]);
        assert!(numbers.eq(&Vec::from_iter((0..taken).map(Value::from))), "all {taken} in order");
        assert!(speaker.goodbye().reason.starts_with("shutdown"));
        assert_eq!(drain.join().unwrap().cut, 0);
    }
}

#[test]
fn a_handler_that_never_ends_costs_the_others_nothing() {
    let (begun, begins) = channel();
    let server = builder()
        .shards(1)
        .on("never", async move |_: Client, _: Event| {
            begun.send(())?;
            std::future::pending().await
        })
        .start()
        .unwrap();
    let mut sockets = [Socket::connect(server.local_addr()), Socket::connect(server.local_addr())];
    sockets[0].send(&json!({"event": "never"}));
    begins.recv_timeout(PATIENCE).unwrap();
    let (begin, timeout) = (Instant::now(), Duration::from_secs(2));
    let drain = thread::spawn(move || server.shutdown(timeout));
    sockets.iter_mut().for_each(|socket| {
        assert!(socket.goodbye().reason.starts_with("shutdown"), "everybody hears it");
    });
    drop(sockets);
    assert_eq!(drain.join().unwrap().cut, 0);
    assert!(begin.elapsed() >= timeout / 2, "the handler had half of the time");
}
