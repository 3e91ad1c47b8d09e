//! Shards that are driven as the runtime drives them: in turns, and left asleep unless they asked
//! for what happens.
//!
//! A shard wakes when something rings: a ring that it reads or waits for, one of its sockets, its
//! next deadline, a task of the program. In each turn it learns the time and the capacity of its rings,
//! and then everything has its budget. Before it sleeps it is asked what it wants to hear of, and it
//! hears of nothing else.

use corecast_shards::{ConnId, Shard, ShardId, Time};

use crate::count::Happened;
use crate::world::{World, trace};

/// What the harness knows about a shard's sleep.
#[derive(Default)]
pub(crate) struct Sleeper {
    /// Something rang, or its last turn left work.
    pub(crate) rung: bool,
    /// The deadline that it named when it fell asleep.
    pub(crate) alarm: Option<Time>,
}

/// How much of everything one turn does at most.
#[derive(Clone, Debug)]
pub(crate) struct Budgets {
    pub(crate) requests: usize,
    pub(crate) outcomes: usize,
    pub(crate) reads: usize,
    pub(crate) own_messages: usize,
    pub(crate) own_sends: usize,
    pub(crate) batch: usize,
}

impl World {
    /// One thing happens: in the world outside, or a turn of a shard that is awake.
    pub(crate) fn step_by_turns(&mut self) {
        let shard = self.chance.below(self.shards.len());
        let pace = &self.setup.pace;
        let turns = pace.receive + pace.mesh + pace.send;
        let weights = [pace.client, pace.read, pace.program, pace.time, pace.connect, turns];
        match self.chance.weighted(&weights) {
            0 => self.act(shard),
            1 => self.read_some(shard),
            2 => {
                self.program(shard);
                self.ring(shard);
            }
            3 => self.pass_time(),
            4 => {
                self.connect(shard);
                self.ring(shard);
            }
            _ => {
                let awake: Vec<usize> =
                    (0..self.shards.len()).filter(|shard| self.is_awake(*shard)).collect();
                if !awake.is_empty() {
                    let shard = self.chance.pick(&awake);
                    self.turn(shard);
                }
            }
        }
        if self.chance.happens(self.setup.faults.stale) {
            self.stale_event();
        }
        self.check_sleepers();
    }

    /// Wakes a shard.
    pub(crate) fn ring(&mut self, shard: usize) {
        self.sleepers[shard].rung = true;
    }

    /// Whether something that the shard asked for has come.
    fn is_awake(&self, shard: usize) -> bool {
        let sleeper = &self.sleepers[shard];
        let due = sleeper.alarm.is_some_and(|alarm| alarm <= self.now);
        sleeper.rung || due || self.open.iter().any(|client| self.socket_calls(*client, shard))
    }

    /// Whether this client's socket has news for the shard: it is writable again, or there is
    /// something to read for which the shard did not say that it must wait.
    fn socket_calls(&self, client: usize, shard: usize) -> bool {
        let socket = &self.clients[client];
        if socket.shard != shard || socket.closed {
            return false;
        }
        let ends = socket.hung_up.is_some() && !socket.end_told && socket.out.is_empty();
        let writable = socket.refusing && (socket.free() > 0 || socket.dead);
        writable || ends || (!socket.paused && !socket.out.is_empty())
    }

    /// One round of a shard's loop.
    pub(crate) fn turn(&mut self, shard: usize) {
        trace!(self, "shard {shard}: turn");
        self.sleepers[shard].rung = false;
        self.tell_time(shard);
        self.take_from_rings(shard);
        self.take_from_sockets(shard);
        let budget = self.setup.budgets.own_messages;
        self.take_loopback(shard, budget);
        self.pull(shard);
        self.flush_own(shard);
        self.flush_slice(shard);
        self.pull(shard);
        self.give_to_rings(shard);
        self.note_who_caught_up(shard);
        self.check_turns_of_histories(shard);
        self.fall_asleep(shard);
        self.check_due(shard, self.time_at[shard]);
        self.check_shard(shard);
    }

    fn take_from_rings(&mut self, shard: usize) {
        let peers = self.peers(shard);
        for peer in &peers {
            self.tell_ring_room(shard, *peer);
            for _ in 0..self.setup.budgets.outcomes {
                if !self.hand_in_outcome(*peer, shard) {
                    break;
                }
            }
        }
        for peer in &peers {
            for _ in 0..self.setup.budgets.requests {
                if !self.hand_in_request(*peer, shard) {
                    break;
                }
            }
        }
    }

    /// The other shards, beginning with any.
    fn peers(&mut self, shard: usize) -> Vec<usize> {
        let first = self.chance.below(self.shards.len());
        let places = (0..self.shards.len()).map(|place| (first + place) % self.shards.len());
        places.filter(|peer| *peer != shard).collect()
    }

    fn take_from_sockets(&mut self, shard: usize) {
        let first = self.chance.below(self.open.len().max(1));
        let mut callers: Vec<usize> =
            self.open.iter().copied().filter(|client| self.socket_calls(*client, shard)).collect();
        let len = callers.len();
        callers.rotate_left(first % len.max(1));
        for client in &callers {
            self.tell_writable(*client);
        }
        for client in callers.into_iter().take(self.setup.budgets.reads) {
            let bytes = match self.chance.happens(self.setup.faults.split) {
                true => self.chance.skewed(64),
                false => usize::MAX,
            };
            self.receive(client, bytes);
            let socket = &self.clients[client];
            let ends = socket.hung_up.is_some() && !socket.end_told && socket.out.is_empty();
            if ends && !socket.closed {
                self.tell_end(client);
            }
        }
    }

    fn flush_own(&mut self, shard: usize) {
        let mut left = self.setup.budgets.own_sends;
        while left > 0 {
            let begun = self.begin_batch(shard, left, Shard::next_direct_send);
            if begun == 0 {
                return;
            }
            left -= begun;
        }
    }

    fn flush_slice(&mut self, shard: usize) {
        self.shards[shard].begin_quantum();
        let batch = self.setup.budgets.batch;
        while self.begin_batch(shard, batch, Shard::next_room_send) > 0 {
            if self.chance.happens(self.setup.faults.cut_slice) {
                self.count.add(Happened::QuantumCutShort);
                break;
            }
        }
        if self.shards[shard].wants_quantum_end() {
            let now = self.time_at[shard];
            self.shards[shard].on_quantum_end(now);
        }
    }

    /// Begins so many sends and ends them all, as a batch for the kernel is; returns how many.
    fn begin_batch(
        &mut self,
        shard: usize,
        most: usize,
        next: fn(&mut Shard) -> Option<ConnId>,
    ) -> usize {
        let mut begun = 0;
        while begun < most.min(self.setup.budgets.batch) {
            let Some(conn) = next(&mut self.shards[shard]) else { break };
            self.begin(conn);
            begun += 1;
        }
        while self.end_one(shard) {}
        begun
    }

    fn give_to_rings(&mut self, shard: usize) {
        for peer in self.peers(shard) {
            while self.carry_outcome(shard, peer) {}
            while self.carry_request(shard, peer) {}
        }
    }

    /// Asks the shard what it waits for; from here on it hears of that alone.
    fn fall_asleep(&mut self, shard: usize) {
        self.sleepers[shard].alarm = self.shards[shard].next_deadline();
        let engine = &self.shards[shard];
        let mut stays = engine.has_loopback() || engine.has_sends();
        for peer in (0..self.shards.len()).filter(|peer| *peer != shard) {
            let engine = &self.shards[shard];
            let id = ShardId::new(peer as u16);
            stays |= self.mesh.has_news(peer, shard, engine.takes_to_home());
            if engine.wants_to_home_capacity(id) {
                stays |= self.mesh.waits_for_request_room(shard, peer);
            }
            if engine.wants_from_home_capacity(id) {
                stays |= self.mesh.waits_for_outcome_room(shard, peer);
            }
        }
        self.sleepers[shard].rung |= stays;
        self.count.add_if(!self.is_awake(shard), Happened::Slept);
    }

    /// A shard that sleeps has nothing to do: an event that it did not ask for changes nothing.
    fn check_sleepers(&mut self) {
        let time_passed = self.slept_until < self.now;
        self.slept_until = self.now;
        for shard in 0..self.shards.len() {
            if self.is_awake(shard) {
                continue;
            }
            for peer in (0..self.shards.len()).filter(|peer| *peer != shard) {
                self.tell_ring_room(shard, peer);
            }
            if time_passed {
                self.check_due(shard, self.now);
            }
            let engine = &mut self.shards[shard];
            assert!(!engine.has_loopback(), "shard {shard} sleeps with messages to itself");
            assert!(!engine.has_sends(), "shard {shard} sleeps with something to send");
            let resumed = engine.outputs().next_resumed();
            assert_eq!(resumed, None, "shard {shard} sleeps, and a connection could be read");
            let outputs = (
                engine.outputs().next_close_step(),
                engine.outputs().next_answer().map(|(token, _)| token),
            );
            assert_eq!(outputs, (None, None), "shard {shard} sleeps with outputs");
            let parcel = engine.outputs().next_parcel();
            assert!(parcel.is_none(), "shard {shard} sleeps with a connection that has not begun");
            assert_eq!(engine.outputs().next_call(), None, "shard {shard} sleeps with a message");
            for peer in (0..self.shards.len()).filter(|peer| *peer != shard) {
                let id = ShardId::new(peer as u16);
                let request = self.shards[shard].next_to_home(id);
                assert!(request.is_none(), "shard {shard} sleeps with {request:?} for {peer}");
                let outcome = self.shards[shard].next_from_home(id);
                assert!(outcome.is_none(), "shard {shard} sleeps with {outcome:?} for {peer}");
            }
        }
    }

    /// Everything that can happen without time or new input happens, in turns of those awake.
    pub(crate) fn round_of_turns(&mut self) -> bool {
        let mut moved = false;
        for shard in 0..self.shards.len() {
            if self.is_awake(shard) {
                self.turn(shard);
                moved = true;
            }
        }
        self.check_sleepers();
        moved
    }
}
