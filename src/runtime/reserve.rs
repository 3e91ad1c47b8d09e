//! The descriptor that is kept for when there is no other.

use std::os::fd::OwnedFd;

/// A descriptor that is kept for one purpose: to accept a connection when there is no other, and
/// tell it so. Without it clients would wait in the listener's queue for as long as the others stay.
#[derive(Debug)]
pub(super) enum Reserve {
    /// Kept back.
    Spare(OwnedFd),
    /// Lent to this pending handshake, which was refused and is about to end.
    Lent(u64),
    /// Could not be kept back again yet.
    Gone,
}

impl Reserve {
    pub(super) fn is_lent_to(&self, key: u64) -> bool {
        matches!(self, Reserve::Lent(lent) if *lent == key)
    }
}
