//! The harness lies, so that the judge can show that it would notice.

mod presence;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use corecast_shards::{
    ConnId, Disconnect, Encoding, FromHome, JoinOptions, Joined, LeaveRequest, Parts, PublishKey,
    Requester, RoomName, SendEnd, ShardId, Time, ToHome,
};

use crate::history::offset_of_message;
use crate::view::{Awaited, Line, View};
use crate::wire;
use crate::world::{World, trace};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    /// Two deliveries of one room change places.
    Swap,
    /// Two publishes of one client to one room change places.
    SwapPublishes,
    Lose,
    Double,
    /// A socket took less than is reported.
    TooManyBytes,
    LoseWritable,
    /// The answer to a join is given once more, to the next owner of the slot.
    ReplayJoined,
    /// A home gets the join of a member that does not exist.
    OneMemberTooMany,
    /// The answer to a join counts one member more than there are.
    WrongMembers,
    /// A connection whose socket has refused bytes is closed at once, as slow.
    SlowBeforeItsTime,
    /// A connection whose client was heard is closed as idle.
    IdleBeforeItsTime,
    /// A message is replaced by a gap.
    GapBeforeItsTime,
    LosePing,
    LoseWelcome,
    /// A stream's client does not get a message of its room.
    LoseEvent,
    /// Or a comment.
    LoseComment,
    /// An ack comes after a later message of its room.
    LateAck,
    /// A frame for one connection goes to another.
    EmitToAnother,
    /// A client may stay for longer than its token said.
    LongerStay,
    /// A home is sent that a member has another window than it has.
    WrongWindow,
    /// A publish that repeats one comes to its home with another key.
    AnotherKey,
    /// A client does not get what its join is answered that it gets.
    LoseHistory,
    /// It gets less than that, or something of it twice.
    LoseReplayed,
    DoubleReplayed,
    /// A home answers a join with another life of the room.
    OtherEpoch,
    /// A home does not hear of members that were there before somebody asked.
    LoseCensus,
    /// Or not who it is that joins.
    LoseIdentity,
    /// Watchers are not told who has come or gone.
    LosePresenceChange,
    /// Or not that somebody has gone whom they know, as if it were only one that came.
    LosePresenceLeave,
    /// Or they are shown somebody else's information.
    OtherInfo,
    /// A connection does not come to the shard that it is handed to.
    LoseParcel,
    /// The descriptor of one stays open that has come.
    KeepDescriptor,
    /// A shard is told that it is so late that a room's messages have lingered.
    LingerTooShort,
    /// Or is not told that it is.
    LingerTooLong,
    /// Rooms let more bytes linger than they may.
    MoreBytesLinger,
}

/// A lie, and whether it was done: once in a seed.
pub(crate) struct Lying {
    pub(crate) lie: Lie,
    pub(crate) done: bool,
    /// How many occasions are let pass before.
    pub(crate) patience: usize,
    /// What was answered to the former owners of slots: the epoch's carrier is kept whole.
    joined: BTreeMap<(ShardId, u32, RoomName), (ConnId, FromHome)>,
    /// Members of the first room that were there before its last census began, and stay.
    counted: BTreeSet<ConnId>,
    /// Which shard is told a later time than it is, up to then.
    pub(crate) ahead: Option<(usize, Time)>,
}

impl Lying {
    pub(crate) fn new(lie: Lie, patience: usize) -> Lying {
        let (joined, counted) = (BTreeMap::new(), BTreeSet::new());
        Lying { lie, done: false, patience, joined, counted, ahead: None }
    }

    /// Whether this occasion is the one.
    pub(crate) fn now(&mut self, lie: Lie) -> bool {
        if self.lie != lie || self.done {
            return false;
        }
        if self.patience > 0 {
            self.patience -= 1;
            return false;
        }
        self.done = true;
        true
    }
}

impl World {
    /// Whether a client on this shard is in the first room and stays.
    fn has_resident(&self, shard: usize) -> bool {
        self.open.iter().any(|client| {
            let client = &self.clients[*client];
            client.shard == shard && client.resident && client.view.rooms.contains_key(&0)
        })
    }

    /// What just went onto this ring may not be what was sent.
    pub(crate) fn lie_about_requests(&mut self, from: usize, to: usize) {
        if self.lying.lie == Lie::None {
            return;
        }
        self.replay_joined(from, to);
        self.lie_about_window(from, to);
        self.lie_about_key(from, to);
        self.lie_about_users(from, to);
        let queue = &mut self.mesh.requests[from][to].queue;
        let len = queue.len();
        let Some(last) = queue.back() else { return };
        if matches!(last, ToHome::HandOver { .. }) && self.lying.now(Lie::LoseParcel) {
            trace!(self, "LIE: lost a connection on its way to {to}");
            queue.pop_back();
            return;
        }
        let counts = matches!(last, ToHome::Join { again: false, .. })
            || matches!(last, ToHome::Leave { request: Some(_), .. })
            || matches!(
                last,
                ToHome::Publish { origin: corecast_shards::Origin::Connection { .. }, .. }
            );
        if counts && self.lying.now(Lie::Lose) {
            trace!(self, "LIE: lost {:.100?}", queue.back());
            queue.pop_back();
            return;
        }
        if let Some(double) = double_request(last)
            && self.lying.now(Lie::Double)
        {
            trace!(self, "LIE: doubled {double:.100?}");
            queue.push_back(double);
            return;
        }
        if len >= 2
            && by_one(&queue[len - 2], &queue[len - 1])
            && self.lying.now(Lie::SwapPublishes)
        {
            trace!(self, "LIE: swapped {:.100?}", queue.back());
            queue.swap(len - 2, len - 1);
            return;
        }
        let home = self.shards[to].home(&self.names[0]).index();
        if home == to && self.lying.now(Lie::OneMemberTooMany) {
            let conn = ConnId { shard: ShardId::new(from as u16), slot: 1 << 20, generation: 7 };
            let (requester, room) = (Requester::Client(None), self.names[0].clone());
            let options = JoinOptions::default();
            let encoding = Encoding::WebSocket;
            let join = ToHome::Join {
                room,
                conn,
                encoding,
                change_id: 1,
                requester,
                options,
                identity: None,
                again: false,
            };
            trace!(self, "LIE: {join:.100?}");
            self.mesh.requests[from][to].queue.push_back(join);
        }
    }

    pub(crate) fn lie_about_outcomes(&mut self, from: usize, to: usize) {
        if self.lying.lie == Lie::None {
            return;
        }
        if self.lie_about_presence(from, to) {
            return;
        }
        let heard = self.has_resident(to);
        let room = self.names[0].clone();
        let queue = &mut self.mesh.outcomes[from][to].queue;
        let len = queue.len();
        let Some(last) = queue.back() else { return };
        if let FromHome::Joined { conn, room, .. } = last {
            let key = (conn.shard, conn.slot, room.clone());
            self.lying.joined.insert(key, (*conn, copy(last).expect("it can be copied")));
        }
        if matches!(last, FromHome::Joined { .. }) && self.lying.now(Lie::WrongMembers) {
            if let Some(FromHome::Joined { joined, .. }) = queue.back_mut() {
                joined.members += 1;
            }
            trace!(self, "LIE: one member more in {:.100?}", queue.back());
            return;
        }
        if let FromHome::Joined { replay, joined, .. } = last
            && joined.recovery.is_some()
            && !replay.is_empty()
            && self.lying.now(Lie::LoseHistory)
        {
            if let Some(FromHome::Joined { replay, .. }) = queue.back_mut() {
                *replay = Parts::default();
            }
            trace!(self, "LIE: no history in {:.100?}", queue.back());
            return;
        }
        let epoch_of = |(_, answer): &(ConnId, FromHome)| match answer {
            FromHome::Joined { joined, .. } => Some(joined.epoch),
            _ => None,
        };
        if let FromHome::Joined { joined: Joined { epoch, offset: 1.., .. }, .. } = last
            && let Some(other) =
                self.lying.joined.values().filter_map(epoch_of).find(|o| o != epoch)
            && self.lying.now(Lie::OtherEpoch)
        {
            if let Some(FromHome::Joined { joined, .. }) = queue.back_mut() {
                joined.epoch = other;
            }
            trace!(self, "LIE: another epoch in {:.100?}", queue.back());
            return;
        }
        let delivers = |outcome: &FromHome| match outcome {
            FromHome::Deliver { room: other, .. } => {
                heard && (*other == room || other.is_everybody())
            }
            _ => false,
        };
        let counts =
            delivers(last) || !matches!(last, FromHome::Deliver { .. } | FromHome::Paused { .. });
        if counts && self.lying.now(Lie::Lose) {
            trace!(self, "LIE: lost {:.100?}", queue.back());
            queue.pop_back();
            return;
        }
        let doubles = delivers(last) || matches!(last, FromHome::Reply { .. });
        if doubles && self.lying.now(Lie::Double) {
            let double = copy(last).expect("these can be copied");
            trace!(self, "LIE: doubled {double:.100?}");
            queue.push_back(double);
            return;
        }
        let both =
            len >= 2 && same_room(&queue[len - 2], &queue[len - 1]) && delivers(&queue[len - 1]);
        if both && self.lying.now(Lie::Swap) {
            trace!(self, "LIE: swapped {:.100?}", queue.back());
            queue.swap(len - 2, len - 1);
        }
    }

    /// A member whose messages nothing is compressed for, though its shard expects that.
    fn lie_about_window(&mut self, from: usize, to: usize) {
        // Later it may get no message any more.
        let early = self.step < self.setup.steps / 2;
        let last = self.mesh.requests[from][to].queue.back_mut();
        if let Some(ToHome::Join { room, encoding, again: false, .. }) = last
            && matches!(encoding, Encoding::Deflate9 | Encoding::Deflate15)
            && *room == self.names[0]
            && early
            && self.lying.now(Lie::WrongWindow)
        {
            *encoding = Encoding::WebSocket;
            trace!(self, "LIE: {last:.100?}");
        }
    }

    /// What repeats a message that clients have seen, and will be seen itself.
    fn lie_about_key(&mut self, from: usize, to: usize) {
        let has_resident = (0..self.shards.len()).any(|shard| self.has_resident(shard));
        let last = self.mesh.requests[from][to].queue.back();
        let Some(ToHome::Publish { room, message, exclude: None, .. }) = last else { return };
        let repeats = message.key().is_some_and(|key| self.repeats_what_was_seen(key));
        if !repeats || *room != self.names[0] || !has_resident {
            return;
        }
        let other = message.clone().with_key(PublishKey::new("another").expect("legal"));
        if self.lying.now(Lie::AnotherKey)
            && let Some(ToHome::Publish { message, .. }) =
                self.mesh.requests[from][to].queue.back_mut()
        {
            *message = other;
            trace!(self, "LIE: another key");
        }
    }

    /// The connection that has the slot now, and asks for the room, is given its predecessor's answer.
    fn replay_joined(&mut self, from: usize, to: usize) {
        let last = self.mesh.requests[from][to].queue.back();
        let Some(ToHome::Join { room, conn, change_id, again: false, .. }) = last else { return };
        let key = (conn.shard, conn.slot, room.clone());
        let Some((before, answer)) = self.lying.joined.get(&key) else { return };
        let FromHome::Joined { joined, .. } = answer else { return };
        let place = self.names.iter().position(|name| name == room).expect("a room");
        let newest = self.model.newest(place, &joined.epoch.to_string().into());
        // A client that has hung up already gets nothing, true or not.
        let talks = self.by_conn.get(conn).is_some_and(|client| self.clients[*client].talks());
        if before == conn || newest <= joined.offset || !talks {
            return;
        }
        let mut replay = copy(answer).expect("it can be copied");
        if let FromHome::Joined { conn: to, change_id: which, .. } = &mut replay {
            (*to, *which) = (*conn, *change_id);
        }
        if self.lying.now(Lie::ReplayJoined) {
            trace!(self, "LIE: {replay:.100?}");
            self.mesh.outcomes[to][from].queue.push_back(replay);
        }
    }

    pub(crate) fn lie_about_bytes(&mut self, end: SendEnd, total: usize) -> SendEnd {
        match end {
            SendEnd::Taken(taken) if taken < total && self.lying.now(Lie::TooManyBytes) => {
                let more = self.chance.within(1, total - taken);
                trace!(self, "LIE: {more} bytes more");
                SendEnd::Taken(taken + more)
            }
            end => end,
        }
    }

    /// Whether the shard does not hear of this.
    pub(crate) fn lie_about_writable(&mut self) -> bool {
        let lies = self.lying.now(Lie::LoseWritable);
        if lies {
            trace!(self, "LIE: not writable");
        }
        lies
    }
}

impl World {
    /// What this client receives may not be what its socket took.
    pub(crate) fn lie_about_frames(&mut self, client: usize, bytes: &[u8]) -> Vec<u8> {
        if self.clients[client].view.stream.is_some() {
            return self.lie_about_chunks(client, bytes);
        }
        let mut bytes = bytes.to_vec();
        if self.lying.lie == Lie::None || !self.clients[client].view.partial.is_empty() {
            return bytes;
        }
        let frames = wire::frames(&bytes);
        let place = |starts: &str| {
            let begins = |range: &Range<usize>| {
                let frame = wire::read_frame(&bytes[range.clone()]).expect("it is whole").0;
                frame.payload.starts_with(starts.as_bytes())
            };
            frames.iter().position(begins)
        };
        let is_ping = |range: &Range<usize>| bytes[range.start] & 0x0f == wire::PING;
        match self.lying.lie {
            Lie::LosePing => {
                // Behind the last ping that is due in a run, nothing shows that one is lost.
                let early = self.step < self.setup.steps / 2;
                let at = frames.iter().position(is_ping).filter(|_| early);
                if let Some(at) = at.filter(|_| self.lying.now(Lie::LosePing)) {
                    bytes.drain(frames[at].clone());
                }
            }
            Lie::LoseWelcome => {
                if let Some(at) =
                    place(r#"{"event":"cast:welcome""#).filter(|_| self.lying.now(Lie::LoseWelcome))
                {
                    bytes.drain(frames[at].clone());
                }
            }
            Lie::LoseReplayed | Lie::DoubleReplayed => {
                let lie = self.lying.lie;
                let is_replayed = |range: &Range<usize>| {
                    let frame = wire::read_frame(&bytes[range.clone()]).expect("it is whole").0;
                    let text = str::from_utf8(&frame.payload).unwrap_or_default();
                    let Some(offset) = offset_of_message(text) else { return false };
                    let room = wire::member(text, "room");
                    let room = self.written.iter().position(|name| Some(&**name) == room);
                    let view = &self.clients[client].view;
                    room.is_some_and(|room| {
                        view.rooms.get(&room).is_some_and(|stay| offset <= stay.recovered_to)
                    })
                };
                if let Some(at) = frames.iter().position(is_replayed)
                    && self.lying.now(lie)
                {
                    let frame = bytes[frames[at].clone()].to_vec();
                    let twice =
                        if lie == Lie::DoubleReplayed { frame.repeat(2) } else { Vec::new() };
                    bytes.splice(frames[at].clone(), twice);
                }
            }
            Lie::LateAck => {
                if let Some((ack, message)) = self.overtaken(client, &bytes, &frames)
                    && self.lying.now(Lie::LateAck)
                {
                    bytes[ack.start..message.end].rotate_left(ack.len());
                }
            }
            Lie::GapBeforeItsTime => {
                let slow = self.slow[self.clients[client].shard].contains(&client);
                if let Some(at) = place(r#"{"event":"m""#)
                    && slow
                    && self.lying.now(Lie::GapBeforeItsTime)
                {
                    let gap = gap_for(&bytes[frames[at].clone()]);
                    bytes.splice(frames[at].clone(), gap);
                }
            }
            _ => {}
        }
        if self.lying.done {
            trace!(self, "LIE: client {client} receives {:.100}", String::from_utf8_lossy(&bytes));
        }
        bytes
    }

    /// An ack, and behind it a later message of its room, among what a client is to receive.
    fn overtaken(
        &self,
        client: usize,
        bytes: &[u8],
        frames: &[Range<usize>],
    ) -> Option<(Range<usize>, Range<usize>)> {
        let text = |range: &Range<usize>| {
            let frame = wire::read_frame(&bytes[range.clone()]).expect("it is whole").0;
            str::from_utf8(&frame.payload).ok().map(str::to_owned)
        };
        let number = |json: &str| wire::member(json, "offset").and_then(|n| n.parse::<u64>().ok());
        for (place, range) in frames.iter().enumerate() {
            let Some(ack) = text(range).filter(|t| t.starts_with(r#"{"event":"cast:ack""#)) else {
                continue;
            };
            let id = wire::member(&ack, "id")?;
            let view = &self.clients[client].view;
            let Some(room) = view.room_of(id).filter(|room| !self.is_keyed(view, *room, id)) else {
                continue;
            };
            let offset = wire::member(&ack, "data").and_then(|data| wire::member(data, "offset"));
            for message in &frames[place + 1..] {
                let Some(json) = text(message).filter(|t| t.starts_with(r#"{"event":"m""#)) else {
                    continue;
                };
                let later = number(&json) > offset.and_then(|offset| offset.parse().ok());
                let same = wire::member(&json, "room") == Some(&self.written[room]);
                if same && later && offset.is_some() {
                    return Some((range.clone(), message.clone()));
                }
            }
        }
        None
    }

    /// Whether this is the ack of a publish with a key: it may repeat one that is long over.
    fn is_keyed(&self, view: &View, room: usize, id: &str) -> bool {
        view.line(Line::Room(room)).any(|expected| match expected.answer {
            Awaited::Ack(said) if expected.id.as_deref() == Some(id) => {
                self.model.sayings[said].keyed.is_some()
            }
            _ => false,
        })
    }

    /// Whether a connection ends for a reason that does not hold.
    pub(crate) fn lie_about_end(&mut self, client: usize) {
        let player = &self.clients[client];
        let lives = player.lives() && player.talks() && !player.dead;
        let reason = match self.lying.lie {
            Lie::SlowBeforeItsTime if player.refusing => Disconnect::Slow,
            Lie::IdleBeforeItsTime => Disconnect::Idle,
            _ => return,
        };
        if lives && self.lying.now(self.lying.lie) {
            trace!(self, "LIE: client {client} ends: {reason:?}");
            let (conn, shard) = (self.clients[client].conn, self.clients[client].shard);
            self.shards[shard].close(conn, reason);
            self.ring(shard);
        }
    }

    /// The client that a frame for this one goes to.
    pub(crate) fn lie_about_emit(&mut self, client: usize) -> usize {
        let shard = self.clients[client].shard;
        let is_other = |other: &&usize| {
            let player = &self.clients[**other];
            let is_open = player.talks() && player.lives() && player.view.stream.is_none();
            **other != client && player.shard == shard && is_open
        };
        let other = self.open.iter().find(is_other).copied();
        match other {
            Some(other) if self.lying.now(Lie::EmitToAnother) => {
                trace!(self, "LIE: client {client}'s frame goes to {other}");
                other
            }
            _ => client,
        }
    }
}

/// The frame of a gap in place of this message.
fn gap_for(message: &[u8]) -> Vec<u8> {
    let frame = wire::read_frame(message).expect("it is whole").0;
    let json = str::from_utf8(&frame.payload).expect("a text frame is text");
    let member = |key| wire::member(json, key).expect("a room's message");
    let (room, offset) = (member("room"), member("offset"));
    let gap = format!(
        r#"{{"event":"cast:gap","room":{room},"data":{{"from":{offset},"to":{offset},"reason":"slow"}}}}"#
    );
    text_frame(&gap)
}

/// A text of less than 64 KiB as a server sends it.
fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 126];
    frame.extend_from_slice(&(text.len() as u16).to_be_bytes());
    if text.len() < 126 {
        frame = vec![0x81, text.len() as u8];
    }
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// Whether one connection published both to one room and asks for their offsets.
fn by_one(first: &ToHome, second: &ToHome) -> bool {
    use corecast_shards::Origin;
    let publisher = |request: &ToHome| match request {
        ToHome::Publish { room, origin: Origin::Connection { conn, .. }, .. } => {
            Some((room.clone(), *conn))
        }
        _ => None,
    };
    publisher(first).is_some() && publisher(first) == publisher(second)
}

fn same_room(first: &FromHome, second: &FromHome) -> bool {
    match (first, second) {
        (FromHome::Deliver { room, .. }, FromHome::Deliver { room: other, .. }) => room == other,
        _ => false,
    }
}

fn double_request(request: &ToHome) -> Option<ToHome> {
    match request {
        ToHome::Join { room, conn, encoding, change_id, requester, again: false, .. } => {
            Some(ToHome::Join {
                room: room.clone(),
                conn: *conn,
                encoding: *encoding,
                change_id: *change_id,
                requester: requester.clone(),
                options: JoinOptions::default(),
                identity: None,
                again: false,
            })
        }
        ToHome::Leave { room, conn, encoding, request: Some(request) } => Some(ToHome::Leave {
            room: room.clone(),
            conn: *conn,
            encoding: *encoding,
            request: Some(LeaveRequest {
                change_id: request.change_id,
                requester: request.requester.clone(),
            }),
        }),
        _ => None,
    }
}

fn copy(outcome: &FromHome) -> Option<FromHome> {
    Some(match outcome {
        FromHome::Deliver { room, offset, frames, exclude, accepted } => FromHome::Deliver {
            accepted: *accepted,
            room: room.clone(),
            offset: *offset,
            frames: frames.clone(),
            exclude: *exclude,
        },
        FromHome::Joined { room, conn, change_id, requester, joined, presence, replay } => {
            FromHome::Joined {
                room: room.clone(),
                conn: *conn,
                change_id: *change_id,
                requester: requester.clone(),
                joined: *joined,
                presence: presence.clone(),
                replay: replay.clone(),
            }
        }
        FromHome::Reply { conn, reply } => FromHome::Reply { conn: *conn, reply: reply.clone() },
        _ => return None,
    })
}
