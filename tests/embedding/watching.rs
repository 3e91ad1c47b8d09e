//! Proves what the functions of a program that watch rooms are told, and when.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use corecast::{Broadcaster, Builder, Client, Disconnect, Event, Message};
use serde_json::json;

use crate::socket::{PATIENCE, Socket, builder};
use crate::support::{Events, Raw, events_head, wait_until};

/// What is said, one line for each.
fn watched(builder: Builder) -> (Builder, Receiver<String>) {
    let (says, said) = channel();
    let line = |says: &Sender<String>, what: &'static str| {
        let says = says.clone();
        move |room: &str| says.send(format!("{what} {room}")).expect("the test listens")
    };
    let (join, leave) = (line(&says, "join"), line(&says, "leave"));
    let (occupied, vacated) = (line(&says, "occupied"), line(&says, "vacated"));
    let (connect, disconnect) = (says.clone(), says);
    let builder = builder
        .on_connect(async move |_: Client| Ok(connect.send("connect".to_owned())?))
        .on_join(move |_: &Client, room: &str| join(room))
        .on_leave(move |_: &Client, room: &str| leave(room))
        .on_occupied(move |_: &Broadcaster, room: &str| occupied(room))
        .on_vacated(move |_: &Broadcaster, room: &str| vacated(room))
        .on_disconnect(async move |client: Client, _: Disconnect| {
            Ok(disconnect.send(format!("disconnect {:?}", client.rooms()))?)
        });
    (builder, said)
}

fn next(said: &Receiver<String>) -> String {
    said.recv_timeout(PATIENCE).expect("something is said")
}

/// What is said of the client has one order, and so has what is said of rooms.
#[test]
fn a_client_is_said_to_connect_to_join_to_leave_and_to_go_in_this_order() {
    let (builder, said) = watched(builder().shards(1));
    let builder = builder.on("move", async |client: Client, event: Event| {
        client.leave("a").await?;
        Ok(client.join(event.parse()?).await.map(drop)?)
    });
    let server = builder.start().unwrap();
    let mut socket = Socket::connect(server.local_addr());
    socket.join("a");
    socket.join("a");
    socket.send(&json!({"event": "move", "data": "b"}));
    let mut lines: Vec<String> = (0..7).map(|_| next(&said)).collect();
    drop(socket);
    lines.extend((0..3).map(|_| next(&said)));
    let (rooms, client): (Vec<_>, Vec<_>) =
        lines.iter().map(String::as_str).partition(|line| line.contains("ed "));
    assert_eq!(rooms, ["occupied a", "vacated a", "occupied b", "vacated b"]);
    let gone = r#"disconnect ["b"]"#;
    assert_eq!(client, ["connect", "join a", "leave a", "join b", "leave b", gone]);
    server.shutdown(PATIENCE);
    assert!(said.try_recv().is_err(), "each is said once");
}

#[test]
fn a_room_is_occupied_once_whichever_shards_its_members_are_on() {
    let (says, said) = channel();
    let (also, members) = (says.clone(), says.clone());
    let server = builder()
        .shards(2)
        .on_occupied(move |_: &Broadcaster, room: &str| {
            says.send(format!("occupied {room}")).expect("the test listens");
        })
        .on_vacated(move |_: &Broadcaster, room: &str| {
            also.send(format!("vacated {room}")).expect("the test listens");
        })
        .on_join(move |client: &Client, _: &str| {
            members.send(format!("join on {}", client.id().shard)).expect("the test listens");
        })
        .start()
        .unwrap();
    let (address, cast) = (server.local_addr(), server.broadcaster());
    for round in 0..3 {
        let mut sockets: Vec<Socket> = (0..2).map(|at| Socket::connect_on(address, at)).collect();
        let stream = Events::answered({
            let mut raw = Raw::dial(address);
            raw.write(events_head("r", "").as_bytes());
            raw
        });
        assert!(stream.is_ok(), "it is a member, and no client");
        assert_eq!(next(&said), "occupied r", "round {round}");
        for socket in &mut sockets {
            let shard = socket.shard();
            socket.join("r");
            assert_eq!(next(&said), format!("join on {shard}"));
        }
        drop(stream);
        let members = || {
            let info = futures_lite::future::block_on(cast.room("r")).expect("the server runs");
            info.map_or(0, |info| info.members)
        };
        wait_until("the stream has gone", || members() == 2);
        sockets.pop();
        wait_until("one is left", || members() == 1);
        assert!(said.try_recv().is_err(), "it is not vacant");
        drop(sockets);
        assert_eq!(next(&said), "vacated r", "round {round}");
    }
    server.shutdown(PATIENCE);
}

#[test]
fn what_watches_may_publish_close_and_panic() {
    let server = builder()
        .shards(1)
        .on_join(|client: &Client, room: &str| match room {
            "banned" => drop(client.close(Disconnect::Kicked)),
            "panic" => panic!("on purpose"),
            _ => client
                .try_publish(Message::event("hello", client.rooms()).expect("JSON"))
                .expect("there is capacity"),
        })
        .on_occupied(|cast: &Broadcaster, room: &str| {
            let (cast, room) = (cast.clone(), room.to_owned());
            drop(corecast::spawn(async move {
                corecast::sleep(Duration::from_millis(1)).await;
                let first = Message::event("first", room.as_str()).expect("JSON");
                cast.to_room(&room).publish(first).await.expect("it is published");
            }));
        })
        .start()
        .unwrap();
    let mut socket = Socket::connect(server.local_addr());
    socket.join("panic");
    assert_eq!(socket.recv_event("first").data(), json!("panic"));
    socket.join("r");
    socket.expect(json!({"event": "hello", "data": ["panic", "r"]}));
    assert_eq!(socket.recv_event("first").offset(), 1);
    socket.send(&json!({"event": "cast:join", "room": "banned"}));
    assert_eq!(socket.recv_event("cast:joined").room(), "banned");
    assert_eq!(socket.expect_close().code, 1008);
    server.shutdown(PATIENCE);
}

#[test]
fn at_a_shutdown_every_client_leaves_its_rooms() {
    let (builder, said) = watched(builder().shards(2));
    let server = builder.start().unwrap();
    let mut sockets: Vec<Socket> =
        (0..6).map(|at| Socket::connect_on(server.local_addr(), at % 2)).collect();
    for socket in &mut sockets {
        socket.join("a");
        socket.join("b");
    }
    let ends = std::thread::spawn(move || {
        for mut socket in sockets {
            while socket.read().is_ok() {}
        }
    });
    let drained = server.shutdown(PATIENCE);
    ends.join().unwrap();
    assert_eq!((drained.cut, drained.stuck), (0, 0));
    let lines: Vec<String> = said.iter().collect();
    let count = |line: &str| lines.iter().filter(|said| said.starts_with(line)).count();
    // On the way to its shard a client may connect more than once.
    let counts = ["join a", "join b", "leave a", "leave b", "disconnect [\""].map(count);
    assert_eq!(counts, [6; 5], "{lines:?}");
    assert_eq!(["occupied a", "occupied b"].map(count), [1; 2]);
}

/// A program that keeps a list of who is where must not depend on which other hooks there are.
#[test]
fn the_rooms_of_a_client_that_leaves_are_the_same_whatever_else_is_watched() {
    for also_disconnect in [false, true] {
        let (says, said) = channel();
        let mut builder = builder().shards(1).on_leave(move |client: &Client, room: &str| {
            let mut rooms = client.rooms();
            rooms.sort();
            says.send(format!("{room} of {rooms:?}")).expect("the test listens");
        });
        if also_disconnect {
            builder = builder.on_disconnect(async |_: Client, _: Disconnect| Ok(()));
        }
        let server = builder.start().unwrap();
        let mut socket = Socket::connect(server.local_addr());
        for room in ["a", "b", "c"] {
            socket.join(room);
        }
        socket.leave("b");
        assert_eq!(next(&said), r#"b of ["a", "c"]"#, "it is in these still");
        drop(socket);
        let mut last = [next(&said), next(&said)];
        last.sort();
        let was_in = [r#"a of ["a", "c"]"#, r#"c of ["a", "c"]"#];
        assert_eq!(last, was_in, "with on_disconnect: {also_disconnect}");
        server.shutdown(PATIENCE);
    }
}
