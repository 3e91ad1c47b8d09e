//! The begin of a connection.

use super::Shard;
use crate::call::{Call, Called};
use crate::connection::{Membership, MembershipState, Phase, Wait};
use crate::envelope::{Reply, Welcome};
use crate::id::ConnId;
use crate::permissions::Permissions;
use crate::rooms::EVERYBODY;
use crate::timers::Timer;

impl Shard {
    /// Event: the handshake of a connection with these permissions is done.
    ///
    /// Its welcome is queued, and in the same step it becomes a member of the room of everybody:
    /// whoever has received the one gets every broadcast that is sent afterwards.
    pub fn open(&mut self, permissions: Permissions) -> ConnId {
        let slot = self.connections.claim(&mut self.chance);
        let id = self.connections.id(slot);
        let connection = &mut self.connections[slot];
        connection.phase = Phase::Open;
        connection.permissions = permissions;
        connection.heard = self.now;
        self.open_connections += 1;
        self.counters.opened += 1;
        self.join_everybody(slot);
        if !self.config.handled.text {
            self.push_welcome(id);
        }
        self.arm_ping(slot);
        if self.config.handled.connect {
            self.set_wait(slot, Some(Wait::Handler));
            self.outputs.calls.push_back(Call { conn: id, what: Called::Connect });
        }
        id
    }

    fn join_everybody(&mut self, slot: u32) {
        let key = self.rooms.refer(&crate::room_name::RoomName::everybody());
        assert_eq!(key, EVERYBODY);
        let next = self.rooms[EVERYBODY].next_offset();
        let member = self.rooms[EVERYBODY].add(slot, 0, next);
        let state = MembershipState::Joined;
        let membership = Membership { room: EVERYBODY, member, attempt: 0, state, noted: false };
        let memberships = &mut self.connections[slot].memberships;
        // Most connections are in one more room, if in any. A list that grows by itself begins with
        // four places.
        memberships.reserve_exact(2);
        memberships.push(membership);
    }

    fn push_welcome(&mut self, id: ConnId) {
        let welcome = Reply::welcome(&Welcome {
            connection: id,
            shard: self.id,
            shards: self.config.shards,
            ping_interval_secs: self.config.limits.ping_interval.as_secs_f64(),
        });
        self.push_own(id.slot, &welcome);
    }

    fn arm_ping(&mut self, slot: u32) {
        let interval = self.config.limits.ping_interval;
        if !interval.is_zero() {
            self.timers.set(self.now + interval, Timer::Ping, self.connections.id(slot));
        }
    }
}
