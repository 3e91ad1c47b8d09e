//! What goes wrong, how often, and in which world.

use std::time::Duration;

use corecast_shards::{Config, Limits, SlowPolicy, Tuning};

use crate::chance::Chance;
use crate::history::Keeps;
use crate::keys;
use crate::linger;
use crate::named;
use crate::policies::{self, Rule};
use crate::presence;
use crate::rates;
use crate::runs::CODECS;
use crate::turns::Budgets;

/// Every fault is a probability, of one occasion for it.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// The socket takes a part of a send though it has room for all of it.
    pub(crate) short_write: f64,
    /// The socket takes nothing of a send though it has room.
    pub(crate) refuse: f64,
    /// The socket fails during a send.
    pub(crate) fail: f64,
    /// A client disappears when it is its turn: half with an end of stream, half with a reset.
    pub(crate) hang_up: f64,
    /// A client closes in order.
    pub(crate) close: f64,
    /// A client breaks a rule that it is closed for.
    pub(crate) sin: f64,
    /// A client stops reading for a while.
    pub(crate) stall: f64,
    /// A connection has a small send buffer in the kernel.
    pub(crate) narrow: f64,
    /// A client never answers pings.
    pub(crate) silent: f64,
    /// A client ignores close frames.
    pub(crate) stubborn: f64,
    /// A client's bytes are cut anywhere.
    pub(crate) split: f64,
    /// An event of a connection that has ended is reported once more.
    pub(crate) stale: f64,
    /// Writability is reported though nothing waited for it.
    pub(crate) spurious: f64,
    /// Outputs stay with the shard for a while.
    pub(crate) late_pull: f64,
    /// A shard does not learn the time.
    pub(crate) late_clock: f64,
    /// A ring's capacity is not reported at once.
    pub(crate) late_room: f64,
    /// A quantum is left before it is over.
    pub(crate) cut_slice: f64,
    /// A program throws a connection out.
    pub(crate) kick: f64,
    /// A connection may not give one kind of command, or the program is asked about each.
    pub(crate) restrict: f64,
    /// A message is larger than what the engine copies.
    pub(crate) large: f64,
    /// Time jumps by seconds.
    pub(crate) jump: f64,
}

/// How likely each kind of step is, against the others.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    pub(crate) client: usize,
    pub(crate) receive: usize,
    pub(crate) mesh: usize,
    pub(crate) send: usize,
    pub(crate) read: usize,
    pub(crate) program: usize,
    pub(crate) time: usize,
    pub(crate) connect: usize,
}

/// Everything that is decided before the first step.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) steps: u64,
    pub(crate) connections: usize,
    pub(crate) rooms: usize,
    pub(crate) config: Config,
    /// What holds in rooms of certain names.
    pub(crate) rules: Vec<Rule>,
    /// Commands that a client sends at once, and bytes that it leaves unsent, at most.
    pub(crate) burst: usize,
    pub(crate) unsent_max: usize,
    /// Bytes of one read.
    pub(crate) read_bytes: usize,
    /// The program publishes messages in a format of its own, too.
    pub(crate) verbatim: bool,
    /// How many of the connections are event streams, and how many of the others have a text format
    /// of the program's own.
    pub(crate) streams: f64,
    pub(crate) own_format: f64,
    /// How many of the others agree to compression.
    pub(crate) deflate: f64,
    /// How many of the connections are not anonymous.
    pub(crate) known: f64,
    /// How many of the publishes have a key.
    pub(crate) keys: f64,
    /// How many of the joins ask who is there.
    pub(crate) presence: f64,
    /// How many of the handshakes name rooms.
    pub(crate) named: f64,
    /// How many of the connections are sealed below the shard.
    pub(crate) sealed: f64,
    pub(crate) faults: Faults,
    pub(crate) pace: Pace,
    /// Shards are driven as the runtime does it, and sleep unless they ask for something.
    pub(crate) by_turns: bool,
    pub(crate) budgets: Budgets,
    /// Ends with the server's drain instead of in peace.
    pub(crate) drains: bool,
    pub(crate) drains_in_peace: bool,
}

impl Setup {
    /// A world that differs from seed to seed in every respect.
    pub(crate) fn drawn(chance: &mut Chance) -> Setup {
        let faults = Faults::drawn(chance);
        let pace = Pace::drawn(chance);
        let shards = chance.within(1, 8) as u16;
        let slow = chance.pick(&[SlowPolicy::Disconnect, SlowPolicy::Skip, SlowPolicy::Latest]);
        let seed = u128::from(chance.next()) << 64 | u128::from(chance.next());
        let mut config = Config { shards, seed, slow, ..Config::default() };
        config.hooks.events = ["app".into()].into();
        config.hooks.connect = chance.happens(0.2);
        config.limits = limits(chance);
        config.limits.memory_bytes = memory_bytes(seed);
        limit_in_all(&mut config.limits, seed);
        config.tuning = tuning(chance);
        let all_own = chance.happens(0.1);
        let bits = seed as usize;
        let streams = [0.0, 0.0, 0.1, 0.3, 0.6][bits % 5];
        let own_format = if all_own { 1.0 } else { [0.0, 0.0, 0.3][bits / 5 % 3] };
        let sealed = [0.0, 0.0, 0.5, 1.0][bits / 180 % 4];
        config.codecs = Some(CODECS);
        config.tuning.inflated_bytes = [1, 300, 5_000, 256 << 10][bits / 8_640 % 4];
        config.tuning.deflated_bytes = [usize::MAX, usize::MAX, 1_000][bits / 34_560 % 3];
        config.limits.deflate_min = [0, 100, 256][bits / 2_880 % 3];
        config.hooks.members = (bits / 103_680).is_multiple_of(2);
        config.hooks.occupancy = (bits / 207_360).is_multiple_of(2);
        config.hooks.binary = chance.happens(0.3);
        config.hooks.refresh = !(bits / 45).is_multiple_of(4);
        rates::limit(&mut config.limits, &mut config.hooks.refresh, seed);
        let rooms = if chance.happens(0.15) { 40 } else { 10 };
        config.limits.rooms_per_connection = match rooms {
            40 => chance.within(6, 40),
            _ => chance.within(1, 6),
        };
        // What else differs from seed to seed stays as it is.
        let mut others = Chance::new(seed as u64);
        let rules = if others.happens(0.3) { others.within(1, 3) } else { 0 };
        let mut rules: Vec<Rule> = (0..rules).map(|_| Rule::drawn(&mut others)).collect();
        if others.happens(0.5) {
            rules.push(Rule::keeping(Keeps::drawn(&mut others)));
        }
        config.limits.history_memory = others.pick(&[usize::MAX, usize::MAX, 0, 2 << 10, 20 << 10]);
        config.limits.history_meta_for = Duration::from_secs(others.within(0, 100) as u64);
        if others.happens(0.7) {
            let block_bytes = [1, 100, 512, 4 << 10];
            config.tuning.small_block_bytes = others.pick(&block_bytes[..3]);
            config.tuning.large_block_bytes = others.pick(&[1, 300, 4 << 10, 64 << 10]);
            config.tuning.grown_block_bytes = block_bytes[(seed >> 104) as usize % 4];
            config.tuning.replay_bytes = others.pick(&[1, 300, 4 << 10, 1 << 20]);
            config.tuning.events_ahead_bytes = others.pick(&[1, 300, 16 << 10]);
        }
        config.tuning.replay_send_bytes = [1, 300, 4 << 10, 64 << 10][bits / 414_720 % 4];
        if (bits / 1_658_880).is_multiple_of(8) {
            // Clients that come back wait for long, while little fits the logs.
            rules.push(Rule::keeping(Keeps::MUCH));
            (config.tuning.replay_bytes, config.tuning.replay_send_bytes) = (1, 1);
            config.tuning.events_ahead_bytes = 1;
            (config.tuning.small_block_bytes, config.tuning.large_block_bytes) = (1, 1);
            config.limits.room_log_bytes = 1 << 10;
        }
        linger::draw(&mut rules, seed);
        config.tuning.ends_per_turn = [1, 3, 256, 256][(seed >> 96) as usize % 4];
        config.rooms = policies::of_config(&rules);
        let keys = keys::drawn(&mut config.limits, &mut others);
        let presence = presence::drawn(&mut config.limits, &mut config.tuning, seed);
        let pipelines = chance.happens(0.2);
        let read_bytes = chance.pick(&[64 << 10, 64 << 10, 64 << 10, 3 << 10, 300]);
        Setup {
            steps: 1_000 + chance.skewed(8_000) as u64,
            connections: 10 + chance.skewed(150),
            rooms: chance.within(1, rooms),
            config,
            rules,
            burst: if pipelines { chance.within(2, 100) } else { 1 },
            unsent_max: if pipelines { 4 * read_bytes } else { 4 << 10 },
            read_bytes,
            verbatim: chance.happens(0.2),
            streams,
            own_format,
            deflate: [0.0, 0.0, 0.3, 0.7][bits / 720 % 4],
            known: [0.0, 0.3, 0.8][bits / 15 % 3],
            keys,
            presence,
            named: named::drawn(seed),
            sealed,
            faults,
            pace,
            by_turns: chance.happens(0.4),
            budgets: Budgets::drawn(chance),
            drains: chance.happens(0.25),
            drains_in_peace: chance.happens(0.3),
        }
    }

    /// A world in which nothing goes wrong but what the harness lies about, so that every lie
    /// changes what a client that is still there sees.
    pub(crate) fn honest(chance: &mut Chance) -> Setup {
        let mut setup = Setup::drawn(chance);
        setup.faults = Faults::none();
        setup.config.shards = chance.within(2, 6) as u16;
        setup.config.slow = SlowPolicy::Disconnect;
        setup.rules.clear();
        setup.config.rooms = policies::of_config(&setup.rules);
        (setup.config.hooks.connect, setup.own_format, setup.streams) = (false, 0.0, 0.0);
        (setup.drains, setup.known, setup.deflate) = (false, 0.0, 0.0);
        (setup.sealed, setup.presence, setup.named) = (0.0, 0.0, 0.0);
        let limits = &mut setup.config.limits;
        let never = Duration::from_secs(1 << 30);
        (limits.slow_timeout, limits.ping_interval, limits.room_linger) = (never, never, never);
        limits.message_timeout = never;
        (limits.total_rooms, limits.memberships) = (usize::MAX, usize::MAX);
        (limits.room_log_bytes, limits.own_bytes) = (16 << 20, 1 << 20);
        limits.memory_bytes = usize::MAX;
        (limits.history_memory, limits.history_meta_for) = (usize::MAX, never);
        rates::lift(limits);
        keys::keep(&mut setup);
        setup
    }

    /// Every room keeps everything.
    pub(crate) fn keep_everything(&mut self) {
        self.rules = vec![Rule::keeping(Keeps::MUCH)];
        self.config.rooms = policies::of_config(&self.rules);
    }
}

/// Small figures of the engine's own, so that whatever they cut is cut everywhere.
fn tuning(chance: &mut Chance) -> Tuning {
    let mut tuning = Tuning::default();
    if chance.happens(0.3) {
        return tuning;
    }
    tuning.quantum_sends = chance.pick(&[1, 3, 8, 64]);
    tuning.quantum_members = chance.pick(&[3, 16, 4096]);
    tuning.quantum_bytes = chance.pick(&[1, 300, 4 << 10, 1 << 20]);
    tuning.send_bytes = chance.pick(&[1, 300, 4 << 10, 512 << 10]);
    tuning.send_iovecs = chance.pick(&[4, 5, 8, 256]);
    tuning.rooms_along = chance.pick(&[0, 1, 3, 32]);
    tuning.copy_bytes = chance.pick(&[3, 100, 1 << 10, 16 << 10]);
    tuning.small_chunk_bytes = chance.pick(&[3, 200, 4 << 10]);
    tuning.large_chunk_bytes = tuning.copy_bytes * chance.within(1, 8);
    tuning.pool_bytes = chance.pick(&[0, 4 << 10, 1 << 20]);
    tuning.log_messages = chance.within(1, 4) as u64;
    tuning
}

/// In a quarter of the worlds memory is short sooner or later, in some of them from the start.
fn memory_bytes(seed: u128) -> usize {
    let bits = (seed >> 64) as usize;
    match bits % 4 {
        0 => [60, 90, 120, 150, 300][bits / 4 % 5] << 10,
        _ => usize::MAX,
    }
}

/// In some worlds all shards together have few rooms, or few memberships.
fn limit_in_all(limits: &mut Limits, seed: u128) {
    if limits.memory_bytes != usize::MAX {
        return;
    }
    if (seed >> 16).is_multiple_of(10) {
        limits.total_rooms = 1 + (seed >> 24) as usize % 8;
    }
    if (seed >> 32).is_multiple_of(10) {
        limits.memberships = 4 + (seed >> 40) as usize % 56;
    }
}

/// Small limits, so that they are reached.
fn limits(chance: &mut Chance) -> Limits {
    let mut limits = Limits::default();
    let secs =
        |chance: &mut Chance, low, high| Duration::from_secs(chance.within(low, high) as u64);
    limits.message_bytes = 64 << 10;
    limits.room_log_bytes = chance.pick(&[1 << 10, 4 << 10, 12 << 10, 40 << 10, 200 << 10]);
    limits.own_bytes = chance.pick(&[2 << 10, 8 << 10, 64 << 10]);
    limits.slow_timeout = secs(chance, 1, 10);
    limits.ping_interval = secs(chance, 5, 25);
    limits.ping_timeout = secs(chance, 2, 20);
    limits.close_timeout = secs(chance, 1, 5);
    limits.message_timeout = secs(chance, 2, 20);
    limits.room_linger = secs(chance, 1, 60);
    limits.lingering_rooms = chance.pick(&[0, 1, 8, 1000]);
    limits.mesh_items = if chance.happens(0.8) { chance.within(1, 8) } else { 1_024 };
    limits.mesh_bytes = chance.pick(&[200, 1 << 10, 8 << 10, 256 << 10]);
    if chance.happens(0.1) {
        limits.ping_interval = Duration::ZERO;
    }
    if chance.happens(0.1) {
        limits.message_timeout = Duration::ZERO;
    }
    limits
}

impl Faults {
    /// Some faults are absent in a seed, some rare and some frequent: a mixture of everything
    /// would hide what only a single one brings out.
    fn drawn(chance: &mut Chance) -> Faults {
        let mut drawn = |high: f64| match chance.below(3) {
            0 => 0.0,
            1 => high / 10.0,
            _ => high,
        };
        Faults {
            short_write: drawn(0.3),
            refuse: drawn(0.2),
            fail: drawn(0.005),
            hang_up: drawn(0.03),
            close: drawn(0.02),
            sin: drawn(0.015),
            stall: drawn(0.05),
            narrow: drawn(0.5),
            silent: drawn(0.1),
            stubborn: drawn(0.5),
            split: drawn(0.8),
            stale: drawn(0.1),
            spurious: drawn(0.1),
            late_pull: drawn(0.3),
            late_clock: drawn(0.3),
            late_room: drawn(0.5),
            cut_slice: drawn(0.5),
            kick: drawn(0.03),
            restrict: drawn(0.2),
            large: drawn(0.03),
            jump: drawn(0.1),
        }
    }

    /// A world without faults.
    pub(crate) fn none() -> Faults {
        Faults {
            short_write: 0.0,
            refuse: 0.0,
            fail: 0.0,
            hang_up: 0.0,
            close: 0.0,
            sin: 0.0,
            stall: 0.0,
            narrow: 0.0,
            silent: 0.0,
            stubborn: 0.0,
            split: 0.0,
            stale: 0.0,
            spurious: 0.0,
            late_pull: 0.0,
            late_clock: 0.0,
            late_room: 0.0,
            cut_slice: 0.0,
            kick: 0.0,
            restrict: 0.0,
            large: 0.0,
            jump: 0.0,
        }
    }
}

impl Pace {
    fn drawn(chance: &mut Chance) -> Pace {
        let mut drawn = |usual: usize| match chance.below(4) {
            0 => usual / 4 + 1,
            1 | 2 => usual,
            _ => usual * 2,
        };
        Pace {
            client: drawn(24),
            receive: drawn(24),
            mesh: drawn(24),
            send: drawn(24),
            read: drawn(16),
            program: drawn(5),
            time: drawn(6),
            connect: drawn(5),
        }
    }
}

impl Budgets {
    /// Those of the runtime, or much smaller ones.
    fn drawn(chance: &mut Chance) -> Budgets {
        let mut drawn = |usual: usize| match chance.below(3) {
            0 => usual,
            1 => chance.within(1, 4),
            _ => chance.skewed(usual),
        };
        Budgets {
            requests: drawn(64),
            outcomes: drawn(256),
            reads: drawn(64),
            own_messages: drawn(256),
            own_sends: drawn(64),
            batch: drawn(64),
        }
    }
}
