//! Which connections each user and each token has.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::id::{ConnId, ShardId};
use crate::identity::{Identity, Name, Revocable};
use crate::memory::{Sum, shared_bytes, tree_bytes};

/// The connections on this shard by what is known of their clients.
///
/// A connection has one entry per name, from when it opens until it closes. Entries are in order, so
/// that those of one user are found, in the order of their ids, whatever the number of others.
#[derive(Debug, Default)]
pub(super) struct UserIndex {
    by_subject: BTreeSet<(Name, ConnId)>,
    by_token: BTreeSet<(Name, ConnId)>,
    /// Of what is known of these clients.
    identity_bytes: Sum,
}

impl UserIndex {
    pub(super) fn add(&mut self, identity: &Identity, conn: ConnId) {
        self.identity_bytes.add(identity_bytes(identity));
        let Identity { subject, token_id, .. } = identity;
        self.by_subject.extend(subject.clone().map(|name| (name, conn)));
        self.by_token.extend(token_id.clone().map(|name| (name, conn)));
    }

    pub(super) fn remove(&mut self, identity: &Identity, conn: ConnId) {
        self.identity_bytes.take_off(identity_bytes(identity));
        if let Some(name) = &identity.subject {
            self.by_subject.remove(&(name.clone(), conn));
        }
        if let Some(name) = &identity.token_id {
            self.by_token.remove(&(name.clone(), conn));
        }
    }

    /// The connections of a user whose ids follow this one, in the order of their ids.
    pub(super) fn of_user(
        &self,
        user: &Name,
        after: Option<ConnId>,
    ) -> impl Iterator<Item = ConnId> + use<'_> {
        of(&self.by_subject, user, after)
    }

    /// Whose client a revocation concerns.
    pub(super) fn concerned(&self, revoked: &Revocable) -> Vec<ConnId> {
        match revoked {
            Revocable::Subject(name) => of(&self.by_subject, name, None).collect(),
            Revocable::Token(name) => of(&self.by_token, name, None).collect(),
        }
    }

    /// Bytes of the entries, and of what is known of these clients.
    pub(super) fn bytes(&self) -> usize {
        let entries = self.by_subject.len() + self.by_token.len();
        tree_bytes::<(Name, ConnId), ()>(entries) + self.identity_bytes.get()
    }

    /// Asserts that what is known of these clients is counted, and nothing else.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn check_bytes<'a>(&self, identities: impl Iterator<Item = &'a Identity>) {
        let counted: usize = identities.map(identity_bytes).sum();
        assert_eq!(self.identity_bytes.get(), counted, "bytes of what is known of clients");
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn entries(&self) -> [&BTreeSet<(Name, ConnId)>; 2] {
        [&self.by_subject, &self.by_token]
    }
}

/// Bytes of what is known of one client. Names are shared, but with hardly any other.
fn identity_bytes(identity: &Identity) -> usize {
    let names = identity.subject.iter().chain(&identity.token_id);
    let names: usize = names.map(|name| shared_bytes(name.as_str().len())).sum();
    let info = identity.info.as_ref().map_or(0, |info| shared_bytes(info.len()));
    shared_bytes(size_of::<Identity>()) + names + info
}

fn of<'a>(
    entries: &'a BTreeSet<(Name, ConnId)>,
    name: &Name,
    after: Option<ConnId>,
) -> impl Iterator<Item = ConnId> + use<'a> {
    let entry = |conn| (name.clone(), conn);
    let begin = after.map_or(Bound::Included(entry(FIRST)), |after| Bound::Excluded(entry(after)));
    entries.range((begin, Bound::Included(entry(LAST)))).map(|(_, conn)| *conn)
}

const FIRST: ConnId = ConnId { shard: ShardId::new(0), slot: 0, generation: 0 };
const LAST: ConnId = ConnId { shard: ShardId::new(u16::MAX), slot: u32::MAX, generation: u32::MAX };
