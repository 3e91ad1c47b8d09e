//! What is known of clients: who they are, until when they may stay, and who may not come.

use super::directory::Directory;
use super::expiries::Expiries;
use super::revocations::Revocations;
use super::user_index::UserIndex;
use crate::id::ConnId;
use crate::identity::{Identity, Name, Revocable};
use crate::place::Slot;
use crate::time::Time;

/// The clients of one shard that are not anonymous, and what is revoked.
#[derive(Debug, Default)]
pub(super) struct Clients {
    pub(super) users: UserIndex,
    pub(super) expiries: Expiries,
    pub(super) revocations: Revocations,
    /// How many were refused because they are revoked.
    refused: u64,
}

impl Clients {
    /// From now on this is known of a connection's client. Returns whether it may stay.
    pub(super) fn enter(&mut self, identity: &Identity, conn: ConnId, now: Time) -> bool {
        self.users.add(identity, conn);
        let expires = identity.expires.map(|expires| expires.at);
        if self.refuses(identity, now) || expires.is_some_and(|expires| expires <= now) {
            return false;
        }
        if let Some(expires) = expires {
            self.expiries.add(expires, conn);
        }
        true
    }

    /// Nothing is known of the connection's client any more, and nothing is due for it.
    pub(super) fn leave(&mut self, identity: &Identity, conn: ConnId) {
        if let Some(expires) = identity.expires {
            self.expiries.remove(expires.at, conn);
        }
        self.users.remove(identity, conn);
    }

    /// Whether a client is to be refused, because it or its token is revoked; it is counted.
    pub(super) fn refuses(&mut self, identity: &Identity, now: Time) -> bool {
        let is_revoked = self.revocations.concern(identity, now);
        self.refused += u64::from(is_revoked);
        is_revoked
    }

    /// How many were refused because they are revoked.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Revokes something until this time. Returns the connections that it concerns; none if there are
    /// as many revocations as may be.
    pub(super) fn revoke(
        &mut self,
        revoked: Revocable,
        until: Time,
        now: Time,
        most: usize,
    ) -> Option<Vec<ConnId>> {
        let concerned = self.users.concerned(&revoked);
        self.revocations.set(revoked, until, now, most).then_some(concerned)
    }

    /// The connections of a user that are open, whose clients have not hung up, and whose ids follow
    /// this one.
    pub(super) fn open_of<'a>(
        &'a self,
        directory: &'a Directory,
        user: &Name,
        after: Option<ConnId>,
    ) -> impl Iterator<Item = Slot> + use<'a> {
        self.users.of_user(user, after).filter_map(|conn| directory.find_open(conn))
    }

    /// The same from the first one on, with those that the program does not know.
    pub(super) fn present_of<'a>(
        &'a self,
        directory: &'a Directory,
        user: &Name,
    ) -> impl Iterator<Item = Slot> + use<'a> {
        self.users.of_user(user, None).filter_map(|conn| directory.find_present(conn))
    }

    /// Bytes of all of it.
    pub(super) fn bytes(&self) -> usize {
        self.users.bytes() + self.expiries.bytes() + self.revocations.bytes()
    }
}
