//! Sends that are handed to the kernel together.

use std::ops::Range;
use std::os::fd::RawFd;

/// Sends that are begun before the first of them is ended.
pub(super) const BATCH_SENDS_MAX: usize = 64;

/// One send, between the walk over its memory and the system call.
#[derive(Debug)]
pub(super) struct PendingSend {
    pub(super) fd: RawFd,
    /// Its memory, in the list of all.
    pub(super) iovecs: Range<usize>,
    pub(super) bytes: usize,
    /// Where its end is noted.
    pub(super) place: usize,
}
