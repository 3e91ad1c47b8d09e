//! N real shards, their sockets and rings, and one scheduler.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use corecast_shards::{
    Call, ConnId, Format, MemoryStage, Opening, RoomName, Shard, ShardId, SlowPolicy, Time, Window,
};

use crate::bounds::Touched;
use crate::chance::Chance;
use crate::client::Client;
use crate::count::{Count, Happened};
use crate::deflate;
use crate::faults::Setup;
use crate::history::{Ended, Keeps};
use crate::lies::{Lie, Lying};
use crate::linger::{Batch, Lingers};
use crate::mesh::Mesh;
use crate::model::Model;
use crate::placing::{Newcomer, Travel};
use crate::policies;
use crate::program::Asking;
use crate::quiet::PEACEFUL;
use crate::rates::Meter;
use crate::sends::Begun;
use crate::totals::Places;
use crate::turns::Sleeper;
use crate::view::{Court, View};
use crate::watching::Watching;

pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) chance: Chance,
    pub(crate) step: u64,
    pub(crate) now: Time,
    /// The time that each shard learned last.
    pub(crate) time_at: Vec<Time>,
    pub(crate) shards: Vec<Shard>,
    pub(crate) mesh: Mesh,
    /// Whether each shard sleeps, where they are driven by turns.
    pub(crate) sleepers: Vec<Sleeper>,
    /// The time when it was last asked whether they may.
    pub(crate) slept_until: Time,
    pub(crate) clients: Vec<Client>,
    pub(crate) by_conn: BTreeMap<ConnId, usize>,
    /// Whose each descriptor is; the numbers are reused like the kernel's.
    pub(crate) descriptors: Vec<Option<usize>>,
    pub(crate) open: Vec<usize>,
    pub(crate) begun: Vec<Begun>,
    /// How short memory is as far as all shards were rung for it, and whether it ever was.
    pub(crate) memory_stage: MemoryStage,
    pub(crate) was_short: bool,
    /// How short it was for each shard before it judged last: its timers fire before.
    pub(crate) stage_before: Vec<MemoryStage>,
    /// When it was last so short for each shard that connections are not read.
    pub(crate) unread_until: Vec<Time>,
    /// The step in which each shard ended to be so short.
    pub(crate) unread_in: Vec<u64>,
    pub(crate) was_striking: bool,
    /// Whether a quantum was begun and not finished.
    pub(crate) slicing: Vec<bool>,
    /// Clients whose sockets refused bytes and that may not have caught up since; by shard.
    pub(crate) slow: Vec<BTreeSet<usize>>,
    /// Clients that would have been heard if they had been read, and when.
    pub(crate) excused: Vec<(usize, Time)>,
    /// What is limited over all shards.
    pub(crate) places: Places,
    /// Until when users are revoked.
    pub(crate) revoked: BTreeMap<usize, Time>,
    pub(crate) calls: Vec<Call>,
    pub(crate) asking: Asking,
    pub(crate) watching: Watching,
    /// Draws which publishes have a key, and which.
    pub(crate) key_chance: Chance,
    /// What decides about presence.
    pub(crate) presence_chance: Chance,
    /// What decides about streams of several rooms.
    pub(crate) stream_chance: Chance,
    /// What decides about the rooms that handshakes name.
    pub(crate) named_chance: Chance,
    /// Connections on their way from shard to shard.
    pub(crate) travel: Travel,
    /// Nothing goes wrong any more, and everybody reads.
    pub(crate) peace: bool,
    pub(crate) draining: bool,
    /// Which shards drain, and since when.
    pub(crate) closing: Vec<Option<Time>>,
    /// Which of them read no more.
    pub(crate) stopped: Vec<bool>,
    /// The home of each room, how it was shown last, and which homes handled requests since.
    pub(crate) homes: Vec<usize>,
    pub(crate) touched: Vec<Option<Touched>>,
    pub(crate) handled: Vec<bool>,
    pub(crate) model: Model,
    /// How many members a room had when it answered this client's joins. All joins are seen that
    /// travel between shards.
    pub(crate) members: BTreeMap<(usize, usize), VecDeque<u64>>,
    /// The answer that a caller of this shard must get to its publish, by its token.
    pub(crate) published: BTreeMap<(usize, u64), (u64, u32)>,
    pub(crate) count: Count,
    pub(crate) lying: Lying,
    pub(crate) tracing: bool,
    /// What happens to slow members, by room.
    pub(crate) slow_policies: Vec<SlowPolicy>,
    /// Bytes of its log, by room.
    pub(crate) log_bytes: Vec<usize>,
    /// Whether messages are compressed, by room.
    pub(crate) deflates: Vec<bool>,
    /// What is kept of it, and how it was when it ended last, by room.
    pub(crate) keeps: Vec<Option<Keeps>>,
    pub(crate) ended: Vec<Option<Ended>>,
    /// How long its messages linger, by room, and what lingers, by shard and room.
    pub(crate) lingers: Vec<Option<Lingers>>,
    pub(crate) batches: Vec<Vec<Batch>>,
    /// Names of rooms, and the same as JSON.
    pub(crate) names: Vec<RoomName>,
    pub(crate) written: Vec<String>,
}

/// Prints a step when a single seed is replayed.
macro_rules! trace {
    ($world:expr, $($arg:tt)*) => {
        if $world.tracing {
            let seconds = $world.now.as_nanos() as f64 / 1e9;
            println!("{:>6} {seconds:>9.3} {}", $world.step, format_args!($($arg)*));
        }
    };
}
pub(crate) use trace;

impl World {
    pub(crate) fn new(setup: Setup, chance: Chance, lying: Lying, tracing: bool) -> World {
        let shards = usize::from(setup.config.shards);
        // One name needs escaping, one is not ASCII.
        let name = |room: usize| match room {
            1 => "quote\"d".to_owned(),
            2 => "zimmer-ü".to_owned(),
            _ => format!("room-{room}"),
        };
        let name = |room| RoomName::new(&name(room)).expect("legal");
        let names: Vec<RoomName> = (0..setup.rooms).map(name).collect();
        let mut config = setup.config.clone();
        if lying.lie == Lie::MoreBytesLinger {
            config.rooms = policies::of_config(&policies::with_more_bytes(&setup.rules));
        }
        let limits = &setup.config.limits;
        let otherwise = (setup.config.slow, limits.room_log_bytes);
        let policy = |room| policies::of_room(&setup.rules, room, otherwise);
        let policies: Vec<_> = (0..setup.rooms).map(policy).collect();
        World {
            chance,
            step: 0,
            now: Time::default(),
            time_at: vec![Time::default(); shards],
            shards: (0..setup.config.shards)
                .map(|shard| Shard::new(ShardId::new(shard), config.clone()))
                .collect(),
            mesh: Mesh::new(shards, limits.mesh_items, limits.mesh_bytes),
            sleepers: (0..shards).map(|_| Sleeper::default()).collect(),
            slept_until: Time::default(),
            clients: Vec::new(),
            by_conn: BTreeMap::new(),
            descriptors: Vec::new(),
            open: Vec::new(),
            begun: Vec::new(),
            memory_stage: MemoryStage::Plenty,
            was_short: false,
            stage_before: vec![MemoryStage::Plenty; shards],
            unread_until: vec![Time::default(); shards],
            unread_in: vec![0; shards],
            was_striking: false,
            slicing: vec![false; shards],
            slow: vec![BTreeSet::new(); shards],
            excused: Vec::new(),
            places: Places::new(shards),
            revoked: BTreeMap::new(),
            calls: Vec::new(),
            asking: Asking::default(),
            watching: Watching::default(),
            key_chance: Chance::new(setup.config.seed as u64 ^ 1),
            presence_chance: Chance::new(setup.config.seed as u64 ^ 3),
            stream_chance: Chance::new(setup.config.seed as u64 ^ 2),
            named_chance: Chance::new(setup.config.seed as u64 ^ 4),
            travel: Travel::new(shards),
            peace: false,
            draining: false,
            closing: vec![None; shards],
            stopped: vec![false; shards],
            homes: names.iter().map(|name| setup.config.home(name).index()).collect(),
            touched: vec![None; names.len()],
            handled: vec![false; shards],
            model: Model::new(setup.streams > 0.0, setup.deflate > 0.0),
            members: BTreeMap::new(),
            published: BTreeMap::new(),
            count: Count::new(),
            lying,
            tracing,
            written: names
                .iter()
                .map(|name| serde_json::Value::from(name.as_str()).to_string())
                .collect(),
            slow_policies: policies.iter().map(|(slow, _)| *slow).collect(),
            keeps: World::keeps(&setup),
            ended: vec![None; names.len()],
            lingers: (0..setup.rooms).map(|room| policies::lingers(&setup.rules, room)).collect(),
            batches: vec![vec![Batch::default(); names.len()]; shards],
            deflates: (0..setup.rooms).map(|room| policies::deflates(&setup.rules, room)).collect(),
            log_bytes: policies.iter().map(|(_, log_bytes)| *log_bytes).collect(),
            names,
            setup,
        }
    }

    /// The whole of one seed.
    pub(crate) fn run(&mut self) {
        for shard in 0..self.shards.len() {
            self.tell_rooms(shard);
            self.ring(shard);
        }
        while self.step < self.setup.steps {
            self.step();
            if self.step.is_multiple_of(500) {
                self.note_formats();
            }
        }
        match self.setup.drains {
            true => self.drain(),
            false => self.end_in_peace(),
        }
        self.count_shed();
        self.check_travel();
        self.end_in_midst();
    }

    pub(crate) fn step(&mut self) {
        self.step += 1;
        if self.setup.by_turns {
            return self.step_by_turns();
        }
        let shard = self.chance.below(self.shards.len());
        self.clock(shard);
        let pace = &self.setup.pace;
        let weights = [
            pace.client,
            pace.receive,
            pace.mesh,
            pace.send,
            pace.read,
            pace.program,
            pace.time,
            pace.connect,
        ];
        match self.chance.weighted(&weights) {
            0 => self.act(shard),
            1 => self.receive_some(shard),
            2 => self.move_messages(shard),
            3 => self.send_some(shard),
            4 => self.read_some(shard),
            5 => self.program(shard),
            6 => self.pass_time(),
            _ => self.connect(shard),
        }
        if self.chance.happens(self.setup.faults.late_pull) {
            self.count.add(Happened::LatePull);
        } else {
            self.pull(shard);
            self.note_who_caught_up(shard);
            self.check_due(shard, self.time_at[shard]);
        }
        self.check_shard(shard);
    }

    /// What must hold of a shard after every step.
    pub(crate) fn check_shard(&mut self, shard: usize) {
        self.check_rooms(shard);
        self.check_totals(shard);
        self.note_members(shard);
        self.note_histories(shard);
        self.note_lingers(shard);
        #[cfg(debug_assertions)]
        self.shards[shard].check();
    }

    fn clock(&mut self, shard: usize) {
        if self.chance.happens(self.setup.faults.late_clock) {
            self.count.add(Happened::OneClockBehind);
            return;
        }
        self.tell_time(shard);
    }

    pub(crate) fn tell_time(&mut self, shard: usize) {
        self.note_ends(shard);
        self.pass_time_of_rates(shard);
        self.pass_time_of_messages(shard);
        self.note_lingers(shard);
        let told = self.lie_about_time(shard);
        self.time_at[shard] = self.now;
        self.note_unread(shard);
        self.tell_memory(shard);
        self.tell_totals(shard);
        let (gives_way, evicted) = (self.histories_give_way(), self.evicted(shard));
        if let Some(told) = told {
            self.shards[shard].on_time(told);
        }
        self.note_lingers(shard);
        let gave_way = if gives_way { self.evicted(shard) - evicted } else { 0 };
        self.count.add_many(gave_way, Happened::HistoryGaveWay);
        self.note_memory(shard);
        self.note_timed_out(shard);
        self.note_ends(shard);
        let deadline = self.shards[shard].next_deadline();
        assert!(deadline.is_none_or(|deadline| deadline > self.now), "what is due is done");
    }

    pub(crate) fn pass_time(&mut self) {
        let millis = match self.chance.happens(self.setup.faults.jump) {
            true => self.chance.within(500, 12_000),
            false => self.chance.skewed(200),
        };
        self.now = self.now + Duration::from_millis(millis as u64);
        self.model.now = self.now;
        trace!(self, "{millis} ms pass");
    }

    pub(crate) fn connect(&mut self, shard: usize) {
        if self.shards[shard].memory_stage() >= MemoryStage::Refusing {
            return self.count.add(Happened::MemoryRefusedConnection);
        }
        for _ in 0..3 {
            if self.open.len() + self.travel.count() < self.setup.connections {
                self.accept(shard);
            }
        }
    }

    pub(crate) fn open_one(&mut self, shard: usize, newcomer: Newcomer) {
        let Newcomer { format, rights, deflate, rooms, .. } = newcomer;
        let client = self.clients.len();
        let is_stream = format == Format::Sse;
        let named = if is_stream { Vec::new() } else { rooms.clone() };
        let (conn, stream, known) = match format {
            Format::Sse => {
                let (conn, stream) = self.open_stream(shard, rooms);
                (conn, Some(View::of_stream(client, conn, stream)), None)
            }
            _ => {
                let (opening, known) = self.opening(shard, &rights, format);
                let rooms = named.iter().map(|room| self.names[*room].clone()).collect();
                (self.shards[shard].open(Opening { deflate, rooms, ..opening }), None, known)
            }
        };
        let reused = self.by_conn.keys().any(|id| id.shard == conn.shard && id.slot == conn.slot);
        let in_flight = reused && self.mesh.has_predecessor(conn);
        self.count.add_if(in_flight, Happened::SlotReusedWithMessageInFlight);
        let free = self.descriptors.iter().position(Option::is_none);
        self.count.add_if(free.is_some(), Happened::DescriptorReused);
        let descriptor = free.unwrap_or(self.descriptors.len());
        self.descriptors.resize(self.descriptors.len().max(descriptor + 1), None);
        self.descriptors[descriptor] = Some(client);
        let faults = &self.setup.faults;
        let mut new = Client::new(client, conn, rights, descriptor, faults, &mut self.chance);
        let several = stream.as_ref().and_then(|view| view.stream.as_ref());
        let several = several.is_some_and(|stream| stream.has_positions());
        let format = if several { Format::SseOfRooms } else { format };
        (new.format, new.known) = (format, known);
        new.view.shown_as = Some(new.name());
        new.meter = Meter::new(&self.setup.config.limits);
        new.sealed = self.setup.sealed > 0.0 && self.chance.happens(self.setup.sealed);
        new.commented_at = self.time_at[shard];
        new.view.deflate = deflate;
        if !named.is_empty() {
            // Answers without an id would be taken for those to joins of the program.
            new.view.guided = None;
        }
        if let Some(view) = stream {
            (new.resident, new.view) = (false, view);
        }
        if format == Format::Verbatim {
            // There is no welcome, and only the program joins rooms.
            new.view.welcomed_at = Some(self.step);
            new.view.guided.get_or_insert_default();
        }
        if self.peace {
            new.capacity = PEACEFUL;
        }
        let now = self.time_at[shard];
        (new.heard, new.read_at, new.silent_since) = (now, now, now);
        self.count.add_if(new.silent, Happened::SilentClient);
        self.count.add_if(new.stubborn, Happened::StubbornClient);
        self.clients.push(new);
        self.open.push(client);
        self.hold_stream(client);
        named.into_iter().for_each(|room| self.note_named(client, room));
        self.check_totals(shard);
        assert!(self.by_conn.insert(conn, client).is_none(), "an id is used once");
        trace!(self, "client {client} opens as {conn} on descriptor {descriptor}");
    }

    /// What the client of a new connection reads.
    pub(crate) fn format(&mut self) -> Format {
        let mut happens = |part: f64| part > 0.0 && self.chance.happens(part);
        match happens(self.setup.streams) {
            true => Format::Sse,
            false if happens(self.setup.own_format) => Format::Verbatim,
            false => Format::Native,
        }
    }

    /// The window of a new connection, if its client agrees to compression.
    pub(crate) fn window(&mut self, format: Format) -> Option<Window> {
        let part = self.setup.deflate;
        let agrees = format != Format::Sse && part > 0.0 && self.chance.happens(part);
        agrees.then(|| deflate::some_window(&mut self.chance))
    }

    /// A random open client of this shard, or of any.
    pub(crate) fn some_client(&mut self, shard: Option<usize>) -> Option<usize> {
        for _ in 0..20 {
            if self.open.is_empty() {
                return None;
            }
            let client = self.chance.pick(&self.open);
            if shard.is_none_or(|shard| self.clients[client].shard == shard) {
                return Some(client);
            }
        }
        None
    }

    /// What a client's socket took goes before the judge.
    pub(crate) fn deliver(&mut self, client: usize, bytes: &[u8]) {
        self.count_input(client, None);
        let chunks_dropped = self.chunks_dropped();
        self.model.now = self.now;
        let shard = self.clients[client].shard;
        let is_unread = self.shards[shard].memory_stage() >= MemoryStage::Unread;
        let mut court = Court {
            model: &mut self.model,
            count: &mut self.count,
            rooms: &self.written,
            slow: &self.slow_policies,
            deflate: &self.deflates,
            keeps: &self.keeps,
            scarce: self.setup.config.limits.history_memory != usize::MAX
                || self.setup.config.limits.memory_bytes != usize::MAX,
            deflate_min: self.setup.config.limits.deflate_min,
            deflates_all: self.setup.config.tuning.deflated_bytes == usize::MAX,
            step: self.step,
            places: &self.places,
            homes: &self.homes,
            shard,
            log_bytes: &self.log_bytes,
            chunks_dropped,
            was_short: self.was_short,
            unread_in: if is_unread { u64::MAX } else { self.unread_in[shard] },
            members: &mut self.members,
            home_times: &self.time_at,
            presence_interval: self.setup.config.limits.presence_interval,
        };
        let player = &mut self.clients[client];
        player.view.slow = self.slow[player.shard].contains(&client);
        player.view.timed_out = player.timed_out;
        let before = (player.view.pings_seen, player.view.welcomed_at);
        player.view.take(bytes, &mut court);
        let refreshed = std::mem::take(&mut player.view.refreshed);
        if let Some(known) = &mut player.known {
            (0..refreshed).for_each(|_| known.note_refreshed());
        }
        if before != (player.view.pings_seen, player.view.welcomed_at) {
            player.commented_at = self.time_at[player.shard];
        }
    }

    /// A connection is slow from the moment its socket refuses bytes until it has caught up: when
    /// its shard has nothing to send, every writable connection has. To be called when the shard's
    /// outputs are pulled, so that a connection that has not caught up in time has parted.
    pub(crate) fn note_who_caught_up(&mut self, shard: usize) {
        if self.slow[shard].is_empty() || self.shards[shard].has_sends() {
            return;
        }
        let (clients, begun) = (&mut self.clients, &self.begun);
        self.slow[shard].retain(|client| {
            let begun = || begun.iter().any(|send| send.client == *client);
            let stays = clients[*client].refusing || clients[*client].is_held() || begun();
            clients[*client].timed_out &= stays;
            stays
        });
    }
}
