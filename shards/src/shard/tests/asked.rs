//! Commands that the program decides about.

use super::waiting::{room_at, shard_of};
use super::*;
use crate::handler::{AskedCommand, AskedKind, CallKind, Verdict};
use crate::limits::Limits;
use crate::mesh::Capacity;
use crate::mesh::{FromHome, Origin, ToHome};

const JOIN: &str = r#"{"event":"cast:join","room":"r","id":1}"#;
const PUBLISH: &str =
    r#"{"event":"cast:publish","room":"r","id":"p","data":{"event":"m","data":1,"echo":false}}"#;
const BROADCAST: &str = r#"{"event":"cast:broadcast","id":3,"data":{"event":"m","data":1}}"#;

/// A connection whose every command is asked about.
fn asked(shard: &mut Shard) -> ConnId {
    let conn = shard.open(allowing(Permissions::all(Permission::Asked)));
    send(shard, None);
    conn
}

/// What the program is asked now.
fn next_asked(shard: &mut Shard) -> AskedCommand {
    match shard.outputs().next_call().expect("the program is asked").kind {
        CallKind::Command(asked) => asked,
        other => panic!("a command, and not {other:?}"),
    }
}

/// Decides about what a client says, and returns what is sent then.
fn decided(shard: &mut Shard, conn: ConnId, json: &str, verdict: Verdict) -> String {
    say(shard, conn, json);
    assert_eq!(send(shard, None), "", "nothing happens before the verdict");
    let asked = next_asked(shard);
    shard.decide(conn, asked, verdict);
    take_loopback(shard);
    send(shard, None)
}

#[test]
fn what_is_granted_happens_as_if_it_had_just_been_said() {
    let mut shard = shard();
    let conn = asked(&mut shard);
    let member = shard.open(Opening::default());
    say(&mut shard, member, JOIN);
    send(&mut shard, None);
    let joined = decided(&mut shard, conn, JOIN, Verdict::Granted);
    assert!(joined.contains(r#""cast:joined","room":"r","id":1"#), "{joined}");
    let sent = decided(&mut shard, conn, PUBLISH, Verdict::Granted);
    assert!(sent.contains(r#""cast:ack","id":"p","data":{"offset":1}"#), "{sent}");
    assert_eq!(sent.matches(r#""event":"m""#).count(), 1, "not to its sender: {sent}");
    let sent = decided(&mut shard, conn, BROADCAST, Verdict::Granted);
    assert!(sent.contains(r#""cast:ack","id":3}"#), "{sent}");
    assert_eq!(sent.matches(r#""event":"m""#).count(), 2, "{sent}");
}

#[test]
fn what_is_refused_is_answered_and_does_not_happen() {
    let mut shard = shard();
    let conn = asked(&mut shard);
    for (json, names) in [
        (JOIN, r#""room":"r","id":1"#),
        (PUBLISH, r#""room":"r","id":"p""#),
        (BROADCAST, r#""id":3"#),
    ] {
        for (verdict, data) in [
            (
                Verdict::Forbidden("not \"you\"".to_owned()),
                r#""forbidden","message":"not \"you\"""#,
            ),
            (Verdict::Failed, r#""handler_failed","message":"the server could not"#),
        ] {
            let sent = decided(&mut shard, conn, json, verdict);
            let expected = format!(r#"{{"event":"cast:error",{names},"data":{{"code":{data}"#);
            assert!(sent.contains(&expected), "{sent}");
            assert_eq!(sent.matches(r#""event":"#).count(), 1, "{sent}");
        }
    }
    assert_eq!(shard.counters().published, 0);
    assert!(shard.rooms_of(conn).is_empty());
}

#[test]
fn the_program_may_change_what_a_client_says() {
    let mut shard = shard();
    let conn = asked(&mut shard);
    for json in [PUBLISH.replace("false", "true"), BROADCAST.to_owned()] {
        decided(&mut shard, conn, JOIN, Verdict::Granted);
        say(&mut shard, conn, &json);
        let mut asked = next_asked(&mut shard);
        let (AskedKind::Publish(draft) | AskedKind::Broadcast(draft)) = &mut asked.kind else {
            panic!("{asked:?}")
        };
        assert_eq!((&*draft.event, &*draft.data), ("m", "1"));
        draft.data = r#"{"author":"ann"}"#.into();
        shard.decide(conn, asked, Verdict::Granted);
        take_loopback(&mut shard);
        let sent = send(&mut shard, None);
        assert!(sent.contains(r#"{"event":"m","data":{"author":"ann"}"#), "{sent}");
    }
}

#[test]
fn the_next_command_waits_for_the_verdict_about_the_one_before() {
    let mut shard = shard();
    let conn = asked(&mut shard);
    say(&mut shard, conn, PUBLISH);
    say(&mut shard, conn, r#"{"event":"cast:ping","id":"after"}"#);
    assert!(!shard.wants_read(conn));
    let asked = next_asked(&mut shard);
    shard.decide(conn, asked, Verdict::Granted);
    take_loopback(&mut shard);
    let sent = send(&mut shard, None);
    assert!(sent.contains("cast:ack") && sent.contains("cast:pong"), "{sent}");
    assert!(
        shard.wants_read(conn) && shard.outputs().next_call().is_none(),
        "it is asked about once"
    );
}

#[test]
fn what_is_granted_and_finds_no_room_waits_and_is_not_asked_about_again() {
    let mut shard = shard_of(2, Limits::default());
    let (conn, room) = (asked(&mut shard), room_at(&shard, 1));
    say(&mut shard, conn, &PUBLISH.replace(r#""r""#, &format!(r#""{room}""#)));
    let asked = next_asked(&mut shard);
    shard.decide(conn, asked, Verdict::Granted);
    assert!(!shard.wants_read(conn) && shard.next_to_home(ShardId::new(1)).is_none());
    shard.on_to_home_capacity(ShardId::new(1), Capacity { items: 10, bytes: 10_000 });
    let request = shard.next_to_home(ShardId::new(1)).expect("there is room now");
    let ToHome::Publish { exclude, origin: Origin::Connection { id, .. }, .. } = request else {
        panic!("{request:?}")
    };
    assert_eq!((exclude, &*id), (Some(conn), r#""p""#));
    assert!(shard.wants_read(conn) && shard.outputs().next_call().is_none());
}

#[test]
fn a_join_that_is_granted_still_knows_where_it_stopped() {
    let mut shard = shard();
    let conn = asked(&mut shard);
    let joined = decided(&mut shard, conn, JOIN, Verdict::Granted);
    let (_, epoch) = joined.split_once(r#""epoch":""#).expect("it has an epoch");
    let epoch = epoch.split('"').next().expect("it ends");
    let other = asked(&mut shard);
    let since = format!(r#"{{"since":{{"epoch":"{epoch}","offset":0}}}}"#);
    let json = format!(r#"{{"event":"cast:join","room":"r","data":{since}}}"#);
    let joined = decided(&mut shard, other, &json, Verdict::Granted);
    assert!(joined.contains(r#""recovered":true"#), "{joined}");
}

#[test]
fn what_the_program_was_asked_before_a_drain_may_still_happen() {
    let mut shard = shard();
    let conn = asked(&mut shard);
    say(&mut shard, conn, PUBLISH);
    let asked = next_asked(&mut shard);
    shard.stop_reading();
    shard.decide(conn, asked, Verdict::Granted);
    take_loopback(&mut shard);
    assert!(send(&mut shard, None).contains("cast:ack"));
}

/// A shard whose program was asked about a publish to this room, of another home, and then drained.
fn asked_before_a_drain() -> (Shard, ConnId, RoomName, AskedCommand) {
    let mut shard = shard_of(2, Limits::default());
    let (conn, room) = (asked(&mut shard), room_at(&shard, 1));
    say(&mut shard, conn, &PUBLISH.replace(r#""r""#, &format!(r#""{room}""#)));
    let asked = next_asked(&mut shard);
    (shard, conn, room, asked)
}

#[test]
fn what_is_granted_in_a_drain_waits_for_capacity() {
    for drains_first in [true, false] {
        let (mut shard, conn, _, asked) = asked_before_a_drain();
        if drains_first {
            shard.stop_reading();
        }
        shard.decide(conn, asked, Verdict::Granted);
        shard.stop_reading();
        shard.check();
        assert!(shard.next_to_home(ShardId::new(1)).is_none() && shard.has_decided_commands());
        shard.on_to_home_capacity(ShardId::new(1), Capacity { items: 10, bytes: 10_000 });
        let request = shard.next_to_home(ShardId::new(1));
        assert!(matches!(request, Some(ToHome::Publish { .. })), "{request:?}");
        shard.check();
        assert_eq!((shard.stats().waiting, shard.has_decided_commands()), (0, false));
    }
}

#[test]
fn what_is_granted_in_a_drain_waits_for_its_paused_room() {
    let (mut shard, conn, room, asked) = asked_before_a_drain();
    shard.on_to_home_capacity(ShardId::new(1), Capacity { items: 10, bytes: 10_000 });
    shard.on_from_home(FromHome::Paused { room: room.clone(), paused: true });
    shard.stop_reading();
    shard.decide(conn, asked, Verdict::Granted);
    assert!(shard.next_to_home(ShardId::new(1)).is_none());
    shard.on_from_home(FromHome::Paused { room, paused: false });
    let request = shard.next_to_home(ShardId::new(1));
    assert!(matches!(request, Some(ToHome::Publish { .. })), "{request:?}");
    shard.check();
}

#[test]
fn a_verdict_about_a_connection_that_has_gone_changes_nothing() {
    let mut shard = shard();
    let conn = asked(&mut shard);
    say(&mut shard, conn, PUBLISH);
    let asked = next_asked(&mut shard);
    shard.close(conn, Disconnect::Kicked);
    shard.decide(conn, asked.clone(), Verdict::Granted);
    send(&mut shard, None);
    shard.on_end(conn);
    shard.decide(conn, asked, Verdict::Granted);
    assert_eq!(shard.counters().published, 0);
}
