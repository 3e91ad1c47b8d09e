//! What crosses from shard to shard: messages to homes, messages from homes, and what each weighs.

use std::sync::Arc;

use crate::disconnect::Close;
use crate::epoch::Epoch;
use crate::format::{Encoding, Frames, Joined, Reply, RoomMessage};
use crate::history::Parts;
use crate::id::ConnId;
use crate::identity::{Identity, Name, Revocable};
use crate::mesh::Parcel;
use crate::presence::Presence;
use crate::recovery::{JoinOptions, Recovery};
use crate::room_name::RoomName;
use crate::shard_stats::ShardStats;
use crate::time::Time;

/// To a home of rooms; a query to any shard, also for connections that it hosts.
#[derive(Debug)]
pub enum ToHome {
    /// Give this message the next offset of its room, and deliver it.
    Publish {
        /// The room; the room of everybody for a broadcast.
        room: RoomName,
        /// The message, in no format.
        message: RoomMessage,
        /// The one connection that does not get it.
        exclude: Option<ConnId>,
        /// Where the offset is awaited.
        origin: Origin,
        /// When it was accepted, on the clock of all shards.
        accepted: Time,
    },
    /// Count this connection among the members.
    Join {
        /// The room.
        room: RoomName,
        /// The connection that joins.
        conn: ConnId,
        /// How it gets the room's messages.
        encoding: Encoding,
        /// Which of its attempts this is.
        change_id: u32,
        /// What learns of it besides the client.
        requester: Requester,
        /// What else it asks for.
        options: JoinOptions,
        /// Who joins, for those that are told who is there.
        identity: Option<Arc<Identity>>,
        /// It is a member already, and is only sent the answer once more.
        again: bool,
    },
    /// Count this connection among the members no longer.
    Leave {
        /// The room.
        room: RoomName,
        /// The connection that leaves.
        conn: ConnId,
        /// How it got the room's messages.
        encoding: Encoding,
        /// The request of its client or the program; none when it is closed and gets no answer.
        request: Option<LeaveRequest>,
    },
    /// Say who is in the room to this member.
    Presence {
        /// The room.
        room: RoomName,
        /// The connection that asks.
        conn: ConnId,
        /// Which of its attempts this is.
        change_id: u32,
        /// Its client's id for the answer, as written.
        id: Option<Box<str>>,
    },
    /// Some of the members that this shard has, as it was asked.
    Census {
        /// The room.
        room: RoomName,
        /// Which census this is of.
        census: u64,
        /// The members, and who they are. One may come twice.
        members: Vec<(ConnId, Option<Arc<Identity>>)>,
        /// There are no others, but for those that joined since it was asked.
        is_last: bool,
    },
    /// Send this back: an error that is known already, but has to come after the replies that this
    /// home still owes.
    Relay {
        /// The connection that gets it.
        conn: ConnId,
        /// The error.
        reply: Reply,
    },
    /// Publishers of this room are (or no longer are) faster than its writable members here.
    Pause {
        /// The room.
        room: RoomName,
        /// Whether the log is over half its limit, or below a quarter again.
        paused: bool,
    },
    /// Have this connection, which has not begun.
    HandOver {
        /// What its driver needs for that.
        parcel: Parcel,
    },
    /// A question of a caller.
    Query {
        /// Comes back with the answer.
        token: AnswerToken,
        /// What is asked.
        query: Query,
    },
}

/// An explicit leave.
#[derive(Debug, PartialEq, Eq)]
pub struct LeaveRequest {
    /// Which of the connection's attempts this is.
    pub change_id: u32,
    /// What learns of it besides the client.
    pub requester: Requester,
}

/// What asked for a join or a leave. The client is sent an answer in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requester {
    /// The client itself, with its id for the reply, as written.
    Client(Option<Box<str>>),
    /// The program, which waits for an answer.
    Program(AnswerToken),
    /// The connection's permissions, which do not allow the room any more.
    Permissions,
}

impl Requester {
    fn len(&self) -> usize {
        self.id().map_or(0, str::len)
    }

    /// The id that the client's reply carries.
    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Requester::Client(id) => id.as_deref(),
            Requester::Program(_) | Requester::Permissions => None,
        }
    }
}

/// Where the offset of a published message is awaited.
#[derive(Debug)]
pub enum Origin {
    /// Nowhere.
    None,
    /// A connection that wants an ack with its id.
    Connection {
        /// Which.
        conn: ConnId,
        /// Its client's id for the ack, as written.
        id: Box<str>,
    },
    /// A caller beside the connections, over HTTP or from a program.
    Caller(AnswerToken),
}

/// Names the answer that a caller waits for; chosen by the caller's shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnswerToken(pub u64);

/// A question to a shard.
#[derive(Debug)]
pub enum Query {
    /// What are your figures?
    Stats,
    /// Which rooms are you home to, in order of their names?
    Rooms {
        /// Only names greater than this.
        after: Option<Box<str>>,
        /// At most this many.
        limit: usize,
    },
    /// How is this room?
    Room(RoomName),
    /// Who is in this room?
    Presence(RoomName),
    /// What is kept of this room's messages?
    History {
        /// The room.
        room: RoomName,
        /// Only messages after this offset, and the oldest of them; otherwise the newest.
        since: Option<u64>,
        /// The life of the room to which that offset belongs, as text; any without.
        epoch: Option<Box<str>>,
        /// At most so many.
        limit: usize,
    },
    /// Queue this frame for one of your connections.
    Emit(ConnId, Vec<u8>),
    /// Close one of your connections.
    Close(ConnId, Close),
    /// Which of your connections are this user's?
    User(Name),
    /// Queue this frame for your connections of this user, some at a time.
    EmitToUser {
        /// Whose.
        user: Name,
        /// Only connections whose id is greater than this.
        after: Option<ConnId>,
        /// The one connection that does not get it.
        except: Option<ConnId>,
        /// The frame.
        frame: Arc<[u8]>,
    },
    /// Close your connections of this user.
    CloseUser(Name, Close),
    /// Close the connections of a user or a token as expired, and open none until this time.
    Revoke {
        /// Of which.
        revoked: Revocable,
        /// On the clock of all shards; one that is over ends an earlier revocation.
        until: Time,
    },
}

/// The answer to a [`Query`], or to a publish of a caller.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The message has its offset.
    Published {
        /// Its offset.
        offset: u64,
        /// The home's count of members at that moment.
        members: u32,
        /// It repeats an earlier one, whose offset this is, and is not delivered.
        repeated: bool,
    },
    /// The figures of one shard.
    Stats(Box<ShardStats>),
    /// Rooms, in order of their names.
    Rooms(Vec<RoomInfo>),
    /// One room; none when it does not exist.
    Room(Option<RoomInfo>),
    /// What is kept of a room's messages; none when it does not exist and is not remembered.
    History(Option<Box<RoomHistory>>),
    /// Who is in a room; none when it does not exist.
    Presence(Option<Arc<Presence>>),
    /// Memory is short, and for this some would be needed.
    Short,
    /// Whether the connection was there.
    Found(bool),
    /// Too much waits for the connection already; this is the frame that was for it.
    Full(Vec<u8>),
    /// A frame was larger than what may wait for one connection, which is this many bytes.
    TooLarge(usize),
    /// The connection is a member; what its client was sent.
    Joined(Joined),
    /// The connection is a member no longer, and gets the room's messages up to this offset.
    Left {
        /// The room's last message at that moment.
        offset: u64,
    },
    /// The connection may not become a member: there are as many rooms as may be, which is this many.
    TooManyRooms(usize),
    /// The connection has ended meanwhile.
    Gone,
    /// The open connections of a user.
    User {
        /// How many.
        count: u64,
        /// The first thousand, in order.
        connections: Vec<ConnId>,
    },
    /// What became of a frame for the connections of a user.
    UserSent {
        /// Connections that it was queued for.
        sent: u32,
        /// Connections for which too much waits already.
        full: Vec<ConnId>,
        /// The last connection that was looked at, if there are more.
        next: Option<ConnId>,
    },
    /// So many connections were closed.
    Closed(u64),
    /// Nothing is revoked, because as many revocations hold as may, which is this many.
    TooManyRevocations(usize),
}

/// One room, as its home knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RoomInfo {
    /// Its name.
    pub room: RoomName,
    /// How many members it has, on all shards.
    pub members: u32,
    /// The offset of its last message; 0 before the first.
    pub offset: u64,
    /// Its life.
    pub epoch: Epoch,
}

/// What is kept of a room's messages, as its home knows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RoomHistory {
    /// The room's life.
    pub epoch: Epoch,
    /// The offset of its last message; 0 before the first.
    pub offset: u64,
    /// Whether every message after the given offset is kept, if one was given.
    pub recovery: Option<Recovery>,
    /// The messages, in order; none if some are not kept.
    pub messages: Parts,
}

/// From a home, in the order of what happened there.
#[derive(Debug)]
pub enum FromHome {
    /// The next message of a room, for every shard with members.
    Deliver {
        /// The room.
        room: RoomName,
        /// Its offset.
        offset: u64,
        /// The message, encoded for the members that this shard has.
        frames: Frames,
        /// The one connection that does not get it.
        exclude: Option<ConnId>,
        /// When the publisher's shard accepted it.
        accepted: Time,
    },
    /// This connection is a member from here on.
    Joined {
        /// The room.
        room: RoomName,
        /// The connection that joined.
        conn: ConnId,
        /// Which of its attempts is answered.
        change_id: u32,
        /// What learns of it besides the client.
        requester: Requester,
        /// How the room was at that moment.
        joined: Joined,
        /// Who was there, if it asked for that: from here on it is told of changes.
        presence: Option<Arc<Presence>>,
        /// The messages of before that it is sent.
        replay: Parts,
    },
    /// The home counts the connection as a member until its leave comes, as that of any that joined; but
    /// it is none, for this reason.
    Unjoined {
        /// The room.
        room: RoomName,
        /// The connection that is no member.
        conn: ConnId,
        /// Which of its attempts is answered.
        change_id: u32,
        /// What learns of it: the client, or the program alone.
        requester: Requester,
        /// Why.
        why: Unjoined,
    },
    /// This connection is a member no longer.
    Left {
        /// The room.
        room: RoomName,
        /// The connection that left.
        conn: ConnId,
        /// The request that is answered.
        request: LeaveRequest,
        /// The last message that it gets.
        offset: u64,
    },
    /// Who is in a room, as a member asked.
    Presence {
        /// The room.
        room: RoomName,
        /// The connection that asked.
        conn: ConnId,
        /// Which of its attempts is answered.
        change_id: u32,
        /// Its client's id for the answer, as written.
        id: Option<Box<str>>,
        /// Who is there; none when memory is short.
        presence: Option<Arc<Presence>>,
    },
    /// Who has come and gone in a room, for the members here that watch it.
    PresenceChange {
        /// The room.
        room: RoomName,
        /// Which state it leads to.
        version: u64,
        /// What they are sent.
        frame: Arc<[u8]>,
    },
    /// Which members of this room are there? From here on the home hears of each that joins or leaves.
    Census {
        /// The room.
        room: RoomName,
        /// Which census this is.
        census: u64,
    },
    /// An ack, or a relayed error.
    Reply {
        /// The connection that gets it.
        conn: ConnId,
        /// The ack or error.
        reply: Reply,
    },
    /// Publishing to this room pauses on every shard, or goes on.
    Paused {
        /// The room.
        room: RoomName,
        /// Whether it pauses.
        paused: bool,
    },
    /// The answer to a caller.
    Answer {
        /// The token of the question.
        token: AnswerToken,
        /// Its answer.
        answer: Answer,
    },
}

/// Why a connection is no member although its home counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unjoined {
    /// There are as many rooms as may be, which is this many.
    TooManyRooms(usize),
    /// The room did not exist, and memory is short.
    NoMemory,
    /// Nobody knows who is in the room, and memory is too short to find out.
    NoMemoryForPresence,
}

/// Something that travels over a ring.
pub(crate) trait Weigh {
    /// Bytes that count against the ring's byte limit.
    fn weight(&self) -> usize;
}

/// What an item weighs besides the bytes that it refers to.
const ITEM_BYTES: usize = 128;

impl Weigh for ToHome {
    fn weight(&self) -> usize {
        ITEM_BYTES
            + match self {
                ToHome::Publish { room, message, origin, .. } => {
                    room.as_str().len() + message.len() + origin.len()
                }
                ToHome::Join { room, requester, options, .. } => {
                    room.as_str().len() + requester.len() + options.len()
                }
                ToHome::Leave { room, request, .. } => {
                    room.as_str().len()
                        + request.as_ref().map_or(0, |request| request.requester.len())
                }
                ToHome::Presence { room, id, .. } => {
                    room.as_str().len() + id.as_ref().map_or(0, |id| id.len())
                }
                ToHome::Census { room, members, .. } => {
                    room.as_str().len() + size_of_val(&members[..])
                }
                ToHome::Relay { reply, .. } => reply.len(),
                ToHome::Pause { room, .. } => room.as_str().len(),
                ToHome::HandOver { parcel } => parcel.len(),
                ToHome::Query { query, .. } => query.len(),
            }
    }
}

impl Weigh for FromHome {
    fn weight(&self) -> usize {
        ITEM_BYTES
            + match self {
                FromHome::Deliver { room, frames, .. } => room.as_str().len() + frames.len(),
                FromHome::Joined { room, requester, replay, presence, .. } => {
                    let presence = Presence::weight(presence.as_ref());
                    room.as_str().len() + requester.len() + replay.len() + presence
                }
                FromHome::Presence { room, id, presence, .. } => {
                    let presence = Presence::weight(presence.as_ref());
                    room.as_str().len() + id.as_ref().map_or(0, |id| id.len()) + presence
                }
                FromHome::PresenceChange { room, frame, .. } => room.as_str().len() + frame.len(),
                FromHome::Census { room, .. } => room.as_str().len(),
                FromHome::Unjoined { room, requester, .. } => room.as_str().len() + requester.len(),
                FromHome::Left { room, request, .. } => {
                    room.as_str().len() + request.requester.len()
                }
                FromHome::Reply { reply, .. } => reply.len(),
                FromHome::Paused { room, .. } => room.as_str().len(),
                FromHome::Answer { answer, .. } => answer.len(),
            }
    }
}

impl Origin {
    fn len(&self) -> usize {
        match self {
            Origin::Connection { id, .. } => id.len(),
            Origin::None | Origin::Caller(_) => 0,
        }
    }
}

impl Query {
    fn len(&self) -> usize {
        match self {
            Query::Rooms { after, .. } => after.as_ref().map_or(0, |after| after.len()),
            Query::Room(room) | Query::Presence(room) => room.as_str().len(),
            Query::History { room, epoch, .. } => {
                room.as_str().len() + epoch.as_ref().map_or(0, |epoch| epoch.len())
            }
            Query::Emit(_, frame) => frame.len(),
            Query::User(user) | Query::CloseUser(user, _) => user.as_str().len(),
            Query::EmitToUser { user, frame, .. } => user.as_str().len() + frame.len(),
            Query::Revoke { revoked, .. } => revoked.name().as_str().len(),
            Query::Stats | Query::Close(..) => 0,
        }
    }

    /// Whether it only asks.
    pub(crate) fn changes_nothing(&self) -> bool {
        matches!(
            self,
            Query::Stats
                | Query::Rooms { .. }
                | Query::Room(_)
                | Query::Presence(_)
                | Query::History { .. }
                | Query::User(_)
        )
    }
}

impl Answer {
    fn len(&self) -> usize {
        let info = |info: &RoomInfo| size_of::<RoomInfo>() + info.room.as_str().len();
        match self {
            Answer::Stats(_) => size_of::<ShardStats>(),
            Answer::Full(frame) => frame.len(),
            Answer::Rooms(rooms) => rooms.iter().map(info).sum(),
            Answer::Room(room) => room.iter().map(info).sum(),
            Answer::History(history) => {
                let bytes = |history: &RoomHistory| history.messages.len();
                size_of::<RoomHistory>() + history.as_deref().map_or(0, bytes)
            }
            Answer::Presence(presence) => Presence::weight(presence.as_ref()),
            Answer::User { connections: ids, .. } | Answer::UserSent { full: ids, .. } => {
                size_of_val(&ids[..])
            }
            _ => 0,
        }
    }
}

impl ToHome {
    /// Bytes that count against the ring's byte limit.
    pub fn weight(&self) -> usize {
        Weigh::weight(self)
    }
}

impl FromHome {
    /// Bytes that count against the ring's byte limit.
    pub fn weight(&self) -> usize {
        Weigh::weight(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardId;
    use crate::recovery::{Position, Start};

    /// Everything that a client's command can make an item refer to.
    #[test]
    fn an_item_weighs_at_least_what_it_refers_to() {
        let room = RoomName::new(&"r".repeat(200)).expect("legal");
        let conn = ConnId { shard: ShardId::new(0), slot: 0, generation: 0 };
        let id: Box<str> = "i".repeat(384).into();
        let requester = || Requester::Client(Some(id.clone()));
        let request = || LeaveRequest { change_id: 0, requester: requester() };
        let options = Start::Since(Position { epoch: "e".repeat(32).into(), offset: 0 }).into();
        let (change_id, again, time) = (0, false, Time::default());
        let (encoding, message) = (Encoding::Sse, RoomMessage::binary(&[b'm'; 1000]));
        let origin = Origin::Connection { conn, id: id.clone() };
        let exclude = None;
        let publish =
            ToHome::Publish { room: room.clone(), message, exclude, origin, accepted: time };
        assert!(publish.weight() >= 200 + 1000 + 384);
        let join = ToHome::Join {
            room: room.clone(),
            conn,
            encoding,
            change_id,
            requester: requester(),
            options,
            identity: None,
            again,
        };
        assert!(join.weight() >= 200 + 384 + 32);
        let leave = ToHome::Leave { room: room.clone(), conn, encoding, request: Some(request()) };
        assert!(leave.weight() >= 200 + 384);
        assert!(ToHome::Pause { room: room.clone(), paused: true }.weight() >= 200);
        let parcel = crate::mesh::Parcel::new((), 1000);
        assert!(ToHome::HandOver { parcel }.weight() >= 1000);
        let frames = Frames::one(Encoding::WebSocket, &[0; 600]).and(encoding, &[0; 400]);
        let deliver =
            FromHome::Deliver { room: room.clone(), offset: 1, frames, exclude, accepted: time };
        assert!(deliver.weight() >= 200 + 1000);
        let left = FromHome::Left { room: room.clone(), conn, request: request(), offset: 0 };
        assert!(left.weight() >= 200 + 384);
        let users: Arc<str> = "u".repeat(200_000).into();
        let presence = Arc::new(Presence { version: 1, count: 9, users, more: false });
        let presence = FromHome::Presence {
            room: room.clone(),
            conn,
            change_id,
            id: Some(id),
            presence: Some(presence),
        };
        let weight = presence.weight();
        assert!((200 + 384..1_000).contains(&weight), "{weight}: all answers share one list");
        let info = RoomInfo {
            room,
            members: 1,
            offset: 1,
            epoch: crate::epoch::Epoch::new(0, ShardId::new(0), 1),
        };
        let answer = Answer::Rooms(vec![info; 1000]);
        assert!(FromHome::Answer { token: AnswerToken(0), answer }.weight() >= 1000 * 200);
    }
}
