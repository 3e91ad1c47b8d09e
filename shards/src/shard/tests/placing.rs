//! Which shard a connection begins on whose first room is known.

use super::*;
use crate::mesh::{Capacity, Parcel, ToHome};
use crate::placement::{Placement, Stay};

const HOME: ShardId = ShardId::new(1);

/// Shard 0 of two, and a room whose home is the other one.
fn shard_and_room() -> (Shard, RoomName) {
    let config = Config { shards: 2, ..Config::default() };
    let mut names = (0..).map(|n| RoomName::new(&format!("r{n}")).unwrap());
    let room = names.find(|room| config.home(room) == HOME).unwrap();
    let mut shard = Shard::new(ShardId::new(0), config);
    shard.on_to_home_capacity(HOME, Capacity { items: 1, bytes: 1 });
    (shard, room)
}

/// So many connections on the home, and so many here.
fn held(at_home: u64, here: u64) -> impl Fn(ShardId) -> u64 {
    move |shard| if shard == HOME { at_home } else { here }
}

/// Where a connection begins, when no other shard decides at the same time.
fn place(shard: &mut Shard, room: &RoomName, held: impl Fn(ShardId) -> u64) -> Placement {
    shard.placement(room, &held, |home, most| held(home) < most)
}

#[test]
fn a_connection_goes_to_its_home_up_to_the_bound() {
    let (mut shard, room) = shard_and_room();
    // Of ten on two shards, one has 6.25 at most, rounded up.
    assert_eq!(place(&mut shard, &room, held(6, 3)), Placement::There(HOME));
    assert_eq!(place(&mut shard, &room, held(7, 2)), Placement::Here(Stay::Loaded));
    let own = (0..).map(|n| RoomName::new(&format!("r{n}")).unwrap());
    let own = own.into_iter().find(|room| shard.home(room) != HOME).unwrap();
    assert_eq!(place(&mut shard, &own, held(0, 100)), Placement::Here(Stay::AtHome));
    let placement = shard.counters().placement;
    assert_eq!((placement.stayed, placement.handed_over), ([1, 1, 0, 0], 0));
}

#[test]
fn where_another_shard_was_faster_it_stays() {
    let (mut shard, room) = shard_and_room();
    let claim = |home: ShardId, most: u64| {
        assert_eq!((home, most), (HOME, 7), "of ten on two shards");
        let meanwhile = 7;
        meanwhile < most
    };
    assert_eq!(shard.placement(&room, held(6, 3), claim), Placement::Here(Stay::Loaded));
    assert_eq!(shard.counters().placement.stayed, [0, 1, 0, 0]);
}

#[test]
fn no_place_is_claimed_for_one_that_stays() {
    let (mut shard, room) = shard_and_room();
    let none = |_, _| panic!("it would be held for ever");
    assert_eq!(shard.placement(&room, held(7, 2), none), Placement::Here(Stay::Loaded));
    shard.on_to_home_capacity(HOME, Capacity::default());
    assert_eq!(shard.placement(&room, held(0, 0), none), Placement::Here(Stay::RingFull));
    shard.stop_reading();
    assert_eq!(shard.placement(&room, held(0, 0), none), Placement::Here(Stay::Draining));
}

#[test]
fn where_the_ring_has_no_place_it_stays() {
    let (mut shard, room) = shard_and_room();
    for (items, bytes) in [(0, 9), (9, 0)] {
        shard.on_to_home_capacity(HOME, Capacity { items, bytes });
        assert_eq!(place(&mut shard, &room, held(0, 0)), Placement::Here(Stay::RingFull));
        assert!(!shard.wants_to_home_capacity(HOME), "it does not try again");
    }
    shard.on_to_home_capacity(HOME, Capacity { items: 1, bytes: 1 });
    assert_eq!(place(&mut shard, &room, held(0, 0)), Placement::There(HOME));
    shard.hand_over(HOME, Parcel::new((), 0));
    assert_eq!(place(&mut shard, &room, held(0, 0)), Placement::Here(Stay::RingFull));
    assert!(matches!(shard.next_to_home(HOME), Some(ToHome::HandOver { .. })));
}

/// Whoever waits for the ring goes first, and does not wait longer for those that come.
#[test]
fn where_commands_wait_for_the_ring_it_stays() {
    let (mut shard, room) = shard_and_room();
    let conn = shard.open(Opening::default());
    shard.on_to_home_capacity(HOME, Capacity::default());
    let join = format!(r#"{{"event":"cast:join","room":"{}"}}"#, room.as_str());
    receive(&mut shard, conn, Opcode::Text, &join);
    assert!(shard.wants_to_home_capacity(HOME));
    assert_eq!(place(&mut shard, &room, held(0, 0)), Placement::Here(Stay::RingFull));
    shard.on_to_home_capacity(HOME, Capacity { items: 2, bytes: 1_000 });
    assert_eq!(place(&mut shard, &room, held(0, 0)), Placement::There(HOME));
}

#[test]
fn in_a_drain_it_stays_and_what_arrives_is_not_to_begin() {
    let (mut shard, room) = shard_and_room();
    assert!(shard.takes_connections());
    shard.stop_reading();
    assert!(!shard.takes_connections());
    assert_eq!(place(&mut shard, &room, held(0, 0)), Placement::Here(Stay::Draining));
}

#[test]
fn a_parcel_comes_out_as_it_was_packed() {
    let (mut shard, _) = shard_and_room();
    let mut home = Shard::new(HOME, Config { shards: 2, ..Config::default() });
    shard.hand_over(HOME, Parcel::new("a connection".to_owned(), 12));
    assert!(!shard.is_quiet(), "a shutdown waits for it");
    let message = shard.next_to_home(HOME).unwrap();
    home.on_to_home(ShardId::new(0), message);
    let parcel = home.outputs().next_parcel().unwrap();
    assert_eq!(parcel.open::<String>(), "a connection");
    assert!(home.outputs().next_parcel().is_none());
    assert_eq!(shard.counters().placement.handed_over, 1);
    assert_eq!(home.counters().placement.taken_over, 0, "it may still be refused");
    home.on_taken_over();
    assert_eq!(home.counters().placement.taken_over, 1);
}
