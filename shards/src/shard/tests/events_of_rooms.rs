//! Event streams of several rooms: when they begin, and what says where they are.

use super::waiting::{room_at, shard_of};
use super::*;
use crate::disconnect::Disconnect::{Capacity, Lost, Shutdown, Slow};
use crate::limits::Limits;
use crate::mesh;
use crate::policy::{RoomPolicy, SlowPolicy};
use crate::shard::Listening;
use crate::tuning::Tuning;

const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nd\r\nretry: 2000\n\n\r\n";

fn names(names: &[&str]) -> Vec<RoomName> {
    names.iter().map(|name| RoomName::new(name).expect("legal")).collect()
}

fn listening(rooms: &[RoomName], last_event_id: Option<&str>) -> Listening {
    Listening::to_rooms(rooms.to_vec(), last_event_id).expect("some rooms, and not too many")
}

fn keeping(change: impl FnOnce(&mut Config)) -> Shard {
    let mut config = Config { shards: 1, ..Config::default() };
    config.rooms.add("*", RoomPolicy::default().history(100)).expect("legal");
    change(&mut config);
    Shard::new(ShardId::new(0), config)
}

fn stream(shard: &mut Shard, rooms: &[RoomName], last_event_id: Option<&str>) -> ConnId {
    let conn = shard.open_event_stream(listening(rooms, last_event_id), HEAD.as_bytes(), None);
    take_loopback(shard);
    shard.check();
    conn
}

/// What an event says to a client.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// A message of this room with this offset.
    Message(String, u64),
    /// Where the stream is.
    At(String),
    /// Another event or a comment.
    Other(String),
    End,
}

/// What bytes behind a head say that begin and end with a chunk.
fn read(sent: &str) -> Vec<Said> {
    let mut rest = sent.strip_prefix(HEAD).unwrap_or(sent);
    let mut said = Vec::new();
    while !rest.is_empty() {
        let (len, behind) = rest.split_once("\r\n").expect("a chunk has a length");
        let len = usize::from_str_radix(len, 16).expect("in hexadecimal digits");
        let (event, end) = behind.split_at(len);
        rest = end.strip_prefix("\r\n").expect("a chunk ends with a line break");
        said.push(read_event(event));
    }
    said
}

fn read_event(event: &str) -> Said {
    let between = |text: &str, before: &str, after: &str| {
        let (_, behind) = text.split_once(before)?;
        Some(behind.split_once(after)?.0.to_owned())
    };
    if let Some(id) = between(event, "event: cast:at\nid: ", "\ndata:\n\n") {
        return Said::At(id);
    }
    assert!(!event.contains("id: "), "only the stream's own events have an id: {event}");
    let message = event.starts_with("data: {\"event\":\"m\"").then(|| {
        let room = between(event, "\"room\":\"", "\"").expect("a room");
        let offset = between(event, "\"offset\":", "}").expect("an offset");
        Said::Message(room, offset.parse().expect("a number"))
    });
    match event {
        "" => Said::End,
        _ => message.unwrap_or_else(|| Said::Other(event.to_owned())),
    }
}

fn message(room: &str, offset: u64) -> Said {
    Said::Message(room.to_owned(), offset)
}

/// The last id that was sent.
fn last_id(said: &[Said]) -> String {
    let ids = said.iter().rev().find_map(|said| match said {
        Said::At(id) => Some(id.clone()),
        _ => None,
    });
    ids.expect("the client is sent where it is")
}

#[test]
fn a_send_of_several_rooms_ends_with_where_the_stream_is_and_no_other_does() {
    let mut shard = keeping(|config| config.limits.ping_interval = Duration::from_secs(1));
    let rooms = names(&["a", "b"]);
    stream(&mut shard, &rooms, None);
    let begin = send(&mut shard, None);
    assert!(begin.starts_with(HEAD), "{begin}");
    let Said::At(first) = &read(&begin)[..][0] else { panic!("it says where it is: {begin}") };
    publish(&mut shard, &rooms[0]);
    publish(&mut shard, &rooms[1]);
    publish(&mut shard, &rooms[1]);
    let said = read(&send(&mut shard, None));
    assert_eq!(said[..3], [message("a", 1), message("b", 1), message("b", 2)]);
    let Said::At(id) = &said[3] else { panic!("it says where it is: {said:?}") };
    assert!(said.len() == 4 && id != first, "{said:?}");
    shard.on_time(Time::from_nanos(2_000_000_000));
    assert_eq!(read(&send(&mut shard, None)), [Said::Other(": ping\n\n".to_owned())]);
    shard.check();
}

#[test]
fn a_stream_begins_when_it_is_in_all_of_its_rooms() {
    let mut shard = shard_of(2, Limits::default());
    let (near, far) = (room_at(&shard, 0), room_at(&shard, 1));
    let conn = stream(&mut shard, &[near.clone(), far.clone()], None);
    publish(&mut shard, &near);
    assert_eq!(send(&mut shard, None), "", "nothing goes before the head");
    shard.check();
    shard.on_to_home_capacity(ShardId::new(1), mesh::Capacity { items: 9, bytes: 9_000 });
    let request = shard.next_to_home(ShardId::new(1)).expect("the second join");
    let config = Config { shards: 2, ..Config::default() };
    let mut home = Shard::new(ShardId::new(1), config);
    home.on_to_home(ShardId::new(0), request);
    home.on_from_home_capacity(ShardId::new(0), mesh::Capacity { items: 9, bytes: 9_000 });
    let answer = home.next_from_home(ShardId::new(0)).expect("it is answered");
    shard.on_from_home(answer);
    shard.check();
    let sent = send(&mut shard, None);
    assert!(sent.starts_with(HEAD), "{sent}");
    let said = read(&sent);
    assert_eq!(said[0], message(near.as_str(), 1), "of what it is in since it asked: {said:?}");
    assert!(matches!(said[1..], [Said::At(_)]), "{said:?}");
    assert_eq!(shard.rooms_of(conn).len(), 2);
}

/// A stream that has joined one of its rooms, with a message there, and waits for the other.
fn waiting(slow: SlowPolicy) -> (Shard, ConnId) {
    let mut shard = shard_of(2, Limits::default());
    shard.host.config.slow = slow;
    let rooms = [room_at(&shard, 0), room_at(&shard, 1)];
    let conn = stream(&mut shard, &rooms, None);
    publish(&mut shard, &rooms[0]);
    assert_eq!(send(&mut shard, None), "");
    (shard, conn)
}

#[test]
fn a_stream_that_waits_for_a_room_ends_whole() {
    type End = fn(&mut Shard, ConnId);
    let ends: [(End, Disconnect, &str); 4] = [
        (|shard, conn| shard.on_end(conn), Lost, "lost"),
        (|shard, _| shard.on_time(Time::from_nanos(11_000_000_000)), Slow, "slow"),
        (|shard, _| shard.close_all_when_flushed(Shutdown), Shutdown, "shutdown"),
        (|shard, conn| assert!(shard.close(conn, Capacity)), Capacity, "capacity"),
    ];
    for (end, reason, word) in ends {
        let (mut shard, conn) = waiting(SlowPolicy::Disconnect);
        end(&mut shard, conn);
        shard.check();
        let sent = send(&mut shard, None);
        assert_eq!(close_steps(&mut shard)[0], CloseStep::LeftRooms(conn, reason));
        assert!(sent.starts_with(HEAD), "a response needs its head: {sent}");
        let said = read(&sent);
        let Said::Other(comment) = &said[0] else { panic!("a comment: {said:?}") };
        assert!(comment.starts_with(&format!(": {word}")), "{comment}");
        assert_eq!(said[1..], [Said::End], "no message, and no id");
        shard.check();
    }
}

#[test]
fn a_stream_that_is_refused_one_of_its_rooms_ends() {
    let limits = Limits { rooms_per_connection: 1, ..Limits::default() };
    let mut shard = shard_of(1, limits);
    let conn = stream(&mut shard, &names(&["a", "b"]), None);
    assert!(send(&mut shard, None).starts_with(HEAD));
    assert_eq!(close_steps(&mut shard)[0], CloseStep::LeftRooms(conn, Capacity));
    assert!(shard.rooms_of(conn).is_empty());
    shard.check();
}

/// Ends the next send when so many of its bytes are taken. Returns these.
fn send_part(shard: &mut Shard, taken: usize) -> String {
    shard.begin_quantum();
    let Some(conn) = shard.next_direct_send().or_else(|| shard.next_room_send()) else {
        return String::new();
    };
    let mut sent = Vec::new();
    shard.for_each_iovec(conn, |iovec| sent.extend_from_slice(iovec));
    sent.truncate(taken);
    shard.end_send(conn, SendEnd::Taken(sent.len()));
    shard.check();
    String::from_utf8(sent).expect("text")
}

#[test]
fn a_client_that_is_cut_anywhere_misses_nothing_and_repeats_what_came_after_its_last_id() {
    let whole = {
        let (mut shard, _) = with_messages();
        send(&mut shard, None)
    };
    for taken in 0..whole.len() {
        let (mut shard, conn) = with_messages();
        let part = send_part(&mut shard, taken);
        let id = {
            let begin = (0..=part.len())
                .rev()
                .find(|at| part.is_char_boundary(*at) && part[..*at].ends_with("\n\n\r\n"));
            let whole_events = &part[..begin.unwrap_or(0)];
            let has_id = whole_events.contains("cast:at");
            if has_id { last_id(&read(whole_events)) } else { String::new() }
        };
        if taken % 2 == 0 {
            // What was cut goes on; then it says where it is, once.
            shard.on_writable(conn);
            let rest = send(&mut shard, None);
            let said = read(&format!("{part}{rest}"));
            assert!(matches!(said[3..], [Said::At(_)]), "{taken}: {said:?}");
            let in_order = [message("a", 1), message("a", 2), message("b", 1)];
            let mut messages: Vec<&Said> = said[..3].iter().collect();
            messages.sort_by_key(|said| **said == message("b", 1));
            assert!(messages.into_iter().eq(&in_order), "{taken}: {said:?}");
        }
        shard.on_end(conn);
        send(&mut shard, None);
        publish(&mut shard, &names(&["b"])[0]);
        let before = if id.is_empty() { begin_id() } else { id.clone() };
        stream(&mut shard, &names(&["a", "b"]), Some(&before));
        let said = read(&send(&mut shard, None));
        let messages: Vec<&Said> =
            said.iter().filter(|said| matches!(said, Said::Message(..))).collect();
        let all = [message("a", 1), message("a", 2), message("b", 1), message("b", 2)];
        let missed = if id.is_empty() { &all[..] } else { &all[3..] };
        assert!(messages.into_iter().eq(missed), "{taken}: after {before}: {said:?}");
    }
}

/// A stream of two rooms that has begun and has three messages to be sent.
fn with_messages() -> (Shard, ConnId) {
    let mut shard = keeping(|_| {});
    let rooms = names(&["a", "b"]);
    let conn = stream(&mut shard, &rooms, None);
    send(&mut shard, None);
    [0, 0, 1].iter().for_each(|room: &usize| publish(&mut shard, &rooms[*room]));
    (shard, conn)
}

/// The id that its client was sent at the begin.
fn begin_id() -> String {
    let mut shard = keeping(|_| {});
    stream(&mut shard, &names(&["a", "b"]), None);
    last_id(&read(&send(&mut shard, None)))
}

#[test]
fn where_a_stream_is_follows_a_send_that_has_no_place_for_it() {
    let mut tuning = Tuning::DEFAULT;
    tuning.send_iovecs = 4;
    let mut shard = keeping(|config| config.tuning = tuning);
    let rooms = names(&["a", "b", "c"]);
    stream(&mut shard, &rooms, None);
    send(&mut shard, None);
    for _ in 0..20 {
        rooms.iter().for_each(|room| publish(&mut shard, room));
    }
    let mut said = Vec::new();
    while shard.has_sends() {
        said.extend(read(&send_part(&mut shard, usize::MAX)));
    }
    let messages = said.iter().filter(|said| matches!(said, Said::Message(..))).count();
    assert_eq!(messages, 60);
    assert!(matches!(said.last(), Some(Said::At(_))), "{said:?}");
}

#[test]
fn what_each_room_does_not_recover_is_said() {
    let mut config = Config { shards: 1, ..Config::default() };
    config.rooms.add("kept", RoomPolicy::default().history(2)).expect("legal");
    let mut shard = Shard::new(ShardId::new(0), config);
    let rooms = names(&["kept", "off", "still"]);
    let conn = stream(&mut shard, &rooms, None);
    let id = last_id(&read(&send(&mut shard, None)));
    shard.on_end(conn);
    send(&mut shard, None);
    let unrecovered = |room: &str, reason: &str| {
        let data = format!(
            "{{\"event\":\"cast:unrecovered\",\"room\":\"{room}\",\"data\":{{\"reason\":\"{reason}\"}}}}"
        );
        Said::Other(format!("event: cast:unrecovered\ndata: {data}\n\n"))
    };
    publish(&mut shard, &rooms[0]);
    publish(&mut shard, &rooms[1]);
    let after = |shard: &mut Shard, id: &str| {
        let conn = stream(shard, &rooms, Some(id));
        let said = read(&send(shard, None));
        shard.on_end(conn);
        send(shard, None);
        said
    };
    let said = after(&mut shard, &id);
    assert_eq!(said[0], unrecovered("off", "off"));
    // The first event is behind direct frames, in a send of its own.
    assert!(said.contains(&message("kept", 1)), "{said:?}");
    let all = ["kept", "off", "still"].map(|room| unrecovered(room, "epoch"));
    for foreign in ["7", "AAAA", "0123456789abcdef-1"] {
        let said = after(&mut shard, foreign);
        assert_eq!(said[..3], all, "{foreign}");
        assert!(matches!(said[3..], [Said::At(_)]), "{said:?}");
    }
    (0..3).for_each(|_| publish(&mut shard, &names(&["kept"])[0]));
    assert!(after(&mut shard, &id).contains(&unrecovered("kept", "too_old")));
}

#[test]
fn a_gap_moves_the_place_of_a_stream_in_its_room() {
    let mut shard = Shard::new(
        ShardId::new(0),
        Config { shards: 1, slow: SlowPolicy::Skip, ..Config::default() },
    );
    let rooms = names(&["a", "b"]);
    let conn = stream(&mut shard, &rooms, None);
    let before = last_id(&read(&send(&mut shard, None)));
    publish(&mut shard, &rooms[0]);
    send(&mut shard, Some(SendEnd::Blocked));
    shard.on_time(Time::from_nanos(11_000_000_000));
    shard.on_writable(conn);
    let said = read(&send(&mut shard, None));
    let [Said::Other(gap), Said::At(id)] = &said[..] else { panic!("a gap: {said:?}") };
    assert!(gap.starts_with("event: cast:gap\ndata: ") && gap.contains("\"to\":1"), "{gap}");
    assert_ne!(*id, before);
    stream(&mut shard, &rooms, Some(id));
    assert!(matches!(read(&send(&mut shard, None))[..], [Said::At(_)]), "nothing is missed");
}

#[test]
fn rooms_count_once_and_are_limited() {
    let many = |count: usize| {
        let rooms = (0..count).map(|n| RoomName::new(&n.to_string()).expect("legal"));
        Listening::to_rooms(rooms, None)
    };
    assert_eq!(many(0), None);
    assert_eq!(many(129), None);
    assert_eq!(many(128).map(|all| all.rooms.len()), Some(128));
    let twice = Listening::to_rooms(names(&["a", "b", "a"]), None).expect("two");
    assert_eq!(twice, listening(&names(&["a", "b"]), None));
    let one = Listening::to_rooms(names(&["a", "a"]), Some("x-1"));
    let alone = names(&["a"]).remove(0);
    assert_eq!(one, Some(Listening::to_room(alone, Some("x-1"))), "it has ids of its messages");
}
