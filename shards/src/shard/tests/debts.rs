//! What is owed to homes whose lanes are full.

use super::waiting::{room_at, shard_of};
use super::*;
use crate::format::Joined;
use crate::format::{Encoding, Frames};
use crate::history::Parts;
use crate::limits::Limits;
use crate::mesh::Capacity;
use crate::mesh::{FromHome, Requester, ToHome};

const FULL: Capacity = Capacity { items: 0, bytes: 0 };
const FREE: Capacity = Capacity { items: 100, bytes: 1 << 20 };

fn requests(shard: &mut Shard, to: u16) -> Vec<ToHome> {
    std::iter::from_fn(|| shard.next_to_home(ShardId::new(to))).collect()
}

/// A connection that is a member of this room, whose home is another shard.
fn member(shard: &mut Shard, room: &RoomName) -> ConnId {
    let home = shard.home(room);
    shard.on_to_home_capacity(home, FREE);
    let conn = shard.open(Opening::default());
    say(shard, conn, &format!(r#"{{"event":"cast:join","room":"{room}"}}"#));
    let Some(ToHome::Join { change_id, .. }) = shard.next_to_home(home) else { panic!("a join") };
    let epoch = crate::epoch::Epoch::new(0, home, 1);
    let joined = Joined { epoch, offset: 0, members: 1, recovery: None };
    let requester = Requester::Client(None);
    shard.on_from_home(FromHome::Joined {
        room: room.clone(),
        conn,
        change_id,
        requester,
        joined,
        presence: None,
        replay: Parts::default(),
    });
    send(shard, None);
    conn
}

/// More than half a log of messages that no member was sent yet.
fn overflow(shard: &mut Shard, room: &RoomName, from: u64) {
    for offset in from..from + 6 {
        let frames = Frames::one(Encoding::WebSocket, &frame_of(1_000));
        let (exclude, accepted) = (None, shard.host.now);
        let room = room.clone();
        shard.on_from_home(FromHome::Deliver { room, offset, frames, exclude, accepted });
    }
}

fn frame_of(bytes: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    crate::wire::push_frame(&mut frame, Opcode::Text, &vec![b'x'; bytes]);
    frame
}

fn three_shards() -> Shard {
    shard_of(3, Limits { room_log_bytes: 8 << 10, ..Limits::default() })
}

#[test]
fn a_full_lane_holds_back_no_debt_for_another_home() {
    let mut shard = three_shards();
    let (one, two) = (room_at(&shard, 1), room_at(&shard, 2));
    let closed = member(&mut shard, &one);
    member(&mut shard, &two);
    shard.on_to_home_capacity(ShardId::new(1), FULL);
    shard.close(closed, Disconnect::Kicked);
    send(&mut shard, None);
    overflow(&mut shard, &two, 1);
    let updates = requests(&mut shard, 2);
    assert!(matches!(updates[..], [ToHome::Pause { paused: true, .. }]), "{updates:?}");
    assert!(requests(&mut shard, 1).is_empty());
    shard.on_to_home_capacity(ShardId::new(1), FREE);
    let left = requests(&mut shard, 1);
    assert!(matches!(left[..], [ToHome::Leave { request: None, .. }]), "{left:?}");
}

#[test]
fn the_shard_wants_room_for_each_home_to_which_it_owes_something() {
    let mut shard = three_shards();
    let (one, two) = (room_at(&shard, 1), room_at(&shard, 2));
    let closed = member(&mut shard, &one);
    member(&mut shard, &two);
    for home in 1..3 {
        assert!(!shard.wants_to_home_capacity(ShardId::new(home)), "nothing is owed yet");
        shard.on_to_home_capacity(ShardId::new(home), FULL);
    }
    shard.close(closed, Disconnect::Kicked);
    overflow(&mut shard, &two, 1);
    for home in 1..3 {
        assert!(shard.wants_to_home_capacity(ShardId::new(home)), "something is owed to {home}");
        shard.on_to_home_capacity(ShardId::new(home), FREE);
        assert_eq!(requests(&mut shard, home).len(), 1);
        assert!(!shard.wants_to_home_capacity(ShardId::new(home)), "{home} knows it");
    }
}

#[test]
fn a_room_that_is_gone_hides_no_other_that_has_news() {
    let mut shard = three_shards();
    let (forgotten, stays) = (room_at(&shard, 1), room_at(&shard, 2));
    let conn = member(&mut shard, &forgotten);
    member(&mut shard, &stays);
    for home in 1..3 {
        shard.on_to_home_capacity(ShardId::new(home), FULL);
    }
    overflow(&mut shard, &forgotten, 1);
    overflow(&mut shard, &stays, 1);
    shard.close(conn, Disconnect::Kicked);
    shard.begin_quantum();
    shard.on_to_home_capacity(ShardId::new(1), FREE);
    let left = requests(&mut shard, 1);
    assert!(matches!(left[..], [ToHome::Leave { .. }]), "a room without members has no news");
    assert!(shard.wants_to_home_capacity(ShardId::new(2)));
    shard.on_to_home_capacity(ShardId::new(2), FREE);
    assert_eq!(requests(&mut shard, 2).len(), 1);
    assert!(!shard.wants_to_home_capacity(ShardId::new(1)) && !shard.host.outboxes.has_deferred());
}
