//! The shard that the calling thread runs.

use std::cell::RefCell;

use super::handle::ShardHandle;

thread_local! {
    static SHARD: RefCell<Option<ShardHandle>> = const { RefCell::new(None) };
}

/// As long as it lives, its thread has a current shard.
#[derive(Debug)]
pub(super) struct Entered(());

/// Makes a shard the calling thread's.
pub(super) fn enter(shard: &ShardHandle) -> Entered {
    SHARD.set(Some(shard.clone()));
    Entered(())
}

impl Drop for Entered {
    fn drop(&mut self) {
        // The handle is dropped when nothing borrows the place any more.
        drop(SHARD.take());
    }
}

/// The shard of the calling thread; none on threads that are no shard's.
pub(crate) fn current_shard() -> Option<ShardHandle> {
    SHARD.with_borrow(Clone::clone)
}
