//! What the embedding program does, and what comes out of a shard for it.

use std::collections::{BTreeMap, VecDeque};

use corecast_shards::{
    Answer, AnswerToken, AskedCommand, AskedKind, Call, CallKind, CloseStep, ConnId, Disconnect,
    JoinOptions, Publication, Query, Refused, RoomInfo, RoomMessage, RoomName, ShardId, Unsent,
    event_frame,
};

use crate::count::Happened;
use crate::model::{EVERYBODY, NO_ROOM, Speaker};
use crate::view::{self, Guided};
use crate::world::{World, trace};

/// Questions that are on their way, by token.
#[derive(Default)]
pub(crate) struct Asking {
    next: u64,
    pub(crate) questions: BTreeMap<(usize, u64), Question>,
    pub(crate) rooms: BTreeMap<usize, Option<corecast_shards::RoomInfo>>,
    /// The last answer of each that was asked who is there.
    pub(crate) presence: BTreeMap<usize, Answer>,
}

#[derive(Debug)]
pub(crate) enum Question {
    Publish(usize),
    Stats,
    Rooms { after: Option<Box<str>>, limit: usize },
    Room(usize),
    Presence(usize),
    Emit { client: usize, said: usize },
    Close,
    Guide { client: usize, room: usize },
}

impl World {
    pub(crate) fn program(&mut self, shard: usize) {
        if self.draining {
            return self.end_a_call();
        }
        match self.chance.weighted(&[4, 3, 2, 2, 2, 1, 2, 3, 1]) {
            0 => self.emit(shard),
            1 => self.publish_from_program(shard, false),
            2 => self.publish_from_program(shard, true),
            3 => self.end_a_call(),
            4 => self.query(shard),
            5 => self.kick(shard),
            6 => self.guide(shard),
            7 => self.revoke(),
            _ => self.burst(shard),
        }
    }

    fn token(&mut self) -> AnswerToken {
        self.asking.next += 1;
        AnswerToken(self.asking.next)
    }

    /// A message for one connection, by itself.
    fn emit(&mut self, shard: usize) {
        let Some(client) = self.some_client(Some(shard)) else { return };
        let (said, frame) = self.make_emit(shard);
        let to = self.lie_about_emit(client);
        let sent = self.shards[shard].emit(self.clients[to].conn, &frame);
        trace!(self, "client {client}: emit of {} bytes: {sent:?}", frame.len());
        let taken = sent.is_ok();
        self.count.add_if(taken, Happened::Emitted);
        let fits = frame.len() <= self.setup.config.limits.own_bytes;
        match sent {
            Ok(()) => assert!(fits, "more is taken than may wait"),
            Err(Unsent::TooLarge(_)) => assert!(!fits, "it would fit"),
            Err(_) => {}
        }
        self.count.add_if(!taken && sent != Err(Unsent::Gone), Happened::EmitDidNotFit);
        if taken {
            self.clients[client].emits.push(said);
            self.model.sayings[said].known = Some(client as u64);
        }
    }

    fn make_emit(&mut self, shard: usize) -> (usize, Vec<u8>) {
        let len = self.length().min(3_000);
        let said = self.model.say(NO_ROOM, Speaker::Program(shard), len, None, self.step);
        let data = self.model.sayings[said].data.clone();
        (said, event_frame(&Publication { event: "e".into(), data: &data, echo: true, key: None }))
    }

    fn publish_from_program(&mut self, shard: usize, everybody: bool) {
        let place = if everybody { EVERYBODY } else { self.chance.below(self.names.len()) };
        let token = self.chance.happens(0.7).then(|| self.token());
        let said = self.say_from_program(shard, place, token);
        self.count.add_if(!said, Happened::CallerToldFull);
    }

    /// Publishes as a caller; returns whether it was accepted.
    pub(crate) fn say_from_program(
        &mut self,
        shard: usize,
        place: usize,
        token: Option<AnswerToken>,
    ) -> bool {
        let len = self.length();
        let name = match place {
            EVERYBODY => RoomName::everybody(),
            room => self.names[room].clone(),
        };
        let excludes = place != EVERYBODY && !self.setup.verbatim;
        let excluded = match excludes && self.chance.happens(0.3) {
            true => self.some_client(None),
            false => None,
        };
        let said = self.model.say(place, Speaker::Program(shard), len, excluded, self.step);
        let data = self.model.sayings[said].data.clone();
        let event = if place == EVERYBODY { "b" } else { "m" }.into();
        let key = if place == EVERYBODY { None } else { self.some_key(said, place) };
        let publication = Publication { event, data: &data, echo: true, key: key.clone() };
        let message = match self.setup.verbatim && self.chance.happens(0.5) {
            true => {
                self.count.add(Happened::Verbatim);
                let message = match self.chance.below(2) {
                    0 => RoomMessage::text(&data),
                    _ => RoomMessage::binary(data.as_bytes()),
                };
                match key {
                    Some(key) => message.with_key(key),
                    None => message,
                }
            }
            false => RoomMessage::event(&publication),
        };
        let exclude = excluded.map(|client| self.clients[client].conn);
        let accepted = self.shards[shard].publish(&name, message, exclude, token).is_ok();
        self.ring(shard);
        self.model.sayings[said].accepted = accepted;
        if let Some(client) = excluded.filter(|_| accepted) {
            self.count.add(Happened::ExcludedByProgram);
            *self.clients[client].view.unasked.entry(place).or_default() += 1;
        }
        trace!(self, "shard {shard}: publishes {said} to {name}: {accepted}");
        if let Some(token) = token.filter(|_| accepted) {
            self.asking.questions.insert((shard, token.0), Question::Publish(said));
        }
        accepted
    }

    /// So many messages at once that publishers may be too fast.
    fn burst(&mut self, shard: usize) {
        let room = self.chance.below(self.names.len());
        for _ in 0..self.chance.skewed(12) {
            let accepted = self.say_from_program(shard, room, None);
            self.count.add_if(!accepted, Happened::CallerToldFull);
        }
    }

    fn query(&mut self, shard: usize) {
        let to = self.chance.below(self.shards.len());
        let token = self.token();
        let (question, query) = match self.chance.below(5) {
            0 => (Question::Stats, Query::Stats),
            1 => {
                self.check_list(to);
                let (after, limit) = self.some_page();
                (Question::Rooms { after: after.clone(), limit }, Query::Rooms { after, limit })
            }
            2 => {
                let room = self.chance.below(self.names.len());
                let name = self.names[room].clone();
                match self.asks_presence() {
                    true => (Question::Presence(room), Query::Presence(name)),
                    false => (Question::Room(room), Query::Room(name)),
                }
            }
            3 => {
                let (said, frame) = self.make_emit(shard);
                let client = self.chance.below(self.clients.len().max(1));
                let Some(player) = self.clients.get_mut(client) else { return };
                player.emits.push(said);
                (Question::Emit { client, said }, Query::Emit(player.conn, frame))
            }
            _ if !self.chance.happens(self.setup.faults.kick) => return,
            _ => {
                let Some(client) = self.some_client(Some(to)) else { return };
                self.clients[client].may_end.push(Disconnect::Kicked);
                (
                    Question::Close,
                    Query::Close(self.clients[client].conn, Disconnect::Kicked.into()),
                )
            }
        };
        let to = match &query {
            Query::Emit(conn, _) => conn.shard,
            _ => ShardId::new(to as u16),
        };
        if self.shards[shard].query(to, token, query).is_ok() {
            self.asking.questions.insert((shard, token.0), question);
        } else {
            self.count.add(Happened::CallerToldFull);
        }
    }

    /// Which rooms to list: behind one of them or from the begin, and how many.
    fn some_page(&mut self) -> (Option<Box<str>>, usize) {
        let room = self.chance.below(self.names.len());
        let after = self.chance.happens(0.5).then(|| self.names[room].as_str().into());
        (after, self.chance.pick(&[1, 2, 1_000]))
    }

    /// A home lists exactly its rooms, in order and page by page.
    fn check_list(&mut self, home: usize) {
        let (after, limit) = self.some_page();
        let mut names: Vec<RoomName> = self.names.clone();
        names.retain(|name| after.as_deref() < Some(name.as_str()));
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        let shard = &mut self.shards[home];
        let info = |name| match shard.answer(Query::Room(name)) {
            Answer::Room(info) => info,
            other => panic!("a room is asked for, and the answer is {other:?}"),
        };
        let expected: Vec<RoomInfo> = names.into_iter().filter_map(info).take(limit).collect();
        match self.shards[home].answer(Query::Rooms { after, limit }) {
            Answer::Rooms(rooms) => assert_eq!(rooms, expected, "the list of shard {home}"),
            other => panic!("rooms are asked for, and the answer is {other:?}"),
        }
        self.count.add(Happened::RoomsListed);
    }

    /// Makes a client a member of a room, or takes it out of one.
    fn guide(&mut self, shard: usize) {
        let Some(client) = self.some_guided(shard) else { return };
        let (room, joins) = self.some_way(client);
        let player = &self.clients[client];
        if room == 0 && player.resident && !joins {
            return;
        }
        let conn = player.conn;
        // An answer of the home that the program has not been handed would be taken for the next one.
        let waits = player.view.guided.as_ref().and_then(|rooms| rooms.get(&room));
        if self.limits_rooms() && waits.is_some_and(|asked| !asked.is_empty()) {
            return;
        }
        let token = self.token();
        let name = self.names[room].clone();
        let refused = match joins {
            true => self.shards[shard].join(conn, &name, JoinOptions::default(), token),
            false => self.shards[shard].leave(conn, &name, token),
        };
        trace!(self, "client {client}: guided {name} joins {joins}: {refused:?}");
        self.check_totals(shard);
        match refused {
            Ok(()) => {
                let asked_at = self.step;
                let guided = Guided { joins, asked_at, token: token.0, offset: None };
                let rooms = self.clients[client].view.guided.as_mut().expect("it is guided");
                rooms.entry(room).or_default().push_back(guided);
                self.asking.questions.insert((shard, token.0), Question::Guide { client, room });
            }
            Err(Refused::TooManyRooms(rooms)) => {
                assert_eq!(rooms, self.setup.config.limits.rooms_per_connection);
                self.count.add(Happened::ProgramRefused);
            }
            Err(Refused::TooManyMemberships(most)) => {
                assert_eq!(most, self.setup.config.limits.memberships);
                assert!(self.lacks_membership(shard), "there was a membership");
                self.count.add(Happened::ProgramRefused);
            }
            Err(_) => self.count.add(Happened::ProgramRefused),
        }
    }

    /// A client for which the program joins and leaves rooms.
    fn some_guided(&mut self, shard: usize) -> Option<usize> {
        let is_guided = |client: &usize| {
            let client = &self.clients[*client];
            client.shard == shard && client.view.guided.is_some()
        };
        let guided: Vec<usize> = self.open.iter().copied().filter(is_guided).collect();
        (!guided.is_empty()).then(|| self.chance.pick(&guided))
    }

    /// A room for it to join, or to leave; mostly one that it is in.
    fn some_way(&mut self, client: usize) -> (usize, bool) {
        let rooms: Vec<usize> = self.clients[client].view.rooms.keys().copied().collect();
        match !rooms.is_empty() && self.chance.happens(0.5) {
            true => (self.chance.pick(&rooms), false),
            false => (self.chance.below(self.names.len()), self.chance.happens(0.8)),
        }
    }

    fn guided(&mut self, token: AnswerToken, client: usize, room: usize, answer: &Answer) {
        let rooms = self.clients[client].view.guided.as_mut().expect("it is guided");
        let asked =
            rooms.get_mut(&room).and_then(|all| all.iter_mut().find(|g| g.token == token.0));
        let offset = match answer {
            Answer::Joined(joined) => joined.offset,
            Answer::Left { offset } => *offset,
            Answer::Gone => return self.count.add(Happened::GuidedButEnded),
            Answer::TooManyRooms(most) => {
                assert_eq!(*most, self.setup.config.limits.total_rooms);
                let asked_at = asked.expect("it was asked for").asked_at;
                assert!(self.places.lacked_room(self.homes[room], asked_at), "there was a room");
                let all = rooms.get_mut(&room).expect("it was asked for");
                all.retain(|guided| guided.token != token.0);
                self.members.get_mut(&(client, room)).and_then(VecDeque::pop_front);
                return self.count.add(Happened::ProgramRefused);
            }
            other => panic!("a join or leave answered with {other:?}"),
        };
        match asked {
            Some(asked) => asked.offset = Some(offset),
            None => {
                let known = self.clients[client].view.known_first.remove(&token.0);
                assert_eq!(known, Some(offset), "the client was sent the same");
            }
        }
        let joined = matches!(answer, Answer::Joined(_));
        self.count.add(if joined { Happened::GuidedIn } else { Happened::GuidedOut });
    }

    fn kick(&mut self, shard: usize) {
        let Some(client) = self.some_client(Some(shard)) else { return };
        if !self.chance.happens(self.setup.faults.kick * 5.0) {
            return;
        }
        trace!(self, "client {client}: kicked");
        self.clients[client].may_end.push(Disconnect::Kicked);
        self.shards[shard].close(self.clients[client].conn, Disconnect::Kicked);
        self.note_close_with_begun_send(client);
    }

    fn end_a_call(&mut self) {
        if !self.calls.is_empty() {
            let place = self.chance.below(self.calls.len());
            self.end_call(place);
        }
    }

    /// The handler of one message is done, or failed.
    pub(crate) fn end_call(&mut self, place: usize) {
        let call = self.calls.swap_remove(place);
        let client = self.by_conn[&call.conn];
        let shard = call.conn.shard.index();
        let call = match call {
            Call { conn, kind: CallKind::Command(asked) } => return self.decide(conn, asked),
            Call { conn, kind: CallKind::Refresh(refresh) } => return self.verify(conn, refresh),
            call => call,
        };
        let failed = matches!(call.kind, CallKind::Event(_)) && self.chance.happens(0.3);
        if failed {
            let id = self.clients[client].id(&mut self.chance);
            let text = "the \"handler\" failed";
            self.shards[shard].fail_call(call.conn, Some(text), Some(&id), None);
            let view = &mut self.clients[client].view;
            view.expect(view::Line::Failures, Some(id), view::Awaited::Error("handler_failed"));
        }
        self.shards[shard].end_call(call.conn);
        self.check_totals(shard);
        self.ring(shard);
    }

    /// The program says what it was to say about this command.
    fn decide(&mut self, conn: ConnId, mut asked: AskedCommand) {
        let verdicts = &mut self.clients[self.by_conn[&conn]].verdicts;
        let (_, verdict, rewritten) = verdicts.pop_front().expect("the program is asked once");
        self.count.add(Happened::Decided);
        if let (AskedKind::Publish(said) | AskedKind::Broadcast(said), Some(data)) =
            (&mut asked.kind, rewritten)
        {
            said.data = data;
            self.count.add(Happened::Rewritten);
        }
        trace!(self, "{conn}: the program decides: {verdict:?}");
        self.shards[conn.shard.index()].decide(conn, asked, verdict);
        self.check_totals(conn.shard.index());
        self.ring(conn.shard.index());
    }

    /// Pulls all outputs of a shard.
    pub(crate) fn pull(&mut self, shard: usize) {
        self.take_parcels(shard);
        self.watch(shard);
        while let Some(goodbye) = self.shards[shard].outputs().next_close_step() {
            match goodbye {
                CloseStep::LeftRooms(conn, reason) => self.parted(self.by_conn[&conn], reason),
                CloseStep::ShutdownWrite(conn) => self.shut_down(self.by_conn[&conn]),
                CloseStep::Close(conn) => self.close_socket(self.by_conn[&conn]),
            }
        }
        // Whose end was not yet decided then has parted by now, or was there.
        for (client, when) in std::mem::take(&mut self.excused) {
            let player = &mut self.clients[client];
            match player.shard == shard {
                true if player.lives() => {
                    (player.heard, player.resumed_at) = (player.heard.max(when), None);
                }
                true => {}
                false => self.excused.push((client, when)),
            }
        }
        while let Some(conn) = self.shards[shard].outputs().next_resumed() {
            let player = &mut self.clients[self.by_conn[&conn]];
            player.paused = false;
            player.resumed_at.get_or_insert(self.time_at[shard]);
            self.count.add(Happened::Resumed);
        }
        while let Some(conn) = self.shards[shard].outputs().next_hung_up() {
            assert!(
                !self.shards[shard].is_open(conn),
                "nothing is begun for a client that has hung up"
            );
        }
        while let Some(conn) = self.shards[shard].outputs().next_renewed() {
            self.renewed(conn);
        }
        while let Some(call) = self.shards[shard].outputs().next_call() {
            self.called(call);
        }
        while let Some((token, answer)) = self.shards[shard].outputs().next_answer() {
            self.answered(shard, token, answer);
        }
    }

    /// The program is called for what its clients said, in that order.
    fn called(&mut self, call: Call) {
        self.count.add(match &call.kind {
            CallKind::Text(_) => Happened::TextCalled,
            CallKind::Binary(_) => Happened::BinaryCalled,
            _ => Happened::HandlerCalled,
        });
        if call.kind != CallKind::Connect {
            let client = self.by_conn[&call.conn];
            self.count_input(client, None);
            let said = self.clients[client].said.pop_front().map(|(_, said)| said);
            assert_eq!(said.as_ref(), Some(&call.kind), "what {} said next", call.conn);
        }
        self.calls.push(call);
    }

    fn answered(&mut self, shard: usize, token: AnswerToken, answer: Answer) {
        self.model.now = self.now;
        let question = self.asking.questions.remove(&(shard, token.0));
        let question = question.expect("a question is answered once");
        self.count.add(Happened::CallerAnswered);
        match (question, answer) {
            (Question::Publish(said), Answer::Published { offset, members, repeated }) => {
                if let Some(counted) = self.published.remove(&(shard, token.0)) {
                    let everybody = self.model.sayings[said].room == EVERYBODY;
                    let keyed = self.model.sayings[said].keyed.is_some();
                    let is_next = keyed || counted.0 == offset;
                    assert!(
                        everybody || is_next && counted.1 == members,
                        "{counted:?} counted, and {offset} of {members}"
                    );
                    self.count.add(Happened::PublishedCounted);
                }
                let everybody = self.model.sayings[said].room == EVERYBODY;
                self.model.acked(said, if everybody { 0 } else { offset }, repeated);
            }
            (Question::Stats, Answer::Stats(stats)) => {
                assert!(stats.connections as usize <= self.clients.len());
            }
            (Question::Rooms { after, limit }, Answer::Rooms(rooms)) => {
                assert!(rooms.is_sorted_by(|a, b| a.room < b.room), "sorted by name");
                assert!(rooms.len() <= limit, "no more than were asked for");
                let first = rooms.first().map(|info| info.room.as_str());
                assert!(
                    first.is_none_or(|first| after.as_deref() < Some(first)),
                    "behind {after:?}"
                );
            }
            (Question::Room(room), Answer::Room(info)) => {
                self.asking.rooms.insert(room, info);
            }
            (Question::Presence(room), answer) => {
                self.asking.presence.insert(room, answer);
            }
            (Question::Emit { client, said }, Answer::Found(found)) => {
                self.count.add_if(!found, Happened::EmitNotFound);
                if found {
                    self.model.sayings[said].known = Some(client as u64);
                }
            }
            (Question::Emit { .. }, Answer::Full(_) | Answer::TooLarge(_)) => {
                self.count.add(Happened::EmitDidNotFit);
            }
            (Question::Guide { client, room }, answer) => {
                self.guided(token, client, room, &answer);
            }
            (Question::Close, Answer::Found(_)) => {}
            (question, answer) => panic!("{question:?} answered with {answer:?}"),
        }
    }
}
