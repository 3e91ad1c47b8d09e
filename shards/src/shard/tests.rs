//! One shard, step by step; whole systems are simulated.

mod access;
mod asked;
mod closing;
mod debts;
mod deflate;
mod direct;
mod events;
mod events_of_rooms;
mod held;
mod history;
mod history_bounds;
mod journal;
mod latest;
mod lingering;
mod memory;
mod named_rooms;
mod paused_publishers;
mod placing;
mod presence;
mod rates;
mod replays;
mod sends;
mod totals;
mod waiting;
mod watched;

use std::sync::Arc;
use std::time::Duration;

use super::{CloseStep, Opening, SendEnd, Shard};
use crate::close_code::CloseCode;
use crate::config::Config;
use crate::connection::Connection;
use crate::disconnect::{Close, Disconnect};
use crate::envelope::Publication;
use crate::format::RoomMessage;
use crate::id::{ConnId, ShardId};
use crate::mesh::AnswerToken;
use crate::permissions::{Permission, Permissions};
use crate::recovery::JoinOptions;
use crate::room_name::RoomName;
use crate::time::Time;
use crate::wire::{Opcode, push_client_frame};

fn shard() -> Shard {
    Shard::new(ShardId::new(0), Config { shards: 1, ..Config::default() })
}

/// An anonymous connection whose client may do this.
fn allowing(permissions: Permissions) -> Opening {
    Opening { permissions: Arc::new(permissions), ..Opening::default() }
}

fn connection(shard: &Shard, conn: ConnId) -> &Connection {
    let directory = &shard.host.directory;
    &directory[directory.find(conn).expect("it is there")]
}

fn receive(shard: &mut Shard, conn: ConnId, opcode: Opcode, payload: &str) {
    let mut frame = Vec::new();
    push_client_frame(&mut frame, opcode, true, [1, 2, 3, 4], payload.as_bytes());
    shard.receive(conn, &mut frame);
}

fn say(shard: &mut Shard, conn: ConnId, json: &str) {
    receive(shard, conn, Opcode::Text, json);
    take_loopback(shard);
}

fn take_loopback(shard: &mut Shard) {
    while shard.has_loopback() {
        shard.take_loopback(100);
    }
}

/// Sends everything that waits, each send with this end, and returns what was sent.
fn send(shard: &mut Shard, end: Option<SendEnd>) -> String {
    let mut sent = Vec::new();
    while shard.has_sends() {
        shard.begin_quantum();
        while let Some(conn) = shard.next_direct_send().or_else(|| shard.next_room_send()) {
            let before = sent.len();
            shard.for_each_iovec(conn, |iovec| sent.extend_from_slice(iovec));
            shard.end_send(conn, end.unwrap_or(SendEnd::Taken(sent.len() - before)));
        }
    }
    String::from_utf8_lossy(&sent).into_owned()
}

fn publish(shard: &mut Shard, room: &RoomName) {
    publish_data(shard, room, "1");
}

fn publish_data(shard: &mut Shard, room: &RoomName, data: &str) {
    take_loopback(shard);
    let publication = Publication { event: "m".into(), data, echo: true, key: None };
    let message = RoomMessage::event(&publication);
    shard.publish(room, message, None, None).expect("there is room");
    take_loopback(shard);
}

fn close_steps(shard: &mut Shard) -> Vec<CloseStep> {
    std::iter::from_fn(|| shard.outputs().next_close_step()).collect()
}

/// A connection that is in a room, leaves it while its socket refuses a message of the room, and
/// has sent another command for that room, which waits.
fn stalled_leaver(shard: &mut Shard) -> ConnId {
    let conn = shard.open(Opening::default());
    say(shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    send(shard, None);
    publish(shard, &RoomName::new("r").expect("legal"));
    send(shard, Some(SendEnd::Blocked));
    say(shard, conn, r#"{"event":"cast:leave","room":"r"}"#);
    say(shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    assert!(!shard.wants_read(conn));
    conn
}

#[test]
fn nothing_follows_a_close_frame() {
    let mut shard = shard();
    let conn = shard.open(Opening::default());
    let publish = r#"{"event":"cast:publish","room":"r","id":1,"data":{"event":"m"}}"#;
    receive(&mut shard, conn, Opcode::Text, publish);
    receive(&mut shard, conn, Opcode::Close, "");
    take_loopback(&mut shard);
    let sent = send(&mut shard, None);
    assert!(sent.ends_with("normal"), "{sent}");
}

#[test]
fn a_connection_that_opens_after_a_broadcast_to_none_gets_the_next_one() {
    let mut shard = shard();
    publish(&mut shard, &RoomName::everybody());
    shard.open(Opening::default());
    publish(&mut shard, &RoomName::everybody());
    let sent = send(&mut shard, None);
    assert_eq!(sent.matches(r#""event":"m""#).count(), 1, "{sent}");
}

#[test]
fn a_dead_connection_does_not_wait_for_its_last_message() {
    let mut shard = shard();
    let conn = stalled_leaver(&mut shard);
    shard.on_writable(conn);
    send(&mut shard, Some(SendEnd::Failed));
    take_loopback(&mut shard);
    shard.on_end(conn);
    let expected = [CloseStep::LeftRooms(conn, Disconnect::Lost), CloseStep::Close(conn)];
    assert_eq!(close_steps(&mut shard), expected);
}

#[test]
fn a_client_that_hung_up_and_does_not_read_is_lost() {
    let mut shard = shard();
    let conn = stalled_leaver(&mut shard);
    shard.on_end(conn);
    assert!(close_steps(&mut shard).is_empty());
    shard.on_time(Time::default() + Duration::from_secs(11));
    let expected = [CloseStep::LeftRooms(conn, Disconnect::Lost), CloseStep::Close(conn)];
    assert_eq!(close_steps(&mut shard), expected);
}

#[test]
fn a_client_that_hung_up_does_not_hold_up_a_drain() {
    let mut shard = shard();
    let conn = stalled_leaver(&mut shard);
    shard.on_end(conn);
    shard.stop_reading();
    let expected = [CloseStep::LeftRooms(conn, Disconnect::Lost), CloseStep::Close(conn)];
    assert_eq!(close_steps(&mut shard), expected);
}

#[test]
fn a_pass_is_timed_from_the_oldest_message_that_it_carries() {
    let mut shard = shard();
    shard.open(Opening::default());
    send(&mut shard, None);
    for millis in [10, 20] {
        shard.on_time(Time::from_nanos(millis * 1_000_000));
        publish(&mut shard, &RoomName::everybody());
    }
    send(&mut shard, None);
    assert!(shard.wants_quantum_end());
    shard.on_quantum_end(Time::from_nanos(25_000_000));
    let latencies = &shard.counters().latencies;
    assert_eq!((latencies.count(), latencies.max()), (1, Duration::from_millis(15)));
    assert!(!shard.wants_quantum_end());
}

#[test]
fn a_quantum_begins_with_the_connections_that_are_to_leave_their_rooms() {
    let mut config = Config { shards: 1, ..Config::default() };
    config.limits.room_log_bytes = 100;
    let mut shard = Shard::new(ShardId::new(0), config);
    let conn = shard.open(Opening::default());
    send(&mut shard, None);
    publish(&mut shard, &RoomName::everybody());
    send(&mut shard, Some(SendEnd::Blocked));
    let data = format!("\"{}\"", "x".repeat(20_000));
    for _ in 0..6 {
        publish_data(&mut shard, &RoomName::everybody(), &data);
        send(&mut shard, None);
    }
    assert_eq!(close_steps(&mut shard)[0], CloseStep::LeftRooms(conn, Disconnect::Slow));
}

#[test]
fn pings_are_spread_over_their_interval() {
    const CONNECTIONS: usize = 1_000;
    let mut shard = shard();
    let conns: Vec<ConnId> = (0..CONNECTIONS).map(|_| shard.open(Opening::default())).collect();
    send(&mut shard, None);
    let (mut heard, mut pings) = (vec![Time::default(); CONNECTIONS], vec![0_usize; 200]);
    let interval = Duration::from_secs(25);
    for step in 1..2_000 {
        let now = Time::default() + Duration::from_millis(100) * step;
        shard.on_time(now);
        while let Some(conn) = shard.next_direct_send() {
            let mut bytes = 0;
            shard.for_each_iovec(conn, |iovec| bytes += iovec.len());
            shard.end_send(conn, SendEnd::Taken(bytes));
            let place = conns.iter().position(|other| *other == conn).expect("it was opened");
            let silence = now.since(heard[place]);
            assert!(silence >= interval * 63 / 64, "pinged after {silence:?}");
            assert!(silence < interval * 5 / 4 + Duration::from_millis(200), "{silence:?}");
            receive(&mut shard, conn, Opcode::Pong, "");
            heard[place] = now;
            pings[step as usize / 10] += 1;
        }
    }
    let settled = &pings[150..200];
    let (total, most): (usize, _) = (settled.iter().sum(), settled.iter().max());
    let even = total / settled.len();
    assert!(most.is_some_and(|most| *most <= 2 * even), "{settled:?}");
}

#[test]
fn small_rooms_share_a_slice_and_large_ones_do_not_starve_them() {
    let mut shard = shard();
    let rooms: Vec<RoomName> =
        ["a", "b", "c"].map(|name| RoomName::new(name).expect("legal")).into();
    for (room, members) in rooms.iter().zip([3, 100, 3]) {
        for _ in 0..members {
            let conn = shard.open(Opening::default());
            say(&mut shard, conn, &format!(r#"{{"event":"cast:join","room":"{room}"}}"#));
        }
    }
    send(&mut shard, None);
    rooms.iter().for_each(|room| publish(&mut shard, room));
    let mut slices = Vec::new();
    while shard.has_sends() {
        shard.begin_quantum();
        let sends = std::iter::from_fn(|| {
            let conn = shard.next_room_send()?;
            let mut bytes = 0;
            shard.for_each_iovec(conn, |iovec| bytes += iovec.len());
            shard.end_send(conn, SendEnd::Taken(bytes));
            Some(())
        });
        slices.push(sends.count());
    }
    // 3 of the first and 61 of the large one; then 3 of the last, whose turn it is, and the rest.
    assert_eq!(slices, [64, 42]);
}

/// A connection that may do nothing by itself.
fn forbidden() -> (Shard, ConnId) {
    let mut shard = shard();
    let conn = shard.open(allowing(Permissions::all(Permission::Forbidden)));
    send(&mut shard, None);
    (shard, conn)
}

#[test]
fn what_is_forbidden_is_answered_and_does_not_happen() {
    for (event, room) in
        [("cast:join", Some("r")), ("cast:publish", Some("r")), ("cast:broadcast", None)]
    {
        let (mut shard, conn) = forbidden();
        let room = room.map_or(String::new(), |room| format!(r#","room":"{room}""#));
        say(
            &mut shard,
            conn,
            &format!(r#"{{"event":"{event}"{room},"id":7,"data":{{"event":"m"}}}}"#),
        );
        let sent = send(&mut shard, None);
        let expected =
            format!(r#"{{"event":"cast:error"{room},"id":7,"data":{{"code":"forbidden","#);
        assert_eq!(sent.matches(r#""event":"#).count(), 1, "{sent}");
        assert!(sent.contains(&expected), "{sent}");
        assert_eq!(shard.counters().published, 0);
        assert!(shard.rooms_of(conn).is_empty());
    }
}

#[test]
fn each_kind_of_command_has_its_own_permission() {
    let mut shard = shard();
    let permissions = Permissions { publish: Permission::Forbidden, ..Permissions::default() };
    let conn = shard.open(allowing(permissions));
    say(&mut shard, conn, r#"{"event":"cast:join","room":"r","id":1}"#);
    say(&mut shard, conn, r#"{"event":"cast:publish","room":"r","id":2,"data":{"event":"m"}}"#);
    say(&mut shard, conn, r#"{"event":"cast:broadcast","id":3,"data":{"event":"m"}}"#);
    say(&mut shard, conn, r#"{"event":"cast:leave","room":"r","id":4}"#);
    let sent = send(&mut shard, None);
    for expected in [
        r#""cast:joined","room":"r","id":1"#,
        r#""cast:error","room":"r","id":2,"data":{"code":"forbidden""#,
        r#""cast:ack","id":3"#,
        r#""cast:left","room":"r","id":4"#,
    ] {
        assert!(sent.contains(expected), "{expected} in {sent}");
    }
}

#[test]
fn the_program_may_do_what_its_client_may_not() {
    let (mut shard, conn) = forbidden();
    let room = RoomName::new("r").expect("legal");
    shard.join(conn, &room, JoinOptions::default(), AnswerToken(1)).expect("there is room");
    take_loopback(&mut shard);
    assert_eq!(shard.rooms_of(conn), [room]);
}

#[test]
fn a_program_closes_in_its_own_words() {
    let mut shard = shard();
    let close = Close::new(CloseCode::new(4001).expect("legal"), "signed out");
    let conns = [(); 3].map(|()| shard.open(Opening::default()));
    send(&mut shard, None);
    assert!(shard.close(conns[0], close.clone()) && !shard.close(conns[0], CloseCode::NORMAL));
    assert!(send(&mut shard, None).ends_with("\x0f\u{fffd}signed out"));
    // The words are those of the program's close, and not of one that comes before it.
    shard.close_all_when_flushed(close);
    receive(&mut shard, conns[1], Opcode::Close, "\x03\u{e8}");
    let sent = send(&mut shard, None);
    assert_eq!(sent.matches("signed out").count(), 2, "{sent}");
    assert!(shard.host.close_texts.is_empty());
}

/// A caller that was held up first reports the events up to a moment, and then the time.
#[test]
fn no_client_is_closed_for_a_time_of_which_the_events_are_not_known() {
    let mut shard = shard();
    let conn = shard.open(Opening::default());
    send(&mut shard, None);
    let at = |second| Time::default() + Duration::from_secs(second);
    shard.on_time(at(40));
    assert!(send(&mut shard, None).len() >= 2, "a ping");
    // A minute later, of which nothing is known yet.
    shard.on_time_with_backlog(at(100), at(40));
    assert!(close_steps(&mut shard).is_empty());
    receive(&mut shard, conn, Opcode::Pong, "");
    shard.on_time(at(100));
    assert!(close_steps(&mut shard).is_empty(), "it had answered");
    shard.on_time(at(140));
    send(&mut shard, None);
    shard.on_time(at(200));
    send(&mut shard, None);
    assert_eq!(close_steps(&mut shard)[0], CloseStep::LeftRooms(conn, Disconnect::Idle));
}
