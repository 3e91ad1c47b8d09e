//! What rooms that keep messages cost a shard: exact counts of a publish and of recoveries, and how
//! much memory histories allocate.

#![allow(clippy::unwrap_used)]

use allocation_counter::measure;
use corecast_shards::wire::{Opcode, push_client_frame};
use corecast_shards::{
    Answer, Config, ConnId, Opening, Publication, Query, RoomMessage, RoomName, RoomPolicy,
    SendEnd, Shard, ShardId,
};

/// Messages that rooms keep, and bytes of the data of each.
const KEPT: usize = 50;
const DATA: usize = 300;

/// A shard whose rooms of this pattern keep messages, in so much memory.
fn shard(pattern: &str, history_memory: usize) -> Shard {
    let mut config = Config { shards: 1, ..Config::default() };
    config.limits.history_memory = history_memory;
    config.limits.lingering_rooms = 1_000_000;
    config.rooms.add(pattern, RoomPolicy::default().history(KEPT)).unwrap();
    Shard::new(ShardId::new(0), config)
}

/// Memory that histories do not fill.
const PLENTY: usize = 1 << 40;

fn room(number: usize) -> RoomName {
    RoomName::new(&format!("room {number}")).unwrap()
}

fn publish(shard: &mut Shard, room: &RoomName, data: &str) {
    let publication = Publication { event: "m".into(), data, echo: true, key: None };
    shard.publish(room, RoomMessage::event(&publication), None, None).unwrap();
    shard.take_loopback(16);
}

fn data(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

fn say(shard: &mut Shard, conn: ConnId, text: &str) {
    let mut frame = Vec::new();
    push_client_frame(&mut frame, Opcode::Text, true, [0; 4], text.as_bytes());
    shard.receive(conn, &mut frame);
    shard.take_loopback(16);
}

/// Sends everything that waits; `look` sees what each send offers.
fn flush(shard: &mut Shard, mut look: impl FnMut(&[u8])) {
    while shard.has_sends() {
        shard.begin_quantum();
        while let Some(conn) = shard.next_direct_send().or_else(|| shard.next_room_send()) {
            let mut bytes = 0;
            shard.for_each_iovec(conn, |slice| {
                bytes += slice.len();
                look(slice);
            });
            shard.end_send(conn, SendEnd::Taken(bytes));
        }
    }
}

/// Allocations of so many publishes, and of the flushes that follow, in a room with members where rooms
/// of this pattern keep messages; once all that grows has grown.
fn publishing(pattern: &str, members: usize, rounds: u64) -> (u64, u64) {
    let mut shard = shard(pattern, PLENTY);
    for _ in 0..members {
        let conn = shard.open(Opening::default());
        say(&mut shard, conn, r#"{"event":"cast:join","room":"room 0"}"#);
    }
    let (room, data, mut counted) = (room(0), data(DATA), (0, 0));
    for round in 0..10 * KEPT as u64 + rounds {
        let published = measure(|| publish(&mut shard, &room, &data)).count_total;
        let flushed = measure(|| flush(&mut shard, |_| ())).count_total;
        if round >= 10 * KEPT as u64 {
            counted = (counted.0 + published, counted.1 + flushed);
        }
    }
    counted
}

/// A block, once its room keeps as many messages as it may, and so many of 300 bytes in it.
const PER_BLOCK: u64 = 1;
const PER_BLOCK_MESSAGES: u64 = 11;

#[test]
fn keeping_messages_costs_a_publish_one_allocation_per_block_and_a_delivery_none() {
    let rounds = 40 * PER_BLOCK_MESSAGES;
    let (plain, kept) = (publishing("other", 100, rounds), publishing("room*", 100, rounds));
    assert_eq!((plain.1, kept.1), (0, 0), "allocations of deliveries");
    let more = kept.0 - plain.0;
    let expected = rounds / PER_BLOCK_MESSAGES * PER_BLOCK;
    assert_eq!(more, expected, "allocations more in {rounds} publishes");
}

#[test]
fn a_room_that_keeps_nothing_costs_the_same_beside_rooms_that_do() {
    let mut without = Shard::new(ShardId::new(0), Config { shards: 1, ..Config::default() });
    let mut beside = shard("other", PLENTY);
    let (room, data) = (room(0), data(DATA));
    let costs = |shard: &mut Shard| {
        (0..100).for_each(|_| publish(shard, &room, &data));
        let before = shard.memory();
        let counts = measure(|| (0..100).for_each(|_| publish(shard, &room, &data)));
        let (held, history) = (shard.memory().rooms - before.rooms, shard.memory().history);
        (counts.count_total, counts.bytes_total, held, history)
    };
    let plain = costs(&mut without);
    assert_eq!(costs(&mut beside), plain);
    assert_eq!((plain.2, plain.3), (0, 0), "nothing is kept");
}

/// Allocations of a join that recovers, beside those of one that does not: of the place that it says, on
/// its way to the home, and of the lists of what it is sent. Fewer are welcome.
const PER_RECOVERY: u64 = 8;

/// Allocations of tables that all clients share.
const SHARED: u64 = 16;

#[test]
fn a_thousand_recoveries_copy_nothing() {
    const CLIENTS: usize = 1_000;
    let mut shard = shard("*", PLENTY);
    let (room, data) = (room(0), data(DATA));
    (0..KEPT).for_each(|_| publish(&mut shard, &room, &data));
    let Answer::Room(Some(info)) = shard.answer(Query::Room(room)) else { panic!("it exists") };
    let plain = r#"{"event":"cast:join","room":"room 0"}"#.to_owned();
    let since = format!(r#""data":{{"since":{{"epoch":"{}","offset":0}}}}}}"#, info.epoch);
    let since = format!("{},{since}", plain.trim_end_matches('}'));
    let conns: Vec<_> = (0..CLIENTS).map(|_| shard.open(Opening::default())).collect();
    let mut count = |text: &str| {
        let mut sent = Vec::with_capacity(8 * CLIENTS);
        let counts = measure(|| {
            conns.iter().for_each(|conn| say(&mut shard, *conn, text));
            flush(&mut shard, |slice| sent.push((slice.as_ptr(), slice.len())));
        });
        let leave = r#"{"event":"cast:leave","room":"room 0"}"#;
        conns.iter().for_each(|conn| say(&mut shard, *conn, leave));
        flush(&mut shard, |_| ());
        (counts, sent)
    };
    // Whatever grows has grown, and the blocks are shared.
    (0..3).for_each(|_| drop(count(&since)));
    let (joins, _) = count(&plain);
    let (recoveries, sent) = count(&since);
    let more = recoveries.count_total - joins.count_total;
    let most = CLIENTS as u64 * PER_RECOVERY + SHARED;
    assert!(more <= most, "{more} allocations more for {CLIENTS} clients");
    // What is longer than an answer is of the history.
    let shared: Vec<_> = sent.iter().filter(|(_, len)| *len > DATA).collect();
    let bytes: usize = shared.iter().map(|(_, len)| len).sum();
    assert!(bytes > CLIENTS * KEPT * DATA, "{bytes} bytes are not what all missed");
    let mut places: Vec<_> = shared.iter().map(|(at, len)| (*at as usize, *len)).collect();
    places.sort_unstable();
    places.dedup();
    let different: usize = places.iter().map(|(_, len)| len).sum();
    assert_eq!(different * CLIENTS, bytes, "all are sent the same bytes of memory");
    let more = recoveries.bytes_total - joins.bytes_total;
    assert!(more * 10 < bytes as u64, "{more} bytes more: {bytes} are not copied");
}

/// Publishes as many messages to so many rooms as these keep.
fn fill(shard: &mut Shard, rooms: usize) {
    let data = data(DATA);
    let names: Vec<_> = (0..rooms).map(room).collect();
    for _ in 0..KEPT {
        names.iter().for_each(|name| publish(shard, name, &data));
    }
}

/// How many messages are kept.
fn kept(shard: &mut Shard, rooms: usize) -> usize {
    let mut kept = |number: usize| {
        let query = Query::History { room: room(number), since: None, epoch: None, limit: KEPT };
        let Answer::History(Some(history)) = shard.answer(query) else { panic!("it exists") };
        history.messages.messages()
    };
    (0..rooms).map(&mut kept).sum()
}

fn assert_near(figure: usize, expected: usize, what: &str) {
    let differ = figure.abs_diff(expected);
    assert!(differ <= expected / 20, "{what}: {figure} beside {expected} bytes");
}

#[test]
fn what_a_thousand_rooms_keep_is_what_they_are_counted_with() {
    const ROOMS: usize = 1_000;
    let mut shard = shard("*", PLENTY);
    let before = shard.memory().total();
    let allocated = measure(|| fill(&mut shard, ROOMS)).bytes_current;
    let counted = shard.memory().total() - before;
    assert_near(usize::try_from(allocated).unwrap(), counted, "what was allocated");
    assert!(counted > ROOMS * KEPT * DATA, "{counted} bytes are not all of it");
    assert_eq!(kept(&mut shard, ROOMS), ROOMS * KEPT);
    let budget = counted / 2;
    let mut shard = self::shard("*", budget);
    fill(&mut shard, ROOMS);
    assert_near(shard.memory().history, budget, "what half of the memory holds");
    assert!(kept(&mut shard, ROOMS) > ROOMS * KEPT / 3);
}
