//! What a home does.

use super::{Full, Shard, Unsent};
use crate::envelope::{Reply, Unnumbered};
use crate::id::{ConnId, ShardId};
use crate::message::{Answer, Asked, Joined, Origin, Outcome, Query, Request, Token};
use crate::room_name::RoomName;
use crate::time::Time;

/// Questions that may stand in line for room on one ring.
const LOOKS_IN_LINE_MAX: usize = 64;

impl Shard {
    /// Event: a request of shard `from`. To be called only while
    /// [`takes_requests`](Shard::takes_requests) says yes.
    pub fn on_request(&mut self, from: ShardId, request: Request) {
        debug_assert!(self.takes_requests(), "requests wait for outcomes");
        self.counters.mesh_handled += 1;
        match request {
            Request::Publish { room, message, exclude, origin, accepted } => {
                self.number(from, room, message, exclude, origin, accepted);
            }
            Request::Join { room, conn, attempt, asker, since, again } => {
                let joined = self.admit(&room, conn, since, again);
                let outcome = Outcome::Joined { room, conn, attempt, asker, joined };
                self.push_outcome(conn.shard, outcome);
            }
            Request::Leave { room, conn, asked } => self.dismiss(room, conn, asked),
            Request::Relay { conn, frame } => {
                self.push_outcome(conn.shard, Outcome::Reply { conn, frame });
            }
            Request::Press { room, pressed } => {
                let changed = self.homes.get_mut(&room).and_then(|home| home.press(from, pressed));
                self.tell_press(&room, changed);
            }
            Request::Query { token, query } => {
                let answer = self.answer(query);
                self.push_outcome(from, Outcome::Answer { token, answer });
            }
        }
        self.reap();
    }

    /// Gives a message its offset. The origin's ack goes first, so that it precedes every later
    /// message of the room on the way to the origin's shard.
    fn number(
        &mut self,
        from: ShardId,
        room: RoomName,
        message: Unnumbered,
        exclude: Option<ConnId>,
        origin: Origin,
        accepted: Time,
    ) {
        let home = self.homes.get_or_create(&room);
        home.offset += 1;
        let (offset, members) = (home.offset, home.members());
        let interested: Vec<ShardId> = home.interested().collect();
        let shown = (!room.is_everybody()).then_some(offset);
        let frame = message.number(shown);
        self.counters.published += 1;
        match origin {
            Origin::Nobody => {}
            Origin::Connection { conn, id } => {
                let frame = Reply::ack(&id, shown);
                self.push_outcome(conn.shard, Outcome::Reply { conn, frame });
            }
            Origin::Caller(token) => {
                let answer = Answer::Published { offset, members };
                self.push_outcome(from, Outcome::Answer { token, answer });
            }
        }
        for shard in interested {
            let (room, frame) = (room.clone(), frame.clone());
            self.push_outcome(shard, Outcome::Deliver { room, offset, frame, exclude, accepted });
        }
        self.homes.touch(&room, self.now, self.linger());
    }

    fn admit(
        &mut self,
        room: &RoomName,
        conn: ConnId,
        since: Option<(Box<str>, u64)>,
        again: bool,
    ) -> Joined {
        let home = self.homes.get_or_create(room);
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
        self.homes.touch(room, self.now, self.linger());
        joined
    }

    fn dismiss(&mut self, room: RoomName, conn: ConnId, asked: Option<Asked>) {
        let home = self.homes.get_mut(&room).expect("a room with members exists");
        let released = home.leave(conn.shard);
        let offset = home.offset;
        self.tell_press(&room, released.then_some(false));
        self.homes.touch(&room, self.now, self.linger());
        if let Some(asked) = asked {
            self.push_outcome(conn.shard, Outcome::Left { room, conn, asked, offset });
        }
    }

    /// Publishers may be anywhere, so every shard hears of it.
    fn tell_press(&mut self, room: &RoomName, changed: Option<bool>) {
        let Some(pressed) = changed else { return };
        match pressed {
            true => self.pressed_homes += 1,
            false => self.pressed_homes -= 1,
        }
        for shard in (0..self.config.shards).map(ShardId::new) {
            self.push_outcome(shard, Outcome::Pressed { room: room.clone(), pressed });
        }
    }

    /// Command: answers a question for this shard at once.
    pub fn answer(&mut self, query: Query) -> Answer {
        match query {
            Query::Stats => Answer::Stats(Box::new(self.stats())),
            Query::Rooms { after, limit } => {
                Answer::Rooms(self.homes.list(after.as_deref(), limit))
            }
            Query::Room(room) => Answer::Room(self.homes.info(&room)),
            Query::Emit(conn, frame) => match self.emit(conn, &frame) {
                Ok(()) => Answer::Found(true),
                Err(Unsent::Gone) => Answer::Found(false),
                Err(Unsent::Full) => Answer::Full(frame),
                Err(Unsent::TooLarge(limit)) => Answer::TooLarge(limit),
            },
            Query::Close(conn, reason) => Answer::Found(self.close(conn, reason)),
        }
    }

    /// Ends rooms that have lingered long enough.
    pub(super) fn end_lingering_rooms(&mut self) {
        self.homes.on_time(self.now);
    }

    /// Command of a caller beside the connections, over HTTP or from a program: asks shard `to`.
    /// The answer comes out of [`next_answer`](Shard::next_answer) under the same token.
    ///
    /// # Errors
    ///
    /// [`Full`] when there is no room on the ring, with the question; nothing has happened. Questions
    /// that change nothing may stand in line for room, a few at a time: an operator wants to look
    /// above all when everything is full.
    pub fn query(&mut self, to: ShardId, token: Token, query: Query) -> Result<(), (Full, Query)> {
        let looks = matches!(query, Query::Stats | Query::Rooms { .. } | Query::Room(_));
        let may_stand = looks && self.lanes[to.index()].requests.excess() < LOOKS_IN_LINE_MAX;
        if !may_stand && let Err(full) = self.has_free_lane(to) {
            return Err((full, query));
        }
        self.push_request(to, Request::Query { token, query });
        Ok(())
    }
}
