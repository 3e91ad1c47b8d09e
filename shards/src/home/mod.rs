//! What each message to a home does: offsets, encoding, acks, members, pauses.

mod keys;
mod presence;
mod remembered;
mod rooms;
mod watched;

use std::cmp::Ordering;

use crate::config::Config;
use crate::deflate::Codecs;
use crate::epoch::Epoch;
use crate::format::{
    Compression, Encoder, Encoding, Encodings, Joined, Numbered, Placed, Reply, RoomMessage,
};
use crate::handler::RoomEvent;
use crate::history::{Frame, HistoryKey, Parts};
use crate::id::{ConnId, ShardId};
use crate::journal::{JournalStore, JournalTag, KeptRoom};
use crate::mesh::{
    Answer, AnswerToken, FromHome, Origin, Outboxes, Query, Requester, RoomHistory, RoomInfo,
    ToHome, Unjoined,
};
use crate::recovery::{JoinOptions, Position, Recovery, Start, Unrecovered};
use crate::rng::Rng;
use crate::room_name::{RoomName, SecretHash};
use crate::shard_stats::{DeflateCounters, HistoryCounters, PresenceCounters, PublishKeyCounters};
use crate::time::Time;
use keys::PublishKeys;
use presence::Presences;
pub(crate) use rooms::bytes_at_home;
use rooms::{HomeRooms, IdleTtl};
use watched::{Asker, JoinRequest};

/// A shard as the home of rooms: it orders their messages, counts their members and knows which
/// shards have members. It knows connections by their ids alone.
///
/// Invariant: what it sends back about a room goes out in the order in which it happened here.
#[derive(Debug)]
pub(crate) struct Home {
    rooms: HomeRooms,
    keys: PublishKeys,
    presences: Presences,
    /// Messages that got their offset here.
    published: u64,
    encoder: Encoder,
    shards: u16,
    ttl: IdleTtl,
    /// How many rooms are paused.
    paused: u64,
    /// What happened since it was asked, if the program watches that.
    watches: bool,
    events: Vec<RoomEvent>,
    /// How many rooms may have members, on all shards, and how many have on the others.
    rooms_max: usize,
    rooms_of_others: u64,
}

impl Home {
    /// A home without rooms, but for the room of everybody if this is its home.
    pub(crate) fn new(id: ShardId, config: &Config, hash: SecretHash) -> Home {
        let is_home_of_everybody = hash.home("", config.shards) == id;
        let limits = &config.limits;
        let keys = share(limits.publish_keys, id, config.shards);
        let keys = PublishKeys::new(hash.clone(), limits.publish_key_time, keys);
        let rooms_max = share(limits.lingering_rooms, id, config.shards);
        let kept = (rooms_max, limits.history_bytes() / usize::from(config.shards));
        let mut start = Rng::new(config.seed, u64::MAX);
        let presences = Presences::new(config, hash.clone());
        let mut rooms = HomeRooms::new(id, config, hash, &mut start, kept);
        if is_home_of_everybody {
            rooms.open_everybody((0..config.shards).map(ShardId::new));
        }
        let ttl = IdleTtl { duration: limits.room_linger, rooms_max, is_short: false };
        let (least, per_turn) = (limits.deflate_min, config.tuning.deflated_bytes);
        let new = |codecs: Codecs| Compression::new((codecs.deflater)(), least, per_turn);
        let compression = config.codecs.map(new);
        let encoder = Encoder::new(compression);
        let rooms_max = limits.total_rooms;
        Home {
            rooms,
            keys,
            presences,
            published: 0,
            encoder,
            shards: config.shards,
            ttl,
            paused: 0,
            watches: config.hooks.occupancy,
            events: Vec::new(),
            rooms_max,
            rooms_of_others: 0,
        }
    }

    /// Handles a message of shard `from`. A query is returned unanswered: only the whole shard can
    /// answer it.
    pub(crate) fn handle(
        &mut self,
        from: ShardId,
        message: ToHome,
        now: Time,
        outboxes: &mut Outboxes,
    ) -> Option<(AnswerToken, Query)> {
        match message {
            ToHome::Publish { room, message, exclude, origin, accepted } => {
                let publish = Publish { message, exclude, accepted };
                self.publish(from, &room, publish, origin, now, outboxes);
            }
            ToHome::Join {
                room,
                conn,
                encoding,
                change_id,
                requester,
                options,
                identity,
                again,
            } => {
                let watches = options.presence && !again;
                let request =
                    JoinRequest { conn, encoding, change_id, requester, options, identity, again };
                match watches {
                    true => self.join_watching(room, request, now, outboxes),
                    false => self.join(room, request, None, now, outboxes),
                }
            }
            ToHome::Presence { room, conn, change_id, id } => {
                self.ask_presence(&room, Asker::Member { conn, change_id, id }, now, outboxes);
            }
            ToHome::Census { .. } => self.on_census(from, message, now, outboxes),
            ToHome::Query { token, query: Query::Presence(room) } => {
                self.ask_presence(&room, Asker::Caller { shard: from, token }, now, outboxes);
            }
            ToHome::Leave { room, conn, .. } if !self.presences.note_leave(&room, conn, now) => {}
            ToHome::Leave { room, conn, encoding, request } => {
                let (resumed, offset) = self.on_leave(&room, conn.shard, encoding, now);
                self.announce_pause(&room, resumed.then_some(false), outboxes);
                if let Some(request) = request {
                    let left = FromHome::Left { room, conn, request, offset };
                    outboxes.push_from_home(conn.shard, left);
                }
            }
            ToHome::Relay { conn, reply } => {
                outboxes.push_from_home(conn.shard, FromHome::Reply { conn, reply });
            }
            ToHome::Pause { room, paused } => {
                let changed = self.rooms.pause(&room, from, paused);
                self.announce_pause(&room, changed, outboxes);
            }
            ToHome::Query { token, query } => return Some((token, query)),
            ToHome::HandOver { .. } => unreachable!("the host has what is handed over"),
        }
        None
    }

    /// A connection joins, unless something is against it already.
    fn join(
        &mut self,
        room: RoomName,
        request: JoinRequest,
        why_not: Option<Unjoined>,
        now: Time,
        outboxes: &mut Outboxes,
    ) {
        let counted = match why_not {
            None => self.count_join(&room, &request, now),
            Some(why) => {
                self.on_join(&room, joins(&request), &JoinOptions::default(), now);
                Err(why)
            }
        };
        match counted {
            Ok(entered) => presence::push_joined(&room, request, entered, None, outboxes),
            Err(why) => presence::push_unjoined(&room, request, why, outboxes),
        }
    }

    /// Counts a connection that joins among the members. Returns why it is none in spite of that, or
    /// how the room is, and the messages of before that it is sent.
    fn count_join(
        &mut self,
        room: &RoomName,
        request: &JoinRequest,
        now: Time,
    ) -> Result<(Joined, Parts), Unjoined> {
        let is_short = self.ttl.is_short
            && !self.rooms.contains(room)
            && matches!(request.requester, Requester::Client(_));
        // A client that is refused is sent nothing of what the room was.
        let nothing = JoinOptions::default();
        let options = if is_short { &nothing } else { &request.options };
        let entered = self.on_join(room, joins(request), options, now);
        let entered = entered.ok_or(Unjoined::TooManyRooms(self.rooms_max))?;
        if is_short {
            return Err(Unjoined::NoMemory);
        }
        if !request.again {
            self.presences.note_join(room, request.conn, request.identity.as_deref(), now);
        }
        Ok(entered)
    }

    /// Gives a message its offset, unless it repeats one: then it is answered like that one, and that
    /// is all. The answer goes first, so that it precedes every later message of the room on the way
    /// to the origin's shard.
    fn publish(
        &mut self,
        from: ShardId,
        room: &RoomName,
        publish: Publish,
        origin: Origin,
        now: Time,
        outboxes: &mut Outboxes,
    ) {
        let key = publish.message.key().filter(|_| !room.is_everybody()).cloned();
        if let Some(key) = &key
            && let Some(offset) = self.keys.repeated(room, key, now)
        {
            let members = self.rooms.info(room).map_or(0, |info| info.members);
            let numbered = Numbered { offset, repeated: true };
            return answer(from, room, origin, (numbered, members), outboxes);
        }
        let offset = self.number(from, room, publish, origin, now, outboxes);
        if let Some(key) = &key {
            self.keys.remember(room, key, offset, now);
        }
    }

    /// Gives a message its offset, and sends it to the shards with members.
    fn number(
        &mut self,
        from: ShardId,
        room: &RoomName,
        publish: Publish,
        origin: Origin,
        now: Time,
        outboxes: &mut Outboxes,
    ) -> u64 {
        let Publish { message, exclude, accepted } = publish;
        self.published += 1;
        let home_room = self.rooms.get_or_create(room);
        home_room.offset += 1;
        let (offset, members) = (home_room.offset, home_room.members());
        let interested: Vec<(ShardId, Encodings)> = home_room.interested().collect();
        let placed = Placed { room, epoch: home_room.epoch, offset };
        let frames = self.encoder.encode(&message, &placed, home_room.needed());
        let history = match offset {
            1 => self.rooms.begin_history(room),
            _ => home_room.history,
        };
        if let Some(history) = history {
            let frame = match frames.get(Encoding::WebSocket) {
                Some(frame) => Frame::Shared(frame),
                None => Frame::Loose(self.encoder.plain(&message, &placed)),
            };
            self.rooms.histories.append(history, frame, now);
        }
        let numbered = Numbered { offset, repeated: false };
        answer(from, room, origin, (numbered, members), outboxes);
        for (shard, needed) in interested {
            let (room, frames) = (room.clone(), frames.only(needed));
            let deliver = FromHome::Deliver { room, offset, frames, exclude, accepted };
            outboxes.push_from_home(shard, deliver);
        }
        self.rooms.touch(room, now, self.ttl);
        offset
    }

    /// From here on what rooms keep is also written to this journal, which has nothing of it yet; and
    /// rooms of before go on.
    pub(crate) fn begin_journal(
        &mut self,
        tag: &JournalTag,
        store: Box<dyn JournalStore>,
        rooms: &[KeptRoom],
        now: Time,
    ) {
        self.rooms.histories.begin_journal(tag, store);
        for room in rooms {
            self.rooms.take_up(room, now, self.ttl);
        }
        self.rooms.histories.write_out();
    }

    /// What happened to rooms with a history is in the journal when this returns: to be called before
    /// any message of this home's goes out.
    pub(crate) fn write_out(&mut self) {
        self.rooms.histories.write_out();
    }

    /// The rooms that got their first member or lost their last, in this order.
    pub(crate) fn take_events(&mut self) -> impl Iterator<Item = RoomEvent> {
        self.events.drain(..)
    }

    /// Joins and questions who is in a room that have come and are not answered yet.
    pub(crate) fn owed_answers(&self) -> usize {
        self.presences.owed_answers()
    }

    /// How many rooms have members.
    pub(crate) fn rooms_with_members(&self) -> u64 {
        self.rooms.admitted() as u64
    }

    /// So many rooms have members whose homes are other shards.
    pub(crate) fn set_rooms_of_others(&mut self, rooms: u64) {
        self.rooms_of_others = rooms;
    }

    /// Counts the member, unless it is one already. None if there are too many rooms; otherwise how the
    /// room is, and the messages of before that the member is sent.
    fn on_join(
        &mut self,
        room: &RoomName,
        joins: Option<(ShardId, Encoding)>,
        options: &JoinOptions,
        now: Time,
    ) -> Option<(Joined, Parts)> {
        let is_full = self.rooms_with_members() + self.rooms_of_others >= self.rooms_max as u64;
        let before = self.rooms.admitted();
        let is_taken = joins.is_none_or(|member| self.rooms.join(room, member, is_full));
        if self.watches && self.rooms.admitted() > before {
            self.events.push(RoomEvent::Occupied(room.clone()));
        }
        let home_room = self.rooms.get_or_create(room);
        let (epoch, offset, members) = (home_room.epoch, home_room.offset, home_room.members());
        let place = (epoch, offset, home_room.history);
        let (recovery, replay) = match &options.start {
            _ if joins.is_none() || !is_taken => (None, Parts::default()),
            Start::Live => (None, Parts::default()),
            Start::Last(messages) => (None, self.newest(place.2, *messages as usize, now)),
            Start::Since(Position { epoch, offset }) => {
                let (recovery, replay) = self.recover(place, Some(epoch), *offset, ALL, now);
                self.rooms.histories.counters.count(recovery);
                (Some(recovery), replay)
            }
        };
        let joined = Joined { epoch, offset, members, recovery };
        self.rooms.touch(room, now, self.ttl);
        is_taken.then_some((joined, replay))
    }

    /// The messages after `since` of a room, if all of them are kept; otherwise the first reason why
    /// not. The epoch is as its client wrote it, and without one it is the present one.
    fn recover(
        &mut self,
        (epoch, offset, history): (Epoch, u64, Option<HistoryKey>),
        wanted: Option<&str>,
        since: u64,
        limit: usize,
        now: Time,
    ) -> (Recovery, Parts) {
        let refused = |reason| (Recovery::Refused(reason), Parts::default());
        if wanted.is_some_and(|wanted| *wanted != *epoch.to_string()) {
            return refused(Unrecovered::Epoch);
        }
        match (since.cmp(&offset), history) {
            (Ordering::Greater, _) => refused(Unrecovered::Future),
            (Ordering::Equal, _) => (Recovery::Complete, Parts::default()),
            (Ordering::Less, None) => refused(Unrecovered::Off),
            (Ordering::Less, Some(history)) => {
                self.rooms.histories.after(history, since, limit, now)
            }
        }
    }

    fn newest(&mut self, history: Option<HistoryKey>, messages: usize, now: Time) -> Parts {
        let newest = |history| self.rooms.histories.newest(history, messages, now);
        history.map(newest).unwrap_or_default()
    }

    /// What is kept of a room's messages, also when it has ended and is remembered.
    pub(crate) fn history(
        &mut self,
        room: &RoomName,
        since: Option<u64>,
        epoch: Option<&str>,
        limit: usize,
        now: Time,
    ) -> Option<RoomHistory> {
        let place = self.rooms.place(room).filter(|_| !room.is_everybody())?;
        let (recovery, messages) = match since {
            None => (None, self.newest(place.2, limit, now)),
            Some(since) => {
                let (recovery, messages) = self.recover(place, epoch, since, limit, now);
                (Some(recovery), messages)
            }
        };
        Some(RoomHistory { epoch: place.0, offset: place.1, recovery, messages })
    }

    /// Counts the member no longer. Returns whether that resumes the room, and the offset of the last
    /// message that the member gets.
    fn on_leave(
        &mut self,
        room: &RoomName,
        shard: ShardId,
        encoding: Encoding,
        now: Time,
    ) -> (bool, u64) {
        let before = self.rooms.admitted();
        let left = self.rooms.leave(room, shard, encoding).expect("a room with members exists");
        if self.watches && self.rooms.admitted() < before {
            self.events.push(RoomEvent::Vacated(room.clone()));
        }
        self.rooms.touch(room, now, self.ttl);
        left
    }

    /// Sends every shard the room's new state, if it changed: publishers may be anywhere.
    fn announce_pause(&mut self, room: &RoomName, changed: Option<bool>, outboxes: &mut Outboxes) {
        let Some(paused) = changed else { return };
        match paused {
            true => self.paused += 1,
            false => self.paused -= 1,
        }
        for shard in (0..self.shards).map(ShardId::new) {
            let room = room.clone();
            outboxes.push_from_home(shard, FromHome::Paused { room, paused });
        }
    }

    /// Memory is short, or no longer: new rooms are refused, and no more rooms linger than do now.
    pub(crate) fn set_short(&mut self, is_short: bool) {
        self.ttl.is_short = is_short;
    }

    /// So many bytes are needed elsewhere: what is kept of rooms' messages gives way, as far as one turn
    /// may. Returns how many bytes that frees.
    pub(crate) fn give_way(&mut self, bytes: usize, now: Time) -> usize {
        self.rooms.give_way(bytes, now)
    }

    /// A turn begins. Ends the rooms that have been without members for their time to live.
    pub(crate) fn on_time(&mut self, now: Time, outboxes: &mut Outboxes) {
        self.encoder.begin_turn();
        self.rooms.on_time(now);
        self.keys.on_time(now);
        self.presence_on_time(now, outboxes);
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        let deadlines =
            [self.rooms.next_deadline(), self.keys.next_deadline(), self.presences.next_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// One room, if it exists.
    pub(crate) fn info(&self, room: &RoomName) -> Option<RoomInfo> {
        self.rooms.info(room)
    }

    /// At most `limit` rooms in order of their names, those greater than `after`.
    pub(crate) fn list(&self, after: Option<&str>, limit: usize) -> Vec<RoomInfo> {
        self.rooms.list(after, limit)
    }

    /// Rooms that live here.
    pub(crate) fn count(&self) -> u64 {
        self.rooms.count() as u64
    }

    /// How many keys of publishes are remembered.
    pub(crate) fn publish_keys(&self) -> usize {
        self.keys.len()
    }

    /// Messages that got their offset here, and what became of the keys of publishes.
    pub(crate) fn published(&self) -> (u64, PublishKeyCounters) {
        (self.published, self.keys.counters())
    }

    /// Bytes of all rooms that live here, of keys, and of what compresses their messages.
    pub(crate) fn bytes(&self) -> usize {
        self.rooms.bytes() + self.keys.bytes() + self.encoder.heap_bytes()
    }

    /// Bytes of what is kept of rooms' messages, and of what is remembered of rooms that have ended.
    pub(crate) fn history_bytes(&self) -> usize {
        self.rooms.history_bytes()
    }

    /// Bytes of who is in rooms.
    pub(crate) fn presence_bytes(&self) -> usize {
        self.presences.bytes()
    }

    /// Of how many rooms it is known who is there, how many users these have and how many watchers.
    pub(crate) fn presences(&self) -> (usize, usize, usize) {
        self.presences.totals()
    }

    /// Who was told what of who is in rooms.
    pub(crate) fn presence_counters(&self) -> PresenceCounters {
        self.presences.counters
    }

    /// Rooms that have a history, those included that have ended and are remembered.
    pub(crate) fn histories(&self) -> u64 {
        self.rooms.histories.count() as u64
    }

    /// What histories gave here.
    pub(crate) fn history_counters(&self) -> HistoryCounters {
        self.rooms.histories.counters
    }

    /// What was compressed here.
    pub(crate) fn deflate_counters(&self) -> DeflateCounters {
        self.encoder.deflate_counters()
    }

    /// How many rooms are paused.
    pub(crate) fn paused_count(&self) -> u64 {
        self.paused
    }

    /// Asserts what holds between any two messages.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        self.rooms.check(self.ttl.rooms_max);
        self.keys.check();
        self.presences.check();
        assert_eq!(self.paused, self.rooms.paused_count() as u64, "paused rooms are counted");
    }
}

/// This shard's part of an amount. The parts of all shards are the amount, and differ by one at most;
/// but no part of an amount is 0, unless the amount is.
fn share(amount: usize, id: ShardId, shards: u16) -> usize {
    let shards = usize::from(shards);
    let exact = amount / shards + usize::from(id.index() < amount % shards);
    // With none, a room would end at once that was published to just now, while older ones linger.
    exact.max(amount.min(1))
}

/// Answers a publish, if it has an answer: with its offset, and with how many members the room has.
fn answer(
    from: ShardId,
    room: &RoomName,
    origin: Origin,
    (numbered, members): (Numbered, u32),
    outboxes: &mut Outboxes,
) {
    match origin {
        Origin::None => {}
        Origin::Connection { conn, id } => {
            let reply = Reply::ack(id, (!room.is_everybody()).then_some(numbered));
            outboxes.push_from_home(conn.shard, FromHome::Reply { conn, reply });
        }
        Origin::Caller(token) => {
            let Numbered { offset, repeated } = numbered;
            let answer = Answer::Published { offset, members, repeated };
            outboxes.push_from_home(from, FromHome::Answer { token, answer });
        }
    }
}

/// Where one more member is, if the join makes one.
fn joins(request: &JoinRequest) -> Option<(ShardId, Encoding)> {
    (!request.again).then_some((request.conn.shard, request.encoding))
}

/// Any number of messages.
const ALL: usize = usize::MAX;

/// A message on its way through its home.
struct Publish {
    message: RoomMessage,
    exclude: Option<ConnId>,
    accepted: Time,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::mesh::Capacity;

    fn publish(home: &mut Home, outboxes: &mut Outboxes, from: ShardId, room: &RoomName) {
        let (message, accepted) = (RoomMessage::text("x"), Time::default());
        let (room, origin) = (room.clone(), Origin::None);
        let publish = ToHome::Publish { room, message, exclude: None, origin, accepted };
        home.handle(from, publish, accepted, outboxes);
        home.check();
    }

    /// Rooms that linger after many were published to, each at one of so many homes.
    fn lingering(shards: u16, most: usize) -> u64 {
        let limits = Limits { lingering_rooms: most, ..Limits::default() };
        let config = Config { shards, limits, ..Config::default() };
        let counts = (0..shards).map(|id| {
            let id = ShardId::new(id);
            let mut home = Home::new(id, &config, SecretHash::new(config.seed));
            let mut outboxes = Outboxes::new(id, shards, Capacity::default());
            for n in 0..20 {
                let room = RoomName::new(&format!("room-{n}")).expect("legal");
                publish(&mut home, &mut outboxes, id, &room);
            }
            home.count()
        });
        counts.sum()
    }

    #[test]
    fn as_many_rooms_linger_as_may_and_one_per_shard_unless_none_may() {
        for (shards, most) in [(1, 0), (1, 3), (4, 0), (4, 1), (4, 3), (4, 4), (4, 9)] {
            let expected = if most == 0 { 0 } else { most.max(usize::from(shards)) };
            assert_eq!(lingering(shards, most), expected as u64, "{most} of {shards} shards");
        }
    }

    #[test]
    fn the_room_that_was_published_to_last_lingers_wherever_its_home_is() {
        let limits = Limits { lingering_rooms: 1, ..Limits::default() };
        let config = Config { shards: 4, limits, ..Config::default() };
        for id in (0..4).map(ShardId::new) {
            let mut home = Home::new(id, &config, SecretHash::new(config.seed));
            let mut outboxes = Outboxes::new(id, 4, Capacity::default());
            for n in 0..5 {
                let room = RoomName::new(&format!("room-{n}")).expect("legal");
                for offset in 1..=3 {
                    publish(&mut home, &mut outboxes, id, &room);
                    let info = home.info(&room).map(|info| info.offset);
                    assert_eq!(info, Some(offset), "{room} at shard {id}");
                }
            }
        }
    }

    #[test]
    fn the_shares_of_all_shards_are_the_whole_or_one_each() {
        for shards in [1, 2, 3, 7, 256] {
            for amount in [0, 1, 2, 255, 256, 257, 100_000, usize::MAX] {
                let shares = (0..shards).map(|id| share(amount, ShardId::new(id), shards));
                let (least, most) = (shares.clone().min(), shares.clone().max());
                let whole = if amount == 0 { 0 } else { amount.max(usize::from(shards)) };
                assert_eq!(shares.sum::<usize>(), whole, "{amount} over {shards}");
                let differ = most.zip(least).map(|(most, least)| most - least);
                assert!(differ <= Some(1), "{amount} over {shards}");
            }
        }
    }
}
