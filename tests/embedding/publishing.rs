//! Proves that each verb means the same for each recipient, and that what was not accepted is given
//! back with the reason.

use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use corecast::{
    Broadcaster, Client, ConnId, Event, HandlerResult, Message, PublishError, Receipt, Server,
    Target,
};
use futures_lite::future::block_on;
use serde_json::json;
use tungstenite::Message as Frame;

use crate::socket::{PATIENCE, Socket, builder, limits};
use crate::support::wait_until;

const ROOM: &str = "r";

/// Connects, and learns the connection's id.
fn connect(server: &Server) -> (Socket, ConnId) {
    let mut socket = Socket::open(server.local_addr(), "/ws", &[]).unwrap();
    let id = socket.recv()["data"]["connection"].as_str().unwrap().parse().unwrap();
    (socket, id)
}

fn event(n: u64) -> Message {
    Message::event("m", n).unwrap()
}

/// One message by each verb that waits. An error is that of both.
fn wait_for_both(to: &Target<'_, Broadcaster>, message: &Message) -> [Receipt; 2] {
    let awaited = block_on(to.publish(message.clone())).unwrap();
    [awaited, to.publish_blocking(message.clone()).unwrap()]
}

/// What each verb of a thread gives back.
fn refusals(to: &Target<'_, Broadcaster>, message: &Message) -> [PublishError; 3] {
    [
        to.try_publish(message.clone()).unwrap_err(),
        block_on(to.publish(message.clone())).unwrap_err(),
        to.publish_blocking(message.clone()).unwrap_err(),
    ]
}

fn check_given_back(
    refusals: impl IntoIterator<Item = PublishError>,
    message: &Message,
    is_expected: fn(&PublishError) -> bool,
) {
    for error in refusals {
        assert!(is_expected(&error), "{error:?}");
        assert_eq!(error.into_message().as_ref(), Some(message));
    }
}

#[test]
fn a_thread_publishes_to_a_room_to_all_and_to_one_connection() {
    let server = builder().shards(2).start().unwrap();
    let cast = server.broadcaster();
    let (mut socket, id) = connect(&server);
    socket.join(ROOM);
    wait_until("it is counted", || cast.connection_count() == 1);

    let room = cast.to_room(ROOM);
    room.try_publish(event(0)).unwrap();
    let receipts = wait_for_both(&room, &event(0)).map(|r| (r.offset, r.members));
    assert_eq!(receipts, [(Some(2), Some(1)), (Some(3), Some(1))]);
    for offset in 1..=3 {
        socket.expect(json!({"event": "m", "data": 0, "room": ROOM, "offset": offset}));
    }
    for to in [cast.to_all(), cast.to_connection(id)] {
        to.try_publish(event(1)).unwrap();
        let receipts = wait_for_both(&to, &event(1)).map(|r| (r.offset, r.members));
        assert_eq!(receipts, [(None, Some(1)); 2]);
        (0..3).for_each(|_| socket.expect(json!({"event": "m", "data": 1})));
    }
    cast.try_publish(event(2)).unwrap();
    block_on(cast.publish(event(2))).unwrap();
    cast.publish_blocking(event(2)).unwrap();
    (0..3).for_each(|_| socket.expect(json!({"event": "m", "data": 2})));
    socket.assert_nothing_pending();
    server.shutdown(PATIENCE);
}

/// Publishes by each verb of a handler to each of its recipients.
async fn publish_everywhere(client: Client, asked: Event) -> HandlerResult {
    client.try_publish(event(0))?;
    assert_eq!(client.publish(event(0)).await?.members, Some(1));
    let (room, all, reply) = (client.to_room(ROOM), client.to_all(), client.reply_to(&asked));
    for to in [&reply, &room, &all] {
        to.try_publish(event(1))?;
        let receipt = to.publish(event(1)).await?;
        assert!(receipt.members >= Some(1), "{receipt:?}");
        let receipt = to.clone().unconfirmed().publish(event(1)).await?;
        let is_connection = receipt.members.is_some();
        assert_eq!(receipt.offset, None, "a connection has none, a room was not waited for");
        assert_eq!(is_connection, std::ptr::eq(to, &raw const reply));
    }
    Ok(())
}

#[test]
fn a_handler_publishes_to_its_client_to_a_room_and_to_all() {
    let server = builder().shards(2).on("go", publish_everywhere).start().unwrap();
    let (mut socket, _) = connect(&server);
    socket.join(ROOM);
    wait_until("it is counted", || server.broadcaster().connection_count() == 1);
    socket.send(&json!({"event": "go", "id": 7}));
    (0..2).for_each(|_| socket.expect(json!({"event": "m", "data": 0})));
    (0..3).for_each(|_| socket.expect(json!({"event": "m", "data": 1, "id": 7})));
    for _ in 0..6 {
        let message = socket.recv();
        assert_eq!((&message["event"], &message["data"]), (&json!("m"), &json!(1)));
    }
    socket.assert_nothing_pending();
    server.shutdown(PATIENCE);
}

#[test]
fn every_kind_of_message_fits_every_recipient() {
    let server = builder().shards(2).start().unwrap();
    let cast = server.broadcaster();
    let (mut socket, id) = connect(&server);
    socket.join(ROOM);
    for to in [cast.to_room(ROOM), cast.to_all(), cast.to_connection(id)] {
        to.publish_blocking(Message::text("é")).unwrap();
        assert_eq!(socket.read().unwrap(), Frame::text("é"));
        to.publish_blocking(Message::binary([0, 255])).unwrap();
        assert_eq!(socket.read().unwrap(), Frame::binary(vec![0, 255]));
        to.publish_blocking(Message::event("m", ()).unwrap()).unwrap();
        assert_eq!(socket.recv()["data"], json!(null));
    }
    server.shutdown(PATIENCE);
}

#[test]
fn one_connection_may_be_left_out_of_a_room_and_of_all() {
    let server = builder().shards(2).start().unwrap();
    let cast = server.broadcaster();
    let mut sockets: Vec<_> = (0..4).map(|_| connect(&server)).collect();
    for (socket, _) in &mut sockets {
        socket.join(ROOM);
    }
    let left_out = sockets[0].1;
    for n in 0..10 {
        cast.to_room(ROOM).except(left_out).publish_blocking(event(n)).unwrap();
        cast.to_all().except(left_out).publish_blocking(event(n)).unwrap();
    }
    cast.publish_blocking(event(99)).unwrap();
    for (socket, id) in &mut sockets {
        // Only messages of one room come in order.
        let mut expected: Vec<u64> = match *id == left_out {
            true => Vec::new(),
            false => (0..10).flat_map(|n| [n, n]).collect(),
        };
        expected.push(99);
        let heard = expected.iter().map(|_| socket.recv()["data"].as_u64().unwrap());
        let mut heard: Vec<u64> = heard.collect();
        heard.sort_unstable();
        assert_eq!(heard, expected);
        socket.assert_nothing_pending();
    }
    server.shutdown(PATIENCE);
}

/// Fills what may wait for a client, in one step of its handler: nothing is sent meanwhile.
/// Returns how many messages that were, and the one that did not fit.
fn fill(client: &Client) -> (u64, Message) {
    for n in 0.. {
        match client.try_publish(event(n)) {
            Ok(()) => {}
            Err(PublishError::Full(refused)) => {
                assert_eq!(refused, event(n));
                return (n, refused);
            }
            Err(other) => panic!("{other}"),
        }
    }
    unreachable!("what may wait for a client is bounded")
}

#[test]
fn a_handler_waits_until_its_client_has_read() {
    let mut limits = limits();
    limits.own_bytes = 64 << 10;
    let server = builder()
        .shards(1)
        .limits(limits)
        .on("fill", async |client: Client, _: Event| {
            let (_, refused) = fill(&client);
            let receipt = client.publish(refused).await?;
            assert_eq!((receipt.offset, receipt.members), (None, Some(1)));
            Ok(client.publish(Message::event("filled", ())?).await.map(drop)?)
        })
        .start()
        .unwrap();
    let (mut socket, _) = connect(&server);
    socket.send(&json!({"event": "fill"}));
    let mut n = 0;
    loop {
        let message = socket.recv();
        if message["event"] == "filled" {
            break;
        }
        assert_eq!(message, json!({"event": "m", "data": n}), "in order, and none is lost");
        n += 1;
    }
    assert!(n > 1_000, "{n}");
    server.shutdown(PATIENCE);
}

#[test]
fn a_thread_waits_until_the_one_connection_has_read() {
    let (mut limits, (full, fills)) = (limits(), channel());
    limits.own_bytes = 64 << 10;
    let server = builder()
        .shards(1)
        .limits(limits)
        .on("fill", async move |client: Client, _: Event| {
            full.send(fill(&client))?;
            // The threads' messages come before the shard can send any of this.
            thread::sleep(Duration::from_millis(100));
            Ok(())
        })
        .start()
        .unwrap();
    let cast = server.broadcaster();
    let (mut socket, id) = connect(&server);
    socket.send(&json!({"event": "fill"}));
    let (taken, refused) = fills.recv_timeout(PATIENCE).unwrap();
    let waits = thread::spawn(move || {
        let to = cast.to_connection(id);
        let awaited = block_on(to.publish(refused)).map(|receipt| receipt.members);
        (awaited.unwrap(), to.publish_blocking(event(taken + 1)).unwrap().members)
    });
    for n in 0..taken + 2 {
        socket.expect(json!({"event": "m", "data": n}));
    }
    assert_eq!(waits.join().unwrap(), (Some(1), Some(1)));
    server.shutdown(PATIENCE);
}

#[test]
fn a_connection_that_has_gone_gives_the_message_back() {
    let server = builder().shards(2).start().unwrap();
    let cast = server.broadcaster();
    let (socket, id) = connect(&server);
    wait_until("it is there", || cast.connection_count() == 1);
    drop(socket);
    wait_until("it is gone", || cast.connection_count() == 0);
    let to = cast.to_connection(id);
    let waited = [block_on(to.publish(event(1))), to.publish_blocking(event(1))];
    let refusals = waited.map(Result::unwrap_err);
    check_given_back(refusals, &event(1), |error| matches!(error, PublishError::Gone(_)));
    to.try_publish(event(1)).expect("whether it is there, its shard knows");
    server.shutdown(PATIENCE);
}

#[test]
fn a_message_that_no_recipient_can_get_is_given_back() {
    let server = builder().shards(1).start().unwrap();
    let cast = server.broadcaster();
    let (mut socket, id) = connect(&server);
    let large = Message::text("x".repeat(1 << 20));
    check_given_back(
        refusals(&cast.to_connection(id), &large),
        &large,
        |error| matches!(error, PublishError::TooLarge { limit, .. } if *limit == 512 << 10),
    );
    check_given_back(refusals(&cast.to_room("\n"), &large), &large, |error| {
        matches!(error, PublishError::Room { .. })
    });
    socket.assert_nothing_pending();
    server.shutdown(PATIENCE);
}

/// Publishes with a key to the room, twice.
async fn repeat(client: Client, asked: Event) -> HandlerResult {
    let message = event(7).with_key("from a handler")?;
    let first = client.to_room(ROOM).publish(message.clone()).await?;
    let again = client.to_room(ROOM).publish(message).await?;
    client
        .reply_to(&asked)
        .publish(Message::event("offsets", (first.offset, again.offset, again.repeated))?)
        .await?;
    Ok(())
}

#[test]
fn a_message_with_a_key_reaches_a_room_once_from_whatever_publishes_it() {
    let server = builder().shards(2).on("repeat", repeat).start().unwrap();
    let cast = server.broadcaster();
    let (mut socket, _) = connect(&server);
    socket.join(ROOM);
    let message = event(1).with_key("k").unwrap();
    let room = cast.to_room(ROOM);
    room.try_publish(message.clone()).unwrap();
    let receipts = wait_for_both(&room, &message).map(|r| (r.offset, r.members, r.repeated));
    assert_eq!(receipts, [(Some(1), Some(1), true); 2]);
    let text = Message::text("the key counts, not the message").with_key("k").unwrap();
    assert_eq!(block_on(room.publish(text)).unwrap().offset, Some(1));
    socket.expect(json!({"event": "m", "data": 1, "room": ROOM, "offset": 1}));
    socket.send(&json!({"event": "repeat"}));
    // What is for this client alone may come before what is for its room.
    let mut both = [socket.recv(), socket.recv()];
    both.sort_by_key(|envelope| envelope.event());
    assert_eq!((both[0].event(), both[0].offset()), ("m".to_owned(), 2));
    assert_eq!(both[1].data(), json!([2, 2, true]));
    socket.assert_nothing_pending();
    server.shutdown(PATIENCE);
}

#[test]
fn a_message_with_a_key_for_no_room_is_given_back() {
    let server = builder().shards(1).start().unwrap();
    let cast = server.broadcaster();
    let (mut socket, id) = connect(&server);
    let message = event(1).with_key("k").unwrap();
    for to in [cast.to_all(), cast.to_connection(id), cast.to_user("ann")] {
        check_given_back(refusals(&to, &message), &message, |error| {
            matches!(error, PublishError::KeyWithoutRoom(_))
        });
    }
    socket.assert_nothing_pending();
    server.shutdown(PATIENCE);
}

#[test]
fn a_server_that_has_ended_gives_every_message_back() {
    let server = builder().shards(2).start().unwrap();
    let cast = server.broadcaster();
    let (socket, id) = connect(&server);
    drop(socket);
    server.shutdown(PATIENCE);
    for to in [cast.to_room(ROOM), cast.to_all(), cast.to_connection(id)] {
        let closed = |error: &PublishError| matches!(error, PublishError::Closed(_));
        check_given_back(refusals(&to, &event(1)), &event(1), closed);
        check_given_back(refusals(&to.unconfirmed(), &event(1)), &event(1), closed);
    }
    assert!(block_on(cast.room(ROOM)).is_err());
}

/// Blocks where it must not: on the thread that would have to make the capacity.
async fn block(client: Client, told: Sender<bool>) -> HandlerResult {
    let (cast, id) = (client.broadcaster(), client.id());
    for to in [cast.to_room(ROOM), cast.to_all(), cast.to_connection(id)] {
        let refused = to.publish_blocking(event(1)).unwrap_err();
        told.send(matches!(&refused, PublishError::WouldBlock(message) if *message == event(1)))?;
        // It can wait for the same, if it does not keep the thread.
        to.publish(refused.into_message().ok_or("it is given back")?).await?;
    }
    Ok(())
}

#[test]
fn a_handler_that_would_block_its_shard_is_refused() {
    let (told, tells) = channel();
    let server = builder()
        .shards(1)
        .on("block", async move |client: Client, _: Event| block(client, told.clone()).await)
        .start()
        .unwrap();
    let (mut socket, _) = connect(&server);
    socket.send(&json!({"event": "block"}));
    (0..3).for_each(|_| assert!(tells.recv_timeout(PATIENCE).unwrap()));
    (0..2).for_each(|_| socket.expect(json!({"event": "m", "data": 1})));
    socket.assert_nothing_pending();
    server.shutdown(PATIENCE);
}
