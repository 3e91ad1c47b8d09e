//! A message's way over the mesh and back.

use corecast_shards::wire::{Opcode, push_client_frame};
use corecast_shards::{
    Capacity, Config, ConnId, Opening, Publication, RoomMessage, RoomName, Shard, ShardId,
};

use super::take_send;

/// Two shards: one with a publisher and a member, the other home to their room.
///
/// What is measured is the engine's part of a round trip: a publish put on the lane to the home,
/// taken off it, numbered, its delivery put on the lane back, taken off that, and appended to the
/// room's log. The ring between the lanes, and waking the other core, are the runtime's, and are
/// measured where the whole server is.
#[derive(Debug)]
pub struct Hop {
    near: Shard,
    far: Shard,
    room: RoomName,
    data: String,
    member: ConnId,
}

const NEAR: ShardId = ShardId::new(0);
const FAR: ShardId = ShardId::new(1);

/// A ring that is never full.
const PLENTY: Capacity = Capacity { items: 1024, bytes: 1 << 20 };

impl Hop {
    /// Two shards and a member, for messages of so many bytes.
    pub fn new(payload_bytes: usize) -> Hop {
        let config = Config { shards: 2, ..Config::default() };
        let mut near = Shard::new(NEAR, config.clone());
        let far = Shard::new(FAR, config);
        let mut names = (0..).filter_map(|n| RoomName::new(&format!("room {n}")).ok());
        let room = names.find(|room| near.home(room) == FAR).expect("half of all rooms");
        let member = near.open(Opening::default());
        let data = format!("\"{}\"", "x".repeat(payload_bytes));
        let mut hop = Hop { near, far, room, data, member };
        hop.join();
        hop
    }

    /// One publish, there and back.
    pub fn publish(&mut self) {
        self.near.on_to_home_capacity(FAR, PLENTY);
        let publication =
            Publication { event: "m".into(), data: &self.data, echo: true, key: None };
        let message = RoomMessage::event(&publication);
        self.near.publish(&self.room, message, None, None).expect("there is plenty of room");
        self.carry();
    }

    /// Empties the member's log, unmeasured. Returns the bytes that it got.
    pub fn flush(&mut self) -> usize {
        let mut bytes = 0;
        while self.near.has_sends() {
            while let Some(member) = self.near.next_direct_send() {
                bytes += take_send(&mut self.near, member);
            }
            self.near.begin_quantum();
            while let Some(member) = self.near.next_room_send() {
                bytes += take_send(&mut self.near, member);
            }
        }
        bytes
    }

    fn join(&mut self) {
        let text = format!(r#"{{"event":"cast:join","room":"{}"}}"#, self.room.as_str());
        let mut frame = Vec::new();
        push_client_frame(&mut frame, Opcode::Text, true, [0; 4], text.as_bytes());
        self.near.on_to_home_capacity(FAR, PLENTY);
        self.near.receive(self.member, &mut frame);
        // The home of everybody's room has to know the new connection, too, wherever it is.
        self.near.take_loopback(16);
        self.carry();
        self.flush();
    }

    fn carry(&mut self) {
        self.far.on_from_home_capacity(NEAR, PLENTY);
        while let Some(request) = self.near.next_to_home(FAR) {
            self.far.on_to_home(NEAR, request);
        }
        while let Some(outcome) = self.far.next_from_home(NEAR) {
            self.near.on_from_home(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_publish_comes_back_once() {
        let mut hop = Hop::new(128);
        for _ in 0..10 {
            hop.publish();
            let bytes = hop.flush();
            assert!((128..256).contains(&bytes), "{bytes} bytes are not one message");
        }
    }
}
