//! The atomics, the lock, the shared pointer and the cell that the mesh ring and the queue of woken
//! tasks are built from.
//!
//! Both name them through this module and never through `std`, so that their loom tests can
//! compile the very same source against loom's versions of them, without a cfg flag.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

/// A `std::cell::UnsafeCell` with the shape of loom's: every access is one closure, which is what
/// lets loom see where an access begins and ends.
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    /// A cell around `value`.
    pub(crate) fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Hands out the pointer for an access that only reads.
    #[inline]
    pub(crate) fn with<R>(&self, access: impl FnOnce(*const T) -> R) -> R {
        access(self.0.get())
    }

    /// Hands out the pointer for an access that writes.
    #[inline]
    pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}
