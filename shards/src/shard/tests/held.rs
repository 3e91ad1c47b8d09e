//! Sends whose bytes are sealed below the shard, and held there while the socket is blocked.

use std::time::Duration;

use super::{close_steps, publish, publish_data, say, send, shard};
use crate::disconnect::Disconnect;
use crate::id::ConnId;
use crate::room_name::RoomName;
use crate::shard::{CloseStep, Opening, SendEnd, Shard};
use crate::time::Time;

fn room() -> RoomName {
    RoomName::new("r").expect("legal")
}

/// A member that has caught up.
fn member(shard: &mut Shard) -> ConnId {
    let conn = shard.open(Opening::default());
    say(shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    send(shard, None);
    conn
}

/// Begins the next send, and holds this many of its bytes, or all. Returns the bytes offered.
fn hold(shard: &mut Shard, bytes: Option<usize>) -> Vec<u8> {
    shard.begin_quantum();
    let conn = shard.next_direct_send().or_else(|| shard.next_room_send()).expect("it is behind");
    let mut offered = Vec::new();
    shard.for_each_iovec(conn, |iovec| offered.extend_from_slice(iovec));
    shard.end_send(conn, SendEnd::Held(bytes.unwrap_or(offered.len())));
    shard.check();
    offered
}

fn seconds(seconds: u64) -> Time {
    Time::default() + Duration::from_secs(seconds)
}

#[test]
fn nothing_is_sent_before_what_is_held_is_out() {
    let mut shard = shard();
    let conn = member(&mut shard);
    publish(&mut shard, &room());
    let first = String::from_utf8_lossy(&hold(&mut shard, None)).into_owned();
    assert!(first.contains(r#""offset":1"#), "{first}");
    publish(&mut shard, &room());
    say(&mut shard, conn, r#"{"event":"cast:ping","id":1}"#);
    assert_eq!(send(&mut shard, None), "", "its socket is blocked");
    assert_eq!(shard.stats().blocked, 1);
    shard.on_writable(conn);
    let second = send(&mut shard, None);
    assert!(second.contains(r#""offset":2"#) && !second.contains(r#""offset":1"#), "{second}");
    assert!(second.contains("cast:pong"), "{second}");
    assert_eq!(shard.stats().blocked, 0);
}

#[test]
fn whatever_part_is_held_the_next_send_goes_on_behind_it() {
    let mut shard = shard();
    let conn = member(&mut shard);
    let mut sent = Vec::new();
    for cut in 1..200 {
        publish_data(&mut shard, &room(), &"7".repeat(40));
        publish_data(&mut shard, &room(), &"8".repeat(60));
        let offered = hold(&mut shard, Some(cut.min(180)));
        sent.extend_from_slice(&offered[..cut.min(180)]);
        shard.on_writable(conn);
        let mut rest = Vec::new();
        while shard.has_sends() {
            shard.begin_quantum();
            while let Some(conn) = shard.next_direct_send().or_else(|| shard.next_room_send()) {
                let before = rest.len();
                shard.for_each_iovec(conn, |iovec| rest.extend_from_slice(iovec));
                shard.end_send(conn, SendEnd::Taken(rest.len() - before));
            }
        }
        sent.extend_from_slice(&rest);
        assert_eq!(rest, offered[cut.min(180)..], "cut at {cut}");
    }
    let offsets = String::from_utf8_lossy(&sent).matches(r#""offset":"#).count();
    assert_eq!(offsets, 2 * 199);
}

#[test]
fn our_side_ends_behind_what_is_held() {
    let mut shard = shard();
    let conn = member(&mut shard);
    assert!(shard.close(conn, Disconnect::Kicked));
    let frame = hold(&mut shard, None);
    assert!(frame.ends_with(b"kicked"), "the close frame is held");
    assert_eq!(close_steps(&mut shard), [CloseStep::LeftRooms(conn, Disconnect::Kicked)]);
    shard.on_held_progress(conn);
    assert_eq!(close_steps(&mut shard), []);
    shard.on_writable(conn);
    assert_eq!(close_steps(&mut shard), [CloseStep::ShutdownWrite(conn)]);
    shard.on_end(conn);
    assert_eq!(close_steps(&mut shard), [CloseStep::Close(conn)]);
}

#[test]
fn a_drain_waits_for_what_is_held() {
    let mut shard = shard();
    let conn = member(&mut shard);
    publish(&mut shard, &room());
    hold(&mut shard, None);
    shard.stop_reading();
    shard.close_all_when_flushed(Disconnect::Shutdown);
    assert_eq!(close_steps(&mut shard), [], "its last message is not out");
    shard.on_writable(conn);
    assert!(send(&mut shard, None).contains("shutdown"));
    let left = CloseStep::LeftRooms(conn, Disconnect::Shutdown);
    assert_eq!(close_steps(&mut shard), [left, CloseStep::ShutdownWrite(conn)]);
}

#[test]
fn a_client_that_takes_what_is_held_is_not_stuck_and_one_that_stops_is() {
    let mut shard = shard();
    let conn = member(&mut shard);
    publish(&mut shard, &room());
    hold(&mut shard, None);
    publish(&mut shard, &room());
    for second in [9, 18] {
        shard.on_time(seconds(second));
        shard.on_held_progress(conn);
    }
    shard.on_time(seconds(27));
    assert_eq!(close_steps(&mut shard), [], "it has taken something 9 seconds ago");
    shard.on_time(seconds(29));
    assert_eq!(close_steps(&mut shard), [CloseStep::LeftRooms(conn, Disconnect::Slow)]);
}

#[test]
fn what_is_held_keeps_a_connection_no_longer_than_its_close_takes() {
    let mut shard = shard();
    let conn = member(&mut shard);
    assert!(shard.close(conn, Disconnect::Kicked));
    hold(&mut shard, None);
    for second in [4, 8] {
        shard.on_time(seconds(second));
        shard.on_held_progress(conn);
    }
    let _ = close_steps(&mut shard);
    shard.on_time(seconds(12));
    assert_eq!(close_steps(&mut shard), [], "it gets on");
    shard.on_time(seconds(14));
    assert_eq!(close_steps(&mut shard), [CloseStep::Close(conn)]);
}
