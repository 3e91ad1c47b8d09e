//! One room of a connection, as the connection lists it.

use std::ops::{Index, IndexMut};

use crate::memory::HeldVec;
use crate::place::MembershipIndex;
use crate::room::MemberIndex;
use crate::room::table::RoomKey;

impl Index<MembershipIndex> for [Membership] {
    type Output = Membership;

    fn index(&self, index: MembershipIndex) -> &Membership {
        &self[index.get()]
    }
}

impl IndexMut<MembershipIndex> for [Membership] {
    fn index_mut(&mut self, index: MembershipIndex) -> &mut Membership {
        &mut self[index.get()]
    }
}

/// One entry of a connection's list of rooms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    /// The room's key on this shard.
    pub(crate) room: RoomKey,
    /// Where the room lists it, while it does.
    member: MemberIndex,
    pub(crate) change_id: u32,
    state: MembershipState,
    /// Whether its client asked to be told who is in the room.
    pub(crate) watches: bool,
    /// Whether it is one of those where the connection may be behind.
    pub(crate) maybe_behind: bool,
}

/// A connection's list of rooms. With each entry one of the list of those where the connection may be
/// behind is counted, which has no more of them and no less capacity than it needs.
pub(crate) type Memberships = HeldVec<Membership, { 2 * size_of::<MembershipIndex>() }>;

/// How far a membership has come.
///
/// ```text
///            Rejoining, Asking
///    join, presence ▲ │ Joined, Presence
///                   │ ▼
/// Joining ─Joined─▶ Joined ─leave─▶ Leaving ─Left─▶ Departing ─all sent─▶ (no more)
///    └──── closed ────┴──▶ (no more; its home is owed a leave)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MembershipState {
    /// The home has not answered the join.
    Joining,
    Joined,
    /// Joined, and the home has not answered a second join.
    Rejoining,
    /// Joined, and the home has not said who is there.
    Asking,
    /// The home has not answered the leave; messages still come.
    Leaving,
    /// The home has answered the leave; the client's answer follows its last message.
    Departing,
}

impl Membership {
    /// A membership that the room lists at `member`, or one that is about to join.
    pub(crate) fn new(room: RoomKey, member: Option<MemberIndex>, change_id: u32) -> Membership {
        use MembershipState::{Joined, Joining};
        let state = if member.is_some() { Joined } else { Joining };
        let member = member.unwrap_or(MemberIndex::NONE);
        Membership { room, member, change_id, state, watches: false, maybe_behind: false }
    }

    pub(crate) fn state(&self) -> MembershipState {
        self.state
    }

    /// Begins a second join (to `Rejoining`), a question (to `Asking`) or a leave (to `Leaving`), whose
    /// answer has this id.
    pub(crate) fn begin_change(&mut self, to: MembershipState, change_id: u32) {
        use MembershipState::{Asking, Joined, Leaving, Rejoining};
        assert_eq!(self.state, Joined, "one change at a time");
        debug_assert!(matches!(to, Rejoining | Asking | Leaving), "changes begin so");
        (self.state, self.change_id) = (to, change_id);
    }

    /// The home has answered the join.
    pub(crate) fn end_join(&mut self) {
        use MembershipState::{Joined, Joining, Rejoining};
        assert!(matches!(self.state, Joining | Rejoining), "only a join is answered so");
        self.state = Joined;
    }

    /// The home has said who is there.
    pub(crate) fn end_question(&mut self) {
        assert_eq!(self.state, MembershipState::Asking, "only a question is answered so");
        self.state = MembershipState::Joined;
    }

    /// The home has answered the leave.
    pub(crate) fn end_leave(&mut self) {
        assert_eq!(self.state, MembershipState::Leaving, "only a leave is answered so");
        self.state = MembershipState::Departing;
    }

    /// Whether a join, question or leave has not ended: the client's answer to it is not queued yet.
    pub(crate) fn is_changing(&self) -> bool {
        use MembershipState::{Asking, Departing, Joining, Leaving, Rejoining};
        matches!(self.state, Joining | Rejoining | Asking | Leaving | Departing)
    }

    /// Where the room lists it, if it does.
    pub(crate) fn listed(&self) -> Option<MemberIndex> {
        (self.member != MemberIndex::NONE).then_some(self.member)
    }

    /// The room lists it there from now on, or no longer.
    pub(crate) fn set_listed(&mut self, member: Option<MemberIndex>) {
        self.member = member.unwrap_or(MemberIndex::NONE);
    }
}
