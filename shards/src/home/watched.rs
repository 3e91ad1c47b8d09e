//! What a home keeps of the presence of one room, and which requests wait for what.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::format::{Encoding, presence_change, user_list};
use crate::id::{ConnId, ShardId};
use crate::identity::Identity;
use crate::limits::Limits;
use crate::memory::{HeapBytes, shared_bytes, tree_bytes, vec_bytes};
use crate::mesh::{AnswerToken, Requester};
use crate::presence::{Census, People, Presence};
use crate::recovery::JoinOptions;
use crate::room_name::RoomName;
use crate::time::Time;

/// A join on its way through its home.
#[derive(Debug)]
pub(super) struct JoinRequest {
    pub(super) conn: ConnId,
    pub(super) encoding: Encoding,
    pub(super) change_id: u32,
    pub(super) requester: Requester,
    pub(super) options: JoinOptions,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) again: bool,
}

/// What asks who is in a room.
#[derive(Debug)]
pub(super) enum Asker {
    Member { conn: ConnId, change_id: u32, id: Option<Box<str>> },
    Caller { shard: ShardId, token: AnswerToken },
}

/// How presence is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct PresenceRules {
    pub(super) users_max: usize,
    pub(super) list_bytes_max: usize,
    pub(super) interval: Duration,
    pub(super) linger: Duration,
}

/// How long it is known who is in a room, after the last that asked or watched: those that ask again and
/// again cause one census.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// How long joins with presence are gathered, so that one list is made for all of them.
const GATHERED_FOR: Duration = Duration::from_millis(20);

/// After so long the next turn goes on with what was too much for one.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

impl PresenceRules {
    pub(super) fn new(limits: &Limits) -> PresenceRules {
        PresenceRules {
            users_max: limits.presence_max,
            list_bytes_max: limits.own_bytes / 2,
            interval: limits.presence_interval,
            linger: limits.presence_linger,
        }
    }
}

/// Who is in a room that is watched, or of which somebody asked that.
#[derive(Debug)]
pub(super) struct Watched {
    people: People,
    /// While it runs nobody is told anything.
    census: Option<Census>,
    version: u64,
    /// With what the version began: how many users, and whether they were too many, or somebody was
    /// told since that they are.
    told: (usize, bool),
    /// When the next one is to begin, if anything has changed.
    tell_at: Option<Time>,
    /// There are too many users to name them: from where they are more than may be until they are
    /// clearly fewer, lest one that comes and goes has all named again and again.
    more: bool,
    /// Somebody may know users by name: the last version named them, or a state that was given since.
    names_known: bool,
    /// The last version named nobody only because its changes were too long: the next one, which is
    /// due without another change, names all.
    names_due: bool,
    /// Somebody was given a state since the version began: what changed and changed back is told, too.
    is_shown: bool,
    /// The last that was given, if it is still the state.
    shown: Option<Arc<Presence>>,
    watching: BTreeSet<ConnId>,
    /// Joins that wait for the census or for others, but for those whose connection has gone.
    parked: VecDeque<JoinRequest>,
    parked_conns: BTreeSet<ConnId>,
    /// When the next of them need not wait any more.
    admits_at: Time,
    /// Questions that wait for the census.
    asking: Vec<Asker>,
    kept_until: Time,
}

/// What the watchers of some shards are sent.
pub(super) struct Told {
    pub(super) version: u64,
    pub(super) frame: Arc<[u8]>,
    pub(super) shards: Vec<ShardId>,
}

impl Watched {
    /// Nothing is known before the census.
    pub(super) fn new(census: Option<Census>, version: u64, now: Time) -> Watched {
        let mut people = People::default();
        if census.is_none() {
            people.begin_version();
        }
        Watched {
            people,
            census,
            version,
            told: (0, false),
            tell_at: None,
            more: false,
            names_known: false,
            names_due: false,
            is_shown: false,
            shown: None,
            watching: BTreeSet::new(),
            parked: VecDeque::new(),
            parked_conns: BTreeSet::new(),
            admits_at: now,
            asking: Vec::new(),
            kept_until: now + KEPT_FOR,
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// All that is left of it when it is over.
    pub(super) fn into_people(self) -> People {
        self.people
    }

    pub(super) fn is_known(&self) -> bool {
        self.census.is_none()
    }

    pub(super) fn watchers(&self) -> usize {
        self.watching.len()
    }

    pub(super) fn users(&self) -> usize {
        self.people.count()
    }

    /// Joins and questions that are not answered yet.
    pub(super) fn waiting(&self) -> usize {
        self.parked_conns.len() + self.asking.len()
    }

    /// A connection has become a member.
    pub(super) fn join(&mut self, conn: ConnId, identity: Option<&Identity>) {
        self.people.join(conn, identity);
        self.shown = None;
    }

    /// A connection is a member no longer, or waits to be one no longer. Returns whether it was one.
    pub(super) fn leave(&mut self, conn: ConnId, rules: &PresenceRules, now: Time) -> bool {
        if self.parked_conns.remove(&conn) {
            if self.parked_conns.is_empty() {
                self.parked.clear();
            }
            return false;
        }
        // Whom nobody was told of goes at once.
        let linger = if self.is_known() { rules.linger } else { Duration::ZERO };
        self.people.leave(conn, linger, now);
        self.shown = None;
        if self.watching.remove(&conn) && self.watching.is_empty() {
            self.kept_until = now + KEPT_FOR;
        }
        true
    }

    /// A join waits.
    pub(super) fn park(&mut self, request: JoinRequest) {
        self.parked_conns.insert(request.conn);
        self.parked.push_back(request);
    }

    /// The next joins that need not wait any more, so many at most. They are gathered, and a wave of
    /// them goes on in later turns.
    pub(super) fn next_parked(&mut self, most: usize, now: Time) -> Vec<JoinRequest> {
        let mut next = Vec::new();
        if !self.is_known() || self.parked_conns.is_empty() || now < self.admits_at {
            return next;
        }
        while next.len() < most
            && let Some(request) = self.parked.pop_front()
        {
            if self.parked_conns.remove(&request.conn) {
                next.push(request);
            }
        }
        if self.parked_conns.is_empty() {
            self.parked = VecDeque::new();
        }
        let is_wave = !self.parked_conns.is_empty();
        self.admits_at = now + if is_wave { PAUSE } else { GATHERED_FOR };
        next
    }

    /// A connection begins to watch, with the state that it is given now.
    pub(super) fn watch(&mut self, conn: ConnId) {
        self.watching.insert(conn);
    }

    /// A question waits.
    pub(super) fn ask(&mut self, asker: Asker, now: Time) {
        self.kept_until = now + KEPT_FOR;
        self.asking.push(asker);
    }

    /// The questions that can be answered now.
    pub(super) fn take_asking(&mut self) -> Vec<Asker> {
        if self.is_known() { std::mem::take(&mut self.asking) } else { Vec::new() }
    }

    /// Some members of a shard, as this census brings them.
    pub(super) fn count(
        &mut self,
        census: u64,
        members: &[(ConnId, Option<Arc<Identity>>)],
        last_of: Option<ShardId>,
        rules: &PresenceRules,
    ) {
        let Some(running) = self.census.as_mut().filter(|running| running.id == census) else {
            return;
        };
        for (conn, identity) in members {
            self.people.count_in(*conn, identity.as_deref());
        }
        running.left.retain(|shard| Some(*shard) != last_of);
        if running.left.is_empty() {
            self.census = None;
            self.people.begin_version();
            self.told = (self.people.count(), self.find_more(rules));
        }
    }

    /// Begins the next version if anything has changed. Returns what watchers are sent, if there are
    /// any.
    pub(super) fn tell(&mut self, room: &RoomName, rules: &PresenceRules) -> Option<Told> {
        self.tell_at = None;
        if !self.people.has_changed() && !self.names_due {
            return None;
        }
        let (before, now_told) = (self.told, (self.people.count(), self.find_more(rules)));
        let is_same = before == now_told && self.people.changes(false).next().is_none();
        if is_same && !self.is_shown {
            self.people.begin_version();
            return None;
        }
        self.version += 1;
        (self.told, self.shown) = (now_told, None);
        let frame = (!self.watching.is_empty()).then(|| self.change(room, before.1, rules));
        self.people.begin_version();
        self.is_shown = false;
        let (version, shards) = (self.version, self.shards());
        frame.map(|frame| Told { version, frame, shards })
    }

    /// What leads watchers to the version that has begun. They are told how many users there are and no
    /// names where these are too many, or where the names of those that have come and gone are longer
    /// than a list may be.
    fn change(&mut self, room: &RoomName, were_more: bool, rules: &PresenceRules) -> Arc<[u8]> {
        let (count, more) = self.told;
        self.names_due = false;
        let fits = self.people.changed() <= rules.list_bytes_max / LEAST_LEAVE_BYTES;
        let named = (!more && (fits || !self.names_known)).then(|| {
            let Watched { people, version, .. } = &*self;
            match (were_more, self.names_known) {
                (false, _) => {
                    let changes = people.changes(self.is_shown);
                    presence_change(room, *version, count, Some(changes))
                }
                // Who was told that there were too many knows all that have come since and none that
                // have gone, but for those that were given a state.
                (true, true) => presence_change(room, *version, count, Some(people.all())),
                (true, false) => presence_change(room, *version, count, Some(people.joined())),
            }
        });
        let named = named.filter(|frame| frame.len() <= rules.list_bytes_max + OPENING_BYTES);
        self.names_known = named.is_some();
        named.unwrap_or_else(|| {
            self.names_due = !more;
            self.told.1 = true;
            presence_change(room, self.version, count, NO_CHANGES)
        })
    }

    /// The shards with watchers.
    fn shards(&self) -> Vec<ShardId> {
        let first_of = |index: usize| {
            let shard = u16::try_from(index).ok().map(ShardId::new)?;
            self.watching.range(ConnId { shard, slot: 0, generation: 0 }..).next()
        };
        let first = first_of(0).map(|conn| conn.shard);
        let next = |shard: &ShardId| first_of(shard.index() + 1).map(|conn| conn.shard);
        std::iter::successors(first, next).collect()
    }

    /// Whether changes name no users: from where there are too many until there are clearly fewer.
    fn find_more(&mut self, rules: &PresenceRules) -> bool {
        let is_clear = self.is_within(rules, |max| max - max / 10);
        let was_told = self.more && !self.watching.is_empty();
        self.more = self.is_more(rules) || was_told && !is_clear;
        self.more
    }

    /// Whether there are too many users to name them.
    fn is_more(&self, rules: &PresenceRules) -> bool {
        !self.is_within(rules, |max| max)
    }

    fn is_within(&self, rules: &PresenceRules, most: impl Fn(usize) -> usize) -> bool {
        let users = self.people.count() <= most(rules.users_max);
        users && self.people.list_bytes() <= most(rules.list_bytes_max)
    }

    /// Who is there now.
    pub(super) fn presence(&mut self, rules: &PresenceRules) -> Arc<Presence> {
        self.is_shown |= self.people.has_changed();
        let more = self.is_more(rules);
        self.told.1 |= more;
        self.names_known |= !more;
        let Watched { people, version, shown, .. } = self;
        let presence = shown.get_or_insert_with(|| {
            let users = if more { "[]".into() } else { user_list(people.users()) };
            Arc::new(Presence { version: *version, count: people.count(), users, more })
        });
        Arc::clone(presence)
    }

    /// Time passes: users go, so many at most. Returns how many.
    pub(super) fn on_time(&mut self, most: usize, now: Time) -> usize {
        let ended = self.people.on_time(now, most);
        if ended > 0 {
            self.shown = None;
        }
        ended
    }

    /// Whether it need be kept no longer.
    pub(super) fn is_over(&self, now: Time) -> bool {
        self.is_unneeded() && self.kept_until <= now
    }

    fn is_unneeded(&self) -> bool {
        let nobody_waits = self.parked_conns.is_empty() && self.asking.is_empty();
        self.watching.is_empty() && nobody_waits && self.is_known()
    }

    /// Whether a version is due.
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.tell_at.is_some_and(|at| at <= now)
    }

    /// When [`on_time`](Watched::on_time) has something to do, or a version is due. To be asked after
    /// every change.
    pub(super) fn next_deadline(&mut self, rules: &PresenceRules, now: Time) -> Option<Time> {
        if !self.is_known() {
            return None;
        }
        let has_news = self.people.has_changed() || self.names_due;
        let tells = !self.watching.is_empty() && has_news;
        self.tell_at = tells.then(|| self.tell_at.unwrap_or(now + rules.interval));
        let admits = (!self.parked_conns.is_empty()).then_some(self.admits_at);
        let unneeded = self.is_unneeded().then_some(self.kept_until);
        let goes = self.people.next_deadline();
        [self.tell_at, goes, admits, unneeded].into_iter().flatten().min()
    }

    /// Asserts what holds between any two messages.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check(&self) {
        self.people.check();
        assert!(self.is_known() || self.watching.is_empty(), "who watches was told who is there");
        let parked = self.parked.iter().filter(|one| self.parked_conns.contains(&one.conn));
        assert_eq!(parked.count(), self.parked_conns.len(), "joins that wait");
        assert!(self.asking.is_empty() || !self.is_known(), "what is known is answered");
    }
}

/// What a user that has gone takes in a change, at least.
const LEAST_LEAVE_BYTES: usize = r#"{"user":"a"}"#.len();

/// What a change has besides users, at most.
const OPENING_BYTES: usize = 512;

/// Too many users to name any.
const NO_CHANGES: Option<std::iter::Empty<crate::presence::Changed<'_>>> = None;

impl HeapBytes for Watched {
    fn heap_bytes(&self) -> usize {
        let shown = self.shown.as_ref().map_or(0, |shown| shared_bytes(shown.len()));
        self.people.heap_bytes()
            + shown
            + tree_bytes::<ConnId, ()>(self.watching.len() + self.parked_conns.len())
            + vec_bytes::<JoinRequest>(self.parked.capacity())
            + vec_bytes::<Asker>(self.asking.capacity())
    }
}
