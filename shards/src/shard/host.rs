//! One shard as the host of connections: what the parts of this folder decide about.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::clients::Clients;
use super::close_texts::CloseTexts;
use super::directory::Directory;
use super::fanout::Fanout;
use super::inflate::Inflation;
use super::outputs::Outputs;
use super::pressure_state::Pressure;
use crate::config::Config;
use crate::connection::inbound::Inbound;
use crate::id::{ConnId, ShardId};
use crate::mesh::{Capacity, FromHome, Outboxes};
use crate::place::Slot;
use crate::rates::Rates;
use crate::rng::Rng;
use crate::room::table::Rooms;
use crate::room_name::{RoomName, SecretHash};
use crate::shard_stats::{Counters, Totals};
use crate::time::Time;
use crate::timers::Timers;
use crate::wait_queue::WaitQueue;

/// The connections of one shard, its part of their rooms, and all that is on its way to or from
/// them.
///
/// Each file beside this one decides one thing about connections, in methods of this type. None of
/// them handles a client's message, which is for [`Intake`](super::intake::Intake), begins or ends a
/// send, which is for [`Sending`](super::send::Sending), sheds anything while memory is short, which is
/// for [`Relief`](super::relief::Relief), or ends an event, which is for [`Shard`](super::Shard).
#[derive(Debug)]
pub(super) struct Host {
    pub(super) config: Config,
    pub(super) now: Time,
    /// What connections did up to here was handled.
    pub(super) events_until: Time,
    pub(super) rng: Rng,
    pub(super) directory: Directory,
    pub(super) outboxes: Outboxes,
    pub(super) fanout: Fanout,
    /// Rooms that are paused, each with the connections whose next command waits for its resumption.
    pub(super) paused_rooms: HashMap<RoomName, WaitQueue, SecretHash>,
    /// Connections whose next command the program has decided about, and which is still to be
    /// carried out.
    pub(super) decided: HashSet<Slot>,
    pub(super) timers: Timers,
    /// How fast connections speak.
    pub(super) rates: Rates,
    pub(super) clients: Clients,
    pub(super) queues: Queues,
    pub(super) close_texts: CloseTexts,
    pub(super) outputs: Outputs,
    /// Answers to second joins whose connection was sending when they came.
    pub(super) joins_after_send: BTreeMap<ConnId, Vec<FromHome>>,
    /// For the next connection that receives bytes and has none of its own.
    pub(super) spare_inbound: Option<Box<Inbound>>,
    pub(super) inflation: Inflation,
    /// False once commands are read no longer, because the server drains.
    pub(super) reading: bool,
    pub(super) open_connections: u64,
    /// What the other shards have of what is limited over all.
    pub(super) of_others: Totals,
    /// Connections whose socket blocks.
    pub(super) blocked: u64,
    /// The memory of the whole process, and what is done while it is short.
    pub(super) pressure: Pressure,
    pub(super) counters: Counters,
}

/// What is to be done when the event ends, or for `ready` in the next turn.
#[derive(Debug, Default)]
pub(super) struct Queues {
    /// Connections to be sent to without a pass: they have direct frames or are writable again.
    pub(super) ready: VecDeque<Slot>,
    /// Connections whose reason to wait is over.
    pub(super) to_resume: VecDeque<ConnId>,
    /// Connections that go on in the next turn, because much was inflated in this one.
    pub(super) to_inflate: WaitQueue,
    /// Connections that are sent a history, in the order in which they have their turn.
    pub(super) to_replay: VecDeque<Slot>,
    /// Bytes of histories that this turn still offers.
    pub(super) replay_bytes_left: usize,
    /// Bytes of histories that sends were ever offered.
    pub(super) replay_bytes_offered: u64,
    /// How many sends of `ready` are begun before the next one of `to_replay`.
    pub(super) sends_before_replay: u8,
    /// Homes of rooms that were resumed: connections that wait for capacity there may go on.
    pub(super) homes_to_resume: VecDeque<ShardId>,
    /// Connections whose end is decided.
    pub(super) to_close: VecDeque<Slot>,
}

impl Queues {
    pub(super) fn are_empty(&self) -> bool {
        let Queues { ready, to_resume, to_inflate, to_replay, homes_to_resume, to_close, .. } =
            self;
        ready.is_empty()
            && to_replay.is_empty()
            && to_resume.is_empty()
            && to_inflate.is_empty()
            && homes_to_resume.is_empty()
            && to_close.is_empty()
    }
}

/// How a send ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendEnd {
    /// The socket took this many bytes, perhaps fewer than it was offered.
    Taken(usize),
    /// It took none, and says when it will.
    Blocked,
    /// This many bytes were taken for it, perhaps fewer than it was offered; but it is blocked, and
    /// a rest of them is kept below the shard until it says that it takes bytes again. So end sends
    /// whose bytes are sealed before they are sent: a record cannot be taken back.
    ///
    /// [`Shard::on_held_progress`](super::Shard::on_held_progress) says that it took some of the
    /// rest, and [`Shard::on_writable`](super::Shard::on_writable) that it took the last of it.
    Held(usize),
    /// It will never take any again.
    Failed,
}

impl Host {
    pub(super) fn new(id: ShardId, config: Config, hash: SecretHash) -> Host {
        let mut rng = Rng::new(config.seed, id.index() as u64);
        let rng = Rng::new(u128::from(rng.next()), id.index() as u64);
        let limits = &config.limits;
        let loopback = Capacity { items: limits.mesh_items, bytes: limits.ring_bytes() };
        Host {
            now: Time::default(),
            events_until: Time::default(),
            rng,
            directory: Directory::new(id, Rooms::new(hash.clone(), &config)),
            outboxes: Outboxes::new(id, config.shards, loopback),
            fanout: Fanout::default(),
            paused_rooms: HashMap::with_hasher(hash),
            decided: HashSet::new(),
            timers: Timers::default(),
            rates: Rates::new(&config.limits),
            clients: Clients::default(),
            queues: Queues::default(),
            close_texts: CloseTexts::default(),
            outputs: Outputs::default(),
            joins_after_send: BTreeMap::new(),
            spare_inbound: None,
            inflation: Inflation::new(config.codecs),
            reading: true,
            open_connections: 0,
            of_others: Totals::default(),
            blocked: 0,
            pressure: Pressure::new(config.limits.memory_bytes),
            counters: Counters::default(),
            config,
        }
    }
}
