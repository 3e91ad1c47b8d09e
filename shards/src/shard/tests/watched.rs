//! What a program hears of rooms and their members.

use super::*;
use crate::handler::RoomEvent::{self, Joined, Left, Occupied, Vacated};
use crate::history::Parts;
use crate::mesh::{FromHome, ToHome};

fn watched(shards: u16) -> Shard {
    let mut config = Config { shards, ..Config::default() };
    (config.hooks.members, config.hooks.occupancy) = (true, true);
    Shard::new(ShardId::new(0), config)
}

fn events(shard: &mut Shard) -> Vec<RoomEvent> {
    std::iter::from_fn(|| shard.outputs().next_room_event()).collect()
}

fn room() -> RoomName {
    RoomName::new("r").expect("legal")
}

#[test]
fn each_change_is_said_once_and_a_second_join_is_none() {
    let mut shard = watched(1);
    let (a, b) = (shard.open(Opening::default()), shard.open(Opening::default()));
    for conn in [a, a, b] {
        say(&mut shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    }
    let said = [Occupied(room()), Joined(a, room()), Joined(b, room())];
    assert_eq!(events(&mut shard), said);
    say(&mut shard, a, r#"{"event":"cast:leave","room":"r"}"#);
    shard.leave(b, &room(), AnswerToken(1)).expect("it is a member");
    take_loopback(&mut shard);
    assert_eq!(events(&mut shard), [Left(a, room()), Vacated(room()), Left(b, room())]);
    shard.join(a, &room(), JoinOptions::default(), AnswerToken(2)).expect("there is a place");
    take_loopback(&mut shard);
    shard.close(a, Disconnect::Kicked);
    shard.stop_reading();
    take_loopback(&mut shard);
    let said = [Occupied(room()), Joined(a, room()), Left(a, room()), Vacated(room())];
    assert_eq!(events(&mut shard), said);
}

#[test]
fn a_member_that_ends_while_its_leave_is_under_way_is_said_to_have_left_once() {
    let home = ShardId::new(1);
    let mut shard = watched(2);
    let names = (0..).map(|n| RoomName::new(&format!("room-{n}")).expect("legal"));
    let room = names.into_iter().find(|room| shard.home(room) == home).expect("half of them");
    let capacity = crate::mesh::Capacity { items: 10, bytes: 10_000 };
    shard.on_to_home_capacity(home, capacity);
    let conn = shard.open(Opening::default());
    say(&mut shard, conn, &format!(r#"{{"event":"cast:join","room":"{room}"}}"#));
    let Some(ToHome::Join { change_id, requester, .. }) = shard.next_to_home(home) else {
        panic!("it asks the home");
    };
    let joined = crate::format::Joined {
        epoch: crate::epoch::Epoch::new(1, home, 1),
        offset: 0,
        members: 1,
        recovery: None,
    };
    let (presence, replay) = (None, Parts::default());
    let (room_joined, was) = (room.clone(), joined);
    let answer = FromHome::Joined {
        room: room_joined,
        conn,
        change_id,
        requester,
        joined: was,
        presence,
        replay,
    };
    assert_eq!(events(&mut shard), [], "it is no member before the home says so");
    shard.on_from_home(answer);
    assert_eq!(events(&mut shard), [Joined(conn, room.clone())]);
    say(&mut shard, conn, &format!(r#"{{"event":"cast:leave","room":"{room}"}}"#));
    let Some(ToHome::Leave { request: Some(request), .. }) = shard.next_to_home(home) else {
        panic!("it asks the home");
    };
    assert_eq!(events(&mut shard), [], "nor has it left");
    shard.close(conn, Disconnect::Kicked);
    shard.stop_reading();
    assert_eq!(events(&mut shard), [Left(conn, room.clone())]);
    shard.on_from_home(FromHome::Left { room, conn, request, offset: 0 });
    assert_eq!(events(&mut shard), [], "the answer comes too late");
}

#[test]
fn nothing_is_said_to_a_program_that_does_not_watch() {
    let mut shard = shard();
    let conn = shard.open(Opening::default());
    say(&mut shard, conn, r#"{"event":"cast:join","room":"r"}"#);
    shard.close(conn, Disconnect::Kicked);
    shard.stop_reading();
    take_loopback(&mut shard);
    assert_eq!(events(&mut shard), []);
}
