//! Proves what a handler can do for its client: rooms, sends, state, and what it knows of it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::channel;

use corecast::{Client, Close, CloseCode, Disconnect, Event, JoinError, Message};
use futures_lite::future::block_on;
use serde_json::json;

use crate::socket::{PATIENCE, Socket, builder, limits};

#[test]
fn a_join_of_the_program_is_told_without_id_and_counts_from_there() {
    let server = builder()
        .shards(2)
        .on_connect(async |client: Client| {
            let joined = client.join("lobby").await?;
            let hello = json!({"offset": joined.offset, "rooms": client.rooms()});
            Ok(client.try_publish(Message::event("hello", hello)?)?)
        })
        .on("move", async |client: Client, event: Event| {
            client.leave("lobby").await?;
            client.join(event.parse()?).await?;
            Ok(client.try_publish(Message::event("moved", client.rooms())?)?)
        })
        .start()
        .unwrap();
    let (cast, address) = (server.broadcaster(), server.local_addr());
    let publish = |event, data: u32| {
        cast.to_room("lobby").publish_blocking(Message::event(event, data).unwrap()).unwrap()
    };
    publish("before", 1);
    // One after the other, so that each counts those before it.
    let connect = |place: usize| {
        let mut socket = Socket::connect(address);
        let joined = socket.recv();
        assert_eq!(joined["event"], "cast:joined");
        assert_eq!(joined.get("id"), None, "no client asked");
        let data = &joined["data"];
        assert_eq!((&data["offset"], &data["members"]), (&json!(1), &json!(place + 1)));
        socket.expect(json!({"event": "hello", "data": {"offset": 1, "rooms": ["lobby"]}}));
        socket
    };
    let mut sockets: Vec<_> = (0..4).map(connect).collect();
    let receipt = publish("now", 2);
    assert_eq!((receipt.offset, receipt.members), (Some(2), Some(4)));
    for socket in &mut sockets {
        socket.expect(json!({"event": "now", "data": 2, "room": "lobby", "offset": 2}));
    }
    sockets[0].send(&json!({"event": "move", "data": "attic"}));
    let left = sockets[0].recv();
    assert_eq!((&left["event"], &left["data"]["offset"]), (&json!("cast:left"), &json!(2)));
    assert_eq!(sockets[0].recv()["room"], "attic");
    sockets[0].expect(json!({"event": "moved", "data": ["attic"]}));
    assert_eq!(publish("later", 3).members, Some(3));
    sockets[0].assert_nothing_pending();
    let info = block_on(cast.room("lobby")).unwrap().unwrap();
    assert_eq!((info.members, info.offset), (3, 3));
    assert_eq!(block_on(cast.room("nowhere")).unwrap(), None);
    server.shutdown(PATIENCE);
}

#[test]
fn what_is_not_possible_is_an_error_that_says_why() {
    let mut limits = limits();
    limits.rooms_per_connection = 1;
    let (errors, told) = channel();
    let server = builder()
        .shards(1)
        .limits(limits)
        .on("try", async move |client: Client, _: Event| {
            client.join("one").await?;
            client.join("one").await?;
            errors.send(client.join("two").await.unwrap_err())?;
            errors.send(client.leave("two").await.unwrap_err())?;
            errors.send(client.join("").await.unwrap_err())?;
            client.close(Disconnect::Kicked);
            Ok(errors.send(client.leave("one").await.unwrap_err())?)
        })
        .start()
        .unwrap();
    let mut socket = Socket::connect(server.local_addr());
    socket.send(&json!({"event": "try"}));
    let next = || told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(next(), JoinError::TooManyRooms { limit: 1 });
    assert_eq!(next(), JoinError::NotAMember);
    assert!(matches!(next(), JoinError::Room(_)));
    assert_eq!(next(), JoinError::Gone);
    let goodbye = socket.goodbye();
    assert_eq!((goodbye.code, &*goodbye.reason), (1008, "kicked"));
    server.shutdown(PATIENCE);
}

/// What all connections of one core share, without a lock.
#[derive(Default)]
struct Seen(RefCell<Vec<String>>);

/// How often one connection has spoken.
struct Spoken(Cell<u32>);

#[test]
fn a_handler_sends_to_its_room_with_and_without_its_client() {
    let server = builder()
        .shards(1)
        .shard_state(Rc::<Seen>::default)
        .on_connect(async |client: Client| {
            client.set_state(Spoken(Cell::new(0)));
            Ok(client.join("lobby").await.map(drop)?)
        })
        .on("say", async |client: Client, event: Event| {
            let spoken = client.state::<Spoken>().ok_or("it was set when the client came")?;
            spoken.0.set(spoken.0.get() + 1);
            let seen = client.shard_state::<Rc<Seen>>();
            seen.0.borrow_mut().push(event.data().get().to_owned());
            let said = Message::event("said", event.data())?;
            client.to_room("lobby").except(client.id()).try_publish(said)?;
            let count = seen.0.borrow().len();
            let receipt = client.to_room("lobby").publish(Message::event("count", count)?).await?;
            let ok = json!({"spoken": spoken.0.get(), "offset": receipt.offset});
            Ok(client.try_publish(Message::event("ok", ok)?)?)
        })
        .on("shout", async |client: Client, event: Event| {
            Ok(client.to_all().try_publish(Message::event("heard", event.data())?)?)
        })
        .on("raw", async |client: Client, _: Event| {
            client.to_room("lobby").try_publish(Message::text(r#"{"my": "own"}"#))?;
            client.try_publish(Message::text(r#"{"for": "you"}"#))?;
            Ok(())
        })
        .start()
        .unwrap();
    let mut sockets = [Socket::connect(server.local_addr()), Socket::connect(server.local_addr())];
    sockets.iter_mut().for_each(|socket| assert_eq!(socket.recv()["event"], "cast:joined"));
    let [one, other] = &mut sockets;
    one.send(&json!({"event": "say", "data": "hi"}));
    one.expect(json!({"event": "count", "data": 1, "room": "lobby", "offset": 2}));
    one.expect(json!({"event": "ok", "data": {"spoken": 1, "offset": 2}}));
    other.expect(json!({"event": "said", "data": "hi", "room": "lobby", "offset": 1}));
    other.expect(json!({"event": "count", "data": 1, "room": "lobby", "offset": 2}));
    other.send(&json!({"event": "shout", "data": [1]}));
    one.expect(json!({"event": "heard", "data": [1]}));
    other.expect(json!({"event": "heard", "data": [1]}));
    one.send(&json!({"event": "raw"}));
    let (first, second) = (one.recv(), one.recv());
    let own = |message: &serde_json::Value| message == &json!({"my": "own"});
    assert!(own(&first) ^ own(&second), "one from the room, one of its own");
    other.expect(json!({"my": "own"}));
    server.shutdown(PATIENCE);
}

#[test]
fn other_threads_reach_one_connection() {
    let server = builder()
        .shards(2)
        .on("who", async |client: Client, _: Event| {
            let (id, cast) = (client.id(), client.broadcaster());
            let you = Message::event("you", 1)?;
            std::thread::spawn(move || cast.to_connection(id).publish_blocking(you));
            Ok(())
        })
        .start()
        .unwrap();
    let cast = server.broadcaster();
    let mut socket = Socket::open(server.local_addr(), "/ws", &[]).unwrap();
    let id = socket.recv()["data"]["connection"].as_str().unwrap().parse().unwrap();
    socket.send(&json!({"event": "who"}));
    socket.expect(json!({"event": "you", "data": 1}));
    let close = || block_on(cast.close(id, Disconnect::Kicked)).unwrap();
    assert!(close());
    assert_eq!(socket.goodbye().code, 1008);
    assert!(!close(), "it is gone");
    let mut all = [Socket::connect(server.local_addr()), Socket::connect(server.local_addr())];
    crate::support::wait_until("both are counted", || cast.connection_count() == 2);
    block_on(cast.close_all(Close::new(CloseCode::new(4001).unwrap(), "all out"))).unwrap();
    all.iter_mut().for_each(|socket| assert_eq!(socket.goodbye().code, 4001));
    server.shutdown(PATIENCE);
}
