//! Who is in a room, for those that ask for it.
//!
//! Nothing here exists of a room until a client joins it with presence, or somebody asks who is there.
//! Then its home asks the shards with members for a [`Census`]; joins carry who joins in any case, so
//! that from the census on the home knows everybody ([`People`]) without any further message.
//!
//! Users are told by number: a *version* is what watchers know, and a change leads from one to the
//! next. Whoever is given a [`Presence`] has everything up to its version, and whoever gets every
//! change after that has no hole.

mod people;

use std::sync::Arc;

use crate::id::{ConnId, ShardId};
use crate::identity::{Identity, Name};
use crate::room_name::RoomName;
pub(crate) use people::{Changed, Listed, People};

/// Who is in a room, as a client is sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Presence {
    /// Which state this is: changes with greater numbers lead from it to later ones. Where nobody
    /// watches, any greater number may follow; none comes twice while the server runs.
    pub version: u64,
    /// How many users there are.
    pub count: usize,
    /// Who they are, as a JSON array of objects in the order of their names; `[]` where `more`.
    pub users: Arc<str>,
    /// There are too many users to name them.
    pub more: bool,
}

impl Presence {
    /// Bytes of it and of the list that it refers to.
    pub(crate) fn len(&self) -> usize {
        size_of::<Presence>() + self.users.len()
    }

    /// Bytes that a message with it counts for. All that are given one state share it, and its home
    /// counts it: as many answers as wait for it must not fill a ring.
    pub(crate) fn weight(presence: Option<&Arc<Presence>>) -> usize {
        presence.map_or(0, |_| size_of::<Presence>())
    }
}

/// Who somebody in a room is: the subject of a token, or nobody but a connection. In the order in which
/// users are listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum User {
    Named(Name),
    Anonymous(ConnId),
}

impl User {
    fn of(conn: ConnId, identity: Option<&Identity>) -> User {
        let subject = identity.and_then(|identity| identity.subject.clone());
        subject.map_or(User::Anonymous(conn), User::Named)
    }
}

/// What presence shows of a user besides the name: JSON as it was written.
type Info = Option<Arc<str>>;

/// The shards that are asked which members they have.
#[derive(Debug)]
pub(crate) struct Census {
    /// Which census it is: what an earlier one brings does not count.
    pub(crate) id: u64,
    /// Those that have not said it of all their members.
    pub(crate) left: Vec<ShardId>,
}

/// Members of a room that are still to be named to its home, from the last one on: where one is removed
/// the others only move towards the front, so that none is left out. One may be named twice.
#[derive(Debug)]
pub(crate) struct NamedMembers {
    pub(crate) room: RoomName,
    pub(crate) census: u64,
    /// How many of the list's first members are left; none when it was not begun.
    pub(crate) left: Option<usize>,
}
