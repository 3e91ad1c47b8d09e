//! What the program wrote for close frames that are still to be sent.

use std::collections::HashMap;
use std::sync::Arc;

use crate::disconnect::{Close, Disconnect};
use crate::place::Slot;

/// The texts of close frames that the program wrote, with the reasons that they belong to.
#[derive(Debug, Default)]
pub(super) struct CloseTexts(HashMap<Slot, (Disconnect, Arc<str>)>);

impl CloseTexts {
    /// Keeps the program's words for the close frame, whose reason is returned.
    pub(super) fn keep(&mut self, slot: Slot, close: Close) -> Disconnect {
        match close.text {
            Some(text) => self.0.insert(slot, (close.reason, text)),
            None => self.0.remove(&slot),
        };
        close.reason
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The program's words for a close frame with this reason, if there are any.
    pub(super) fn take(&mut self, slot: Slot, reason: Disconnect) -> Option<Arc<str>> {
        let (of, text) = self.0.remove(&slot)?;
        (of == reason).then_some(text)
    }
}
