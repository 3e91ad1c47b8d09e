//! What is shed while memory is short, one step after the other, and what is not.

use std::time::Duration;

use super::{close_steps, history, publish_data, say, send, take_loopback};
use crate::config::Config;
use crate::disconnect::Disconnect;
use crate::envelope::Publication;
use crate::format::RoomMessage;
use crate::id::{ConnId, ShardId};
use crate::identity::{Expiry, Identity, Name, Revocable};
use crate::limits::Limits;
use crate::memory::{MemoryStage, OthersMemory};
use crate::mesh::Query;
use crate::policy::SlowPolicy;
use crate::room_name::RoomName;
use crate::shard::{CloseStep, Full, Opening, SendEnd, Shard};
use crate::time::Time;
use crate::wire::{Opcode, push_client_frame};

const LIMIT: usize = 1 << 30;

fn shard(slow: SlowPolicy) -> Shard {
    let limits = Limits { memory_bytes: LIMIT, ..Limits::default() };
    Shard::new(ShardId::new(0), Config { shards: 1, limits, slow, ..Config::default() })
}

fn open(shard: &mut Shard) -> ConnId {
    let conn = shard.open(Opening::default());
    send(shard, None);
    conn
}

/// The others hold so much, in percent of the budget, and so much of it in logs, at this time.
fn hold(shard: &mut Shard, percent: usize, logs: usize, millis: u64) {
    let (bytes, logs) = (LIMIT / 100 * percent, LIMIT / 100 * logs);
    shard.on_others_memory(OthersMemory { bytes, logs, ..OthersMemory::default() });
    shard.on_time(Time::default() + Duration::from_millis(millis));
    shard.check();
}

fn room(name: &str) -> RoomName {
    RoomName::new(name).expect("legal")
}

#[test]
fn a_join_of_a_new_room_is_refused_and_may_be_tried_again() {
    let mut shard = shard(SlowPolicy::Disconnect);
    let (early, late) = (open(&mut shard), open(&mut shard));
    say(&mut shard, early, r#"{"event":"cast:join","room":"old"}"#);
    send(&mut shard, None);
    hold(&mut shard, 71, 0, 1);
    assert_eq!(shard.memory_stage(), MemoryStage::Refusing);
    say(&mut shard, late, r#"{"event":"cast:join","room":"new","id":1}"#);
    let refused = send(&mut shard, None);
    assert!(
        refused.contains(r#""code":"overloaded""#) && refused.contains(r#""id":1"#),
        "{refused}"
    );
    say(&mut shard, late, r#"{"event":"cast:join","room":"old","id":2}"#);
    let joined = send(&mut shard, None);
    assert!(joined.contains("cast:joined") && joined.contains(r#""members":2"#), "{joined}");
    assert_eq!((shard.stats().rooms, shard.stats().memberships), (1, 2), "nothing is left of it");
    assert_eq!(shard.counters().memory.rooms_refused, 1);
    hold(&mut shard, 60, 0, 2);
    say(&mut shard, late, r#"{"event":"cast:join","room":"new","id":3}"#);
    assert!(send(&mut shard, None).contains("cast:joined"));
    assert_eq!(shard.rooms_of(late).len(), 2);
}

#[test]
fn no_join_is_accepted_while_memory_is_so_short_that_some_are_not_read() {
    let mut shard = shard(SlowPolicy::Disconnect);
    let (early, late) = (open(&mut shard), open(&mut shard));
    say(&mut shard, early, r#"{"event":"cast:join","room":"old"}"#);
    send(&mut shard, None);
    hold(&mut shard, 76, 0, 1);
    say(&mut shard, late, r#"{"event":"cast:join","room":"old","id":1}"#);
    let refused = send(&mut shard, None);
    assert!(
        refused.contains(r#""code":"overloaded""#) && refused.contains(r#""id":1"#),
        "{refused}"
    );
    assert_eq!((shard.stats().memberships, shard.counters().memory.rooms_refused), (1, 1));
    say(&mut shard, early, r#"{"event":"cast:join","room":"old","id":2}"#);
    assert!(send(&mut shard, None).contains("cast:joined"), "it is no further membership");
    hold(&mut shard, 72, 0, 2);
    say(&mut shard, late, r#"{"event":"cast:join","room":"old","id":3}"#);
    assert!(send(&mut shard, None).contains("overloaded"), "each step ends below where it begins");
    hold(&mut shard, 70, 0, 3);
    say(&mut shard, late, r#"{"event":"cast:join","room":"old","id":4}"#);
    assert!(send(&mut shard, None).contains("cast:joined"));
}

#[test]
fn an_event_stream_ends_where_no_join_is_accepted() {
    let mut shard = shard(SlowPolicy::Disconnect);
    let early = open(&mut shard);
    say(&mut shard, early, r#"{"event":"cast:join","room":"old"}"#);
    send(&mut shard, None);
    hold(&mut shard, 76, 0, 1);
    let conn = shard.open_event_stream(&room("old"), b"HTTP/1.1 200 OK\r\n\r\n", None);
    take_loopback(&mut shard);
    let sent = send(&mut shard, None);
    assert!(sent.starts_with("HTTP/1.1 200 OK") && sent.contains("capacity"), "{sent}");
    assert_eq!(close_steps(&mut shard)[0], CloseStep::LeftRooms(conn, Disconnect::Capacity));
    assert_eq!(shard.stats().memberships, 1);
}

#[test]
fn a_connection_that_ends_before_its_refusal_comes_leaves_nothing_behind() {
    let mut shard = shard(SlowPolicy::Disconnect);
    let conn = open(&mut shard);
    hold(&mut shard, 71, 0, 1);
    let mut frame = Vec::new();
    let join = br#"{"event":"cast:join","room":"new"}"#;
    push_client_frame(&mut frame, Opcode::Text, true, [1, 2, 3, 4], join);
    shard.receive(conn, &mut frame);
    shard.close(conn, Disconnect::Kicked);
    take_loopback(&mut shard);
    send(&mut shard, None);
    shard.on_end(conn);
    take_loopback(&mut shard);
    assert_eq!((shard.stats().rooms, shard.is_quiet()), (0, true));
}

#[test]
fn an_event_stream_of_a_new_room_ends_for_want_of_capacity() {
    let mut shard = shard(SlowPolicy::Disconnect);
    hold(&mut shard, 71, 0, 1);
    let conn = shard.open_event_stream(&room("new"), b"HTTP/1.1 200 OK\r\n\r\n", None);
    take_loopback(&mut shard);
    assert_eq!(close_steps(&mut shard)[0], CloseStep::LeftRooms(conn, Disconnect::Capacity));
    assert!(send(&mut shard, None).contains("capacity"));
}

#[test]
fn while_memory_is_short_no_more_rooms_linger_than_before() {
    let mut shard = shard(SlowPolicy::Disconnect);
    (0..5).for_each(|n| publish_data(&mut shard, &room(&format!("room-{n}")), "1"));
    assert_eq!(shard.stats().rooms, 5);
    hold(&mut shard, 71, 0, 1);
    (5..50).for_each(|n| publish_data(&mut shard, &room(&format!("room-{n}")), "1"));
    assert_eq!(shard.stats().rooms, 5, "the oldest go first");
}

/// A member of the room with one message in its log, whose socket has refused that since now.
fn stalled(shard: &mut Shard, bytes: usize) -> ConnId {
    stalled_by(shard, bytes, SendEnd::Blocked)
}

fn stalled_by(shard: &mut Shard, bytes: usize, end: SendEnd) -> ConnId {
    let conn = open(shard);
    say(shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    send(shard, None);
    publish_data(shard, &room("r"), &format!("\"{}\"", "x".repeat(bytes)));
    send(shard, Some(end));
    conn
}

#[test]
fn a_member_is_struck_when_it_is_slow_for_a_second_and_memory_is_short() {
    for policy in [SlowPolicy::Disconnect, SlowPolicy::Skip] {
        let mut shard = shard(policy);
        hold(&mut shard, 0, 0, 1_000);
        let conn = stalled(&mut shard, 1_000);
        hold(&mut shard, 83, 0, 1_900);
        assert!(shard.close_reason(conn).is_none() && shard.stats().log_bytes > 0, "{policy:?}");
        hold(&mut shard, 83, 0, 2_000);
        assert_eq!(shard.stats().log_bytes, 0, "{policy:?}");
        assert_eq!(shard.counters().memory.members_struck, 1, "{policy:?}");
        let ended = close_steps(&mut shard).contains(&CloseStep::LeftRooms(conn, Disconnect::Slow));
        assert_eq!(ended, policy == SlowPolicy::Disconnect);
        if policy == SlowPolicy::Skip {
            shard.on_writable(conn);
            let sent = send(&mut shard, None);
            assert!(sent.contains(r#""from":1,"to":1"#), "{sent}");
        }
    }
}

#[test]
fn a_member_whose_sealed_bytes_are_not_taken_is_struck_like_any_other() {
    let mut shard = shard(SlowPolicy::Disconnect);
    hold(&mut shard, 0, 0, 1_000);
    let conn = stalled_by(&mut shard, 100_000, SendEnd::Held(16_384));
    publish_data(&mut shard, &room("r"), "1");
    send(&mut shard, None);
    hold(&mut shard, 83, 0, 1_900);
    assert!(shard.close_reason(conn).is_none());
    hold(&mut shard, 83, 0, 2_000);
    assert_eq!((shard.stats().log_bytes, shard.counters().memory.members_struck), (0, 1));
}

#[test]
fn a_member_that_waits_for_the_newest_message_alone_has_nothing_to_give_up() {
    let mut shard = shard(SlowPolicy::Latest);
    let conn = stalled(&mut shard, 1_000);
    publish_data(&mut shard, &room("r"), "2");
    send(&mut shard, None);
    for millis in (1_000..5_000).step_by(50) {
        hold(&mut shard, 83, 0, millis);
    }
    assert_eq!(shard.counters().memory.members_struck, 0, "it was skipped before");
    shard.on_writable(conn);
    let sent = send(&mut shard, None);
    assert!(sent.contains(r#""from":1,"to":1"#) && sent.contains(r#""offset":2"#), "{sent}");
}

#[test]
fn a_member_that_catches_up_is_not_struck_however_short_memory_is() {
    let mut shard = shard(SlowPolicy::Disconnect);
    let conn = stalled(&mut shard, 1_000);
    hold(&mut shard, 95, 50, 500);
    shard.on_writable(conn);
    assert!(send(&mut shard, None).contains(r#""offset":1"#));
    for millis in (1_000..20_000).step_by(100) {
        hold(&mut shard, 95, 50, millis);
    }
    assert!(shard.close_reason(conn).is_none());
    assert_eq!(shard.counters().memory.members_struck, 0);
}

#[test]
fn some_bytes_now_and_then_gain_no_time_while_memory_is_short() {
    let trickle = |percent: usize| {
        let mut shard = shard(SlowPolicy::Disconnect);
        let conn = stalled(&mut shard, 100_000);
        publish_data(&mut shard, &room("r"), "1");
        for second in 1..25 {
            hold(&mut shard, percent, 0, second * 1_000);
            shard.on_writable(conn);
            while let Some(conn) = shard.next_direct_send() {
                shard.end_send(conn, SendEnd::Taken(1));
            }
        }
        shard.close_reason(conn).is_some() || !close_steps(&mut shard).is_empty()
    };
    assert!(!trickle(50), "it is bounded by its rooms' logs");
    assert!(trickle(72), "it has to catch up");
}

#[test]
fn some_bytes_of_a_history_gain_no_time_either_while_memory_is_short() {
    let trickle = |percent: usize, bytes: usize| {
        let mut shard = history::keeping(100, |config| config.limits.memory_bytes = LIMIT);
        let data = format!("\"{}\"", "x".repeat(2_000));
        (0..100).for_each(|_| publish_data(&mut shard, &room("r"), &data));
        let conn = history::join(&mut shard, r#"{"last":100}"#);
        publish_data(&mut shard, &room("r"), "1");
        for second in 1..25 {
            hold(&mut shard, percent, 0, second * 1_000);
            shard.on_writable(conn);
            while let Some(conn) = shard.next_direct_send() {
                let mut offered = 0;
                shard.for_each_iovec(conn, |iovec| offered += iovec.len());
                shard.end_send(conn, SendEnd::Taken(offered.min(bytes)));
            }
        }
        shard.close_reason(conn).is_some() || !close_steps(&mut shard).is_empty()
    };
    assert!(!trickle(50, 1), "it is bounded by its rooms' logs");
    assert!(trickle(72, 1), "it has to take what a turn offers");
    assert!(!trickle(72, usize::MAX), "it does");
}

/// The first part of a message.
fn half_a_message(shard: &mut Shard, conn: ConnId, bytes: usize) {
    let mut frame = Vec::new();
    push_client_frame(&mut frame, Opcode::Text, true, [1, 2, 3, 4], &vec![b'x'; 2 * bytes]);
    shard.receive(conn, &mut frame[..bytes]);
}

#[test]
fn half_messages_are_left_unread_and_then_given_up_the_largest_first() {
    let limits = Limits { memory_bytes: LIMIT, message_bytes: 64 << 20, ..Limits::default() };
    let config = Config { shards: 1, limits, ..Config::default() };
    let mut shard = Shard::new(ShardId::new(0), config);
    hold(&mut shard, 0, 0, 1);
    let conns: Vec<ConnId> = (0..4).map(|_| open(&mut shard)).collect();
    let sizes = [30 << 20, 20 << 20, 20 << 20, 20_000];
    for (conn, bytes) in conns.iter().zip(sizes) {
        half_a_message(&mut shard, *conn, bytes);
    }
    let read = |shard: &Shard| conns.iter().filter(|conn| shard.wants_read(**conn)).count();
    assert_eq!(read(&shard), 4);
    hold(&mut shard, 70, 0, 2);
    assert!(shard.memory_stage() >= MemoryStage::Unread);
    assert_eq!(read(&shard), 2, "a small one, and one of the large ones in its turn");
    for millis in (100..2_500).step_by(50) {
        hold(&mut shard, 76, 0, millis);
    }
    assert_eq!(shard.close_reason(conns[3]), None, "there is enough without it");
    let ended = close_steps(&mut shard);
    assert_eq!(ended[0], CloseStep::LeftRooms(conns[0], Disconnect::Capacity));
    assert_eq!(shard.counters().memory.connections_struck, ended.len() as u64);
    hold(&mut shard, 10, 0, 3_000);
    assert!(shard.wants_read(conns[3]));
}

/// Memory is short, and less than in the third step, for so many seconds.
fn stay_short(shard: &mut Shard, seconds: std::ops::Range<u64>) {
    for second in seconds {
        hold(shard, 73, 0, 1_000 * second);
        assert_eq!(shard.memory_stage(), MemoryStage::Refusing);
    }
}

#[test]
fn half_messages_keep_newcomers_out_for_no_longer_than_the_slow_timeout() {
    let mut shard = shard(SlowPolicy::Disconnect);
    let (stuck, late) = (open(&mut shard), open(&mut shard));
    hold(&mut shard, 50, 0, 1_000);
    half_a_message(&mut shard, stuck, 100_000);
    stay_short(&mut shard, 2..12);
    assert_eq!(close_steps(&mut shard), [], "what it lacks may still come");
    half_a_message(&mut shard, late, 100_000);
    stay_short(&mut shard, 12..19);
    let is_struck =
        |step: &CloseStep, conn| *step == CloseStep::LeftRooms(conn, Disconnect::Capacity);
    let ended = close_steps(&mut shard);
    assert!(ended.len() == 1 && is_struck(&ended[0], stuck), "the other has time: {ended:?}");
    stay_short(&mut shard, 19..30);
    assert!(close_steps(&mut shard).iter().any(|step| is_struck(step, late)));
    assert_eq!(shard.counters().memory.connections_struck, 2);
}

#[test]
fn unread_replies_keep_newcomers_out_for_no_longer_than_the_slow_timeout() {
    for (percent, is_struck) in [(50, false), (73, true)] {
        let mut shard = shard(SlowPolicy::Disconnect);
        let conn = open(&mut shard);
        (0..100).for_each(|_| say(&mut shard, conn, r#"{"event":"cast:ping","id":1}"#));
        for second in 1..25 {
            hold(&mut shard, percent, 0, second * 1_000);
            shard.on_writable(conn);
            while let Some(conn) = shard.next_direct_send() {
                shard.end_send(conn, SendEnd::Taken(1));
            }
        }
        let ended = close_steps(&mut shard);
        assert_eq!(!ended.is_empty(), is_struck, "{percent} %");
    }
}

/// When a client ends as idle that says nothing but at this time, if at all; both in milliseconds.
fn idle_end(percent: usize, heard_at: Option<u64>) -> Option<u64> {
    let mut shard = shard(SlowPolicy::Disconnect);
    let limits = &mut shard.host.config.limits;
    (limits.ping_interval, limits.ping_timeout) = (Duration::from_secs(8), Duration::from_secs(8));
    let conn = open(&mut shard);
    (50..20_000).step_by(50).find(|millis| {
        hold(&mut shard, percent, 0, *millis);
        send(&mut shard, None);
        if heard_at == Some(*millis) {
            say(&mut shard, conn, r#"{"event":"cast:ping"}"#);
        }
        close_steps(&mut shard).contains(&CloseStep::LeftRooms(conn, Disconnect::Idle))
    })
}

#[test]
fn a_silent_client_is_read_once_more_before_it_ends_while_some_are_not_read() {
    let ends = idle_end(10, None).expect("it is silent");
    let later = idle_end(77, None).expect("it is silent whether or not it is read");
    assert!((ends + 100..=ends + 200).contains(&later), "{ends}, {later}");
    assert_eq!(idle_end(77, Some(ends)), None, "what lay in its socket was heard");
}

#[test]
fn publishers_pause_until_there_is_memory_again() {
    let mut shard = shard(SlowPolicy::Disconnect);
    let conn = open(&mut shard);
    hold(&mut shard, 89, 50, 1);
    assert_eq!(shard.memory_stage(), MemoryStage::Pausing);
    say(&mut shard, conn, r#"{"event":"cast:publish","room":"r","id":1,"data":{"event":"m"}}"#);
    assert_eq!(send(&mut shard, None), "");
    assert!(!shard.wants_read(conn));
    let message =
        RoomMessage::event(&Publication { event: "m".into(), data: "1", echo: true, key: None });
    let refused = shard.publish(&room("r"), message, None, None);
    assert!(matches!(refused, Err((Full, _))), "{refused:?}");
    assert_eq!(shard.counters().memory.publishes_paused, 2);
    hold(&mut shard, 85, 50, 60);
    assert_eq!(send(&mut shard, None), "", "a stage ends below where it begins");
    hold(&mut shard, 82, 50, 120);
    take_loopback(&mut shard);
    assert!(send(&mut shard, None).contains("cast:ack"));
    assert!(shard.wants_read(conn));
}

#[test]
fn publishers_go_on_when_what_they_published_is_not_what_is_held() {
    let mut shard = shard(SlowPolicy::Disconnect);
    let conn = open(&mut shard);
    hold(&mut shard, 95, 1, 1);
    say(&mut shard, conn, r#"{"event":"cast:publish","room":"r","id":1,"data":{"event":"m"}}"#);
    assert!(send(&mut shard, None).contains("cast:ack"), "no pause would free anything");
}

#[test]
fn what_is_held_is_counted_by_capacity() {
    let mut shard = shard(SlowPolicy::Disconnect);
    let before = shard.memory();
    let conn = stalled(&mut shard, 100);
    let held = shard.memory();
    assert!(held.logs - before.logs >= 4 << 10, "the first chunk of a log, whatever is in it");
    assert!(held.connections > before.connections && held.rooms > before.rooms);
    half_a_message(&mut shard, conn, 50_000);
    assert!(shard.memory().inbound >= held.inbound + 50_000);
    shard.on_outside_memory(12_345);
    assert_eq!(shard.memory().outside, 12_345);
    shard.check();
}

#[test]
fn what_is_known_of_clients_and_what_is_revoked_is_counted_while_it_is_kept() {
    const BYTES: usize = 200;
    let mut shard = shard(SlowPolicy::Disconnect);
    let at = Time::default() + Duration::from_secs(60);
    let name = |n: usize| Name::new(&format!("{n:0>BYTES$}")).expect("a name");
    let opening = |n: usize| {
        let expires = Expiry { at, unix_millis: 0 };
        let identity = Identity::new(Some(name(n)), Some(name(n)), Some(expires));
        Opening { identity: Some(identity.into()), ..Opening::default() }
    };
    let before = shard.memory().connections;
    let conns: Vec<ConnId> = (0..100).map(|n| shard.open(opening(n))).collect();
    let held = shard.memory().connections;
    assert!(held >= before + 100 * 2 * BYTES, "{held} bytes, and {before} before");
    shard.check();
    conns.into_iter().for_each(|conn| assert!(shard.close(conn, Disconnect::Kicked)));
    shard.begin_quantum();
    let kept = shard.memory().connections;
    assert!(kept + 100 * 2 * BYTES <= held, "{kept} bytes, and {held} before");
    for n in 0..100 {
        let revoked = Revocable::Subject(name(n));
        shard.answer(Query::Revoke { revoked, until: at });
    }
    let revoked = shard.memory().connections;
    assert!(revoked >= kept + 100 * BYTES, "{revoked} bytes, and {kept} before");
    shard.check();
    shard.on_time(at + Duration::from_secs(1));
    assert!(shard.memory().connections + 100 * BYTES <= revoked, "they are over");
    shard.check();
}

#[test]
fn queues_may_name_slots_of_very_many_connections_that_have_gone() {
    let mut shard = shard(SlowPolicy::Disconnect);
    let conns: Vec<ConnId> = (0..3_000).map(|_| shard.open(Opening::default())).collect();
    // Their welcomes wait.
    conns.into_iter().for_each(|conn| shard.on_end(conn));
    assert_eq!((send(&mut shard, None), shard.connection_count()), (String::new(), 0));
}
