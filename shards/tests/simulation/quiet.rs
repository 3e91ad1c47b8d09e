//! The end of a seed: no new input, no faults, and what must hold when all is quiet.

use std::time::Duration;

use corecast_shards::{AnswerToken, Disconnect, Query, Shard, SlowPolicy, Time};

use crate::bounds::PAUSE;
use crate::client::Client;
use crate::count::Happened;
use crate::faults::Faults;
use crate::keys::Keyed;
use crate::model::{EVERYBODY, NO_ROOM, Saying, Speaker};
use crate::program::Question;
use crate::tokens::Known;
use crate::world::{World, trace};

/// Rounds after which a world that still moves will never be quiet. With a send in each slice and two
/// messages in each send, one seed of 15,000 needed more than 20,000.
const ROUNDS_MAX: usize = 400_000;

/// What the socket of a client holds that reads everything.
pub(crate) const PEACEFUL: usize = usize::MAX / 2;

impl World {
    pub(crate) fn end_in_peace(&mut self) {
        self.make_peace();
        self.settle();
        self.wait_for_memory();
        self.wait_for_presence();
        self.wait_for_lingers();
        // Each client that is still there sees this one, and with it all broadcasts before.
        let last = self.model.sayings.len();
        assert!(self.say_from_program(0, EVERYBODY, None), "nothing stands in the way");
        self.settle();
        self.ask_for_rooms();
        (0..self.clients.len()).for_each(|client| self.count_input(client, None));
        self.check_quiet();
        self.check_commands();
        self.check_homes();
        self.check_watching();
        self.check_presence();
        self.check_broadcasts(last);
        self.check_emits();
        self.model.check_order();
        self.check_keys();
        self.clients.iter().for_each(|client| client.view.check_passed(&self.model));
        self.every_client_ends();
    }

    /// The server goes away: what was accepted is still sent to every client that takes it.
    pub(crate) fn drain(&mut self) {
        self.count.add(Happened::Drain);
        if self.setup.drains_in_peace {
            self.make_peace();
        } else {
            self.count.add(Happened::DrainUnderFaults);
        }
        self.accept_some();
        (self.draining, self.setup.connections) = (true, 0);
        trace!(self, "the drain begins");
        for shard in 0..self.shards.len() {
            self.note_waiting(shard);
            self.note_lingers(shard);
            self.shards[shard].stop_reading();
            self.stopped[shard] = true;
            self.ring(shard);
            self.some_steps(30);
        }
        self.some_steps(300);
        while !self.calls.is_empty() {
            self.end_call(0);
        }
        self.settle_answers();
        assert!(self.mesh.is_empty() && self.shards.iter().all(Shard::is_quiet), "all arrived");
        self.ask_for_rooms();
        (0..self.shards.len()).for_each(|shard| self.check_rooms(shard));
        for shard in 0..self.shards.len() {
            self.shards[shard].close_all_when_flushed(Disconnect::Shutdown);
            self.ring(shard);
            self.closing[shard] = Some(self.time_at[shard]);
            self.some_steps(30);
        }
        self.some_steps(1_000);
        self.stall_some();
        self.settle();
        self.let_the_stalled_time_out();
        self.let_close_time_out();
        self.check_all_gone();
        for (number, client) in self.clients.iter().enumerate().filter(|(_, of)| of.was_served()) {
            for (room, stay) in &client.view.rooms {
                let info = self.asking.rooms[room].as_ref().expect("it had members");
                assert_eq!(*info.epoch.to_string(), *stay.epoch, "the room's life, room {room}");
                let end = stay.next + client.view.still_excluded(*room, stay.next);
                assert!(end > info.offset, "client {number}, room {room}: {end} comes no more");
            }
        }
        // No client missed the last broadcast of those that any client got, but for what others said that
        // waited: that is broadcast when it can be, to those that are still there.
        for client in self.clients.iter().filter(|client| client.was_served()) {
            let last = client.view.broadcasts.last();
            let after = last.map_or(Vec::new(), |last| self.model.broadcasts_after(*last));
            let speakers = after.iter().map(|later| self.model.sayings[*later].by);
            let distinct: std::collections::BTreeSet<_> = speakers.collect();
            let one_each = distinct.len() == after.len();
            let all_waited = distinct.iter().all(|speaker| self.has_waited(*speaker));
            assert!(one_each && all_waited, "more was broadcast");
        }
        self.model.check_order();
        self.check_keys();
    }

    /// Clients that are not read when the drain begins may have said one thing more, which waits.
    fn note_waiting(&mut self, shard: usize) {
        for client in &self.open {
            let player = &mut self.clients[*client];
            if player.shard == shard {
                player.waits_in_drain = !self.shards[shard].wants_read(player.conn);
            }
        }
    }

    /// Whether this is a client that waited when the drain began.
    fn has_waited(&self, speaker: Speaker) -> bool {
        match speaker {
            Speaker::Client(client) => self.clients[client].waits_in_drain,
            Speaker::Program(_) => false,
        }
    }

    /// In a drain everything goes wrong as before.
    fn some_steps(&mut self, most: usize) {
        if !self.setup.drains_in_peace {
            (0..self.chance.skewed(most)).for_each(|_| self.step());
        }
    }

    /// Some read nothing any more, and from here on nothing else goes wrong.
    fn stall_some(&mut self) {
        let stalls = !self.setup.drains_in_peace;
        for client in self.open.clone() {
            if stalls && self.chance.happens(0.3) {
                self.clients[client].capacity = 0;
                self.count.add(Happened::StalledInDrain);
            } else {
                self.clients[client].capacity = usize::MAX / 2;
            }
        }
        self.setup.faults = Faults::none();
    }

    /// A drain lasts no longer for clients that read nothing than the slow rules say.
    fn let_the_stalled_time_out(&mut self) {
        for _ in 0..5 {
            self.now = self.now + self.setup.config.limits.slow_timeout / 2;
            self.settle();
        }
    }

    /// From here on nothing goes wrong, and everybody reads.
    fn make_peace(&mut self) {
        trace!(self, "peace");
        self.setup.faults = Faults::none();
        self.peace = true;
        for client in &mut self.clients {
            client.capacity = PEACEFUL;
            client.stalled_until = 0;
            client.silent = false;
        }
    }

    /// Everything that can happen without time or new input happens.
    pub(crate) fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if !self.pump() {
                return;
            }
        }
        panic!("the world never becomes quiet");
    }

    /// Everything arrives that is between the shards.
    fn settle_mesh(&mut self) {
        for _ in 0..ROUNDS_MAX {
            if !self.pump_mesh() {
                return;
            }
        }
        panic!("the mesh never becomes quiet");
    }

    /// The same, and what waits at its home for a later turn is answered.
    fn settle_answers(&mut self) {
        const TIMES: usize = 1_000;
        for nth in 0..TIMES {
            self.settle_mesh();
            assert!(self.shards.iter().all(Shard::is_quiet), "nothing is on its way");
            let counts = self.shards.iter().map(Shard::mesh_counts);
            if counts.fold(0, |sum, (sent, handled)| sum + sent as i64 - handled as i64) == 0 {
                return;
            }
            if nth % 2 == 0 && !self.setup.by_turns {
                let has_sends = |shard: &&mut Shard| shard.has_sends();
                self.shards.iter_mut().filter(has_sends).for_each(Shard::begin_quantum);
            } else if let Some(due) = self.shards.iter().filter_map(Shard::next_deadline).min() {
                self.now = self.now.max(due);
                self.model.now = self.now;
            }
        }
        panic!("something is never answered");
    }

    fn pump_mesh(&mut self) -> bool {
        if self.setup.by_turns {
            return self.round_of_turns();
        }
        let mut moved = false;
        for shard in 0..self.shards.len() {
            self.tell_time(shard);
            self.tell_rooms(shard);
            while self.shards[shard].has_loopback() {
                self.take_loopback(shard, 64);
                moved = true;
            }
            for other in (0..self.shards.len()).filter(|other| *other != shard) {
                while self.carry_outcome(shard, other)
                    || self.carry_request(shard, other)
                    || self.hand_in_outcome(other, shard)
                    || self.hand_in_request(other, shard)
                {
                    moved = true;
                }
            }
            while self.end_one(shard) {
                moved = true;
            }
            moved |= self.take_parcels(shard);
            self.pull(shard);
        }
        moved
    }

    /// One round of everything; whether anything happened.
    fn pump(&mut self) -> bool {
        let mut moved = self.pump_mesh();
        for shard in 0..self.shards.len() {
            if self.setup.by_turns {
                break;
            }
            moved |= self.send_all(shard);
            self.pull(shard);
            self.note_who_caught_up(shard);
            self.check_due(shard, self.time_at[shard]);
        }
        moved |= !self.calls.is_empty();
        while !self.calls.is_empty() {
            self.end_call(0);
        }
        for client in self.open.clone() {
            self.answer_pings(client);
            self.answer_close(client);
            if self.setup.by_turns {
                continue;
            }
            moved |= self.receive(client, usize::MAX);
            moved |= self.tell_writable(client);
            let player = &self.clients[client];
            if player.hung_up.is_some() && !player.end_told && player.out.is_empty() {
                self.tell_end(client);
                moved = true;
            }
        }
        moved
    }

    fn send_all(&mut self, shard: usize) -> bool {
        let mut moved = false;
        while self.shards[shard].has_sends() {
            self.shards[shard].begin_quantum();
            while let Some(conn) = self.shards[shard].next_room_send() {
                self.begin(conn);
                self.end_one(shard);
            }
            self.shards[shard].on_quantum_end(self.now);
            while let Some(conn) = self.shards[shard].next_direct_send() {
                self.begin(conn);
                self.end_one(shard);
            }
            moved = true;
        }
        self.slicing[shard] = false;
        moved
    }

    fn ask_for_rooms(&mut self) {
        self.asking.rooms.clear();
        for room in 0..self.names.len() {
            let token = AnswerToken(u64::MAX - room as u64);
            let home = self.shards[0].home(&self.names[room]);
            let query = Query::Room(self.names[room].clone());
            self.shards[0].query(home, token, query).expect("all is quiet");
            self.ring(0);
            self.asking.questions.insert((0, token.0), Question::Room(room));
            self.settle_mesh();
        }
    }

    /// Rings and logs are empty, no connection waits, and every shard counts what is there.
    fn check_quiet(&self) {
        assert!(self.mesh.is_empty() && self.begun.is_empty() && self.calls.is_empty());
        assert!(self.asking.questions.is_empty(), "unanswered: {:?}", self.asking.questions);
        for (place, shard) in self.shards.iter().enumerate() {
            let stats = shard.stats();
            assert!(shard.is_quiet() && !shard.has_sends(), "shard {place} is quiet");
            assert_eq!(stats.log_bytes, 0, "the logs of shard {place} are empty");
            assert_eq!(
                (stats.waiting, stats.blocked),
                (0, 0),
                "no connection waits on shard {place}"
            );
            assert_eq!(stats.paused_rooms, 0, "no room of shard {place} is paused");
            let longest = stats.counters.latencies.max();
            assert!(longest <= self.now.since(Time::default()), "nothing took longer than the run");
            let here = self.clients.iter().filter(|c| c.shard == place && c.lives());
            let memberships: usize =
                here.clone().map(|client| client.view.membership_count()).sum();
            assert_eq!(stats.connections as usize, here.count(), "connections of shard {place}");
            assert_eq!(stats.memberships as usize, memberships, "memberships of shard {place}");
        }
    }

    /// Every begun command is answered, and every member is at the end of its rooms.
    fn check_commands(&self) {
        for (number, client) in self.clients.iter().enumerate().filter(|(_, c)| c.lives()) {
            assert!(!client.doomed && client.hung_up.is_none(), "client {number} must be gone");
            assert!(client.view.welcomed_at.is_some(), "client {number} was greeted");
            assert!(client.view.partial.is_empty(), "client {number} has half a frame");
            assert!(client.said.is_empty(), "client {number} said {:?}", client.said);
            let engine = &self.shards[client.shard];
            let is_stream = client.view.stream.is_some();
            assert!(is_stream || engine.is_open(client.conn), "client {number} is open");
            let mut rooms = engine.rooms_of(client.conn);
            rooms.sort_unstable_by_key(|room| self.names.iter().position(|name| name == room));
            let seen = (0..self.names.len()).filter(|room| client.view.is_in(*room));
            let seen = seen.map(|room| &self.names[room]);
            assert!(rooms.iter().eq(seen), "client {number} is in {rooms:?}");
            let guided = client.view.guided.iter().flatten();
            assert!(guided.clone().all(|(_, asked)| asked.is_empty()), "{guided:?}");
            assert!(client.view.pinged.is_empty(), "every ping is answered");
            let settled = client.known.as_ref().is_none_or(Known::is_settled);
            assert!(settled, "client {number} learns of its tokens: {:?}", client.known);
            assert!(client.view.known_first.is_empty(), "the program learns it, too");
            for (line, expected) in client.view.unanswered() {
                assert!(expected.is_empty(), "client {number} waits for {expected:?} in {line:?}");
            }
            for (room, stay) in &client.view.rooms {
                let info = self.asking.rooms[room].as_ref();
                let info = info.unwrap_or_else(|| panic!("room {room} has members and is gone"));
                assert_eq!(*info.epoch.to_string(), *stay.epoch, "the room's life, room {room}");
                let own = client.view.still_excluded(*room, stay.next);
                let waits = stay.next <= stay.recovered_to;
                assert!(!waits, "client {number} misses {} of room {room}", stay.next);
                let none = stay.newest.is_none_or(|(from, must)| from == stay.next || !must);
                assert!(none, "client {number} was sent none of the newest of room {room}");
                let end = info.offset + 1;
                assert!(
                    stay.next <= end && stay.next + own >= end,
                    "client {number} is at {} of {end} in room {room}, {own} its own",
                    stay.next
                );
                let latest = self.slow_policies[*room] == SlowPolicy::Latest;
                let is_last = stay.next == end && stay.after_gap;
                assert!(!latest || !is_last, "client {number} has not the newest of room {room}");
            }
        }
    }

    /// Every home counts the members that there are, and the messages that were accepted.
    fn check_homes(&mut self) {
        for room in 0..self.names.len() {
            let is_in = |client: &&Client| client.lives() && client.view.is_in(room);
            let members = self.clients.iter().filter(is_in).count();
            self.count.add_if(self.model.lives_of(room) > 1, Happened::RoomLivedAgain);
            let Some(info) = &self.asking.rooms[&room] else {
                assert_eq!(members, 0, "room {room} is gone and has members");

                continue;
            };
            self.count.add_if(members == 0, Happened::RoomOutlivedItsMembers);
            assert_eq!(info.members as usize, members, "members of room {room}");
            let epoch = info.epoch.to_string().into();
            let streams = self.clients.iter().filter(is_in);
            streams.for_each(|client| {
                client.view.check_stream(&self.model, room, &epoch, info.offset);
            });
            assert!(self.model.newest(room, &epoch) <= info.offset, "offsets of room {room}");
            if self.is_first_life() {
                self.count.add(Happened::MessagesCounted);
                self.check_message_count(room, info.offset);
            }
        }
    }

    /// Whether no room can have ended.
    pub(crate) fn is_first_life(&self) -> bool {
        let limits = &self.setup.config.limits;
        !self.was_short
            && self.now < Time::default() + limits.room_linger
            && limits.lingering_rooms >= self.names.len() * self.shards.len()
    }

    /// Everything that was accepted has an offset, and nothing else has; of those with one key at least
    /// one has.
    fn check_message_count(&self, room: usize, offset: u64) {
        let said = || self.model.sayings.iter().filter(|saying| saying.room == room);
        let accepted = |saying: &&Saying| match saying.by {
            Speaker::Client(client) => saying.known.is_some() || self.clients[client].lives(),
            Speaker::Program(_) => saying.accepted,
        };
        let perhaps =
            |saying: &&Saying| accepted(saying) || matches!(saying.by, Speaker::Client(_));
        let unkeyed = said().filter(|saying| accepted(saying) && saying.keyed.is_none()).count();
        let keys = said().filter(accepted).filter_map(|saying| saying.keyed).map(Keyed::key);
        let keys: std::collections::BTreeSet<_> = keys.collect();
        let least = (unkeyed + keys.len()) as u64;
        let most = said().filter(perhaps).count() as u64;
        assert!((least..=most).contains(&offset), "room {room}: {offset} of {least} to {most}");
    }

    /// Every broadcast reached every client that was greeted before it was sent.
    fn check_broadcasts(&self, last: usize) {
        let mut numbered = self.model.broadcasts_before(last);
        numbered.push(last);
        let was_accepted = |number: &usize| {
            let saying = &self.model.sayings[*number];
            let accepted = match saying.by {
                // What a client that is still there said was accepted.
                Speaker::Client(client) => self.clients[client].lives(),
                Speaker::Program(_) => false,
            };
            saying.room == EVERYBODY && (saying.known.is_some() || accepted)
        };
        let accepted: Vec<usize> = (0..self.model.sayings.len()).filter(was_accepted).collect();
        for (number, client) in self.clients.iter().enumerate().filter(|(_, c)| c.lives()) {
            if client.view.stream.is_some() {
                assert!(client.view.broadcasts.is_empty(), "a broadcast is no room's message");
                continue;
            }
            assert_eq!(client.view.broadcasts.last(), Some(&last), "client {number}: the end");
            let seen: std::collections::BTreeSet<_> = client.view.broadcasts.iter().collect();
            assert_eq!(seen.len(), client.view.broadcasts.len(), "client {number}: one twice");
            let greeted = client.view.welcomed_at;
            for broadcast in accepted.iter().chain(&numbered) {
                let later = Some(self.model.sayings[*broadcast].said_at) > greeted;
                assert!(!later || seen.contains(broadcast), "client {number}: {broadcast} missing");
            }
        }
    }

    /// What was queued for one connection reached it and no other.
    fn check_emits(&self) {
        for (number, client) in self.clients.iter().enumerate() {
            for said in &client.view.emitted {
                let to = self.model.sayings[*said].known;
                assert_eq!(to, Some(number as u64), "emit {said} was for another client");
            }
        }
        for (said, saying) in
            self.model.sayings.iter().enumerate().filter(|(_, s)| s.room == NO_ROOM)
        {
            if let Some(to) = saying.known.and_then(|to| self.clients.get(to as usize)) {
                assert!(!to.lives() || to.view.emitted.contains(&said), "emit {said} never came");
            }
        }
    }

    /// Every client ends, in one way or another, and nothing is left.
    fn every_client_ends(&mut self) {
        for client in self.open.clone() {
            match self.chance.happens(0.5) {
                true => self.hang_up(client),
                false => {
                    let (conn, shard) = (self.clients[client].conn, self.clients[client].shard);
                    self.clients[client].may_end.push(Disconnect::Kicked);
                    self.shards[shard].close(conn, Disconnect::Kicked);
                    self.ring(shard);
                }
            }
        }
        self.settle();
        self.let_close_time_out();
        self.check_all_gone();
    }

    /// The clients that ignored our close frame are cut.
    fn let_close_time_out(&mut self) {
        for _ in 0..3 {
            let timeout = self.setup.config.limits.close_timeout;
            self.now = self.now + timeout + Duration::from_millis(100);
            self.settle();
        }
    }

    fn check_all_gone(&mut self) {
        assert!(self.open.is_empty(), "still open: {:?}", self.open);
        self.check_all_left();
        for shard in 0..self.shards.len() {
            let stats = self.shards[shard].stats();
            assert!(self.shards[shard].is_quiet(), "shard {shard} is quiet");
            for client in self.clients.iter().filter(|client| client.shard == shard) {
                let engine = &self.shards[shard];
                let gone = !engine.is_open(client.conn) && engine.rooms_of(client.conn).is_empty();
                assert!(gone, "{} is gone", client.conn);
            }
            assert_eq!((stats.connections, stats.memberships), (0, 0), "shard {shard} is empty");
            assert_eq!((stats.log_bytes, stats.paused_rooms), (0, 0), "shard {shard} is empty");
            let closed: u64 = stats.counters.closed.iter().sum();
            assert_eq!(stats.counters.opened, closed, "shard {shard} counts every end once");
            let linger = self.setup.config.limits.room_linger + Duration::from_secs(1);
            for turn in 1..=self.turns_to_end_all() as u32 {
                self.shards[shard].on_time(self.now + linger + turn * PAUSE);
            }
            assert_eq!(self.shards[shard].stats().rooms, 0, "rooms of shard {shard} end");
            let remembered = self.setup.config.limits.publish_key_time;
            self.shards[shard].on_time(self.now + linger + remembered);
            assert_eq!(self.shards[shard].stats().publish_keys, 0, "keys of shard {shard} end");
        }
    }
}

impl crate::view::View {
    /// How many of the room's messages from `next` on it knows that it will not get.
    pub(crate) fn still_excluded(&self, room: usize, next: u64) -> u64 {
        let known = self.known_excluded(room, next);
        known + self.unasked.get(&room).copied().unwrap_or(0) as u64
    }
}
