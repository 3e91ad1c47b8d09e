//! Event streams: connections that only listen, to one room.

use super::waiting::{room_at, shard_of};
use super::*;
use crate::disconnect::Disconnect::{Idle, Kicked, Lost, Slow};
use crate::handler::RoomEvent;
use crate::limits::Limits;
use crate::mesh::Capacity;
use crate::mesh::{Query, ToHome};
use crate::policy::SlowPolicy;
use crate::shard::Listening;

const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nd\r\nretry: 2000\n\n\r\n";

fn with_policy(slow: SlowPolicy) -> Shard {
    Shard::new(ShardId::new(0), Config { shards: 1, slow, ..Config::default() })
}

fn lobby() -> RoomName {
    RoomName::new("lobby").expect("legal")
}

/// The payloads of the chunks behind the head; `None` is the last one.
fn chunks(sent: &str) -> Vec<Option<&str>> {
    let mut rest = sent.strip_prefix(HEAD).unwrap_or(sent);
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let (len, behind) = rest.split_once("\r\n").expect("a chunk has a length");
        let len = usize::from_str_radix(len, 16).expect("in hexadecimal digits");
        let (payload, end) = behind.split_at(len);
        chunks.push((len > 0).then_some(payload));
        rest = end.strip_prefix("\r\n").expect("a chunk ends with a line break");
    }
    chunks
}

fn stream(shard: &mut Shard) -> ConnId {
    let conn = shard.open_event_stream(&lobby(), HEAD.as_bytes(), None);
    take_loopback(shard);
    conn
}

/// A stream begins with its head and with where it is.
fn assert_begins(sent: &str) {
    assert!(sent.starts_with(HEAD), "{sent}");
    let events = chunks(sent);
    let [Some(at)] = events[..] else { panic!("one event: {events:?}") };
    let id = at.strip_prefix("event: cast:at\nid: ").expect("where it is");
    let (epoch, offset) = id.split_once('-').expect("epoch and offset");
    assert_eq!((epoch.len(), offset), (16, "0\ndata:\n\n"));
}

/// The events that a stream begins with whose client was sent this id last.
fn begin_after(shard: &mut Shard, last_event_id: &str) -> String {
    let listening = Listening::to_room(lobby(), Some(last_event_id));
    let conn = shard.open_event_stream(listening, HEAD.as_bytes(), None);
    take_loopback(shard);
    let begin = send(shard, None).strip_prefix(HEAD).expect("a head").to_owned();
    shard.on_end(conn);
    send(shard, None);
    begin
}

#[test]
fn a_stream_goes_on_where_its_client_stopped_or_says_why_not() {
    let mut shard = with_policy(SlowPolicy::Disconnect);
    stream(&mut shard);
    send(&mut shard, None);
    let mut ids = Vec::new();
    for _ in 0..2 {
        publish(&mut shard, &lobby());
        let sent = send(&mut shard, None);
        let id = sent.split_once("id: ").and_then(|(_, rest)| rest.split_once('\n'));
        ids.push(id.expect("a message has an id").0.to_owned());
    }
    let future = format!("{}9", ids[1]);
    let rows: [(&str, &str); 5] =
        [(&ids[0], "off"), (&ids[1], ""), (&future, "future"), ("7", "epoch"), ("a-2", "epoch")];
    for (id, reason) in rows {
        let begin = begin_after(&mut shard, id);
        if reason.is_empty() {
            assert_eq!(begin, "", "after {id} it knows where it is");
            continue;
        }
        let expected = format!(
            "event: cast:unrecovered\nid: {}\ndata: {{\"event\":\"cast:unrecovered\",\
             \"room\":\"lobby\",\"data\":{{\"reason\":\"{reason}\"}}}}\n\n",
            ids[1]
        );
        assert_eq!(chunks(&begin), [Some(&*expected)], "after {id}");
    }
    let begin = begin_after(&mut shard, "");
    let at = format!("event: cast:at\nid: {}\ndata:\n\n", ids[1]);
    assert_eq!(chunks(&begin), [Some(&*at)], "an empty id is none");
}

fn members(shard: &mut Shard) -> u32 {
    take_loopback(shard);
    match shard.answer(Query::Room(lobby())) {
        crate::mesh::Answer::Room(room) => room.map_or(0, |room| room.members),
        other => panic!("a room is asked for: {other:?}"),
    }
}

#[test]
fn a_stream_is_its_head_and_then_the_rooms_messages() {
    let mut shard = with_policy(SlowPolicy::Disconnect);
    let conn = shard.open_event_stream(&lobby(), HEAD.as_bytes(), None);
    assert!(!shard.has_sends(), "the head waits for the answer to the join");
    take_loopback(&mut shard);
    assert_begins(&send(&mut shard, None));
    publish_data(&mut shard, &lobby(), "[1,\r\n2]");
    publish(&mut shard, &RoomName::everybody());
    let sent = send(&mut shard, None);
    let events = chunks(&sent);
    let [Some(event)] = events[..] else { panic!("one message of the room: {events:?}") };
    let (id, data) = event.split_once('\n').expect("lines");
    assert!(id.starts_with("id: ") && id.ends_with("-1"), "{id}");
    assert_eq!(
        data,
        "data: {\"event\":\"m\",\"data\":[1,\ndata: 2],\"room\":\"lobby\",\"offset\":1}\n\n"
    );
    assert_eq!(members(&mut shard), 1);
    assert_eq!(shard.rooms_of(conn), [lobby()]);
}

#[test]
fn a_stream_discards_what_its_client_sends_and_ends_with_it() {
    for ends in [Shard::on_hang_up, Shard::on_end] {
        let mut shard = with_policy(SlowPolicy::Disconnect);
        let conn = stream(&mut shard);
        shard.receive(conn, &mut b"\x81\x80GET / HTTP/1.1\r\n\r\n".to_vec());
        assert!(shard.wants_read(conn) && shard.close_reason(conn).is_none());
        assert_eq!(members(&mut shard), 1);
        ends(&mut shard, conn);
        assert_eq!(close_steps(&mut shard)[0], CloseStep::LeftRooms(conn, Lost));
        assert_eq!(members(&mut shard), 0, "it is a member no longer, at once");
    }
}

/// What was sent to a client before it ended its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Nothing, because the join is unanswered.
    Joining,
    /// Nothing, though the head waits for its send.
    Joined,
    /// The head.
    Answered,
}

#[test]
fn a_client_that_ends_its_side_gets_its_head_and_the_reason() {
    for before in [Before::Joining, Before::Joined, Before::Answered] {
        for is_announced in [true, false] {
            let mut shard = with_policy(SlowPolicy::Disconnect);
            let conn = shard.open_event_stream(&lobby(), HEAD.as_bytes(), None);
            if before != Before::Joining {
                take_loopback(&mut shard);
            }
            if before == Before::Answered {
                assert_begins(&send(&mut shard, None));
            }
            if is_announced {
                shard.on_hang_up(conn);
                assert!(shard.wants_read(conn), "what is unread would tear the answer away");
            } else {
                shard.on_end(conn);
            }
            let sent = send(&mut shard, None);
            assert_eq!(sent.starts_with(HEAD_LINE), before != Before::Answered, "{before:?}");
            assert!(tail(&sent).ends_with("8\r\n: lost\n\n\r\n0\r\n\r\n"), "{before:?}: {sent}");
            let mut steps = close_steps(&mut shard);
            if is_announced {
                assert_eq!(steps.pop(), Some(CloseStep::ShutdownWrite(conn)), "{before:?}");
                shard.on_end(conn);
                steps.extend(close_steps(&mut shard));
            }
            assert_eq!(steps, [CloseStep::LeftRooms(conn, Lost), CloseStep::Close(conn)]);
            assert_eq!(members(&mut shard), 0, "{before:?}");
        }
    }
}

#[test]
fn a_stream_whose_socket_is_dead_ends_without_words() {
    let mut shard = with_policy(SlowPolicy::Disconnect);
    let conn = stream(&mut shard);
    send(&mut shard, Some(SendEnd::Failed));
    assert_eq!(send(&mut shard, None), "");
    shard.on_end(conn);
    let expected = [CloseStep::LeftRooms(conn, Lost), CloseStep::Close(conn)];
    assert_eq!(close_steps(&mut shard), expected);
}

#[test]
fn a_stream_that_waits_for_its_join_ends_with_its_client() {
    let mut shard = shard_of(2, Limits::default());
    let room = room_at(&shard, 1);
    let conn = shard.open_event_stream(&room, HEAD.as_bytes(), None);
    assert!(shard.wants_read(conn) && shard.next_to_home(ShardId::new(1)).is_none());
    shard.on_end(conn);
    assert_eq!(close_steps(&mut shard)[0], CloseStep::LeftRooms(conn, Lost));
    shard.on_to_home_capacity(ShardId::new(1), Capacity { items: 9, bytes: 9_000 });
    assert!(shard.next_to_home(ShardId::new(1)).is_none(), "nothing was begun");
}

#[test]
fn a_join_that_waited_for_room_is_made_up_for() {
    let mut shard = shard_of(2, Limits::default());
    let room = room_at(&shard, 1);
    shard.open_event_stream(&room, HEAD.as_bytes(), None);
    shard.on_to_home_capacity(ShardId::new(1), Capacity { items: 9, bytes: 9_000 });
    let request = shard.next_to_home(ShardId::new(1));
    assert!(matches!(request, Some(ToHome::Join { .. })), "{request:?}");
}

#[test]
fn a_stream_says_why_it_ends_and_ends_its_response() {
    for sent_before in [true, false] {
        let mut shard = with_policy(SlowPolicy::Disconnect);
        let conn = stream(&mut shard);
        if sent_before {
            assert_begins(&send(&mut shard, None));
        }
        publish(&mut shard, &lobby());
        assert!(shard.close(conn, Kicked));
        shard.begin_quantum();
        let sent = send(&mut shard, None);
        assert_eq!(sent.starts_with(HEAD_LINE), !sent_before, "a response needs its head");
        let chunks = chunks(tail(&sent));
        assert_eq!(chunks[..chunks.len() - 2].len(), 2 * usize::from(!sent_before), "{chunks:?}");
        assert_eq!(chunks[chunks.len() - 2..], [Some(": kicked\n\n"), None]);
    }
}

const HEAD_LINE: &str = "HTTP/1.1 200 OK";

/// The chunks behind the response's head, if it is there.
fn tail(sent: &str) -> &str {
    match sent.starts_with(HEAD_LINE) {
        true => sent.split_once("\r\n\r\n").expect("a head ends").1,
        false => sent,
    }
}

#[test]
fn a_silent_stream_comments_and_one_that_takes_nothing_is_idle() {
    let mut shard = with_policy(SlowPolicy::Skip);
    let conn = stream(&mut shard);
    send(&mut shard, None);
    let seconds = |seconds: u64| Time::from_nanos(seconds * 1_000_000_000);
    shard.on_time(seconds(26));
    assert_eq!(chunks(&send(&mut shard, None)), [Some(": ping\n\n")]);
    let mut at = 60;
    shard.on_time(seconds(at));
    send(&mut shard, Some(SendEnd::Blocked));
    while shard.close_reason(conn).is_none() && close_steps(&mut shard).is_empty() {
        at += 1;
        assert!(at < 200, "it takes nothing, and stays");
        shard.on_time(seconds(at));
    }
    assert!((105..=150).contains(&at), "closed as {Idle:?} after {at} seconds");
}

#[test]
fn every_stream_is_sent_a_comment_per_interval() {
    let mut shard = with_policy(SlowPolicy::Disconnect);
    let interval = Duration::from_secs(1);
    shard.host.config.limits.ping_interval = interval;
    let streams = 20;
    for _ in 0..streams {
        stream(&mut shard);
    }
    send(&mut shard, None);
    for nth in 1..=20 {
        shard.on_time(Time::default() + interval * nth);
        let comments = send(&mut shard, None).matches(": ping").count();
        assert_eq!(comments, streams, "after {nth} intervals");
    }
}

#[test]
fn a_slow_stream_is_told_its_gap_or_closed() {
    for policy in [SlowPolicy::Skip, SlowPolicy::Disconnect] {
        let mut shard = with_policy(policy);
        let conn = stream(&mut shard);
        send(&mut shard, None);
        publish(&mut shard, &lobby());
        send(&mut shard, Some(SendEnd::Blocked));
        shard.on_time(Time::from_nanos(11_000_000_000));
        shard.on_writable(conn);
        if policy == SlowPolicy::Disconnect {
            assert_eq!(close_steps(&mut shard)[0], CloseStep::LeftRooms(conn, Slow));
            continue;
        }
        publish(&mut shard, &lobby());
        let sent = send(&mut shard, None);
        let events = chunks(&sent);
        let message = events[1].expect("a message");
        let id = message.strip_prefix("id: ").and_then(|rest| rest.split_once("-2\n"));
        let (epoch, data) = id.expect("the id of the second message");
        assert!(data.contains("\"offset\":2"), "{events:?}");
        let gap = format!(
            "event: cast:gap\nid: {epoch}-1\ndata: {{\"event\":\"cast:gap\",\"room\":\"lobby\",\
             \"data\":{{\"from\":1,\"to\":1,\"reason\":\"slow\"}}}}\n\n"
        );
        assert_eq!(events[0], Some(&*gap), "a client that comes back goes on behind it");
    }
}

#[test]
fn the_program_knows_nothing_of_streams() {
    let mut config = Config { shards: 1, ..Config::default() };
    (config.hooks.connect, config.hooks.disconnect) = (true, true);
    (config.hooks.members, config.hooks.occupancy) = (true, true);
    let mut shard = Shard::new(ShardId::new(0), config);
    let conn = stream(&mut shard);
    assert!(shard.outputs().next_call().is_none() && !shard.is_open(conn));
    let emitted = shard.emit(conn, b"\x81\x00");
    assert_eq!(emitted, Err(crate::shard::Unsent::Gone));
    assert!(
        shard
            .join(
                conn,
                &RoomName::new("other").expect("legal"),
                JoinOptions::default(),
                AnswerToken(1)
            )
            .is_err()
    );
    assert!(shard.leave(conn, &lobby(), AnswerToken(2)).is_err());
    shard.on_end(conn);
    assert!(shard.outputs().next_ended().is_none());
    take_loopback(&mut shard);
    let events: Vec<_> = std::iter::from_fn(|| shard.outputs().next_room_event()).collect();
    assert_eq!(events, [RoomEvent::Occupied(lobby()), RoomEvent::Vacated(lobby())]);
}
