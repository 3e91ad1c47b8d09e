//! Rooms whose messages wait for others.

use std::time::Duration;

use super::{Opcode, close_steps, publish, publish_data, receive, say, send};
use crate::config::Config;
use crate::disconnect::Disconnect;
use crate::id::{ConnId, ShardId};
use crate::memory::OthersMemory;
use crate::policy::{RoomPolicy, SlowPolicy};
use crate::room_name::RoomName;
use crate::shard::{CloseStep, Opening, SendEnd, Shard};
use crate::time::Time;

fn room() -> RoomName {
    RoomName::new("r").expect("legal")
}

fn at(millis: u64) -> Time {
    Time::default() + Duration::from_millis(millis)
}

fn policy() -> RoomPolicy {
    RoomPolicy::default().linger(Duration::from_millis(5))
}

/// A shard where this holds in every room, and members that have read everything so far.
fn members(count: usize, policy: RoomPolicy) -> (Shard, Vec<ConnId>) {
    let mut config = Config { shards: 1, ..Config::default() };
    config.rooms.add("*", policy).expect("legal");
    config.limits.ping_interval = Duration::ZERO;
    let mut shard = Shard::new(ShardId::new(0), config);
    let conns = (0..count).map(|_| {
        let conn = shard.open(Opening::default());
        say(&mut shard, conn, r#"{"event":"cast:join","room":"r"}"#);
        conn
    });
    let conns = conns.collect();
    send(&mut shard, None);
    (shard, conns)
}

fn messages(sent: &str) -> usize {
    sent.matches(r#"{"event":"m""#).count()
}

#[test]
fn messages_wait_for_the_end_of_the_linger_and_go_in_one_send() {
    let (mut shard, _) = members(2, policy());
    let mut sends = shard.counters().sends;
    for begin in [0, 100] {
        for millis in [0, 1, 4] {
            shard.on_time(at(begin + millis));
            publish(&mut shard, &room());
            assert!(!shard.has_sends(), "they linger");
            assert_eq!(shard.next_deadline(), Some(at(begin + 5)), "from the first on");
            shard.check();
        }
        let early = Time::from_nanos(at(begin + 5).as_nanos() - 1);
        shard.on_time(early);
        assert!(!shard.has_sends());
        shard.on_time(at(begin + 5));
        assert_eq!(messages(&send(&mut shard, None)), 6);
        assert_eq!(shard.counters().sends, sends + 2);
        assert_eq!(shard.next_deadline(), None);
        sends += 2;
    }
}

#[test]
fn enough_bytes_end_the_linger() {
    let frame = {
        let (mut shard, _) = members(1, RoomPolicy::default());
        publish(&mut shard, &room());
        shard.stats().log_bytes as usize
    };
    // By themselves, or because they are a quarter of the log.
    for policy in [policy().linger_bytes(frame * 3), policy().log_bytes((frame * 12).max(4 << 10))]
    {
        let (mut shard, _) = members(1, policy);
        let most = shard.host.directory[shard.host.directory.rooms.find("r").expect("there")]
            .policy
            .linger
            .expect("they linger")
            .bytes();
        while !shard.has_sends() {
            publish(&mut shard, &room());
        }
        let bytes = shard.stats().log_bytes;
        assert!((most..most + 2 * frame as u64).contains(&bytes), "{bytes} of {most}");
        assert!(messages(&send(&mut shard, None)) >= 3 && shard.stats().log_bytes == 0);
        assert_eq!(shard.next_deadline(), None, "it is over");
        publish(&mut shard, &room());
        assert!(!shard.has_sends() && shard.next_deadline() == Some(at(5)), "the next begins");
    }
}

#[test]
fn publishers_of_a_small_log_pause_for_no_linger() {
    let policy = policy().linger(Duration::from_secs(10)).log_bytes(4 << 10);
    let (mut shard, _) = members(1, policy);
    let data = format!("\"{}\"", "x".repeat(900));
    for _ in 0..100 {
        publish_data(&mut shard, &room(), &data);
        send(&mut shard, None);
        assert_eq!(shard.stats().paused_rooms, 0);
    }
}

#[test]
fn what_is_for_one_connection_goes_at_once_and_takes_nothing_along() {
    let (mut shard, conns) = members(2, policy());
    publish(&mut shard, &room());
    let publish = r#"{"event":"cast:publish","room":"r","id":7,"data":{"event":"m"}}"#;
    say(&mut shard, conns[0], publish);
    say(&mut shard, conns[0], r#"{"event":"cast:ping","id":8}"#);
    let sent = send(&mut shard, None);
    assert!(sent.contains(r#"cast:ack","id":7,"data":{"offset":2"#), "{sent}");
    assert!(sent.contains("cast:pong") && messages(&sent) == 0, "{sent}");
    shard.on_time(at(5));
    assert_eq!(messages(&send(&mut shard, None)), 4);
}

#[test]
fn a_message_during_a_pass_begins_a_linger_of_its_own() {
    let (mut shard, _) = members(3, policy());
    publish(&mut shard, &room());
    shard.on_time(at(5));
    shard.begin_quantum();
    let end = |shard: &mut Shard, conn| {
        let mut sent = Vec::new();
        shard.for_each_iovec(conn, |iovec| sent.extend_from_slice(iovec));
        shard.end_send(conn, SendEnd::Taken(sent.len()));
        messages(&String::from_utf8_lossy(&sent))
    };
    let first = shard.next_room_send().expect("there are three");
    assert_eq!(end(&mut shard, first), 1);
    shard.on_time(at(7));
    publish(&mut shard, &room());
    // A send that is due takes it along; the member that was sent to before waits.
    let rest: Vec<usize> = std::iter::from_fn(|| {
        let conn = shard.next_room_send()?;
        Some(end(&mut shard, conn))
    })
    .collect();
    assert_eq!(rest, [2, 2]);
    shard.check();
    assert!(!shard.has_sends());
    assert_eq!(shard.next_deadline(), Some(at(12)));
    shard.on_time(at(12));
    assert_eq!(messages(&send(&mut shard, None)), 1);
}

#[test]
fn one_that_leaves_is_sent_what_lingers_and_then_its_answer() {
    let (mut shard, conns) = members(2, policy());
    publish(&mut shard, &room());
    publish(&mut shard, &room());
    say(&mut shard, conns[0], r#"{"event":"cast:leave","room":"r","id":1}"#);
    let sent = send(&mut shard, None);
    assert_eq!(messages(&sent), 2, "to it alone: {sent}");
    assert!(sent.ends_with(r#""cast:left","room":"r","id":1,"data":{"offset":2}}"#), "{sent}");
    shard.check();
    shard.on_time(at(5));
    assert_eq!(messages(&send(&mut shard, None)), 2);
}

#[test]
fn one_that_takes_bytes_again_waits_for_what_lingers() {
    let (mut shard, conns) = members(1, policy());
    publish(&mut shard, &room());
    shard.on_time(at(5));
    assert_eq!(messages(&send(&mut shard, Some(SendEnd::Blocked))), 1);
    publish(&mut shard, &room());
    shard.on_writable(conns[0]);
    assert_eq!(messages(&send(&mut shard, None)), 2, "one is due, and the other comes along");
    publish(&mut shard, &room());
    shard.on_writable(conns[0]);
    shard.check();
    assert!(send(&mut shard, None).is_empty());
    shard.on_time(at(10));
    assert_eq!(messages(&send(&mut shard, None)), 1);
}

#[test]
fn a_drain_waits_for_no_linger() {
    let (mut shard, conns) = members(1, policy().linger(Duration::from_secs(10)));
    publish(&mut shard, &room());
    shard.stop_reading();
    assert_eq!(messages(&send(&mut shard, None)), 1);
    publish(&mut shard, &room());
    shard.close_all_when_flushed(Disconnect::Shutdown);
    let sent = send(&mut shard, None);
    assert!(messages(&sent) == 1 && sent.contains("shutdown"), "{sent}");
    let left = CloseStep::LeftRooms(conns[0], Disconnect::Shutdown);
    assert_eq!(close_steps(&mut shard), [left, CloseStep::ShutdownWrite(conns[0])]);
}

#[test]
fn a_program_that_closes_all_waits_for_no_linger() {
    let (mut shard, conns) = members(1, policy().linger(Duration::from_secs(10)));
    publish(&mut shard, &room());
    shard.close_all_when_flushed(Disconnect::Kicked);
    publish(&mut shard, &room());
    let sent = send(&mut shard, None);
    assert!(messages(&sent) >= 1 && sent.contains("kicked"), "{sent}");
    let left = CloseStep::LeftRooms(conns[0], Disconnect::Kicked);
    assert_eq!(close_steps(&mut shard), [left, CloseStep::ShutdownWrite(conns[0])]);
}

#[test]
fn what_comes_while_one_is_flushed_and_lingers_is_not_waited_for() {
    let (mut shard, conns) = members(1, policy().linger(Duration::from_secs(10)));
    say(&mut shard, conns[0], r#"{"event":"cast:ping","id":8}"#);
    assert!(send(&mut shard, Some(SendEnd::Blocked)).contains("cast:pong"));
    shard.close_all_when_flushed(Disconnect::Kicked);
    publish(&mut shard, &room());
    shard.on_writable(conns[0]);
    let sent = send(&mut shard, None);
    assert!(sent.contains("cast:pong") && sent.contains("kicked"), "{sent}");
}

#[test]
fn of_the_newest_message_alone_what_is_due_is_sent_with_the_gap() {
    let (mut shard, conns) = members(1, policy().slow(SlowPolicy::Latest));
    for _ in 0..3 {
        publish(&mut shard, &room());
    }
    shard.on_time(at(5));
    assert_eq!(messages(&send(&mut shard, Some(SendEnd::Blocked))), 3);
    for _ in 0..2 {
        publish(&mut shard, &room());
    }
    shard.on_time(at(10));
    send(&mut shard, None);
    publish(&mut shard, &room());
    shard.on_writable(conns[0]);
    let sent = send(&mut shard, None);
    assert!(sent.contains(r#""from":1,"to":4"#), "{sent}");
    assert!(sent.contains(r#""offset":5"#), "the newest that has lingered: {sent}");
    shard.on_time(at(15));
    assert!(sent.contains(r#""offset":6"#) || send(&mut shard, None).contains(r#""offset":6"#));
    shard.check();
}

/// All members leave a room that needs a pass or whose messages linger, and another one comes.
#[test]
fn a_pass_for_members_that_have_gone_carries_nothing_of_what_lingers() {
    for ends_before in [true, false] {
        let (mut shard, conns) = members(1, policy());
        let other = shard.open(Opening::default());
        send(&mut shard, None);
        publish(&mut shard, &room());
        if ends_before {
            shard.on_time(at(5));
            assert!(shard.has_sends());
        }
        receive(&mut shard, other, Opcode::Text, r#"{"event":"cast:join","room":"r"}"#);
        shard.close(conns[0], Disconnect::Kicked);
        while let Some(conn) = shard.next_direct_send() {
            let mut bytes = 0;
            shard.for_each_iovec(conn, |iovec| bytes += iovec.len());
            shard.end_send(conn, SendEnd::Taken(bytes));
        }
        shard.on_time(at(5));
        publish(&mut shard, &room());
        assert_eq!(messages(&send(&mut shard, None)), 0, "it lingers");
        shard.check();
        shard.on_time(at(10));
        assert_eq!(messages(&send(&mut shard, None)), 1);
    }
}

#[test]
fn nothing_lingers_while_memory_is_short() {
    let mut config = Config { shards: 1, ..Config::default() };
    config.rooms.add("*", policy()).expect("legal");
    config.limits.memory_bytes = 1 << 20;
    let mut shard = Shard::new(ShardId::new(0), config);
    let conn = shard.open(Opening::default());
    say(&mut shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    publish(&mut shard, &room());
    send(&mut shard, None);
    shard.on_others_memory(OthersMemory { bytes: 800 << 10, ..OthersMemory::default() });
    shard.on_time(at(1));
    shard.on_time(at(2));
    assert_eq!(messages(&send(&mut shard, None)), 1, "before its time");
    publish(&mut shard, &room());
    assert_eq!(messages(&send(&mut shard, None)), 1);
}

#[test]
fn a_linger_ends_with_the_members_that_it_was_for() {
    let (mut shard, conns) = members(1, policy());
    let other = shard.open(Opening::default());
    send(&mut shard, None);
    publish(&mut shard, &room());
    // The only member goes, while another one comes.
    say(&mut shard, other, r#"{"event":"cast:join","room":"r"}"#);
    shard.close(conns[0], Disconnect::Kicked);
    send(&mut shard, None);
    shard.check();
    shard.on_time(at(3));
    publish(&mut shard, &room());
    shard.check();
    shard.close(other, Disconnect::Kicked);
    send(&mut shard, None);
    shard.on_end(other);
    shard.check();
    assert!(shard.host.directory.rooms.find("r").is_none());
    assert!(shard.host.directory.rooms.lingering.iter().next().is_none());
}
