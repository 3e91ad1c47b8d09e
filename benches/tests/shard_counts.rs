//! What a publish and a delivery cost a shard, in exact counts: a change that copies, allocates or
//! crosses a lane once more per member fails here, however fast the machine is.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use allocation_counter::measure;
use corecast_benches::micro::{EngineRoom, Room, take_send};
use corecast_shards::wire::{Opcode, push_client_frame};
use corecast_shards::{
    Capacity, Codecs, Config, ConnId, DeflateCounters, Deflater, Inflater, NotInflated, Opening,
    Publication, RoomMessage, RoomName, RoomPolicy, SendEnd, Shard, ShardId, Time, Window,
};

/// Rounds after which buffers have the size that they keep.
const WARM_UP: usize = 100;
/// Rounds that are counted.
const ROUNDS: u64 = 200;

/// Allocations from a publish's bytes to the room's log: of its texts and of what carries it to
/// the home and back. Fewer are welcome.
const PER_PUBLISH: u64 = 6;

/// Allocations of publishes and of the flushes that follow.
#[derive(Debug, PartialEq)]
struct Allocations {
    publishing: u64,
    flushing: u64,
}

fn allocations(members: usize) -> Allocations {
    let mut room = EngineRoom::new(members, 128);
    for _ in 0..WARM_UP {
        room.publish();
        room.flush();
    }
    let mut total = Allocations { publishing: 0, flushing: 0 };
    for _ in 0..ROUNDS {
        total.publishing += measure(|| room.publish()).count_total;
        total.flushing += measure(|| assert!(room.flush() > members * 128)).count_total;
    }
    total
}

#[test]
fn a_delivery_allocates_nothing() {
    assert_eq!(allocations(1000).flushing, 0);
}

#[test]
fn a_publish_allocates_the_same_whatever_the_room() {
    let (few, many) = (allocations(10), allocations(1000));
    assert_eq!(few, many);
    assert!(many.publishing <= ROUNDS * PER_PUBLISH, "{} in {ROUNDS} rounds", many.publishing);
}

#[test]
fn a_message_is_copied_once_whatever_the_number_of_members() {
    let appended = |members| {
        let mut room = EngineRoom::new(members, 128);
        room.publish();
        room.flush();
        let before = room.stats().log_bytes;
        room.publish();
        let bytes = room.stats().log_bytes - before;
        assert_eq!(room.flush(), bytes as usize * members, "everybody is sent these bytes");
        bytes
    };
    assert_eq!(appended(1), appended(1000));
}

#[test]
fn a_delivery_is_one_send_and_as_many_messages_as_there_are() {
    let mut room = EngineRoom::new(1000, 128);
    for messages in [1, 64] {
        let before = room.stats().counters;
        (0..messages).for_each(|_| room.publish());
        room.flush();
        let after = room.stats().counters;
        assert_eq!(after.sends - before.sends, 1000);
        assert_eq!(after.delivered - before.delivered, 1000 * messages);
    }
}

/// Shards with members of one room on the first few, and lanes that are never full.
struct Mesh {
    shards: Vec<Shard>,
    room: RoomName,
}

const PLENTY: Capacity = Capacity { items: 1 << 10, bytes: 1 << 20 };

impl Mesh {
    /// The room's home is the last shard.
    fn new(shards: u16, interested: usize, members: usize) -> Mesh {
        let config = Config { shards, codecs: Some(CODECS), ..Config::default() };
        let ids = (0..shards).map(ShardId::new);
        let mut all: Vec<Shard> = ids.map(|id| Shard::new(id, config.clone())).collect();
        let home = ShardId::new(shards - 1);
        let mut names = (0..).filter_map(|n| RoomName::new(&format!("room {n}")).ok());
        let room = names.find(|room| all[0].home(room) == home).unwrap();
        for shard in &mut all {
            for to in (0..shards).map(ShardId::new) {
                if to == shard.id() {
                    continue;
                }
                shard.on_to_home_capacity(to, PLENTY);
                shard.on_from_home_capacity(to, PLENTY);
            }
        }
        let mut mesh = Mesh { shards: all, room };
        (0..interested).for_each(|shard| mesh.join(shard, members, None));
        mesh
    }

    fn join(&mut self, shard: usize, members: usize, deflate: Option<Window>) {
        let opening = Opening { deflate, ..Opening::default() };
        for _ in 0..members {
            self.enter(shard, opening.clone(), "{}");
        }
        self.settle();
    }

    /// One member more, which asks for this.
    fn enter(&mut self, shard: usize, opening: Opening, data: &str) -> ConnId {
        let room = self.room.as_str();
        let text = format!(r#"{{"event":"cast:join","room":"{room}","data":{data}}}"#);
        let mut frame = Vec::new();
        push_client_frame(&mut frame, Opcode::Text, true, [0; 4], text.as_bytes());
        let member = self.shards[shard].open(opening);
        self.shards[shard].receive(member, &mut frame);
        member
    }

    /// One publish on the first shard, up to the last member; the items that crossed.
    fn publish(&mut self) -> usize {
        self.publish_data("1");
        self.settle()
    }

    fn publish_data(&mut self, data: &str) {
        let publication = Publication { event: "m".into(), data, echo: true, key: None };
        let message = RoomMessage::event(&publication);
        self.shards[0].publish(&self.room, message, None, None).unwrap();
    }

    /// What all shards compressed.
    fn deflated(&self) -> Vec<DeflateCounters> {
        self.shards.iter().map(|shard| shard.counters().deflated).collect()
    }

    fn sends(&self) -> u64 {
        self.shards.iter().map(|shard| shard.counters().sends).sum()
    }

    fn delivered(&self) -> u64 {
        self.shards.iter().map(|shard| shard.counters().delivered).sum()
    }

    /// Carries everything where it belongs; the number of items that crossed from shard to shard.
    fn settle(&mut self) -> usize {
        let mut carried = 0;
        while let moved @ 1.. = self.carry() {
            carried += moved;
        }
        self.shards.iter_mut().for_each(flush);
        carried
    }

    fn carry(&mut self) -> usize {
        let mut carried = 0;
        for from in 0..self.shards.len() {
            self.shards[from].take_loopback(1 << 10);
            for to in (0..self.shards.len()).filter(|&to| to != from) {
                let (from_id, to_id) = (self.shards[from].id(), self.shards[to].id());
                while let Some(request) = self.shards[from].next_to_home(to_id) {
                    self.shards[to].on_to_home(from_id, request);
                    carried += 1;
                }
                while let Some(outcome) = self.shards[from].next_from_home(to_id) {
                    self.shards[to].on_from_home(outcome);
                    carried += 1;
                }
                self.shards[from].on_to_home_capacity(to_id, PLENTY);
                self.shards[from].on_from_home_capacity(to_id, PLENTY);
            }
        }
        carried
    }
}

fn flush(shard: &mut Shard) {
    while shard.has_sends() {
        while let Some(id) = shard.next_direct_send() {
            take_send(shard, id);
        }
        shard.begin_quantum();
        while let Some(id) = shard.next_room_send() {
            take_send(shard, id);
        }
    }
}

/// One request to the home, and one result for each shard that has members.
#[test]
fn a_publish_crosses_once_to_its_home_and_once_to_each_interested_shard() {
    for interested in 0..4 {
        for members in [1, 100] {
            let mut mesh = Mesh::new(5, interested, members);
            let before = mesh.delivered();
            assert_eq!(mesh.publish(), 1 + interested, "{interested} shards of {members}");
            assert_eq!(mesh.delivered() - before, (interested * members) as u64);
        }
    }
}

/// A member that comes and goes is two requests and one answer, somebody that watches who is there
/// or not; what is told of it crosses to those that watch.
#[test]
fn who_did_not_ask_who_is_there_is_sent_nothing_of_it() {
    const WATCHING: &str = r#"{"presence":true}"#;
    let time = |seconds| Time::default() + Duration::from_secs(seconds);
    let mut mesh = Mesh::new(5, 3, 10);
    let come_and_go = |mesh: &mut Mesh| {
        let before = mesh.sends();
        let member = mesh.enter(1, Opening::default(), "{}");
        let crossed = mesh.settle();
        mesh.shards[1].on_hang_up(member);
        (crossed, mesh.settle(), mesh.sends() - before)
    };
    let unwatched = come_and_go(&mut mesh);
    mesh.enter(0, Opening::default(), WATCHING);
    for seconds in 1..5 {
        mesh.shards.iter_mut().for_each(|shard| shard.on_time(time(seconds)));
        mesh.settle();
    }
    assert_eq!(come_and_go(&mut mesh), unwatched);
    let sends: Vec<u64> = mesh.shards.iter().map(|shard| shard.counters().sends).collect();
    mesh.shards.iter_mut().for_each(|shard| shard.on_time(time(10)));
    assert_eq!(mesh.settle(), 1, "one change for the one shard that watches");
    let told = mesh.shards.iter().zip(sends).map(|(shard, sends)| shard.counters().sends - sends);
    assert_eq!(told.collect::<Vec<_>>(), [1, 0, 0, 0, 0]);
    assert_eq!(mesh.publish(), 1 + 3, "a publish crosses as it does without");
}

/// Compresses every message to one byte in eight: here it counts how often.
#[derive(Debug)]
struct Eighth;

impl Deflater for Eighth {
    fn deflate(&mut self, _: Window, message: &[u8], out: &mut [u8]) -> Option<usize> {
        let len = message.len() / 8;
        out[..len].fill(b'x');
        Some(len)
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

impl Inflater for Eighth {
    fn inflate(
        &mut self,
        _: &[u8],
        _: usize,
        _: usize,
        _: &mut Vec<u8>,
    ) -> Result<(), NotInflated> {
        Err(NotInflated::Corrupt)
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

const CODECS: Codecs = Codecs { deflater: || Box::new(Eighth), inflater: || Box::new(Eighth) };

#[test]
fn a_message_is_compressed_once_whatever_the_number_of_members_and_shards() {
    let data = format!("\"{}\"", "x".repeat(1_000));
    let mut mesh = Mesh::new(4, 4, 10);
    mesh.publish_data(&data);
    mesh.settle();
    assert_eq!(mesh.deflated(), [DeflateCounters::default(); 4], "no member has agreed to it");
    for shard in 0..4 {
        mesh.join(shard, 1_000, Some(Window::Full));
        mesh.join(shard, 10, Some(Window::Small));
    }
    // A shard's messages to itself are taken some at a time.
    for _ in 0..8 {
        mesh.settle();
    }
    let before = mesh.delivered();
    for n in 1..=10 {
        mesh.publish_data(&data);
        mesh.settle();
        let messages: Vec<u64> = mesh.deflated().iter().map(|counters| counters.messages).collect();
        assert_eq!(messages, [0, 0, 0, 2 * n], "once for each window, at the home");
    }
    assert_eq!(mesh.delivered() - before, 10 * 4 * 1_020);
}

#[test]
fn a_delivery_of_a_compressed_message_allocates_nothing() {
    let data = format!("\"{}\"", "x".repeat(1_000));
    let mut mesh = Mesh::new(2, 0, 0);
    for (shard, deflate) in [(0, None), (0, Some(Window::Full)), (1, Some(Window::Small))] {
        mesh.join(shard, 500, deflate);
    }
    let mut allocations = 0;
    for round in 0..WARM_UP as u64 + ROUNDS {
        mesh.publish_data(&data);
        while mesh.carry() > 0 {}
        let flushing = measure(|| mesh.shards.iter_mut().for_each(flush)).count_total;
        allocations += if round < WARM_UP as u64 { 0 } else { flushing };
    }
    assert_eq!(allocations, 0);
}

/// A connection in so many rooms, of which one gets all messages.
struct Reader {
    shard: Shard,
    conn: ConnId,
    busy: RoomName,
}

impl Reader {
    fn new(rooms: usize) -> Reader {
        let mut shard = Shard::new(ShardId::new(0), Config { shards: 1, ..Config::default() });
        let conn = shard.open(Opening::default());
        for room in 0..rooms {
            let text = format!(r#"{{"event":"cast:join","room":"{room}"}}"#);
            let mut frame = Vec::new();
            push_client_frame(&mut frame, Opcode::Text, true, [0; 4], text.as_bytes());
            shard.receive(conn, &mut frame);
            shard.take_loopback(16);
        }
        flush(&mut shard);
        Reader { shard, conn, busy: RoomName::new("0").unwrap() }
    }

    /// What the sends of one message look at, if the socket ends them like this.
    fn looks(&mut self, end: fn(usize) -> SendEnd) -> u64 {
        let before = self.shard.counters().looks;
        let publication = Publication { event: "m".into(), data: "1", echo: true, key: None };
        let message = RoomMessage::event(&publication);
        self.shard.publish(&self.busy, message, None, None).unwrap();
        self.shard.take_loopback(16);
        self.shard.begin_quantum();
        assert_eq!(self.shard.next_room_send(), Some(self.conn));
        let mut bytes = 0;
        self.shard.for_each_iovec(self.conn, |slice| bytes += slice.len());
        self.shard.end_send(self.conn, end(bytes));
        self.shard.on_writable(self.conn);
        flush(&mut self.shard);
        self.shard.counters().looks - before
    }
}

/// Neither the sends that are taken whole nor those that are refused or cut walk the rooms that
/// have no news.
#[test]
fn a_send_looks_at_the_rooms_that_have_news_however_many_there_are() {
    let (mut few, mut many) = (Reader::new(1), Reader::new(128));
    type End = fn(usize) -> SendEnd;
    let ends: [(End, u64); 3] = [
        (|bytes| SendEnd::Taken(bytes), 1),
        (|_| SendEnd::Blocked, 2),
        (|bytes| SendEnd::Taken(bytes - 1), 1),
    ];
    for (end, looks) in ends {
        assert_eq!((few.looks(end), many.looks(end)), (looks, looks));
    }
}

/// What has news in many rooms gets them together, though a send looks at a bounded number of them.
#[test]
fn many_rooms_with_news_share_few_sends() {
    const ROOMS: usize = 128;
    let mut reader = Reader::new(ROOMS);
    let before = reader.shard.counters().clone();
    for room in 0..ROOMS {
        let room = RoomName::new(&room.to_string()).unwrap();
        let publication = Publication { event: "m".into(), data: "1", echo: true, key: None };
        let message = RoomMessage::event(&publication);
        reader.shard.publish(&room, message, None, None).unwrap();
        reader.shard.take_loopback(16);
    }
    flush(&mut reader.shard);
    let after = reader.shard.counters();
    assert_eq!(after.delivered - before.delivered, ROOMS as u64);
    assert_eq!(after.sends - before.sends, 5, "each takes some thirty rooms along");
}

/// A shard with members of one room, where this holds.
fn members_under(policies: &[(&str, RoomPolicy)], members: usize) -> (Shard, RoomName) {
    let mut config = Config { shards: 1, ..Config::default() };
    for (pattern, policy) in policies {
        config.rooms.add(pattern, policy.clone()).unwrap();
    }
    let mut shard = Shard::new(ShardId::new(0), config);
    let room = RoomName::new("r").unwrap();
    for _ in 0..members {
        let mut join = Vec::new();
        let text = br#"{"event":"cast:join","room":"r"}"#;
        push_client_frame(&mut join, Opcode::Text, true, [0; 4], text);
        let member = shard.open(Opening::default());
        shard.receive(member, &mut join);
        shard.take_loopback(16);
    }
    flush(&mut shard);
    (shard, room)
}

fn publish_to(shard: &mut Shard, room: &RoomName) {
    let publication = Publication { event: "m".into(), data: "1", echo: true, key: None };
    shard.publish(room, RoomMessage::event(&publication), None, None).unwrap();
    shard.take_loopback(16);
}

/// Allocations, sends, looks and messages of some publishes, each with the sends that follow.
fn costs_under(policies: &[(&str, RoomPolicy)]) -> [u64; 4] {
    let (mut shard, room) = members_under(policies, 100);
    (0..WARM_UP).for_each(|_| {
        publish_to(&mut shard, &room);
        flush(&mut shard);
    });
    let before = shard.counters().clone();
    let allocations = measure(|| {
        (0..ROUNDS).for_each(|_| {
            publish_to(&mut shard, &room);
            flush(&mut shard);
        });
    });
    let after = shard.counters();
    let [sends, looks] = [after.sends - before.sends, after.looks - before.looks];
    [allocations.count_total, sends, looks, after.delivered - before.delivered]
}

#[test]
fn a_linger_elsewhere_costs_a_publish_and_its_sends_nothing() {
    let linger = RoomPolicy::default().linger(Duration::from_millis(5));
    let (without, elsewhere) = (costs_under(&[]), costs_under(&[("other", linger)]));
    assert_eq!(without, elsewhere);
    assert_eq!(without[1..], [ROUNDS * 100; 3], "a send and a look for each message and member");
}

#[test]
fn messages_that_linger_share_a_send_and_allocate_nothing_more() {
    const MEMBERS: u64 = 100;
    const TOGETHER: u64 = 10;
    let linger = RoomPolicy::default().linger(Duration::from_millis(5));
    let (mut shard, room) = members_under(&[("*", linger)], MEMBERS as usize);
    let mut now = Time::from_nanos(0);
    let mut round = |shard: &mut Shard| {
        (0..TOGETHER).for_each(|_| publish_to(shard, &room));
        assert!(!shard.has_sends(), "they linger");
        now = now + Duration::from_millis(5);
        shard.on_time(now);
        flush(shard);
    };
    (0..WARM_UP).for_each(|_| round(&mut shard));
    let before = shard.counters().clone();
    let allocations = measure(|| (0..ROUNDS).for_each(|_| round(&mut shard))).count_total;
    let after = shard.counters();
    assert_eq!(after.sends - before.sends, ROUNDS * MEMBERS);
    assert_eq!(after.delivered - before.delivered, ROUNDS * MEMBERS * TOGETHER);
    // The entry in the calendar of lingers is one for all of them.
    let most = ROUNDS * (TOGETHER * PER_PUBLISH + 1);
    assert!(allocations <= most, "{allocations} in {ROUNDS} rounds");
}
