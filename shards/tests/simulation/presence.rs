//! Who is in rooms, as clients that ask or watch are told it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use corecast_shards::{Answer, AnswerToken, Limits, Presence, Query, Time, Tuning};
use serde_json::Value;

use crate::chance::Chance;
use crate::client::Client;
use crate::count::Happened;
use crate::program::Question;
use crate::view::{Awaited, Court, Line, View};
use crate::world::World;

/// What a client knows of a room whose presence it watches.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) version: u64,
    told: Users,
    /// What it was given since the last change when it asked.
    given: Option<Users>,
    /// The time of its home when it asked to watch, and how many changes it has heard of.
    since: Time,
    changes: u32,
}

/// Who is there, as a client knows it.
#[derive(Debug, PartialEq)]
struct Users {
    count: usize,
    /// With what is shown of them; none while there are too many.
    infos: Option<BTreeMap<String, Value>>,
}

/// A state, as clients are given it.
struct State {
    version: u64,
    users: Users,
    connections: BTreeMap<String, u64>,
}

/// How many of the joins of a world ask for presence; some limits are small.
pub(crate) fn drawn(limits: &mut Limits, tuning: &mut Tuning, seed: u128) -> f64 {
    let mut chance = Chance::new((seed >> 7) as u64 ^ 3);
    let presence = match limits.memory_bytes {
        usize::MAX => chance.pick(&[0.0, 0.0, 0.3, 0.8]),
        _ => chance.pick(&[0.0, 0.3, 0.8]),
    };
    if presence == 0.0 {
        return presence;
    }
    limits.presence_max = chance.pick(&[0, 2, 5, 1_000, 1_000]);
    limits.presence_interval = Duration::from_millis(chance.within(10, 2_000) as u64);
    limits.presence_linger = Duration::from_millis(chance.pick(&[0, 20, 1_000, 5_000]));
    tuning.presence_members = chance.pick(&[1, 2, 256]);
    tuning.presence_joins = chance.pick(&[1, 3, 1_024]);
    presence
}

/// What is shown of the connections of a user; a fresh token says something else, which is not shown.
pub(crate) fn info(subject: Option<usize>, chance: &mut Chance) -> Option<Arc<str>> {
    let subject = subject?;
    let infos = [None, Some(format!(r#"{{"of":{subject}}}"#)), Some(r#""other""#.to_owned())];
    infos[chance.pick(&[0, 1, 1, 1, 1, 2])].clone().map(Into::into)
}

/// How long joins that ask for presence are gathered.
const JOINS_GATHERED_FOR: Duration = Duration::from_millis(20);

/// How often that may be so: clients say many commands at once.
const ENDS_MAX: usize = 200;

impl Watch {
    /// Whom it names.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.told.infos.iter().flat_map(|infos| infos.keys().cloned())
    }
}

impl Users {
    /// Applies a change.
    fn change(&mut self, change: &Value) {
        self.count = change["count"].as_u64().expect("a count") as usize;
        let (join, leave) = (list(&change["join"]), list(&change["leave"]));
        if change["more"] == true {
            assert!(join.is_empty() && leave.is_empty(), "too many are not listed");
            self.infos = None;
            return;
        }
        let infos = self.infos.get_or_insert_default();
        infos.extend(join.iter().map(|user| (name(user), user["info"].clone())));
        leave.iter().for_each(|user| drop(infos.remove(&name(user))));
        assert_eq!(infos.len(), self.count, "the count is that of the list");
    }
}

fn list(users: &Value) -> &[Value] {
    users.as_array().expect("a list")
}

fn name(user: &Value) -> String {
    user["user"].as_str().expect("a name").to_owned()
}

impl State {
    fn read(data: &str) -> State {
        let data: Value = serde_json::from_str(data).expect("it is JSON");
        let listed = list(&data["users"]);
        let more = data["more"].as_bool().expect("whether there are more");
        let names: Vec<String> = listed.iter().map(name).collect();
        assert!(names.iter().collect::<BTreeSet<_>>().len() == names.len(), "users come once");
        let infos = listed.iter().map(|user| (name(user), user["info"].clone()));
        let count = |user: &Value| user["connections"].as_u64().expect("a number");
        let state = State {
            version: data["version"].as_u64().expect("a version"),
            connections: listed.iter().map(|user| (name(user), count(user))).collect(),
            users: Users {
                count: data["count"].as_u64().expect("a count") as usize,
                infos: (!more).then(|| infos.collect()),
            },
        };
        match &state.users {
            Users { count, infos: Some(infos) } => {
                assert_eq!(infos.len(), *count, "all are listed")
            }
            users => assert!(listed.is_empty() && users.count > 0, "too many are not listed"),
        }
        state
    }
}

impl View {
    /// Its join was answered, which asked for presence with the home at this time, or did not.
    pub(crate) fn begin_watch(
        &mut self,
        room: usize,
        asked: Option<Time>,
        data: Option<&str>,
        court: &mut Court<'_>,
    ) {
        assert_eq!(
            asked.is_some(),
            data.is_some(),
            "who asks is told who is there, and nobody else"
        );
        let (Some(since), Some(data)) = (asked, data) else { return };
        let State { version, users, connections } = State::read(data);
        assert!(users.count >= 1, "it is there itself");
        if let Some(name) = self.shown_as.clone().filter(|_| users.infos.is_some()) {
            assert!(connections[&name] >= 1, "{name} is there: {connections:?}");
        }
        court.count.add_if(users.infos.is_none(), Happened::PresenceOfTooMany);
        court.count.add(Happened::PresenceWatched);
        let watch = Watch { version, told: users, given: None, since, changes: 0 };
        self.watches.insert(room, watch);
    }

    pub(crate) fn presence_answer(
        &mut self,
        room: usize,
        id: Option<&str>,
        data: &str,
        court: &mut Court<'_>,
    ) {
        let answer = self.answer(Line::Room(room), id);
        assert!(matches!(answer, Awaited::Presence), "{answer:?} answered with presence");
        assert!(self.rooms.contains_key(&room), "it is told to members alone");
        let state = State::read(data);
        court.count.add(Happened::PresenceAsked);
        let Some(watch) = self.watches.get_mut(&room) else { return };
        // Whoever watches knows the version; from here it may go on as well as from what it was told.
        assert_eq!(state.version, watch.version, "what is given goes with what was told");
        watch.given = Some(state.users);
    }

    pub(crate) fn presence_change(&mut self, room: usize, data: &str, court: &mut Court<'_>) {
        let watch = self.watches.get_mut(&room);
        let watch =
            watch.unwrap_or_else(|| panic!("a change of room {room} that it is not to know"));
        let change: Value = serde_json::from_str(data).expect("it is JSON");
        watch.version += 1;
        assert_eq!(change["version"].as_u64(), Some(watch.version), "versions have no hole");
        watch.changes += 1;
        let home_now = court.home_times[court.homes[room]];
        let least = court.presence_interval * (watch.changes - 1);
        assert!(home_now.since(watch.since) >= least, "{} changes so soon", watch.changes);
        watch.told.change(&change);
        if let Some(mut given) = watch.given.take() {
            given.change(&change);
            assert_eq!(given, watch.told, "room {room}: what was told is what was given");
        }
        if change["more"] == true {
            return court.count.add(Happened::PresenceChangeOfTooMany);
        }
        let (join, leave) = (list(&change["join"]), list(&change["leave"]));
        court.count.add_if(leave.len() + join.len() > 1, Happened::PresenceCoalesced);
        join.iter().for_each(|_| court.count.add(Happened::PresenceJoined));
        leave.iter().for_each(|_| court.count.add(Happened::PresenceLeft));
    }

    /// Whether it is, or may be, sent who is in a room.
    pub(crate) fn hears_of_presence(&self) -> bool {
        let asks = |awaited: &Awaited| match awaited {
            Awaited::Joined { presence, .. } => presence.is_some(),
            Awaited::Presence => true,
            _ => false,
        };
        let mut expected = self.expected.values().flatten();
        !self.watches.is_empty() || expected.any(|expected| asks(&expected.answer))
    }
}

impl World {
    /// A client asks who is in a room.
    pub(crate) fn ask_presence(&mut self, client: usize, room: usize) {
        let (id, id_json) = self.id(client, 0.7);
        let json = format!(r#"{{"event":"cast:presence","room":{}{id_json}}}"#, self.written[room]);
        self.speak(client, &json);
        self.clients[client].view.expect(Line::Room(room), id, Awaited::Presence);
    }

    /// Whether a client is to ask for presence instead of what else it would do.
    pub(crate) fn asks_presence(&mut self) -> bool {
        let part = self.setup.presence;
        part > 0.0 && self.presence_chance.happens(part / 10.0)
    }

    /// Time passes until every change is told and every answer has come.
    pub(crate) fn wait_for_presence(&mut self) {
        if self.setup.presence == 0.0 {
            return;
        }
        let (limits, tuning) = (&self.setup.config.limits, &self.setup.config.tuning);
        let (long, short) = (limits.presence_interval, Duration::from_millis(2));
        let lingers = limits.presence_linger.as_millis() / long.as_millis();
        // What is due at once is done in several turns: to each room everybody may come, everybody may
        // go, and it is told.
        let all = (self.clients.len() + 3) * self.names.len();
        let (joins, ends) = (all / tuning.presence_joins + 2, all / tuning.ends_per_turn + 2);
        for _ in 0..ENDS_MAX {
            let living = self.living();
            self.let_pass(JOINS_GATHERED_FOR, 1);
            self.let_pass(short, joins);
            self.let_pass(long, lingers as usize + 2);
            self.let_pass(short, ends);
            self.let_pass(long, 1);
            self.let_pass(short, ends);
            // Whoever went meanwhile is not forgotten yet, and behind a join that has waited there may be
            // another one.
            let waiting: u64 = self.shards.iter().map(|shard| shard.stats().waiting).sum();
            if self.living() == living && waiting == 0 {
                return;
            }
        }
        panic!("clients wait and go on and on");
    }

    /// How often each client that lives has entered a room, and how many it is in.
    fn living(&self) -> Vec<(bool, usize, usize)> {
        let of =
            |client: &Client| (client.lives(), client.view.stays, client.view.membership_count());
        self.clients.iter().map(of).collect()
    }

    fn let_pass(&mut self, time: Duration, times: usize) {
        for _ in 0..times {
            self.now = self.now + time;
            self.settle();
        }
    }

    /// In quiet, everybody that watches knows exactly who is there, and so does who asks.
    pub(crate) fn check_presence(&mut self) {
        if self.setup.presence == 0.0 {
            return;
        }
        for room in 0..self.names.len() {
            let model = self.present(room);
            let told = self.check_watchers(room, &model);
            let token = AnswerToken(u64::MAX / 2 - room as u64);
            let home = self.shards[0].home(&self.names[room]);
            let query = Query::Presence(self.names[room].clone());
            self.shards[0].query(home, token, query).expect("all is quiet");
            self.ring(0);
            self.asking.questions.insert((0, token.0), Question::Presence(room));
            self.settle();
            match self.asking.presence.remove(&room).expect("it is answered") {
                Answer::Presence(Some(presence)) => self.check_state(room, &presence, &model, told),
                Answer::Presence(None) => assert!(model.is_empty(), "the room has members"),
                Answer::Short => assert!(self.was_short, "there was memory enough"),
                other => panic!("presence is asked for, and the answer is {other:?}"),
            }
        }
    }

    /// The users of a room, with how many connections each has.
    fn present(&self, room: usize) -> BTreeMap<String, u64> {
        let mut users = BTreeMap::new();
        for client in self.clients.iter().filter(|client| client.lives()) {
            if client.view.is_in(room) {
                *users.entry(client.name()).or_insert(0) += 1;
            }
        }
        users
    }

    /// What clients of this name have said of themselves.
    fn infos_of(&self, name: &str) -> Vec<Value> {
        let all = self.clients.iter().filter(|client| client.name() == name);
        all.map(Client::info).collect()
    }

    /// All that watch a room know the same, and the truth. Returns it, if they are told names.
    fn check_watchers(
        &mut self,
        room: usize,
        model: &BTreeMap<String, u64>,
    ) -> Option<BTreeMap<String, Value>> {
        let mut known = None;
        for (number, client) in self.clients.iter().enumerate().filter(|(_, one)| one.lives()) {
            let Some(watch) = client.view.watches.get(&room) else { continue };
            let Users { count, infos } = &watch.told;
            assert_eq!(*count, model.len(), "client {number}: users of room {room}");
            let all = *known.get_or_insert((watch.version, infos));
            assert_eq!((watch.version, infos), all, "client {number}: all are told the same");
            let Some(infos) = infos else {
                // From where they are too many up to where they are clearly fewer.
                let limits = &self.setup.config.limits;
                let (most, long) = (limits.presence_max, limits.own_bytes / 2);
                let are_few = *count <= most - most / 10 && 200 * count <= long - long / 10;
                assert!(!are_few, "client {number} is told no names of {count} users");
                continue;
            };
            assert!(infos.keys().eq(model.keys()), "client {number}: {infos:?}, {model:?}");
            self.count.add(Happened::PresenceExact);
        }
        let infos = known.and_then(|(_, infos)| infos.clone());
        for (name, info) in infos.iter().flatten() {
            assert!(self.infos_of(name).contains(info), "{name} is shown with {info}");
        }
        infos
    }

    fn check_state(
        &mut self,
        room: usize,
        presence: &Presence,
        model: &BTreeMap<String, u64>,
        told: Option<BTreeMap<String, Value>>,
    ) {
        let limits = &self.setup.config.limits;
        let Presence { version, count, users, more, .. } = presence;
        let data =
            format!(r#"{{"version":{version},"count":{count},"users":{users},"more":{more}}}"#);
        let State { users: Users { count, infos }, connections, .. } = State::read(&data);
        assert_eq!(count, model.len(), "users of room {room}");
        let is_long = 200 * count > limits.own_bytes / 2;
        let are_many = count > limits.presence_max;
        assert!(!more || are_many || is_long, "they could be listed");
        assert!(*more || count <= limits.presence_max, "they are too many");
        let Some(infos) = infos else { return };
        assert_eq!(connections, *model, "connections of room {room}");
        assert!(told.is_none_or(|told| told == infos), "room {room}: watchers know the same");
    }
}
