//! Limits on rooms and memberships of all shards together.

use super::*;
use crate::disconnect::Disconnect::Capacity;
use crate::limits::Limits;
use crate::mesh::{Answer, Query};
use crate::shard::Refused;
use crate::shard_stats::Totals;

fn with_limits(change: impl FnOnce(&mut Limits)) -> Shard {
    let mut config = Config { shards: 1, ..Config::default() };
    change(&mut config.limits);
    Shard::new(ShardId::new(0), config)
}

fn client(shard: &mut Shard) -> ConnId {
    let conn = shard.open(Opening::default());
    send(shard, None);
    conn
}

fn join(shard: &mut Shard, conn: ConnId, room: &str) -> String {
    say(shard, conn, &format!(r#"{{"event":"cast:join","room":"{room}","id":1}}"#));
    send(shard, None)
}

fn named(name: &str) -> RoomName {
    RoomName::new(name).expect("legal")
}

fn members(shard: &mut Shard, room: &str) -> Option<u32> {
    match shard.answer(Query::Room(named(room))) {
        Answer::Room(info) => info.map(|info| info.members),
        other => panic!("a room is asked for: {other:?}"),
    }
}

#[test]
fn one_room_too_many_is_refused_and_others_may_still_be_joined() {
    let mut shard = with_limits(|limits| limits.total_rooms = 2);
    let (first, second) = (client(&mut shard), client(&mut shard));
    assert!(join(&mut shard, first, "a").contains("cast:joined"));
    assert!(join(&mut shard, first, "b").contains("cast:joined"));
    let refused = join(&mut shard, second, "c");
    assert!(refused.contains(r#""room":"c","id":1,"data":{"code":"too_many_rooms""#), "{refused}");
    assert!(refused.contains("max_total_rooms") && refused.contains(" 2"), "{refused}");
    assert_eq!((members(&mut shard, "c"), shard.totals().rooms), (Some(0), 2));
    assert!(join(&mut shard, second, "a").contains("cast:joined"), "this room is there");
    say(&mut shard, first, r#"{"event":"cast:leave","room":"b"}"#);
    send(&mut shard, None);
    assert!(join(&mut shard, second, "c").contains("cast:joined"), "there is a place again");
    assert_eq!(shard.counters().too_many_rooms, 1);
    assert_eq!(shard.totals(), Totals { rooms: 2, memberships: 3 });
    shard.check();
}

#[test]
fn those_that_join_a_refused_room_together_are_refused_together() {
    let mut shard = with_limits(|limits| limits.total_rooms = 1);
    let clients = [client(&mut shard), client(&mut shard), client(&mut shard)];
    join(&mut shard, clients[0], "a");
    for conn in clients {
        receive(&mut shard, conn, Opcode::Text, r#"{"event":"cast:join","room":"b"}"#);
    }
    // The last one is gone before it is refused.
    assert!(shard.close(clients[2], Disconnect::Kicked));
    shard.begin_quantum();
    take_loopback(&mut shard);
    let sent = send(&mut shard, None);
    assert_eq!(sent.matches("too_many_rooms").count(), 2, "{sent}");
    assert_eq!((members(&mut shard, "a"), members(&mut shard, "b")), (Some(1), Some(0)));
    assert_eq!(shard.totals(), Totals { rooms: 1, memberships: 1 });
    shard.check();
}

#[test]
fn what_other_shards_have_counts() {
    let mut shard = with_limits(|limits| (limits.total_rooms, limits.memberships) = (5, 7));
    let conn = client(&mut shard);
    shard.on_totals_of_others(Totals { rooms: 5, memberships: 0 });
    assert!(join(&mut shard, conn, "a").contains("max_total_rooms"));
    shard.on_totals_of_others(Totals { rooms: 4, memberships: 7 });
    assert!(join(&mut shard, conn, "a").contains("max_memberships"));
    shard.on_totals_of_others(Totals { rooms: 4, memberships: 6 });
    assert!(join(&mut shard, conn, "a").contains("cast:joined"));
    assert!(join(&mut shard, conn, "a").contains("cast:joined"), "a second join is no more");
    assert!(join(&mut shard, conn, "b").contains("max_memberships"));
}

#[test]
fn the_program_and_event_streams_learn_of_it_in_their_ways() {
    let mut shard = with_limits(|limits| (limits.total_rooms, limits.memberships) = (1, 2));
    let conn = client(&mut shard);
    join(&mut shard, conn, "a");
    shard.join(conn, &named("b"), JoinOptions::default(), AnswerToken(1)).expect("it is asked");
    take_loopback(&mut shard);
    let answer = shard.outputs().next_answer();
    assert!(matches!(answer, Some((AnswerToken(1), Answer::TooManyRooms(1)))), "{answer:?}");
    assert_eq!(send(&mut shard, None), "", "its client had not asked");
    let head = b"HTTP/1.1 200 OK\r\n\r\n";
    for (room, is_full) in [("b", true), ("a", false), ("a", true)] {
        let stream = shard.open_event_stream(&named(room), head, None);
        take_loopback(&mut shard);
        shard.begin_quantum();
        let sent = send(&mut shard, None);
        let ends = close_steps(&mut shard).first() == Some(&CloseStep::LeftRooms(stream, Capacity));
        assert_eq!(
            (ends, sent.contains(": capacity retry=")),
            (is_full, is_full),
            "{room}: {sent}"
        );
    }
    let refused = shard.join(conn, &named("c"), JoinOptions::default(), AnswerToken(2));
    assert_eq!(refused, Err(Refused::TooManyMemberships(2)));
}
