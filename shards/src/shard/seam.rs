//! Where events enter a shard, where its outputs leave it, and what most events end with.

use super::deferred_to_home::send_deferred;
use super::host::Host;
use super::intake::Intake;
use super::send::Sending;
use super::{Outputs, SendEnd, Shard};
use crate::config::Config;
use crate::connection::WriteState;
use crate::home::Home;
use crate::id::{ConnId, ShardId};
use crate::journal::{JournalStore, JournalTag, KeptRoom};
use crate::mesh::{Capacity, FromHome, Loopback, ToHome};
use crate::room_name::SecretHash;
use crate::shard_stats::Totals;
use crate::time::Time;

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
        let home = Home::new(id, &config, hash.clone());
        Shard { id, host: Host::new(id, config, hash), home }
    }

    /// Command, before any event: from here on what rooms with a history keep is also written to a
    /// journal of [`journal_bytes`](crate::journal_bytes), before it leaves the shard; and these rooms,
    /// whose home it is, go on from where they stopped, as far as their policies keep anything.
    pub fn begin_journal(
        &mut self,
        tag: &JournalTag,
        store: Box<dyn JournalStore>,
        rooms: &[KeptRoom],
        now: Time,
    ) {
        self.home.begin_journal(tag, store, rooms, now);
    }

    /// Which shard this is.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// What every event ends with that can end or resume a connection: connections whose end was decided leave their rooms, and what is
    /// deferred is sent as far as there is capacity.
    pub(super) fn finish_event(&mut self) {
        self.host.process_closes();
        while Intake(&mut self.host).resume_all() {
            self.host.process_closes();
        }
        send_deferred(&mut self.host.outboxes, &mut self.host.directory);
    }

    /// Event: this is the time now. Everything else happens at the time of the last such event.
    pub fn on_time(&mut self, now: Time) {
        self.on_time_with_backlog(now, now);
    }

    /// Event: this is the time now, and what connections did up to `events_until` was handled.
    ///
    /// A caller that was held up, with its machine or by itself, has a backlog of events. So no
    /// connection is closed for what it has not done after `events_until`: no reply to a ping, no
    /// bytes taken, no end of its side.
    pub fn on_time_with_backlog(&mut self, now: Time, events_until: Time) {
        self.host.on_time(now, events_until);
        self.home.on_time(now, &mut self.host.outboxes);
        self.host.outputs.room_events.extend(self.home.take_events());
        self.judge_memory();
        self.finish_event();
    }

    /// Event: the other shards have so much together of what is limited over all.
    pub fn on_totals_of_others(&mut self, totals: Totals) {
        self.host.of_others = totals;
        self.home.set_rooms_of_others(totals.rooms);
    }

    /// When [`on_time`](Shard::on_time) has something to do, if nothing else happens.
    pub fn next_deadline(&self) -> Option<Time> {
        let Host { timers, clients, pressure, directory, .. } = &self.host;
        let expires = clients.expiries.next_deadline();
        let lingers = directory.rooms.lingering.next_deadline();
        let of_host = [timers.next_deadline(), expires, lingers, pressure.next_deadline()];
        of_host.into_iter().chain([self.home.next_deadline()]).flatten().min()
    }

    /// Event: these bytes arrived on a connection's socket. They are unmasked in place.
    ///
    /// What cannot be handled yet is kept, and nothing more is to be read until the connection
    /// comes out of [`Outputs::next_resumed`]; see [`wants_read`](Shard::wants_read).
    pub fn receive(&mut self, id: ConnId, bytes: &mut [u8]) {
        let Some(slot) = self.host.directory.find(id) else { return };
        Intake(&mut self.host).receive(slot, bytes);
        self.finish_event();
    }

    /// Event: the client has ended its side, or the socket is dead; what the client sent before may
    /// still be unread. [`on_end`](Shard::on_end) follows when that is read.
    ///
    /// A client that has ended its side could still read, but it can neither answer a ping nor a
    /// close any more, and RFC 6455 section 7.1.1 has it wait for the server's end instead. So it
    /// counts as hung up: what it sent is handled, and nothing more is begun for it. An event stream
    /// leaves its room and ends: its client is sent the head, unless it has it, and the last comment.
    pub fn on_hang_up(&mut self, id: ConnId) {
        let Some(slot) = self.host.directory.find(id) else { return };
        self.host.note_hang_up(slot);
        self.finish_event();
    }

    /// Event: the client's end of the stream was read, or reading failed.
    pub fn on_end(&mut self, id: ConnId) {
        let Some(slot) = self.host.directory.find(id) else { return };
        self.host.on_end(slot);
        self.finish_event();
    }

    /// Whether bytes of this connection are wanted now.
    pub fn wants_read(&self, id: ConnId) -> bool {
        self.host.directory.find(id).is_some_and(|slot| self.host.wants_read(slot))
    }

    /// How many bytes of this connection may be read at once; what has arrived beyond that stays in its
    /// socket, and is to be read after the others.
    pub fn read_max(&self, id: ConnId) -> usize {
        self.host.directory.find(id).map_or(usize::MAX, |slot| self.host.read_max(slot))
    }

    /// Event: the socket takes bytes again, and nothing of an earlier send is held any more.
    pub fn on_writable(&mut self, id: ConnId) {
        let Some(slot) = self.host.directory.find(id) else { return };
        let was_held = self.host.directory[slot].write_state() == WriteState::Held;
        if self.host.directory[slot].unblock() {
            self.host.blocked -= 1;
            self.host.take_up_sends(slot);
        }
        if was_held {
            // What is held may have been the last that goes before the end of our side.
            self.host.advance_close(slot);
            self.finish_event();
        }
    }

    /// Event: the socket took some of what is held since [`SendEnd::Held`], and is blocked again. Of
    /// a connection whose socket is not blocked it says nothing.
    pub fn on_held_progress(&mut self, id: ConnId) {
        if let Some(slot) = self.host.directory.find(id) {
            self.host.on_held_progress(slot);
        }
    }

    /// Command: begins the next quantum. It serves the rooms that are in the queue now, in order and
    /// each at most once, until its budget is used up. Connections whose end was decided during the
    /// last quantum are taken out of their rooms first, and connections are taken up that sent what was
    /// too much to inflate in one turn.
    pub fn begin_quantum(&mut self) {
        Intake(&mut self.host).resume_inflating();
        self.host.tell_watchers();
        self.host.name_members();
        self.finish_event();
        let offered = self.host.offered_of_rooms();
        let Host { fanout, config, queues, directory, .. } = &mut self.host;
        queues.replay_bytes_left = config.tuning.replay_bytes;
        fanout.begin_quantum(&config.tuning, offered, &mut directory.rooms);
    }

    /// Whether a quantum has something to do: a room needs a pass, a connection has direct frames or
    /// is writable again, one is to leave its rooms, or one goes on that had too much to inflate;
    /// watchers are to be told who has come and gone, or a home is to be.
    pub fn has_sends(&self) -> bool {
        let Host { fanout, queues, directory, outboxes, .. } = &self.host;
        fanout.has_work()
            || !queues.are_empty()
            || directory.watchers.have_changes()
            || outboxes.may_name()
    }

    /// Output: begins the next send of a connection that has direct frames, is writable again, or is sent
    /// a history.
    pub fn next_direct_send(&mut self) -> Option<ConnId> {
        let slot = Sending(&mut self.host).next_direct_send()?;
        Some(self.host.directory.id(slot))
    }

    /// Output: begins the next send of this quantum; none when the quantum is over.
    pub fn next_room_send(&mut self) -> Option<ConnId> {
        let slot = Sending(&mut self.host).next_room_send()?;
        Some(self.host.directory.id(slot))
    }

    /// Output: calls `each` with the memory of a begun send, in order. It stays where it is until the send
    /// is ended.
    pub fn for_each_iovec<'a>(&'a self, id: ConnId, each: impl FnMut(&'a [u8])) {
        if let Some(slot) = self.host.directory.find(id) {
            self.host.directory.for_each_iovec(slot, each);
        }
    }

    /// Event: a begun send has ended.
    pub fn end_send(&mut self, id: ConnId, end: SendEnd) {
        let Some(slot) = self.host.directory.find(id) else { return };
        if Sending(&mut self.host).end_send(slot, end) {
            self.finish_event();
        }
    }

    /// Whether passes ended with the sends of this quantum, so that the shard is to be given its end.
    pub fn wants_quantum_end(&self) -> bool {
        self.host.fanout.has_ended_passes()
    }

    /// Event: every send of the quantum has ended, and this is the time now. From it the shard counts
    /// how long the messages of the passes that ended were on their way.
    pub fn on_quantum_end(&mut self, now: Time) {
        for accepted in self.host.fanout.take_ended_passes() {
            self.host.counters.latencies.record(now.since(accepted));
        }
    }

    /// Event: a message of shard `from` to this home. To be called only while
    /// [`takes_to_home`](Shard::takes_to_home) says yes.
    pub fn on_to_home(&mut self, from: ShardId, message: ToHome) {
        debug_assert!(self.takes_to_home(), "messages to homes wait for those from homes");
        self.host.counters.mesh_handled += 1;
        let message = match message {
            ToHome::HandOver { parcel } => return self.take_parcel(parcel),
            message => message,
        };
        let question = self.home.handle(from, message, self.host.now, &mut self.host.outboxes);
        self.host.outputs.room_events.extend(self.home.take_events());
        if let Some((token, query)) = question {
            let answer = self.answer(query);
            self.host.outboxes.push_from_home(from, FromHome::Answer { token, answer });
        }
        self.finish_event();
    }

    /// Event: a message from a home. Always taken: handling it never needs capacity on a ring. (It can
    /// lead to a deferred pause.)
    pub fn on_from_home(&mut self, message: FromHome) {
        self.host.on_from_home(message);
        self.finish_event();
    }

    /// Event: the ring to `to` has this capacity for messages to homes.
    pub fn on_to_home_capacity(&mut self, to: ShardId, capacity: Capacity) {
        self.host.outboxes.set_to_home_capacity(to, capacity);
        // Leaves and updates that are deferred go before the commands of connections that wait.
        send_deferred(&mut self.host.outboxes, &mut self.host.directory);
        Intake(&mut self.host).resume_waiting(to);
        self.finish_event();
    }

    /// Event: the ring to `to` has this capacity for messages from homes.
    pub fn on_from_home_capacity(&mut self, to: ShardId, capacity: Capacity) {
        self.host.outboxes.set_from_home_capacity(to, capacity);
    }

    /// Output: the next message to the home `to` that fits the ring.
    pub fn next_to_home(&mut self, to: ShardId) -> Option<ToHome> {
        self.host.outboxes.next_to_home(to)
    }

    /// Output: the next message from this home to `to` that fits the ring.
    pub fn next_from_home(&mut self, to: ShardId) -> Option<FromHome> {
        self.home.write_out();
        self.host.outboxes.next_from_home(to)
    }

    /// Whether something waits for capacity for messages to the home `to`, so that the shard is to
    /// be given the event when there is some.
    pub fn wants_to_home_capacity(&self, to: ShardId) -> bool {
        self.host.outboxes.wants_to_home_capacity(to)
    }

    /// The same for messages from this home.
    pub fn wants_from_home_capacity(&self, to: ShardId) -> bool {
        self.host.outboxes.wants_from_home_capacity(to)
    }

    /// Whether a message to this home may be handed in: only while no message from it waits for
    /// capacity, so that messages to homes wait for those from homes, and those for nothing.
    pub fn takes_to_home(&self) -> bool {
        self.host.outboxes.takes_to_home()
    }

    /// Handles at most `budget` of the messages that the shard sent to itself, under the same rules
    /// as those of others.
    pub fn take_loopback(&mut self, budget: usize) {
        for _ in 0..budget {
            match self.host.outboxes.next_loopback() {
                Some(Loopback::FromHome(message)) => {
                    self.home.write_out();
                    self.on_from_home(message);
                }
                Some(Loopback::ToHome(message)) => self.on_to_home(self.id, message),
                None => break,
            }
        }
        send_deferred(&mut self.host.outboxes, &mut self.host.directory);
        Intake(&mut self.host).resume_waiting(self.id);
        self.finish_event();
    }

    /// Whether [`take_loopback`](Shard::take_loopback) has something to handle.
    pub fn has_loopback(&self) -> bool {
        self.host.outboxes.has_loopback()
    }

    /// What the shard wants done. It grows with any event or command.
    pub fn outputs(&mut self) -> &mut Outputs {
        &mut self.host.outputs
    }
}
