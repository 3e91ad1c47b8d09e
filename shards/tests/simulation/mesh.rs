//! The rings between shards.

use std::collections::{BTreeSet, VecDeque};

use corecast_shards::{
    Answer, Capacity, ConnId, FromHome, Origin, Query, RoomName, ShardId, ToHome,
};

use crate::count::Happened;
use crate::world::{World, trace};

pub(crate) struct Ring<M> {
    pub(crate) queue: VecDeque<M>,
    /// What the sender believes is outdated.
    changed: bool,
    /// The sender sleeps and wants to be woken when there is room.
    waits: bool,
}

/// What a request to a home is about, as far as the home's count goes.
struct Seen {
    room: RoomName,
    joins: Option<ConnId>,
    /// How many members there are to be more.
    counts: i64,
    /// A caller's token.
    asks: Option<u64>,
    /// It is a join that asks for presence, which may have to wait at its home; or the leave of a
    /// connection with such a join.
    may_wait: bool,
}

impl Seen {
    fn of(request: &ToHome, watching: &mut BTreeSet<(ConnId, RoomName)>) -> Option<Seen> {
        let may_wait = match request {
            ToHome::Join { room, conn, options, again: false, .. } if options.presence => {
                watching.insert((*conn, room.clone()))
            }
            ToHome::Leave { room, conn, .. } => watching.remove(&(*conn, room.clone())),
            _ => false,
        };
        let (room, joins, counts, asks) = match request {
            ToHome::Join { room, conn, again, .. } => (room, Some(*conn), i64::from(!again), None),
            ToHome::Leave { room, .. } => (room, None, -1, None),
            ToHome::Publish { room, origin: Origin::Caller(token), .. } => {
                (room, None, 0, Some(token.0))
            }
            _ => return None,
        };
        Some(Seen { room: room.clone(), joins, counts, asks, may_wait })
    }
}

/// Two rings for each ordered pair of shards.
pub(crate) struct Mesh {
    items: usize,
    bytes: usize,
    /// By sender, then receiver.
    pub(crate) requests: Vec<Vec<Ring<ToHome>>>,
    pub(crate) outcomes: Vec<Vec<Ring<FromHome>>>,
    /// Joins that left their shard and whose answer has not come back.
    pub(crate) joining: BTreeSet<(ConnId, RoomName)>,
    /// Joins that asked for presence, whose connections have not left since.
    watching: BTreeSet<(ConnId, RoomName)>,
}

impl<M> Ring<M> {
    fn new() -> Ring<M> {
        Ring { queue: VecDeque::new(), changed: true, waits: false }
    }
}

fn rings<M>(shards: usize) -> Vec<Vec<Ring<M>>> {
    (0..shards).map(|_| (0..shards).map(|_| Ring::new()).collect()).collect()
}

impl Mesh {
    pub(crate) fn new(shards: usize, items: usize, bytes: usize) -> Mesh {
        let (requests, outcomes) = (rings(shards), rings(shards));
        Mesh {
            items,
            bytes,
            requests,
            outcomes,
            joining: BTreeSet::new(),
            watching: BTreeSet::new(),
        }
    }

    fn room<M>(&self, ring: &Ring<M>, weight: impl Fn(&M) -> usize) -> Capacity {
        let used: usize = ring.queue.iter().map(weight).sum();
        Capacity {
            items: self.items.saturating_sub(ring.queue.len()),
            bytes: self.bytes.saturating_sub(used),
        }
    }

    /// Whether a ring to this connection's shard holds something for the one that had its slot before.
    pub(crate) fn has_predecessor(&self, conn: ConnId) -> bool {
        let to = conn.shard.index();
        let is_of = |other: &ConnId| other.slot == conn.slot && *other != conn;
        let outcomes = self.outcomes.iter().flat_map(|rings| &rings[to].queue);
        let mut answered = outcomes.filter_map(|outcome| match outcome {
            FromHome::Joined { conn, .. }
            | FromHome::Unjoined { conn, .. }
            | FromHome::Left { conn, .. }
            | FromHome::Reply { conn, .. } => Some(conn),
            _ => None,
        });
        let requests = self.requests[to].iter().flat_map(|ring| &ring.queue);
        let mut request = requests.filter_map(|request| match request {
            ToHome::Join { conn, .. } | ToHome::Relay { conn, .. } => Some(conn),
            ToHome::Leave { conn, request: Some(_), .. } => Some(conn),
            _ => None,
        });
        answered.any(is_of) || request.any(is_of)
    }

    /// Whether the receiver would take something of what the sender has put on its rings.
    pub(crate) fn has_news(&self, from: usize, to: usize, takes_to_home: bool) -> bool {
        let requests = takes_to_home && !self.requests[from][to].queue.is_empty();
        requests || !self.outcomes[from][to].queue.is_empty()
    }

    /// The sender wants to hear of room; returns whether there is some already.
    pub(crate) fn waits_for_request_room(&mut self, from: usize, to: usize) -> bool {
        let room = self.room(&self.requests[from][to], ToHome::weight);
        self.requests[from][to].waits = room.items == 0 || room.bytes == 0;
        !self.requests[from][to].waits
    }

    pub(crate) fn waits_for_outcome_room(&mut self, from: usize, to: usize) -> bool {
        let room = self.room(&self.outcomes[from][to], FromHome::weight);
        self.outcomes[from][to].waits = room.items == 0 || room.bytes == 0;
        !self.outcomes[from][to].waits
    }

    pub(crate) fn is_empty(&self) -> bool {
        let requests = self.requests.iter().flatten().all(|ring| ring.queue.is_empty());
        requests && self.outcomes.iter().flatten().all(|ring| ring.queue.is_empty())
    }
}

impl World {
    /// A few messages move, one at a time, onto rings or off them.
    pub(crate) fn move_messages(&mut self, shard: usize) {
        for _ in 0..self.chance.skewed(12) {
            let other = self.chance.below(self.shards.len());
            if other == shard {
                let budget = self.chance.within(1, 4);
                self.take_loopback(shard, budget);
                continue;
            }
            match self.chance.below(4) {
                0 => self.carry_request(shard, other),
                1 => self.carry_outcome(shard, other),
                2 => self.hand_in_request(other, shard),
                _ => self.hand_in_outcome(other, shard),
            };
            if !self.chance.happens(self.setup.faults.late_room) {
                self.tell_rooms(shard);
            }
        }
    }

    pub(crate) fn take_loopback(&mut self, shard: usize, budget: usize) {
        self.handled[shard] = true;
        let one_by_one = self.limits_rooms();
        for _ in 0..if one_by_one { budget } else { 1 } {
            self.shards[shard].take_loopback(if one_by_one { 1 } else { budget });
            self.check_totals(shard);
        }
        self.note_spill(shard);
    }

    /// A shard never puts more on a ring than the capacity that it last learned of. What a lie adds
    /// does not count: that is for the judge to notice.
    fn check_fits(&self, len: usize) {
        assert!(len <= self.mesh.items || self.lying.done, "the ring is full");
    }

    /// Reports the capacity of a shard's rings to it.
    pub(crate) fn tell_rooms(&mut self, shard: usize) {
        for to in (0..self.shards.len()).filter(|to| *to != shard) {
            self.tell_ring_room(shard, to);
        }
    }

    /// The same for the rings to one other shard, if anything was taken off them.
    pub(crate) fn tell_ring_room(&mut self, shard: usize, to: usize) {
        let id = ShardId::new(to as u16);
        if std::mem::take(&mut self.mesh.requests[shard][to].changed) {
            let room = self.mesh.room(&self.mesh.requests[shard][to], ToHome::weight);
            self.shards[shard].on_to_home_capacity(id, room);
            self.check_totals(shard);
        }
        if std::mem::take(&mut self.mesh.outcomes[shard][to].changed) {
            let room = self.mesh.room(&self.mesh.outcomes[shard][to], FromHome::weight);
            self.shards[shard].on_from_home_capacity(id, room);
        }
    }

    pub(crate) fn carry_request(&mut self, from: usize, to: usize) -> bool {
        let Some(request) = self.shards[from].next_to_home(ShardId::new(to as u16)) else {
            let full = self.mesh.requests[from][to].queue.len() >= self.mesh.items;
            self.count.add_if(full, Happened::RingFull);
            return false;
        };
        trace!(self, "ring {from} > {to}: {request:.200?}");
        if let ToHome::Join { conn, room, again: false, .. } = &request {
            self.mesh.joining.insert((*conn, room.clone()));
        }
        self.mesh.requests[from][to].queue.push_back(request);
        self.mesh.requests[from][to].waits = false;
        self.ring(to);
        self.check_fits(self.mesh.requests[from][to].queue.len());
        self.lie_about_requests(from, to);
        true
    }

    pub(crate) fn carry_outcome(&mut self, from: usize, to: usize) -> bool {
        let Some(outcome) = self.shards[from].next_from_home(ShardId::new(to as u16)) else {
            let full = self.mesh.outcomes[from][to].queue.len() >= self.mesh.items;
            self.count.add_if(full, Happened::RingFull);
            return false;
        };
        trace!(self, "ring {from} > {to}: {outcome:.200?}");
        self.mesh.outcomes[from][to].queue.push_back(outcome);
        self.mesh.outcomes[from][to].waits = false;
        self.ring(to);
        self.check_fits(self.mesh.outcomes[from][to].queue.len());
        self.lie_about_outcomes(from, to);
        true
    }

    pub(crate) fn hand_in_request(&mut self, from: usize, to: usize) -> bool {
        if !self.shards[to].takes_to_home() {
            return false;
        }
        let ring = &mut self.mesh.requests[from][to];
        let Some(request) = ring.queue.pop_front() else { return false };
        ring.changed = true;
        self.sleepers[from].rung |= ring.waits;
        trace!(self, "shard {to} takes {request:.100?}");
        self.handled[to] = true;
        let seen = Seen::of(&request, &mut self.mesh.watching);
        let before = seen.as_ref().map(|seen| self.members_at_home(to, &seen.room));
        let repeated = self.repeats_of_ended(to, &request);
        let lacks_room = self.lacks_room(to);
        let rooms = self.shards[to].totals().rooms;
        self.shards[to].on_to_home(ShardId::new(from as u16), request);
        if let Some(before) = repeated {
            let more = self.shards[to].counters().publish_keys.repeated > before;
            self.count.add_if(more, Happened::KeyOutlivedRoom);
        }
        if let (Some(Seen { counts: 1, may_wait: false, .. }), Some((_, 0))) = (&seen, before) {
            let more = self.shards[to].totals().rooms - rooms;
            assert_eq!(more, u64::from(!lacks_room), "a room's first member is let in, or not");
        }
        if let (Some(seen), Some(before)) = (seen, before) {
            self.note_request(from, to, &seen, before);
        }
        self.check_totals(to);
        self.note_spill(to);
        true
    }

    /// How many publishes were repeated at this home, if this is one with a key to a room that is not
    /// there.
    fn repeats_of_ended(&mut self, home: usize, request: &ToHome) -> Option<u64> {
        let ToHome::Publish { room, message, .. } = request else { return None };
        message.key()?;
        let answer = self.shards[home].answer(Query::Room(room.clone()));
        let repeated = self.shards[home].counters().publish_keys.repeated;
        matches!(answer, Answer::Room(None)).then_some(repeated)
    }

    pub(crate) fn hand_in_outcome(&mut self, from: usize, to: usize) -> bool {
        let ring = &mut self.mesh.outcomes[from][to];
        let Some(outcome) = ring.queue.pop_front() else { return false };
        ring.changed = true;
        self.sleepers[from].rung |= ring.waits;
        self.note_outcome(&outcome);
        trace!(self, "shard {to} takes {outcome:.100?}");
        self.shards[to].on_from_home(outcome);
        self.check_totals(to);
        true
    }

    /// A room's offset and members, as its home counts them.
    pub(crate) fn members_at_home(&mut self, home: usize, room: &RoomName) -> (u64, u32) {
        match self.shards[home].answer(Query::Room(room.clone())) {
            Answer::Room(Some(info)) => (info.offset, info.members),
            _ => (self.remembered_offset(home, room), 0),
        }
    }

    /// Where a room goes on that has ended.
    fn remembered_offset(&mut self, home: usize, room: &RoomName) -> u64 {
        let (room, since, epoch) = (room.clone(), None, None);
        match self.shards[home].answer(Query::History { room, since, epoch, limit: 0 }) {
            Answer::History(Some(history)) => history.offset,
            _ => 0,
        }
    }

    /// A home has handled a request: it counts one more, or one less, and answers with its count.
    fn note_request(&mut self, from: usize, home: usize, seen: &Seen, before: (u64, u32)) {
        let after = self.members_at_home(home, &seen.room);
        let counted = i64::from(after.1) - i64::from(before.1);
        let waits = seen.may_wait && counted == 0;
        let admits = seen.may_wait && seen.joins.is_some() && counted > 0;
        let is_right = counted == seen.counts || waits || admits;
        assert!(is_right || self.lying.done, "members of {:?}", seen.room);
        let (parked, left) = (Happened::PresenceParked, Happened::PresenceParkedAndLeft);
        self.count.add_if(waits, if seen.joins.is_some() { parked } else { left });
        if seen.may_wait {
            return;
        }
        let place = self.names.iter().position(|name| *name == seen.room);
        if let (Some(conn), Some(place)) = (seen.joins, place) {
            let key = (self.by_conn[&conn], place);
            self.members.entry(key).or_default().push_back(u64::from(after.1));
            let stream = self.clients[key.0].view.stream.as_mut();
            if let Some(part) = stream.and_then(|stream| stream.part_mut(place)) {
                part.joined_at = Some(after.0);
            }
        }
        if let Some(token) = seen.asks {
            // Where no room lingers, it has ended again.
            self.published.insert((from, token), (before.0 + 1, before.1));
        }
    }

    fn note_spill(&mut self, shard: usize) {
        self.count.add_if(!self.shards[shard].takes_to_home(), Happened::SpillUsed);
    }

    fn note_outcome(&mut self, outcome: &FromHome) {
        match outcome {
            FromHome::Joined { conn, room, .. } => {
                self.mesh.joining.remove(&(*conn, room.clone()));
                let place = self.names.iter().position(|name| name == room);
                if let (Some(client), Some(place)) = (self.by_conn.get(conn).copied(), place) {
                    self.note_mid_pass(client, place, Happened::FormatJoinedMidPass);
                }
            }
            FromHome::Unjoined { conn, room, .. } => {
                self.mesh.joining.remove(&(*conn, room.clone()));
            }
            FromHome::Left { conn, room, .. } => {
                let place = self.names.iter().position(|name| name == room);
                if let (Some(client), Some(place)) = (self.by_conn.get(conn).copied(), place) {
                    self.note_mid_pass(client, place, Happened::FormatLeftMidPass);
                }
            }
            FromHome::Paused { paused, .. } => {
                self.count.add_if(*paused, Happened::RoomPaused);
                self.count.add_if(!*paused, Happened::RoomResumed);
            }
            FromHome::Deliver { room, offset, exclude: Some(conn), .. } => {
                let place = self.names.iter().position(|name| name == room);
                let view = self.by_conn.get(conn).map(|client| &self.clients[*client].view);
                let stay = place.and_then(|place| view?.rooms.get(&place));
                let behind = stay.is_some_and(|stay| stay.next < *offset);
                self.count.add_if(behind, Happened::ExcludedSenderBehind);
            }
            _ => {}
        }
    }

    /// Whether this client published on the shard where the room's home and a member are.
    pub(crate) fn note_publish(&mut self, client: usize, room: usize) {
        let shard = self.clients[client].shard;
        let home = self.shards[shard].home(&self.names[room]).index();
        let is_here = |client: &&usize| {
            let client = &self.clients[**client];
            client.shard == shard && client.view.rooms.contains_key(&room)
        };
        let together = home == shard && self.open.iter().any(|client| is_here(&client));
        self.count.add_if(together, Happened::PublisherHomeAndMemberOnOneShard);
    }
}
