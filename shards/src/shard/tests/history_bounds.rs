//! What clients, and the lack of memory, can take from what rooms keep, and how much goes at once.

use std::time::Duration;

use super::*;
use crate::memory::MemoryStage;
use crate::mesh::{Answer, Query};
use crate::policy::RoomPolicy;
use crate::recovery::Recovery;

/// A shard whose rooms `chat.*` keep 100 messages, and its rooms `brief.*` theirs for a second.
fn keeping(change: impl FnOnce(&mut Config)) -> Shard {
    let mut config = Config { shards: 1, ..Config::default() };
    let policy = RoomPolicy::default().history(100);
    config.rooms.add("chat.*", policy.clone()).unwrap();
    config.rooms.add("brief.*", policy.history_for(Duration::from_secs(1))).unwrap();
    change(&mut config);
    Shard::new(ShardId::new(0), config)
}

fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

fn at(shard: &mut Shard, millis: u64) {
    shard.on_time(Time::default() + Duration::from_millis(millis));
    shard.check();
}

/// How many messages are kept, if all from the first on are.
fn all_kept(shard: &mut Shard, name: &str) -> Option<usize> {
    let query = Query::History { room: room(name), since: Some(0), epoch: None, limit: 1_000 };
    let Answer::History(Some(history)) = shard.answer(query) else { return None };
    let is_complete = history.recovery == Some(Recovery::Complete);
    is_complete.then(|| history.messages.messages())
}

fn join(shard: &mut Shard, name: &str) -> ConnId {
    let conn = shard.open(Opening::default());
    say(shard, conn, &format!(r#"{{"event":"cast:join","room":"{name}"}}"#));
    conn
}

/// Joins and leaves each of so many rooms that were never published to.
fn visit(shard: &mut Shard, rooms: usize) {
    let conn = shard.open(Opening::default());
    for n in 0..rooms {
        for event in ["join", "leave"] {
            say(shard, conn, &format!(r#"{{"event":"cast:{event}","room":"chat.new-{n}"}}"#));
        }
    }
    send(shard, None);
    shard.check();
}

#[test]
fn visits_to_new_rooms_flush_nothing_that_is_kept() {
    let mut shard = keeping(|config| config.limits.lingering_rooms = 8);
    (0..3).for_each(|_| publish(&mut shard, &room("chat.real")));
    visit(&mut shard, 100);
    assert_eq!(all_kept(&mut shard, "chat.real"), Some(3));
    at(&mut shard, 61_000);
    visit(&mut shard, 100);
    at(&mut shard, 122_000);
    assert_eq!(all_kept(&mut shard, "chat.real"), Some(3));
    assert_eq!(shard.stats().histories, 1, "the others have nothing to keep");
}

#[test]
fn members_of_new_rooms_take_no_memory_from_histories() {
    let mut shard = keeping(|config| config.limits.history_memory = 32 << 10);
    (0..50).for_each(|_| publish(&mut shard, &room("chat.real")));
    for n in 0..500 {
        join(&mut shard, &format!("chat.new-{n}"));
    }
    publish(&mut shard, &room("chat.real"));
    assert_eq!(all_kept(&mut shard, "chat.real"), Some(51));
}

#[test]
fn rooms_of_which_nothing_is_kept_any_more_are_forgotten_first() {
    let mut shard = keeping(|config| config.limits.lingering_rooms = 8);
    publish(&mut shard, &room("chat.real"));
    (0..15).for_each(|n| publish(&mut shard, &room(&format!("brief.{n}"))));
    assert_eq!(all_kept(&mut shard, "chat.real"), Some(1), "it has ended and is remembered");
    for round in 1..=5 {
        // What those of the round before keep is too old by now.
        at(&mut shard, 3_000 * round);
        (0..7).for_each(|n| publish(&mut shard, &room(&format!("brief.{round}-{n}"))));
        shard.check();
        assert_eq!(all_kept(&mut shard, "chat.real"), Some(1), "round {round}");
    }
}

#[test]
fn what_is_short_of_memory_takes_it_from_histories_before_anything_is_refused() {
    const LIMIT: usize = 4 << 20;
    let mut shard = keeping(|config| {
        (config.limits.memory_bytes, config.limits.history_memory) = (LIMIT, LIMIT);
    });
    let data = format!("\"{}\"", "x".repeat(2_000));
    for n in 0..4_000_u64 {
        publish_data(&mut shard, &room(&format!("chat.{}", n % 500)), &data);
        shard.on_time(Time::default() + Duration::from_millis(n));
        assert_eq!(shard.memory_stage(), MemoryStage::Plenty, "after {n} messages");
    }
    shard.check();
    let conn = join(&mut shard, "chat.new");
    assert!(send(&mut shard, None).contains("cast:joined"));
    assert_eq!(shard.rooms_of(conn).len(), 1);
    assert!(shard.memory().history > LIMIT / 2, "what is free is used");
    assert_eq!(all_kept(&mut shard, "chat.499"), None, "more was published than there is room for");
    let counters = shard.counters();
    assert!(counters.history.evicted > 1_000, "{counters:?}");
    assert_eq!(counters.memory, Default::default(), "nothing else is shed");
}

#[test]
fn histories_give_way_over_several_turns_and_as_far_as_it_must_be() {
    const LIMIT: usize = 64 << 20;
    let mut shard = keeping(|config| config.limits.memory_bytes = LIMIT);
    let data = format!("\"{}\"", "x".repeat(900));
    (0..3_000).for_each(|n| publish_data(&mut shard, &room(&format!("chat.{n}")), &data));
    let full = shard.memory().history;
    // The others hold so much that half of it has to go.
    let own = shard.memory().total();
    let bytes = LIMIT / 100 * 65 - own + full / 2;
    shard.on_others_memory(crate::OthersMemory { bytes, ..Default::default() });
    at(&mut shard, 1);
    let after = shard.memory().history;
    assert!(after < full && after > full - full / 4, "{after} of {full} bytes after a turn");
    let (mut turns, mut now) = (1, Time::default() + Duration::from_millis(1));
    while let Some(next) =
        shard.next_deadline().filter(|next| *next < now + Duration::from_millis(20))
    {
        now = next;
        shard.on_time(now);
        shard.check();
        turns += 1;
    }
    let left = shard.memory().history;
    assert!(left < full * 6 / 10 && left > full * 4 / 10, "{left} of {full} bytes are left");
    assert!((4..=40).contains(&turns), "{turns} turns");
    let given_way = shard.given_way();
    assert!(given_way.abs_diff(full - left) < full / 10, "{given_way} bytes of {full} less {left}");
    assert_eq!(shard.memory_stage(), MemoryStage::Plenty);
}

/// Handles what is due until nothing is any more within a second, and returns in how many turns.
fn settle(shard: &mut Shard, from: Time) -> usize {
    let (mut turns, mut now) = (0, from);
    while let Some(next) =
        shard.next_deadline().filter(|next| *next < from + Duration::from_secs(1))
    {
        now = next.max(now);
        shard.on_time(now);
        turns += 1;
        assert!(turns < 1_000, "it gets on");
    }
    shard.check();
    turns
}

#[test]
fn many_rooms_of_which_all_is_too_old_at_once_are_freed_over_several_turns() {
    let mut shard = keeping(|_| ());
    let empty = shard.memory().history;
    (0..2_000).for_each(|n| publish(&mut shard, &room(&format!("brief.{n}"))));
    let full = shard.memory().history - empty;
    let due = Time::default() + Duration::from_secs(2);
    shard.on_time(due);
    let left = shard.memory().history - empty;
    assert!(left > full / 2 && left < full, "{left} of {full} bytes are left after a turn");
    let turns = settle(&mut shard, due);
    assert!((4..=40).contains(&turns), "{turns} turns");
    let left = shard.memory().history - empty;
    assert!(left < full / 2, "{left} of {full} bytes are left after all");
}

#[test]
fn many_rooms_that_end_or_are_forgotten_at_once_do_so_over_several_turns() {
    let mut shard = keeping(|config| config.limits.history_meta_for = Duration::from_secs(100));
    (0..2_000).for_each(|n| publish(&mut shard, &room(&format!("brief.{n}"))));
    let ended = Time::default() + Duration::from_secs(60);
    shard.on_time(Time::default() + Duration::from_secs(3));
    settle(&mut shard, Time::default() + Duration::from_secs(3));
    shard.on_time(ended);
    let rooms = shard.stats().rooms;
    assert!((1_000..2_000).contains(&rooms), "{rooms} rooms are left after a turn");
    assert!((4..=40).contains(&settle(&mut shard, ended)));
    assert_eq!((shard.stats().rooms, shard.stats().histories), (0, 2_000));
    let forgotten = ended + Duration::from_secs(101);
    shard.on_time(forgotten);
    let histories = shard.stats().histories;
    assert!((1_000..2_000).contains(&histories), "{histories} are remembered after a turn");
    assert!((4..=40).contains(&settle(&mut shard, forgotten)));
    assert_eq!(shard.stats().histories, 0);
}
