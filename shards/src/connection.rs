//! One connection, as its shard sees it.

use crate::disconnect::Disconnect;
use crate::id::ShardId;
use crate::inbound::Inbound;
use crate::limits::Limits;
use crate::own::Own;
use crate::permissions::Permissions;
use crate::places::Places;
use crate::room_name::RoomName;
use crate::time::Time;

/// Everything a shard keeps about one client. An idle connection owns no buffer: `inbound` exists
/// while a message is incomplete or waits, `own` while bytes wait.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) generation: u32,
    pub(crate) phase: Phase,
    pub(crate) sending: Sending,
    /// Its socket refused bytes, and it has not caught up since.
    pub(crate) slow: bool,
    pub(crate) slow_timer: bool,
    /// A timer runs for the end of a message that has begun to arrive.
    pub(crate) message_timer: bool,
    /// Whether it stands in the queue of connections to be flushed.
    pub(crate) ready: bool,
    /// The client's end was read, or the socket is dead.
    pub(crate) ended: bool,
    /// The client has gone, though what it sent before may not be handled yet: nothing new is for
    /// it.
    pub(crate) gone: bool,
    pub(crate) pinged: bool,
    /// What its client may do.
    pub(crate) permissions: Permissions,
    /// Why it ends, once that is decided.
    pub(crate) fate: Option<Disconnect>,
    /// Why its next command waits; while it does, nothing is read from its socket.
    pub(crate) wait: Option<Wait>,
    pub(crate) attempts: u32,
    /// Replies that homes owe it.
    pub(crate) unanswered: u32,
    /// About how many bytes these will have; they will be its own.
    pub(crate) unanswered_bytes: usize,
    /// Leaves that it owes to homes, since it is closed.
    pub(crate) owed: u32,
    /// When bytes last arrived.
    pub(crate) heard: Time,
    /// When its socket last took bytes before it began to refuse them.
    pub(crate) refused_since: Time,
    /// When its socket refused bytes last.
    pub(crate) blocked_at: Time,
    /// When it is cut unless its client has ended its side, once it is out of its rooms.
    pub(crate) close_due: Time,
    /// How often that was put off.
    pub(crate) close_delays: u8,
    /// Its rooms; the room of everybody first, while it is open.
    pub(crate) memberships: Vec<Membership>,
    /// Where it may be behind: the memberships of rooms whose pass went by it or begins a send to
    /// it, and those that this send takes along. A send walks these alone.
    ///
    /// Invariant: these are the memberships that are `noted`. Who is behind in another room is so
    /// only until that room's pass comes by.
    pub(crate) behind: Places,
    /// Where the next send looks for rooms that it can take along.
    pub(crate) along: u16,
    /// Memberships whose leave is answered and whose last message is still to be sent.
    pub(crate) departing: u16,
    pub(crate) inbound: Option<Box<Inbound>>,
    pub(crate) own: Option<Box<Own>>,
}

/// The life of a connection.
///
/// ```text
/// Vacant ─open─▶ Open ─fate─▶ Closing ─close frame sent─▶ HalfClosed ─client's end─▶ Gone ─▶ Vacant
///                 └─close when flushed─▶ Finishing ─flushed─▶ (fate)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The slot is free.
    Vacant,
    /// Commands are read, messages are sent.
    Open,
    /// Ends for this reason as soon as everything that waits is sent.
    Finishing(Disconnect),
    /// Out of all rooms; the close frame is on its way.
    Closing,
    /// Our side is shut down; the rest of the client's is read and discarded.
    HalfClosed,
    /// The socket is closed; a leave may still be owed.
    Gone,
}

/// The state of a connection's socket towards us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// It takes bytes, as far as we know.
    Idle,
    /// A send was begun and has not ended.
    Begun,
    /// It refused bytes and is not touched until it is writable.
    Blocked,
    /// It failed. What arrived before that is still handled.
    Dead,
}

/// Why a connection's next command waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// No room on the ring to this home.
    Lane(ShardId),
    /// The room's publishers are too fast. Boxed, since hardly any connection waits for it.
    Pressed(Box<RoomName>),
    /// A join or leave of the room with this key is unanswered.
    Answer(u32),
    /// It does not read its replies.
    Own,
    /// A handler of the program is at work on its last message.
    Handler,
    /// A send is under way, behind which the reply's place would be unknown.
    Begun,
}

/// One entry of a connection's list of rooms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    /// The room's key on this shard.
    pub(crate) room: u32,
    /// The place in the room's list of members, while it is there.
    pub(crate) member: u32,
    pub(crate) attempt: u32,
    pub(crate) state: MembershipState,
    /// Whether it stands among those where the connection may be behind.
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

impl Connection {
    pub(crate) fn vacant(generation: u32) -> Connection {
        Connection {
            generation,
            phase: Phase::Vacant,
            sending: Sending::Idle,
            slow: false,
            slow_timer: false,
            message_timer: false,
            ready: false,
            ended: false,
            gone: false,
            pinged: false,
            permissions: Permissions::default(),
            fate: None,
            wait: None,
            attempts: 0,
            unanswered: 0,
            unanswered_bytes: 0,
            owed: 0,
            heard: Time::default(),
            refused_since: Time::default(),
            blocked_at: Time::default(),
            close_due: Time::default(),
            close_delays: 0,
            memberships: Vec::new(),
            behind: Places::default(),
            along: 0,
            departing: 0,
            inbound: None,
            own: None,
        }
    }

    /// Whether commands are still taken from it.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Finishing(_)) && self.fate.is_none()
    }

    /// Whether the end of a send that was taken whole changes nothing but its cursors, as far as
    /// the connection itself is concerned.
    pub(crate) fn is_at_ease(&self) -> bool {
        self.phase == Phase::Open
            && self.fate.is_none()
            && self.wait.is_none()
            && self.own.is_none()
            && !self.slow
    }

    pub(crate) fn own_bytes(&self) -> usize {
        self.own.as_ref().map_or(0, |own| own.len())
    }

    pub(crate) fn has_own(&self) -> bool {
        self.own.as_ref().is_some_and(|own| !own.is_empty())
    }

    /// Whether its replies, those included that are on their way from homes, pile up so far that it
    /// is not read.
    pub(crate) fn owes_reading(&self, limits: &Limits) -> bool {
        self.own_bytes() + self.unanswered_bytes >= limits.own_bytes / 4
    }

    /// A home owes it a reply of about so many bytes.
    pub(crate) fn expect_reply(&mut self, bytes: usize) {
        self.unanswered += 1;
        self.unanswered_bytes += bytes;
    }

    /// One of those replies has come. It takes off what each of them has on average, so that
    /// nothing is left when nothing is owed.
    pub(crate) fn note_reply(&mut self) {
        assert!(self.unanswered > 0, "a home answers what it was asked, once");
        let mean = self.unanswered_bytes / self.unanswered as usize;
        self.unanswered -= 1;
        self.unanswered_bytes -= if self.unanswered == 0 { self.unanswered_bytes } else { mean };
    }

    /// Takes note that it may be behind in the room at `place`.
    pub(crate) fn note(&mut self, place: usize) {
        if !std::mem::replace(&mut self.memberships[place].noted, true) {
            self.behind.push(place);
        }
    }

    /// Keeps the notes of those memberships of which `is_behind` says so.
    pub(crate) fn keep_notes(&mut self, mut is_behind: impl FnMut(&Membership) -> bool) {
        let memberships = &mut self.memberships;
        self.behind.retain(|place| {
            memberships[place].noted = is_behind(&memberships[place]);
            memberships[place].noted
        });
    }

    /// It is behind in none of those rooms.
    pub(crate) fn unnote_all(&mut self) {
        for place in self.behind.iter() {
            self.memberships[place].noted = false;
        }
        self.behind.clear();
    }

    /// Takes a membership that is noted nowhere out of the list. Returns the one that has its place
    /// now.
    pub(crate) fn forget(&mut self, place: usize) -> Option<Membership> {
        debug_assert!(!self.memberships[place].noted, "who is no member is not behind");
        self.memberships.swap_remove(place);
        let moved = *self.memberships.get(place)?;
        if moved.noted {
            self.behind.rename(self.memberships.len(), place);
        }
        Some(moved)
    }

    /// Frees the buffer of its own frames once all of them are sent.
    pub(crate) fn drop_empty_own(&mut self) {
        if !self.has_own() {
            self.own = None;
        }
    }
}

impl Membership {
    pub(crate) fn is_unanswered(&self) -> bool {
        use MembershipState::{Departing, Joining, Leaving, Rejoining};
        matches!(self.state, Joining | Rejoining | Leaving | Departing)
    }

    /// Where the room lists it, if it does.
    pub(crate) fn listed(&self) -> Option<usize> {
        (self.member != NOT_LISTED).then_some(self.member as usize)
    }
}
