//! How connections are sent histories, beside everything else that a shard sends.

use super::history::{at, epoch, history, join, keeping, offsets, room, since, stream};
use super::*;
use crate::policy::SlowPolicy;
use crate::recovery::Start;
use crate::shard::Listening;
use crate::tuning::Tuning;

/// The bytes of the next send that needs no pass, which ends like this.
fn send_one(shard: &mut Shard, end: Option<SendEnd>) -> String {
    shard.begin_quantum();
    let conn = shard.next_direct_send().expect("something is to be sent");
    let mut sent = Vec::new();
    shard.for_each_iovec(conn, |iovec| sent.extend_from_slice(iovec));
    shard.end_send(conn, end.unwrap_or(SendEnd::Taken(sent.len())));
    shard.check();
    String::from_utf8_lossy(&sent).into_owned()
}

#[test]
fn a_stream_that_ends_its_history_while_it_is_slow_is_sent_its_gap_before_what_is_new() {
    for (slow, reason) in [(SlowPolicy::Latest, "latest"), (SlowPolicy::Skip, "slow")] {
        let mut shard = keeping(3, |config| {
            config.slow = slow;
            config.limits.room_log_bytes = 100;
            let (small_chunk_bytes, log_messages) = (100, 1);
            config.tuning = Tuning {
                events_ahead_bytes: 1,
                small_chunk_bytes,
                log_messages,
                copy_bytes: 100,
                large_chunk_bytes: 100,
                ..Tuning::DEFAULT
            };
        });
        (0..3).for_each(|_| publish(&mut shard, &room()));
        let conn = stream(&mut shard, Start::Last(3));
        assert!(send_one(&mut shard, None).contains("cast:at"));
        assert_eq!(offsets(&send_one(&mut shard, Some(SendEnd::Blocked))), [1], "one at a time");
        for _ in 0..3 {
            publish(&mut shard, &room());
            assert_eq!(send(&mut shard, None), "", "its socket is blocked");
        }
        publish(&mut shard, &room());
        shard.on_writable(conn);
        let sent = send(&mut shard, None);
        shard.check();
        assert_eq!(offsets(&sent), [1, 2, 3, 7], "{slow:?}: {sent}");
        let gap = format!(r#"{{"from":4,"to":6,"reason":"{reason}"}}"#);
        let gap = sent.find(&gap).unwrap_or_else(|| panic!("{slow:?}: a gap in {sent}"));
        let (last, first) = (sent.find(r#""offset":3}"#), sent.find(r#""offset":7}"#));
        assert!(last < Some(gap) && Some(gap) < first, "{slow:?}: in order: {sent}");
    }
}

/// Ends a begun send, which the socket takes whole. Returns its bytes.
fn take(shard: &mut Shard, conn: ConnId) -> String {
    let mut sent = Vec::new();
    shard.for_each_iovec(conn, |iovec| sent.extend_from_slice(iovec));
    shard.end_send(conn, SendEnd::Taken(sent.len()));
    shard.check();
    String::from_utf8_lossy(&sent).into_owned()
}

/// A shard whose turns offer a byte of histories, thus one message, and a room with so many.
fn with_kept(messages: usize, change: impl FnOnce(&mut Config)) -> Shard {
    let mut shard = keeping(1_000, |config| {
        config.tuning.replay_bytes = 1;
        (config.tuning.small_block_bytes, config.tuning.large_block_bytes) = (1, 1);
        change(config);
    });
    (0..messages).for_each(|_| publish(&mut shard, &room()));
    shard
}

#[test]
fn a_history_gets_on_while_others_have_more_frames_than_a_turn_sends() {
    const SENDS: usize = 8;
    let mut shard = with_kept(20, |_| ());
    let others: Vec<ConnId> = (0..20).map(|_| shard.open(Opening::default())).collect();
    let conn = join(&mut shard, r#"{"last":20}"#);
    let (mut sent, mut turns) = (String::new(), 0);
    while offsets(&sent).len() < 20 {
        turns += 1;
        assert!(turns < 30, "after {turns} turns it has {:?}", offsets(&sent));
        others.iter().for_each(|other| shard.emit(*other, b"\x81\x00").expect("there is space"));
        shard.begin_quantum();
        let mut served = 0;
        for _ in 0..SENDS {
            let to = shard.next_direct_send().expect("all have something");
            served += usize::from(to != conn);
            let bytes = take(&mut shard, to);
            sent.extend((to == conn).then_some(bytes));
        }
        assert!(served >= SENDS * 3 / 4, "{served} of the others have their frames");
    }
    assert_eq!(offsets(&sent), (1..=20).collect::<Vec<u64>>());
}

#[test]
fn a_client_that_asks_all_the_time_has_no_more_turns_than_one_that_waits() {
    let mut shard = with_kept(20, |_| ());
    let asks = join(&mut shard, r#"{"last":20}"#);
    let waits: Vec<ConnId> = (0..3).map(|_| join(&mut shard, r#"{"last":20}"#)).collect();
    let mut messages = std::collections::BTreeMap::<ConnId, usize>::new();
    for _ in 0..40 {
        say(&mut shard, asks, r#"{"event":"cast:ping"}"#);
        shard.begin_quantum();
        while let Some(to) = shard.next_direct_send().or_else(|| shard.next_room_send()) {
            *messages.entry(to).or_default() += offsets(&take(&mut shard, to)).len();
        }
    }
    let waited: Vec<usize> = waits.iter().map(|conn| messages[conn]).collect();
    assert_eq!((messages[&asks], waited), (10, vec![10; 3]));
}

/// One turn, of as many sends as this, in which others have more frames than are sent. The socket takes
/// half of what it is offered of `conn`.
fn turn_among(shard: &mut Shard, conn: ConnId, others: &[ConnId], sends: usize) {
    others.iter().for_each(|other| shard.emit(*other, b"\x81\x00").expect("there is space"));
    shard.on_writable(conn);
    shard.begin_quantum();
    for _ in 0..sends {
        let to = shard.next_direct_send().expect("all have something");
        let mut offered = 0;
        shard.for_each_iovec(to, |iovec| offered += iovec.len());
        let taken = if to == conn { offered.div_ceil(2) } else { offered };
        shard.end_send(to, SendEnd::Taken(taken));
    }
    shard.check();
}

#[test]
fn a_socket_that_takes_bytes_again_has_its_turn_before_all_others_had_their_frames() {
    let mut shard = with_kept(20, |_| ());
    let others: Vec<ConnId> = (0..100).map(|_| shard.open(Opening::default())).collect();
    let conn = join(&mut shard, r#"{"last":20}"#);
    let mut turns = 0;
    while shard.history_owed(conn) > 0 {
        turn_among(&mut shard, conn, &others, 8);
        turns += 1;
        assert!(turns < 30, "{turns} turns, and {} bytes are owed", shard.history_owed(conn));
    }
}

#[test]
fn a_stream_that_is_let_into_one_room_late_has_its_turn_for_what_it_missed_of_another() {
    let mut shard = with_kept(1, |_| ());
    let rooms = [room(), RoomName::new("other").expect("legal")];
    let open = |shard: &mut Shard, id: Option<&str>| {
        let listening = Listening::to_rooms(rooms.clone(), id).expect("two rooms");
        shard.open_event_stream(listening, b"HTTP/1.1 200 OK\r\n\r\n", None)
    };
    let first = open(&mut shard, None);
    take_loopback(&mut shard);
    let sent = send_one(&mut shard, None);
    let (_, id) = sent.rsplit_once("id: ").expect("where it is");
    let (id, _) = id.split_once('\n').expect("a whole event");
    shard.close(first, Disconnect::Kicked);
    (0..3).for_each(|_| publish(&mut shard, &room()));
    let others: Vec<ConnId> = (0..100).map(|_| shard.open(Opening::default())).collect();
    let conn = open(&mut shard, Some(id));
    while shard.history_owed(conn) == 0 {
        assert!(shard.has_loopback(), "it is let into the first room");
        shard.take_loopback(1);
    }
    let owed = shard.history_owed(conn);
    for _ in 0..5 {
        turn_among(&mut shard, others[0], &others, 8);
    }
    assert_eq!(shard.history_owed(conn), owed, "it is not in all of its rooms");
    take_loopback(&mut shard);
    let mut turns = 0;
    while shard.history_owed(conn) == owed {
        turn_among(&mut shard, conn, &others, 8);
        turns += 1;
        assert!(turns < 10, "{turns} turns");
    }
}

#[test]
fn a_stream_that_is_sent_its_head_meanwhile_keeps_its_turn() {
    let mut shard = with_kept(20, |_| ());
    join(&mut shard, r#"{"last":1}"#);
    assert_eq!(offsets(&send_one(&mut shard, None)), [20], "three sends come before the next turn");
    let conn = stream(&mut shard, Start::Last(20));
    let other = join(&mut shard, r#"{"last":20}"#);
    shard.begin_quantum();
    let mut sent = std::collections::BTreeMap::<ConnId, String>::new();
    while let Some(to) = shard.next_direct_send() {
        let bytes = take(&mut shard, to);
        sent.entry(to).or_default().push_str(&bytes);
    }
    assert_eq!((offsets(&sent[&conn]), offsets(&sent[&other])), (vec![1], vec![]));
}

#[test]
fn messages_that_wait_behind_a_history_pause_their_publishers_and_no_others() {
    let mut shard = with_kept(50, |config| {
        config.limits.room_log_bytes = 4_000;
        config.slow = SlowPolicy::Disconnect;
    });
    let conns: Vec<ConnId> = (0..4).map(|_| join(&mut shard, r#"{"last":50}"#)).collect();
    let publish = |shard: &mut Shard, room: &RoomName| {
        take_loopback(shard);
        let publication = Publication { event: "m".into(), data: "1", echo: true, key: None };
        let message = RoomMessage::event(&publication);
        let is_accepted = shard.publish(room, message, None, None).is_ok();
        take_loopback(shard);
        is_accepted
    };
    let other = RoomName::new("other").expect("legal");
    say(&mut shard, conns[0], r#"{"event":"cast:join","room":"other"}"#);
    let mut sent = std::collections::BTreeMap::<ConnId, String>::new();
    let (mut paused, mut published, mut turns, mut others) = (0, 50, 0, 0);
    while published < 400 || shard.has_sends() {
        turns += 1;
        assert!(turns < 1_000, "{turns} turns");
        for _ in 0..3 {
            match published < 400 && publish(&mut shard, &room()) {
                true => published += 1,
                false => paused += u64::from(published < 400),
            }
        }
        if turns < 20 {
            assert!(publish(&mut shard, &other), "it waits for no history");
            others += 1;
        }
        shard.begin_quantum();
        while let Some(to) = shard.next_direct_send().or_else(|| shard.next_room_send()) {
            let bytes = take(&mut shard, to);
            sent.entry(to).or_default().push_str(&bytes);
        }
        let held = shard.log_bytes();
        assert!(held < 4_000 + 400, "{held} bytes wait in logs of 4,000");
        let came = sent[&conns[0]].matches(r#""room":"other","offset""#).count();
        assert_eq!(came, others, "another room goes on meanwhile");
    }
    assert!(paused > 100, "publishers paused {paused} times");
    assert_eq!(published, 400, "and went on");
    for conn in &conns {
        let of_room: Vec<u64> = sent[conn]
            .split(r#"{"event":"m""#)
            .filter_map(|text| text.split_once(r#""room":"r","offset":"#))
            .map(|(_, offset)| {
                offset.split('}').next().expect("digits").parse().expect("an offset")
            })
            .collect();
        assert_eq!(of_room, (1..=400).collect::<Vec<u64>>());
    }
}

#[test]
fn a_client_that_waits_for_its_turn_is_not_slow_though_its_socket_had_blocked() {
    let mut shard = with_kept(20, |config| config.limits.room_log_bytes = 1_000);
    let conn = join(&mut shard, r#"{"last":20}"#);
    assert!(send_one(&mut shard, None).contains(r#""offset":1}"#));
    assert_eq!(offsets(&send_one(&mut shard, Some(SendEnd::Blocked))), [2]);
    assert!(connection(&shard, conn).slow);
    shard.on_writable(conn);
    assert_eq!(offsets(&send_one(&mut shard, None)), [2]);
    assert!(!connection(&shard, conn).slow, "only its turn is waited for");
    assert_eq!(shard.stats().replaying, 1);
    shard.on_time(Time::default() + Duration::from_secs(3));
    assert_eq!(shard.stats().replay_waits, Duration::from_secs(3));
}

#[test]
fn a_block_is_counted_once_and_until_its_last_reader_has_gone() {
    const BYTES: usize = 20 * 1_000;
    let mut shard = keeping(20, |_| ());
    let data = format!("\"{}\"", "x".repeat(1_000));
    let publish_all = |shard: &mut Shard| (0..20).for_each(|_| publish_data(shard, &room(), &data));
    publish_all(&mut shard);
    let alone = shard.memory().history;
    assert!((BYTES..2 * BYTES).contains(&alone), "{alone} bytes");
    let conn = join(&mut shard, r#"{"last":20}"#);
    let page = history(&mut shard, None, 20).expect("it is kept");
    let held = shard.memory().history;
    assert!(held < alone + 2_000, "{held} bytes, {alone} without readers");
    send(&mut shard, Some(SendEnd::Blocked));
    publish_all(&mut shard);
    let held = shard.memory().history;
    assert!(
        held > alone + BYTES / 2,
        "{held} bytes: the room keeps others, and the readers the first"
    );
    shard.close(conn, Disconnect::Kicked);
    shard.begin_quantum();
    at(&mut shard, 1);
    assert!(shard.memory().history > alone + BYTES / 2, "a caller reads them");
    drop(page);
    at(&mut shard, 2);
    let held = shard.memory().history;
    assert!(held < alone + 2_000, "{held} bytes: all readers have gone");
}

#[test]
fn a_client_that_takes_its_history_slowly_is_neither_idle_nor_slow() {
    let mut shard = keeping(100, |config| config.slow = SlowPolicy::Disconnect);
    let data = format!("\"{}\"", "x".repeat(1_000));
    (0..100).for_each(|_| publish_data(&mut shard, &room(), &data));
    let conn = join(&mut shard, r#"{"last":100}"#);
    let mut seconds = 0;
    while shard.history_owed(conn) > 0 {
        seconds += 5;
        at(&mut shard, seconds);
        assert!(shard.is_open(conn), "after {seconds} seconds");
        shard.on_writable(conn);
        shard.begin_quantum();
        if shard.next_direct_send() == Some(conn) {
            let mut offered = 0;
            shard.for_each_iovec(conn, |iovec| offered += iovec.len());
            shard.end_send(conn, SendEnd::Taken(offered.min(2_000)));
        }
    }
    assert!(seconds > 200, "it had it after {seconds} seconds");
}

#[test]
fn a_join_that_is_refused_for_want_of_memory_recovers_nothing() {
    let mut shard = keeping(10, |_| ());
    (0..3).for_each(|_| publish(&mut shard, &room()));
    let data = since(&epoch(&mut shard), 1);
    at(&mut shard, 61);
    assert_eq!(shard.stats().rooms, 0, "it has ended, and is remembered");
    shard.home.set_short(true);
    join(&mut shard, &data);
    let sent = send(&mut shard, None);
    assert!(sent.contains(r#""code":"overloaded""#), "{sent}");
    assert_eq!(shard.counters().history.recovered, 0);
}
