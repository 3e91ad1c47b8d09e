//! Which commands wait, in which order, and what it costs.

use super::*;
use crate::config::Config;
use crate::limits::Limits;
use crate::mesh::{Capacity, FromHome, Origin, ToHome};

/// The first of several shards.
pub(super) fn shard_of(shards: u16, limits: Limits) -> Shard {
    Shard::new(ShardId::new(0), Config { shards, limits, ..Config::default() })
}

/// A room whose home is this shard.
pub(super) fn room_at(shard: &Shard, home: u16) -> RoomName {
    let names = (0..).map(|n| RoomName::new(&format!("room-{n}")).expect("legal"));
    let found = names.into_iter().find(|room| shard.home(room) == ShardId::new(home));
    found.expect("every shard is home to some")
}

fn open(shard: &mut Shard) -> ConnId {
    shard.open(Opening::default())
}

fn publish_of(room: &RoomName, data: &str) -> String {
    format!(r#"{{"event":"cast:publish","room":"{room}","data":{{"event":"m","data":"{data}"}}}}"#)
}

/// All of these messages in one read.
fn say_all<'a>(shard: &mut Shard, conn: ConnId, texts: impl IntoIterator<Item = &'a str>) -> usize {
    let mut bytes = Vec::new();
    for text in texts {
        push_client_frame(&mut bytes, Opcode::Text, true, [1, 2, 3, 4], text.as_bytes());
    }
    shard.receive(conn, &mut bytes);
    bytes.len()
}

fn pause(shard: &mut Shard, room: &RoomName, paused: bool) {
    shard.on_from_home(FromHome::Paused { room: room.clone(), paused });
}

#[test]
fn the_loopback_holds_as_much_as_a_ring() {
    let ring = 4 << 10;
    let log = Limits { room_log_bytes: 8 * ring, mesh_bytes: 1 << 20, ..Limits::default() };
    let mesh = Limits { mesh_bytes: ring, ..Limits::default() };
    for limits in [log, mesh] {
        assert_eq!(limits.ring_bytes(), ring);
        let mut shard = shard_of(1, limits);
        let room = room_at(&shard, 0);
        let data = "x".repeat(1_000);
        let publish =
            |shard: &mut Shard| shard.publish(&room, RoomMessage::text(&data), None, None).is_ok();
        let taken = (0..100).take_while(|_| publish(&mut shard)).count();
        assert!((4..=5).contains(&taken), "{taken} messages of 1,000 bytes in {ring}");
    }
}

/// Nothing else would wake a shard whose callers all wait to try again.
#[test]
fn a_shard_wants_the_capacity_that_a_caller_was_refused_for() {
    let mut shard = shard_of(2, Limits::default());
    let (room, home) = (room_at(&shard, 1), ShardId::new(1));
    let full = Capacity { items: 0, bytes: 0 };
    let some = Capacity { items: 1, bytes: 1_000 };
    shard.on_to_home_capacity(home, full);
    assert!(!shard.wants_to_home_capacity(home));
    let refused = shard.publish(&room, RoomMessage::text("m"), None, None);
    assert!(refused.is_err() && shard.wants_to_home_capacity(home));
    shard.on_to_home_capacity(home, full);
    assert!(shard.wants_to_home_capacity(home), "it is still refused");
    shard.on_to_home_capacity(home, some);
    assert!(!shard.wants_to_home_capacity(home), "it tries again now, or never");
    assert!(shard.publish(&room, RoomMessage::text("m"), None, None).is_ok());
}

#[test]
fn a_home_serves_its_own_shard_while_others_saturate_it() {
    let mut shard = shard_of(8, Limits::default());
    let room = room_at(&shard, 0);
    let conn = open(&mut shard);
    say(&mut shard, conn, &format!(r#"{{"event":"cast:join","room":"{room}"}}"#));
    send(&mut shard, None);
    let published = shard.counters().published;
    let mine = publish_of(&room, "mine");
    say_all(&mut shard, conn, [mine.as_str(); 100]);
    let mut theirs = 0;
    for turn in 1.. {
        for peer in 1..8 {
            for _ in 0..64 {
                if shard.takes_to_home() {
                    theirs += 1;
                    shard.on_to_home(ShardId::new(peer), foreign_publish(&room));
                }
            }
        }
        shard.take_loopback(256);
        if shard.counters().published - published == theirs + 100 {
            break;
        }
        assert!(turn < 20, "its own publishers starve");
    }
}

fn foreign_publish(room: &RoomName) -> ToHome {
    let publication = Publication { event: "m".into(), data: "1", echo: true, key: None };
    let message = RoomMessage::event(&publication);
    let (origin, accepted) = (Origin::None, Time::default());
    ToHome::Publish { room: room.clone(), message, exclude: None, origin, accepted }
}

#[test]
fn those_in_line_are_served_one_command_each() {
    let mut shard = shard_of(1, Limits { mesh_items: 2, ..Limits::default() });
    let room = room_at(&shard, 0);
    let [a, b, c, reader] = [(); 4].map(|()| open(&mut shard));
    say(&mut shard, reader, &format!(r#"{{"event":"cast:join","room":"{room}"}}"#));
    send(&mut shard, None);
    for (conn, name) in [(a, 'a'), (b, 'b'), (c, 'c')] {
        let texts: Vec<String> =
            (1..=4).map(|n| publish_of(&room, &format!("{name}{n}"))).collect();
        say_all(&mut shard, conn, texts.iter().map(String::as_str));
    }
    take_loopback(&mut shard);
    let sent = send(&mut shard, None);
    let order: Vec<&str> = sent.split(r#""data":""#).skip(1).map(|rest| &rest[..2]).collect();
    // The first two found room, then everybody had something that waited.
    assert_eq!(order.join(" "), "a1 a2 a3 b1 c1 a4 b2 c2 b3 c3 b4 c4");
}

#[test]
fn a_release_takes_up_no_more_than_the_lane_has_room_for() {
    const PUBLISHERS: u64 = 100;
    let mut shard = shard_of(1, Limits { mesh_items: 4, ..Limits::default() });
    let room = room_at(&shard, 0);
    pause(&mut shard, &room, true);
    let read = shard.counters().envelopes_read;
    for _ in 0..PUBLISHERS {
        let conn = open(&mut shard);
        say_all(&mut shard, conn, [publish_of(&room, "1").as_str()]);
    }
    assert_eq!(shard.stats().waiting, PUBLISHERS);
    pause(&mut shard, &room, false);
    assert_eq!(shard.stats().waiting, PUBLISHERS - 4);
    take_loopback(&mut shard);
    assert_eq!((shard.stats().waiting, shard.counters().published), (0, PUBLISHERS));
    assert_eq!(shard.counters().envelopes_read - read, PUBLISHERS, "each is read once");
}

#[test]
fn an_answer_for_one_room_does_not_resume_who_waits_for_another() {
    let mut shard = shard_of(1, Limits::default());
    let conn = open(&mut shard);
    let (a, b) = (r#"{"event":"cast:join","room":"a"}"#, r#"{"event":"cast:join","room":"b"}"#);
    let leave = r#"{"event":"cast:leave","room":"b"}"#;
    say_all(&mut shard, conn, [a, b, leave]);
    let is_in = |shard: &Shard| {
        shard.rooms_of(conn).iter().map(|room| room.as_str().to_owned()).collect::<Vec<_>>()
    };
    while is_in(&shard).is_empty() {
        shard.take_loopback(1);
    }
    assert_eq!(is_in(&shard), ["a"]);
    assert!(!shard.wants_read(conn) && shard.outputs().next_resumed().is_none());
    take_loopback(&mut shard);
    assert!(shard.wants_read(conn));
    assert_eq!(shard.counters().envelopes_read, 3);
}

#[test]
fn input_that_waits_is_copied_once() {
    let mut shard = shard_of(1, Limits::default());
    let conn = open(&mut shard);
    // Each waits for the one before.
    let len = say_all(&mut shard, conn, [r#"{"event":"cast:join","room":"r"}"#; 2_500]);
    take_loopback(&mut shard);
    let sent = send(&mut shard, None);
    let answered = sent.matches("cast:joined").count();
    assert!(answered > 1_000, "the others wait until these are read: {answered}");
    while shard.has_loopback() {
        take_loopback(&mut shard);
        send(&mut shard, None);
    }
    assert_eq!(shard.counters().envelopes_read, 2_500);
    let copied = shard.counters().inbound_bytes_copied;
    assert!(copied <= 2 * len as u64, "{copied} bytes copied of {len}");
}

#[test]
fn who_goes_away_leaves_no_trace_in_line() {
    let mut shard = shard_of(2, Limits { mesh_items: 1, ..Limits::default() });
    let (paused, far) = (room_at(&shard, 0), room_at(&shard, 1));
    pause(&mut shard, &paused, true);
    for _ in 0..1_000 {
        for room in [&paused, &far] {
            let conn = open(&mut shard);
            say_all(&mut shard, conn, [publish_of(room, "1").as_str()]);
            assert!(!shard.wants_read(conn));
            shard.close(conn, Disconnect::Kicked);
            send(&mut shard, None);
        }
    }
    assert!(shard.host.paused_rooms[&paused].ids().count() <= 2);
    assert!(shard.host.outboxes.waiting(ShardId::new(1)).ids().count() <= 2);
    assert_eq!(shard.stats().waiting, 0);
}

#[test]
fn a_join_behind_a_leave_finds_its_place_free() {
    let mut shard = shard_of(1, Limits { rooms_per_connection: 1, ..Limits::default() });
    let conn = open(&mut shard);
    let join = |room: &str| format!(r#"{{"event":"cast:join","room":"{room}"}}"#);
    let leave = r#"{"event":"cast:leave","room":"a"}"#;
    say_all(&mut shard, conn, [join("a").as_str(), leave, join("b").as_str(), join("c").as_str()]);
    take_loopback(&mut shard);
    let sent = send(&mut shard, None);
    assert_eq!(sent.matches("cast:joined").count(), 2, "{sent}");
    assert_eq!(sent.matches("too_many_rooms").count(), 1, "{sent}");
    assert_eq!(shard.rooms_of(conn)[0].as_str(), "b");
}

#[test]
fn a_place_is_not_free_before_the_last_message_of_its_room_is_sent() {
    let mut shard = shard_of(1, Limits { rooms_per_connection: 1, ..Limits::default() });
    let conn = open(&mut shard);
    say(&mut shard, conn, r#"{"event":"cast:join","room":"a"}"#);
    send(&mut shard, None);
    publish(&mut shard, &RoomName::new("a").expect("legal"));
    send(&mut shard, Some(SendEnd::Blocked));
    say(&mut shard, conn, r#"{"event":"cast:leave","room":"a"}"#);
    say(&mut shard, conn, r#"{"event":"cast:join","room":"b"}"#);
    assert!(!shard.wants_read(conn));
    shard.on_writable(conn);
    let sent = send(&mut shard, None);
    take_loopback(&mut shard);
    let sent = sent + &send(&mut shard, None);
    let [message, left, joined] = [r#""event":"m""#, "cast:left", r#"cast:joined","room":"b""#];
    let places = [message, left, joined].map(|part| sent.find(part).expect(part));
    assert!(places.is_sorted(), "{sent}");
}

#[test]
fn a_command_that_waited_is_judged_by_what_is_so_when_it_runs() {
    let mut shard = shard_of(1, Limits { mesh_items: 1, ..Limits::default() });
    let room = room_at(&shard, 0);
    let conn = open(&mut shard);
    let publish =
        format!(r#"{{"event":"cast:publish","room":"{room}","id":1,"data":{{"event":"m"}}}}"#);
    let leave = format!(r#"{{"event":"cast:leave","room":"{room}","id":2}}"#);
    let begun = shard.next_direct_send().expect("its welcome");
    shard.end_send(begun, SendEnd::Blocked);
    // Its answer would go behind the one that its home owes it, but the lane has no room.
    say_all(&mut shard, conn, [publish.as_str(), leave.as_str()]);
    assert!(!shard.wants_read(conn));
    shard.on_writable(conn);
    assert_eq!(shard.next_direct_send(), Some(conn));
    take_loopback(&mut shard);
    shard.join(conn, &room, JoinOptions::default(), AnswerToken(1)).expect("the outbox has room");
    let mut welcome = 0;
    shard.for_each_iovec(conn, |iovec| welcome += iovec.len());
    shard.end_send(conn, SendEnd::Taken(welcome));
    take_loopback(&mut shard);
    let sent = send(&mut shard, None);
    assert!(!sent.contains("not_a_member"), "{sent}");
    assert!(sent.contains(r#""cast:left""#) && sent.contains(r#""id":2"#), "{sent}");
}
