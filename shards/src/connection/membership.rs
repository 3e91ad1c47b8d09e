//! One room of a connection, as the connection lists it.

use crate::room::table::RoomKey;

/// One entry of a connection's list of rooms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    /// The room's key on this shard.
    pub(crate) room: RoomKey,
    /// The place in the room's list of members, while it is there.
    pub(crate) member: u32,
    pub(crate) change_id: u32,
    state: MembershipState,
    /// Whether it is one of those where the connection may be behind.
    pub(crate) noted: bool,
}

/// The place of a membership that is in no list of members.
pub(crate) const NOT_LISTED: u32 = u32::MAX;

/// A membership is joining, joined or gone; the others are shades of these.
///
/// ```text
/// Joining ─Joined─▶ Joined ─leave─▶ Leaving ─Left─▶ Departing ─all sent─▶ (gone)
///    └──── closed ────┴──▶ (gone; its home is owed a leave)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MembershipState {
    /// The join is unanswered.
    Joining,
    Joined,
    /// Joined, and a second join is unanswered.
    Rejoining,
    /// The leave is unanswered; messages still come.
    Leaving,
    /// The leave is answered; messages up to it are still to be sent.
    Departing,
}

impl Membership {
    /// A membership that the room lists at `member`, or one that is about to join.
    pub(crate) fn new(room: RoomKey, member: Option<u32>, change_id: u32) -> Membership {
        use MembershipState::{Joined, Joining};
        let state = if member.is_some() { Joined } else { Joining };
        Membership { room, member: member.unwrap_or(NOT_LISTED), change_id, state, noted: false }
    }

    pub(crate) fn state(&self) -> MembershipState {
        self.state
    }

    /// Begins a second join (to `Rejoining`) or a leave (to `Leaving`), whose answer has this id.
    pub(crate) fn begin_change(&mut self, to: MembershipState, change_id: u32) {
        use MembershipState::{Joined, Leaving, Rejoining};
        assert_eq!(self.state, Joined, "one change at a time");
        debug_assert!(matches!(to, Rejoining | Leaving), "changes begin so");
        (self.state, self.change_id) = (to, change_id);
    }

    /// The join is answered.
    pub(crate) fn end_join(&mut self) {
        use MembershipState::{Joined, Joining, Rejoining};
        assert!(matches!(self.state, Joining | Rejoining), "only a join is answered so");
        self.state = Joined;
    }

    /// The leave is answered.
    pub(crate) fn end_leave(&mut self) {
        assert_eq!(self.state, MembershipState::Leaving, "only a leave is answered so");
        self.state = MembershipState::Departing;
    }

    pub(crate) fn is_unanswered(&self) -> bool {
        use MembershipState::{Departing, Joining, Leaving, Rejoining};
        matches!(self.state, Joining | Rejoining | Leaving | Departing)
    }

    /// Where the room lists it, if it does.
    pub(crate) fn listed(&self) -> Option<usize> {
        (self.member != NOT_LISTED).then_some(self.member as usize)
    }
}
