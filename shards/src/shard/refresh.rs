//! The fresh token of a client: when it is handed out to be verified, and what its verdict changes.

use std::sync::Arc;

use super::intake::Intake;
use crate::connection::inbound::{Errand, Pending, What};
use crate::connection::{Flow, MembershipState, Wait};
use crate::envelope::ErrorCode;
use crate::format::Fact;
use crate::handler::{Credentials, Refresh};
use crate::identity::Identity;
use crate::mesh::Requester;
use crate::permissions::{Action, Permissions, Ruling};
use crate::place::{MembershipIndex, Slot};
use crate::room::table::EVERYBODY;
use crate::room_name::RoomName;

const NO_VERIFIER: &str = "this server verifies no tokens";
const ANONYMOUS: &str = "an anonymous connection has no token to refresh; connect with one";
const OTHER_SUBJECT: &str = "the token is another subject's; connect with it instead";
const EXPIRED: &str = "the token has expired";
const REVOKED: &str = "the token is revoked";

/// What a client's wish to refresh its token becomes, before the token is looked at.
pub(super) fn read_refresh(
    token: &str,
    identity: Option<&Identity>,
    has_verifier: bool,
    bytes_max: usize,
) -> What {
    let refuse = |words: &'static str| What::Refuse(ErrorCode::BadToken, words.into());
    match identity {
        _ if !has_verifier => refuse(NO_VERIFIER),
        None => refuse(ANONYMOUS),
        Some(_) if token.len() > bytes_max => {
            // No handshake could have brought it either.
            let words = format!("a token has at most {bytes_max} bytes (head_bytes)");
            What::Refuse(ErrorCode::BadToken, words.into())
        }
        Some(_) => What::Refresh(token.into()),
    }
}

impl Intake<'_> {
    /// The token is verified, or refused with these words. The verdict takes effect in the order of
    /// the connection's commands; the next one follows.
    pub(super) fn end_refresh(
        &mut self,
        slot: Slot,
        refresh: Refresh,
        verdict: Result<Credentials, String>,
    ) {
        let what = match verdict {
            Ok(credentials) => What::Renew(credentials),
            Err(words) => What::Refuse(ErrorCode::BadToken, words.into()),
        };
        self.end_wait_with(slot, Errand { room: None, id: refresh.id, what });
    }

    /// The program has decided what becomes of the command that it was asked about. From here on it
    /// may wait, but it is begun: a drain does not end its wait.
    pub(super) fn end_wait_with(&mut self, slot: Slot, errand: Errand) {
        let connection = &self.0.directory[slot];
        if connection.wait() != Some(&Wait::Handler) || !connection.is_open() {
            return;
        }
        self.0.directory.connections.change_inbound(slot, |inbound| {
            let inbound = inbound.get_or_insert_default();
            debug_assert!(inbound.pending.is_none(), "it waits for the one command");
            inbound.pending = Some(Pending::Errand(errand.into()));
        });
        self.0.decided.insert(slot);
        self.resume(slot);
    }

    /// Judges a verified token by what it replaces. Returns the refusal that it becomes, if any.
    pub(super) fn judge_renewal(&self, slot: Slot, credentials: &Credentials) -> Option<What> {
        let subject = |identity: &Identity| identity.subject.clone();
        let present = self.0.directory[slot].identity.as_deref().and_then(subject);
        let fresh = &credentials.identity;
        let words = match fresh.expires {
            _ if subject(fresh) != present => OTHER_SUBJECT,
            Some(expires) if expires.at <= self.0.now => EXPIRED,
            _ if self.0.clients.revocations.concern(fresh, self.0.now) => REVOKED,
            _ => return None,
        };
        Some(What::Refuse(ErrorCode::BadToken, words.into()))
    }

    /// From here on the connection has these permissions and this end. Returns what is left to do:
    /// the rooms that it may be in no longer are to be left.
    pub(super) fn renew(
        &mut self,
        slot: Slot,
        id: Option<&str>,
        credentials: Credentials,
    ) -> Option<What> {
        let Credentials { permissions, identity } = credentials;
        let expires = identity.expires.map(|expires| expires.unix_millis);
        self.0.counters.refreshed += 1;
        self.0.outputs.renewed.push_back(self.0.directory.id(slot));
        let before = self.0.directory[slot].identity.as_deref();
        let identity = with_info_of(before, identity);
        self.0.forget_client(slot);
        self.0.identify(slot, Some(identity));
        let before = self.0.directory[slot].permissions.replace(permissions);
        self.0.say(slot, &Fact::Refreshed { id, expires });
        before.map(What::Evict)
    }

    /// Whether the next room that the connection may be in no longer can be left now; or there is
    /// none.
    pub(super) fn may_evict(&mut self, slot: Slot, before: &Permissions) -> Flow {
        let Some((at, room)) = self.next_eviction(slot, before) else { return Ok(()) };
        let membership = &self.0.directory[slot].memberships[at];
        if membership.state() != MembershipState::Joined {
            return Err(Wait::Change(membership.room));
        }
        let home = self.0.directory.home(room.as_str());
        match self.0.outboxes.claim_capacity(home) {
            true => Ok(()),
            false => Err(Wait::Capacity(home)),
        }
    }

    /// Begins to leave that room. Returns what is left to do.
    pub(super) fn evict(&mut self, slot: Slot, before: Arc<Permissions>) -> Option<What> {
        let (_, room) = self.next_eviction(slot, &before)?;
        self.push_leave(slot, room, Requester::Permissions);
        Some(What::Evict(before))
    }

    /// A room that the connection was allowed to join before, and is no longer. What the program
    /// joined it to in spite of both is the program's affair.
    fn next_eviction(
        &self,
        slot: Slot,
        before: &Permissions,
    ) -> Option<(MembershipIndex, RoomName)> {
        use MembershipState::{Departing, Leaving};
        let connection = &self.0.directory[slot];
        let after = connection.permissions.as_deref()?;
        let may_join = |permissions: &Permissions, room: &RoomName| {
            permissions.ruling(Action::Join, Some(room.as_str())) != Ruling::Forbidden
        };
        let memberships = connection.memberships.iter().enumerate();
        memberships
            .filter(|(_, one)| one.room != EVERYBODY && !matches!(one.state(), Leaving | Departing))
            .map(|(at, one)| (MembershipIndex::new(at), &self.0.directory[one.room].name))
            .find(|(_, room)| may_join(before, room) && !may_join(after, room))
            .map(|(at, room)| (at, room.clone()))
    }
}

/// A fresh token changes nothing of what presence shows of its client.
fn with_info_of(before: Option<&Identity>, fresh: Arc<Identity>) -> Arc<Identity> {
    let info = before.and_then(|before| before.info.clone());
    match fresh.info == info {
        true => fresh,
        false => Arc::new(Identity::clone(&fresh).with_info(info)),
    }
}
