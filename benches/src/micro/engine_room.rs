//! A room of the engine, driven through the public interface of its shard.

use corecast_shards::wire::{Opcode, push_client_frame};
use corecast_shards::{Config, ConnId, SendEnd, Shard, ShardId};

use super::{JOIN, LEAVE, publish_text};

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

impl EngineRoom {
    /// A room with so many members, to which messages of so many bytes are published.
    pub fn new(members: usize, payload_bytes: usize) -> EngineRoom {
        let config = Config { shards: 1, ..Config::default() };
        let mut shard = Shard::new(ShardId::new(0), config);
        let join = frame(JOIN);
        for _ in 0..members {
            let member = shard.open();
            shard.receive(member, &mut join.clone());
            shard.take_own(TURN);
        }
        let outsider = shard.open();
        let (leave, publish) = (frame(LEAVE), frame(&publish_text(payload_bytes)));
        let mut room = EngineRoom { shard, outsider, join, leave, publish };
        room.flush_own();
        room
    }

    /// One join and one leave: commands decoded, handled by the home, answered, answers sent.
    /// Returns the bytes of the answers.
    pub fn join_and_leave(&mut self) -> usize {
        self.shard.receive(self.outsider, &mut self.join);
        self.shard.take_own(TURN);
        let joined = self.flush_own();
        self.shard.receive(self.outsider, &mut self.leave);
        self.shard.take_own(TURN);
        joined + self.flush_own()
    }

    /// One publish up to the room's log: decoded, numbered, encoded, appended. No member is
    /// touched.
    pub fn publish(&mut self) {
        self.shard.receive(self.outsider, &mut self.publish);
        self.shard.take_own(TURN);
    }

    /// One send per member, up to the system call that is left out: begun, its memory walked,
    /// ended. Returns the bytes of all sends.
    pub fn flush(&mut self) -> usize {
        let mut bytes = 0;
        while self.shard.has_sends() {
            self.shard.start_slice();
            while let Some(member) = self.shard.next_room_send() {
                bytes += self.send(member);
            }
        }
        bytes
    }

    fn flush_own(&mut self) -> usize {
        let mut bytes = 0;
        while let Some(connection) = self.shard.next_own_send() {
            bytes += self.send(connection);
        }
        bytes
    }

    fn send(&mut self, connection: ConnId) -> usize {
        let mut bytes = 0;
        self.shard.for_each_slice(connection, |slice| bytes += slice.len());
        self.shard.end_send(connection, SendEnd::Taken(bytes));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_sent_every_message() {
        let mut room = EngineRoom::new(100, 128);
        room.publish();
        let one = room.flush();
        assert!(one > 100 * 128 && one.is_multiple_of(100), "{one} bytes");
        room.publish();
        room.publish();
        assert_eq!(room.flush(), 2 * one);
        assert_eq!(room.flush(), 0);
    }

    #[test]
    fn joins_and_leaves_are_answered_every_time() {
        let mut room = EngineRoom::new(1, 128);
        let first = room.join_and_leave();
        assert!(first > 100, "{first} bytes are no two answers");
        assert_eq!(room.join_and_leave(), first);
    }
}
