//! Whether what is shed while memory is short may be shed, and whether that helps.

use std::time::Duration;

use corecast_shards::{Answer, MemoryStage, OthersMemory, Query};

use crate::bounds::PAUSE;
use crate::count::Happened;
use crate::world::{World, trace};

/// How long a client may be slow, or a message on its way, before it is struck.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often the engine looks again while memory is short.
const INTERVAL: Duration = Duration::from_millis(51);

/// What may come on top of the budget, because worlds are so small: what a connection is read of at once
/// and its replies, and what one step brings a shard before it judges again: twelve reads, a message, a
/// chunk and the growth of its tables.
const SLACK_PER_CONNECTION: usize = 8 << 10;
const SLACK_PER_SHARD: usize = (12 + 1) * (64 << 10);

/// So often it may have to look until everything that was held back has had its turn.
const LOOKS_MAX: usize = 1_000;

impl World {
    /// A shard is handed what the others hold, as the runtime does it in each turn.
    pub(crate) fn tell_memory(&mut self, shard: usize) {
        let others = self.shards.iter().enumerate().filter(|(other, _)| *other != shard);
        let held = others.map(|(_, other)| (other.memory().total(), other.log_bytes()));
        let others = held.fold(OthersMemory::default(), |sum, (bytes, logs)| OthersMemory {
            bytes: sum.bytes + bytes,
            logs: sum.logs + logs,
            stage: Some(self.memory_stage),
        });
        self.stage_before[shard] = self.shards[shard].memory_stage();
        self.shards[shard].on_others_memory(others);
    }

    /// A stage that is news rings every shard.
    pub(crate) fn note_memory(&mut self, shard: usize) {
        self.judge_budget();
        let stage = self.shards[shard].memory_stage();
        if stage.max(self.stage_before[shard]) >= MemoryStage::Unread {
            self.unread_until[shard] = self.time_at[shard];
            self.unread_in[shard] = self.step;
        }
        if stage == self.memory_stage {
            return;
        }
        trace!(self, "shard {shard}: memory is {}", stage.name());
        self.count.add_if(stage == MemoryStage::Plenty, Happened::MemoryEased);
        self.was_short |= stage >= MemoryStage::Refusing;
        self.was_striking |= stage >= MemoryStage::Striking;
        self.memory_stage = stage;
        (0..self.shards.len()).for_each(|shard| self.ring(shard));
    }

    /// All shards together hold no more than they may, a tenth on top, and what a connection may be
    /// read of at once, is sent, or a shard takes at once.
    fn judge_budget(&self) {
        let limit = self.setup.config.limits.memory_bytes;
        if limit == usize::MAX {
            return;
        }
        let held: usize = self.shards.iter().map(|shard| shard.memory().total()).sum();
        let slack = self.open.len() * SLACK_PER_CONNECTION + self.shards.len() * SLACK_PER_SHARD;
        let most = limit + limit / 10 + slack;
        assert!(held <= most, "{held} bytes are held, and {most} may be, of a budget of {limit}");
    }

    /// Whether a client is slow for so long that it may lose its messages because memory is short.
    pub(crate) fn may_be_struck(&self, client: usize) -> bool {
        let player = &self.clients[client];
        let timeout = self.setup.config.limits.slow_timeout;
        let is_slow = self.slow[player.shard].contains(&client);
        let lasts = self.time_at[player.shard].since(player.slow_since);
        let stage = self.shards[player.shard].memory_stage();
        match stage.max(self.stage_before[player.shard]) {
            MemoryStage::Plenty => false,
            stage if stage >= MemoryStage::Striking => is_slow && lasts >= PATIENCE.min(timeout),
            _ => is_slow && lasts >= timeout,
        }
    }

    /// Whether a connection may end because of what is held for it: a message that did not get on, or a
    /// stream that is refused its room.
    pub(crate) fn check_ends_for_capacity(&self, client: usize) -> Happened {
        let player = &self.clients[client];
        if let Some(stream) = &player.view.stream {
            assert!(!stream.was_member, "client {client} has its rooms");
            let asked_at = stream.asked_at;
            let mut homes = stream.parts.iter().map(|part| self.homes[part.room]);
            let lacked = homes.any(|home| self.places.lacked_room(home, asked_at))
                || self.places.lacked_membership(player.shard, asked_at);
            assert!(lacked || self.was_short, "there was a place for client {client}");
            return if lacked { Happened::EndedCapacity } else { Happened::EndedStruck };
        }
        let timeout = self.setup.config.limits.slow_timeout;
        let lasts = |patience| {
            let is_over = |begun| self.time_at[player.shard].since(begun) >= patience;
            player.begun.is_some_and(is_over)
        };
        let is_struck = self.was_striking && lasts(PATIENCE.min(timeout));
        // A shortage that the first two steps do not end.
        let outlasts = self.was_short && lasts(timeout);
        assert!(is_struck || outlasts, "client {client} gets on");
        Happened::EndedStruck
    }

    /// What is held back has its turn as time passes, however short memory stays.
    pub(crate) fn wait_for_memory(&mut self) {
        if self.setup.config.limits.memory_bytes == usize::MAX {
            return;
        }
        for _ in 0..LOOKS_MAX {
            self.look_at_memory();
            let waits = |client: &usize| {
                let client = &self.clients[*client];
                client.paused || !client.out.is_empty()
            };
            let waiting: u64 = self.shards.iter().map(|shard| shard.stats().waiting).sum();
            if waiting == 0 && !self.open.iter().any(waits) {
                return self.check_histories_give_way();
            }
            self.now = self.now + INTERVAL;
            self.settle();
        }
        panic!("memory is {:?}, and clients wait for it in vain", self.memory_stage);
    }

    /// Every shard judges how short memory is, those that sleep included: what lingers there may be due
    /// for that.
    fn look_at_memory(&mut self) {
        for shard in 0..self.shards.len() {
            self.tell_time(shard);
            self.ring(shard);
        }
    }

    /// What is kept of rooms' messages goes before anything else does: while there is any, memory is not
    /// short for long.
    fn check_histories_give_way(&mut self) {
        for _ in 0..LOOKS_MAX {
            if !self.histories_give_way() || !self.keeps_messages() {
                return;
            }
            self.now = self.now + PAUSE;
            self.look_at_memory();
        }
        panic!("memory is {:?}, and histories keep what they have", self.memory_stage);
    }

    /// Whether so much is held that histories have to give way.
    pub(crate) fn histories_give_way(&self) -> bool {
        let most = self.setup.config.limits.memory_bytes / 100 * MemoryStage::Refusing.ends_below();
        most < self.shards.iter().map(|shard| shard.memory().total()).sum()
    }

    /// How many messages a shard has evicted.
    pub(crate) fn evicted(&self, shard: usize) -> u64 {
        self.shards[shard].counters().history.evicted
    }

    fn keeps_messages(&mut self) -> bool {
        (0..self.names.len()).filter(|room| self.keeps[*room].is_some()).any(|room| {
            let (since, epoch) = (None, None);
            let query = Query::History { room: self.names[room].clone(), since, epoch, limit: 1 };
            let answer = self.shards[self.homes[room]].answer(query);
            matches!(answer, Answer::History(Some(history)) if !history.messages.is_empty())
        })
    }

    /// Counts what the shards say that they shed.
    pub(crate) fn count_shed(&mut self) {
        for shard in &self.shards {
            let shed = shard.counters().memory;
            self.count.add_many(shed.reads_stopped, Happened::MemoryLeftUnread);
            self.count.add_many(shed.members_struck, Happened::MemoryStruckMember);
            self.count.add_many(shed.connections_struck, Happened::MemoryStruckSender);
            self.count.add_many(shed.publishes_paused, Happened::MemoryPausedPublish);
            self.count.add_many(shard.counters().history.evicted, Happened::MessageEvicted);
            let calm = self.setup.config.limits.memory_bytes == usize::MAX;
            assert!(
                !calm || shed == Default::default(),
                "nothing is shed without a limit: {shed:?}"
            );
        }
    }
}
