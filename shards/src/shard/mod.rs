//! One core's whole state.

#[cfg(debug_assertions)]
mod check;
mod close;
mod command;
mod flush;
mod open;
mod outcome;
mod petition;
mod program;
mod receive;
mod request;
mod send;
mod stats;
#[cfg(test)]
mod tests;
mod timers;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use crate::call::Call;
use crate::chance::Chance;
use crate::config::Config;
use crate::connections::Connections;
use crate::disconnect::Disconnect;
use crate::home::{Homes, Linger};
use crate::id::{ConnId, ShardId};
use crate::inbound::Inbound;
use crate::lane::{Lane, Room as LaneRoom};
use crate::line::Line;
use crate::message::{Answer, Outcome, Request, Token};
use crate::room_name::{RoomName, SecretHash};
use crate::rooms::Rooms;
use crate::shard_stats::Counters;
use crate::time::Time;
use crate::timers::Timers;
pub use flush::SendEnd;
pub use program::{Full, Refused, Unsent};

/// One core's whole state: its connections, its part of every room, and the rooms it is home to.
///
/// A shard is a state machine that is driven from outside. Its methods are of four kinds:
///
/// - *events* tell it what happened: [`open`](Shard::open), [`receive`](Shard::receive) and the
///   `on_…` methods;
/// - *commands* ask it for something: [`publish`](Shard::publish), [`emit`](Shard::emit),
///   [`close`](Shard::close), …;
/// - *outputs* are pulled until they are empty: the `next_…` methods. A send is begun by
///   [`next_own_send`](Shard::next_own_send) or [`next_room_send`](Shard::next_room_send), read
///   with [`for_each_slice`](Shard::for_each_slice) and ended with [`end_send`](Shard::end_send);
/// - *getters* are nouns.
///
/// Invariant: a shard never locks, never awaits, and learns the time only from its caller.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    config: Config,
    now: Time,
    /// What connections did up to here is known.
    heard: Time,
    chance: Chance,
    connections: Connections,
    rooms: Rooms,
    homes: Homes,
    lanes: Vec<Lanes>,
    /// Rooms to which nobody may publish for now, with those who wait for the end of it.
    pressed: HashMap<RoomName, Line, SecretHash>,
    timers: Timers,
    queues: Queues,
    /// What stands in the close frames of those whom the program closes in its own words, with the
    /// reason for which it does.
    words: HashMap<u32, (Disconnect, Arc<str>)>,
    outputs: Outputs,
    slice: Slice,
    /// Answers to second joins whose connection was sending when they came.
    deferred: BTreeMap<ConnId, Vec<Outcome>>,
    /// What the next connection that receives bytes may use, if it holds none itself.
    spare_inbound: Option<Box<Inbound>>,
    /// The home for which one who stood in line has its turn.
    serving: Option<ShardId>,
    /// Whether a request of its own is next, and not an outcome.
    own_request_next: bool,
    /// Leaves, presses and releases that are owed to homes.
    debts: usize,
    /// False once commands are read no longer, because the server goes away.
    reading: bool,
    open_connections: u64,
    memberships: u64,
    /// Connections whose next command waits.
    paused: u64,
    /// Connections whose socket refuses bytes.
    blocked: u64,
    /// Rooms whose home is here and to which nobody may publish for now.
    pressed_homes: u64,
    counters: Counters,
}

/// Everything between this shard and one other, or itself.
#[derive(Debug)]
struct Lanes {
    requests: Lane<Request>,
    outcomes: Lane<Outcome>,
    /// Connections whose next command needs room among the requests.
    waiting: Line,
    /// Leaves of closed connections that are owed, each with the key of its room.
    owing: VecDeque<(ConnId, u32)>,
    /// Rooms that have a press or release to tell. Some may be gone.
    telling: VecDeque<u32>,
}

/// Work that was put off until it fits.
#[derive(Debug, Default)]
struct Queues {
    /// Rooms with messages for their members.
    dirty: VecDeque<u32>,
    /// Connections to be flushed for a reason of their own.
    ready: VecDeque<u32>,
    /// Connections whose end is decided.
    marked: VecDeque<u32>,
}

/// What the runtime has not pulled yet.
#[derive(Debug, Default)]
struct Outputs {
    goodbyes: VecDeque<Goodbye>,
    calls: VecDeque<Call>,
    resumed: VecDeque<ConnId>,
    /// Clients that have gone while their connection goes on.
    gone: VecDeque<ConnId>,
    /// Connections that have ended, with the rooms that they were in.
    left: VecDeque<(ConnId, Vec<RoomName>)>,
    answers: VecDeque<(Token, Answer)>,
}

/// The part of a pass that runs now.
#[derive(Debug, Default)]
struct Slice {
    room: Option<u32>,
    /// When the oldest message was accepted of each pass that ended with this slice.
    accepted: Vec<Time>,
    /// Rooms that were in line when the slice began and had no turn yet.
    rooms_left: usize,
    sends_left: usize,
    visits_left: usize,
    /// What sends may have offered when the last one of this slice begins.
    offered_max: u64,
}

impl Slice {
    /// Whether it may begin a send, after so many bytes that were ever offered.
    fn goes_on(&self, offered: u64) -> bool {
        self.sends_left > 0 && self.visits_left > 0 && offered < self.offered_max
    }
}

/// A step of a connection's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// The connection is out of all rooms and takes no more commands.
    Parted(ConnId, Disconnect),
    /// Our close frame is sent: shut down our side of the socket, and go on reading.
    ShutdownWrite(ConnId),
    /// Close the socket. The id means nothing from here on.
    Close(ConnId),
}

impl Shard {
    /// A shard without connections.
    ///
    /// # Panics
    ///
    /// When `id` is not one of the configured shards, or the tuning lets no shard get on.
    pub fn new(id: ShardId, config: Config) -> Shard {
        assert!(id.index() < usize::from(config.shards), "shard {id} of {}", config.shards);
        config.tuning.check();
        let hash = SecretHash::new(config.seed);
        let mut chance = Chance::new(config.seed, id.index() as u64);
        let shards = (0..config.shards).map(ShardId::new);
        let rooms = Rooms::new(hash.clone(), &config);
        let mut homes = Homes::new(id, hash.clone(), &mut Chance::new(config.seed, u64::MAX));
        if rooms.home("") == id {
            homes.open_everybody(shards.clone());
        }
        let mut shard = Shard {
            id,
            now: Time::default(),
            heard: Time::default(),
            chance: chance.clone(),
            connections: Connections::new(id),
            rooms,
            homes,
            lanes: shards.map(|_| Lanes::new()).collect(),
            pressed: HashMap::with_hasher(hash),
            timers: Timers::default(),
            queues: Queues::default(),
            words: HashMap::new(),
            outputs: Outputs::default(),
            slice: Slice::default(),
            deferred: BTreeMap::new(),
            spare_inbound: None,
            serving: None,
            own_request_next: false,
            debts: 0,
            reading: true,
            open_connections: 0,
            memberships: 0,
            paused: 0,
            blocked: 0,
            pressed_homes: 0,
            counters: Counters::default(),
            config,
        };
        shard.chance = Chance::new(u128::from(chance.next()), id.index() as u64);
        shard.set_own_room();
        shard
    }

    /// Which shard this is.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Event: the ring to `to` has so much room for requests.
    pub fn on_request_room(&mut self, to: ShardId, room: LaneRoom) {
        self.lanes[to.index()].requests.set_room(room);
        self.settle_debts();
        self.resume_waiting(to);
    }

    /// Event: the ring to `to` has so much room for outcomes.
    pub fn on_outcome_room(&mut self, to: ShardId, room: LaneRoom) {
        self.lanes[to.index()].outcomes.set_room(room);
    }

    /// Output: the next request for `to` that fits the ring.
    pub fn next_request(&mut self, to: ShardId) -> Option<Request> {
        self.lanes[to.index()].requests.pop_fitting()
    }

    /// Output: the next outcome for `to` that fits the ring.
    pub fn next_outcome(&mut self, to: ShardId) -> Option<Outcome> {
        self.lanes[to.index()].outcomes.pop_fitting()
    }

    /// Whether something waits for room for requests on the ring to `to`, so that the shard wants
    /// to hear when there is some.
    pub fn wants_request_room(&self, to: ShardId) -> bool {
        let lanes = &self.lanes[to.index()];
        !lanes.requests.is_empty() || !lanes.waiting.is_empty() || lanes.has_debts()
    }

    /// The same for outcomes.
    pub fn wants_outcome_room(&self, to: ShardId) -> bool {
        !self.lanes[to.index()].outcomes.is_empty()
    }

    /// Whether a request may be handed in: only while no outcome waits for room on a ring, so that
    /// requests wait for outcomes and outcomes for nothing.
    pub fn takes_requests(&self) -> bool {
        !self.lanes.iter().any(|lanes| lanes.outcomes.is_spilled())
    }

    /// Handles at most `budget` of the messages that the shard sent to itself, under the same rules
    /// as those of others. Outcomes and requests take turns, so that the shard's own requests go on
    /// however many outcomes those of others make.
    pub fn take_own(&mut self, budget: usize) {
        let id = self.id;
        for _ in 0..budget {
            let requests_first = std::mem::replace(&mut self.own_request_next, false);
            let taken = match requests_first {
                true => self.take_own_request() || self.take_own_outcome(),
                false => self.take_own_outcome() || self.take_own_request(),
            };
            if !taken {
                break;
            }
        }
        self.settle_debts();
        self.resume_waiting(id);
    }

    fn take_own_outcome(&mut self) -> bool {
        let Some(outcome) = self.lanes[self.id.index()].outcomes.pop() else { return false };
        self.own_request_next = true;
        self.on_outcome(outcome);
        true
    }

    fn take_own_request(&mut self) -> bool {
        if !self.takes_requests() {
            return false;
        }
        let Some(request) = self.lanes[self.id.index()].requests.pop() else { return false };
        self.on_request(self.id, request);
        true
    }

    /// Whether [`take_own`](Shard::take_own) has something to handle.
    pub fn has_own(&self) -> bool {
        let own = &self.lanes[self.id.index()];
        !own.outcomes.is_empty() || (!own.requests.is_empty() && self.takes_requests())
    }

    /// A shard's lane to itself is its own ring: as long as the others, and never spilled for
    /// want of a reader.
    fn set_own_room(&mut self) {
        let limits = &self.config.limits;
        let room = LaneRoom { items: limits.mesh_items, bytes: limits.mesh_bytes };
        let own = &mut self.lanes[self.id.index()];
        own.requests.set_room(room);
        own.outcomes.set_room(room);
    }

    /// Output: the next step of a connection's end.
    pub fn next_goodbye(&mut self) -> Option<Goodbye> {
        self.outputs.goodbyes.pop_front()
    }

    /// Output: the next message for a handler of the program.
    pub fn next_call(&mut self) -> Option<Call> {
        self.outputs.calls.pop_front()
    }

    /// Output: a connection that was not read for a while and is to be read again.
    pub fn next_resumed(&mut self) -> Option<ConnId> {
        self.outputs.resumed.pop_front()
    }

    /// Output: a connection whose client has gone. Its end follows when what the client sent before
    /// is handled; a handler at work may wait for this.
    pub fn next_gone(&mut self) -> Option<ConnId> {
        self.outputs.gone.pop_front()
    }

    /// Output: a connection that has ended, and the rooms that it was a member of, if there were
    /// any. It comes before the connection's [`Goodbye::Parted`], for programs that handle it.
    pub fn next_left(&mut self) -> Option<(ConnId, Vec<RoomName>)> {
        self.outputs.left.pop_front()
    }

    /// Output: the next answer to a caller.
    pub fn next_answer(&mut self) -> Option<(Token, Answer)> {
        self.outputs.answers.pop_front()
    }

    fn push_request(&mut self, to: ShardId, request: Request) {
        self.counters.mesh_sent += 1;
        self.lanes[to.index()].requests.push(request);
    }

    fn push_outcome(&mut self, to: ShardId, outcome: Outcome) {
        self.counters.mesh_sent += 1;
        self.lanes[to.index()].outcomes.push(outcome);
    }

    fn linger(&self) -> Linger {
        let limits = &self.config.limits;
        let share = limits.lingering_rooms / usize::from(self.config.shards);
        Linger { duration: limits.room_linger, rooms_max: share.max(1) }
    }
}

impl Lanes {
    fn new() -> Lanes {
        Lanes {
            requests: Lane::new(),
            outcomes: Lane::new(),
            waiting: Line::default(),
            owing: VecDeque::new(),
            telling: VecDeque::new(),
        }
    }

    fn has_debts(&self) -> bool {
        !self.owing.is_empty() || !self.telling.is_empty()
    }
}
