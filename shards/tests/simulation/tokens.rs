//! Who clients are and until when, the fresh tokens that they bring, and what those change.

use std::sync::Arc;
use std::time::Duration;

use corecast_shards::{
    Answer, CallKind, ConnId, Credentials, Expiry, Format, Identity, Name, Opening, Query, Refresh,
    Revocable, Time,
};
use serde_json::Value;

use crate::bounds::SLACK;
use crate::client::Client;
use crate::count::Happened;
use crate::lies::Lie;
use crate::presence;
use crate::rights::{Rights, Ruling};
use crate::view::{Awaited, Line};
use crate::world::{World, trace};

/// What the harness knows of a client that is not anonymous.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its number among few, so that several connections have the same; a token may name none.
    subject: Option<usize>,
    /// Until when it may stay: as it is now, and as fresh tokens say that it may not know of.
    ends: Vec<Option<Time>>,
    /// How many of the former do not count any more, because it has learned of the next.
    refreshed: usize,
    /// The same by what its shard says.
    renewed: usize,
    /// Its user was revoked.
    revoked: bool,
    /// What is shown of it.
    info: Option<Arc<str>>,
}

/// What the verifier says of a token that it accepts, which is drawn when its client says it.
#[derive(Debug)]
pub(crate) struct Token {
    rights: Rights,
    subject: Option<usize>,
    end: Option<Time>,
}

/// When a token ends that lasts for the whole of a run.
const FOR_LONG: Duration = Duration::from_secs(1 << 24);

const SUBJECTS: usize = 4;

/// How the engine is told an end; the milliseconds are made up and only shown.
fn expiry(at: Time) -> Expiry {
    Expiry { at, unix_millis: at.as_nanos() / 1_000 }
}

/// What `cast:refreshed` shows of it.
fn shown(end: Option<Time>) -> String {
    let millis = end.map(|at| expiry(at).unix_millis);
    millis.map_or("null".to_owned(), |millis| match millis % 1_000 {
        0 => format!("{}", millis / 1_000),
        rest => format!("{}.{rest:03}", millis / 1_000),
    })
}

fn identity(subject: Option<usize>, end: Option<Time>, info: Option<Arc<str>>) -> Arc<Identity> {
    let name = subject.map(|subject| Name::new(&name_of(subject)).expect("a name"));
    Arc::new(Identity::new(name, None, end.map(expiry)).with_info(info))
}

fn name_of(subject: usize) -> String {
    format!("user-{subject}")
}

impl Client {
    /// How presence shows it.
    pub(crate) fn name(&self) -> String {
        let subject = self.known.as_ref().and_then(|known| known.subject);
        subject.map_or(self.conn.to_string(), name_of)
    }

    /// What presence shows of it.
    pub(crate) fn info(&self) -> Value {
        let info = self.known.as_ref().and_then(|known| known.info.as_deref());
        info.map_or(Value::Null, |info| serde_json::from_str(info).expect("it is JSON"))
    }

    /// Whether it is in the first room to the end: no token of its ends, and nobody revokes one.
    pub(crate) fn stays(&self) -> bool {
        self.resident && self.known.is_none()
    }
}

impl World {
    /// How a WebSocket connection begins, with these rights.
    pub(crate) fn opening(
        &mut self,
        shard: usize,
        rights: &Rights,
        format: Format,
    ) -> (Opening, Option<Known>) {
        let permissions = Arc::new(rights.permissions());
        if !self.chance.happens(self.setup.known) {
            return (Opening { permissions, format, ..Opening::default() }, None);
        }
        let subject = self.some_subject();
        let end = self.some_end();
        let now = self.time_at[shard];
        let until = subject.and_then(|subject| self.revoked.get(&subject));
        let revoked = until.is_some_and(|until| *until > now);
        let info = presence::info(subject, &mut self.presence_chance);
        let ends = vec![end];
        let known = Known { subject, ends, refreshed: 0, renewed: 0, revoked, info: info.clone() };
        let (early, soon) = (self.step < self.setup.steps / 2, self.now + Duration::from_secs(3));
        let shows = early && !revoked && end.is_some_and(|end| end < soon);
        let told = match shows && self.lying.now(Lie::LongerStay) {
            true => None,
            false => end,
        };
        (
            Opening {
                permissions,
                identity: Some(identity(subject, told, info)),
                format,
                ..Opening::default()
            },
            Some(known),
        )
    }

    fn some_subject(&mut self) -> Option<usize> {
        self.chance.happens(0.9).then(|| self.chance.below(SUBJECTS))
    }

    /// Most clients may stay; the others' time is over soon, or was before they came.
    fn some_end(&mut self) -> Option<Time> {
        match self.chance.below(8) {
            0..4 => None,
            4 => Some(self.now + FOR_LONG),
            5 if self.chance.happens(0.1) => Some(Time::default()),
            _ => Some(self.now + Duration::from_millis(self.chance.skewed(60_000) as u64)),
        }
    }

    /// A client brings a fresh token.
    pub(crate) fn refresh(&mut self, client: usize) {
        if self.clients[client].view.guided.is_some() {
            return;
        }
        let (id, id_json) = self.id(client, 0.7);
        let text = format!("token-{}-{}", client, self.step);
        let json = format!(r#"{{"event":"cast:refresh"{id_json},"data":{{"token":"{text}"}}}}"#);
        self.speak(client, &json);
        let Some(known) = &self.clients[client].known else {
            return self.await_bad_token(client, id);
        };
        let subject = known.subject;
        if !self.setup.config.hooks.refresh {
            return self.await_bad_token(client, id);
        }
        let refresh = Refresh { token: (&*text).into(), id: id.as_deref().map(Into::into) };
        self.clients[client].will_call(CallKind::Refresh(refresh));
        let token = match self.chance.below(8) {
            0 => None,
            1 => {
                let other = subject.map_or(Some(0), |subject| subject.checked_sub(1));
                Some(Token { rights: self.some_rights(), subject: other, end: None })
            }
            2 => Some(Token { rights: self.some_rights(), subject, end: Some(Time::default()) }),
            // It may be over before it is looked at: then it must change nothing but that.
            3 => {
                let rights = self.clients[client].rights.clone();
                let end = self.now + Duration::from_millis(self.chance.skewed(30_000) as u64);
                self.clients[client].view.expect(
                    Line::Errors,
                    id,
                    Awaited::Refreshed { expires: shown(Some(end)), may_refuse: true },
                );
                let end = Some(end);
                return self.clients[client].tokens.push_back(Some(Token { rights, subject, end }));
            }
            _ => return self.renew(client, id, subject),
        };
        self.clients[client].tokens.push_back(token);
        self.await_bad_token(client, id);
    }

    /// A token that is accepted: what the client says from here on is judged by it.
    fn renew(&mut self, client: usize, id: Option<String>, subject: Option<usize>) {
        let rights = self.some_rights();
        let end = self.chance.happens(0.5).then(|| self.now + FOR_LONG);
        let player = &mut self.clients[client];
        let expires = shown(end);
        player.view.expect(Line::Errors, id, Awaited::Refreshed { expires, may_refuse: false });
        let may = |rights: &Rights, room| rights.join.ruling(room) != Ruling::Forbidden;
        for room in 0..self.names.len() {
            if may(&player.rights, room) && !may(&rights, room) {
                player.view.expect(Line::Room(room), None, Awaited::Evicted);
            }
        }
        player.resident &= may(&rights, 0);
        player.rights = rights.clone();
        player.tokens.push_back(Some(Token { rights, subject, end }));
    }

    fn some_rights(&mut self) -> Rights {
        // Many of them, so that rooms are often left.
        Rights::drawn(0.5, self.names.len(), &mut self.chance)
    }

    fn await_bad_token(&mut self, client: usize, id: Option<String>) {
        self.clients[client].view.expect(Line::Errors, id, Awaited::Error("bad_token"));
    }

    /// The verifier says what it was to say about this token.
    pub(crate) fn verify(&mut self, conn: ConnId, refresh: Refresh) {
        let player = &mut self.clients[self.by_conn[&conn]];
        let token = player.tokens.pop_front().expect("each token is verified once");
        trace!(self, "{conn}: {:?} is {token:?}", refresh.token);
        let verdict = match token {
            None => Err("not a \"token\"".to_owned()),
            Some(Token { rights, subject, end }) => {
                let known = player.known.as_mut().expect("it is not anonymous");
                if subject == known.subject && end != Some(Time::default()) {
                    known.ends.push(end);
                }
                let permissions = Arc::new(rights.permissions());
                let info = Some(Arc::from(r#""fresh""#));
                Ok(Credentials { permissions, identity: identity(subject, end, info) })
            }
        };
        self.shards[conn.shard.index()].end_refresh(conn, refresh, verdict);
        self.ring(conn.shard.index());
    }

    /// The shard says that a client's fresh token took effect, which the client learns later.
    pub(crate) fn renewed(&mut self, conn: ConnId) {
        let known = self.clients[self.by_conn[&conn]].known.as_mut().expect("it is not anonymous");
        known.renewed += 1;
        assert!(known.renewed < known.ends.len(), "each token takes effect once: {known:?}");
    }

    /// A user is revoked on all shards, or is not any more.
    pub(crate) fn revoke(&mut self) {
        if !self.chance.happens(self.setup.faults.kick * 5.0) {
            return;
        }
        let subject = self.chance.below(SUBJECTS);
        let until = self.now + Duration::from_millis(1 + self.chance.skewed(20_000) as u64);
        trace!(self, "user {subject} is revoked until {until:?}");
        self.revoked.insert(subject, until);
        let name = Name::new(&format!("user-{subject}")).expect("a name");
        for shard in 0..self.shards.len() {
            let revoked = Revocable::Subject(name.clone());
            let known = |client: &&usize| {
                let client = &self.clients[**client];
                let is_known = client.known.as_ref().is_some_and(|k| k.subject == Some(subject));
                client.shard == shard && is_known
            };
            let theirs: Vec<usize> = self.open.iter().filter(known).copied().collect();
            let open = |client: &&usize| self.shards[shard].is_open(self.clients[**client].conn);
            let open = theirs.iter().filter(open).count() as u64;
            let answer = self.shards[shard].answer(Query::Revoke { revoked, until });
            let Answer::Closed(closed) = answer else { panic!("revoked, and not {answer:?}") };
            // One whose client has hung up, which is not open, is closed, too.
            assert!(closed >= open, "{closed} of {open} are closed");
            self.count.add_if(closed > 0, Happened::Revoked);
            for client in theirs {
                self.clients[client].known.as_mut().expect("it is known").revoked = true;
                self.note_close_with_begun_send(client);
            }
            self.ring(shard);
        }
    }

    /// A client whose time is over for long is there no longer.
    pub(crate) fn check_expired(&self, client: usize, now: Time) {
        let player = &self.clients[client];
        let ends = self.shards[player.shard].close_reason(player.conn).is_some();
        let over = |end: &Option<Time>| end.is_some_and(|at| at + SLACK <= now);
        let is_over = player.known.as_ref();
        let is_over = is_over.is_some_and(|known| known.revoked || known.present().all(over));
        let stays = player.parted.is_none() && !ends;
        assert!(!(stays && is_over), "client {client} may stay no longer: {:?}", player.known);
    }

    /// Whether a client may end because its time is over.
    pub(crate) fn check_ends_expired(&self, client: usize) -> Happened {
        let player = &self.clients[client];
        let now = self.time_at[player.shard];
        let over = |end: &Option<Time>| end.is_some_and(|at| at <= now);
        let is_over = player.known.as_ref();
        let is_over = is_over.is_some_and(|known| known.revoked || known.present().any(over));
        assert!(is_over, "client {client} may stay: {:?} at {now:?}", player.known);
        Happened::EndedExpired
    }
}

impl Known {
    /// The ends that may be its present one.
    fn present(&self) -> impl Iterator<Item = &Option<Time>> {
        self.ends[self.refreshed.min(self.ends.len() - 1)..].iter()
    }

    /// Whether its shard has said the same as it has learned.
    pub(crate) fn is_settled(&self) -> bool {
        self.refreshed == self.renewed
    }

    /// It has learned that its next token is accepted.
    pub(crate) fn note_refreshed(&mut self) {
        self.refreshed += 1;
    }
}
