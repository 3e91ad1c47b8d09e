//! The process dies at any step, and in the middle of any write to a journal: what clients saw, and
//! what they were promised, is what the next process goes on with.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use corecast_shards::{
    Answer, Config, JOURNAL_HEAD_BYTES, JournalFile, JournalRefusal, JournalStore, JournalTag,
    KeptRoom, Query, Recovery, RoomHistory, RoomMessage, RoomName, Shard, ShardId, Time,
    unite_rooms,
};

use crate::chance::Chance;
use crate::faults::Setup;
use crate::history::Keeps;
use crate::lies::{Lie, Lying};
use crate::model::Speaker;
use crate::policies;
use crate::wire::member;
use crate::world::World;

/// The file of one journal, of which only the begin was ever written.
#[derive(Clone, Debug, Default)]
struct Disk(Rc<RefCell<Written>>);

#[derive(Debug, Default)]
struct Written {
    bytes: Vec<u8>,
    /// After so many more bytes the process dies.
    dies_after: Option<usize>,
    /// A lie: from here on nothing is written, though it is said to be.
    forgets: bool,
}

/// What unwinds when the process dies.
struct Died;

impl JournalStore for Disk {
    fn write(&mut self, at: u64, bytes: &[u8]) -> bool {
        let mut written = self.0.borrow_mut();
        if written.forgets {
            return true;
        }
        let some = written.dies_after.map_or(bytes.len(), |after| after.min(bytes.len()));
        let (at, end) = (at as usize, at as usize + some);
        let len = written.bytes.len().max(end);
        written.bytes.resize(len, 0);
        written.bytes[at..end].copy_from_slice(&bytes[..some]);
        if let Some(after) = &mut written.dies_after {
            *after -= some;
            if some < bytes.len() {
                drop(written);
                resume_unwind(Box::new(Died));
            }
        }
        true
    }

    fn give_up(&mut self) {
        panic!("no write fails here");
    }
}

impl Disk {
    fn read(&self, tag: &JournalTag) -> Result<Vec<KeptRoom>, JournalRefusal> {
        let mut bytes = self.0.borrow().bytes.clone();
        bytes.resize((JOURNAL_HEAD_BYTES + tag.capacity) as usize, 0);
        let file = JournalFile::read(&bytes, bytes.len() as u64, tag)?;
        let records = file.places().map(|(at, len)| &bytes[at as usize..at as usize + len]);
        file.rooms(&records.concat())
    }
}

fn tag(set: u64, shard: usize, shards: usize, capacity: u64) -> JournalTag {
    let (shard, shards) = (shard as u16, shards as u16);
    JournalTag { boot: [1; 16], set, shard, shards, file: [2, 3, 4], capacity }
}

/// Shards with a journal each, which go on with these rooms.
struct Process {
    set: u64,
    capacity: u64,
    disks: Vec<Disk>,
}

impl Process {
    fn start(
        config: &Config,
        (set, capacity): (u64, u64),
        rooms: &[KeptRoom],
        now: Time,
    ) -> (Process, Vec<Shard>) {
        let shards = usize::from(config.shards);
        let disks: Vec<_> = (0..shards).map(|_| Disk::default()).collect();
        let start = |(index, disk): (usize, &Disk)| {
            let mut shard = Shard::new(ShardId::new(index as u16), config.clone());
            let is_here = |room: &&KeptRoom| config.home(room.name()).index() == index;
            let rooms: Vec<_> = rooms.iter().filter(is_here).cloned().collect();
            let tag = tag(set, index, shards, capacity);
            shard.begin_journal(&tag, Box::new(disk.clone()), &rooms, now);
            shard.on_time(now);
            shard
        };
        let started = disks.iter().enumerate().map(start).collect();
        (Process { set, capacity, disks }, started)
    }

    /// What each journal has, or why it is refused.
    fn read(&self) -> Vec<Result<Vec<KeptRoom>, JournalRefusal>> {
        let shards = self.disks.len();
        let read =
            |(index, disk): (usize, &Disk)| disk.read(&tag(self.set, index, shards, self.capacity));
        self.disks.iter().enumerate().map(read).collect()
    }
}

/// What must be rare in no run.
#[derive(Debug, Default)]
struct Seen {
    torn: usize,
    refused: usize,
    rooms: usize,
    messages: usize,
    acks: usize,
    again: u64,
    lost: u64,
}

impl Seen {
    fn add(&mut self, other: &Seen) {
        self.torn += other.torn;
        self.refused += other.refused;
        self.rooms += other.rooms;
        self.messages += other.messages;
        self.acks += other.acks;
        self.again += other.again;
        self.lost += other.lost;
    }
}

/// A world whose process dies.
struct Crash {
    world: World,
    process: Process,
    refused: BTreeSet<usize>,
    /// Whether the next process may have to evict what it was asked for just now.
    is_scarce: bool,
    seen: Seen,
}

impl Crash {
    /// Lives up to a random step, and dies there or in the next write.
    fn after(seed: u64, forgets: bool) -> Crash {
        let mut chance = Chance::new(seed);
        let mut setup = Setup::drawn(&mut chance);
        if (0..setup.rooms).all(|room| policies::keeps(&setup.rules, room).is_none()) {
            setup.rules.insert(0, policies::Rule::keeping(Keeps::drawn(&mut chance)));
            setup.config.rooms = policies::of_config(&setup.rules);
        }
        let capacity = chance.pick(&[1, 8, 8, 64, 1_024, 1_024]) << 10;
        let died_at = chance.below(setup.steps as usize) as u64;
        let now = Time::default();
        let (process, shards) = Process::start(&setup.config, (seed, capacity), &[], now);
        let mut world = World::new(setup, chance, Lying::new(Lie::None, 0), false);
        world.shards = shards;
        for shard in 0..world.shards.len() {
            world.tell_rooms(shard);
            world.ring(shard);
        }
        let forgets_at = if forgets { died_at / 2 } else { u64::MAX };
        while world.step < died_at {
            world.step();
            if world.step == forgets_at {
                process.disks.iter().for_each(|disk| disk.0.borrow_mut().forgets = true);
            }
        }
        let mut crash = Crash {
            world,
            process,
            refused: BTreeSet::new(),
            is_scarce: true,
            seen: Seen::default(),
        };
        crash.die();
        crash
    }

    fn die(&mut self) {
        let Crash { world, process, seen, .. } = self;
        if !world.chance.happens(0.2) {
            for disk in &process.disks {
                let after = [3, 30, 300, 3_000][world.chance.below(4)];
                disk.0.borrow_mut().dies_after = Some(world.chance.below(after));
            }
        }
        for _ in 0..300 {
            let step = catch_unwind(AssertUnwindSafe(|| world.step()));
            if let Err(panic) = step {
                if !panic.is::<Died>() {
                    resume_unwind(panic);
                }
                seen.torn += 1;
                break;
            }
        }
        for shard in &world.shards {
            let counters = shard.stats().counters.history.journal;
            seen.again += counters.bytes_again;
            seen.lost += counters.lost;
        }
    }

    /// What the next process finds, of all journals that are not refused.
    fn read(&mut self) -> Vec<KeptRoom> {
        let mut journals = Vec::new();
        for (index, journal) in self.process.read().into_iter().enumerate() {
            match journal {
                Ok(rooms) => journals.push(rooms),
                Err(reason) => {
                    let is_torn = self.process.disks[index].0.borrow().dies_after == Some(0);
                    assert!(is_torn, "shard {index}: {reason}");
                    let of_page = matches!(reason, JournalRefusal::Ends);
                    assert!(of_page, "shard {index}: {reason} though it ends elsewhere");
                    self.refused.insert(index);
                }
            }
        }
        self.seen.refused += self.refused.len();
        unite_rooms(journals)
    }

    /// Compares all that anybody may know of a room with what goes on.
    fn judge(&mut self, shards: &mut [Shard], config: &Config) {
        for room in 0..self.world.names.len() {
            let name = self.world.names[room].clone();
            let home = config.home(&name).index();
            let before =
                self.world.shards[self.world.homes[room]].answer(Query::Room(name.clone()));
            let Answer::Room(before) = before else { panic!("a room is asked for") };
            let after = history(&mut shards[home], &name, None);
            if let Some(after) = &after {
                self.judge_room(room, after, &mut shards[home]);
            }
            let Some(before) = before.filter(|_| self.world.keeps[room].is_some()) else {
                continue;
            };
            let epoch: Rc<str> = before.epoch.to_string().into();
            let newest = self.world.model.newest(room, &epoch);
            let excused = self.seen.lost > 0 || self.refused.contains(&self.world.homes[room]);
            let went_on = after.as_ref().is_some_and(|after| after.epoch == before.epoch);
            assert!(went_on || newest == 0 || excused, "room {room} was seen and has ended");
            if let Some(after) = after.filter(|_| went_on) {
                assert!(after.offset <= before.offset, "room {room} has what was never said");
                self.judge_acks(room, &after);
            }
        }
    }

    /// What is kept is what was seen, and a recovery from any offset on is complete or refused.
    fn judge_room(&mut self, room: usize, after: &RoomHistory, shard: &mut Shard) {
        let epoch: Rc<str> = after.epoch.to_string().into();
        let newest = self.world.model.newest(room, &epoch);
        assert!(newest <= after.offset, "room {room}: {newest} was seen of {}", after.offset);
        let said = self.messages(room, &epoch, after);
        self.seen.rooms += 1;
        self.seen.messages += said.len();
        let first = said.first_key_value().map_or(after.offset + 1, |(first, _)| *first);
        assert_eq!(said.len() as u64, after.offset + 1 - first, "room {room} has no hole");
        for since in 0..=after.offset + 1 {
            let asked = Some((since, &*epoch));
            let missed = history(shard, &self.world.names[room], asked).expect("it is there");
            let Some(Recovery::Complete) = missed.recovery else {
                let is_kept = since + 1 >= first && since <= after.offset;
                assert!(!is_kept || self.is_scarce, "room {room} since {since}");
                continue;
            };
            let again = self.messages(room, &epoch, &missed);
            assert!(
                again.keys().copied().eq(since + 1..=after.offset),
                "room {room} since {since}"
            );
            assert!(again.iter().all(|(offset, number)| said[offset] == *number), "room {room}");
        }
    }

    /// The numbers of messages by their offsets; each is the one that was seen there, if any was.
    fn messages(&self, room: usize, epoch: &Rc<str>, of: &RoomHistory) -> BTreeMap<u64, usize> {
        let model = &self.world.model;
        let messages = of.messages.iter().map(|kept| {
            let text = str::from_utf8(kept.payload).expect("all messages are texts");
            let is_envelope = text.starts_with(r#"{"event":"m""#);
            let data = if is_envelope { member(text, "data").expect("it has data") } else { text };
            let number = model.recognise(data, room);
            let seen = model.at(room, epoch, kept.offset);
            assert!(seen.is_none_or(|seen| seen == number), "room {room} at {}", kept.offset);
            (kept.offset, number)
        });
        messages.collect()
    }

    /// What was acked in the only life of a room is there.
    fn judge_acks(&mut self, room: usize, after: &RoomHistory) {
        if !self.world.is_first_life() {
            return;
        }
        let epoch: Rc<str> = after.epoch.to_string().into();
        let kept = self.messages(room, &epoch, after);
        let sayings = self.world.model.sayings.iter().enumerate();
        let acked = sayings.filter(|(_, saying)| {
            saying.room == room && matches!(saying.by, Speaker::Client(_)) && saying.keyed.is_none()
        });
        for (number, saying) in acked {
            let Some(offset) = saying.known else { continue };
            assert!(offset <= after.offset, "message {number} was acked in room {room}");
            let there = kept.get(&offset).copied();
            assert!(there.is_none_or(|there| there == number), "{number} in room {room}");
            self.seen.acks += 1;
        }
    }
}

/// What is kept of a room, from its first message on or after an offset of this epoch.
fn history(shard: &mut Shard, room: &RoomName, since: Option<(u64, &str)>) -> Option<RoomHistory> {
    let (since, epoch) = since.unzip();
    let (room, epoch) = (room.clone(), epoch.map(Into::into));
    match shard.answer(Query::History { room, since, epoch, limit: usize::MAX }) {
        Answer::History(history) => history.map(|history| *history),
        _ => panic!("a history is asked for"),
    }
}

/// The epoch and the offsets of each room.
fn ends(
    shards: &mut [Shard],
    config: &Config,
    names: &[RoomName],
) -> Vec<Option<(String, u64, u64)>> {
    let end = |name: &RoomName| {
        let history = history(&mut shards[config.home(name).index()], name, None)?;
        let first = history.offset + 1 - history.messages.messages() as u64;
        Some((history.epoch.to_string(), first, history.offset))
    };
    names.iter().map(end).collect()
}

/// One process dies, the next goes on with another number of shards, dies as well, and so on.
fn run(seed: u64, forgets: bool) -> Seen {
    let mut crash = Crash::after(seed, forgets);
    let found = crash.read();
    let (now, names) = (crash.world.now, crash.world.names.clone());
    let mut config = crash.world.setup.config.clone();
    config.shards = crash.world.chance.within(1, 8) as u16;
    config.seed = u128::from(crash.world.chance.next());
    // None has a member yet, and those that had some must not be too many.
    config.limits.lingering_rooms = 10_000;
    config.limits.memory_bytes = usize::MAX;
    crash.is_scarce = seed.is_multiple_of(3);
    if !crash.is_scarce {
        config.limits.history_memory = usize::MAX;
    }
    let capacity = 1 << 20;
    let (process, mut shards) = Process::start(&config, (1, capacity), &found, now);
    crash.judge(&mut shards, &config);
    let before = ends(&mut shards, &config, &names);
    // Rooms go on at the next offset, and the third process knows that, too.
    let told: Vec<_> = names.iter().map(|name| publish_one(&mut shards, &config, name)).collect();
    let found = process.read().into_iter().map(|journal| journal.expect("it is whole"));
    let found = unite_rooms(found.collect());
    config.seed += 1;
    let (_, mut shards) = Process::start(&config, (2, capacity), &found, now);
    for (name, (before, told)) in names.iter().zip(before.into_iter().zip(told)) {
        let after = history(&mut shards[config.home(name).index()], name, None);
        let after = after.map(|after| (after.epoch.to_string(), after.offset));
        if let (Some((epoch, _, offset)), true) = (before, told) {
            assert_eq!(after, Some((epoch, offset + 1)), "{name} goes on");
        }
    }
    crash.seen
}

/// Publishes to a room through its home alone, up to where a send could carry it. Returns whether the
/// room keeps anything, so that it is to go on.
fn publish_one(shards: &mut [Shard], config: &Config, name: &RoomName) -> bool {
    let home = &mut shards[config.home(name).index()];
    let kept = history(home, name, None).is_some();
    let accepted = home.publish(name, RoomMessage::text("next"), None, None).is_ok();
    while home.has_loopback() {
        home.take_loopback(8);
    }
    (0..config.shards).for_each(|to| while home.next_from_home(ShardId::new(to)).is_some() {});
    kept && accepted
}

/// Worlds of an ordinary run.
const CRASHES: u64 = 1_000;

#[test]
fn a_process_that_dies_at_any_step_loses_nothing_that_was_seen() {
    crate::hush();
    let seeds = crate::variable("CORECAST_SEEDS").map_or(CRASHES, |seeds| seeds.div_ceil(5));
    let seeds = match crate::variable("CORECAST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..seeds,
    };
    let (mut all, mut failed) = (Seen::default(), Vec::new());
    for seed in seeds.clone() {
        match catch_unwind(|| run(seed, false)) {
            Ok(seen) => all.add(&seen),
            Err(_) => failed.push(seed),
        }
        assert!(failed.len() < crate::FAILURES, "replay with CORECAST_SEED: {failed:?}");
    }
    assert!(failed.is_empty(), "replay with CORECAST_SEED: {failed:?}");
    println!("{all:?}");
    if seeds.end - seeds.start >= CRASHES {
        let Seen { torn, refused, rooms, messages, acks, again, lost } = all;
        let enough = [torn, refused * 10, rooms, messages / 10, acks];
        assert!(enough.iter().all(|count| *count > 100), "too rare: {all:?}");
        assert!(again > 0 && lost > 0, "too rare: {all:?}");
    }
}

#[test]
fn a_journal_that_is_not_written_is_noticed() {
    crate::hush();
    let mut noticed = 0;
    for seed in 0..60 {
        crate::QUIET.set(true);
        noticed += usize::from(catch_unwind(|| run(seed, true)).is_err());
        crate::QUIET.set(false);
    }
    assert!(noticed > 5, "{noticed} of 60 lies were noticed");
}
