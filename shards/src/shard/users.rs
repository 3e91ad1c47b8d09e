//! What is done to all connections of a user: which they are, frames for them, their end.

use super::Shard;
use super::host::Host;
use super::not_taken::Unsent;
use crate::disconnect::{Close, Disconnect};
use crate::id::ConnId;
use crate::identity::{Identity, Name, Revocable};
use crate::mesh::Answer;
use crate::place::Slot;
use crate::time::Time;

/// Connections of which one answer names the ids: one more than are shown, so that it is known
/// whether there are more.
const IDS_MAX: usize = 1_001;

/// Connections that one question emits to, and about how many bytes it copies for them: the shard
/// does nothing else meanwhile.
const EMITS_MAX: usize = 256;
const EMIT_BYTES_MAX: usize = 1 << 20;

impl Shard {
    /// Command: whether a client is to be refused, because it or its token is revoked; it is counted. A
    /// connection that is opened in spite of that is closed at once.
    pub fn refuses(&mut self, identity: &Identity) -> bool {
        self.host.clients.refuses(identity, self.host.now)
    }
}

/// What is asked of a shard about all connections of a user at once.
pub(super) struct Users<'a>(pub(super) &'a mut Shard);

impl Users<'_> {
    /// Which connections a user has here: how many, event streams too, and the ids of the first of
    /// those that can be named.
    pub(super) fn user(&self, user: &Name) -> Answer {
        let Host { clients, directory, .. } = &self.0.host;
        let open = clients.open_of(directory, user, None);
        let connections = open.take(IDS_MAX).map(|slot| directory.id(slot)).collect();
        Answer::User { count: clients.present_of(directory, user).count() as u64, connections }
    }

    /// Queues a frame for the connections of a user whose ids follow this one, but for one, as many
    /// as one turn has time for.
    pub(super) fn emit_to_user(
        &mut self,
        user: &Name,
        after: Option<ConnId>,
        except: Option<ConnId>,
        frame: &[u8],
    ) -> Answer {
        if frame.len() > self.0.host.config.limits.own_bytes {
            return Answer::TooLarge(self.0.host.config.limits.own_bytes);
        }
        let most = EMITS_MAX.min(EMIT_BYTES_MAX / frame.len().max(1)).max(1);
        let (these, next) = self.next_of_user(user, after, except, most);
        let (mut sent, mut full) = (0, Vec::new());
        for conn in these {
            match self.0.emit(conn, frame) {
                Ok(()) => sent += 1,
                Err(Unsent::Full) => full.push(conn),
                // It ended by this very frame, or just before.
                Err(Unsent::Gone | Unsent::TooLarge(_)) => {}
            }
        }
        Answer::UserSent { sent, full, next }
    }

    /// Open connections of a user whose ids follow this one, but for one; and the last of them, if
    /// there are more.
    fn next_of_user(
        &self,
        user: &Name,
        after: Option<ConnId>,
        except: Option<ConnId>,
        most: usize,
    ) -> (Vec<ConnId>, Option<ConnId>) {
        let Host { clients, directory, .. } = &self.0.host;
        let ids = clients.open_of(directory, user, after).map(|slot| directory.id(slot));
        let mut ids = ids.filter(|conn| except != Some(*conn));
        let these: Vec<ConnId> = ids.by_ref().take(most).collect();
        let next = ids.next().and(these.last().copied());
        (these, next)
    }

    /// Closes all connections of a user, event streams too. Returns how many there were.
    pub(super) fn close_user(&mut self, user: &Name, close: &Close) -> u64 {
        let Host { clients, directory, .. } = &self.0.host;
        let slots: Vec<Slot> = clients.present_of(directory, user).collect();
        let closed = slots.iter().filter(|slot| self.0.host.close(**slot, close.clone()));
        closed.count() as u64
    }

    /// Closes the connections of a user or a token, and refuses new ones until this time. One that
    /// is over ends a revocation, and closes nothing.
    pub(super) fn revoke(&mut self, revoked: Revocable, until: Time) -> Answer {
        let Host { clients, config, now, .. } = &mut self.0.host;
        let most = config.limits.revocations;
        let Some(concerned) = clients.revoke(revoked, until, *now, most) else {
            return Answer::TooManyRevocations(most);
        };
        if until <= *now {
            return Answer::Closed(0);
        }
        let slots = concerned.into_iter().filter_map(|conn| self.0.host.directory.find(conn));
        let slots: Vec<Slot> = slots.collect();
        let closed =
            slots.iter().filter(|slot| self.0.host.close(**slot, Disconnect::Expired.into()));
        Answer::Closed(closed.count() as u64)
    }
}
