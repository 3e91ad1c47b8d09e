//! What small rooms take of memory: by arithmetic, as shards count it, and as it is allocated.

#![allow(clippy::unwrap_used)]

use allocation_counter::measure;
use corecast_benches::micro::take_send;
use corecast_shards::wire::{Opcode, push_client_frame};
use corecast_shards::{
    Capacity, Config, ConnId, Opening, RoomName, Shard, ShardId, room_bytes_at_home,
    room_bytes_with_members,
};

/// More than any room here has members on; the table has the first three.
const SHARDS: usize = 5;

/// Names are `room-000000` and so on.
const NAME: usize = 11;

const PLENTY: Capacity = Capacity { items: 1 << 10, bytes: 1 << 20 };

/// Where the members of each room are, of which shard 0 is the home; and how many bytes a room takes:
/// with 6,700 of them, as each shard counts it, and allocated on all together, just before lists grow
/// by an eighth; with 7,600 allocated, where they have just grown and their indices have just doubled.
const ROWS: &[(&[usize], [usize; 3], [usize; 2])] = &[
    (&[0, 0, 0], [660, 0, 0], [559, 612]),
    (&[1, 1, 1], [222, 438, 0], [559, 612]),
    (&[0, 1, 1], [628, 406, 0], [894, 984]),
    (&[0, 1, 2], [644, 374, 374], [1_229, 1_357]),
];

/// The room of everybody is in the tables already, and makes this difference.
const EVERYBODY: usize = 256;

/// Shards with so many rooms whose home is the first, and connections that are to be their members.
struct Rooms {
    shards: Vec<Shard>,
    joins: Vec<(usize, ConnId, String)>,
}

impl Rooms {
    fn new(rooms: usize, members: &[usize]) -> Rooms {
        let config = Config { shards: SHARDS as u16, ..Config::default() };
        let ids = (0..SHARDS as u16).map(ShardId::new);
        let mut shards: Vec<Shard> = ids.map(|id| Shard::new(id, config.clone())).collect();
        let names = (0..).map(|n| format!("room-{n:06}"));
        let is_near = |name: &String| config.home(&RoomName::new(name).unwrap()).index() == 0;
        let mut joins = Vec::new();
        for name in names.filter(is_near).take(rooms) {
            assert_eq!(name.len(), NAME);
            for shard in members {
                let conn = shards[*shard].open(Opening::default());
                joins.push((*shard, conn, name.clone()));
            }
        }
        let mut all = Rooms { shards, joins };
        all.settle();
        all
    }

    /// Bytes of rooms, by shard.
    fn counted(&self) -> Vec<usize> {
        self.shards.iter().map(|shard| shard.stats().memory.rooms).collect()
    }

    fn join(&mut self) {
        let joins = std::mem::take(&mut self.joins);
        for (shard, conn, name) in &joins {
            let text = format!(r#"{{"event":"cast:join","room":"{name}"}}"#);
            let mut frame = Vec::new();
            push_client_frame(&mut frame, Opcode::Text, true, [0; 4], text.as_bytes());
            self.shards[*shard].receive(*conn, &mut frame);
            self.settle();
        }
        self.joins = joins;
    }

    fn settle(&mut self) {
        while self.carry() {}
        self.shards.iter_mut().for_each(flush);
    }

    /// Carries what waits for other shards to these. Returns whether there was anything.
    fn carry(&mut self) -> bool {
        let mut carried = false;
        for (from, to) in (0..SHARDS * SHARDS).map(|pair| (pair / SHARDS, pair % SHARDS)) {
            let (from_id, to_id) = (self.shards[from].id(), self.shards[to].id());
            if from == to {
                carried |= self.shards[from].has_loopback();
                self.shards[from].take_loopback(1 << 10);
                continue;
            }
            self.shards[from].on_to_home_capacity(to_id, PLENTY);
            self.shards[from].on_from_home_capacity(to_id, PLENTY);
            while let Some(request) = self.shards[from].next_to_home(to_id) {
                self.shards[to].on_to_home(from_id, request);
                carried = true;
            }
            while let Some(outcome) = self.shards[from].next_from_home(to_id) {
                self.shards[to].on_from_home(outcome);
                carried = true;
            }
        }
        carried
    }
}

fn flush(shard: &mut Shard) {
    while let Some(id) = shard.next_direct_send() {
        take_send(shard, id);
    }
}

/// The same by arithmetic, by shard.
fn computed(rooms: usize, members: &[usize]) -> Vec<usize> {
    let on = |shard| members.iter().filter(|member| **member == shard).count();
    let parts = (0..SHARDS).filter(|shard| on(*shard) > 0).count();
    let everybody = Config { shards: SHARDS as u16, ..Config::default() };
    let everybody = usize::from(everybody.home(&RoomName::everybody()).index() == 0);
    let at_home = |rooms| room_bytes_at_home(rooms, NAME, parts);
    let part = |shard| {
        let home = if shard == 0 { at_home(rooms + everybody) - at_home(everybody) } else { 0 };
        let rooms_here = if on(shard) > 0 { rooms } else { 0 };
        home + room_bytes_with_members(rooms_here, NAME, on(shard))
            - room_bytes_with_members(0, NAME, 0)
    };
    (0..SHARDS).map(part).collect()
}

/// What the rooms take by shard, as these count it, and what was allocated for them.
fn measured(rooms: usize, members: &[usize]) -> (Vec<usize>, usize) {
    let mut all = Rooms::new(rooms, members);
    let before = all.counted();
    let allocated = measure(|| all.join()).bytes_current;
    let counted = all.counted().iter().zip(before).map(|(after, before)| after - before).collect();
    (counted, usize::try_from(allocated).unwrap())
}

fn agrees(rooms: usize, members: &[usize]) -> (Vec<usize>, usize) {
    let (counted, allocated) = measured(rooms, members);
    let what = format!("{rooms} rooms with members on {members:?}: {counted:?}");
    for (counted, computed) in counted.iter().zip(computed(rooms, members)) {
        assert!(counted.abs_diff(computed) <= EVERYBODY, "{what}, computed {computed}");
    }
    let sum: usize = counted.iter().sum();
    let fits = sum * 3 / 4..=sum;
    assert!(fits.contains(&allocated), "{what}: {allocated} of {sum} allocated");
    (counted.iter().map(|bytes| bytes / rooms).collect(), allocated / rooms)
}

#[test]
fn rooms_take_what_they_take_by_arithmetic() {
    for (members, ..) in ROWS {
        for rooms in [1_000, 1_500, 3_256, 3_583, 3_584, 3_585, 3_679, 3_680] {
            agrees(rooms, members);
        }
    }
    // Lists that are longer than what each entry is added to alone.
    agrees(1_000, &[0, 1, 1, 1, 1, 1, 2]);
    agrees(1_000, &[0, 1, 2, 3, 4]);
}

#[test]
fn the_page_says_what_rooms_take() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    for (members, by_shard, [just_before, just_after]) in ROWS {
        let (each, before) = agrees(6_700, members);
        let (_, after) = agrees(7_600, members);
        let expected = (&by_shard[..], *just_before, *just_after);
        assert_eq!((&each[..3], before, after), expected, "{members:?}");
        let on = |shard| members.iter().filter(|member| **member == shard).count();
        let parts = (0..3).filter(|shard| *shard == 0 || on(*shard) > 0).count();
        let (members, [home, one, two]) = ([on(0), on(1), on(2)].map(|n| n.to_string()), by_shard);
        let members = members.join(", ");
        let (least, most) = (before / parts, after / parts);
        let row = format!(
            "| {members} | {home} B | {one} B | {two} B | {before} … {after} B | {least} … {most} B |\n"
        );
        assert!(page.contains(&row), "benches/README.md has no row {row}");
    }
}
