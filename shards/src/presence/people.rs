//! The users of one room: who is there, who may come back in a moment, and who has come or gone since
//! the last version.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Info, User};
use crate::id::ConnId;
use crate::identity::Identity;
use crate::memory::{HeapBytes, shared_bytes, tree_bytes};
use crate::time::Time;

/// The users of one room.
///
/// Invariant: a user is listed while it has a connection, and while it *lingers* after its last one has
/// gone. `connections` are the sum of those of the users.
#[derive(Debug, Default)]
pub(crate) struct People {
    connections: BTreeMap<ConnId, User>,
    users: BTreeMap<User, Standing>,
    /// When users go whose last connection has gone, unless they have come back: each once.
    lingering: BTreeSet<(Time, User)>,
    /// Users that have come, gone or changed since the last version, with what that says of them.
    touched: BTreeMap<User, Before>,
    /// There is a version: before it no change need be known.
    notes_changes: bool,
    /// Bytes of names and infos, of those that are listed.
    owned: usize,
    /// How long the list of all users is as JSON, at most.
    list_bytes: usize,
}

/// One user that is listed.
#[derive(Debug)]
struct Standing {
    connections: u32,
    info: Info,
    lingers_until: Option<Time>,
}

/// What the last version says of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Before {
    Absent,
    Listed(Info),
}

/// A user, as a list shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed<'a> {
    pub(crate) user: &'a User,
    pub(crate) connections: u32,
    pub(crate) info: Option<&'a str>,
}

/// What a change says of one user.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Changed<'a> {
    /// It has come, or is shown with this now.
    Joined(&'a User, Option<&'a str>),
    Left(&'a User),
}

/// What an entry of a list takes besides the name and the info, at most.
const ENTRY_BYTES: usize = 52;

impl People {
    /// A connection is there, unless that is known. A user is shown with what its newest connection
    /// says.
    pub(crate) fn join(&mut self, conn: ConnId, identity: Option<&Identity>) {
        if self.connections.contains_key(&conn) {
            return;
        }
        let user = User::of(conn, identity);
        let info = identity.and_then(|identity| identity.info.clone());
        self.connections.insert(conn, user.clone());
        match self.users.remove(&user) {
            Some(standing) => {
                if let Some(until) = standing.lingers_until {
                    self.lingering.remove(&(until, user.clone()));
                }
                if standing.info != info {
                    self.touch(&user, Before::Listed(standing.info.clone()));
                }
                self.take_off(&user, &standing.info);
                self.list(user, standing.connections + 1, info);
            }
            None => {
                self.touch(&user, Before::Absent);
                self.list(user, 1, info);
            }
        }
    }

    fn list(&mut self, user: User, connections: u32, info: Info) {
        let (owned, listed) = sizes(&user, &info);
        (self.owned, self.list_bytes) = (self.owned + owned, self.list_bytes + listed);
        self.users.insert(user, Standing { connections, info, lingers_until: None });
    }

    fn take_off(&mut self, user: &User, info: &Info) {
        let (owned, listed) = sizes(user, info);
        (self.owned, self.list_bytes) = (self.owned - owned, self.list_bytes - listed);
    }

    fn touch(&mut self, user: &User, before: Before) {
        if !self.notes_changes {
            return;
        }
        self.touched.entry(user.clone()).or_insert(before);
    }

    /// A connection was there before anybody asked. What a user is shown with stays as it is: joins
    /// that came meanwhile are newer.
    pub(crate) fn count_in(&mut self, conn: ConnId, identity: Option<&Identity>) {
        if self.connections.contains_key(&conn) {
            return;
        }
        let user = User::of(conn, identity);
        self.connections.insert(conn, user.clone());
        match self.users.get_mut(&user) {
            Some(standing) => standing.connections += 1,
            None => self.list(user, 1, identity.and_then(|identity| identity.info.clone())),
        }
    }

    /// A connection has gone, if it was there. Its user goes with the last one: after so long, if it has
    /// not come back, or with none at once.
    pub(crate) fn leave(&mut self, conn: ConnId, linger: Duration, now: Time) {
        let Some(user) = self.connections.remove(&conn) else { return };
        let standing = self.users.get_mut(&user).expect("a user is listed while it is there");
        standing.connections -= 1;
        if standing.connections > 0 {
            return;
        }
        if linger.is_zero() {
            return self.unlist(&user);
        }
        standing.lingers_until = Some(now + linger);
        self.lingering.insert((now + linger, user));
    }

    /// Users go that have lingered for long enough, so many at most. Returns how many.
    pub(crate) fn on_time(&mut self, now: Time, most: usize) -> usize {
        for ended in 0..most {
            if self.next_deadline().is_none_or(|until| until > now) {
                return ended;
            }
            let (_, user) = self.lingering.pop_first().expect("one lingers");
            self.unlist(&user);
        }
        most
    }

    fn unlist(&mut self, user: &User) {
        let standing = self.users.remove(user).expect("it was listed");
        self.take_off(user, &standing.info);
        self.touch(user, Before::Listed(standing.info));
    }

    /// When the next user will have lingered for long enough.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.lingering.first().map(|(until, _)| *until)
    }

    /// How many users are listed.
    pub(crate) fn count(&self) -> usize {
        self.users.len()
    }

    /// How many bytes the list of all of them has as JSON, at most.
    pub(crate) fn list_bytes(&self) -> usize {
        self.list_bytes
    }

    /// All of them, in order.
    pub(crate) fn users(&self) -> impl Iterator<Item = Listed<'_>> {
        self.users.iter().map(|(user, standing)| {
            let Standing { connections, info, .. } = standing;
            Listed { user, connections: *connections, info: info.as_deref() }
        })
    }

    /// How many users have come, gone or changed since the last version.
    pub(crate) fn changed(&self) -> usize {
        self.touched.len()
    }

    /// Whether anything has changed since the last version.
    pub(crate) fn has_changed(&self) -> bool {
        !self.touched.is_empty()
    }

    /// What has changed since the last version, with `all` also of users that are shown now as they were
    /// then: somebody may have been given a state in between.
    pub(crate) fn changes(&self, all: bool) -> impl Iterator<Item = Changed<'_>> {
        self.touched.iter().filter_map(move |(user, before)| {
            let standing = self.users.get(user);
            let is_same = match (before, standing) {
                (Before::Absent, None) => true,
                (Before::Listed(info), Some(standing)) => *info == standing.info,
                _ => false,
            };
            (all || !is_same).then_some(match standing {
                Some(standing) => Changed::Joined(user, standing.info.as_deref()),
                None => Changed::Left(user),
            })
        })
    }

    /// All users as if they had just come.
    pub(crate) fn joined(&self) -> impl Iterator<Item = Changed<'_>> {
        self.users().map(|Listed { user, info, .. }| Changed::Joined(user, info))
    }

    /// All users as if they had just come, and those that have gone.
    pub(crate) fn all(&self) -> impl Iterator<Item = Changed<'_>> {
        let gone = self.touched.keys().filter(|user| !self.users.contains_key(*user));
        self.joined().chain(gone.map(Changed::Left))
    }

    /// A version begins.
    pub(crate) fn begin_version(&mut self) {
        self.touched = BTreeMap::new();
        self.notes_changes = true;
    }

    /// Forgets so many connections and users, of which nobody asks any more. Returns how many it took,
    /// one at least.
    pub(crate) fn forget_some(&mut self, most: usize) -> usize {
        let left = [self.connections.len(), self.users.len(), self.touched.len()];
        let some = left.into_iter().fold(1, usize::max).min(most);
        for _ in 0..some {
            self.connections.pop_first();
            self.lingering.pop_first();
            self.touched.pop_first();
            let Some((user, standing)) = self.users.pop_first() else { continue };
            self.take_off(&user, &standing.info);
        }
        some
    }

    /// Asserts the invariant.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        let connections: u32 = self.users.values().map(|standing| standing.connections).sum();
        assert_eq!(self.connections.len(), connections as usize, "connections of users");
        for (user, standing) in &self.users {
            let lingers = standing.lingers_until.is_some();
            assert_eq!(standing.connections == 0, lingers, "{user:?} lingers or is there");
            let queued = standing.lingers_until.map(|until| (until, user.clone()));
            assert!(queued.is_none_or(|one| self.lingering.contains(&one)), "{user:?} goes");
        }
        let lingering = self.users.values().filter(|one| one.lingers_until.is_some()).count();
        assert_eq!(self.lingering.len(), lingering, "each lingers once");
        let sizes = |(owned, listed): (usize, usize), (user, standing): (&User, &Standing)| {
            let (more, longer) = sizes(user, &standing.info);
            (owned + more, listed + longer)
        };
        let counted = self.users.iter().fold((0, 0), sizes);
        assert_eq!((self.owned, self.list_bytes), counted, "bytes of users");
    }
}

/// Bytes of what a user is shown with, and of its entry in a list.
fn sizes(user: &User, info: &Info) -> (usize, usize) {
    let info_bytes = info.as_ref().map_or(0, |info| info.len());
    let (named, shown) = match user {
        User::Named(name) => (name.as_str().len(), json_len(name.as_str())),
        User::Anonymous(_) => (0, CONNECTION_DIGITS),
    };
    let owned = [named, info_bytes].into_iter().filter(|bytes| *bytes > 0).map(shared_bytes);
    (owned.sum(), ENTRY_BYTES + shown + info_bytes)
}

/// Digits of a connection's id.
const CONNECTION_DIGITS: usize = 20;

/// Bytes of a text within the quotes of a JSON string.
fn json_len(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

impl HeapBytes for People {
    fn heap_bytes(&self) -> usize {
        tree_bytes::<ConnId, User>(self.connections.len())
            + tree_bytes::<User, Standing>(self.users.len())
            + tree_bytes::<User, Before>(self.touched.len())
            + tree_bytes::<(Time, User), ()>(self.lingering.len())
            + self.owned
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::id::ShardId;
    use crate::identity::Name;

    const LINGER: Duration = Duration::from_secs(3);

    fn conn(slot: u32) -> ConnId {
        ConnId { shard: ShardId::new(0), slot, generation: 1 }
    }

    fn at(secs: u64) -> Time {
        Time::from_nanos(secs * 1_000_000_000)
    }

    fn known(name: &str, info: &str) -> Identity {
        let info = (!info.is_empty()).then(|| Arc::from(info));
        Identity::new(Name::new(name).ok(), None, None).with_info(info)
    }

    fn versioned() -> People {
        People { notes_changes: true, ..People::default() }
    }

    fn shown(people: &People) -> Vec<String> {
        people.check();
        let show = |listed: Listed<'_>| match listed.user {
            User::Named(name) => {
                format!("{} {} {}", name.as_str(), listed.connections, listed.info.unwrap_or("-"))
            }
            User::Anonymous(conn) => format!("#{} {}", conn.slot, listed.connections),
        };
        people.users().map(show).collect()
    }

    fn changes(people: &mut People) -> Vec<String> {
        let name = |user: &User| match user {
            User::Named(name) => name.as_str().to_owned(),
            User::Anonymous(conn) => format!("#{}", conn.slot),
        };
        let show = |changed: Changed<'_>| match changed {
            Changed::Joined(user, info) => format!("+{} {}", name(user), info.unwrap_or("-")),
            Changed::Left(user) => format!("-{}", name(user)),
        };
        let changes = people.changes(false).map(show).collect();
        people.begin_version();
        changes
    }

    #[test]
    fn users_are_named_once_in_order_with_what_their_newest_connection_says() {
        let mut people = versioned();
        people.join(conn(3), None);
        people.join(conn(1), Some(&known("ben", "1")));
        people.join(conn(2), Some(&known("ann", "")));
        people.join(conn(4), Some(&known("ben", "2")));
        people.join(conn(4), Some(&known("ben", "3")));
        assert_eq!(shown(&people), ["ann 1 -", "ben 2 2", "#3 1"]);
        assert_eq!(changes(&mut people), ["+ann -", "+ben 2", "+#3 -"]);
        people.leave(conn(4), LINGER, at(1));
        people.leave(conn(9), LINGER, at(1));
        assert_eq!(shown(&people), ["ann 1 -", "ben 1 2", "#3 1"]);
        assert!(changes(&mut people).is_empty());
        people.join(conn(5), Some(&known("ben", "4")));
        assert_eq!(changes(&mut people), ["+ben 4"], "it is shown with something else");
    }

    #[test]
    fn who_was_there_before_anybody_asked_is_no_change_and_replaces_nothing() {
        let mut people = People::default();
        people.join(conn(2), Some(&known("ann", "new")));
        people.count_in(conn(1), Some(&known("ann", "old")));
        people.count_in(conn(2), Some(&known("ann", "old")));
        people.count_in(conn(3), Some(&known("ben", "1")));
        assert_eq!(shown(&people), ["ann 2 new", "ben 1 1"]);
        assert!(!people.has_changed());
        people.begin_version();
        people.leave(conn(3), Duration::ZERO, at(1));
        assert_eq!(changes(&mut people), ["-ben"]);
    }

    #[test]
    fn what_nobody_needs_is_forgotten_in_slices() {
        let mut people = versioned();
        (0..10).for_each(|n| people.join(conn(n), Some(&known(&format!("user-{n}"), "1"))));
        people.leave(conn(1), LINGER, at(1));
        people.leave(conn(2), Duration::ZERO, at(1));
        let slices = [4, 4, 4].map(|most| people.forget_some(most));
        assert_eq!((slices, people.heap_bytes(), people.list_bytes()), ([4, 4, 2], 0, 0));
    }

    #[test]
    fn a_user_that_comes_back_while_it_lingers_was_never_away() {
        let mut people = versioned();
        people.join(conn(1), Some(&known("ann", "1")));
        people.begin_version();
        people.leave(conn(1), LINGER, at(1));
        assert_eq!(shown(&people), ["ann 0 1"]);
        people.on_time(at(3), 9);
        people.join(conn(2), Some(&known("ann", "1")));
        people.on_time(at(4), 9);
        assert_eq!(shown(&people), ["ann 1 1"]);
        people.leave(conn(2), LINGER, at(5));
        people.on_time(at(7), 9);
        assert!(!people.has_changed());
        people.on_time(at(8), 9);
        assert_eq!(changes(&mut people), ["-ann"]);
        assert!(shown(&people).is_empty() && people.next_deadline().is_none());
        assert_eq!(people.heap_bytes(), 0);
    }

    #[test]
    fn one_that_comes_and_goes_again_and_again_lingers_once() {
        let mut people = versioned();
        for n in 0..100 {
            people.join(conn(n), Some(&known("ann", "")));
            people.leave(conn(n), LINGER, at(u64::from(n)));
        }
        people.check();
        assert_eq!(people.lingering.len(), 1);
        assert_eq!((people.on_time(at(101), 1), people.on_time(at(102), 1)), (0, 1));
        assert!(shown(&people).is_empty());
    }

    #[test]
    fn who_came_and_went_between_two_versions_is_no_change_unless_it_was_shown() {
        let mut people = versioned();
        people.join(conn(1), None);
        people.leave(conn(1), Duration::ZERO, at(1));
        assert!(people.has_changed());
        assert_eq!(people.changes(true).count(), 1);
        assert!(changes(&mut people).is_empty());
    }
}
