//! A room of the engine, driven through the public interface of its shard.

use corecast_shards::wire::{Opcode, push_client_frame};
use corecast_shards::{Config, ConnId, Opening, Shard, ShardId, ShardStats};

use super::room::{JOIN, LEAVE, Room, publish_text};
use super::take_send;

/// A room with members on one shard, and a connection outside it that publishes, joins and leaves.
#[derive(Debug)]
pub struct EngineRoom {
    shard: Shard,
    outsider: ConnId,
    join: Vec<u8>,
    leave: Vec<u8>,
    publish: Vec<u8>,
}

/// Items that a shard handles of those to itself in one turn.
const TURN: usize = 256;

impl Room for EngineRoom {
    fn new(members: usize, payload_bytes: usize) -> EngineRoom {
        let config = Config { shards: 1, ..Config::default() };
        let mut shard = Shard::new(ShardId::new(0), config);
        let join = frame(JOIN);
        for _ in 0..members {
            let member = shard.open(Opening::default());
            shard.receive(member, &mut join.clone());
            shard.take_loopback(TURN);
        }
        let outsider = shard.open(Opening::default());
        let (leave, publish) = (frame(LEAVE), frame(&publish_text(payload_bytes)));
        let mut room = EngineRoom { shard, outsider, join, leave, publish };
        room.flush_own();
        room
    }

    /// Commands decoded, handled by the home, answered, answers sent.
    fn join_and_leave(&mut self) -> usize {
        self.shard.receive(self.outsider, &mut self.join);
        self.shard.take_loopback(TURN);
        let joined = self.flush_own();
        self.shard.receive(self.outsider, &mut self.leave);
        self.shard.take_loopback(TURN);
        joined + self.flush_own()
    }

    /// Up to the room's log: decoded, numbered, encoded, appended. No member is touched.
    fn publish(&mut self) {
        self.shard.receive(self.outsider, &mut self.publish);
        self.shard.take_loopback(TURN);
    }

    /// One send per member, up to the system call that is left out: begun, its memory walked,
    /// ended.
    fn flush(&mut self) -> usize {
        let mut bytes = 0;
        while self.shard.has_sends() {
            self.shard.begin_quantum();
            while let Some(member) = self.shard.next_room_send() {
                bytes += take_send(&mut self.shard, member);
            }
        }
        bytes
    }
}

impl EngineRoom {
    /// What the shard has and has done.
    pub fn stats(&self) -> ShardStats {
        self.shard.stats()
    }

    fn flush_own(&mut self) -> usize {
        let mut bytes = 0;
        while let Some(connection) = self.shard.next_direct_send() {
            bytes += take_send(&mut self.shard, connection);
        }
        bytes
    }
}

/// A client's frame. Its mask is zero, so that unmasking in place leaves it fit for another time;
/// the work is the same.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    push_client_frame(&mut frame, Opcode::Text, true, [0; 4], text.as_bytes());
    frame
}
