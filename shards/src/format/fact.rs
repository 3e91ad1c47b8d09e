//! Facts for one connection alone, in no format: what it is sent besides its rooms' messages.

use std::borrow::Cow;

use crate::envelope::ErrorCode;
use crate::epoch::Epoch;
use crate::id::{ConnId, ShardId};
use crate::presence::Presence;
use crate::recovery::Recovery;
use crate::room_name::RoomName;

/// A fact for one connection, in no format.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fact<'a> {
    Welcome(Welcome),
    Joined {
        room: &'a RoomName,
        id: Option<&'a str>,
        joined: &'a Joined,
        /// Who is there, if it asked for that.
        presence: Option<&'a Presence>,
    },
    /// The answer to a member that asks who is there.
    Presence {
        room: &'a RoomName,
        id: Option<&'a str>,
        presence: &'a Presence,
    },
    Left {
        room: &'a RoomName,
        id: Option<&'a str>,
        offset: u64,
        /// It may be in the room no longer, and has not asked for this.
        is_forbidden: bool,
    },
    /// The answer to a fresh token that is accepted.
    Refreshed {
        id: Option<&'a str>,
        /// In milliseconds since 1970; none if it never expires.
        expires: Option<u64>,
    },
    /// The ack of a publish carries its offset, the ack of a broadcast none.
    Ack {
        id: &'a str,
        numbered: Option<Numbered>,
    },
    Error(&'a Refusal),
    /// Exactly the offsets `from..=to` were skipped.
    Gap {
        room: &'a RoomName,
        /// The room's life, for an event stream of this room alone.
        epoch: Option<Epoch>,
        from: u64,
        to: u64,
        reason: GapReason,
    },
    /// The answer to a client's `cast:ping`.
    Pong {
        id: Option<&'a str>,
    },
    /// The answer to a ping of the client's protocol, with its payload.
    Echo(&'a [u8]),
    /// The connection is silent.
    Ping,
    /// The end of the connection; nothing follows it.
    Close {
        code: u16,
        reason: &'a str,
    },
}

/// Why messages were skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GapReason {
    /// The member was too slow for the room's log.
    Slow,
    /// The member was slow, and the room's policy is to send it only the newest message.
    Latest,
}

impl GapReason {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            GapReason::Slow => "slow",
            GapReason::Latest => "latest",
        }
    }
}

/// What `cast:welcome` says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Welcome {
    pub(crate) connection: ConnId,
    pub(crate) shard: ShardId,
    pub(crate) shards: u16,
    pub(crate) ping_interval_secs: f64,
}

/// What a client is sent when its connection has become a member of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Joined {
    /// The room's life.
    pub epoch: Epoch,
    /// The offset before the next message that this connection gets.
    pub offset: u64,
    /// Members, this one included.
    pub members: u32,
    /// Whether nothing is missed, if the client said where it had stopped.
    pub recovery: Option<Recovery>,
}

/// What a publisher to a room learns of its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) offset: u64,
    /// That of an earlier message, whose key this one has: it is not delivered.
    pub(crate) repeated: bool,
}

/// Which command is refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: Cow<'static, str>,
    /// The client's id, as written.
    pub(crate) id: Option<Box<str>>,
    pub(crate) room: Option<RoomName>,
}

/// A fact for one connection on its way from a home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply(ReplyKind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum ReplyKind {
    Ack { id: Box<str>, numbered: Option<Numbered> },
    Error(Box<Refusal>),
}

impl Reply {
    pub(crate) fn ack(id: Box<str>, numbered: Option<Numbered>) -> Reply {
        Reply(ReplyKind::Ack { id, numbered })
    }

    pub(crate) fn error(refusal: Refusal) -> Reply {
        Reply(ReplyKind::Error(Box::new(refusal)))
    }

    pub(crate) fn fact(&self) -> Fact<'_> {
        match &self.0 {
            ReplyKind::Ack { id, numbered } => Fact::Ack { id, numbered: *numbered },
            ReplyKind::Error(refusal) => Fact::Error(refusal),
        }
    }

    /// Bytes that this reply takes on a ring, for its byte limit.
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            ReplyKind::Ack { id, .. } => id.len(),
            ReplyKind::Error(refusal) => refusal.len(),
        }
    }
}

impl Refusal {
    /// About how many bytes it refers to.
    pub(crate) fn len(&self) -> usize {
        let id = self.id.as_ref().map_or(0, |id| id.len());
        let room = self.room.as_ref().map_or(0, |room| room.as_str().len());
        size_of::<Refusal>() + self.message.len() + id + room
    }
}
