//! How tasks reach the driver of their shard.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use corecast_shards::ShardId;

use super::driver::ShardDriver;
use super::fatal::AtWork;

/// A way to a driver that does not keep it: the event loop owns it, and it ends with the shard,
/// with all that it holds of the system, wherever the program keeps handles.
///
/// Invariant: no borrow of the driver lives across an await, and tasks run only between turns; so
/// whatever borrows it finds it free.
#[derive(Clone, Debug)]
pub(crate) struct DriverRef {
    id: ShardId,
    driver: Weak<RefCell<ShardDriver>>,
}

impl DriverRef {
    pub(super) fn new(driver: &Rc<RefCell<ShardDriver>>) -> DriverRef {
        DriverRef { id: driver.borrow().shard.id(), driver: Rc::downgrade(driver) }
    }

    /// Looks at the driver or changes it, between two turns; none when the shard has ended.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut ShardDriver) -> T) -> Option<T> {
        let driver = self.driver.upgrade()?;
        let mut driver = driver.borrow_mut();
        let _at_work = AtWork::begin(self.id);
        Some(look(&mut driver))
    }
}
