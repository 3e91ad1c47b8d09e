//! What is owed to homes whose lanes are full.

use super::waiting::{room_at, shard_of};
use super::*;
use crate::lane::Room as LaneRoom;
use crate::limits::Limits;
use crate::message::{Asker, Joined, Outcome, Request};

const FULL: LaneRoom = LaneRoom { items: 0, bytes: 0 };
const FREE: LaneRoom = LaneRoom { items: 100, bytes: 1 << 20 };

fn requests(shard: &mut Shard, to: u16) -> Vec<Request> {
    std::iter::from_fn(|| shard.next_request(ShardId::new(to))).collect()
}

/// A connection that is a member of this room, whose home is another shard.
fn member(shard: &mut Shard, room: &RoomName) -> ConnId {
    let home = shard.home(room);
    shard.on_request_room(home, FREE);
    let conn = shard.open(Permissions::default());
    say(shard, conn, &format!(r#"{{"event":"cast:join","room":"{room}"}}"#));
    let Some(Request::Join { attempt, .. }) = shard.next_request(home) else { panic!("a join") };
    let epoch = crate::epoch::Epoch::new(0, home, 1);
    let joined = Joined { epoch, offset: 0, members: 1, recovered: None };
    let asker = Asker::Client(None);
    shard.on_outcome(Outcome::Joined { room: room.clone(), conn, attempt, asker, joined });
    send(shard, None);
    conn
}

/// More than half a log of messages that nobody was sent yet.
fn overflow(shard: &mut Shard, room: &RoomName, from: u64) {
    for offset in from..from + 6 {
        let frame = std::sync::Arc::from(frame_of(1_000));
        let (exclude, accepted) = (None, shard.now);
        let room = room.clone();
        shard.on_outcome(Outcome::Deliver { room, offset, frame, exclude, accepted });
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
    let gone = member(&mut shard, &one);
    member(&mut shard, &two);
    shard.on_request_room(ShardId::new(1), FULL);
    shard.close(gone, Disconnect::Kicked);
    send(&mut shard, None);
    overflow(&mut shard, &two, 1);
    let told = requests(&mut shard, 2);
    assert!(matches!(told[..], [Request::Press { pressed: true, .. }]), "{told:?}");
    assert!(requests(&mut shard, 1).is_empty());
    shard.on_request_room(ShardId::new(1), FREE);
    let left = requests(&mut shard, 1);
    assert!(matches!(left[..], [Request::Leave { asked: None, .. }]), "{left:?}");
}

#[test]
fn the_shard_wants_room_for_each_home_to_which_it_owes_something() {
    let mut shard = three_shards();
    let (one, two) = (room_at(&shard, 1), room_at(&shard, 2));
    let gone = member(&mut shard, &one);
    member(&mut shard, &two);
    for home in 1..3 {
        assert!(!shard.wants_request_room(ShardId::new(home)), "nothing is owed yet");
        shard.on_request_room(ShardId::new(home), FULL);
    }
    shard.close(gone, Disconnect::Kicked);
    overflow(&mut shard, &two, 1);
    for home in 1..3 {
        assert!(shard.wants_request_room(ShardId::new(home)), "something is owed to {home}");
        shard.on_request_room(ShardId::new(home), FREE);
        assert_eq!(requests(&mut shard, home).len(), 1);
        assert!(!shard.wants_request_room(ShardId::new(home)), "{home} was told");
    }
}

#[test]
fn a_room_that_is_gone_hides_no_other_that_has_news() {
    let mut shard = three_shards();
    let (gone, stays) = (room_at(&shard, 1), room_at(&shard, 2));
    let conn = member(&mut shard, &gone);
    member(&mut shard, &stays);
    for home in 1..3 {
        shard.on_request_room(ShardId::new(home), FULL);
    }
    overflow(&mut shard, &gone, 1);
    overflow(&mut shard, &stays, 1);
    shard.close(conn, Disconnect::Kicked);
    shard.start_slice();
    shard.on_request_room(ShardId::new(1), FREE);
    let left = requests(&mut shard, 1);
    assert!(matches!(left[..], [Request::Leave { .. }]), "a room without members has no news");
    assert!(shard.wants_request_room(ShardId::new(2)));
    shard.on_request_room(ShardId::new(2), FREE);
    assert_eq!(requests(&mut shard, 2).len(), 1);
    assert!(!shard.wants_request_room(ShardId::new(1)) && shard.debts == 0);
}
