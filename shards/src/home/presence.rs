//! When it is known who is in a room, and who is told of it.
//!
//! A join with presence, and a question, begin a census of a room of which it is not known: the shards
//! with members name them. Until the last has done so such joins and questions wait. Joins and leaves
//! themselves say who comes and goes, in the order of the same rings: so the census and what happens
//! meanwhile are together exact.
//!
//! A client that begins to watch is given the state of the moment, which may have changes that are to be
//! told with the next version: then that tells whatever was changed since the last one, also what is
//! again as it was, so that all watchers know the same at each version, and all are sent the same frame.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::Home;
use super::watched::{Asker, JoinRequest, PAUSE, PresenceRules, Told, Watched};
use crate::config::Config;
use crate::format::Joined;
use crate::history::Parts;
use crate::id::{ConnId, ShardId};
use crate::identity::Identity;
use crate::memory::{HeapBytes, Sum, map_bytes, shared_bytes, tree_bytes, vec_bytes};
use crate::mesh::{Answer, FromHome, Outboxes, Requester, ToHome, Unjoined};
use crate::presence::{Census, People, Presence};
use crate::room_name::{RoomName, SecretHash};
use crate::shard_stats::PresenceCounters;
use crate::time::Time;

/// The rooms of a home of which it is known who is there, or is to be.
#[derive(Debug)]
pub(super) struct Presences {
    rooms: HashMap<RoomName, Box<Entry>, SecretHash>,
    /// The rooms for which something is due, by when.
    due: BTreeSet<(Time, RoomName)>,
    /// When more of what is due is done, if that was too much for one turn.
    goes_on_at: Time,
    rules: PresenceRules,
    /// Rooms that are looked at in one turn, and users that go.
    per_turn: usize,
    /// Joins that are done in one turn.
    joins: usize,
    /// What was known of rooms, and is forgotten some at a time.
    ended: VecDeque<People>,
    /// The greatest version of all rooms that have ended: those of a home never repeat.
    last_version: u64,
    censuses: u64,
    /// Users and watchers of all rooms.
    users: usize,
    watchers: usize,
    /// Joins that are to watch and questions that are not answered yet.
    waiting: usize,
    /// Bytes of names, and of what the rooms own.
    owned: Sum,
    pub(super) counters: PresenceCounters,
}

#[derive(Debug)]
struct Entry {
    watched: Watched,
    due: Option<Time>,
}

/// Bytes of changes that are written in one turn, give or take one.
const TOLD_BYTES: usize = 1 << 20;

/// Memory for this many rooms is kept.
const FEW_ROOMS: usize = 64;

impl Presences {
    pub(super) fn new(config: &Config, hash: SecretHash) -> Presences {
        let tuning = &config.tuning;
        Presences {
            rooms: HashMap::with_hasher(hash),
            due: BTreeSet::new(),
            goes_on_at: Time::default(),
            rules: PresenceRules::new(&config.limits),
            per_turn: tuning.ends_per_turn,
            joins: tuning.presence_joins,
            ended: VecDeque::new(),
            last_version: 0,
            censuses: 0,
            users: 0,
            watchers: 0,
            waiting: 0,
            owned: Sum::default(),
            counters: PresenceCounters::default(),
        }
    }

    fn begin(&mut self, room: &RoomName, shards: Vec<ShardId>, now: Time) -> Option<u64> {
        let id = (!shards.is_empty()).then(|| {
            self.censuses += 1;
            self.censuses
        });
        let census = id.map(|id| Census { id, left: shards });
        let watched = Watched::new(census, self.last_version + 1, now);
        self.owned.add(shared_bytes(room.as_str().len()) + watched.heap_bytes());
        self.rooms.insert(room.clone(), Box::new(Entry { watched, due: None }));
        id
    }

    fn end(&mut self, room: &RoomName) {
        let entry = self.rooms.remove(room).expect("what ends was there");
        self.owned.take_off(shared_bytes(room.as_str().len()) + entry.watched.heap_bytes());
        self.users -= entry.watched.users();
        self.last_version = self.last_version.max(entry.watched.version());
        if let Some(due) = entry.due {
            self.due.remove(&(due, room.clone()));
        }
        let people = entry.watched.into_people();
        self.owned.add(people.heap_bytes());
        self.ended.push_back(people);
        if self.rooms.len() < self.rooms.capacity() / 8 {
            self.rooms.shrink_to(2 * self.rooms.len() + FEW_ROOMS);
        }
    }

    /// Forgets some of what was known of rooms that have ended.
    fn forget_some(&mut self, now: Time) {
        let mut left = self.per_turn;
        while left > 0
            && let Some(people) = self.ended.front_mut()
        {
            let before = people.heap_bytes();
            left -= people.forget_some(left);
            self.owned.change(before, people.heap_bytes());
            if people.heap_bytes() == 0 {
                self.ended.pop_front();
            }
        }
        match self.ended.is_empty() {
            true => self.ended = VecDeque::new(),
            false => self.goes_on_at = now + PAUSE,
        }
    }

    /// Changes what is kept of a room, if anything is, together with all that is counted of it.
    fn change<R>(
        &mut self,
        room: &RoomName,
        now: Time,
        change: impl FnOnce(&mut Watched, &PresenceRules) -> R,
    ) -> Option<R> {
        let entry = self.rooms.get_mut(room)?;
        let sizes = |watched: &Watched| {
            (watched.heap_bytes(), watched.users(), watched.watchers(), watched.waiting())
        };
        let before = sizes(&entry.watched);
        let result = change(&mut entry.watched, &self.rules);
        let due = entry.watched.next_deadline(&self.rules, now);
        let after = sizes(&entry.watched);
        self.owned.change(before.0, after.0);
        self.users = self.users + after.1 - before.1;
        self.watchers = self.watchers + after.2 - before.2;
        self.waiting = self.waiting + after.3 - before.3;
        let was_due = std::mem::replace(&mut entry.due, due);
        if was_due != due {
            was_due.map(|due| self.due.remove(&(due, room.clone())));
            self.due.extend(due.map(|due| (due, room.clone())));
        }
        Some(result)
    }

    /// Whether it is known, or about to be, who is in this room.
    fn contains(&self, room: &RoomName) -> bool {
        !self.rooms.is_empty() && self.rooms.contains_key(room)
    }

    /// A connection has become a member.
    pub(super) fn note_join(
        &mut self,
        room: &RoomName,
        conn: ConnId,
        identity: Option<&Identity>,
        now: Time,
    ) {
        if self.contains(room) {
            self.change(room, now, |watched, _| watched.join(conn, identity));
        }
    }

    /// A leave has come. Returns whether the connection was a member, and did not wait to be one.
    pub(super) fn note_leave(&mut self, room: &RoomName, conn: ConnId, now: Time) -> bool {
        if !self.contains(room) {
            return true;
        }
        let left = self.change(room, now, |watched, rules| watched.leave(conn, rules, now));
        left.unwrap_or(true)
    }

    fn first_due(&self) -> Option<Time> {
        self.due.first().map(|(due, _)| *due)
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        let due = self.first_due().map(|due| due.max(self.goes_on_at));
        if self.ended.is_empty() { due } else { Some(self.goes_on_at) }
    }

    /// Joins that are to watch and questions that are not answered yet.
    pub(super) fn owed_answers(&self) -> usize {
        self.waiting
    }

    /// Rooms, users and watchers.
    pub(super) fn totals(&self) -> (usize, usize, usize) {
        (self.rooms.len(), self.users, self.watchers)
    }

    pub(super) fn bytes(&self) -> usize {
        map_bytes::<RoomName, Box<Entry>>(self.rooms.capacity())
            + self.rooms.len() * vec_bytes::<Entry>(1)
            + tree_bytes::<(Time, RoomName), ()>(self.due.len())
            + vec_bytes::<People>(self.ended.capacity())
            + self.owned.get()
    }

    /// Asserts what holds between any two messages.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) {
        let (mut owned, mut users, mut watchers, mut due) = (0, 0, 0, 0);
        let waiting = self.rooms.values().map(|entry| entry.watched.waiting());
        assert_eq!(self.waiting, waiting.sum::<usize>(), "who is not answered yet");
        for (room, Entry { watched, due: at }) in self.rooms.iter().map(|(room, e)| (room, &**e)) {
            watched.check();
            owned += shared_bytes(room.as_str().len()) + watched.heap_bytes();
            (users, watchers) = (users + watched.users(), watchers + watched.watchers());
            due += usize::from(at.is_some_and(|at| self.due.contains(&(at, room.clone()))));
        }
        owned += self.ended.iter().map(HeapBytes::heap_bytes).sum::<usize>();
        assert_eq!(self.owned.get(), owned, "bytes of presence");
        assert_eq!((self.users, self.watchers), (users, watchers), "users and watchers");
        assert_eq!(self.due.len(), due, "each room is due once");
    }
}

impl Home {
    /// A client is to watch a room that it joins.
    pub(super) fn join_watching(
        &mut self,
        room: RoomName,
        request: JoinRequest,
        now: Time,
        outboxes: &mut Outboxes,
    ) {
        let may_refuse = matches!(request.requester, Requester::Client(_));
        if !self.is_or_may_be_known(&room) && may_refuse {
            let is_there = self.rooms.contains(&room);
            self.presences.counters.refused += u64::from(is_there);
            let why = if is_there { Unjoined::NoMemoryForPresence } else { Unjoined::NoMemory };
            return self.join(room, request, Some(why), now, outboxes);
        }
        self.find_out(&room, now, outboxes);
        self.presences.change(&room, now, |watched, _| watched.park(request));
        self.settle_presence(&room, now, outboxes);
    }

    /// A member, or a caller, asks who is in a room.
    pub(super) fn ask_presence(
        &mut self,
        room: &RoomName,
        asker: Asker,
        now: Time,
        outboxes: &mut Outboxes,
    ) {
        if self.rooms.info(room).is_none() || room.is_everybody() {
            return answer(asker, room, Answer::Presence(None), outboxes);
        }
        if !self.is_or_may_be_known(room) {
            self.presences.counters.refused += 1;
            return answer(asker, room, Answer::Short, outboxes);
        }
        self.find_out(room, now, outboxes);
        self.presences.change(room, now, |watched, _| watched.ask(asker, now));
        self.settle_presence(room, now, outboxes);
    }

    /// Whether there is memory to know who is in a room, unless that is known.
    fn is_or_may_be_known(&self, room: &RoomName) -> bool {
        !self.ttl.is_short || self.presences.contains(room)
    }

    /// Asks the shards with members who these are, unless that is known or asked.
    fn find_out(&mut self, room: &RoomName, now: Time, outboxes: &mut Outboxes) {
        if self.presences.contains(room) {
            return;
        }
        let shards = self.rooms.shards_of(room);
        if let Some(census) = self.presences.begin(room, shards.clone(), now) {
            self.presences.counters.censuses += 1;
            for shard in shards {
                let room = room.clone();
                outboxes.push_from_home(shard, FromHome::Census { room, census });
            }
        }
    }

    /// A shard names members that it has.
    pub(super) fn on_census(
        &mut self,
        from: ShardId,
        message: ToHome,
        now: Time,
        outboxes: &mut Outboxes,
    ) {
        let ToHome::Census { room, census, members, is_last } = message else { return };
        let last_of = is_last.then_some(from);
        self.presences.change(&room, now, |watched, rules| {
            watched.count(census, &members, last_of, rules);
        });
        self.settle_presence(&room, now, outboxes);
    }

    /// Answers who asked, and lets those join who are to watch, as many as one turn may.
    fn settle_presence(&mut self, room: &RoomName, now: Time, outboxes: &mut Outboxes) {
        let asking = self.presences.change(room, now, |watched, _| watched.take_asking());
        let asking = asking.unwrap_or_default();
        if !asking.is_empty() {
            let presence = self.present(room, now, outboxes);
            for asker in asking {
                let presence = Some(Arc::clone(&presence));
                answer(asker, room, Answer::Presence(presence), outboxes);
            }
        }
        self.admit(room, self.presences.joins, now, outboxes);
    }

    /// Who is in a room of which that is known. Where nobody watches each state that is asked for has
    /// a version of its own.
    fn present(&mut self, room: &RoomName, now: Time, outboxes: &mut Outboxes) -> Arc<Presence> {
        let is_watched = self.presences.rooms[room].watched.watchers() > 0;
        if !is_watched {
            self.tell(room, now, outboxes);
        }
        self.presences.counters.states += 1;
        let presence = self.presences.change(room, now, |watched, rules| watched.presence(rules));
        presence.expect("it is known who is in the room")
    }

    /// Some that are to watch become members, and are given one state. Returns how many.
    fn admit(&mut self, room: &RoomName, most: usize, now: Time, outboxes: &mut Outboxes) -> usize {
        let joining = self.presences.change(room, now, |watched, _| watched.next_parked(most, now));
        let joining = joining.unwrap_or_default();
        let count = joining.len();
        let mut joined = Vec::new();
        for request in joining {
            match self.count_join(room, &request, now) {
                Ok(entered) => joined.push((request, entered)),
                Err(why) => push_unjoined(room, request, why, outboxes),
            }
        }
        for (request, entered) in joined {
            let presence = self.present(room, now, outboxes);
            self.presences.change(room, now, |watched, _| watched.watch(request.conn));
            push_joined(room, request, entered, Some(presence), outboxes);
        }
        count
    }

    /// Begins the next version of a room's presence, if anything has changed.
    fn tell(&mut self, room: &RoomName, now: Time, outboxes: &mut Outboxes) -> usize {
        let told = self.presences.change(room, now, |watched, rules| watched.tell(room, rules));
        let Some(Told { version, frame, shards }) = told.flatten() else { return 0 };
        self.presences.counters.changes += 1;
        for shard in shards {
            let (room, frame) = (room.clone(), Arc::clone(&frame));
            outboxes.push_from_home(shard, FromHome::PresenceChange { room, version, frame });
        }
        frame.len()
    }

    /// Users go that have lingered, versions begin, those join that are to watch, and what nobody needs
    /// is forgotten, as far as one turn may: so much of all rooms together.
    pub(super) fn presence_on_time(&mut self, now: Time, outboxes: &mut Outboxes) {
        if self.presences.next_deadline().is_none_or(|due| due > now) {
            return;
        }
        let (mut ends, mut joins) = (self.presences.per_turn, self.presences.joins);
        let mut bytes = TOLD_BYTES;
        for _ in 0..self.presences.per_turn {
            let is_due = |(due, _): &&(Time, RoomName)| *due <= now;
            let Some((_, room)) = self.presences.due.first().filter(is_due) else { break };
            let room = room.clone();
            let state = self.presences.change(&room, now, |watched, _| {
                ends -= watched.on_time(ends, now);
                (watched.is_over(now), watched.is_due(now))
            });
            match state {
                Some((true, _)) => self.presences.end(&room),
                Some((false, tells)) => {
                    let told = if tells { self.tell(&room, now, outboxes) } else { 0 };
                    bytes = bytes.saturating_sub(told);
                    joins -= self.admit(&room, joins, now, outboxes);
                }
                None => {}
            }
            let is_spent = ends == 0 || joins == 0 || bytes == 0;
            // What shards have not taken yet is not added to.
            if is_spent || !outboxes.takes_to_home() {
                break;
            }
        }
        if self.presences.first_due().is_some_and(|due| due <= now) {
            self.presences.goes_on_at = now + PAUSE;
        }
        self.presences.forget_some(now);
    }
}

/// Answers one that asked who is in a room.
fn answer(asker: Asker, room: &RoomName, answer: Answer, outboxes: &mut Outboxes) {
    match asker {
        Asker::Caller { shard, token } => {
            outboxes.push_from_home(shard, FromHome::Answer { token, answer });
        }
        Asker::Member { conn, change_id, id } => {
            let room = room.clone();
            let presence = if let Answer::Presence(presence) = answer { presence } else { None };
            let answer = FromHome::Presence { room, conn, change_id, id, presence };
            outboxes.push_from_home(conn.shard, answer);
        }
    }
}

/// The connection has become a member.
pub(super) fn push_joined(
    room: &RoomName,
    request: JoinRequest,
    (joined, replay): (Joined, Parts),
    presence: Option<Arc<Presence>>,
    outboxes: &mut Outboxes,
) {
    let JoinRequest { conn, change_id, requester, .. } = request;
    let room = room.clone();
    let answer = FromHome::Joined { room, conn, change_id, requester, joined, presence, replay };
    outboxes.push_from_home(conn.shard, answer);
}

/// The connection is counted, and no member.
pub(super) fn push_unjoined(
    room: &RoomName,
    request: JoinRequest,
    why: Unjoined,
    outboxes: &mut Outboxes,
) {
    let JoinRequest { conn, change_id, requester, .. } = request;
    let room = room.clone();
    outboxes
        .push_from_home(conn.shard, FromHome::Unjoined { room, conn, change_id, requester, why });
}
