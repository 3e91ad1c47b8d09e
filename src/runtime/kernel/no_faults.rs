//! The seam of an ordinary build: nothing fails on purpose, and nothing of this is left in it.

use std::io;
use std::os::fd::RawFd;

use super::syscall::Syscall;

/// Whether the call may be made.
#[inline(always)]
pub(crate) fn enter(_: Syscall, _: RawFd) -> io::Result<()> {
    Ok(())
}

/// How many of `len` bytes, or events, the call may deal with.
#[inline(always)]
pub(crate) fn shorten(_: Syscall, _: RawFd, len: usize) -> usize {
    len
}

/// The part of these pieces of memory that the call may deal with.
#[inline(always)]
pub(crate) fn cut(_: Syscall, _: RawFd, pieces: &mut [libc::iovec]) -> &mut [libc::iovec] {
    pieces
}

/// Notes how a descriptor is watched.
#[inline(always)]
pub(crate) fn watched(_: RawFd, _: u32, _: u64) {}

/// Sees to it that a socket whose call was cut short on purpose is reported ready again.
#[inline(always)]
pub(crate) fn pay_edges(_: RawFd) {}

/// Faults may begin: the server has started.
#[inline(always)]
pub(crate) fn arm() {}
