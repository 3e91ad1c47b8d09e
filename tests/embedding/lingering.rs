//! Proves that a program's rooms can have their messages wait for others, and that the program waits
//! for none of them.

use std::time::Duration;

use corecast::{Client, Event, Message, RoomPolicy};
use futures_lite::future::block_on;
use serde_json::json;

use crate::socket::{PATIENCE, Socket, builder};

/// Longer than the test: whatever comes has not waited for its end.
const LONG: Duration = Duration::from_secs(10);

#[test]
fn receipts_and_leaves_of_a_program_wait_for_no_linger() {
    let policy = RoomPolicy::default().linger(LONG).linger_bytes(1 << 10);
    let server = builder()
        .room("r", policy)
        .on("leave", async |client: Client, _: Event| {
            client.leave("r").await?;
            Ok(client.try_publish(Message::event("gone", ())?)?)
        })
        .start()
        .unwrap();
    let cast = server.broadcaster();
    let mut sockets = [(); 2].map(|()| Socket::connect(server.local_addr()));
    sockets.iter_mut().for_each(|socket| {
        socket.join("r");
    });
    let publish = |text: &str| {
        let message = Message::event("m", text).unwrap();
        block_on(cast.to_room("r").publish(message)).unwrap().offset
    };
    assert_eq!([publish("one"), publish("two")], [Some(1), Some(2)]);
    let [leaver, stays] = &mut sockets;
    leaver.send(&json!({"event": "leave"}));
    let events: Vec<String> = (0..4).map(|_| leaver.recv().event()).collect();
    // What the program says to one connection goes before messages of rooms; its leave does not.
    let of_room: Vec<&String> = events.iter().filter(|event| *event != "gone").collect();
    assert_eq!(of_room, ["m", "m", "cast:left"], "{events:?}");
    assert_eq!(publish(&"x".repeat(1 << 10)), Some(3));
    for offset in 1..=3 {
        assert_eq!(stays.recv_event("m").offset(), offset);
    }
    server.shutdown(PATIENCE);
}

#[test]
fn a_linger_out_of_bounds_is_an_error_of_the_start() {
    let rows = [
        (RoomPolicy::default().linger(Duration::ZERO), "1 millisecond"),
        (RoomPolicy::default().linger(2 * LONG), "10 seconds"),
        (RoomPolicy::default().linger_bytes(1), "delays nothing by itself"),
    ];
    for (policy, words) in rows {
        let refused = builder().room("r", policy).start().map(drop).unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}
