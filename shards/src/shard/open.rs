//! The begin of a connection.

use super::host::Host;
use crate::call::{Call, CallKind};
use crate::connection::Wait;
use crate::connection::table::Slot;
use crate::format::{Fact, Format, Welcome};
use crate::id::ConnId;
use crate::permissions::Permissions;
use crate::timers::Timer;

impl Host {
    /// The handshake of a WebSocket connection with these permissions is done.
    pub(super) fn open(&mut self, permissions: Permissions, format: Format) -> ConnId {
        assert!(format != Format::Sse, "an event stream has a room and a head");
        let slot = self.claim(permissions, format);
        let id = self.directory.id(slot);
        self.directory.join_everybody(slot);
        self.push_welcome(slot, id);
        if self.config.hooks.connect {
            self.set_wait(slot, Some(Wait::Handler));
            self.outputs.calls.push_back(Call { conn: id, kind: CallKind::Connect });
        }
        id
    }

    /// An event stream is granted, which begins with this head. Its join is the caller's to make.
    pub(super) fn open_events(&mut self, head: &[u8]) -> Slot {
        let slot = self.claim(Permissions::default(), Format::Sse);
        self.heads.insert(slot, head.into());
        slot
    }

    /// Queues the head of an event stream, if it is not queued yet.
    pub(super) fn push_head(&mut self, slot: Slot) {
        if let Some(head) = self.heads.remove(&slot) {
            self.push_direct(slot, &head);
        }
    }

    fn claim(&mut self, permissions: Permissions, format: Format) -> Slot {
        let slot = self.directory.connections.claim(&mut self.rng);
        self.directory[slot].open(permissions, format, self.now);
        self.open_connections += 1;
        self.counters.opened += 1;
        let interval = self.config.limits.ping_interval;
        if !interval.is_zero() {
            self.timers.set(self.now + interval, Timer::Ping, self.directory.id(slot));
        }
        slot
    }

    fn push_welcome(&mut self, slot: Slot, id: ConnId) {
        let welcome = Fact::Welcome(Welcome {
            connection: id,
            shard: id.shard,
            shards: self.config.shards,
            ping_interval_secs: self.config.limits.ping_interval.as_secs_f64(),
        });
        self.say(slot, &welcome);
    }
}
