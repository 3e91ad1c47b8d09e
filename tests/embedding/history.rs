//! Proves what a program makes of what rooms keep: whom it brings back without a hole, and what it
//! reads itself.

use std::time::Duration;

use corecast::{
    Client, ControlError, Event, HttpRequest, HttpResponse, Joined, Kept, Message, Method,
    Recovery, RoomHistory, RoomPolicy, Server, Unrecovered,
};
use futures_lite::future::block_on;
use serde_json::{Value, json};

use crate::socket::{PATIENCE, Socket, builder};
use crate::support::{http, wait_until};

fn keeping(messages: usize) -> RoomPolicy {
    let policy = RoomPolicy::default().history(messages);
    policy.history_bytes(256 << 10).history_for(Duration::from_secs(600))
}

/// What a join of the program came to, for its client.
fn told(joined: &Joined) -> Value {
    json!({
        "epoch": joined.epoch.to_string(),
        "offset": joined.offset,
        "recovered": joined.recovery.map(Recovery::is_complete),
        "reason": joined.recovery.and_then(Recovery::reason).map(Unrecovered::as_str),
    })
}

fn server() -> Server {
    let builder = builder().shards(2).room("kept.*", keeping(4));
    let builder = builder.on("back", async |client: Client, event: Event| {
        let (room, epoch, offset): (String, String, u64) = event.parse()?;
        let joined = client.join(&room).since((epoch, offset)).await?;
        Ok(client.try_publish(Message::event("is_back", told(&joined))?)?)
    });
    let builder = builder.on("newest", async |client: Client, event: Event| {
        let (room, messages): (String, u32) = event.parse()?;
        let joined = client.join(&room).last(messages).await?;
        Ok(client.try_publish(Message::event("is_in", told(&joined))?)?)
    });
    builder.start().unwrap()
}

/// Publishes the numbers from 1 on to a room, and says which life of it this is.
fn publish(server: &Server, room: &str, messages: u64) -> String {
    let cast = server.broadcaster();
    for n in 1..=messages {
        let receipt = cast.to_room(room).publish_blocking(Message::event("m", n).unwrap());
        assert_eq!(receipt.unwrap().offset, Some(n));
    }
    block_on(cast.room(room)).unwrap().unwrap().epoch.to_string()
}

fn history(asked: corecast::History<'_>) -> Result<Option<RoomHistory>, ControlError> {
    block_on(asked.into_future())
}

fn offsets(history: &RoomHistory) -> Vec<u64> {
    history.messages.iter().map(|kept| kept.offset).collect()
}

/// Asks the program to be brought back, or in. Returns what `cast:joined` says, what the program says,
/// and the numbers that come. Between those and the program's event there is no order.
fn ask(socket: &mut Socket, event: &str, data: Value, numbers: usize) -> (Value, Value, Vec<u64>) {
    socket.send(&json!({"event": event, "data": data}));
    let joined = socket.recv_event("cast:joined");
    assert!(!joined.has("id"), "no client asked: {joined:?}");
    let (mut said, mut came) = (None, Vec::new());
    while said.is_none() || came.len() < numbers {
        let message = socket.recv();
        match message.event().as_str() {
            "m" => {
                assert_eq!(message.data(), json!(message.offset()));
                came.push(message.offset());
            }
            _ => said = Some(message.data()),
        }
    }
    (joined.data(), said.expect("the program has said it"), came)
}

#[test]
fn a_client_that_a_program_brings_back_gets_all_that_it_missed_or_a_reason() {
    let server = server();
    let epoch = publish(&server, "kept.r", 6);
    publish(&server, "lobby", 1);
    let other = block_on(server.broadcaster().room("lobby")).unwrap().unwrap().epoch.to_string();
    let rows = [
        ("kept.r", &epoch, 2, json!([true, null]), 3..7),
        ("kept.r", &epoch, 5, json!([true, null]), 6..7),
        ("kept.r", &epoch, 6, json!([true, null]), 0..0),
        ("kept.r", &epoch, 1, json!([false, "too_old"]), 0..0),
        ("kept.r", &epoch, 7, json!([false, "future"]), 0..0),
        ("kept.r", &other, 6, json!([false, "epoch"]), 0..0),
        ("lobby", &other, 0, json!([false, "off"]), 0..0),
        ("lobby", &other, 1, json!([true, null]), 0..0),
    ];
    for (at, (room, epoch, since, expected, missed)) in rows.into_iter().enumerate() {
        let mut socket = Socket::connect_on(server.local_addr(), at as u64 % 2);
        let asked = json!([room, epoch, since]);
        let (data, told, came) = ask(&mut socket, "back", asked, missed.clone().count());
        assert_eq!(data["recovered"], expected[0]);
        assert_eq!(json!([told["recovered"], told["reason"]]), expected, "{room} since {since}");
        assert_eq!((&told["epoch"], &told["offset"]), (&data["epoch"], &data["offset"]));
        assert_eq!(came, missed.collect::<Vec<_>>());
        let last = told["offset"].as_u64().unwrap();
        assert_eq!(socket.leave(room), last, "nothing came twice");
        socket.assert_nothing_pending();
    }
    server.shutdown(PATIENCE);
}

#[test]
fn the_newest_come_without_a_claim_and_a_second_join_brings_nothing() {
    let server = server();
    let epoch = publish(&server, "kept.r", 6);
    for (asked, first) in [(0, 7), (1, 6), (3, 4), (10, 3)] {
        let mut socket = Socket::connect(server.local_addr());
        let data = json!(["kept.r", asked]);
        let (_, told, came) = ask(&mut socket, "newest", data, 7 - first as usize);
        assert_eq!((&told["recovered"], &told["offset"]), (&json!(null), &json!(6)));
        assert_eq!(came, (first..=6).collect::<Vec<_>>(), "the newest {asked}");
        let (_, again, _) = ask(&mut socket, "back", json!(["kept.r", epoch, 2]), 0);
        assert_eq!(again["recovered"], json!(null), "it was a member already");
        assert_eq!(socket.leave("kept.r"), 6);
        socket.assert_nothing_pending();
    }
    server.shutdown(PATIENCE);
}

#[test]
fn live_messages_follow_what_was_missed() {
    let server = server();
    let epoch = publish(&server, "kept.r", 3);
    let room = server.broadcaster();
    let mut socket = Socket::connect(server.local_addr());
    let (.., missed) = ask(&mut socket, "back", json!(["kept.r", epoch, 0]), 3);
    for n in 4..=20 {
        room.to_room("kept.r").publish_blocking(Message::event("m", n).unwrap()).unwrap();
    }
    let live = (4..=20).map(|_| socket.recv_event("m").offset());
    let came: Vec<u64> = missed.into_iter().chain(live).collect();
    assert_eq!(came, (1..=20).collect::<Vec<_>>());
    server.shutdown(PATIENCE);
}

#[test]
fn a_program_reads_what_a_room_keeps_on_any_thread() {
    let server = server();
    let epoch = publish(&server, "kept.r", 6);
    let cast = server.broadcaster();
    let room = cast.to_room("kept.r");
    let all = history(room.history()).unwrap().unwrap();
    assert_eq!((all.epoch.to_string(), all.offset, all.recovery), (epoch.clone(), 6, None));
    assert_eq!(offsets(&all), [3, 4, 5, 6]);
    let texts: Vec<Value> = all
        .messages
        .iter()
        .map(|Kept { payload, is_text, .. }| {
            assert!(is_text);
            serde_json::from_slice(payload).unwrap()
        })
        .collect();
    assert_eq!(texts[0], json!({"event": "m", "data": 3, "room": "kept.r", "offset": 3}));
    assert_eq!(offsets(&history(room.history().limit(2)).unwrap().unwrap()), [5, 6]);
    let rows = [
        ((epoch.as_str(), 2), Recovery::Complete, vec![3, 4]),
        ((epoch.as_str(), 5), Recovery::Complete, vec![6]),
        ((epoch.as_str(), 6), Recovery::Complete, vec![]),
        ((epoch.as_str(), 1), Recovery::Refused(Unrecovered::TooOld), vec![]),
        ((epoch.as_str(), 7), Recovery::Refused(Unrecovered::Future), vec![]),
        (("0", 5), Recovery::Refused(Unrecovered::Epoch), vec![]),
    ];
    for (position, recovery, expected) in rows {
        let missed = history(room.history().since(position).limit(2)).unwrap().unwrap();
        assert_eq!((missed.recovery, offsets(&missed)), (Some(recovery), expected));
    }
    let nothing = history(room.history().since((all.epoch, all.offset))).unwrap().unwrap();
    assert_eq!((nothing.recovery, nothing.messages.is_empty()), (Some(Recovery::Complete), true));
    // What was answered stays as it is.
    for n in 7..=12 {
        room.publish_blocking(Message::event("m", n).unwrap()).unwrap();
    }
    assert_eq!(offsets(&all), [3, 4, 5, 6]);
    assert!(history(cast.to_room("kept.none").history()).unwrap().is_none());
    server.shutdown(PATIENCE);
    assert!(matches!(history(room.history()), Err(ControlError::Closed)));
}

#[test]
fn only_a_room_with_a_name_has_a_history() {
    let server = server();
    let cast = server.broadcaster();
    let id = "00000000000000000001".parse().unwrap();
    for other in [cast.to_all(), cast.to_user("ann"), cast.to_connection(id)] {
        assert_eq!(history(other.history()).map(drop), Err(ControlError::NotARoom));
    }
    for bad in ["", "a\nb", &"x".repeat(201)] {
        let asked = history(cast.to_room(bad).history()).map(drop);
        assert!(matches!(asked, Err(ControlError::Room(_))), "{bad:?}: {asked:?}");
    }
    server.shutdown(PATIENCE);
}

/// A future of a history goes to any thread, as one of tokio's tasks.
#[test]
fn handlers_routes_and_foreign_runtimes_read_it_too() {
    let server = builder()
        .shards(2)
        .room("kept.*", keeping(4))
        .on("read", async |client: Client, event: Event| {
            let room: String = event.parse()?;
            let history = client.to_room(&room).history().limit(3).await?;
            let read: Option<Vec<u64>> = history.as_ref().map(offsets);
            Ok(client.try_publish(Message::event("was_read", read)?)?)
        })
        .route(Method::GET, "/newest/{room}", async |request: HttpRequest| {
            let room = request.path_parameter("room").unwrap_or_default();
            let newest = request.broadcaster().to_room(room).history().limit(1).await?;
            Ok(HttpResponse::text(format!("{:?}", newest.as_ref().map(offsets))))
        })
        .start()
        .unwrap();
    publish(&server, "kept.r", 6);
    let mut socket = Socket::connect(server.local_addr());
    socket.send(&json!({"event": "read", "data": "kept.r"}));
    assert_eq!(socket.recv_event("was_read").data(), json!([4, 5, 6]));
    socket.send(&json!({"event": "read", "data": "kept.none"}));
    assert_eq!(socket.recv_event("was_read").data(), json!(null));
    let answer = http(server.local_addr(), "GET", "/newest/kept.r", &[], "");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"Some([6])"[..]));
    let (cast, runtime) = (server.broadcaster(), tokio::runtime::Runtime::new().unwrap());
    let asked = runtime.spawn(async move { cast.to_room("kept.r").history().await });
    let kept = runtime.block_on(asked).unwrap().unwrap().unwrap();
    assert_eq!(offsets(&kept), [3, 4, 5, 6]);
    server.shutdown(PATIENCE);
}

#[test]
fn messages_in_a_format_of_the_programs_own_are_kept_as_they_are() {
    let server = server();
    let cast = server.broadcaster();
    let room = cast.to_room("kept.own");
    let broken = r#"{"event":"m"}],"messages":[{"offset":1}"#;
    for message in [Message::text(broken), Message::text("hi\u{1}"), Message::binary([0, 255])] {
        room.publish_blocking(message).unwrap();
    }
    let kept = history(room.history()).unwrap().unwrap();
    let kept: Vec<_> =
        kept.messages.iter().map(|kept| (kept.payload.to_vec(), kept.is_text)).collect();
    let expected = [
        (broken.as_bytes().to_vec(), true),
        ("hi\u{1}".as_bytes().to_vec(), true),
        (vec![0, 255], false),
    ];
    assert_eq!(kept, expected);
    let page = http(server.local_addr(), "GET", "/v1/rooms/kept.own/history", &[], "").json();
    let expected = json!([
        {"text": broken, "offset": 1},
        {"text": "hi\u{1}", "offset": 2},
        {"binary": "AP8=", "offset": 3},
    ]);
    assert_eq!(page["messages"], expected, "one broken text breaks no page");
    server.shutdown(PATIENCE);
}

#[test]
fn policies_of_the_crate_are_those_of_the_flag() {
    let short = keeping(100).history_for(Duration::from_secs(1));
    let server = builder()
        .shards(1)
        .room("few", keeping(2))
        .room("small", keeping(100).history_bytes(1_024))
        .room("short", short)
        .room("none", RoomPolicy::default().history(0))
        .start()
        .unwrap();
    let cast = server.broadcaster();
    let kept = |room: &str| offsets(&history(cast.to_room(room).history()).unwrap().unwrap());
    for room in ["few", "small", "short", "none"] {
        for _ in 0..5 {
            let message = Message::event("m", "x".repeat(300)).unwrap();
            cast.to_room(room).publish_blocking(message).unwrap();
        }
    }
    assert_eq!(kept("few"), [4, 5]);
    assert_eq!(kept("small"), [4, 5,], "of some 350 bytes each");
    assert!(kept("none").is_empty());
    wait_until("a second is over", || kept("short").is_empty());
    for bad in
        [keeping(1_000_001), keeping(1).history_bytes(1), keeping(1).history_for(Duration::ZERO)]
    {
        let refused = builder().room("r", bad).start().map(drop).unwrap_err().to_string();
        assert!(refused.contains("history"), "{refused}");
    }
    server.shutdown(PATIENCE);
}
