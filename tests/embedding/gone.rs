//! Proves that a program hears of a client that has gone, while its handlers are at work, too, and
//! that a handler may be given a time.

use std::net::Shutdown;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use corecast::{Client, Disconnect, Event, Message, PublishError, Server};
use serde_json::json;

use crate::socket::{Gate, PATIENCE, Socket, builder};

/// What handlers tell the test.
type Told = Sender<String>;

/// What a client is told of once it has gone: by every way that leads to it alone.
async fn try_everything(client: &Client) -> bool {
    let refused = |sent: &Result<_, PublishError>| matches!(sent, Err(PublishError::Gone(_)));
    let late = || Message::event("late", 1).unwrap();
    !client.is_open()
        && refused(&client.try_publish(late()))
        && refused(&client.try_publish(Message::text("late")))
        && refused(&client.try_publish(Message::binary(*b"late")))
        && client.publish(late()).await.is_err_and(|error| refused(&Err(error)))
        && client.join("late").await.is_err()
}

fn start() -> (Server, Receiver<String>) {
    let (told, tells) = channel();
    let (wait, poll, after, end): (Told, Told, Told, Told) =
        (told.clone(), told.clone(), told.clone(), told);
    let server = builder()
        .shards(1)
        .on("wait", async move |client: Client, _: Event| {
            wait.send("begun".to_owned())?;
            client.closed().await;
            Ok(wait.send(format!("closed, refused {}", try_everything(&client).await))?)
        })
        .on("poll", async move |client: Client, _: Event| {
            poll.send("begun".to_owned())?;
            while client.is_open() {
                Gate::after(Duration::from_millis(2)).await;
            }
            Ok(poll.send(format!("closed, refused {}", try_everything(&client).await))?)
        })
        .on("after", async move |_: Client, _: Event| Ok(after.send("after".to_owned())?))
        .on_disconnect(async move |client: Client, reason: Disconnect| {
            client.closed().await;
            let mut rooms = client.rooms();
            rooms.sort();
            Ok(end.send(format!("{} {}", reason.name(), rooms.join(" ")))?)
        })
        .start()
        .unwrap();
    (server, tells)
}

fn next(tells: &Receiver<String>) -> String {
    tells.recv_timeout(PATIENCE).unwrap()
}

/// Each way in which a client may go.
fn ways_to_go() -> [fn(Socket) -> Option<Socket>; 3] {
    [
        |socket| {
            drop(socket);
            None
        },
        |socket| {
            // A reset instead of an orderly end (tcp(7), SO_LINGER).
            socket2::SockRef::from(socket.stream()).set_linger(Some(Duration::ZERO)).unwrap();
            drop(socket);
            None
        },
        |socket| {
            socket.stream().shutdown(Shutdown::Write).unwrap();
            Some(socket)
        },
    ]
}

#[test]
fn a_client_that_goes_while_a_handler_works_is_noticed() {
    let (server, tells) = start();
    for event in ["wait", "poll"] {
        for go in ways_to_go() {
            let mut socket = Socket::connect(server.local_addr());
            socket.send(&json!({"event": event}));
            assert_eq!(next(&tells), "begun");
            let _still_there = go(socket);
            assert_eq!(next(&tells), "closed, refused true");
            assert_eq!(next(&tells), "lost ");
        }
    }
    let cast = server.broadcaster();
    crate::support::wait_until("all slots are free", || cast.connection_count() == 0);
    assert_eq!(server.shutdown(PATIENCE).cut, 0);
}

#[test]
fn what_a_client_said_before_it_went_is_handled() {
    let (server, tells) = start();
    let mut socket = Socket::connect(server.local_addr());
    socket.join("b");
    socket.join("a");
    socket.send(&json!({"event": "wait"}));
    // It is not read while the handler is at work.
    let filling = "x".repeat(10_000);
    (0..3).for_each(|_| socket.send(&json!({"event": "after", "data": filling})));
    drop(socket);
    assert_eq!(next(&tells), "begun");
    assert_eq!(next(&tells), "closed, refused true");
    (0..3).for_each(|_| assert_eq!(next(&tells), "after"));
    assert_eq!(next(&tells), "lost a b", "and the rooms are those that it was in");
    server.shutdown(PATIENCE);
}

#[test]
fn a_connection_that_the_program_closes_is_closed_for_whoever_waits() {
    let (server, tells) = start();
    let mut socket = Socket::open(server.local_addr(), "/ws", &[]).unwrap();
    let id = socket.recv()["data"]["connection"].as_str().unwrap().parse().unwrap();
    socket.send(&json!({"event": "wait"}));
    assert_eq!(next(&tells), "begun");
    let cast = server.broadcaster();
    assert!(futures_lite::future::block_on(cast.close(id, Disconnect::Kicked)).unwrap());
    let mut told = [next(&tells), next(&tells)];
    told.sort();
    assert_eq!(told, ["closed, refused true", "kicked "]);
    assert_eq!(socket.goodbye().code, 1008);
    server.shutdown(PATIENCE);
}

/// Tells when it is dropped, and panics, as destructors should not.
struct Guard(Told);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.send("dropped".to_owned()).unwrap();
        panic!("on purpose");
    }
}

#[test]
fn a_handler_may_be_given_a_time() {
    let (told, tells) = channel();
    let server = builder()
        .shards(1)
        .handler_timeout(Duration::from_millis(50))
        .on("never", async move |_: Client, _: Event| {
            let _guard = Guard(told.clone());
            std::future::pending().await
        })
        .on("at_once", async |client: Client, event: Event| {
            Ok(client.reply_to(&event).try_publish(Message::event("done", ())?)?)
        })
        .start()
        .unwrap();
    let mut socket = Socket::connect(server.local_addr());
    let late = socket.request(json!({"event": "never"}));
    assert_eq!(late["data"]["code"], "handler_failed");
    assert_eq!(next(&tells), "dropped");
    assert_eq!(socket.request(json!({"event": "at_once"}))["event"], "done");
    assert_eq!(server.shutdown(PATIENCE).cut, 0);
}
