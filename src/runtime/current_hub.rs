//! The shard that the calling thread runs.

use std::cell::RefCell;

use super::hub::Hub;

thread_local! {
    static HUB: RefCell<Option<Hub>> = const { RefCell::new(None) };
}

/// As long as it lives, its thread has a current hub.
#[derive(Debug)]
pub(super) struct Entered(());

/// Makes a hub the calling thread's.
pub(super) fn enter(hub: &Hub) -> Entered {
    HUB.set(Some(hub.clone()));
    Entered(())
}

impl Drop for Entered {
    fn drop(&mut self) {
        // The hub is dropped when nothing borrows the place any more.
        drop(HUB.take());
    }
}

/// The hub of the calling thread; none on threads that are no shard's.
pub(crate) fn current_hub() -> Option<Hub> {
    HUB.with_borrow(Clone::clone)
}
