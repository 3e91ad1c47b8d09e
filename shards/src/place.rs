//! Where a room's member is found: the slot of its connection, and where that connection lists the
//! room.

use std::fmt;

/// Which entry of its shard's table a connection has, for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(u32);

impl Slot {
    pub(crate) const fn new(number: u32) -> Slot {
        Slot(number)
    }

    /// The same as a number, which ids carry.
    pub(crate) fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which entry of a connection's list of rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MembershipIndex(u16);

impl MembershipIndex {
    pub(crate) fn new(index: usize) -> MembershipIndex {
        MembershipIndex(u16::try_from(index).expect("few rooms per connection"))
    }

    pub(crate) fn get(self) -> usize {
        usize::from(self.0)
    }
}
