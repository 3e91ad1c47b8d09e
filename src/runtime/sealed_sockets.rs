//! What a shard keeps of its connections that speak TLS.

use corecast_shards::ConnId;

use super::sockets::Sockets;
use super::tls::{Flushed, Scratch, TlsSession};

/// The sessions of a shard's connections, by slot, beside its [`Sockets`]; and the buffers in which
/// all of them are sealed.
#[derive(Debug, Default)]
pub(super) struct SealedSockets {
    sessions: Vec<Option<Box<TlsSession>>>,
    scratch: Scratch,
    /// What all sessions keep for longer than a turn.
    kept: u64,
}

impl SealedSockets {
    /// Keeps the session of a connection whose descriptor was kept.
    pub(super) fn insert(&mut self, id: ConnId, session: Box<TlsSession>) {
        let slot = id.slot as usize;
        if slot >= self.sessions.len() {
            self.sessions.resize_with(slot + 1, || None);
        }
        self.kept += session.kept() as u64;
        self.sessions[slot] = Some(session);
    }

    /// Bytes that sessions keep for longer than a turn: begins of records, and sealed bytes that
    /// sockets have not taken.
    pub(super) fn kept(&self) -> u64 {
        self.kept
    }

    /// Works with the session of an open connection, and counts what it keeps afterwards.
    pub(super) fn with<T>(
        &mut self,
        id: ConnId,
        work: impl FnOnce(&mut TlsSession, &mut Scratch) -> T,
    ) -> Option<T> {
        let session = self.sessions.get_mut(id.slot as usize)?.as_mut()?;
        self.kept -= session.kept() as u64;
        let done = work(session, &mut self.scratch);
        self.kept += session.kept() as u64;
        Some(done)
    }

    /// Tells the client that nothing more comes, as far as its socket takes that now. Returns
    /// whether our side may end now.
    pub(super) fn say_end(&mut self, id: ConnId, sockets: &Sockets) -> bool {
        let Some(socket) = sockets.get(id) else { return true };
        let said = self.with(id, |session, _| {
            session.say_end();
            let is_out = !matches!(session.flush(socket), Ok(Flushed::Some | Flushed::None));
            session.ends_with_rest = !is_out;
            is_out
        });
        said.unwrap_or(true)
    }

    pub(super) fn remove(&mut self, id: ConnId) {
        let session = self.sessions.get_mut(id.slot as usize).and_then(Option::take);
        self.kept -= session.map_or(0, |session| session.kept() as u64);
    }
}
