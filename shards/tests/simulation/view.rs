//! What one client sees, and whether it may.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use corecast_shards::{SlowPolicy, Time, Window};

use crate::count::{Count, Happened};
use crate::history::Keeps;
use crate::model::{EVERYBODY, Model, NO_ROOM};
use crate::presence::Watch;
use crate::stream::Stream;
use crate::totals::Places;
use crate::wire::{self, member, read_frame};

/// A queue of answers in the order of their commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Line {
    Room(usize),
    Everybody,
    Pings,
    /// Errors that name no room.
    Errors,
    /// Errors of handlers.
    Failures,
}

/// The answer to one command.
#[derive(Debug)]
pub(crate) struct Expected {
    /// As written.
    pub(crate) id: Option<String>,
    /// The number of what the client had said last.
    pub(crate) serial: u64,
    pub(crate) answer: Awaited,
}

#[derive(Debug)]
pub(crate) enum Awaited {
    Joined {
        since: Option<(String, u64)>,
        /// How many of the newest messages it asked for, and when it asked.
        last: Option<u64>,
        asked: Time,
        /// It asked who is there, when it was so late at the room's home.
        presence: Option<Time>,
        may_refuse: bool,
        must_refuse: bool,
        /// The step in which it was asked for.
        said_at: u64,
    },
    Left,
    /// Who is in the room.
    Presence,
    Ack(usize),
    Pong,
    Error(&'static str),
    /// Whether it is refused instead may depend on when it is looked at.
    Refreshed {
        expires: String,
        may_refuse: bool,
    },
    /// No answer: if the client is in the room at this point, a fresh token has it leave.
    Evicted,
}

/// A join or leave that the program asked for.
#[derive(Debug)]
pub(crate) struct Guided {
    pub(crate) joins: bool,
    pub(crate) asked_at: u64,
    pub(crate) token: u64,
    /// The offset that the program was sent.
    pub(crate) offset: Option<u64>,
}

/// The time of a client in a room.
#[derive(Debug)]
pub(crate) struct Stay {
    pub(crate) epoch: Rc<str>,
    /// The offset of the next message.
    pub(crate) next: u64,
    /// The last that came was a gap.
    pub(crate) after_gap: bool,
    /// Up to this offset everything comes that is not before `next`, its own messages too.
    pub(crate) recovered_to: u64,
    /// Of a join for the newest messages, until the first comes: from which offset on they may, and
    /// whether they must.
    pub(crate) newest: Option<(u64, bool)>,
}

/// Everything that a client remembers.
pub(crate) struct View {
    client: usize,
    connection: String,
    pub(crate) welcomed_at: Option<u64>,
    /// The close frame's code and reason.
    pub(crate) closed: Option<(u16, String)>,
    /// A frame whose end has not arrived.
    pub(crate) partial: Vec<u8>,
    pub(crate) rooms: BTreeMap<usize, Stay>,
    pub(crate) expected: BTreeMap<Line, VecDeque<Expected>>,
    /// What the program asked for and the client has not learned of yet, by room. Such a client gives
    /// each join and leave of its own an id.
    pub(crate) guided: Option<BTreeMap<usize, VecDeque<Guided>>>,
    /// Offsets that it heard of before the program did, by the program's token.
    pub(crate) known_first: BTreeMap<u64, u64>,
    pub(crate) ids: BTreeMap<String, Line>,
    /// How many messages and control frames it has said.
    pub(crate) serial: u64,
    /// The rooms whose presence it watches.
    pub(crate) watches: BTreeMap<usize, Watch>,
    /// How presence shows it.
    pub(crate) shown_as: Option<String>,
    /// How often it became a member of a room.
    pub(crate) stays: usize,
    /// Where each room was left, to come back to.
    pub(crate) left: BTreeMap<usize, (Rc<str>, u64)>,
    /// Offsets of its own messages that it does not get, as far as acks say.
    excluded: BTreeSet<(usize, u64)>,
    /// Those of them that may be of the room's present life.
    absent: BTreeSet<(usize, u64)>,
    /// How many such messages it sent without asking for an ack, by room.
    pub(crate) unasked: BTreeMap<usize, usize>,
    /// Offsets that never came; each must be one of its own.
    passed: Vec<(usize, Rc<str>, u64)>,
    pub(crate) broadcasts: Vec<usize>,
    pub(crate) emitted: BTreeSet<usize>,
    /// How many fresh tokens were accepted since this was asked last.
    pub(crate) refreshed: usize,
    /// Payloads of its own pings that were not answered.
    pub(crate) pinged: VecDeque<Vec<u8>>,
    /// Payloads of pings that it has not answered.
    pub(crate) pings: Vec<Vec<u8>>,
    /// Whether its socket refused bytes and it has not caught up since.
    pub(crate) slow: bool,
    /// Whether it refused them for so long that it may have lost what waited.
    pub(crate) timed_out: bool,
    pub(crate) pings_seen: usize,
    /// Its window, if it agreed to compression.
    pub(crate) deflate: Option<Window>,
    /// None for a WebSocket.
    pub(crate) stream: Option<Stream>,
}

/// What the whole run shares.
pub(crate) struct Court<'a> {
    pub(crate) model: &'a mut Model,
    pub(crate) count: &'a mut Count,
    pub(crate) rooms: &'a [String],
    /// What happens to slow members, by room.
    pub(crate) slow: &'a [SlowPolicy],
    /// Whether messages are compressed, by room.
    pub(crate) deflate: &'a [bool],
    /// What is kept, by room, and whether memory for that may be short.
    pub(crate) keeps: &'a [Option<Keeps>],
    pub(crate) scarce: bool,
    pub(crate) deflate_min: usize,
    /// Whether that is so however many come in a turn.
    pub(crate) deflates_all: bool,
    pub(crate) step: u64,
    /// When there was no place for one more room or membership, and where homes are.
    pub(crate) places: &'a Places,
    pub(crate) homes: &'a [usize],
    /// The client's shard.
    pub(crate) shard: usize,
    /// Bytes of logs, by room.
    pub(crate) log_bytes: &'a [usize],
    /// How much of them a log may drop at once.
    pub(crate) chunks_dropped: usize,
    /// Whether memory was ever short.
    pub(crate) was_short: bool,
    /// The last step in which the client's shard accepted no joins.
    pub(crate) unread_in: u64,
    /// See `World::members`.
    pub(crate) members: &'a mut BTreeMap<(usize, usize), VecDeque<u64>>,
    /// How late it is at each home.
    pub(crate) home_times: &'a [Time],
    pub(crate) presence_interval: Duration,
}

impl View {
    pub(crate) fn new(client: usize, connection: String, guided: bool) -> View {
        View {
            client,
            connection,
            welcomed_at: None,
            closed: None,
            partial: Vec::new(),
            rooms: BTreeMap::new(),
            expected: BTreeMap::new(),
            guided: guided.then(BTreeMap::new),
            known_first: BTreeMap::new(),
            ids: BTreeMap::new(),
            serial: 0,
            watches: BTreeMap::new(),
            shown_as: None,
            stays: 0,
            left: BTreeMap::new(),
            excluded: BTreeSet::new(),
            absent: BTreeSet::new(),
            unasked: BTreeMap::new(),
            passed: Vec::new(),
            broadcasts: Vec::new(),
            emitted: BTreeSet::new(),
            refreshed: 0,
            pinged: VecDeque::new(),
            pings: Vec::new(),
            slow: false,
            timed_out: false,
            pings_seen: 0,
            deflate: None,
            stream: None,
        }
    }

    pub(crate) fn expect(&mut self, line: Line, id: Option<String>, answer: Awaited) {
        if let Some(id) = &id {
            assert!(self.ids.insert(id.clone(), line).is_none(), "the harness uses an id once");
        }
        let serial = self.serial;
        self.expected.entry(line).or_default().push_back(Expected { id, answer, serial });
    }

    pub(crate) fn line(&self, line: Line) -> impl Iterator<Item = &Expected> {
        self.expected.get(&line).into_iter().flatten()
    }

    /// What is still to come in each line.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = (&Line, Vec<&Expected>)> {
        let to_come = |line: &Line, expected: &&Expected| match (line, &expected.answer) {
            (Line::Room(room), Awaited::Evicted) => self.rooms.contains_key(room),
            _ => true,
        };
        let lines = self.expected.iter();
        lines.map(move |(line, all)| (line, all.iter().filter(|one| to_come(line, one)).collect()))
    }

    /// The room of the publish with this id that is not answered yet.
    pub(crate) fn room_of(&self, id: &str) -> Option<usize> {
        match self.ids.get(id)? {
            Line::Room(room) => Some(*room),
            _ => None,
        }
    }

    /// The offset from which on messages of a room may wait for it; none when it is not there.
    pub(crate) fn next_of(&self, room: usize) -> Option<u64> {
        let asks = self.line(Line::Room(room)).next().is_some();
        let guided = self.guided.as_ref().and_then(|rooms| rooms.get(&room));
        let asks = asks || guided.is_some_and(|asked| !asked.is_empty());
        let asks = asks || self.stream.as_ref().is_some_and(|stream| stream.is_of(room));
        self.rooms.get(&room).map(|stay| stay.next).or(asks.then_some(0))
    }

    /// Takes bytes that the client's socket took.
    pub(crate) fn take(&mut self, bytes: &[u8], court: &mut Court<'_>) {
        if self.stream.is_some() {
            return self.take_stream(bytes, court);
        }
        let mut all = std::mem::take(&mut self.partial);
        all.extend_from_slice(bytes);
        let mut at = 0;
        while let Some((frame, len)) = read_frame(&all[at..]) {
            assert_eq!(self.closed, None, "nothing follows a close frame");
            self.judge_compression(&frame, court);
            self.frame(frame.opcode, &frame.payload, court);
            at += len;
        }
        self.partial = all.split_off(at);
        assert!(self.closed.is_none() || self.partial.is_empty(), "nothing follows a close frame");
    }

    fn frame(&mut self, opcode: u8, payload: &[u8], court: &mut Court<'_>) {
        match opcode {
            wire::CLOSE => {
                let (code, reason) = payload.split_first_chunk().expect("a close frame has a code");
                let reason = String::from_utf8(reason.to_vec()).expect("a reason is text");
                self.closed = Some((u16::from_be_bytes(*code), reason));
            }
            wire::PING => {
                court.count.add(Happened::Pinged);
                self.pings.push(payload.to_vec());
                self.pings_seen += 1;
            }
            wire::PONG => {
                let sent = self.pinged.pop_front();
                assert_eq!(sent.as_deref(), Some(payload), "each ping is answered, in order");
            }
            _ if payload.starts_with(br#"{"c":"#) => {
                self.verbatim(str::from_utf8(payload).expect("it was text"), court);
            }
            _ => self.message(str::from_utf8(payload).expect("a text frame is text"), court),
        }
    }

    fn message(&mut self, json: &str, court: &mut Court<'_>) {
        let members = wire::members(json);
        let get = |key| members.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        let event = get("event").expect("every message has an event");
        let data = get("data").unwrap_or("null");
        let room = get("room").map(|room| {
            let place = court.rooms.iter().position(|name| name == room);
            place.unwrap_or_else(|| panic!("there is no room {room}"))
        });
        let id = get("id");
        assert_eq!(self.welcomed_at.is_none(), event == r#""cast:welcome""#, "welcome comes first");
        match event {
            r#""cast:welcome""# => self.welcome(data, court),
            r#""cast:joined""# => self.joined(room.expect("a room"), id, data, court),
            r#""cast:presence""# => {
                self.presence_answer(room.expect("a room"), id, data, court);
            }
            r#""cast:presence_change""# => {
                self.presence_change(room.expect("a room"), data, court);
            }
            r#""cast:left""# => self.left(room.expect("a room"), id, data, court),
            r#""cast:ack""# => self.ack(id.expect("an ack has an id"), data, court),
            r#""cast:refreshed""# => {
                let expires = member(data, "expires").expect("when it ends");
                match self.answer(Line::Errors, id) {
                    Awaited::Refreshed { expires: known, .. } => assert_eq!(expires, known),
                    answer => panic!("{answer:?} answered with refreshed"),
                }
                self.refreshed += 1;
                court.count.add(Happened::Refreshed);
            }
            r#""cast:pong""# => {
                let answer = self.answer(Line::Pings, id);
                assert!(matches!(answer, Awaited::Pong), "{answer:?} answered with a pong");
            }
            r#""cast:error""# => self.error(room, id, data, court),
            r#""cast:gap""# => self.gap(room.expect("a room"), data, court),
            r#""m""# => {
                let offset = get("offset").expect("a room's message has an offset");
                let offset = offset.parse().expect("a number");
                let room = room.expect("a room");
                let number = court.model.recognise(data, room);
                self.room_message(room, offset, number, court);
            }
            r#""b""# => self.broadcast(data, court),
            r#""e""# => {
                let number = court.model.recognise(data, NO_ROOM);
                assert!(self.emitted.insert(number), "emit {number} comes once");
            }
            _ => panic!("unknown event {event}"),
        }
    }

    /// A message in the program's own format, which has neither its room nor its offset.
    fn verbatim(&mut self, data: &str, court: &mut Court<'_>) {
        assert!(self.welcomed_at.is_some(), "welcome comes first");
        let room = court.model.room_of(data);
        if room == EVERYBODY {
            return self.broadcast(data, court);
        }
        let stay = self.rooms.get(&room);
        let mut offset = stay.unwrap_or_else(|| panic!("a message of room {room}")).next;
        while self.absent.contains(&(room, offset)) {
            offset += 1;
        }
        let number = court.model.recognise(data, room);
        self.room_message(room, offset, number, court);
    }

    fn welcome(&mut self, data: &str, court: &mut Court<'_>) {
        let connection = member(data, "connection").expect("the connection's name");
        assert_eq!(connection.trim_matches('"'), self.connection, "its own welcome");
        self.welcomed_at = Some(court.step);
    }

    /// Takes the next answer of a line out of it.
    pub(crate) fn answer(&mut self, line: Line, id: Option<&str>) -> Awaited {
        if let Line::Room(room) = line
            && !self.rooms.contains_key(&room)
        {
            // It was not in the room when it had to leave.
            let awaits = self.expected.get_mut(&line).into_iter();
            awaits.for_each(|line| {
                let evicts = |next: &mut Expected| matches!(next.answer, Awaited::Evicted);
                while line.pop_front_if(evicts).is_some() {}
            });
        }
        let next = self.expected.get_mut(&line).and_then(VecDeque::pop_front);
        let next = next.unwrap_or_else(|| panic!("an answer {id:?} to nothing in {line:?}"));
        assert_eq!(next.id.as_deref(), id, "answers in {line:?} come in order, {:?}", next.answer);
        if let Some(id) = id {
            self.ids.remove(id);
        }
        next.answer
    }

    /// Whether this is the answer to what the program asked for. The program hears the same, sooner
    /// or later than the client.
    fn guide(&mut self, room: usize, id: Option<&str>, joins: bool, offset: u64) -> bool {
        let Some(guided) = self.guided.as_mut().filter(|_| id.is_none()) else { return false };
        let next = guided.get_mut(&room).and_then(VecDeque::pop_front);
        let next =
            next.unwrap_or_else(|| panic!("the program did not ask for this in room {room}"));
        assert_eq!(next.joins, joins, "answers in room {room} come in order");
        match next.offset {
            Some(known) => assert_eq!(known, offset, "the program was sent the same"),
            None => self.known_first.extend([(next.token, offset)]),
        }
        true
    }

    fn joined(&mut self, room: usize, id: Option<&str>, data: &str, court: &mut Court<'_>) {
        let guided = self.guide(room, id, true, number(data, "offset"));
        let (since, last, asked, presence, must_refuse) = match guided {
            true => (None, None, Time::default(), None, false),
            false => match self.answer(Line::Room(room), id) {
                Awaited::Joined { since, last, asked, presence, must_refuse, .. } => {
                    (since, last, asked, presence, must_refuse)
                }
                answer => panic!("{answer:?} answered with joined"),
            },
        };
        let epoch: Rc<str> = member(data, "epoch").expect("an epoch").trim_matches('"').into();
        let offset: u64 = number(data, "offset");
        let members = number(data, "members");
        assert!(members >= 1, "the joiner counts");
        let is_again = self.rooms.contains_key(&room);
        if !is_again {
            self.begin_watch(room, presence, member(data, "presence"), court);
        }
        // Of a join that asks for presence it is not seen when it is counted.
        let counted = court.members.get_mut(&(self.client, room));
        let counted = counted.filter(|_| presence.is_none() || is_again);
        if let Some(counted) = counted.and_then(VecDeque::pop_front) {
            assert_eq!(
                members, counted,
                "members of room {room} when client {} joined",
                self.client
            );
            court.count.add(Happened::MembersCounted);
        }
        let recovered = member(data, "recovered");
        court.model.live(room, &epoch);
        if let Some(stay) = self.rooms.get(&room) {
            court.count.add(Happened::JoinAgain);
            assert_eq!(recovered, None, "nothing is recovered by a second join");
            assert_eq!(stay.epoch, epoch, "a room does not end under its members");
            self.advance(room, offset + 1);
            return;
        }
        assert!(!must_refuse, "a room too many");
        assert_eq!(recovered.is_some(), since.is_some(), "recovered is for clients that ask");
        let mut next = offset + 1;
        if let Some((since_epoch, since_offset)) = since {
            let against = reason_against(&(since_epoch.into(), since_offset), &epoch, offset);
            let reason = match against {
                Some(Against::Missed) => {
                    let (place, missed) = ((room, &epoch), (since_offset, offset));
                    if self.judge_recovery(place, missed, asked, data, court) {
                        next = since_offset + 1;
                    }
                    member(data, "reason")
                }
                Some(Against::Reason(reason)) => Some(reason),
                None => None,
            };
            assert_eq!(recovered, Some(if reason.is_none() { "true" } else { "false" }));
            assert_eq!(member(data, "reason"), reason, "the reason is the first that holds");
            court.count.add_if(reason.is_none(), Happened::JoinRecovered);
            court.count.add_if(reason.is_some(), Happened::JoinNotRecovered);
        }
        let newest = last.and_then(|last| self.judge_newest((room, &epoch), offset, last, court));
        if let Some((left_epoch, left_at)) = self.left.get(&room) {
            assert!(*left_epoch != epoch || *left_at <= offset, "offsets only grow");
        }
        // Acks do not say which life of the room it is: those of higher offsets were of former ones.
        self.absent.retain(|(other, at)| *other != room || *at <= offset);
        self.stays += 1;
        let recovered_to = if next <= offset { offset } else { 0 };
        self.rooms.insert(room, Stay { epoch, next, after_gap: false, recovered_to, newest });
    }

    fn left(&mut self, room: usize, id: Option<&str>, data: &str, court: &mut Court<'_>) {
        let offset = number(data, "offset");
        let reason = member(data, "reason");
        if reason.is_some() || !self.guide(room, id, false, offset) {
            let answer = self.answer(Line::Room(room), id);
            match reason {
                None => assert!(matches!(answer, Awaited::Left), "{answer:?} answered with left"),
                Some(reason) => {
                    assert_eq!(reason, r#""forbidden""#);
                    assert!(matches!(answer, Awaited::Evicted), "{answer:?} and it has to leave");
                    court.count.add(Happened::EvictedByToken);
                }
            }
        }
        self.advance(room, offset + 1);
        let stay = self.rooms.remove(&room).expect("advance found it");
        self.watches.remove(&room);
        self.left.insert(room, (stay.epoch, offset));
        court.count.add(Happened::LeaveAnswered);
    }

    fn ack(&mut self, id: &str, data: &str, court: &mut Court<'_>) {
        let line = *self.ids.get(id).unwrap_or_else(|| panic!("an ack {id} to nothing"));
        let answer = self.answer(line, Some(id));
        let Awaited::Ack(said) = answer else { panic!("{answer:?} answered with an ack") };
        let Line::Room(room) = line else {
            assert_eq!(data, "null", "a broadcast has no offset");
            return court.model.acked(said, 0, false);
        };
        let offset = number(data, "offset");
        let repeated = member(data, "repeated").map(|said| said == "true");
        assert_ne!(repeated, Some(false), "only of a repeat it is said");
        let repeated = repeated.is_some();
        court.model.acked(said, offset, repeated);
        let is_late = self.rooms.get(&room).is_some_and(|stay| stay.next > offset + 1);
        assert!(!is_late || repeated, "an ack precedes every later message of its room");
        if court.model.sayings[said].excluded.is_some() && !repeated {
            self.excluded.insert((room, offset));
            self.absent.insert((room, offset));
        }
    }

    fn error(&mut self, room: Option<usize>, id: Option<&str>, data: &str, court: &mut Court<'_>) {
        let line = match (room, id.and_then(|id| self.ids.get(id))) {
            (Some(room), _) => Line::Room(room),
            (None, Some(line)) => *line,
            (None, None) => Line::Errors,
        };
        let code = member(data, "code").expect("a code").trim_matches('"');
        match self.answer(line, id) {
            Awaited::Error(expected) => {
                assert_eq!(code, expected);
                court.count.add_if(code == "bad_envelope", Happened::BadEnvelope);
                court.count.add_if(code == "unknown_event", Happened::UnknownEvent);
                court.count.add_if(code == "forbidden", Happened::Forbidden);
                court.count.add_if(code == "handler_failed", Happened::HandlerFailed);
                court.count.add_if(code == "bad_token", Happened::BadToken);
                court.count.add_if(code == "rate_limited", Happened::RateLimited);
            }
            Awaited::Joined { said_at, presence, .. } if code == "overloaded" => {
                let message = member(data, "message").expect("a message");
                let room = room.expect("a join has a room");
                assert!(!self.rooms.contains_key(&room), "it is in the room");
                self.refused_for_memory(room, message, (said_at, presence.is_some()), court);
            }
            Awaited::Presence => {
                let is_member = room.is_some_and(|room| self.rooms.contains_key(&room));
                match code {
                    "overloaded" => {
                        assert!(court.was_short && is_member, "there was memory enough");
                        court.count.add(Happened::PresenceRefused);
                    }
                    _ => {
                        assert_eq!(code, "not_a_member");
                        assert!(!is_member, "it was a member");
                    }
                }
            }
            Awaited::Joined { may_refuse, said_at, presence, .. } => {
                assert_eq!(code, "too_many_rooms");
                let message = member(data, "message").expect("a message");
                let room = room.expect("a join has a room");
                let counted = presence.is_none();
                self.too_many_rooms(room, message, (may_refuse, counted), said_at, court);
            }
            Awaited::Refreshed { may_refuse, .. } => {
                assert_eq!(code, "bad_token");
                assert!(may_refuse, "its time is not over");
            }
            Awaited::Left => {
                assert_eq!(code, "not_a_member");
                let is_member = room.is_some_and(|room| self.rooms.contains_key(&room));
                assert!(!is_member, "it was a member");
                court.count.add(Happened::NotAMember);
            }
            answer => panic!("{answer:?} answered with {code}"),
        }
    }

    /// A join is refused by a home because it would make a room, or by the client's shard because memory
    /// was too short for any.
    fn refused_for_memory(
        &self,
        room: usize,
        message: &str,
        (said_at, watches): (u64, bool),
        court: &mut Court<'_>,
    ) {
        if message.contains("memberships") {
            assert!(court.unread_in >= said_at, "joins were accepted");
            return court.count.add(Happened::MemoryRefusedJoin);
        }
        assert!(court.was_short, "there was memory enough");
        if message.contains("presence") {
            assert!(watches, "it did not ask for presence");
            return court.count.add(Happened::PresenceRefused);
        }
        // Its home had counted it.
        let counted = court.members.get_mut(&(self.client, room)).filter(|_| !watches);
        counted.and_then(VecDeque::pop_front);
        court.count.add(Happened::MemoryRefusedRoom);
    }

    /// A join is refused by the limit that the message names, and that was reached meanwhile.
    fn too_many_rooms(
        &self,
        room: usize,
        message: &str,
        (may_refuse, counted): (bool, bool),
        said_at: u64,
        court: &mut Court<'_>,
    ) {
        let happened = if message.contains("(max_rooms)") {
            assert!(may_refuse, "it was not in too many rooms");
            Happened::TooManyRooms
        } else if message.contains("(max_memberships)") {
            let is_member = self.rooms.contains_key(&room);
            assert!(!is_member, "a member that joins again needs no place");
            assert!(court.places.lacked_membership(court.shard, said_at), "there was a membership");
            Happened::TooManyMemberships
        } else {
            assert!(message.contains("(max_total_rooms)"), "{message} names no limit");
            assert!(court.places.lacked_room(court.homes[room], said_at), "there was a room");
            // Its home had counted it.
            let counts = court.members.get_mut(&(self.client, room)).filter(|_| counted);
            counts.and_then(VecDeque::pop_front);
            Happened::TooManyRoomsInAll
        };
        court.count.add(happened);
    }

    pub(crate) fn gap(&mut self, room: usize, data: &str, court: &mut Court<'_>) {
        let (from, to) = self.check_gap(room, data, court);
        self.advance(room, from);
        let stay = self.rooms.get_mut(&room).expect("advance found it");
        assert!(from > stay.recovered_to, "room {room}: a gap in what was missed");
        (stay.next, stay.after_gap) = (to + 1, true);
    }

    /// Whether there may be a gap; returns its ends.
    pub(crate) fn check_gap(&self, room: usize, data: &str, court: &mut Court<'_>) -> (u64, u64) {
        let policy = court.slow[room];
        let skips = policy != SlowPolicy::Disconnect;
        assert!(skips && self.slow, "only the slow lose messages, where they may");
        let latest = policy == SlowPolicy::Latest;
        let reason = if latest { r#""latest""# } else { r#""slow""# };
        assert_eq!(member(data, "reason"), Some(reason));
        let (from, to) = (number(data, "from"), number(data, "to"));
        let kept = court.log_bytes[room].saturating_sub(court.chunks_dropped);
        let dropped = court.model.bytes_from(room, from) > kept;
        let due = latest || self.timed_out || dropped;
        assert!(due, "room {room}: a gap from {from} before its time");
        assert!(from <= to, "an empty gap");
        court.count.add(if latest { Happened::JumpedToNewest } else { Happened::Gap });
        (from, to)
    }

    pub(crate) fn room_message(
        &mut self,
        room: usize,
        offset: u64,
        number: usize,
        court: &mut Court<'_>,
    ) {
        self.advance(room, offset);
        let stay = self.rooms.get_mut(&room).expect("advance found it");
        (stay.next, stay.after_gap) = (offset + 1, false);
        court.model.place(room, &stay.epoch, offset, number);
        let saying = &court.model.sayings[number];
        // Of a stream whose home is its own shard, nothing shows when it became a member.
        let parts = self.stream.iter().flat_map(|stream| &stream.parts);
        let unseen = parts.into_iter().any(|part| part.room == room && part.joined_at.is_none());
        let replayed = offset <= stay.recovered_to || unseen;
        court.count.add_if(replayed, Happened::Replayed);
        let excluded = saying.excluded == Some(self.client) && !replayed;
        assert!(!excluded, "message {number} comes to the client that it leaves out");
        court.count.add_if(saying.data.len() > 16 << 10, Happened::LargeMessage);
    }

    /// The next message will be `next`: the messages before it are the client's own and not for itself.
    pub(crate) fn advance(&mut self, room: usize, next: u64) {
        let stay = self.rooms.get_mut(&room);
        let stay = stay.unwrap_or_else(|| panic!("something of room {room} it is not in"));
        if let Some((from, must)) = stay.newest.take() {
            let first = next.min(stay.next);
            assert!(first >= from, "room {room}: {first} comes, and was not asked for");
            assert!(first == from || !must, "room {room}: {from} must be kept, and {first} comes");
            (stay.recovered_to, stay.next) = (stay.next - 1, first);
        }
        let whole = stay.next <= next;
        assert!(whole, "room {room}: {next} comes when {} was to be next", stay.next);
        for offset in stay.next..next {
            assert!(
                offset > stay.recovered_to,
                "room {room}: {offset} is missing of what was missed"
            );
            let known = self.excluded.contains(&(room, offset));
            let unasked = self.unasked.get(&room).is_some_and(|count| *count > 0);
            assert!(known || unasked, "room {room}: message {offset} never came");
            self.passed.push((room, stay.epoch.clone(), offset));
        }
        stay.next = next;
    }

    fn broadcast(&mut self, data: &str, court: &mut Court<'_>) {
        let number = court.model.recognise(data, EVERYBODY);
        if let Some(last) = self.broadcasts.last() {
            court.model.follow(*last, number);
        }
        self.broadcasts.push(number);
    }

    /// How many messages from `next` on are its own, as acks said, so that it will not get them.
    pub(crate) fn known_excluded(&self, room: usize, next: u64) -> u64 {
        self.excluded.range((room, next)..(room + 1, 0)).count() as u64
    }

    /// The messages of its rooms that it did not get were its own.
    pub(crate) fn check_passed(&self, model: &Model) {
        let mut unasked = self.unasked.clone();
        for (room, epoch, offset) in &self.passed {
            if let Some(number) = model.at(*room, epoch, *offset) {
                let saying = &model.sayings[number];
                let excluded = saying.excluded == Some(self.client);
                assert!(excluded, "client {}: room {room} {offset} never came", self.client);
            }
            if !self.excluded.contains(&(*room, *offset)) {
                let left = unasked.get_mut(room).and_then(|count| count.checked_sub(1));
                let left = left.unwrap_or_else(|| panic!("room {room} {offset} never came"));
                unasked.insert(*room, left);
            }
        }
    }
}

/// What is against sending a client what it missed.
pub(crate) enum Against {
    /// This reason, in any room.
    Reason(&'static str),
    /// Nothing but that there is something: it depends on what the room keeps.
    Missed,
}

/// What is against sending a client what it missed that stopped there, in a room that is here.
pub(crate) fn reason_against(
    (since_epoch, since_offset): &(Rc<str>, u64),
    epoch: &Rc<str>,
    offset: u64,
) -> Option<Against> {
    match (since_epoch == epoch, since_offset.cmp(&offset)) {
        (false, _) => Some(Against::Reason(r#""epoch""#)),
        (true, Ordering::Less) => Some(Against::Missed),
        (true, Ordering::Equal) => None,
        (true, Ordering::Greater) => Some(Against::Reason(r#""future""#)),
    }
}

/// A number that is a member of an object.
pub(crate) fn number(data: &str, key: &str) -> u64 {
    let value = member(data, key).unwrap_or_else(|| panic!("{key} is missing in {data}"));
    value.parse().expect("a number")
}
