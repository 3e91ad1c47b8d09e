use std::time::Duration;

use super::*;
use crate::mesh::{Answer, Loopback, Query, RoomHistory, ToHome};
use crate::policy::{RoomPolicy, SlowPolicy};
use crate::recovery::{Recovery, Start, Unrecovered};
use crate::tuning::Tuning;

/// A shard whose rooms keep so many messages.
pub(super) fn keeping(messages: usize, change: impl FnOnce(&mut Config)) -> Shard {
    let mut config = Config { shards: 1, ..Config::default() };
    config.rooms.add("*", RoomPolicy::default().history(messages)).unwrap();
    change(&mut config);
    Shard::new(ShardId::new(0), config)
}

pub(super) fn room() -> RoomName {
    RoomName::new("r").unwrap()
}

pub(super) fn history(shard: &mut Shard, since: Option<u64>, limit: usize) -> Option<RoomHistory> {
    let query = Query::History { room: room(), since, epoch: None, limit };
    match shard.answer(query) {
        Answer::History(history) => history.map(|history| *history),
        other => panic!("{other:?}"),
    }
}

/// The present epoch, as text.
pub(super) fn epoch(shard: &mut Shard) -> String {
    history(shard, None, 0).unwrap().epoch.to_string()
}

pub(super) fn join(shard: &mut Shard, data: &str) -> ConnId {
    let conn = shard.open(Opening::default());
    say(shard, conn, &format!(r#"{{"event":"cast:join","room":"r","data":{data}}}"#));
    conn
}

pub(super) fn since(epoch: &str, offset: u64) -> String {
    format!(r#"{{"since":{{"epoch":"{epoch}","offset":{offset}}}}}"#)
}

/// The offsets of messages in what was sent, in order.
pub(super) fn offsets(sent: &str) -> Vec<u64> {
    let messages = sent.split(r#"{"event":"m""#).skip(1);
    let offset = |text: &str| {
        let from = text.split(r#""offset":"#).nth(1).unwrap();
        from.split('}').next().unwrap().parse().unwrap()
    };
    messages.map(offset).collect()
}

pub(super) fn at(shard: &mut Shard, seconds: u64) {
    shard.on_time(Time::default() + Duration::from_secs(seconds));
    shard.check();
}

#[test]
fn a_client_that_comes_back_gets_what_it_missed_and_then_what_is_new() {
    let mut shard = keeping(10, |_| ());
    (0..6).for_each(|_| publish(&mut shard, &room()));
    let epoch = epoch(&mut shard);
    join(&mut shard, &since(&epoch, 2));
    publish(&mut shard, &room());
    let sent = send(&mut shard, None);
    assert!(sent.contains(r#""offset":6,"members":1,"recovered":true}"#), "{sent}");
    assert_eq!(offsets(&sent), [3, 4, 5, 6, 7]);
    shard.check();
    let counters = shard.counters();
    assert_eq!((counters.history.recovered, counters.history.replayed), (1, 4));
    assert_eq!(counters.delivered, 5);
    assert_eq!(shard.memory().history, shard.home.history_bytes(), "nothing is held for it");
}

#[test]
fn a_refusal_has_the_first_reason_that_holds() {
    let mut shard = keeping(2, |_| ());
    (0..6).for_each(|_| publish(&mut shard, &room()));
    let epoch = epoch(&mut shard);
    let rows = [
        (since(&epoch, 3), r#"false,"reason":"too_old""#, vec![]),
        (since(&epoch, 4), "true", vec![5, 6]),
        (since(&epoch, 6), "true", vec![]),
        (since(&epoch, 7), r#"false,"reason":"future""#, vec![]),
        (since("0", 7), r#"false,"reason":"epoch""#, vec![]),
    ];
    for (data, expected, missed) in rows {
        join(&mut shard, &data);
        let sent = send(&mut shard, None);
        assert!(sent.contains(&format!(r#""recovered":{expected}"#)), "{data}: {sent}");
        assert_eq!(offsets(&sent), missed, "{data}");
    }
    let counters = shard.counters().history;
    assert_eq!((counters.recovered, counters.refused), (2, [1, 1, 1, 0]));
    let mut forgetful = self::shard();
    publish(&mut forgetful, &room());
    let epoch = self::epoch(&mut forgetful);
    join(&mut forgetful, &since(&epoch, 0));
    assert!(send(&mut forgetful, None).contains(r#""reason":"off""#));
}

#[test]
fn the_newest_messages_come_without_a_claim() {
    let mut shard = keeping(4, |_| ());
    (0..6).for_each(|_| publish(&mut shard, &room()));
    for (last, expected) in
        [(0, vec![]), (1, vec![6]), (4, vec![3, 4, 5, 6]), (9, vec![3, 4, 5, 6])]
    {
        join(&mut shard, &format!(r#"{{"last":{last}}}"#));
        let sent = send(&mut shard, None);
        assert!(!sent.contains("recovered"), "{sent}");
        assert_eq!(offsets(&sent), expected, "the last {last}");
    }
}

#[test]
fn a_second_join_recovers_nothing_and_says_what_comes_next() {
    let mut shard = keeping(10, |_| ());
    (0..3).for_each(|_| publish(&mut shard, &room()));
    let epoch = epoch(&mut shard);
    let conn = join(&mut shard, &since(&epoch, 0));
    let again = format!(r#"{{"event":"cast:join","room":"r","id":2,"data":{}}}"#, since(&epoch, 0));
    say(&mut shard, conn, &again);
    let sent = send(&mut shard, None);
    let answer = sent.split(r#""id":2"#).nth(1).unwrap();
    assert!(
        answer.starts_with(&format!(r#","data":{{"epoch":"{epoch}","offset":0,"members":1}}"#))
    );
    assert_eq!(offsets(&sent), [1, 2, 3], "once each: {sent}");
}

#[test]
fn a_leave_is_answered_after_what_was_missed() {
    let mut shard = keeping(10, |_| ());
    (0..3).for_each(|_| publish(&mut shard, &room()));
    let conn = join(&mut shard, r#"{"last":3}"#);
    say(&mut shard, conn, r#"{"event":"cast:leave","room":"r"}"#);
    shard.check();
    let sent = send(&mut shard, None);
    assert_eq!(offsets(&sent), [1, 2, 3]);
    assert!(sent.ends_with(r#""data":{"offset":3}}"#), "{sent}");
}

#[test]
fn a_send_may_end_anywhere_in_a_history() {
    for step in 1..60 {
        let mut shard = keeping(10, |_| ());
        (0..4).for_each(|n| publish_data(&mut shard, &room(), &n.to_string()));
        let conn = join(&mut shard, r#"{"last":4}"#);
        publish(&mut shard, &room());
        let mut sent = Vec::new();
        while shard.has_sends() {
            shard.begin_quantum();
            while let Some(conn) = shard.next_room_send().or_else(|| shard.next_direct_send()) {
                let mut offered = Vec::new();
                shard.for_each_iovec(conn, |iovec| offered.extend_from_slice(iovec));
                let taken = offered.len().min(step);
                sent.extend_from_slice(&offered[..taken]);
                shard.end_send(conn, SendEnd::Taken(taken));
                shard.check();
            }
            shard.on_writable(conn);
            shard.check();
        }
        let sent = String::from_utf8_lossy(&sent);
        assert_eq!(offsets(&sent), [1, 2, 3, 4, 5], "{step} bytes at a time");
    }
}

#[test]
fn a_close_in_a_history_finishes_the_frame_in_progress_and_no_other() {
    let mut shard = keeping(10, |_| ());
    (0..4).for_each(|_| publish(&mut shard, &room()));
    let conn = shard.open(Opening::default());
    send(&mut shard, None);
    say(&mut shard, conn, r#"{"event":"cast:join","room":"r","data":{"last":4}}"#);
    shard.begin_quantum();
    assert_eq!(shard.next_direct_send(), Some(conn));
    let mut offered = Vec::new();
    shard.for_each_iovec(conn, |iovec| offered.extend_from_slice(iovec));
    let second =
        String::from_utf8_lossy(&offered).match_indices("cast").count() + offered.len() / 2;
    shard.end_send(conn, SendEnd::Taken(second));
    shard.close(conn, Disconnect::Kicked);
    shard.begin_quantum();
    shard.check();
    shard.on_writable(conn);
    let rest = send(&mut shard, None);
    let all = [String::from_utf8_lossy(&offered[..second]).into_owned(), rest].concat();
    assert!(offsets(&all).len() < 4, "{all}");
    assert!(all.ends_with("kicked"), "{all}");
    assert_eq!(shard.memory().history, shard.home.history_bytes(), "nothing is held for it");
}

#[test]
fn a_client_that_takes_nothing_of_its_history_is_closed_under_each_policy() {
    for slow in [SlowPolicy::Disconnect, SlowPolicy::Skip, SlowPolicy::Latest] {
        let mut shard = keeping(10, |config| config.slow = slow);
        (0..4).for_each(|_| publish(&mut shard, &room()));
        let conn = join(&mut shard, r#"{"last":4}"#);
        send(&mut shard, Some(SendEnd::Blocked));
        (0..3).for_each(|_| publish(&mut shard, &room()));
        at(&mut shard, 9);
        assert!(shard.is_open(conn), "{slow:?}");
        at(&mut shard, 11);
        assert!(!shard.is_open(conn), "{slow:?}");
        shard.on_writable(conn);
        let sent = send(&mut shard, None);
        assert!(sent.contains("slow"), "{sent}");
        assert_eq!(shard.memory().history, shard.home.history_bytes(), "nothing is held for it");
    }
}

#[test]
fn many_that_come_back_at_once_share_the_messages_and_leave_turns_to_others() {
    let mut shard = keeping(100, |config| {
        config.tuning = Tuning { replay_bytes: 20_000, ..Tuning::DEFAULT };
    });
    let data = format!("\"{}\"", "x".repeat(1_000));
    (0..20).for_each(|_| publish_data(&mut shard, &room(), &data));
    let before = shard.memory().history;
    let conns: Vec<_> = (0..50).map(|_| join(&mut shard, r#"{"last":20}"#)).collect();
    let held = shard.memory().history - before;
    assert!(held < 2 * 20 * 1_100 + 50 * 1_000, "{held} bytes for 50 clients");
    let mut turns = 0;
    while shard.has_sends() {
        let offered = shard.counters().history.replayed_bytes;
        shard.begin_quantum();
        while let Some(conn) = shard.next_direct_send().or_else(|| shard.next_room_send()) {
            let mut bytes = 0;
            shard.for_each_iovec(conn, |iovec| bytes += iovec.len());
            shard.end_send(conn, SendEnd::Taken(bytes));
            shard.check();
        }
        let offered = shard.counters().history.replayed_bytes - offered;
        assert!(offered <= 20_000 + (64 << 10), "{offered} bytes in one turn");
        turns += 1;
    }
    assert!(turns >= 25, "{turns} turns");
    assert_eq!(shard.counters().delivered, 20 * conns.len() as u64);
}

#[test]
fn a_room_goes_on_where_it_stopped_for_as_long_as_that_is_remembered() {
    let meta = Duration::from_secs(1_000);
    let mut shard = keeping(10, |config| config.limits.history_meta_for = meta);
    (0..3).for_each(|_| publish(&mut shard, &room()));
    let first = epoch(&mut shard);
    at(&mut shard, 61);
    assert_eq!(shard.stats().rooms, 0, "it has ended");
    let remembered = history(&mut shard, Some(0), 10).unwrap();
    assert_eq!((remembered.offset, remembered.messages.messages()), (3, 3));
    let conn = join(&mut shard, &since(&first, 1));
    let sent = send(&mut shard, None);
    assert!(sent.contains(r#""recovered":true"#), "{sent}");
    assert_eq!(offsets(&sent), [2, 3]);
    shard.close(conn, Disconnect::Kicked);
    shard.on_time(Time::default() + Duration::from_secs(62));
    take_loopback(&mut shard);
    at(&mut shard, 62 + 61);
    assert_eq!(shard.stats().rooms, 0, "it has ended once more");
    at(&mut shard, 62 + 61 + 600);
    let remembered = history(&mut shard, Some(1), 10).unwrap();
    assert_eq!(remembered.recovery, Some(Recovery::Refused(Unrecovered::TooOld)));
    assert_eq!(history(&mut shard, Some(3), 10).unwrap().recovery, Some(Recovery::Complete));
    publish(&mut shard, &room());
    let reborn = history(&mut shard, None, 10).unwrap();
    assert_eq!((reborn.epoch.to_string(), reborn.offset), (first.clone(), 4));
    at(&mut shard, 62 + 61 + 600 + 61);
    at(&mut shard, 62 + 61 + 600 + 61 + 1_001);
    assert!(history(&mut shard, None, 10).is_none(), "it is forgotten");
    assert_eq!(shard.stats().histories, 0);
    publish(&mut shard, &room());
    assert_ne!(epoch(&mut shard), first);
}

#[test]
fn a_caller_reads_what_is_kept() {
    let mut shard = keeping(4, |_| ());
    assert!(history(&mut shard, None, 10).is_none(), "there is no such room");
    (0..6).for_each(|n| publish_data(&mut shard, &room(), &n.to_string()));
    let texts = |history: &RoomHistory| -> Vec<String> {
        let text = |kept: crate::Kept<'_>| String::from_utf8(kept.payload.to_vec()).unwrap();
        history.messages.iter().map(text).collect()
    };
    let newest = history(&mut shard, None, 2).unwrap();
    assert_eq!((newest.offset, newest.recovery), (6, None));
    let expected = [5, 6].map(|offset| {
        format!(r#"{{"event":"m","data":{},"room":"r","offset":{offset}}}"#, offset - 1)
    });
    assert_eq!(texts(&newest), expected);
    let page = history(&mut shard, Some(2), 3).unwrap();
    let offsets: Vec<u64> = page.messages.iter().map(|kept| kept.offset).collect();
    assert_eq!((page.recovery, offsets), (Some(Recovery::Complete), vec![3, 4, 5]));
    for (since, reason) in [(1, Unrecovered::TooOld), (7, Unrecovered::Future)] {
        let refused = history(&mut shard, Some(since), 10).unwrap();
        assert_eq!(refused.recovery, Some(Recovery::Refused(reason)));
        assert!(refused.messages.is_empty());
    }
}

/// Opens an event stream of the room that asks for messages of before.
pub(super) fn stream(shard: &mut Shard, asks: Start) -> ConnId {
    let conn = shard.open_event_stream(&room(), b"HTTP/1.1 200 OK\r\n\r\n", None);
    let Some(Loopback::ToHome(mut join)) = shard.host.outboxes.next_loopback() else {
        panic!("it joins its room");
    };
    if let ToHome::Join { options, .. } = &mut join {
        options.start = asks;
    }
    shard.on_to_home(ShardId::new(0), join);
    take_loopback(shard);
    shard.check();
    conn
}

#[test]
fn an_event_stream_is_sent_events_that_are_made_as_its_socket_takes_them() {
    for ahead in [1, 100, 16 << 10] {
        let mut shard = keeping(100, |config| config.tuning.events_ahead_bytes = ahead);
        (0..50).for_each(|n| publish_data(&mut shard, &room(), &format!("[{n},\n1]")));
        shard.publish(&room(), RoomMessage::binary(b"\xff"), None, None).unwrap();
        shard.publish(&room(), RoomMessage::text("a\r\nb"), None, None).unwrap();
        let epoch = epoch(&mut shard);
        take_loopback(&mut shard);
        let conn = stream(&mut shard, Start::Last(100));
        let live = stream(&mut shard, Start::Live);
        assert_eq!(
            connection(&shard, conn).direct_bytes(),
            connection(&shard, live).direct_bytes()
        );
        let mut sent = Vec::new();
        while shard.has_sends() {
            shard.begin_quantum();
            while let Some(to) = shard.next_direct_send().or_else(|| shard.next_room_send()) {
                let mut bytes = Vec::new();
                shard.for_each_iovec(to, |iovec| bytes.extend_from_slice(iovec));
                assert!(bytes.len() < ahead + 200, "{} bytes with {ahead} ahead", bytes.len());
                shard.end_send(to, SendEnd::Taken(bytes.len()));
                shard.check();
                sent.extend((to == conn).then_some(bytes));
            }
        }
        let sent = String::from_utf8(sent.concat()).unwrap();
        let events: Vec<&str> =
            sent.split("\r\n").filter(|text| text.starts_with("id: ")).collect();
        assert_eq!(events.len(), 52, "{sent}");
        for (n, event) in (0..50).zip(&events) {
            let offset = n + 1;
            let expected = format!(
                "id: {epoch}-{offset}\ndata: {{\"event\":\"m\",\"data\":[{n},\n\
                 data: 1],\"room\":\"r\",\"offset\":{offset}}}\n\n"
            );
            assert_eq!(*event, expected);
        }
        assert_eq!(events[50], format!("id: {epoch}-51\nevent: binary\ndata: /w==\n\n"));
        assert_eq!(events[51], format!("id: {epoch}-52\ndata: a\ndata: b\n\n"));
    }
}

#[test]
fn a_program_brings_its_client_what_that_missed() {
    let mut shard = keeping(3, |_| ());
    (0..5).for_each(|_| publish(&mut shard, &room()));
    let epoch = epoch(&mut shard);
    let since = |offset| Start::Since((&epoch, offset).into());
    let complete = Some(Recovery::Complete);
    let refused = Some(Recovery::Refused(Unrecovered::TooOld));
    for (token, (start, recovery, expected)) in [
        (since(2), complete, vec![3, 4, 5]),
        (since(5), complete, vec![]),
        (since(1), refused, vec![]),
        (Start::Last(2), None, vec![4, 5]),
        (Start::Live, None, vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        let conn = shard.open(Opening::default());
        let token = AnswerToken(token as u64);
        shard.join(conn, &room(), start.into(), token).expect("there is a place");
        take_loopback(&mut shard);
        shard.check();
        let answer = std::iter::from_fn(|| shard.outputs().next_answer()).last();
        let Some((answered, Answer::Joined(joined))) = answer else { panic!("{answer:?}") };
        assert_eq!((answered, joined.offset, joined.recovery), (token, 5, recovery));
        assert_eq!(offsets(&send(&mut shard, None)), expected);
    }
}
