//! What becomes of what a client sends faster than it may.

use super::intake::{Intake, Processed};
use crate::connection::inbound::{Errand, Pending, What};
use crate::disconnect::Disconnect;
use crate::envelope::{Envelope, ErrorCode};
use crate::handler::AskedKind;
use crate::place::Slot;
use crate::rates::{Excess, Rate};
use crate::wire::Incoming;

impl Intake<'_> {
    /// A message or control frame is beyond a limit per second: it is answered with an error, where
    /// the connection's format has errors. Otherwise the connection is closed, so that no message
    /// is lost silently. Control frames only count.
    pub(super) fn handle_excess(
        &mut self,
        slot: Slot,
        incoming: Incoming<'_>,
        excess: Excess,
    ) -> Processed {
        let is_control =
            matches!(incoming, Incoming::Ping(_) | Incoming::Pong(_) | Incoming::Close(_));
        let is_refused_anyway =
            matches!(incoming, Incoming::Binary(_)) && !self.0.config.hooks.binary;
        if is_control || is_refused_anyway {
            return self.handle(slot, incoming);
        }
        self.0.counters.rate_limited += 1;
        if !self.0.directory[slot].format.has_envelopes() {
            self.0.schedule_close(slot, Disconnect::Rate);
            return Ok(());
        }
        let (id, room) = match incoming {
            Incoming::Text(text) => match Envelope::parse(text) {
                Ok(envelope) => (envelope.id, envelope.room),
                Err(bad) => (bad.id, bad.room),
            },
            _ => (None, None),
        };
        let what = What::Refuse(ErrorCode::RateLimited, excess.to_string().into());
        let errand = Errand { room, id: id.map(Into::into), what };
        match self.0.directory[slot].may_reply(&self.0.config.limits) {
            Ok(()) => self.run(slot, errand),
            Err(wait) => Err((wait, Pending::Errand(errand.into()))),
        }
    }

    /// A command was read. If it is beyond a limit per second, it becomes a refusal, or closes the
    /// connection: then nothing is left of it.
    pub(super) fn keep_pace(&mut self, slot: Slot, mut errand: Errand) -> Option<Errand> {
        let rate = match &errand.what {
            What::Join(_) | What::Ask(AskedKind::Join(_)) => Rate::Joins,
            What::Publish { .. } | What::Broadcast(_) => Rate::Publishes,
            What::Ask(AskedKind::Publish(_) | AskedKind::Broadcast(_)) => Rate::Publishes,
            What::Leave
            | What::Presence
            | What::Ping
            | What::Refresh(_)
            | What::Renew(_)
            | What::Evict(_)
            | What::Call(_)
            | What::Refuse(..) => return Some(errand),
        };
        if let Some(excess) = self.0.rates.count(slot.number(), rate, 1, self.0.now) {
            self.0.counters.rate_limited += 1;
            if excess.closes {
                self.0.schedule_close(slot, Disconnect::Rate);
                return None;
            }
            errand.what = What::Refuse(ErrorCode::RateLimited, excess.to_string().into());
        }
        Some(errand)
    }

    /// These bytes of a client are read and discarded, because it has nothing to say.
    pub(super) fn discard(&mut self, slot: Slot, bytes: usize) {
        let excess = self.0.rates.count_input(slot.number(), bytes, 0, self.0.now);
        if excess.is_some_and(|excess| excess.closes) {
            self.0.schedule_close(slot, Disconnect::Rate);
        }
    }
}
