//! Stories of sends that cannot carry everything.

use std::collections::HashMap;
use std::time::Duration;

use super::{publish, publish_data, say, shard};
use crate::disconnect::Disconnect;
use crate::id::ConnId;
use crate::room_name::RoomName;
use crate::shard::{CloseStep, Opening, SendEnd, Shard};
use crate::time::Time;
use crate::tuning::Tuning;

/// Asserts the shard's invariants, in builds that can.
fn check(shard: &Shard) {
    shard.check();
    let _ = shard;
}

/// Begins whatever may be begun before it ends the first of them, as a server does with its last
/// batch, until nothing waits; all of it is taken. Returns what each connection was sent.
fn send_in_batches(shard: &mut Shard) -> HashMap<ConnId, String> {
    let mut sent = HashMap::<ConnId, Vec<u8>>::new();
    while shard.has_sends() {
        shard.begin_quantum();
        let mut begun: Vec<ConnId> = std::iter::from_fn(|| shard.next_room_send()).collect();
        begun.extend(std::iter::from_fn(|| shard.next_direct_send()));
        check(shard);
        for conn in begun {
            let sent = sent.entry(conn).or_default();
            let before = sent.len();
            shard.for_each_iovec(conn, |iovec| sent.extend_from_slice(iovec));
            let taken = sent.len() - before;
            shard.end_send(conn, SendEnd::Taken(taken));
            check(shard);
        }
    }
    let text = |sent: Vec<u8>| String::from_utf8_lossy(&sent).into_owned();
    sent.into_iter().map(|(conn, sent)| (conn, text(sent))).collect()
}

/// One member's every second message is not for it: more runs of memory than one send can
/// carry.
#[test]
fn a_member_with_more_runs_than_a_send_has_iovecs_keeps_its_place() {
    let mut shard = shard();
    let conn = shard.open(Opening::default());
    say(&mut shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    super::send(&mut shard, None);
    for _ in 0..300 {
        for echo in [true, false] {
            let data = format!(r#"{{"event":"m","echo":{echo}}}"#);
            let text = format!(r#"{{"event":"cast:publish","room":"r","data":{data}}}"#);
            say(&mut shard, conn, &text);
        }
    }
    let sent = send_in_batches(&mut shard);
    assert_eq!(sent[&conn].matches(r#""event":"m""#).count(), 300);
}

/// The rooms that come first use up the iovecs, so that a send carries nothing of the room whose
/// pass began it.
#[test]
fn a_connection_in_more_rooms_than_a_send_has_iovecs_keeps_its_places() {
    const ROOMS: usize = 300;
    let mut shard = shard();
    shard.host.config.limits.rooms_per_connection = ROOMS;
    let conn = shard.open(Opening::default());
    for room in 0..ROOMS {
        say(&mut shard, conn, &format!(r#"{{"event":"cast:join","room":"{room}"}}"#));
    }
    super::send(&mut shard, None);
    for room in (0..ROOMS).rev() {
        publish(&mut shard, &RoomName::new(&room.to_string()).expect("legal"));
    }
    let sent = send_in_batches(&mut shard);
    assert_eq!(sent[&conn].matches(r#""event":"m""#).count(), ROOMS);
}

/// So many connections in one room, with `messages` of `bytes` pending.
fn backlog(connections: usize, messages: usize, bytes: usize) -> Shard {
    let mut shard = shard();
    for _ in 0..connections {
        let conn = shard.open(Opening::default());
        say(&mut shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    }
    super::send(&mut shard, None);
    let data = format!("\"{}\"", "x".repeat(bytes));
    for _ in 0..messages {
        publish_data(&mut shard, &RoomName::new("r").expect("legal"), &data);
    }
    shard
}

fn offer(shard: &Shard, conn: ConnId) -> usize {
    let mut bytes = 0;
    shard.for_each_iovec(conn, |iovec| bytes += iovec.len());
    bytes
}

#[test]
fn a_slice_ends_after_a_bounded_number_of_bytes() {
    const MESSAGE: usize = 256 << 10;
    let mut shard = backlog(64, 1, MESSAGE);
    let quantum_bytes = usize::try_from(Tuning::DEFAULT.quantum_bytes).expect("a megabyte");
    let (mut slices, mut sent, before) = (0, 0, shard.counters().offered);
    while shard.has_sends() {
        shard.begin_quantum();
        let begun: Vec<ConnId> = std::iter::from_fn(|| shard.next_room_send()).collect();
        let bytes: usize = begun.iter().map(|conn| offer(&shard, *conn)).sum();
        assert!(bytes < quantum_bytes + MESSAGE + 100, "{bytes} bytes in one iovec");
        for conn in begun {
            shard.end_send(conn, SendEnd::Taken(offer(&shard, conn)));
        }
        (slices, sent) = (slices + 1, sent + bytes);
    }
    assert!(sent > 64 * MESSAGE && slices >= 16, "{sent} bytes in {slices} slices");
    assert_eq!(shard.counters().offered - before, sent as u64);
}

#[test]
fn a_send_carries_a_bounded_number_of_bytes_and_the_next_one_goes_on() {
    const MESSAGE: usize = 100 << 10;
    let mut shard = backlog(1, 20, MESSAGE);
    shard.begin_quantum();
    let (mut sends, mut bytes) = (0, 0);
    while let Some(conn) = shard.next_room_send().or_else(|| shard.next_direct_send()) {
        let offered = offer(&shard, conn);
        assert!(offered < Tuning::DEFAULT.send_bytes + MESSAGE + 100, "{offered} in one send");
        shard.end_send(conn, SendEnd::Taken(offered));
        check(&shard);
        (sends, bytes) = (sends + 1, bytes + offered);
    }
    assert!(sends == 4 && bytes > 20 * MESSAGE, "{bytes} bytes in {sends} sends");
}

/// A slow reader that takes a little at a time: the busy room, which it joined first, does not keep
/// the quiet one waiting until the busy one's backlog is sent.
#[test]
fn a_busy_room_does_not_delay_a_quiet_one_of_a_slow_reader() {
    let mut shard = shard();
    let conn = shard.open(Opening::default());
    for room in ["busy", "quiet"] {
        say(&mut shard, conn, &format!(r#"{{"event":"cast:join","room":"{room}"}}"#));
    }
    super::send(&mut shard, None);
    for _ in 0..100 {
        publish(&mut shard, &RoomName::new("busy").expect("legal"));
    }
    publish(&mut shard, &RoomName::new("quiet").expect("legal"));
    let mut sent = Vec::new();
    for _ in 0..2 {
        shard.on_writable(conn);
        shard.begin_quantum();
        let conn =
            shard.next_direct_send().or_else(|| shard.next_room_send()).expect("it is behind");
        let mut all = Vec::new();
        shard.for_each_iovec(conn, |iovec| all.extend_from_slice(iovec));
        sent.extend_from_slice(&all[..300]);
        shard.end_send(conn, SendEnd::Taken(300));
        check(&shard);
    }
    let sent = String::from_utf8_lossy(&sent);
    assert!(sent.contains(r#""room":"quiet""#), "{sent}");
}

/// One member misses every second of very many messages while its socket refuses bytes.
#[test]
fn a_member_that_misses_every_second_of_very_many_messages_gets_the_others() {
    let mut shard = shard();
    let conn = shard.open(Opening::default());
    say(&mut shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    super::send(&mut shard, Some(SendEnd::Blocked));
    for _ in 0..15_000 {
        for echo in [true, false] {
            let data = format!(r#"{{"event":"m","echo":{echo}}}"#);
            let text = format!(r#"{{"event":"cast:publish","room":"r","data":{data}}}"#);
            say(&mut shard, conn, &text);
        }
    }
    shard.on_writable(conn);
    let sent = send_in_batches(&mut shard);
    assert_eq!(sent[&conn].matches(r#""event":"m""#).count(), 15_000);
}

/// A socket that says it is writable and then refuses everything again has refused bytes all along.
#[test]
fn a_socket_that_takes_nothing_is_slow_after_one_timeout_whatever_it_reports() {
    let mut shard = backlog(1, 1, 100);
    shard.begin_quantum();
    let conn = shard.next_room_send().expect("it is behind");
    shard.end_send(conn, SendEnd::Blocked);
    let at = |millis| Time::default() + Duration::from_millis(millis);
    shard.on_time(at(9_990));
    shard.on_writable(conn);
    shard.on_time(at(10_100));
    assert_eq!(shard.outputs().next_close_step(), None, "its socket may take bytes now");
    super::send(&mut shard, Some(SendEnd::Blocked));
    shard.on_time(at(10_200));
    assert_eq!(
        shard.outputs().next_close_step(),
        Some(CloseStep::LeftRooms(conn, Disconnect::Slow))
    );
}
