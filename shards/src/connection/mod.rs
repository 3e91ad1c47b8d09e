//! One connection, as its shard sees it.

pub(crate) mod behind;
pub(crate) mod direct_outbox;
pub(crate) mod inbound;
mod membership;
pub(crate) mod replays;
pub(crate) mod table;

use std::sync::Arc;
use std::time::Duration;

use crate::connection::behind::BehindList;
use crate::connection::direct_outbox::DirectOutbox;
use crate::connection::inbound::Inbound;
use crate::connection::replays::Replays;
use crate::deflate::Window;
use crate::disconnect::Disconnect;
use crate::format::Format;
use crate::id::ShardId;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::memory::Held;
use crate::permissions::Permissions;
use crate::place::MembershipIndex;
use crate::room::table::RoomKey;
use crate::room_name::RoomName;
use crate::time::Time;
pub(crate) use membership::{Membership, MembershipState, Memberships};

/// Everything a shard keeps about one client. An idle connection owns no buffer: `inbound` exists
/// while a message is incomplete or waits, `direct` while direct frames wait.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) generation: u32,
    phase: Phase,
    /// What its client reads.
    pub(crate) format: Format,
    /// The window of its client, if that agreed to compression.
    pub(crate) deflate: Option<Window>,
    write_state: WriteState,
    /// Its socket blocked or failed, and it has not caught up since.
    pub(crate) slow: bool,
    pub(crate) slow_timer: bool,
    /// A timer runs for the end of a message that has begun to arrive.
    pub(crate) message_timer: bool,
    /// Whether it is in the queue of connections to be sent to.
    pub(crate) ready: bool,
    /// The end of what its client sends was read, or reading failed.
    pub(crate) input_ended: bool,
    /// The client has hung up, though what it sent before may not be handled yet: nothing new is
    /// begun for it.
    pub(crate) hung_up: bool,
    pub(crate) pinged: bool,
    /// It has not answered its ping, and was read once more since.
    pub(crate) read_again: bool,
    /// What its client may do; none of that which needs a permission without any.
    pub(crate) permissions: Option<Arc<Permissions>>,
    /// What is known of its client.
    pub(crate) identity: Option<Arc<Identity>>,
    /// Why it ends, once that is decided.
    close_reason: Option<Disconnect>,
    /// Why its next command waits; while it does, nothing is read from its socket.
    wait: Option<Wait>,
    pub(crate) changes_begun: u32,
    /// Replies that homes owe it.
    pub(crate) owed_replies: u32,
    /// About how many bytes these will have in the direct outbox.
    pub(crate) owed_bytes: usize,
    /// Leaves for homes that are deferred: of a connection that is closed, or of rooms that it did not
    /// become a member of.
    pub(crate) deferred_leaves: u32,
    /// When bytes last arrived.
    pub(crate) last_received: Time,
    /// When its socket last took bytes before it blocked.
    pub(crate) blocked_since: Time,
    /// When its socket blocked last.
    pub(crate) last_blocked: Time,
    /// Since when it is slow, if it is.
    pub(crate) slow_since: Time,
    /// When it is cut unless its client has ended its side, once it is out of its rooms.
    pub(crate) close_due: Time,
    /// How often that was put off.
    pub(crate) close_delays: u8,
    /// Its rooms; the room of everybody first, while it is open.
    pub(crate) memberships: Memberships,
    /// The memberships that a send looks at: rooms whose pass has come to this connection and where
    /// it may not be up to date, and rooms that a send takes along before their pass.
    ///
    /// Invariant: these are the memberships that are `maybe_behind`. In another room the connection
    /// is behind only until that room's pass comes to it.
    pub(crate) behind: BehindList,
    /// The membership with which the next send begins to look for rooms that it can take along.
    pub(crate) along_from: MembershipIndex,
    /// Memberships in the state `Departing`.
    pub(crate) departing: u16,
    pub(crate) inbound: Held<Option<Box<Inbound>>>,
    pub(crate) direct: Held<Option<Box<DirectOutbox>>>,
    /// What it is still to be sent of its rooms' histories.
    pub(crate) replays: Held<Option<Box<Replays>>>,
}

/// The life of a connection.
///
/// ```text
/// Vacant ─open─▶ Open ─close─▶ Closing ─close frame sent─▶ HalfClosed ─client's end─▶ Closed ─▶ Vacant
///                 └─close when flushed─▶ Finishing ─flushed─▶ (close)
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
    Closed,
}

/// The state of a connection's socket towards us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteState {
    /// It takes bytes, as far as we know.
    Idle,
    /// An event stream is not in all of its rooms: nothing is sent before its head, which waits for
    /// that. It is slow from its begin on, as if its socket were blocked.
    Unbegun,
    /// A send was begun and has not ended.
    Begun,
    /// It blocked and is not touched until it is writable.
    Blocked,
    /// It blocked over bytes that were taken for it and are kept below: nothing follows them, not
    /// even the end of our side, before they are out.
    Held,
    /// It failed. What arrived before that is still handled.
    Dead,
}

/// Why a connection's next command waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The ring to this home has no capacity.
    Capacity(ShardId),
    /// The room is paused. Boxed, since hardly any connection waits for it.
    Paused(Box<RoomName>),
    /// Publishers pause because memory is short.
    Memory,
    /// A join or leave of the room with this key has not ended.
    Change(RoomKey),
    /// It does not read its replies.
    Replies,
    /// A handler of the program is at work on its last message.
    Handler,
    /// So much was inflated in this turn that it goes on in the next one.
    Turn,
    /// A send is under way, after which the reply would come at an unknown point.
    Begun,
    /// Nothing any more: it is handled when the event ends.
    Over,
}

/// Whether something may be done now, or why it waits.
pub(crate) type Flow = Result<(), Wait>;

impl Connection {
    pub(crate) fn vacant(generation: u32) -> Connection {
        Connection {
            generation,
            phase: Phase::Vacant,
            format: Format::Native,
            deflate: None,
            write_state: WriteState::Idle,
            slow: false,
            slow_timer: false,
            message_timer: false,
            ready: false,
            input_ended: false,
            hung_up: false,
            pinged: false,
            read_again: false,
            permissions: None,
            identity: None,
            close_reason: None,
            wait: None,
            changes_begun: 0,
            owed_replies: 0,
            owed_bytes: 0,
            deferred_leaves: 0,
            last_received: Time::default(),
            blocked_since: Time::default(),
            last_blocked: Time::default(),
            slow_since: Time::default(),
            close_due: Time::default(),
            close_delays: 0,
            memberships: Memberships::new(),
            behind: BehindList::default(),
            along_from: MembershipIndex::default(),
            departing: 0,
            inbound: Held::default(),
            direct: Held::default(),
            replays: Held::default(),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn write_state(&self) -> WriteState {
        self.write_state
    }

    /// Why it ends, once that is decided.
    pub(crate) fn close_reason(&self) -> Option<Disconnect> {
        self.close_reason
    }

    /// Why its next command waits, if it does.
    pub(crate) fn wait(&self) -> Option<&Wait> {
        self.wait.as_ref()
    }

    /// Says why the next command waits, if it does. Returns why it did.
    pub(crate) fn set_wait(&mut self, wait: Option<Wait>) -> Option<Wait> {
        std::mem::replace(&mut self.wait, wait)
    }

    /// Vacant to Open.
    pub(crate) fn open(&mut self, format: Format, deflate: Option<Window>, now: Time) {
        assert_eq!(self.phase, Phase::Vacant, "a slot has one occupant");
        (self.phase, self.format, self.deflate) = (Phase::Open, format, deflate);
        self.last_received = now;
    }

    /// Open to Finishing, or another reason for that.
    pub(crate) fn finish(&mut self, reason: Disconnect) {
        assert!(self.is_open(), "only an open connection finishes");
        self.phase = Phase::Finishing(reason);
    }

    /// Decides why the connection ends, unless that is decided. Returns whether it was not.
    pub(crate) fn schedule_close(&mut self, reason: Disconnect) -> bool {
        if !self.is_open() {
            return false;
        }
        let is_dead = self.write_state == WriteState::Dead && reason == Disconnect::Slow;
        // A dead socket takes nothing either, but its client has hung up and is not slow.
        self.close_reason = Some(if is_dead { Disconnect::Lost } else { reason });
        true
    }

    /// Open or Finishing to Closing.
    pub(crate) fn begin_close(&mut self) {
        assert!(self.is_in_rooms() && self.close_reason.is_some(), "an end has a reason");
        assert_ne!(self.write_state, WriteState::Begun, "a begun send keeps its connection");
        assert!(self.memberships.is_empty(), "a connection that closes is out of all rooms");
        assert!(self.inbound.is_none(), "what waits of a connection that closes is not handled");
        self.phase = Phase::Closing;
    }

    /// Closing to HalfClosed: the close frame is sent.
    pub(crate) fn half_close(&mut self) {
        assert_eq!(self.phase, Phase::Closing, "a close frame was on its way");
        self.phase = Phase::HalfClosed;
    }

    /// Closing or HalfClosed to Closed. Returns whether the socket was blocked.
    pub(crate) fn end(&mut self) -> bool {
        assert!(matches!(self.phase, Phase::Closing | Phase::HalfClosed), "first it closes");
        assert_ne!(self.write_state, WriteState::Begun, "a begun send keeps its connection");
        assert!(self.direct.is_none(), "a closed socket is sent nothing");
        self.phase = Phase::Closed;
        let was_blocked = self.is_blocked();
        self.write_state = WriteState::Dead;
        was_blocked
    }

    /// Whether its socket takes nothing at the moment.
    pub(crate) fn is_blocked(&self) -> bool {
        matches!(self.write_state, WriteState::Blocked | WriteState::Held)
    }

    /// Idle to Unbegun, since this time.
    pub(crate) fn hold(&mut self, now: Time) {
        assert_eq!(self.write_state, WriteState::Idle, "nothing was sent to it");
        self.write_state = WriteState::Unbegun;
        (self.slow, self.slow_since, self.blocked_since) = (true, now, now);
    }

    /// Unbegun to Idle, if it is that.
    pub(crate) fn let_begin(&mut self) {
        if self.write_state == WriteState::Unbegun {
            self.write_state = WriteState::Idle;
        }
    }

    /// Idle to Begun.
    pub(crate) fn begin_send(&mut self) {
        assert_eq!(self.write_state, WriteState::Idle, "one send at a time");
        self.write_state = WriteState::Begun;
    }

    /// Begun to any other state.
    pub(crate) fn end_send(&mut self, state: WriteState) {
        assert_eq!(self.write_state, WriteState::Begun, "only a begun send ends");
        debug_assert_ne!(state, WriteState::Begun, "a send ends once");
        self.write_state = state;
    }

    /// Blocked or Held to Idle. Returns whether it was one of them.
    pub(crate) fn unblock(&mut self) -> bool {
        let was_blocked = self.is_blocked();
        if was_blocked {
            self.write_state = WriteState::Idle;
        }
        was_blocked
    }

    /// Whether it still lists its rooms and is sent their messages.
    pub(crate) fn is_in_rooms(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Finishing(_))
    }

    /// Whether the next message may be replied to, or why it waits.
    pub(crate) fn may_reply(&self, limits: &Limits) -> Flow {
        match self.write_state {
            WriteState::Begun => Err(Wait::Begun),
            _ if self.has_unread_replies(limits) => Err(Wait::Replies),
            _ => Ok(()),
        }
    }

    /// Until when its client may stay, if that is limited.
    #[cfg(any(test, debug_assertions))]
    pub(crate) fn expires(&self) -> Option<Time> {
        Some(self.identity.as_ref()?.expires?.at)
    }

    /// The id of its next join or leave.
    pub(crate) fn next_change_id(&mut self) -> u32 {
        self.changes_begun = self.changes_begun.wrapping_add(1);
        self.changes_begun
    }

    /// Whether its socket is blocked and had taken nothing for at least `patience` up to this time.
    pub(crate) fn is_stuck(&self, events_until: Time, patience: Duration) -> bool {
        self.is_blocked() && events_until.since(self.blocked_since) >= patience
    }

    /// A connection that is not read cannot be heard from: its idle clock does not run. Exception:
    /// a client that is not read because its own socket does not take the replies. Its idle time
    /// counts from when that socket last blocked, or it would never time out. `is_held_back` says that
    /// it is not read because much is held for it while memory is short.
    pub(crate) fn refresh_idle_clock(&mut self, now: Time, is_reading: bool, is_held_back: bool) {
        let departs = |room| {
            move |membership: &Membership| {
                membership.room == room && membership.state() == MembershipState::Departing
            }
        };
        let by_itself = match self.wait {
            Some(Wait::Replies) => true,
            Some(Wait::Change(room)) => self.memberships.iter().any(departs(room)),
            None => is_held_back,
            _ => false,
        };
        if by_itself && self.is_blocked() {
            self.last_received = self.last_received.max(self.last_blocked);
        } else if self.wait.is_some() || !is_reading || is_held_back {
            self.last_received = now;
        }
    }

    /// Whether commands are still taken from it.
    pub(crate) fn is_open(&self) -> bool {
        self.is_in_rooms() && self.close_reason.is_none()
    }

    /// Whether a send that was taken whole moves cursors and changes nothing else of the connection.
    pub(crate) fn sends_move_cursors_only(&self) -> bool {
        self.phase == Phase::Open
            && self.close_reason.is_none()
            && self.wait.is_none()
            && self.direct.is_none()
            && self.replays.is_none()
            && !self.slow
    }

    pub(crate) fn direct_bytes(&self) -> usize {
        self.direct.as_ref().map_or(0, |direct| direct.len())
    }

    /// Whether there is a message that its client missed and of which nothing was taken.
    pub(crate) fn owes_history(&self) -> bool {
        let encoding = self.format.encoding(None);
        let direct = self.direct.as_ref();
        self.replays.is_some() || direct.is_some_and(|direct| direct.owes_events(encoding))
    }

    pub(crate) fn has_direct(&self) -> bool {
        self.direct.as_ref().is_some_and(|direct| !direct.is_empty())
    }

    /// Whether its replies, those included that are on their way from homes, pile up so far that it
    /// is not read.
    pub(crate) fn has_unread_replies(&self, limits: &Limits) -> bool {
        self.direct_bytes() + self.owed_bytes >= limits.own_bytes / 4
    }

    /// A home owes it a reply of about this many bytes.
    pub(crate) fn expect_reply(&mut self, bytes: usize) {
        self.owed_replies += 1;
        self.owed_bytes += bytes;
    }

    /// One of the owed replies has come. Their mean length is taken off the owed bytes, so that no
    /// bytes are owed when no reply is.
    pub(crate) fn count_reply(&mut self) {
        assert!(self.owed_replies > 0, "a home answers what it was asked, once");
        let mean = self.owed_bytes / self.owed_replies as usize;
        self.owed_replies -= 1;
        self.owed_bytes -= if self.owed_replies == 0 { self.owed_bytes } else { mean };
    }

    /// Enters a membership in the list of those where it may be behind.
    pub(crate) fn mark_behind(&mut self, at: MembershipIndex) {
        if !std::mem::replace(&mut self.memberships[at].maybe_behind, true) {
            self.behind.push(at);
        }
    }

    /// Keeps in that list the memberships for which `is_behind` returns true.
    pub(crate) fn retain_behind(&mut self, mut is_behind: impl FnMut(&Membership) -> bool) {
        let memberships = &mut self.memberships;
        self.behind.retain(|at| {
            memberships[at].maybe_behind = is_behind(&memberships[at]);
            memberships[at].maybe_behind
        });
    }

    /// Empties that list.
    pub(crate) fn clear_behind(&mut self) {
        for at in self.behind.iter() {
            self.memberships[at].maybe_behind = false;
        }
        self.behind.clear();
    }

    /// Removes a membership that the room does not list. Returns the one that has its index now.
    pub(crate) fn forget(&mut self, at: MembershipIndex) -> Option<Membership> {
        debug_assert!(!self.memberships[at].maybe_behind, "only members are behind");
        self.memberships.swap_remove(at.get());
        let moved = *self.memberships.get(at.get())?;
        if moved.maybe_behind {
            self.behind.rename(MembershipIndex::new(self.memberships.len()), at);
        }
        Some(moved)
    }
}
