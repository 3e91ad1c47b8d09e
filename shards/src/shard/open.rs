//! How a connection begins: a WebSocket, or an event stream.

use std::sync::Arc;

use super::Shard;
use super::host::Host;
use super::intake::Intake;
use super::listening::Listening;
use super::opening::Opening;
use crate::connection::Wait;
use crate::deflate::Window;
use crate::disconnect::Disconnect;
use crate::format::{Fact, Format, Welcome};
use crate::handler::{Call, CallKind};
use crate::id::ConnId;
use crate::identity::Identity;
use crate::place::Slot;
use crate::timers::Timer;

impl Shard {
    /// Event: the handshake of a WebSocket connection is done.
    ///
    /// Its welcome is queued, and in the same step it becomes a member of the room of everybody: a
    /// client that has received the one gets every broadcast that is sent afterwards. One whose time
    /// is over, or that is revoked, is closed at once: it has no welcome, and nothing that it sends is
    /// handled. The joins of the rooms that its handshake names come before anything that it sends.
    ///
    /// # Panics
    ///
    /// With [`Format::Sse`]: that is what [`open_event_stream`](Shard::open_event_stream) is for. With a
    /// window, where the shard has no codecs. With rooms, where the client reads no envelopes.
    pub fn open(&mut self, mut opening: Opening) -> ConnId {
        let rooms = std::mem::take(&mut opening.rooms);
        let reads_answers = rooms.is_empty() || opening.format.has_envelopes();
        assert!(reads_answers, "a client that joins rooms reads the answers");
        let slot = self.host.open(opening);
        Intake(&mut self.host).join_named(slot, &rooms);
        self.host.directory.id(slot)
    }

    /// Event: a request for the events of some rooms is granted, and is to be answered with this head:
    /// a whole HTTP/1.1 response head for a chunked body, and any number of whole chunks after it
    /// ([`Format::chunk`]).
    ///
    /// The connection joins the rooms by its first commands, which wait for capacity as any command
    /// does. The head is sent when the last join is answered, so that a client which has read it gets
    /// every later message of the rooms; if one is refused the stream ends. Behind it stands where the
    /// stream is, unless it goes on where its client stopped, and that what the client missed is not
    /// sent, if so. The connection is in no other room, and not in that of everybody: a broadcast has
    /// no offset that an event's id could name. It has no welcome and no replies; bytes of its client
    /// are discarded, and the client's end is its end. The program has no hook for it, and can neither
    /// emit to it nor move it to other rooms.
    ///
    /// What is known of the client limits how long the stream may last.
    pub fn open_event_stream(
        &mut self,
        listening: impl Into<Listening>,
        head: &[u8],
        identity: Option<Arc<Identity>>,
    ) -> ConnId {
        let slot = self.host.open_event_stream(listening.into(), head);
        self.host.identify(slot, identity);
        Intake(&mut self.host).join_rooms(slot);
        self.host.directory.id(slot)
    }
}

impl Host {
    /// The handshake of a WebSocket connection is done. The caller has it join its rooms.
    pub(super) fn open(&mut self, opening: Opening) -> Slot {
        let Opening { permissions, identity, format, deflate, rooms: _ } = opening;
        assert!(!format.has_head(), "an event stream has a room and a head");
        assert!(
            deflate.is_none() || self.inflation.is_there(),
            "a shard inflates what was agreed to"
        );
        let slot = self.new_connection(format, deflate);
        self.counters.opened_with_deflate += u64::from(deflate.is_some());
        self.directory[slot].permissions = Some(permissions);
        let id = self.directory.id(slot);
        self.directory.join_everybody(slot);
        self.identify(slot, identity);
        if self.directory[slot].is_open() {
            self.push_welcome(slot, id);
        }
        if self.config.hooks.connect {
            self.directory.set_wait(slot, Some(Wait::Handler));
            self.outputs.calls.push_back(Call { conn: id, kind: CallKind::Connect });
        }
        slot
    }

    /// An event stream is granted, which begins with this head. The caller has it join its rooms.
    pub(super) fn open_event_stream(&mut self, listening: Listening, head: &[u8]) -> Slot {
        let format = listening.format();
        let slot = self.new_connection(format, None);
        self.directory.streams.open(slot, head, listening.rooms);
        if format.has_positions() {
            // Messages of the first rooms wait until it is in all of them, but not for ever.
            self.directory[slot].hold(self.now);
            self.directory[slot].slow_timer = true;
            let due = self.now + self.config.limits.slow_timeout;
            self.timers.set(due, Timer::Slow, self.directory.id(slot));
        }
        slot
    }

    /// From now on this is known of the connection's client.
    pub(super) fn identify(&mut self, slot: Slot, identity: Option<Arc<Identity>>) {
        let Some(identity) = identity else { return };
        let conn = self.directory.id(slot);
        let may_stay = self.clients.enter(&identity, conn, self.now);
        self.directory[slot].identity = Some(identity);
        if !may_stay {
            self.schedule_close(slot, Disconnect::Expired);
        }
    }

    fn new_connection(&mut self, format: Format, deflate: Option<Window>) -> Slot {
        let slot = self.directory.connections.claim(&mut self.rng);
        self.directory[slot].open(format, deflate, self.now);
        self.rates.open(slot.number(), self.now);
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
