//! What one shard's driver hands to another's.

use std::any::Any;
use std::fmt;

/// A connection that has not begun, on its way to the shard that is to have it: whatever its driver
/// needs for that. The connection ends where its parcel is dropped,
/// unless its driver has it by then.
pub struct Parcel {
    contents: Box<dyn Any + Send>,
    bytes: usize,
}

impl Parcel {
    /// A parcel of this, which holds so many bytes.
    pub fn new(contents: impl Any + Send, bytes: usize) -> Parcel {
        Parcel { contents: Box::new(contents), bytes }
    }

    /// What is in it.
    ///
    /// # Panics
    ///
    /// When that is something else: all drivers of a process are alike.
    pub fn open<T: Any>(self) -> T {
        *self.contents.downcast().expect("a driver opens what one like it has packed")
    }

    /// The bytes that it holds.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parcel").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
