//! Rooms that a handshake names are joined as if its client had asked for that first.

use super::*;
use crate::config::Hooks;
use crate::handler::{CallKind, Verdict};
use crate::limits::Limits;
use crate::name_set::NameSet;
use crate::pattern::Pattern;

fn naming(rooms: &[&str], opening: Opening) -> Opening {
    let rooms = rooms.iter().map(|room| RoomName::new(room).unwrap()).collect();
    Opening { rooms, ..opening }
}

fn join(room: &str) -> String {
    format!(r#"{{"event":"cast:join","room":"{room}"}}"#)
}

fn shard_with(limit: impl FnOnce(&mut Limits)) -> Shard {
    let mut limits = Limits::default();
    limit(&mut limits);
    Shard::new(ShardId::new(0), Config { shards: 1, limits, ..Config::default() })
}

/// What a client is sent, without what differs between any two connections.
fn sent_to(shard: &mut Shard) -> Vec<String> {
    take_loopback(shard);
    let sent = send(shard, None);
    let texts = sent.split(r#"{"event":""#).skip(1);
    let texts = texts.filter(|text| !text.starts_with("cast:welcome"));
    texts.map(|text| text.split(r#","members""#).next().unwrap_or(text).to_owned()).collect()
}

/// Joins by the handshake and by commands are answered alike.
#[track_caller]
fn check_same(shard: impl Fn() -> Shard, opening: &Opening, rooms: &[&str]) -> Vec<String> {
    let (mut by_handshake, mut by_command) = (shard(), shard());
    by_handshake.open(naming(rooms, opening.clone()));
    let conn = by_command.open(opening.clone());
    let mut frames = Vec::new();
    for room in rooms {
        push_client_frame(&mut frames, Opcode::Text, true, [7; 4], join(room).as_bytes());
    }
    by_command.receive(conn, &mut frames);
    let answers = sent_to(&mut by_handshake);
    assert_eq!(answers, sent_to(&mut by_command));
    answers
}

#[test]
fn the_answers_come_behind_the_welcome_in_order() {
    let mut shard = shard();
    let conn = shard.open(naming(&["b", "q\"\\uote", "b"], Opening::default()));
    take_loopback(&mut shard);
    let sent = send(&mut shard, None);
    let at = |what: &str| sent.find(what).unwrap_or_else(|| panic!("{what} in {sent}"));
    let quoted = r#""cast:joined","room":"q\"\\uote""#;
    assert!(at("cast:welcome") < at(r#""cast:joined","room":"b""#), "{sent}");
    assert!(at(r#""cast:joined","room":"b""#) < at(quoted), "{sent}");
    assert_eq!(sent.matches(r#""cast:joined","room":"b""#).count(), 2, "each is answered: {sent}");
    assert_eq!(shard.rooms_of(conn).len(), 2);
}

#[test]
fn permissions_limits_and_rates_are_those_of_commands() {
    let names = NameSet::new([Pattern::parse("in.*").unwrap()]).unwrap();
    let mut within = Permissions::all(Permission::Forbidden);
    within.join = Permission::Within(names);
    let answers = check_same(shard, &allowing(within), &["in.a", "out", "in.b"]);
    let refused = r#""room":"out","data":{"code":"forbidden""#;
    assert!(answers.concat().contains(refused), "{answers:?}");
    let few = || shard_with(|limits| limits.rooms_per_connection = 1);
    let answers = check_same(few, &Opening::default(), &["a", "b"]);
    assert!(answers.concat().contains("too_many_rooms"), "{answers:?}");
    let slow = || shard_with(|limits| limits.joins_per_second = 2);
    let answers = check_same(slow, &Opening::default(), &["a", "b", "c"]);
    assert!(answers.concat().contains("max_joins_per_second"), "{answers:?}");
    let slow = || shard_with(|limits| limits.messages_per_second = 1);
    check_same(slow, &Opening::default(), &["a", "b", "c"]);
    check_same(slow, &Opening::default(), &["a"; 40]);
}

#[test]
fn the_program_is_asked_about_each_before_what_the_client_says() {
    let mut shard = shard();
    let conn = shard.open(naming(&["a", "b"], allowing(Permissions::all(Permission::Asked))));
    receive(&mut shard, conn, Opcode::Text, r#"{"event":"cast:ping","id":1}"#);
    for (room, verdict) in [("a", Verdict::Granted), ("b", Verdict::Forbidden("no".to_owned()))] {
        let CallKind::Command(asked) = shard.outputs().next_call().unwrap().kind else {
            panic!("it is asked")
        };
        assert_eq!(asked.room.as_ref().map(RoomName::as_str), Some(room));
        assert!(shard.outputs().next_call().is_none() && !shard.wants_read(conn));
        shard.decide(conn, asked, verdict);
    }
    let answers = sent_to(&mut shard).concat();
    let at = |what: &str| answers.find(what).unwrap_or_else(|| panic!("{what} in {answers}"));
    assert!(at("cast:error") < at("cast:pong"), "{answers}");
    assert!(at(r#"cast:joined","room":"a""#) > 0 && !answers.contains(r#"joined","room":"b"#));
}

#[test]
fn the_begin_of_a_connection_is_handled_first() {
    let hooks = Hooks { connect: true, ..Hooks::default() };
    let mut shard = Shard::new(ShardId::new(0), Config { shards: 1, hooks, ..Config::default() });
    let conn = shard.open(naming(&["a"], Opening::default()));
    assert!(sent_to(&mut shard).is_empty(), "its handler is at work");
    shard.end_call(conn);
    assert_eq!(sent_to(&mut shard).len(), 1);
}

#[test]
fn a_client_that_may_not_come_joins_nothing() {
    let mut shard = shard();
    let expires = Some(crate::identity::Expiry { at: Time::default(), unix_millis: 0 });
    let identity = crate::identity::Identity { expires, ..Default::default() };
    let opening = Opening { identity: Some(Arc::new(identity)), ..Opening::default() };
    let conn = shard.open(naming(&["a"], opening));
    take_loopback(&mut shard);
    assert_eq!(shard.close_reason(conn), Some(Disconnect::Expired));
    assert!(shard.rooms_of(conn).is_empty());
}
