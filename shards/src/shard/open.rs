//! The begin of a connection.

use super::host::Host;
use crate::call::{Call, CallKind};
use crate::connection::Wait;
use crate::connection::table::Slot;
use crate::envelope::{Reply, Welcome};
use crate::id::ConnId;
use crate::permissions::Permissions;
use crate::timers::Timer;

impl Host {
    /// The handshake of a connection with these permissions is done.
    pub(super) fn open(&mut self, permissions: Permissions) -> ConnId {
        let slot = self.directory.connections.claim(&mut self.rng);
        let id = self.directory.id(slot);
        self.directory[slot].open(permissions, self.now);
        self.open_connections += 1;
        self.counters.opened += 1;
        self.directory.join_everybody(slot);
        if !self.config.hooks.text {
            self.push_welcome(slot, id);
        }
        let interval = self.config.limits.ping_interval;
        if !interval.is_zero() {
            self.timers.set(self.now + interval, Timer::Ping, id);
        }
        if self.config.hooks.connect {
            self.set_wait(slot, Some(Wait::Handler));
            self.outputs.calls.push_back(Call { conn: id, kind: CallKind::Connect });
        }
        id
    }

    fn push_welcome(&mut self, slot: Slot, id: ConnId) {
        let welcome = Reply::welcome(&Welcome {
            connection: id,
            shard: id.shard,
            shards: self.config.shards,
            ping_interval_secs: self.config.limits.ping_interval.as_secs_f64(),
        });
        self.push_direct(slot, &welcome);
    }
}
