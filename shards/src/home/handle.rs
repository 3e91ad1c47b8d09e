//! What a home does with the messages that it is sent.

use super::{HomeRooms, IdleTtl};
use crate::config::Config;
use crate::envelope::{Reply, Unnumbered};
use crate::id::{ConnId, ShardId};
use crate::mesh::{
    Answer, FromHome, Joined, LeaveRequest, Origin, Outboxes, Query, RequestId, RoomInfo, ToHome,
};
use crate::rng::Rng;
use crate::room_name::{RoomName, SecretHash};
use crate::time::Time;

/// A shard as the home of rooms: it orders their messages, counts their members and knows the shards
/// that have some. It knows no connection but by its id.
///
/// Invariant: what it sends back about a room goes out in the order in which it happened here.
#[derive(Debug)]
pub(crate) struct Home {
    rooms: HomeRooms,
    shards: u16,
    ttl: IdleTtl,
    /// Rooms whose publishers pause.
    paused: u64,
}

impl Home {
    /// A home without rooms, but for the room of everybody if this is its home.
    pub(crate) fn new(id: ShardId, config: &Config, hash: SecretHash) -> Home {
        let is_home_of_everybody = hash.home("", config.shards) == id;
        let mut rooms = HomeRooms::new(id, hash, &mut Rng::new(config.seed, u64::MAX));
        if is_home_of_everybody {
            rooms.open_everybody((0..config.shards).map(ShardId::new));
        }
        let share = config.limits.lingering_rooms / usize::from(config.shards);
        let ttl = IdleTtl { duration: config.limits.room_linger, rooms_max: share.max(1) };
        Home { rooms, shards: config.shards, ttl, paused: 0 }
    }

    /// Handles a message of shard `from`. Returns the question that it carries if it is one, since
    /// questions are for the whole shard.
    pub(crate) fn handle(
        &mut self,
        from: ShardId,
        message: ToHome,
        now: Time,
        outboxes: &mut Outboxes,
    ) -> Option<(RequestId, Query)> {
        match message {
            ToHome::Publish { room, message, exclude, origin, accepted } => {
                let publish = Publish { message, exclude, accepted };
                self.number(from, &room, publish, origin, now, outboxes);
            }
            ToHome::Join { room, conn, change_id, requester, since, again } => {
                let joined = self.on_join(&room, conn, since, again, now);
                let joined = FromHome::Joined { room, conn, change_id, requester, joined };
                outboxes.push_from_home(conn.shard, joined);
            }
            ToHome::Leave { room, conn, request } => {
                self.on_leave(room, conn, request, now, outboxes);
            }
            ToHome::Relay { conn, frame } => {
                outboxes.push_from_home(conn.shard, FromHome::Reply { conn, frame });
            }
            ToHome::Pause { room, paused } => {
                let home = self.rooms.get_mut(&room);
                let changed = home.and_then(|home| home.pause(from, paused));
                self.announce_pause(&room, changed, outboxes);
            }
            ToHome::Query { token, query } => return Some((token, query)),
        }
        None
    }

    /// Gives a message its offset. The origin's ack goes first, so that it precedes every later
    /// message of the room on the way to the origin's shard.
    fn number(
        &mut self,
        from: ShardId,
        room: &RoomName,
        publish: Publish,
        origin: Origin,
        now: Time,
        outboxes: &mut Outboxes,
    ) {
        let Publish { message, exclude, accepted } = publish;
        let home = self.rooms.get_or_create(room);
        home.offset += 1;
        let (offset, members) = (home.offset, home.members());
        let interested: Vec<ShardId> = home.interested().collect();
        let shown = (!room.is_everybody()).then_some(offset);
        let frame = message.number(shown);
        match origin {
            Origin::Nobody => {}
            Origin::Connection { conn, id } => {
                let frame = Reply::ack(&id, shown);
                outboxes.push_from_home(conn.shard, FromHome::Reply { conn, frame });
            }
            Origin::Caller(token) => {
                let answer = Answer::Published { offset, members };
                outboxes.push_from_home(from, FromHome::Answer { token, answer });
            }
        }
        for shard in interested {
            let (room, frame) = (room.clone(), frame.clone());
            let deliver = FromHome::Deliver { room, offset, frame, exclude, accepted };
            outboxes.push_from_home(shard, deliver);
        }
        self.rooms.touch(room, now, self.ttl);
    }

    fn on_join(
        &mut self,
        room: &RoomName,
        conn: ConnId,
        since: Option<(Box<str>, u64)>,
        again: bool,
        now: Time,
    ) -> Joined {
        let home = self.rooms.get_or_create(room);
        if !again {
            home.join(conn.shard);
        }
        // Complete or refused: without a history only the present moment can be recovered.
        let present = |(epoch, offset): (Box<str>, u64)| {
            *epoch == *home.epoch.to_string() && offset == home.offset
        };
        let recovered = since.filter(|_| !again).map(present);
        let joined =
            Joined { epoch: home.epoch, offset: home.offset, members: home.members(), recovered };
        self.rooms.touch(room, now, self.ttl);
        joined
    }

    fn on_leave(
        &mut self,
        room: RoomName,
        conn: ConnId,
        request: Option<LeaveRequest>,
        now: Time,
        outboxes: &mut Outboxes,
    ) {
        let home = self.rooms.get_mut(&room).expect("a room with members exists");
        let resumed = home.leave(conn.shard);
        let offset = home.offset;
        self.announce_pause(&room, resumed.then_some(false), outboxes);
        self.rooms.touch(&room, now, self.ttl);
        if let Some(request) = request {
            outboxes.push_from_home(conn.shard, FromHome::Left { room, conn, request, offset });
        }
    }

    /// Sends every shard the room's new state, if it changed: publishers may be anywhere.
    fn announce_pause(&mut self, room: &RoomName, changed: Option<bool>, outboxes: &mut Outboxes) {
        let Some(paused) = changed else { return };
        match paused {
            true => self.paused += 1,
            false => self.paused -= 1,
        }
        for shard in (0..self.shards).map(ShardId::new) {
            let room = room.clone();
            outboxes.push_from_home(shard, FromHome::Paused { room, paused });
        }
    }

    /// Ends the rooms that have been without members for their time to live.
    pub(crate) fn on_time(&mut self, now: Time) {
        self.rooms.on_time(now);
    }

    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.rooms.next_deadline()
    }

    /// One room, if it exists.
    pub(crate) fn info(&self, room: &RoomName) -> Option<RoomInfo> {
        self.rooms.info(room)
    }

    /// At most `limit` rooms in order of their names, from behind `after`.
    pub(crate) fn list(&self, after: Option<&str>, limit: usize) -> Vec<RoomInfo> {
        self.rooms.list(after, limit)
    }

    /// Rooms that live here.
    pub(crate) fn count(&self) -> u64 {
        self.rooms.count() as u64
    }

    /// Rooms whose publishers pause.
    pub(crate) fn paused_count(&self) -> u64 {
        self.paused
    }

    /// Asserts what holds between any two messages.
    #[cfg(debug_assertions)]
    pub(crate) fn check(&self) {
        self.rooms.check(self.ttl.rooms_max);
        assert_eq!(self.paused, self.rooms.paused_count() as u64, "paused rooms are counted");
    }
}

/// A message on its way through its home.
struct Publish {
    message: Unnumbered,
    exclude: Option<ConnId>,
    accepted: Time,
}
