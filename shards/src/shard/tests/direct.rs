//! What waits for one connection alone.

use super::*;
use crate::shard::Unsent;

fn frame(bytes: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    crate::wire::push_frame(&mut frame, Opcode::Text, &vec![b'x'; bytes]);
    frame
}

fn at(shard: &mut Shard, millis: u64) {
    shard.on_time(Time::from_nanos(millis * 1_000_000));
}

fn open(shard: &mut Shard) -> ConnId {
    let conn = shard.open(Opening::default());
    send(shard, None);
    conn
}

#[test]
fn a_client_that_reads_is_not_closed_for_what_is_sent_at_once() {
    let mut shard = shard();
    shard.host.config.limits.ping_interval = Duration::ZERO;
    let conn = open(&mut shard);
    let message = frame(200_000);
    let (mut sent, mut refused) = (0, 0);
    while sent < 40 {
        match shard.emit(conn, &message) {
            Ok(()) => sent += 1,
            Err(Unsent::Full) => {
                refused += 1;
                // It reads as slowly as one can and not be stuck.
                at(&mut shard, 3_000 * refused);
                shard.on_writable(conn);
                send(&mut shard, Some(SendEnd::Taken(100_000)));
            }
            Err(other) => panic!("{other:?} after {sent}"),
        }
        assert!(connection(&shard, conn).direct_bytes() <= 512 << 10);
    }
    assert!(refused > 40, "{refused}");
    assert_eq!(close_steps(&mut shard), []);
}

#[test]
fn a_client_that_takes_nothing_is_closed_when_more_comes_than_may_wait() {
    let mut shard = shard();
    let conn = open(&mut shard);
    let message = frame(200_000);
    shard.emit(conn, &message).expect("it fits");
    send(&mut shard, Some(SendEnd::Blocked));
    shard.emit(conn, &message).expect("it fits");
    assert_eq!(shard.emit(conn, &message), Err(Unsent::Full));
    at(&mut shard, 3_900);
    assert_eq!(shard.emit(conn, &message), Err(Unsent::Full));
    assert_eq!(shard.emit(conn, b"\x81\x00"), Ok(()), "a small one fits");
    at(&mut shard, 4_000);
    assert_eq!(shard.emit(conn, &message), Err(Unsent::Gone));
    send(&mut shard, None);
    assert_eq!(close_steps(&mut shard), [CloseStep::LeftRooms(conn, Disconnect::Slow)]);
}

#[test]
fn a_client_is_not_stuck_while_what_it_took_waits_to_be_noticed() {
    let mut shard = shard();
    let conn = open(&mut shard);
    let message = frame(200_000);
    shard.emit(conn, &message).expect("it fits");
    send(&mut shard, Some(SendEnd::Blocked));
    shard.emit(conn, &message).expect("it fits");
    // The machine was paused for a minute.
    let time = |seconds: u64| Time::from_nanos(seconds * 1_000_000_000);
    shard.on_time_with_backlog(time(60), time(3));
    assert_eq!(shard.emit(conn, &message), Err(Unsent::Full));
    shard.on_time_with_backlog(time(60), time(4));
    assert_eq!(shard.emit(conn, &message), Err(Unsent::Gone));
}

#[test]
fn what_can_never_fit_is_refused_at_once() {
    let mut shard = shard();
    let conn = open(&mut shard);
    let most = shard.host.config.limits.own_bytes;
    assert_eq!(shard.emit(conn, &vec![0; most + 1]), Err(Unsent::TooLarge(most)));
    let largest = frame(most - 10);
    assert_eq!((largest.len(), shard.emit(conn, &largest)), (most, Ok(())));
    assert!(send(&mut shard, None).len() >= most);
    assert_eq!(close_steps(&mut shard), []);
}

#[test]
fn acks_on_their_way_count_as_unread() {
    let mut shard = shard();
    shard.host.config.limits.own_bytes = 8 << 10;
    let conn = open(&mut shard);
    let publish = r#"{"event":"cast:publish","room":"r","id":"0123456789","data":{"event":"m"}}"#;
    let mut bytes = Vec::new();
    for _ in 0..200 {
        push_client_frame(&mut bytes, Opcode::Text, true, [1, 2, 3, 4], publish.as_bytes());
    }
    shard.receive(conn, &mut bytes);
    assert!(!shard.wants_read(conn), "some are not begun before the first acks are read");
    let begun = shard.counters().envelopes_read;
    assert!((15..40).contains(&begun), "{begun}");
    let mut acks = 0;
    while shard.has_loopback() || shard.has_sends() {
        take_loopback(&mut shard);
        assert!(connection(&shard, conn).direct_bytes() <= 4 << 10);
        acks += send(&mut shard, None).matches("cast:ack").count();
    }
    assert_eq!(acks, 200);
    let connection = connection(&shard, conn);
    assert_eq!((connection.owed_replies, connection.owed_bytes), (0, 0));
    assert!(shard.wants_read(conn));
}

#[test]
fn pings_are_held_back_while_their_pongs_are_not_read() {
    let mut shard = shard();
    shard.host.config.limits.own_bytes = 8 << 10;
    let conn = open(&mut shard);
    let mut bytes = Vec::new();
    for n in 0..1_000 {
        let payload = format!("{n:0125}");
        push_client_frame(&mut bytes, Opcode::Ping, true, [1, 2, 3, 4], payload.as_bytes());
    }
    shard.receive(conn, &mut bytes);
    assert!(!shard.wants_read(conn));
    let mut sent = String::new();
    while shard.has_sends() {
        sent += &send(&mut shard, None);
    }
    let places: Vec<_> = (0..1_000).map(|n| sent.find(&format!("{n:0125}"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "a pong for each, in order");
    assert_eq!(close_steps(&mut shard), []);
}
