//! One send, from begin to end.

use std::time::Duration;

use super::{SendEnd, Shard};
use crate::config::SlowPolicy;
use crate::connection::{Membership, Phase, Sending, Wait};
use crate::disconnect::Disconnect;
use crate::envelope::Reply;
use crate::id::ConnId;
use crate::log::{Pin, Space};
use crate::rooms::EVERYBODY;
use crate::timers::Timer;
use crate::tuning::OWN_SLICES;

/// How long a socket may take nothing while more waits for it than `own_bytes`. Callers over HTTP
/// wait for five seconds, so that they learn of the end.
const OWN_PATIENCE: Duration = Duration::from_secs(4);

/// Replies on top of what the program sent may have as much again.
pub(super) const OWN_EXCESS_MAX: usize = 2;

const LISTED: &str = "only who is a member is behind";

/// What a send has changed.
struct Account {
    /// Everything that it carried was taken.
    complete: bool,
    /// Nothing waits for its end: nothing more is to be sent, no place in a log is kept.
    caught_up: bool,
}

impl Shard {
    /// Begins a send of everything that waits for this connection: the rest of a cut frame, its
    /// own frames, then its rooms' messages. Returns false when nothing waits.
    pub(super) fn begin_send(&mut self, slot: u32) -> bool {
        debug_assert_eq!(self.connections[slot].sending, Sending::Idle);
        // Who lost its place, or has a gap to announce, has refused bytes and not caught up since.
        if self.connections[slot].slow && !self.announce_gaps(slot) {
            self.keep_places(slot);
            return false;
        }
        self.finish_departures(slot);
        let connection = &self.connections[slot];
        if connection.fate.is_some() && connection.phase != Phase::Closing {
            self.keep_places(slot);
            return false;
        }
        if let Some(own) = &mut self.connections[slot].own {
            own.begin();
            let bytes = own.slices().map(<[u8]>::len);
            self.counters.offered += (bytes[0] + bytes[1]) as u64;
        }
        let carries_rooms = self.begin_rooms(slot);
        if !carries_rooms && !self.connections[slot].has_own() {
            self.settle(slot);
            return false;
        }
        self.connections[slot].sending = Sending::Begun;
        true
    }

    /// Calls `each` with the memory of a begun send, in order. It stays where it is until the send
    /// is ended.
    pub fn for_each_slice<'a>(&'a self, id: ConnId, mut each: impl FnMut(&'a [u8])) {
        let Some(slot) = self.connections.find(id) else { return };
        let connection = &self.connections[slot];
        debug_assert_eq!(connection.sending, Sending::Begun);
        if let Some(own) = &connection.own {
            own.slices().into_iter().filter(|slice| !slice.is_empty()).for_each(&mut each);
        }
        for membership in connection.behind.iter().map(|place| &connection.memberships[place]) {
            let index = membership.listed().expect(LISTED);
            let room = &self.rooms[membership.room];
            let member = &room.members[index];
            if member.in_flight > 0 {
                let to = member.cursor + u64::from(member.in_flight);
                member.runs(to).for_each(|run| room.log.for_each_slice(run, &mut each));
            }
        }
    }

    /// Event: a begun send has ended.
    pub fn end_send(&mut self, id: ConnId, end: SendEnd) {
        let Some(slot) = self.connections.find(id) else { return };
        assert_eq!(self.connections[slot].sending, Sending::Begun, "only a begun send ends");
        let taken = match end {
            SendEnd::Taken(bytes) => bytes,
            SendEnd::Blocked | SendEnd::Failed => 0,
        };
        self.counters.sends += u64::from(taken > 0);
        let account = self.account(slot, taken);
        let complete = account.complete && end != SendEnd::Failed;
        self.connections[slot].sending = match (complete, end) {
            (true, _) => Sending::Idle,
            (false, SendEnd::Failed) => Sending::Dead,
            (false, _) => Sending::Blocked,
        };
        if complete && account.caught_up && self.deferred.is_empty() {
            // By far most sends end here: nobody waited for this one, and nothing is left to do.
            return;
        }
        self.finish_departures(slot);
        match self.connections[slot].sending {
            Sending::Dead => self.on_failed(slot),
            Sending::Blocked => self.on_refused(slot, taken > 0),
            Sending::Idle | Sending::Begun => self.settle(slot),
        }
        self.after_send(slot, id);
        self.reap();
    }

    /// Announces what the connection lost. Returns false when it ends because of it.
    fn announce_gaps(&mut self, slot: u32) -> bool {
        for behind in 0..self.connections[slot].behind.len() {
            let (membership, index) = self.noted(slot, behind);
            let room = &mut self.rooms[membership.room];
            let lost = room.lost_its_place(&room.members[index]);
            if lost && self.is_fatal_to_lose(membership.room) {
                self.mark(slot, Disconnect::Slow);
                return false;
            }
            let room = &mut self.rooms[membership.room];
            if let Some(gap) = room.take_gap(index) {
                let frame = Reply::gap(&room.name, gap.from, gap.to);
                self.counters.gaps += 1;
                self.push_own(slot, &frame);
            }
        }
        true
    }

    /// Broadcasts are never skipped.
    pub(super) fn is_fatal_to_lose(&self, key: u32) -> bool {
        key == EVERYBODY || self.config.slow == SlowPolicy::Disconnect
    }

    /// The membership that is the `behind`-th where the connection may be behind, and where its room
    /// lists it.
    fn noted(&self, slot: u32, behind: usize) -> (Membership, usize) {
        let connection = &self.connections[slot];
        let membership = connection.memberships[connection.behind.get(behind)];
        (membership, membership.listed().expect(LISTED))
    }

    /// Says which messages the send carries, as many as there is space for.
    fn begin_rooms(&mut self, slot: u32) -> bool {
        let tuning = &self.config.tuning;
        let (slices, bytes) = (tuning.send_slices - OWN_SLICES, tuning.send_bytes);
        let mut space = Space { slices, bytes, used: 0 };
        if !self.queues.dirty.is_empty() {
            self.take_along(slot);
        }
        let mut carries = false;
        for behind in 0..self.connections[slot].behind.len() {
            let (membership, index) = self.noted(slot, behind);
            carries |= self.rooms[membership.room].begin_send(index, &mut space);
        }
        self.counters.offered += space.used as u64;
        self.counters.looks += self.connections[slot].behind.len() as u64;
        carries
    }

    /// Looks for rooms whose pass has not come yet, so that a connection with news in several rooms
    /// gets them in one send. Each send looks at the next few memberships, whatever their number.
    fn take_along(&mut self, slot: u32) {
        let connection = &mut self.connections[slot];
        let rooms = connection.memberships.len();
        let looks = rooms.min(self.config.tuning.rooms_along);
        let first = usize::from(connection.along);
        for place in first..first + looks {
            let place = place % rooms;
            let membership = connection.memberships[place];
            let Some(index) = membership.listed().filter(|_| !membership.noted) else { continue };
            let room = &self.rooms[membership.room];
            if room.dirty && room.is_behind(&room.members[index]) {
                connection.note(place);
            }
        }
        self.counters.looks += looks as u64;
        if looks < rooms {
            connection.along = ((first + looks) % rooms) as u16;
        }
    }

    /// Moves the cursors behind what was taken.
    fn account(&mut self, slot: u32, taken: usize) -> Account {
        let connection = &mut self.connections[slot];
        let caught_up = connection.is_at_ease() && connection.departing == 0;
        let mut account = Account { complete: true, caught_up };
        let mut left = taken;
        if let Some(own) = &mut connection.own {
            left = own.consume(taken);
            account.complete = own.slices().iter().all(|slice| slice.is_empty());
        }
        let (mut cut, mut served) = (None, 0);
        for behind in 0..connection.behind.len() {
            let membership = &connection.memberships[connection.behind.get(behind)];
            let index = membership.listed().expect(LISTED);
            let (room, pool) = self.rooms.with_pool(membership.room);
            if room.members[index].in_flight > 0 {
                let advance = room.end_send(index, &mut left, pool);
                self.counters.delivered += advance.messages;
                account.complete &= advance.complete;
                served = if advance.messages > 0 { behind + 1 } else { served };
                if advance.rest.is_some() {
                    cut = advance.rest;
                }
            }
            let member = &room.members[index];
            account.caught_up &= member.pin.is_none() && !room.is_behind(member);
        }
        match account.complete && account.caught_up {
            true => connection.unnote_all(),
            // The rooms that this send brought something of come last in the next one.
            false => connection.behind.rotate(served),
        }
        if let Some(rest) = cut {
            self.counters.rest_bytes_copied += rest.copied_bytes();
            self.connections[slot].own.get_or_insert_default().push_rest(rest);
        }
        assert_eq!(left, 0, "a socket takes no more than it is offered");
        account
    }

    /// The socket took everything. Whoever has caught up needs no place in any log; whoever has
    /// not goes on as soon as it is its turn.
    fn settle(&mut self, slot: u32) {
        self.let_go(slot);
        let behind = !self.connections[slot].behind.is_empty();
        self.connections[slot].slow &= behind;
        self.keep_places(slot);
        if behind || self.connections[slot].has_own() {
            self.make_ready(slot);
        }
        self.connections[slot].drop_empty_own();
    }

    /// Gives up the places of those memberships that are not behind.
    fn let_go(&mut self, slot: u32) {
        let rooms = &mut self.rooms;
        self.connections[slot].keep_notes(|membership| {
            let index = membership.listed().expect(LISTED);
            let (room, pool) = rooms.with_pool(membership.room);
            let is_behind = room.is_behind(&room.members[index]);
            if !is_behind {
                room.unpin(index);
                room.release(pool);
            }
            is_behind
        });
    }

    /// Pins the memberships that may be behind: their rooms' passes have gone by, and what they wait
    /// for is to stay.
    fn keep_places(&mut self, slot: u32) {
        let pin = if self.connections[slot].slow { Pin::Slow } else { Pin::Held };
        for behind in 0..self.connections[slot].behind.len() {
            let (membership, index) = self.noted(slot, behind);
            let room = &mut self.rooms[membership.room];
            if room.members[index].pin != Some(pin) {
                room.pin(index, pin);
            }
        }
    }

    /// The socket refused bytes: it is not touched until it is writable.
    fn on_refused(&mut self, slot: u32, took_some: bool) {
        let connection = &mut self.connections[slot];
        if took_some || !connection.slow {
            connection.refused_since = self.now;
        }
        connection.blocked_at = self.now;
        self.blocked += 1;
        connection.slow = true;
        if !connection.slow_timer {
            connection.slow_timer = true;
            // What it refused before it said that it was writable counts, if it took nothing since.
            let due = connection.refused_since + self.config.limits.slow_timeout;
            self.timers.set(due, Timer::Slow, self.connections.id(slot));
        }
        self.let_go(slot);
        self.keep_places(slot);
    }

    /// The socket is dead. What arrived before is still read and handled; then comes the end.
    fn on_failed(&mut self, slot: u32) {
        let connection = &mut self.connections[slot];
        connection.slow = true;
        connection.own = None;
        self.note_gone(slot);
        self.keep_places(slot);
        if self.connections[slot].phase == Phase::Closing {
            self.part(slot);
        } else if !self.reading {
            self.mark(slot, Disconnect::Lost);
        }
    }

    /// What waited for the end of the send.
    fn after_send(&mut self, slot: u32, id: ConnId) {
        if !self.deferred.is_empty() {
            let its = self.deferred.remove(&id).unwrap_or_default();
            its.into_iter().for_each(|outcome| self.on_outcome(outcome));
        }
        if self.connections[slot].fate.is_some() && self.connections[slot].phase != Phase::Closing {
            self.queues.marked.push_back(slot);
        }
        self.advance_goodbye(slot);
        let connection = &self.connections[slot];
        let resumes = match connection.wait {
            Some(Wait::Own) => !connection.owes_reading(&self.config.limits),
            Some(Wait::Begun) => true,
            _ => false,
        };
        if resumes {
            self.resume(slot);
        }
    }

    /// Queues one frame of the connection's own, unless it is out of its rooms: an answer that
    /// comes then must not follow the close frame.
    pub(super) fn push_own(&mut self, slot: u32, frame: &[u8]) {
        let connection = &mut self.connections[slot];
        let listens = matches!(connection.phase, Phase::Open | Phase::Finishing(_));
        if !listens || connection.sending == Sending::Dead {
            return;
        }
        let own = connection.own.get_or_insert_default();
        own.push(frame);
        let (len, most) = (own.len(), self.config.limits.own_bytes);
        // Replies cannot be refused, and their number is bounded by what was read before.
        if len > most && (self.is_stuck(slot) || len > OWN_EXCESS_MAX * most) {
            self.mark(slot, Disconnect::Slow);
        }
        self.make_ready(slot);
    }

    /// Whether the connection's socket has taken nothing for so long that its client does not seem
    /// to read.
    pub(super) fn is_stuck(&self, slot: u32) -> bool {
        let connection = &self.connections[slot];
        let patience = OWN_PATIENCE.min(self.config.limits.slow_timeout);
        connection.sending == Sending::Blocked
            && self.now.since(connection.refused_since) >= patience
    }
}
